//! Listeners and channels over TLS: each end is held to an authority. Certificates come from the openssl program.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod support;

use std::{path::Path, process::Command};

use qflow_proto::v1::{HealthGetRequest, health_aggregator_service_client::HealthAggregatorServiceClient};
use qflow_service::{AuthedChannel, ServeOptions, tls_channel};
use support::Serving;
use tonic::{
    Code, Status,
    transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig},
};

/// Runs `openssl ARGS…` in a folder.
fn openssl(folder: &Path, args: &str) {
    let output = Command::new("openssl").args(args.split(' ')).current_dir(folder).output();
    let output = output.expect("openssl is installed, as whatever trusts certificates needs it");
    assert!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
}

/// An authority in a folder of its own.
struct Authority(tempfile::TempDir);

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let args = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=authority \
                    -keyout ca.key -out ca.pem";
        openssl(folder.path(), args);
        Self(folder)
    }

    fn certificate(&self) -> Certificate {
        Certificate::from_pem(std::fs::read(self.0.path().join("ca.pem")).unwrap())
    }

    /// A certificate and its key for `name`.
    fn sign(&self, name: &str) -> Identity {
        let folder = self.0.path();
        std::fs::write(folder.join("extensions"), format!("subjectAltName=DNS:{name}\n")).unwrap();
        let request = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout leaf.key -out leaf.csr";
        openssl(folder, &format!("{request} -subj /CN={name}"));
        let sign = "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -out leaf.pem";
        openssl(folder, &format!("{sign} -extfile extensions"));
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        Identity::from_pem(read("leaf.pem"), read("leaf.key"))
    }
}

/// A service that asks its callers for a certificate of `callers`.
async fn serve(ours: &Authority, callers: &Authority) -> Serving {
    let tls = ServerTlsConfig::new().identity(ours.sign("localhost")).client_ca_root(callers.certificate());
    let serving = Serving::start(ServeOptions { tls: Some(tls), ..ServeOptions::default() }).await;
    serving.slow.let_go.add_permits(10);
    serving
}

fn dial(serving: &Serving, tls: ClientTlsConfig) -> AuthedChannel {
    let url = format!("https://{}", serving.address);
    tls_channel(&url, None, tls.domain_name("localhost")).unwrap()
}

async fn get(channel: AuthedChannel) -> Result<(), Status> {
    HealthAggregatorServiceClient::new(channel).get(HealthGetRequest {}).await.map(drop)
}

#[tokio::test]
async fn a_caller_with_a_certificate_of_the_right_authority_is_served() {
    let (servers, callers) = (Authority::new(), Authority::new());
    let serving = serve(&servers, &callers).await;
    let tls = ClientTlsConfig::new().ca_certificate(servers.certificate()).identity(callers.sign("runner"));
    get(dial(&serving, tls)).await.unwrap();
}

#[tokio::test]
async fn a_caller_without_a_certificate_or_with_a_foreign_one_is_refused() {
    let (servers, callers) = (Authority::new(), Authority::new());
    let serving = serve(&servers, &callers).await;
    let bare = ClientTlsConfig::new().ca_certificate(servers.certificate());
    let foreign = bare.clone().identity(servers.sign("runner"));
    for tls in [bare, foreign] {
        let error = get(dial(&serving, tls)).await.unwrap_err();
        assert!(matches!(error.code(), Code::Unavailable | Code::Unknown | Code::Internal), "{error}");
    }
    assert_eq!(serving.slow.entered.available_permits(), 0, "no call came through");
}

#[tokio::test]
async fn a_server_of_another_authority_or_name_is_not_called() {
    let (servers, callers) = (Authority::new(), Authority::new());
    let serving = serve(&servers, &callers).await;
    let mine = callers.sign("runner");
    let other = ClientTlsConfig::new().ca_certificate(callers.certificate()).identity(mine.clone());
    assert_eq!(get(dial(&serving, other)).await.unwrap_err().code(), Code::Unavailable);
    let url = format!("https://{}", serving.address);
    let named = ClientTlsConfig::new().ca_certificate(servers.certificate()).identity(mine).domain_name("elsewhere");
    let channel = tls_channel(&url, None, named).unwrap();
    assert_eq!(get(channel).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(serving.slow.entered.available_permits(), 0, "no call came through");
}
