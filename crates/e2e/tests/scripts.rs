//! What the scripts of `deploy/local` decide: what a machine lacks, and what is run from images.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Command, Output},
};

use qflow_e2e::{root, said};

fn written(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What the scripts call to look: a machine that has this has little.
const PROGRAMS: [&str; 24] = [
    "awk", "bash", "cat", "chmod", "cksum", "cut", "dirname", "env", "find", "flock", "grep", "head", "id", "mkdir",
    "mktemp", "mv", "rm", "sed", "sleep", "sort", "tail", "tee", "tr", "seq",
];

/// A folder of those programs and no others.
fn few_programs(folder: &Path) {
    for program in PROGRAMS {
        let found = std::env::split_paths(&std::env::var_os("PATH").expect("a PATH is set"))
            .map(|path| path.join(program))
            .find(|path| path.is_file());
        symlink(found.unwrap_or_else(|| panic!("{program} is on PATH")), folder.join(program)).expect("it is empty");
    }
}

#[test]
fn what_a_machine_lacks_is_named_at_the_end_and_fails_in_ci() {
    let folder = tempfile::tempdir().expect("folders can be made");
    let (programs, cache) = (folder.path().join("programs"), folder.path().join("cache"));
    std::fs::create_dir(&programs).expect("it is empty");
    few_programs(&programs);
    let look = |ci: &str| {
        let mut script = Command::new(root().join("deploy/local/test"));
        script.arg("look").env("PATH", &programs).env("QFLOW_CACHE", &cache).env("CI", ci);
        script.output().expect("the script starts")
    };
    let lacks = [
        "Docker and images of Python",
        "Redis",
        "an S3 server",
        "Prometheus, Alertmanager and their tools",
        "kubectl and the operators' kinds",
    ];
    let named = |output: &Output| {
        let told = written(&output.stderr);
        let last: Vec<&str> = told.lines().filter_map(|line| line.strip_prefix("not run, for want of it: ")).collect();
        lacks.iter().all(|lack| last.contains(lack))
    };
    let here = look("");
    assert!(here.status.success() && named(&here), "{}", said(&here));
    let (told, begins) = (written(&here.stderr), "not run, since they use some of what is missing: ");
    let wholes = told.lines().find_map(|line| line.strip_prefix(begins)).expect("tests of the whole are named");
    let is_named = |name: &str| wholes.split(' ').any(|word| word == name);
    assert_eq!(["kill", "observed", "trace", "typing", "workspace"].map(is_named), [true, true, true, false, false]);
    let in_ci = look("true");
    assert!(!in_ci.status.success() && named(&in_ci), "{}", said(&in_ci));
    assert!(written(&in_ci.stderr).contains("failed: Redis"), "{}", said(&in_ci));
}

#[test]
fn parts_are_told_with_what_became_of_them_and_a_failure_is_one_without_ci_too() {
    let told = |line: &str, ci: &str| {
        let local = root().join("deploy/local");
        let shared = format!(". '{0}/common.sh'; . '{0}/parts.sh'", local.display());
        let mut bash = Command::new("bash");
        bash.args(["-c", &format!("{shared}; {line}; tell_parts; tell_end")])
            .env("CI", ci)
            .output()
            .expect("bash starts")
    };
    let lacks = told("part works true; if have 'a thing' false; then part uses true; fi", "");
    assert!(lacks.status.success(), "{}", said(&lacks));
    let parts = written(&lacks.stdout);
    assert!(parts.contains("ok      works") && parts.contains("not had a thing"), "{parts}");
    assert!(!parts.contains("uses"), "what needs it is not run: {parts}");
    let fails = told("part breaks false || true", "");
    assert!(!fails.status.success() && written(&fails.stderr).contains("failed: breaks"), "{}", said(&fails));
    assert!(!told("if have 'a thing' false; then :; fi", "true").status.success(), "in CI nothing may be missing");
}

/// A registry that answers as one does that wants to know who asks, until it is dropped with its port.
fn registry() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (mut stream, mut head) = (stream, [0; 1024]);
            let asked = stream.read(&mut head).unwrap_or_default();
            let known = head[..asked].starts_with(b"GET /v2/ ");
            let status = if known { "401 Unauthorized" } else { "404 Not Found" };
            drop(write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
        }
    });
    port
}

#[test]
fn official_images_are_taken_where_a_registry_answers() {
    let folder = tempfile::tempdir().expect("folders can be made");
    let docker = folder.path().join("docker");
    let called = folder.path().join("called");
    let plays = |answers: &str| {
        let text = format!("#!/bin/sh\necho \"$@\" >>'{}'\ncase $1 in {answers} esac\nexit 1\n", called.display());
        std::fs::write(&docker, text).expect("the folder takes files");
        std::fs::set_permissions(&docker, PermissionsExt::from_mode(0o755)).expect("the file is ours");
        std::fs::write(&called, "").expect("the folder takes files");
    };
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").expect("a PATH is set"));
    let chosen = |mirror: u16, images: &str| {
        let stack = tempfile::tempdir().expect("folders can be made");
        let mut script = Command::new(root().join("deploy/local/stack"));
        script.arg("images").env("PATH", &path).env("QFLOW_STACK_DIR", stack.path()).env("QFLOW_CACHE", folder.path());
        script.env("QFLOW_STACK_MIRROR", format!("127.0.0.1:{mirror}")).env("QFLOW_STACK_IMAGES", images);
        script.env("QFLOW_STACK_PARTS", "metrics traces logs collector").env("no_proxy", "127.0.0.1");
        let output = script.output().expect("the script starts");
        assert!(output.status.success(), "{}", said(&output));
        written(&output.stdout)
    };
    let none = "QFLOW_IMAGE_JAEGER=\nQFLOW_IMAGE_OTEL_COLLECTOR=\nQFLOW_IMAGE_ELASTICSEARCH=\nQFLOW_IMAGE_FILEBEAT=\n";
    let (there, gone) = (registry(), TcpListener::bind("127.0.0.1:0").expect("a port is free"));
    let gone = gone.local_addr().expect("a bound socket has an address").port();
    plays("version|pull) exit 0 ;;");
    // As compose.observability.yml names them.
    let compose = std::fs::read_to_string(root().join("deploy/compose.observability.yml")).expect("it reads");
    let all = chosen(there, "auto");
    for line in all.lines() {
        let (_, image) = line.split_once(&format!("=127.0.0.1:{there}/")).unwrap_or_else(|| panic!("none: {all}"));
        assert!(compose.contains(&format!("{image}\n")), "{image} is in Compose");
    }
    assert_eq!(all.lines().count(), 4, "{all}");
    assert_eq!(std::fs::read_to_string(&called).expect("it reads").matches("pull -q").count(), 4);
    plays("version|pull) exit 0 ;;");
    assert_eq!(chosen(gone, "auto"), none, "no registry answers");
    assert!(!std::fs::read_to_string(&called).expect("it reads").contains("pull"), "nobody waits for a pull");
    assert_eq!(chosen(there, "never"), none, "they were not wanted");
    plays("version) exit 0 ;;");
    assert_eq!(chosen(there, "auto"), none, "the registry has none of them");
    plays("pull) exit 0 ;;");
    assert_eq!(chosen(there, "auto"), none, "no Docker answers");
    plays("version|image) exit 0 ;;");
    assert_eq!(
        chosen(gone, "auto").matches(":127.0.0.1").count() + chosen(gone, "auto").matches("=127.0.0.1").count(),
        4
    );
}
