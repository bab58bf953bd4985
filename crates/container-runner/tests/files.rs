//! Files and folders between attempts, on both runtimes: read-only where they are read, and held whole by no process on the way.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::{collections::BTreeMap, sync::Arc};

use qflow_container_runner::runtime::Runtime;
use qflow_model::{definition::Resources, outcome::Outcome, value::Argument};
use support::{Bench, docker, failure, folder, literal, processes, produced, text};

const SOURCE: &str = r#"
import hashlib, os, qflow

def write(mib: int) -> qflow.File:
    """As a program writes it that never holds it whole."""
    piece = os.urandom(1 << 20)
    with open("data.bin", "wb") as out:
        for number in range(mib):
            out.write(number.to_bytes(8, "big") + piece[8:])
    return qflow.File("data.bin")

def read(file: qflow.File) -> list:
    digest, size = hashlib.sha256(), 0
    with open(file, "rb") as source:
        while True:
            piece = source.read(1 << 20)
            if not piece:
                break
            digest.update(piece)
            size += len(piece)
    try:
        with open(file, "r+b"):
            writable = os.geteuid() != 0
    except OSError:
        writable = False
    return [file.name, size, digest.hexdigest(), writable]

def look() -> dict[str, int]:
    """Peak memory of the processes that attempts are forked from, in KiB."""
    pid, peaks = os.getppid(), {}
    for name in ("template", "zygote"):
        with open("/proc/%d/status" % pid) as status:
            told = dict(line.split(":", 1) for line in status)
        peaks[name], pid = int(told["VmHWM"].split()[0]), int(told["PPid"])
    return peaks

def pack() -> qflow.Folder:
    os.makedirs("out/deep")
    for number in range(3):
        with open("out/deep/%d.txt" % number, "w") as out:
            out.write(str(number) * (number * 100000 + 1))
    os.chmod("out/deep/2.txt", 0o755)
    return qflow.Folder("out")

def unpack(folder: qflow.Folder) -> list:
    found = sorted(os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names)
    sizes = [os.path.getsize(folder / name) for name in found]
    try:
        open(folder / "new", "w")
        added = os.geteuid() != 0 and os.access(folder, os.W_OK)
    except OSError:
        added = False
    return [type(folder).__name__, folder.name, found, sizes, os.access(folder / "deep/2.txt", os.X_OK), added]

def again(file: qflow.File) -> qflow.File:
    return file

def everything(files: list[qflow.File], data: bytes) -> list:
    return [[file.name for file in files], len(data)]

def bytes_(mib: int) -> bytes:
    return b"x" * (mib << 20)

def long() -> qflow.File:
    with open("long", "wb") as out:
        out.truncate((1 << 30) + 1)
    return qflow.File("long")
"#;

/// What a process may take for pieces on their way: a few frames, and the allocator's own.
const PIECES_KIB: u64 = 24 << 10;

fn value(outcome: &Outcome) -> Argument {
    Argument::Value { value: produced(outcome).value.clone(), element: None, path: vec![] }
}

async fn give(bench: &mut Bench, mib: u64) -> Outcome {
    let mut order = bench.order("write", "File", &[("mib", literal(mib))]).await;
    order.resources = roomy(mib);
    bench.run(order).await.0
}

/// A container in which so much can be written: what is in `/tmp` counts as its memory.
fn roomy(mib: u64) -> Resources {
    let default = Resources::default();
    Resources {
        tmp_bytes: default.tmp_bytes.max((mib + 64) << 20),
        memory_bytes: default.memory_bytes.max((mib + 256) << 20),
        ..default
    }
}

async fn take(bench: &mut Bench, file: Argument, like: &Resources) -> (Outcome, Vec<serde_json::Value>) {
    let mut order = bench.order("read", "list", &[("file", file)]).await;
    order.resources = like.clone();
    let outcome = bench.run(order).await.0;
    let told = serde_json::from_str(&text(&outcome)).unwrap();
    (outcome, told)
}

/// Peak memory of this process, which is the runner, in KiB; counted anew from `reset` on.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().trim().parse().unwrap()
}

fn reset() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// Peaks in KiB of all that a file of `mib` MiB goes through, by name.
async fn peaks(bench: &mut Bench, mib: u64) -> BTreeMap<String, u64> {
    reset();
    let before = peak();
    let written = give(bench, mib).await;
    let attachment = &produced(&written).value.attachments[0];
    assert_eq!((attachment.size, attachment.kind.as_str()), (mib << 20, "file"));
    let (read, told) = take(bench, value(&written), &roomy(mib)).await;
    assert_eq!(
        told,
        [serde_json::json!("data.bin"), (mib << 20).into(), attachment.digest.to_string().into(), false.into()]
    );
    let runner = peak() - before;
    let mut look = bench.order("look", "dict[str, int]", &[]).await;
    look.resources = roomy(mib);
    let looked = bench.run(look).await.0;
    let mut peaks: BTreeMap<String, u64> = serde_json::from_str(&text(&looked)).unwrap();
    peaks.insert("runner, more than before".into(), runner);
    peaks.insert("child that writes".into(), written.peak_memory_bytes >> 10);
    peaks.insert("child that reads".into(), read.peak_memory_bytes >> 10);
    peaks
}

async fn memory_does_not_grow_with_a_file(bench: &mut Bench) {
    let large = if std::env::var_os("QFLOW_LARGE").is_some() { 1024 } else { 64 };
    // The first that goes through makes every process as large as it gets.
    let small = peaks(bench, 8).await;
    let large_peaks = peaks(bench, large).await;
    eprintln!("{}: KiB for 8 MiB: {small:?}; for {large} MiB: {large_peaks:?}", bench.runner.runtime.name());
    for (name, peak) in &large_peaks {
        let more = peak.saturating_sub(small[name]);
        assert!(more < PIECES_KIB, "{name}: {more} KiB more for {large} MiB than for 8: {small:?}, {large_peaks:?}");
    }
}

async fn a_file_comes_by_its_name_and_goes_on(bench: &mut Bench) {
    let written = give(bench, 1).await;
    let order = bench.order("again", "File", &[("file", value(&written))]).await;
    let again = bench.run(order).await.0;
    assert_eq!(produced(&again).value.attachments, produced(&written).value.attachments);
    let order = bench.order("bytes_", "bytes", &[("mib", literal(3))]).await;
    let bytes = bench.run(order).await.0;
    let files = Argument::List(vec![value(&written), value(&again)]);
    let order = bench.order("everything", "list", &[("files", files), ("data", value(&bytes))]).await;
    let told = bench.run(order).await.0;
    assert_eq!(text(&told), r#"[["data.bin","data.bin"],3145728]"#);
}

async fn a_folder_comes_whole_and_read_only(bench: &mut Bench) {
    let order = bench.order("pack", "Folder", &[]).await;
    let packed = bench.run(order).await.0;
    assert_eq!(produced(&packed).value.attachments[0].kind, "folder");
    let order = bench.order("unpack", "list", &[("folder", value(&packed))]).await;
    let told = bench.run(order).await.0;
    let files = r#"["Folder","out",["deep/0.txt","deep/1.txt","deep/2.txt"],[1,100001,200001],true,false]"#;
    assert_eq!(text(&told), files);
}

async fn a_file_past_the_bound_is_told(bench: &mut Bench) {
    let mut order = bench.order("long", "File", &[]).await;
    order.resources = roomy(1024);
    let outcome = bench.run(order).await.0;
    assert_eq!(failure(&outcome).error_type, "output_size");
    assert!(failure(&outcome).message.contains("1073741825 bytes, where 1073741824 are allowed"));
}

fn nothing_is_left_of_what_was_laid_out(bench: &Bench) {
    let contents = bench.folder.join("runner/contents");
    assert_eq!(std::fs::read_dir(contents).unwrap().count(), 0);
    for container in std::fs::read_dir(bench.folder.join("run")).unwrap() {
        let left = std::fs::read_dir(container.unwrap().path()).unwrap().map(|e| e.unwrap().file_name());
        let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with("in-")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

async fn holds(runtime: Arc<dyn Runtime>, folder: std::path::PathBuf) {
    let mut bench = Bench::new(runtime, folder, SOURCE);
    memory_does_not_grow_with_a_file(&mut bench).await;
    a_file_comes_by_its_name_and_goes_on(&mut bench).await;
    a_folder_comes_whole_and_read_only(&mut bench).await;
    a_file_past_the_bound_is_told(&mut bench).await;
    nothing_is_left_of_what_was_laid_out(&bench);
    bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_move_files() {
    let folder = folder();
    holds(processes(&folder).await, folder).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_moves_files() {
    let Some(docker) = docker().await else { return };
    holds(docker, folder()).await;
}
