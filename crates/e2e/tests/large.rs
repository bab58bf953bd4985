//! A gigabyte goes in, through a node and out again, and no service holds more of it than a few pieces. For `make test-stack`: it takes its
//! time.

use std::{
    fs::File,
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    process::Command,
};

use qflow_e2e::{Cluster, S3, object, root, said};
use qflow_model::limits::VALUE_BYTES;

const MIB: u64 = 1 << 20;
/// By how much a process may grow over what a file of [`SMALL`] took it to: parts that are under way at once, and what an allocator keeps.
const GROWS: u64 = 64 * MIB;
/// Several parts of an upload, so that all that is ever needed has been needed.
const SMALL: u64 = 32 * MIB;
/// Through a server whose own copies are in memory.
const IN_BUCKET: u64 = 256 * MIB;
/// What a runner keeps of an attempt that is over: its journal and lines.
const LEFT: u64 = 4 * MIB;

/// Programs that the content goes through.
const PARTS: [&str; 4] = ["orchestrator-1", "orchestrator-2", "runner-1", "runner-2"];

/// Calls a program; the most memory that it took, told behind all that it says.
const MEASURED: &str = "
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, file=sys.stderr)
sys.exit(code)";

/// The most memory that a part has had so far.
fn peak(cluster: &Cluster, part: &str) -> u64 {
    let pid = std::fs::read_to_string(cluster.path().join(format!("{part}.pid"))).expect("it was started");
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).expect("it runs");
    let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    kib.map(|kib: u64| kib * 1024).expect("the kernel tells it")
}

/// Bytes below a folder.
fn bytes_in(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => bytes_in(&entry.path()),
        Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |file| file.len()),
        _ => 0,
    };
    entries.map(size).sum()
}

/// `qflow ARGS…`, what it wrote and the most memory that it took.
fn measured(cluster: &Cluster, args: &[&str]) -> (std::process::Output, u64) {
    let qflow = cluster.qflow(1, args);
    let mut python = Command::new("python3");
    python.args(["-c", MEASURED]).arg(qflow.get_program()).args(qflow.get_args()).current_dir(root());
    python.envs(qflow.get_envs().filter_map(|(name, value)| Some((name, value?)))).env_remove("QFLOW_TOKEN");
    let output = python.output().expect("python3 starts");
    assert!(output.status.success(), "{}", said(&output));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let peak = told.lines().last().and_then(|line| line.parse().ok());
    (output, peak.expect("the last line is the most that it took"))
}

/// A file that differs from block to block; most of it costs no disk.
fn write(path: &Path, bytes: u64) {
    let mut file = File::create(path).expect("the folder is ours");
    file.set_len(bytes).expect("there is room");
    for at in (0..bytes).step_by(MIB as usize / 4) {
        file.seek(SeekFrom::Start(at)).expect("a file can be sought in");
        file.write_all(&at.to_be_bytes()).expect("there is room");
    }
}

/// Whether a file is the other with its first bytes turned.
fn is_turned(path: &Path, from: &Path) -> bool {
    let (mut a, mut b) = (File::open(path).expect("it was fetched"), File::open(from).expect("it is ours"));
    let (mut one, mut other) = (vec![0; MIB as usize], vec![0; MIB as usize]);
    let mut first = true;
    loop {
        let (count, wanted) = (a.read(&mut one).expect("it can be read"), b.read(&mut other).expect("it can be read"));
        if std::mem::take(&mut first) {
            other[..16].iter_mut().for_each(|byte| *byte = 255 - *byte);
        }
        if count != wanted || one[..count] != other[..wanted] {
            return false;
        }
        if count == 0 {
            return true;
        }
    }
}

/// Sends a file of so many bytes through the cluster and back; the most that the two calls of the client took.
fn turn(cluster: &Cluster, bytes: u64) -> [u64; 2] {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, out) = (folder.path().join("in.bin"), folder.path().join("out.bin"));
    write(&path, bytes);
    let case = root().join("crates/e2e/cases/blobs/turned.py").display().to_string();
    let file = format!("file=@{}", path.display());
    let (ran, sent) = measured(cluster, &["run", &case, "-p", &file, "-o", "json"]);
    let run = object(&ran, 0);
    assert_eq!(run["status"], "completed", "{run:#}");
    let id = run["run_id"].as_str().expect("a run has an id");
    let (_, fetched) = measured(cluster, &["runs", "result", id, "--out", out.to_str().expect("a UTF-8 path")]);
    assert!(is_turned(&out, &path), "what came back is what was made");
    [sent, fetched]
}

/// The same of a small one and then a large one: nobody is larger for it, and metrics tell which class the large one was of.
fn is_flat(settings: Vec<(String, String)>, bytes: u64, class: &str) {
    let cluster = Cluster::with("process", settings);
    let small = turn(&cluster, SMALL);
    let before = PARTS.map(|part| peak(&cluster, part));
    let large = turn(&cluster, bytes);
    let after = PARTS.map(|part| peak(&cluster, part));
    for (part, (before, after)) in PARTS.iter().zip(before.into_iter().zip(after)) {
        println!("{part}: {} MiB, then {} MiB", before / MIB, after / MIB);
        assert!(after <= before + GROWS, "{part} grew from {before} to {after} bytes");
    }
    for (call, (small, large)) in ["run", "result"].iter().zip(small.into_iter().zip(large)) {
        println!("qflow {call}: {} MiB, {} MiB", small / MIB, large / MIB);
        assert!(large <= small + GROWS, "`qflow {call}` took {large} bytes, and {small} for a small one");
    }
    let told = ["ra1", "ra2"].map(|admin| cluster.metrics(admin)).concat();
    let name = "qflow_data_serialization_duration_seconds_count{";
    let of_class = |line: &&str| line.starts_with(name) && line.contains(class) && !line.ends_with(" 0");
    let sizes: Vec<&str> = told.lines().filter(|line| line.starts_with(name)).collect();
    assert!(sizes.iter().any(of_class), "{class} in {sizes:?}");
    let folder = cluster.path().to_owned();
    for runner in ["runner-1", "runner-2", "run-runner-1", "run-runner-2"] {
        let left = bytes_in(&folder.join(runner));
        assert!(left <= LEFT, "{runner} keeps {left} bytes of an attempt that is over");
    }
    drop(cluster);
    assert!(!folder.exists(), "nothing of it is left");
}

#[test]
fn a_gibibyte_through_a_folder_takes_no_more_memory_than_a_small_file() {
    is_flat(Vec::new(), VALUE_BYTES, "gt_256MiB");
}

#[test]
fn a_large_file_through_a_bucket_takes_no_more_memory_than_a_small_one() {
    let Some(s3) = S3::start() else { return };
    is_flat(s3.settings(), IN_BUCKET, "le_256MiB");
}
