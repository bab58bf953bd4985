//! What comes before user code: the environment, a container, the file's import, the arguments.

use std::{collections::BTreeMap, path::PathBuf};

use qflow_model::{outcome::Ending, progress::KillReason, status::FailureClass};
use qflow_proto::order::Order;
use qflow_telemetry::{TraceContext, traces};
use tokio::{sync::watch, time::Instant};

use super::{Progress, Runner, Stage, Word, carry, insist::Wanted, ms};
use crate::{
    ending::{failed, killed},
    harness::{AttemptSay, Say},
    lifecycle,
    pool::Container,
    resolve,
};

/// What libraries read to know how many threads to start.
const THREADS: [&str; 3] = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"];

impl Runner {
    /// The environment, the container, and the word to import.
    pub(super) async fn prepare(
        &self,
        progress: &mut Progress<'_>,
        kill: &watch::Receiver<Option<KillReason>>,
    ) -> Result<Container, Ending> {
        let order = progress.order;
        progress.secrets = self.secrets.read(order).map_err(|e| failed(FailureClass::User, "secret", e))?;
        self.environments.ask(order.lock.python);
        let began = Instant::now();
        let told = |doing: String| self.say(order, Word::Doing { doing, fraction: -1.0 });
        if !self.environments.is_ready(&order.lock) {
            told(format!("environment: installing {} packages", order.lock.packages)).await;
        }
        // What is told of both names the attempt's span.
        let trace = TraceContext::parse(&order.traceparent);
        let ready = traces::within(trace.clone(), self.environments.ready(&order.lock)).await;
        let site = ready.map_err(Ending::Failed)?;
        progress.phases.environment_ms = ms(began);
        if let Some(reason) = *kill.borrow() {
            return Err(killed(reason));
        }
        let began = Instant::now();
        let container = traces::within(trace, self.pool.take(order, &progress.loaded))
            .await
            .map_err(|error| Ending::Lost { reason: error.code().to_owned(), message: error.to_string() })?;
        progress.phases.container_ms = ms(began);
        if container.state.loaded.as_ref() == Some(&progress.loaded) {
            match self.begin(&container, progress).await {
                Ok(()) => {}
                Err(ending) => {
                    self.pool.give_back(container, true, "retired");
                    return Err(ending);
                }
            }
        } else {
            let load = Say::Load {
                files: (*order.files).clone(),
                entry: order.entry.clone(),
                file: order.file.clone(),
                function: order.function.clone(),
                site,
                env: settings(order),
                workdir: self.runtime.workdir(&container.state.spec),
            };
            container.link.say(load, Vec::new()).await;
        }
        Ok(container)
    }

    /// Puts the arguments together and hands them in.
    pub(super) async fn begin(&self, container: &Container, progress: &mut Progress<'_>) -> Result<(), Ending> {
        let order = progress.order;
        let reader = self.reader(container, order);
        let (converting, left) = resolve::Converting::of(order, &self.declared);
        let checking = resolve::Checking::of(order, &left, &self.declared);
        let once = || async {
            if reader.folder.exists() {
                // What an earlier try laid out may be the blobs themselves by another name: nothing is written over them.
                tokio::fs::remove_dir_all(&reader.folder).await.ok();
            }
            match resolve::arguments(&self.blobs, order.key.run, &order.arguments, &reader, &converting, &checking)
                .await
            {
                Err(resolve::Error::Blob(error)) => Err(error),
                done => Ok(done),
            }
        };
        let resolved = self.insist(order, Wanted::Arguments, once).await?.map_err(|e| match e {
            resolve::Error::Path { .. } | resolve::Error::Unfit { .. } => {
                failed(FailureClass::User, "argument", e.to_string())
            }
            resolve::Error::Pickle { .. } => failed(FailureClass::User, "pickle", e.to_string()),
            resolve::Error::Blob(_) | resolve::Error::Disk(_) => {
                Ending::Lost { reason: "blob_unreadable".into(), message: e.to_string() }
            }
            resolve::Error::Stored(_) => failed(FailureClass::Platform, "argument", e.to_string()),
        })?;
        carry::measure(self.telemetry.metrics(), order);
        let mut say = self.attempt(progress);
        (say.size, say.attachments, say.converts) = (resolved.object.len() as u64, resolved.heads, left);
        progress.converted_ms = resolved.converted_ms;
        let parts = std::iter::once(resolved.object).chain(resolved.attachments).collect();
        self.permission(order, &container.state.id).await?;
        progress.stage = Stage::Beginning;
        container.link.say(Say::Attempt(Box::new(say)), parts).await;
        Ok(())
    }

    /// Who reads the arguments: what is large lies in the container's folder, of which nobody inside can write to a mounted one.
    fn reader(&self, container: &Container, order: &Order) -> resolve::Reader {
        let spec = &container.state.spec;
        resolve::Reader {
            folder: laid_out(container),
            inside: format!("{}/{}", self.runtime.inside(spec), laid_out_name(container)),
            sealed: self.runtime.isolated(),
            lock: order.lock.digest().to_string(),
            user: lifecycle::user(order),
        }
    }

    /// The attempt as the harness is told of it, its arguments aside.
    fn attempt(&self, progress: &Progress<'_>) -> AttemptSay {
        let order = progress.order;
        let trace_id = order.traceparent.split('-').nth(1).unwrap_or_default();
        AttemptSay {
            attempt: order.key.to_string(),
            function: order.function.clone(),
            file: order.file.clone(),
            returns: order.returns.0.clone(),
            types: order.types.iter().map(|(name, ty)| (name.clone(), ty.0.clone())).collect(),
            converts: BTreeMap::new(),
            asks: order.asks.clone(),
            current: serde_json::json!({
                "run_id": order.key.run.to_string(),
                "workflow": order.workflow,
                "node_id": order.node_id,
                "index": order.key.node.index,
                "attempt": order.key.attempt,
                "key": order.idempotency_key,
                "trace_id": trace_id,
            }),
            traceparent: order.traceparent.clone(),
            deadline_ms: order.timeout_ms,
            secrets: progress.secrets.clone(),
            env: variables(order, &progress.secrets),
            pids: (!self.runtime.isolated()).then_some(order.resources.pids),
            network: order.resources.network,
            isolated: self.runtime.isolated(),
            lock: order.lock.digest().to_string(),
            user: lifecycle::user(order),
            size: 0,
            attachments: Vec::new(),
        }
    }
}

/// Where the arguments of the attempt in a container are laid out: a folder for each, since they follow one another.
pub(super) fn laid_out(container: &Container) -> PathBuf {
    container.state.spec.directory.join(laid_out_name(container))
}

fn laid_out_name(container: &Container) -> String {
    format!("in-{}", container.state.attempts)
}

/// Variables that the file sees when it is imported: as written, and how many threads libraries may start.
fn settings(order: &Order) -> BTreeMap<String, String> {
    let threads = order.resources.cpu_millis.div_ceil(1000).max(1).to_string();
    let mut settings = BTreeMap::from(THREADS.map(|variable| (variable.to_owned(), threads.clone())));
    settings.extend(order.env.clone());
    settings
}

/// The attempt's variables: as written, its trace, and secrets that are to be variables too.
fn variables(order: &Order, secrets: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut variables = order.env.clone();
    variables.insert("TRACEPARENT".to_owned(), order.traceparent.clone());
    for (name, named) in &order.secrets {
        let value = secrets.get(name);
        variables.extend(named.iter().filter_map(|variable| Some((variable.clone(), value?.clone()))));
    }
    variables
}
