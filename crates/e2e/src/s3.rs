//! An S3 server of a test's own.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// A server that ends with the test, however that ends: it reads from it until then.
pub struct S3 {
    folder: PathBuf,
    script: Child,
}

/// The script's word for a server whose objects are files.
const LASTING: [&str; 1] = ["rclone"];
/// What the script ends with where there is nothing to start.
const MISSING: i32 = 3;

impl S3 {
    /// Starts one; nothing where none is installed and none is required.
    pub fn start() -> Option<Self> {
        Self::of(&[])
    }

    /// The same of one whose objects outlive it, see [`Self::stop`]. It knows no ranges.
    pub fn lasting() -> Option<Self> {
        Self::of(&LASTING)
    }

    fn of(kind: &[&str]) -> Option<Self> {
        let folder =
            tempfile::Builder::new().prefix("qflow-s3-").tempdir_in("/tmp").expect("/tmp takes folders").keep();
        let mut script = Command::new(super::root().join("deploy/local/s3"));
        script.arg("during").arg(&folder).args(kind).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = script.spawn().expect("the script starts");
        let mut said = String::new();
        let stdout = script.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut said).expect("the script speaks");
        if said.trim() == "ready" {
            return Some(Self { folder, script });
        }
        let ended = script.wait().expect("a child can be waited for");
        assert_eq!(ended.code(), Some(MISSING), "the S3 server does not start: what it said stands above");
        assert!(std::env::var_os("QFLOW_REQUIRE_S3").is_none(), "an S3 server is required, and not installed");
        eprintln!("skipped: no S3 server here, see deploy/local/s3");
        None
    }

    /// Ends a server that is to come back; its objects stay.
    pub fn stop(&self) {
        self.script("down", &[]);
    }

    /// Has it come back.
    pub fn again(&self) {
        self.script("up", &LASTING);
    }

    fn script(&self, verb: &str, kind: &[&str]) {
        let mut script = Command::new(super::root().join("deploy/local/s3"));
        let output = script.arg(verb).arg(&self.folder).args(kind).output().expect("the script starts");
        assert!(output.status.success(), "{}", super::said(&output));
    }

    /// What a service's environment must say to keep its blobs here, below a prefix.
    pub fn settings(&self) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.folder.join("settings")).expect("the script writes it");
        let named = text.lines().filter_map(|line| line.split_once('='));
        let url = ("QFLOW_BLOBS_URL", "s3://qflow/team/blobs");
        named.chain([url]).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// Keys of objects below a folder of that prefix, at most a thousand of them.
    pub fn objects(&self, below: &str) -> Vec<String> {
        let url =
            self.settings().into_iter().find(|(name, _)| name == "AWS_ENDPOINT_URL").expect("it has an address").1;
        let host = url.strip_prefix("http://").expect("it is on this machine");
        let mut server = TcpStream::connect(host).expect("it listens");
        let asked = format!("GET /qflow?list-type=2&prefix=team/blobs/{below} HTTP/1.0\r\nHost: {host}\r\n\r\n");
        server.write_all(asked.as_bytes()).expect("it takes a request");
        let mut answer = String::new();
        server.read_to_string(&mut answer).expect("it answers");
        assert!(answer.contains("<ListBucketResult"), "{answer}");
        let keys = answer.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next());
        keys.map(str::to_owned).collect()
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        drop(self.script.wait());
    }
}
