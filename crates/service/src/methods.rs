//! The gRPC methods that there are, from the descriptors: what may label a metric, and which services a router serves.

use std::{collections::BTreeSet, sync::LazyLock};

use axum::{Router, body::Body, middleware::from_fn};
use http::{Request, StatusCode};
use prost::Message as _;
use prost_types::{FileDescriptorSet, MethodDescriptorProto};
use tower::ServiceExt as _;

/// What a method that nobody described is called: the caller's own text is never a label.
const OTHER: &str = "_OTHER";

/// By which a service is asked whether it serves.
const CHECK: &str = "/grpc.health.v1.Health/Check";

/// Paths that need no token, exactly: who may reach the address may ask whether it serves, and what.
const EXEMPT: [&str; 3] =
    [CHECK, "/grpc.health.v1.Health/Watch", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"];

/// Whether a path needs no token.
pub(crate) fn is_exempt(path: &str) -> bool {
    EXEMPT.contains(&path)
}

/// Whether a path asks whether the service serves.
pub(crate) fn is_health(path: &str) -> bool {
    path == CHECK
}

/// The value of `rpc_method` for a path: `package.Service/Method`.
pub(crate) fn label(path: &str) -> &'static str {
    path.strip_prefix('/').and_then(|path| all().get(path)).map_or(OTHER, String::as_str)
}

/// Every method that is described.
fn all() -> &'static BTreeSet<String> {
    static METHODS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let sets = [
            qflow_proto::DESCRIPTORS,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        ];
        sets.into_iter().flat_map(described).collect()
    });
    &METHODS
}

/// Whether a path lies below a service that is described, whatever method it names: `/package.Service/…`.
pub(crate) fn is_of_service(path: &str) -> bool {
    static SERVICES: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let service = |method: &String| method.split_once('/').map(|(service, _)| service.to_owned());
        all().iter().filter_map(service).collect()
    });
    let service = path.strip_prefix('/').and_then(|path| path.split('/').next());
    service.is_some_and(|service| SERVICES.contains(service))
}

/// Whether a method is answered only once all that streams in has come: its answer takes as long as that.
pub(crate) fn streams_in(method: &str) -> bool {
    static STREAMS_IN: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let streams = |method: &MethodDescriptorProto| method.client_streaming() && !method.server_streaming();
        methods(qflow_proto::DESCRIPTORS, streams)
    });
    STREAMS_IN.contains(method)
}

/// Whether a method copies files of any size before it is answered.
pub(crate) fn starts(method: &str) -> bool {
    method == "qflow.v1.OrchestratorService/StartRun"
}

/// The methods of a set of descriptors; a set that cannot be read, which reflection reports, has none.
fn described(set: &[u8]) -> BTreeSet<String> {
    methods(set, |_| true)
}

fn methods(set: &[u8], which: impl Fn(&MethodDescriptorProto) -> bool + Copy) -> BTreeSet<String> {
    let files = FileDescriptorSet::decode(set).unwrap_or_default().file;
    let of_file = |file: prost_types::FileDescriptorProto| {
        let package = file.package().to_owned();
        file.service.into_iter().flat_map(move |service| {
            let name = format!("{package}.{}", service.name());
            let kept = service.method.into_iter().filter(move |method| which(method));
            kept.map(move |method| format!("{name}/{}", method.name()))
        })
    };
    files.into_iter().flat_map(of_file).collect()
}

/// The described services that a router serves, by asking it without entering any.
pub(crate) async fn served(router: &Router) -> BTreeSet<String> {
    let methods = described(qflow_proto::DESCRIPTORS);
    let services: BTreeSet<&str> = methods.iter().filter_map(|method| Some(method.split_once('/')?.0)).collect();
    // A layer of routes stands before those only, and not before what answers where there is none.
    let probe = router.clone().route_layer(from_fn(async |_: axum::extract::Request, _| StatusCode::NO_CONTENT));
    let mut served = BTreeSet::new();
    for service in services {
        let request = Request::post(format!("/{service}/-")).body(Body::empty()).unwrap_or_default();
        let Ok(answer) = probe.clone().oneshot(request).await;
        if answer.status() == StatusCode::NO_CONTENT {
            served.insert(service.to_owned());
        }
    }
    served
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_described_methods_are_labels() {
        for method in [
            "qflow.v1.OrchestratorService/StartRun",
            "qflow.v1.HealthAggregatorService/Watch",
            "grpc.health.v1.Health/Check",
            "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        ] {
            assert_eq!(label(&format!("/{method}")), method);
        }
        for other in
            ["/qflow.v1.OrchestratorService/Nope", "/qflow.v1.OrchestratorService/", "qflow.v1.X/Y", "/", "", "/a/b/c"]
        {
            assert_eq!(label(other), OTHER, "{other}");
        }
    }

    #[test]
    fn only_what_is_answered_after_its_stream_streams_in() {
        assert!(streams_in("qflow.v1.OrchestratorService/UploadBlob"));
        for other in ["qflow.v1.OrchestratorService/StartRun", "qflow.v1.DispatchService/Work", OTHER] {
            assert!(!streams_in(other), "{other}");
        }
        assert!(starts(label("/qflow.v1.OrchestratorService/StartRun")), "there is such a method");
    }

    #[test]
    fn every_exempt_path_is_a_method_that_there_is() {
        for path in EXEMPT {
            assert_ne!(label(path), OTHER, "{path}");
        }
        assert!(!is_exempt("/grpc.health.v1.Health/Check/") && !is_exempt("/grpc.health.v1.Health/check"));
        assert!(!is_exempt("/grpc.health.v1.Health/") && !is_exempt("/qflow.v1.OrchestratorService/StartRun"));
    }
}
