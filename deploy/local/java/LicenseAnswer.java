import java.util.List;
import java.util.function.Supplier;
import org.elasticsearch.client.node.NodeClient;
import org.elasticsearch.cluster.metadata.IndexNameExpressionResolver;
import org.elasticsearch.cluster.node.DiscoveryNodes;
import org.elasticsearch.common.settings.*;
import org.elasticsearch.plugins.*;
import org.elasticsearch.rest.*;

/** Answers /_license, which the jars on Maven Central leave out and without which Filebeat talks to no server. */
public class LicenseAnswer extends Plugin implements ActionPlugin, RestHandler {
    private static final String TEXT = "{\"license\":{\"status\":\"active\",\"uid\":\"qflow\",\"type\":\"basic\"}}";

    @Override
    public List<RestHandler> getRestHandlers(Settings settings, RestController controller, ClusterSettings cluster,
            IndexScopedSettings index, SettingsFilter filter, IndexNameExpressionResolver names, Supplier<DiscoveryNodes> nodes) {
        return List.of(this);
    }

    @Override
    public List<Route> routes() {
        return List.of(new Route(RestRequest.Method.GET, "/_license"));
    }

    @Override
    public void handleRequest(RestRequest request, RestChannel channel, NodeClient client) {
        channel.sendResponse(new BytesRestResponse(RestStatus.OK, "application/json", TEXT));
    }
}
