//! What user code in Docker cannot do: call what is refused, or reach what is not its own.

mod support;

use std::io::Read as _;

use support::{
    orchestrator::{Played, given},
    text,
};

const CALLS: &str = r#"
import ctypes, errno, os, platform, threading

libc = ctypes.CDLL(None, use_errno=True)
NUMBERS = {"x86_64": {"ptrace": 101, "process_vm_readv": 310}, "aarch64": {"ptrace": 117, "process_vm_readv": 270}}[platform.machine()]
NUMBERS.update(io_uring_setup=425, io_uring_enter=426, unshare=97 if platform.machine() == "aarch64" else 272)

def call(name: str) -> str:
    ctypes.set_errno(0)
    if libc.syscall(NUMBERS[name], *[ctypes.c_long(0)] * 6) == -1:
        return errno.errorcode[ctypes.get_errno()]
    return "done"

def namespace() -> str:
    ctypes.set_errno(0)
    return "done" if libc.syscall(NUMBERS["unshare"], ctypes.c_long(0x10000000)) == 0 else errno.errorcode[ctypes.get_errno()]

def works() -> int:
    found = []
    threads = [threading.Thread(target=found.append, args=(i,)) for i in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    return len(found) + os.system("true")

def sees() -> list[str]:
    return [name for name in ("/var/run/docker.sock", "/dev/kmsg", "/dev/mem") if os.path.exists(name)] + [
        line.split()[1] for line in open("/proc/self/status") if line.startswith("CapEff") and int(line.split()[1], 16)]
"#;

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_refused_are_refused_and_the_rest_works() {
    let Some(mut played) = Played::start("docker", &[]).await else { return };
    for name in ["ptrace", "process_vm_readv", "io_uring_setup", "io_uring_enter"] {
        let mut order = played.order(CALLS, "call", "str", &[]).await;
        given(&mut order, "name", name);
        assert_eq!(text(&played.through(&order).await.0), "\"EPERM\"", "{name}");
    }
    assert_eq!(text(&played.call(CALLS, "namespace", "str").await), "\"EPERM\"");
    assert_eq!(text(&played.call(CALLS, "works", "int").await), "8");
    assert_eq!(text(&played.call(CALLS, "sees", "list[str]").await), "[]");
    played.close().await;
}

const TALKS: &str = r#"
import socket, struct, time

def address() -> str:
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    probe.connect(("192.0.2.1", 9))
    return probe.getsockname()[0]

def serves() -> int:
    server = socket.create_server(("0.0.0.0", 7000))
    socket.create_connection((address(), 7000), 2).close()
    print(address(), flush=True)
    time.sleep(600)
    return 1

def gateway() -> str:
    for line in open("/proc/net/route"):
        fields = line.split()
        if fields[1] == "00000000":
            return socket.inet_ntoa(struct.pack("<L", int(fields[2], 16)))
    return ""

def reaches(host: str, port: int) -> str:
    try:
        socket.create_connection((host or gateway(), port), 3).close()
        return "reached"
    except OSError as error:
        return type(error).__name__
"#;

#[tokio::test(flavor = "multi_thread")]
async fn containers_with_a_network_reach_out_and_not_one_another() {
    let Some(mut played) = Played::start("docker", &["--egress-allow", "any"]).await else { return };
    let mut serves = played.order(TALKS, "serves", "int", &[]).await;
    serves.resources.network = true;
    let mut serving = played.begin(&serves).await;
    serving.started().await;
    while serving.lines.is_empty() {
        serving.wrote_some().await;
    }
    let neighbour = serving.lines[0].1.clone();

    // The host answers on the bridge, so it is the bridge that keeps the neighbour away.
    let host = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = host.local_addr().unwrap().port();
    let accepting = std::thread::spawn(move || host.accept().map(|(mut stream, _)| stream.read(&mut [0]).ok()));
    let mut said = Vec::new();
    for (address, port) in [("", port), (neighbour.as_str(), 7000)] {
        let mut order = played.order(TALKS, "reaches", "str", &[]).await;
        order.resources.network = true;
        given(&mut order, "host", address);
        given(&mut order, "port", port);
        said.push(text(&played.through(&order).await.0));
    }
    assert_eq!(said[0], "\"reached\"");
    assert_ne!(said[1], "\"reached\"");
    accepting.join().unwrap().unwrap();
    played.kill(serving.key, "cancelled").await;
    serving.ended().await;
    played.close().await;
}

/// Where this machine is reached from a container: what it says to be its address towards others.
fn own_address() -> Option<std::net::IpAddr> {
    // No packet is sent: the system only says which of its addresses it would use.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[tokio::test(flavor = "multi_thread")]
async fn private_addresses_are_kept_from_containers_but_for_those_that_are_listed() {
    let Some(own) = own_address() else { return };
    let listed = own.to_string();
    let Some(mut played) = Played::start("docker", &["--egress-allow", &listed]).await else { return };
    let host = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = host.local_addr().unwrap().port();
    let accepting = std::thread::spawn(move || host.accept().map(|(mut stream, _)| stream.read(&mut [0]).ok()));
    // The gateway is this machine as well, on an address that is private and not listed.
    let tried = [("", port), ("169.254.169.254", 80), ("10.0.0.1", 443), ("192.168.1.1", 443), (listed.as_str(), port)];
    let mut said = Vec::new();
    for (address, port) in tried {
        let mut order = played.order(TALKS, "reaches", "str", &[]).await;
        order.resources.network = true;
        given(&mut order, "host", address);
        given(&mut order, "port", port);
        said.push(text(&played.through(&order).await.0));
    }
    let kept = "\"PermissionError\"";
    assert_eq!(said, [kept, kept, kept, kept, "\"reached\""]);
    accepting.join().unwrap().unwrap();
    played.close().await;
}
