//! An S3 server of a test's own.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use crate::during::During;

/// A server that ends with the test.
pub struct S3(During);

/// The script's word for a server whose objects are files.
const LASTING: [&str; 1] = ["rclone"];

impl S3 {
    /// Starts one; nothing where none is installed and none is required.
    pub fn start() -> Option<Self> {
        During::start("s3", &[]).map(Self)
    }

    /// The same of one whose objects outlive it, see [`Self::stop`]. It knows no ranges.
    pub fn lasting() -> Option<Self> {
        During::start("s3", &LASTING).map(Self)
    }

    /// Ends a server that is to come back; its objects stay.
    pub fn stop(&self) {
        self.0.script("down", &[]);
    }

    /// Has it come back.
    pub fn again(&self) {
        self.0.script("up", &LASTING);
    }

    /// What a service's environment must say to keep its blobs here, below a prefix.
    pub fn settings(&self) -> Vec<(String, String)> {
        let text = std::fs::read_to_string(self.0.folder.join("settings")).expect("the script writes it");
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
