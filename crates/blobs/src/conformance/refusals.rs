//! What cannot be used is told when it is opened, with the setting's name and what to do. Real servers refuse here.

use std::{path::Path, process::Command, time::Duration};

use super::{Server, run};
use crate::{Blobs, Unopened, answers::Pace, s3::Settings};
use qflow_model::ids::Digest;

async fn told(settings: Settings, place: &str) -> String {
    let error = Blobs::open_with(&settings, place, None).await.expect_err("it cannot be used");
    error.to_string()
}

#[tokio::test]
async fn an_address_of_another_kind_is_refused() {
    for url in ["gs://bucket", "s3://", "file://", "file://relative", "/var/blobs", ""] {
        let error = Blobs::open(url, None).await.unwrap_err().to_string();
        assert_eq!(error, format!("QFLOW_BLOBS_URL `{url}` is neither file:///FOLDER nor s3://BUCKET[/PREFIX]"));
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_or_written_to_is_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let url = format!("file://{}/blobs", file.path().display());
    assert!(matches!(Blobs::open(&url, None).await, Err(Unopened::Folder { what: "made", .. })));
    // Not even root writes here.
    let error = Blobs::open("file:///proc", None).await.unwrap_err();
    assert_eq!(error.to_string(), "QFLOW_BLOBS_URL: the folder `/proc` cannot be written to");
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_told() {
    for server in [Server::get(), Server::strict()].into_iter().flatten() {
        let error = told(server.settings(&[]), "absent/prefix").await;
        assert!(error.contains("s3://absent/prefix"), "{error}");
        assert!(error.contains("there is no bucket `absent` at http://"), "{error}");
    }
}

#[tokio::test]
async fn wrong_credentials_are_told_by_the_names_of_their_settings() {
    let Some(server) = Server::strict() else { return };
    for wrong in [("AWS_SECRET_ACCESS_KEY", "wrong"), ("AWS_ACCESS_KEY_ID", "nobody")] {
        let error = told(server.settings(&[wrong]), "qflow").await;
        assert!(error.contains("refuses the credentials, those of AWS_ACCESS_KEY_ID and AWS_SECRET"), "{error}");
    }
}

#[tokio::test]
async fn an_endpoint_that_does_not_speak_s3_is_told() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let variables = [
        ("AWS_ENDPOINT_URL", format!("http://{nobody}")),
        ("AWS_ACCESS_KEY_ID", "id".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "key".to_owned()),
    ];
    let settings = Settings::read(variables.map(|(name, value)| (name.to_owned(), value)).into_iter()).ok().unwrap();
    let error = told(settings, "qflow").await;
    assert!(error.contains("look at AWS_ENDPOINT_URL, AWS_REGION, the network"), "{error}");
}

/// A certificate of its own authority for 127.0.0.1.
fn certificate(folder: &Path) -> [String; 2] {
    let paths = ["cert.pem", "key.pem"].map(|name| folder.join(name).display().to_string());
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=blobs"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-out", &paths[0], "-keyout", &paths[1]])
        .output();
    assert!(made.expect("openssl runs").status.success());
    paths
}

#[tokio::test]
async fn a_bucket_over_tls_is_known_by_the_bundle_and_only_by_it() {
    let folder = tempfile::tempdir().unwrap();
    let [cert, key] = certificate(folder.path());
    let Some(server) = Server::start(&["rclone", "--cert", &cert, "--key", &key]) else { return };
    let blobs = Blobs::open_with(&server.settings(&[]), "qflow/below", Some(Path::new(&cert))).await.unwrap();
    let digest = Digest::of(b"value");
    blobs.write(run(1), digest, "value").await.unwrap();
    assert_eq!(blobs.read(run(1), digest).await.unwrap(), "value");
    // Below its prefix, and no probe is left.
    let found: Vec<_> = std::fs::read_dir(server.bucket()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(found, ["below"]);
    assert_eq!(std::fs::read_dir(server.bucket().join("below")).unwrap().count(), 1);
    let [other, _] = certificate(folder.path());
    let error = Blobs::open_with(&server.settings(&[]), "qflow", Some(Path::new(&other))).await.unwrap_err();
    assert!(error.to_string().contains("QFLOW_CA_BUNDLE where it is TLS"), "{error}");
}

/// Says in a bucket's policy which of its keys nobody may write; nothing where all may be.
fn close(endpoint: &str, keys: Option<&str>) {
    let mut curl = Command::new("curl");
    let url = format!("{endpoint}/qflow?policy");
    curl.args(["-fsS", "-H", "content-type: application/json", &url]);
    match keys {
        Some(keys) => curl.args(["-X", "PUT", "-d"]).arg(format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny","Principal":"*","Action":"s3:PutObject",
                "Resource":"arn:aws:s3:::qflow/{keys}"}}]}}"#
        )),
        None => curl.args(["-X", "DELETE"]),
    };
    assert!(curl.output().expect("curl runs").status.success(), "the server takes a policy");
}

#[tokio::test]
async fn a_bucket_that_lists_and_takes_nothing_counts_as_away_until_it_takes_something() {
    let Some(server) = Server::start(&[]) else { return };
    let (blobs, endpoint) = (server.store(), server.endpoint());
    close(&endpoint, Some("t/*"));
    assert!(!blobs.any("runs").await.unwrap(), "it can be listed");
    let why = blobs.look().await.unwrap_err();
    assert!(why.contains("403"), "{why}");
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let pace = Pace { every: Duration::from_millis(20), writes: Duration::from_millis(200) };
    let answers = blobs.watched_at(pace, move |found| told.send(found.map_err(str::to_owned)).unwrap());
    assert_eq!(hears.recv().await, Some(Err(why.clone())));
    assert!(answers.is_away());
    close(&endpoint, None);
    assert_eq!(hears.recv().await, Some(Ok(())), "each look writes until the bucket takes it");
    // Then some of them do, so that one which is closed later is found as well.
    close(&endpoint, Some("t/*"));
    assert_eq!(hears.recv().await, Some(Err(why)));
    close(&endpoint, None);
    assert_eq!(hears.recv().await, Some(Ok(())));
    drop(answers);
    assert_eq!(hears.recv().await, None);
    assert_eq!(blobs.names("").await.unwrap(), Vec::<String>::new(), "a look leaves nothing");
}

#[tokio::test]
async fn a_server_that_takes_nothing_counts_as_away() {
    let Some(server) = Server::start(&["rclone", "--read-only"]) else { return };
    let blobs = server.store();
    assert!(!blobs.any("runs").await.unwrap(), "it can be listed");
    let why = blobs.look().await.unwrap_err();
    assert!(!why.is_empty(), "{why}");
}
