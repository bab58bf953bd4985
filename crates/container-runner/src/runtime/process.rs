//! Containers that are plain processes: for machines without Docker. They are not isolated, and the runner says so.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use qflow_model::{
    definition::{PythonVersion, Resources},
    ids::Digest,
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{process::Command, sync::watch};

use super::{Build, Built, ContainerSpec, Disk, Error, Exit, INPUT, Look, Runtime, SITE, Usage};
use crate::python;

/// Minor versions that are looked for.
const MINORS: std::ops::RangeInclusive<u8> = 8..=14;
/// How long an interpreter may take to say its version.
const PROBE: Duration = Duration::from_secs(10);
/// Between looks at a process that an earlier runner started.
const LOOK: Duration = Duration::from_millis(100);

/// The variables by which a container's processes are known again.
const RUNNER: &str = "QFLOW_RUNNER";
const NAME: &str = "QFLOW_CONTAINER";
/// Looks for processes that were forked while their parents were being stopped.
const ROUNDS: usize = 20;

/// The unit of `/proc/PID/stat`, the same on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// An interpreter on this machine.
#[derive(Clone, Debug)]
struct Interpreter {
    path: PathBuf,
    version: String,
}

/// Starts processes.
#[derive(Debug)]
pub struct ProcessRuntime {
    interpreters: BTreeMap<PythonVersion, Interpreter>,
    environments: PathBuf,
    children: Mutex<BTreeMap<String, Child>>,
}

/// A process that this runner started.
#[derive(Debug)]
struct Child {
    end: watch::Receiver<Option<Exit>>,
    /// The container's name.
    name: String,
}

impl ProcessRuntime {
    /// Looks for interpreters: those given as `3.11=/path,…`, else `python3.X` on `PATH`, else `python3`.
    pub async fn find(given: Option<&str>, environments: PathBuf) -> Self {
        let mut interpreters = BTreeMap::new();
        let candidates: Vec<PathBuf> = match given {
            Some(given) => given.split(',').map(|g| g.rsplit('=').next().unwrap_or(g).trim().into()).collect(),
            None => MINORS
                .map(|minor| PathBuf::from(format!("python3.{minor}")))
                .chain(std::iter::once("python3".into()))
                .collect(),
        };
        // All at once: a shim takes a tenth of a second to find its Python.
        let probes = candidates.iter().map(|candidate| probe(candidate));
        for (python, interpreter) in futures_util::future::join_all(probes).await.into_iter().flatten() {
            interpreters.entry(python).or_insert(interpreter);
        }
        Self { interpreters, environments, children: Mutex::default() }
    }

    fn interpreter(&self, python: PythonVersion) -> Result<&Interpreter, Error> {
        self.interpreters.get(&python).ok_or_else(|| Error::no_python(python, &self.pythons()))
    }
}

/// Asks a candidate who it is: a shim may be there without its Python.
async fn probe(candidate: &Path) -> Option<(PythonVersion, Interpreter)> {
    let ask = "import sys, platform; print(sys.executable); print(platform.python_version())";
    let run = Command::new(candidate).args(["-I", "-c", ask]).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(PROBE, run).await.ok()?.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (path, version) = text.trim().split_once('\n')?;
    let mut numbers = version.split('.');
    let python = format!("{}.{}", numbers.next()?, numbers.next()?).parse().ok()?;
    Some((python, Interpreter { path: path.into(), version: version.to_owned() }))
}

/// Where programs are found: beside the interpreter, and where every Linux has them; nothing is inherited from the runner.
fn search_path(interpreter: &Path) -> String {
    let beside = interpreter.parent().map_or_else(String::new, |folder| format!("{}:", folder.display()));
    format!("{beside}/usr/local/bin:/usr/bin:/bin")
}

/// `process-PID-START`: the start time tells a process from a later one of the same number.
fn id_of(pid: i32) -> Option<String> {
    Some(format!("process-{pid}-{}", stat(pid)?.started))
}

fn pid_of(id: &str) -> Option<i32> {
    let (pid, started) = id.strip_prefix("process-")?.split_once('-')?;
    let pid = pid.parse().ok()?;
    (stat(pid)?.started.to_string() == started).then_some(pid)
}

/// What `/proc/PID/stat` says; a zombie is gone.
struct Stat {
    parent: i32,
    group: i32,
    ticks: u64,
    started: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    let number = |i: usize| fields.get(i).and_then(|f| f.parse::<u64>().ok());
    (fields.first() != Some(&"Z")).then_some(())?;
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        ticks: number(11)? + number(12)? + number(13)? + number(14)?,
        started: number(19)?,
    })
}

/// Bytes of a process that are in memory.
fn resident(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// A variable that a process began with.
fn variable(pid: i32, name: &str) -> Option<String> {
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut variables = environment.split(|byte| *byte == 0).filter_map(|variable| str::from_utf8(variable).ok());
    variables.find_map(|variable| variable.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
}

/// Processes that began with a variable, as `NAME=TEXT`.
fn carriers(wanted: &[u8]) -> Vec<i32> {
    let carries = |pid: &i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted) && stat(*pid).is_some()
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(carries).collect()
}

/// A process with all that descend from it: attempts lead sessions of their own.
fn family(pid: i32) -> Vec<(i32, Stat)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let all: Vec<(i32, Stat)> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, stat(pid)?)))
        .collect();
    let mut members = BTreeSet::from([pid]);
    loop {
        let before = members.len();
        members.extend(
            all.iter()
                .filter(|(_, s)| members.contains(&s.parent) || s.group == pid)
                .map(|(p, _)| *p)
                .collect::<Vec<_>>(),
        );
        if members.len() == before {
            return all.into_iter().filter(|(pid, _)| members.contains(pid)).collect();
        }
    }
}

/// Ends all processes of a set that may grow meanwhile: what is stopped forks no more.
fn end(members: &dyn Fn() -> BTreeSet<i32>) {
    let send = |pids: &BTreeSet<i32>, signal| {
        // Gone already is what is wanted.
        pids.iter().filter_map(|pid| Pid::from_raw(*pid)).for_each(|pid| kill_process(pid, signal).unwrap_or_default());
    };
    let mut all = members();
    for _ in 0..ROUNDS {
        send(&all, Signal::STOP);
        let now = members();
        if now.is_subset(&all) {
            break;
        }
        all.extend(now);
    }
    send(&all, Signal::KILL);
}

#[async_trait]
impl Runtime for ProcessRuntime {
    async fn look(&self, _runner: &str) -> Result<Look, Error> {
        let children = self.children.lock().unwrap_or_else(PoisonError::into_inner);
        let running = children.values().filter(|child| child.end.borrow().is_none()).count() as u32;
        let disk = Disk::of(&self.environments).or_else(|| Disk::of(Path::new("/")));
        Ok(Look { version: self.version(), ping: Duration::ZERO, total: running, running, disk })
    }

    async fn is_there(&self, python: PythonVersion) -> Result<bool, Error> {
        Ok(self.interpreters.get(&python).is_some_and(|interpreter| interpreter.path.exists()))
    }

    fn name(&self) -> &'static str {
        "process"
    }

    fn version(&self) -> String {
        self.interpreters.values().next_back().map(|i| i.version.clone()).unwrap_or_default()
    }

    fn pythons(&self) -> Vec<PythonVersion> {
        self.interpreters.keys().copied().collect()
    }

    async fn image(&self, python: PythonVersion) -> Result<String, Error> {
        let interpreter = self.interpreter(python)?;
        Ok(format!("{} {}", interpreter.path.display(), interpreter.version))
    }

    async fn start(&self, spec: &ContainerSpec) -> Result<String, Error> {
        let interpreter = self.interpreter(spec.python)?;
        let log = std::fs::File::create(spec.directory.join("harness.log"))
            .map_err(|e| Error::call("open harness.log", &e))?;
        let errors = log.try_clone().map_err(|e| Error::call("open harness.log", &e))?;
        let mut child = Command::new(&interpreter.path)
            .arg(spec.directory.join(python::HARNESS))
            .env_clear()
            .env("PATH", search_path(&interpreter.path))
            .env("LANG", "C.UTF-8")
            .env("HOME", &spec.directory)
            .env("USER", "qflow")
            .env("LOGNAME", "qflow")
            .env("TZ", "UTC")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("QFLOW_SOCKET", spec.directory.join("s"))
            .env("QFLOW_TOKEN", &spec.token)
            .env("QFLOW_SDK", &spec.directory)
            .env(RUNNER, &spec.runner)
            .env(NAME, &spec.name)
            .current_dir(&spec.directory)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|e| Error::call(format!("start {}", interpreter.path.display()), &e))?;
        let id = child.id().and_then(|pid| id_of(pid as i32)).unwrap_or_else(|| "process-0-0".into());
        let (ended, end) = watch::channel(None);
        let started = Child { end, name: spec.name.clone() };
        self.children.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), started);
        tokio::spawn(async move {
            let status = child.wait().await.ok();
            let exit = Exit {
                code: status.and_then(|s| s.code()),
                signal: status.and_then(|s| std::os::unix::process::ExitStatusExt::signal(&s)),
                oom: false,
            };
            ended.send_replace(Some(exit));
        });
        Ok(id)
    }

    async fn wait(&self, id: &str) -> Exit {
        let held = self.children.lock().unwrap_or_else(PoisonError::into_inner).get(id).map(|c| c.end.clone());
        if let Some(mut end) = held {
            return end.wait_for(Option::is_some).await.ok().and_then(|exit| *exit).unwrap_or_default();
        }
        let mut looks = tokio::time::interval(LOOK);
        while pid_of(id).is_some() {
            looks.tick().await;
        }
        Exit::default()
    }

    async fn update(&self, _id: &str, _resources: &Resources) -> Result<(), Error> {
        // Nothing bounds a process but the harness, which is told of its bounds with each attempt.
        Ok(())
    }

    async fn usage(&self, id: &str) -> Result<Usage, Error> {
        let pid = pid_of(id).ok_or_else(|| Error::call("read usage", &"the process is gone"))?;
        let family = family(pid);
        let ticks: u64 = family.iter().map(|(_, s)| s.ticks).sum();
        let memory_bytes = family.iter().filter_map(|(pid, _)| resident(*pid)).sum();
        Ok(Usage {
            cpu_seconds: ticks as f64 / TICKS_PER_SECOND,
            memory_bytes,
            disk_bytes: None,
            throttled_seconds: 0.0,
            pids: family.len() as u64,
        })
    }

    async fn remove(&self, id: &str) -> Result<(), Error> {
        let child = self.children.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        // Where the first process was killed from within, its own are orphans: they still carry its name.
        let name = child.map(|child| child.name).or_else(|| variable(pid_of(id)?, NAME));
        let carried = name.map(|name| format!("{NAME}={name}"));
        end(&|| {
            let family = pid_of(id).map(family).unwrap_or_default().into_iter().map(|(pid, _)| pid);
            family.chain(carried.iter().flat_map(|carried| carriers(carried.as_bytes()))).collect()
        });
        Ok(())
    }

    async fn list(&self, runner: &str) -> Result<Vec<(String, String)>, Error> {
        let wanted = format!("{RUNNER}={runner}");
        let all = carriers(wanted.as_bytes());
        // The first of a container has a parent that is none of it.
        let first = |pid: &i32| stat(*pid).is_some_and(|s| !all.contains(&s.parent));
        let named = |pid: i32| Some((id_of(pid)?, variable(pid, NAME)?));
        Ok(all.iter().copied().filter(first).filter_map(named).collect())
    }

    async fn build(&self, build: &Build) -> Result<Built, Error> {
        let interpreter = self.interpreter(build.python)?;
        let site = build.environment.map(|e| self.site(e)).unwrap_or_default();
        let arguments = build.arguments.iter().map(|argument| argument.replace(SITE, &site));
        let input =
            std::fs::File::open(build.work.join(INPUT)).map_err(|e| Error::call("open the builder's input", &e))?;
        let output = Command::new(&interpreter.path)
            .arg(build.work.join(python::BUILDER))
            .args(arguments)
            .current_dir(&build.work)
            .stdin(input)
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|e| Error::call("run the builder", &e))?;
        Ok(Built {
            ok: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    async fn has(&self, environment: Digest) -> bool {
        Path::new(&self.site(environment)).is_dir()
    }

    fn site(&self, environment: Digest) -> String {
        self.environments.join(environment.to_string()).display().to_string()
    }

    fn inside(&self, spec: &ContainerSpec) -> String {
        spec.directory.display().to_string()
    }

    fn workdir(&self, spec: &ContainerSpec) -> String {
        spec.directory.join("work").display().to_string()
    }

    fn isolated(&self) -> bool {
        false
    }
}
