//! Environments: a spec is locked once, a lock is installed once, however many attempts wait for it.

use std::{
    collections::{BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use qflow_model::{
    definition::PythonVersion,
    environment::{EnvLock, EnvSpec},
    ids::Digest,
    outcome::Failure,
    status::FailureClass,
};
use qflow_telemetry::{ErrorInfo, Event, Telemetry};
use tokio::{sync::OnceCell, time::Instant};

use crate::{
    python,
    runtime::{self, Build, Built, INPUT, Runtime, SITE},
};

/// Marks an environment whose installation came to its end.
const READY: &str = "ready";
/// Where a builder finds `uv`, or puts what it fetched.
const BESIDE: &str = "harness/uv";
/// Where that is kept.
const FETCHED: &str = "uv";
/// Bytes of a builder's words that an error keeps.
const SAID_BYTES: usize = 8 * 1024;

/// Environments of one runner.
pub struct Environments {
    runtime: Arc<dyn Runtime>,
    folder: PathBuf,
    telemetry: Telemetry,
    cells: Mutex<HashMap<Digest, Arc<OnceCell<()>>>>,
    asked: Mutex<BTreeSet<PythonVersion>>,
}

impl Environments {
    /// Environments noted, and on the process runtime installed, below a folder.
    pub fn open(runtime: Arc<dyn Runtime>, folder: &Path, telemetry: Telemetry) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self { runtime, folder: folder.to_owned(), telemetry, cells: Mutex::default(), asked: Mutex::default() })
    }

    /// Notes that an orchestrator asks for a version, whether it is there or not.
    pub fn ask(&self, python: PythonVersion) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(python);
    }

    /// Whether one has since the start.
    pub fn is_asked(&self, python: PythonVersion) -> bool {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).contains(&python)
    }

    fn cell(&self, lock: Digest) -> Arc<OnceCell<()>> {
        Arc::clone(self.cells.lock().unwrap_or_else(PoisonError::into_inner).entry(lock).or_default())
    }

    fn note(&self, lock: Digest) -> PathBuf {
        self.folder.join(format!("{lock}.{READY}"))
    }

    /// Whether nothing is left to do.
    pub fn is_ready(&self, lock: &EnvLock) -> bool {
        lock.lock.is_empty() || self.note(lock.digest()).exists()
    }

    /// Lock digests of environments that are installed.
    pub fn warm(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = entries.filter_map(|e| e.file_name().into_string().ok());
        names.filter_map(|n| n.strip_suffix(READY)?.strip_suffix('.').map(str::to_owned)).collect()
    }

    /// Resolves a spec to exact versions with hashes; without requirements there is nothing to resolve.
    pub async fn lock(&self, spec: &EnvSpec) -> Result<EnvLock, Box<Failure>> {
        let image = self.runtime.image(spec.python).await.map_err(|e| platform(&e))?;
        let mut lock = EnvLock {
            spec: spec.digest(),
            python: spec.python,
            lock: String::new(),
            image,
            harness: python::digest(),
            uv: String::new(),
            platform: format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
            packages: 0,
        };
        if spec.requirements.is_empty() {
            return Ok(lock);
        }
        let began = Instant::now();
        let resolved = self.resolve(&lock, &spec.requirements).await;
        if let Err(failure) = &resolved {
            self.told(&lock, "lock", began, Some(failure));
        }
        let answer = resolved?;
        let text = |name: &str| answer.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        lock.lock = text("lock");
        lock.uv = text("uv");
        lock.packages = answer.get("packages").and_then(serde_json::Value::as_u64).unwrap_or_default() as u32;
        Ok(lock)
    }

    /// The builder's answer to requirements.
    async fn resolve(&self, lock: &EnvLock, requirements: &[String]) -> Result<serde_json::Value, Box<Failure>> {
        let work = Work::new(&self.folder)?;
        work.write(INPUT, &requirements.join("\n"))?;
        answer(&self.build(lock, &work, None, "lock").await?)
    }

    /// Tells how an environment came about, or did not.
    fn told(&self, lock: &EnvLock, step: &'static str, began: Instant, failure: Option<&Failure>) {
        let error = failure.map(|failure| ErrorInfo {
            class: failure.class,
            error_type: failure.error_type.clone(),
            message: failure.message.clone(),
            ..ErrorInfo::default()
        });
        let (python_version, packages) = (lock.python.to_string(), lock.packages.into());
        let took_ms = began.elapsed().as_secs_f64() * 1e3;
        self.telemetry.emit(Event::EnvironmentPrepared { step, python_version, packages, took_ms, error });
    }

    /// Makes sure that an environment is installed; gives its folder of packages as seen inside, where there is one.
    pub async fn ready(&self, lock: &EnvLock) -> Result<Option<String>, Box<Failure>> {
        if lock.lock.is_empty() {
            return Ok(None);
        }
        let digest = lock.digest();
        self.cell(digest).get_or_try_init(|| self.install(lock, digest)).await?;
        Ok(Some(self.runtime.site(digest)))
    }

    async fn install(&self, lock: &EnvLock, digest: Digest) -> Result<(), Box<Failure>> {
        if self.note(digest).exists() && self.runtime.has(digest).await {
            return Ok(());
        }
        let began = Instant::now();
        let work = Work::new(&self.folder)?;
        work.write(INPUT, &lock.lock)?;
        let installed = match self.build(lock, &work, Some(digest), "install").await {
            Ok(built) => answer(&built).map(|_| ()),
            Err(failure) => Err(failure),
        };
        self.told(lock, "install", began, installed.as_ref().err().map(|failure| &**failure));
        installed?;
        std::fs::write(self.note(digest), "").map_err(|e| platform(&e))
    }

    async fn build(
        &self,
        lock: &EnvLock,
        work: &Work,
        environment: Option<Digest>,
        verb: &str,
    ) -> Result<Built, Box<Failure>> {
        let mut arguments = vec![verb.to_owned(), "--python".to_owned(), lock.python.to_string()];
        if environment.is_some() {
            arguments.extend(["--target".to_owned(), SITE.to_owned()]);
        }
        let image = lock.image.clone();
        let build = Build { python: lock.python, image, work: work.0.clone(), environment, arguments };
        let built = self.runtime.build(&build).await.map_err(|e: runtime::Error| platform(&e))?;
        if uv(&self.folder).is_none() {
            // What this builder fetched serves the next; without it that fetches again.
            std::fs::rename(work.0.join(BESIDE), self.folder.join(FETCHED)).ok();
        }
        Ok(built)
    }
}

/// The folder that a builder reads and writes; it leaves with this value.
struct Work(PathBuf);

impl Work {
    fn new(folder: &Path) -> Result<Self, Box<Failure>> {
        let name = crate::pool::random(6).map_err(|e| platform(&e))?;
        let work = Self(folder.join(format!("build-{name}")));
        std::fs::create_dir_all(&work.0).and_then(|()| python::lay_out(&work.0)).map_err(|e| platform(&e))?;
        if let Some(uv) = uv(folder) {
            // The builder looks beside itself, also where it runs inside a container.
            std::fs::copy(uv, work.0.join(BESIDE)).map_err(|e| platform(&e))?;
        }
        Ok(work)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Box<Failure>> {
        std::fs::write(self.0.join(name), text).map_err(|e| platform(&e))
    }
}

/// `uv` of this machine: `QFLOW_UV`, beside our program, on `PATH`, else what a builder fetched before.
fn uv(folder: &Path) -> Option<PathBuf> {
    let given = std::env::var_os("QFLOW_UV").filter(|uv| !uv.is_empty()).map(PathBuf::from);
    let beside = || Some(std::env::current_exe().ok()?.with_file_name("uv"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    given
        .into_iter()
        .chain(beside())
        .chain(std::env::split_paths(&path).map(|folder| folder.join("uv")))
        .chain([folder.join(FETCHED)])
        .find(|uv| is_ours(uv))
}

/// A program that only we, or the machine's owner, could have put there.
fn is_ours(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let uid = rustix::process::getuid().as_raw();
    std::fs::metadata(path)
        .is_ok_and(|found| found.is_file() && found.mode() & 0o111 != 0 && [0, uid].contains(&found.uid()))
}

/// The builder's answer, or its error: `{"error", "kind"}`.
fn answer(built: &Built) -> Result<serde_json::Value, Box<Failure>> {
    let last = built.stdout.trim().lines().last().unwrap_or_default();
    let answer: serde_json::Value = serde_json::from_str(last).unwrap_or_default();
    let said = |name: &str| answer.get(name).and_then(serde_json::Value::as_str);
    if built.ok && said("error").is_none() {
        return Ok(answer);
    }
    let message = said("error").map_or_else(|| tail(&built.stderr).to_owned(), str::to_owned);
    let class = if said("kind") == Some("user") { FailureClass::User } else { FailureClass::Platform };
    Err(Box::new(Failure { class: Some(class), error_type: "environment".into(), message, ..Failure::default() }))
}

impl Drop for Work {
    fn drop(&mut self) {
        // A folder that stays is swept at the next start.
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn tail(text: &str) -> &str {
    let text = text.trim();
    let mut start = text.len().saturating_sub(SAID_BYTES);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    &text[start..]
}

#[expect(clippy::unnecessary_box_returns, reason = "errors of this module are boxed")]
fn platform(error: &dyn std::fmt::Display) -> Box<Failure> {
    Box::new(Failure {
        class: Some(FailureClass::Platform),
        error_type: "environment".into(),
        message: error.to_string(),
        ..Failure::default()
    })
}
