//! Images come from a registry where the daemon has none: here from one of the test's own, on loopback.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::Arc,
};

use qflow_container_runner::runtime::{Runtime, docker::DockerRuntime};
use qflow_model::ids::Digest;
use serde_json::json;

/// What a registry serves, by path: content type and bytes.
type Served = BTreeMap<String, (&'static str, Vec<u8>)>;

/// An image of one empty layer, under the tag `3.11-slim`.
fn image() -> Served {
    // The end of an archive: two blocks of zeros.
    let layer = vec![0_u8; 1024];
    let digest = |bytes: &[u8]| format!("sha256:{}", Digest::of(bytes));
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest(&layer)]},
        "history": [{"created_by": format!("a test of Qflow, process {}", std::process::id())}],
    });
    let config = config.to_string().into_bytes();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": config.len(), "digest": digest(&config)},
        "layers": [{
            "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": layer.len(), "digest": digest(&layer),
        }],
    });
    let manifest = manifest.to_string().into_bytes();
    let path = |kind: &str, name: &str| format!("/v2/qflow-python/{kind}/{name}");
    let manifest_type = "application/vnd.docker.distribution.manifest.v2+json";
    [
        ("/v2/".to_owned(), ("application/json", b"{}".to_vec())),
        (path("manifests", "3.11-slim"), (manifest_type, manifest.clone())),
        (path("manifests", &digest(&manifest)), (manifest_type, manifest)),
        (path("blobs", &digest(&config)), ("application/octet-stream", config)),
        (path("blobs", &digest(&layer)), ("application/octet-stream", layer)),
    ]
    .into()
}

/// Answers requests of one connection until it ends.
fn answer(stream: TcpStream, served: &Served) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut lines = BufReader::new(stream).lines();
    loop {
        let request = lines.next()?.ok()?;
        while !lines.next()?.ok()?.is_empty() {}
        let (method, path) = (request.split(' ').next()?, request.split(' ').nth(1)?);
        let (status, (kind, body)) = match served.get(path) {
            Some(found) => ("200 OK", found.clone()),
            None => ("404 Not Found", ("application/json", b"{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\"}]}".to_vec())),
        };
        let digest = Digest::of(&body);
        let length = body.len();
        write!(
            writer,
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nDocker-Content-Digest: sha256:{digest}\r\n\r\n"
        )
        .ok()?;
        if method != "HEAD" {
            writer.write_all(&body).ok()?;
        }
    }
}

/// Serves an image on loopback for as long as the test runs; its address.
fn registry() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let served = Arc::new(image());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let served = Arc::clone(&served);
            std::thread::spawn(move || answer(stream, &served));
        }
    });
    address
}

#[tokio::test]
async fn an_image_that_is_not_there_is_pulled_and_one_that_is_nowhere_is_told_by_its_name() {
    let versions = ["3.11".parse().unwrap()];
    let pattern = format!("{}/qflow-python:{{version}}-slim", registry());
    let mut docker = match DockerRuntime::connect(&pattern, &versions).await {
        Ok(docker) => docker,
        Err(error) => {
            assert!(std::env::var_os("QFLOW_REQUIRE_DOCKER").is_none(), "Docker must answer here: {error}");
            eprintln!("Docker does not answer: {error}");
            return;
        }
    };
    assert_eq!(docker.pythons(), []);
    docker.pull(&pattern, versions[0]).await.unwrap();
    assert_eq!(docker.pythons(), versions);
    assert!(docker.image(versions[0]).await.unwrap().starts_with("sha256:"));
    let error = docker.pull(&pattern, "3.12".parse().unwrap()).await.unwrap_err().to_string();
    assert!(error.contains("qflow-python:3.12-slim"), "{error}");
    let removed = std::process::Command::new("docker").args(["rmi", &pattern.replace("{version}", "3.11")]).output();
    assert!(removed.unwrap().status.success());
}
