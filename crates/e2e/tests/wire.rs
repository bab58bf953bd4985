//! What goes between a client and a server, counted on its way: compressed where that was asked for, and the same at both ends.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use qflow_e2e::{Home, Served, object, root, said};
use qflow_proto::v1::{
    RegisterWorkflowRequest, Source, SourceFile, orchestrator_service_client::OrchestratorServiceClient,
};
use tonic::{Request, codec::CompressionEncoding, metadata::MetadataValue, transport::Channel};

/// Bytes of the file that goes there and back.
const FILE_BYTES: u64 = 12 << 20;

/// Passes connections on to a server, and counts.
struct Wire {
    url: String,
    there: Arc<AtomicU64>,
    back: Arc<AtomicU64>,
}

impl Wire {
    fn to(server: &str) -> Self {
        let server = server.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound socket has an address"));
        let (there, back) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let counts = (Arc::clone(&there), Arc::clone(&back));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(&server).expect("the server listens");
                let ends = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
                let counts = (Arc::clone(&counts.0), Arc::clone(&counts.1));
                std::thread::spawn(move || pass(client, server, &counts.0));
                std::thread::spawn(move || pass(ends.1, ends.0, &counts.1));
            }
        });
        Self { url, there, back }
    }

    /// The bytes that went there and back since the last look.
    fn counted(&self) -> (u64, u64) {
        (self.there.swap(0, Ordering::Relaxed), self.back.swap(0, Ordering::Relaxed))
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, counted: &AtomicU64) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        counted.fetch_add(read as u64, Ordering::Relaxed);
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    to.shutdown(Shutdown::Write).ok();
}

#[test]
fn a_client_elsewhere_sends_and_fetches_compressed_content() {
    let served = Served::new(Home::new("process"));
    let told = std::fs::read_to_string(served.home.path().join("data/server.json")).expect("it serves");
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    let wire = Wire::to(told["http"].as_str().expect("an address"));

    let text: String =
        (0..FILE_BYTES / 32).map(|row| format!("{row:>8},tea,{:>7},2026-11-26\n", row * 7919 % 1_000_003)).collect();
    assert_eq!(text.len() as u64, FILE_BYTES);
    let folder = tempfile::tempdir().expect("a folder");
    let (file, out) = (folder.path().join("rows.csv"), folder.path().join("out.csv"));
    std::fs::write(&file, &text).expect("it takes files");
    let case = root().join("crates/e2e/cases/given/contents.py").display().to_string();
    let given = format!("x=@{}", file.display());
    let qflow = |compress: &str, args: &[&str]| {
        let mut command = served.home.qflow(args);
        command.env("QFLOW_SERVER", &wire.url).env("QFLOW_COMPRESS", compress).output().expect("qflow starts")
    };
    for (compress, share) in [("never", 1.0), ("auto", 1.0), ("always", 0.5)] {
        let ran = object(&qflow(compress, &["run", &case, "-w", "back", "-p", &given, "-o", "json"]), 0);
        assert_eq!(ran["status"], "completed", "{ran:#}");
        let (there, _) = wire.counted();
        let run = ran["run_id"].as_str().expect("a run has an id");
        let fetched = qflow(compress, &["runs", "result", run, "--force", "--out", out.to_str().expect("UTF-8")]);
        assert!(fetched.status.success(), "{}", said(&fetched));
        assert!(std::fs::read_to_string(&out).expect("it is there") == text, "{compress}: it is what was sent");
        let (_, back) = wire.counted();
        println!("{compress}: {there} bytes there, {back} back, of {FILE_BYTES}");
        for bytes in [there, back] {
            let whole = bytes as f64 / FILE_BYTES as f64;
            assert!(if share < 1.0 { whole < share } else { whole >= share }, "{compress}: {bytes} of {FILE_BYTES}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_unpacks_to_more_than_a_message_is_refused() {
    let served = Served::new(Home::new("process"));
    let read = |name: &str| std::fs::read_to_string(served.home.path().join("data").join(name)).expect("it serves");
    let told: serde_json::Value = serde_json::from_str(&read("server.json")).expect("JSON");
    let channel = Channel::from_shared(told["http"].as_str().expect("an address").to_owned()).expect("an address");
    let token = format!("Bearer {}", read("token").trim()).parse().expect("a token is of ASCII");
    let known = move |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", MetadataValue::clone(&token));
        Ok(request)
    };
    let channel = channel.connect().await.expect("it listens");
    let mut client =
        OrchestratorServiceClient::with_interceptor(channel, known).send_compressed(CompressionEncoding::Zstd);
    let mut register = async |bytes: usize| {
        // What packs to next to nothing.
        let file = SourceFile { path: "a.py".to_owned(), text: " ".repeat(bytes) };
        let source = Some(Source { entry: "a.py".to_owned(), files: vec![file] });
        client.register_workflow(RegisterWorkflowRequest { source }).await.map(drop)
    };
    assert!(register(1 << 10).await.is_ok(), "within the bound it is taken");
    let refused = register(64 << 20).await.expect_err("it is too large");
    assert!(refused.message().contains("size limit, of 4194304 bytes, exceeded"), "{refused:?}");
}
