import org.codelibs.elasticsearch.runner.ElasticsearchClusterRunner;

/** Starts one Elasticsearch node on loopback, and stays until it is told to end. Arguments are settings, NAME=VALUE. */
public class SearchNode {
    public static void main(String[] args) throws Exception {
        var runner = new ElasticsearchClusterRunner();
        runner.onBuild((number, settings) -> {
            settings.put("network.host", "127.0.0.1");
            settings.put("discovery.type", "single-node");
            settings.put("node.roles", "master,data,ingest");
            settings.put("cluster.routing.allocation.disk.threshold_enabled", "false");
            for (String pair : args) {
                int at = pair.indexOf('=');
                settings.put(pair.substring(0, at), pair.substring(at + 1));
            }
        }).build(ElasticsearchClusterRunner.newConfigs()
                .basePath(System.getProperty("qflow.data"))
                .clusterName("qflow").numOfNode(1).useLogger()
                .pluginTypes("LicenseAnswer"));
        var done = new java.util.concurrent.CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try { runner.close(); } catch (Exception e) { e.printStackTrace(); }
            done.countDown();
        }));
        done.await();
    }
}
