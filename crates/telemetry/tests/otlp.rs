//! Spans leave a process as the standard's settings say, and a receiver that fails it holds nothing up.
//!
//! The process is the crate's example, since settings are read from a process's own environment.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
};
use tonic::{
    Request, Response, Status,
    metadata::MetadataMap,
    transport::{Identity, Server, ServerTlsConfig},
};

/// What a collector got.
#[derive(Clone, Default)]
struct Receiver(Arc<Mutex<Vec<(MetadataMap, ExportTraceServiceRequest)>>>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        self.0.lock().unwrap().push((metadata, message));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Runs `openssl ARGS…` in a folder.
fn openssl(folder: &Path, args: &str) {
    let output = Command::new("openssl").args(args.split(' ')).current_dir(folder).output();
    let output = output.expect("openssl is installed, as whatever trusts certificates needs it");
    assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Receiver {
    /// A collector that listens, and its address.
    async fn listen() -> (Self, String) {
        let (receiver, address) = Self::serve(Server::builder()).await;
        (receiver, format!("http://{address}"))
    }

    /// One that shows a certificate for `localhost`, signed by the authority `ca.pem` of a folder.
    async fn listen_with_tls(folder: &Path) -> (Self, String) {
        let ec = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(folder, &format!("req -x509 {ec} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"));
        openssl(folder, &format!("req {ec} -subj /CN=localhost -keyout leaf.key -out leaf.csr"));
        std::fs::write(folder.join("extensions"), "subjectAltName=DNS:localhost\n").unwrap();
        let sign = "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out leaf.pem";
        openssl(folder, &format!("{sign} -extfile extensions"));
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        let tls = ServerTlsConfig::new().identity(Identity::from_pem(read("leaf.pem"), read("leaf.key")));
        let (receiver, address) = Self::serve(Server::builder().tls_config(tls).unwrap()).await;
        (receiver, format!("https://localhost:{}", address.port()))
    }

    async fn serve(mut server: Server) -> (Self, SocketAddr) {
        let receiver = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let service = TraceServiceServer::new(receiver.clone());
        tokio::spawn(server.add_service(service).serve_with_incoming(incoming));
        (receiver, address)
    }

    fn spans(&self) -> usize {
        let calls = self.0.lock().unwrap();
        let groups = calls.iter().flat_map(|(_, call)| &call.resource_spans).flat_map(|group| &group.scope_spans);
        groups.map(|scope| scope.spans.len()).sum()
    }

    /// A resource's attribute, as every call told it.
    fn resource(&self, key: &str) -> Vec<String> {
        let calls = self.0.lock().unwrap();
        let resources = calls.iter().flat_map(|(_, call)| &call.resource_spans).filter_map(|g| g.resource.as_ref());
        let attributes = resources.flat_map(|resource| &resource.attributes).filter(|a| a.key == key);
        let values = attributes.filter_map(|attribute| attribute.value.as_ref()?.value.clone());
        values.map(|value| if let Value::StringValue(text) = value { text } else { format!("{value:?}") }).collect()
    }
}

/// The example's words by their names, and its log.
async fn example(spans: usize, settings: &[(&str, &str)]) -> (HashMap<String, u64>, String) {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join("examples/spans");
    assert!(program.exists(), "{} is not there: `cargo test` without `--test` makes it", program.display());
    let mut command = Command::new(program);
    command.arg(spans.to_string()).envs(settings.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    let words = said.lines().filter_map(|line| line.split_once(' ')).map(|(k, v)| (k.to_owned(), v.parse().unwrap()));
    (words.collect(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_reach_a_collector_with_the_names_and_headers_of_the_environment() {
    let (receiver, url) = Receiver::listen().await;
    let settings = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url.as_str()),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=acme,authorization=Bearer%20abc"),
        ("OTEL_SERVICE_NAME", "renamed"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
    ];
    let (words, log) = example(1500, &settings).await;
    assert_eq!((words["sent"], words["dropped"], receiver.spans(), log.as_str()), (1500, 0, 1500, ""));
    for (key, value) in
        [("service.name", "renamed"), ("service.version", "1.2.3"), ("deployment.environment.name", "test")]
    {
        let told = receiver.resource(key);
        assert!(!told.is_empty() && told.iter().all(|t| t == value), "{key}: {told:?}");
    }
    let calls = receiver.0.lock().unwrap();
    for (headers, _) in &*calls {
        let told = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        assert_eq!((told("x-tenant"), told("authorization")), ("acme".to_owned(), "Bearer abc".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_is_held_to_the_authority_that_is_named() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (receiver, url) = Receiver::listen_with_tls(folder.path()).await;
    Receiver::listen_with_tls(other.path()).await;
    for (authority, sent) in [(folder.path(), 3), (other.path(), 0)] {
        let authority = authority.join("ca.pem");
        let certificate = ("OTEL_EXPORTER_OTLP_CERTIFICATE", authority.to_str().unwrap());
        let (words, log) = example(3, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url), certificate]).await;
        assert_eq!((words["sent"], log.as_str()), (sent, ""), "{words:?}");
    }
    assert_eq!(receiver.spans(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sampler_takes_its_share_of_the_traces_that_begin_here() {
    let (receiver, url) = Receiver::listen().await;
    let (sampler, share) = (("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.5"));
    let (words, _) = example(2000, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url), sampler, share]).await;
    // Fewer or more would be 13 standard deviations away.
    assert!((700..=1300).contains(&words["sent"]), "{words:?}");
    assert_eq!((words["sent"], words["dropped"]), (receiver.spans() as u64, 0));
    let off = ("OTEL_TRACES_SAMPLER", "always_off");
    let (words, _) = example(10, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url), off]).await;
    assert_eq!((words["sent"], words["dropped"]), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_hangs_takes_no_memory_and_no_time_and_what_is_lost_is_counted() {
    // It accepts connections and never says a word.
    let hanging = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", hanging.local_addr().unwrap());
    let (words, _) = example(50_000, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]).await;
    assert_eq!(words["sent"], 0);
    // The queue's bound, and the batch that is on its way.
    assert!((50_000 - 8192 - 512..=50_000 - 8192).contains(&words["dropped"]), "{words:?}");
    assert!(words["recorded_ms"] < 5_000 && words["stopped_ms"] < 4_000, "{words:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absent_collector_delays_the_end_by_a_bounded_time() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (words, _) = example(100, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{gone}"))]).await;
    assert_eq!(words["sent"], 0);
    assert!(words["stopped_ms"] < 4_000, "{words:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_cannot_be_followed_is_told() {
    let (_, log) = example(1, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:1")]).await;
    assert!(log.contains("setting_ignored") && log.contains("OTEL_EXPORTER_OTLP_CERTIFICATE"), "{log}");
    let (_, log) = example(1, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "not an address")]).await;
    assert!(log.contains("setting_ignored") && log.contains("not an address"), "{log}");
    let (words, log) =
        example(1, &[("OTEL_EXPORTER_OTLP_ENDPOINT", "not an address"), ("OTEL_SDK_DISABLED", "true")]).await;
    assert_eq!((words["sent"], words["dropped"], log.as_str()), (0, 0, ""));
}
