//! `qflow run`: submits a file, shows the run while it goes, prints its result.

use std::{collections::BTreeMap, future::Future, path::Path};

use qflow_model::definition::Definition;
use qflow_type_validator::validate::choose;
use tokio_stream::StreamExt;

use crate::{
    approve::Asking,
    args::{Output, Parameter, RunArgs, Written},
    dev::{self, Session},
    exit::{Exit, Fail},
    outln, render, resolving,
    source::{self, Collected},
    submit::{Client, Given, Run, Start, Started},
    tree::View,
};

/// Runs the file.
pub async fn run(args: RunArgs, data_dir: &Path) -> Result<Exit, Fail> {
    let Collected { source, warnings } = source::collect(&args.file)?;
    eprint!("{}", render::problems(&warnings));
    let parameters = parameters(&args)?;
    let session = dev::session(&args.server, data_dir).await?;
    let exit = submit(&args, &source, parameters, &session).await;
    session.close().await;
    exit
}

async fn submit(
    args: &RunArgs,
    source: &qflow_model::definition::Source,
    parameters: Vec<(String, Given)>,
    session: &Session,
) -> Result<Exit, Fail> {
    if args.detach && session.is_embedded() {
        return Err(Fail::usage("--detach needs a server that stays: start `qflow dev`, or set QFLOW_SERVER"));
    }
    let client = &session.client;
    let registered = client.register(source).await?;
    if !registered.problems.is_empty() {
        eprint!("{}", render::problems(&registered.problems));
    }
    if registered.problems.iter().any(|p| !p.warning) {
        return Err(Fail::new(
            Exit::Invalid,
            format!("{}: {}", args.file.display(), render::count(&registered.problems)),
        ));
    }
    check_names(&registered.definition, args.workflow.as_deref(), &parameters)?;
    let start = Start {
        digest: registered.digest,
        workflow: args.workflow.clone().unwrap_or_default(),
        parameters,
        idempotency_key: args.idempotency_key.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
        relock: args.relock,
        no_cache: args.no_cache,
    };
    let Started { run_id, created, warnings } = resolving::told(client.start(start), &registered.definition).await?;
    let news: Vec<_> = warnings.into_iter().filter(|warning| !registered.problems.contains(warning)).collect();
    eprint!("{}", render::problems(&news));
    if !created {
        eprintln!("run {run_id} was there already: same idempotency key");
    }
    if !args.detach {
        eprintln!("run {run_id} on {}", client.runtime().await?);
    }
    if args.detach {
        let run = client.get(&run_id).await?;
        match args.output {
            Output::Json => outln!("{:#}", render::run_json(&run)),
            _ => outln!("{run_id}"),
        }
        eprintln!("follow it: qflow runs watch {run_id}");
        return Ok(Exit::Completed);
    }
    let followed = follow(client, &run_id, session.is_embedded());
    let run = match args.timeout {
        None => followed.await?,
        Some(limit) => match tokio::time::timeout(limit, followed).await {
            Ok(run) => run?,
            Err(_) => return Err(timed_out(client, &run_id, session.is_embedded()).await),
        },
    };
    let Some(run) = run else { return Ok(Exit::Interrupted) };
    Ok(tell(&run, args.output, session.is_embedded()))
}

async fn timed_out(client: &Client, run_id: &str, embedded: bool) -> Fail {
    let goes_on = if embedded {
        // The embedded server ends with this call: better a cancelled run than one that waits for nobody.
        if client.cancel(run_id).await.is_ok() { "it was cancelled" } else { "it could not be cancelled" }
    } else {
        "it goes on: qflow runs watch RUN follows it"
    };
    Fail::new(Exit::TimedOut, format!("run {run_id} has not ended within --timeout; {goes_on}"))
}

/// Shows the run until it has ended; `None` where the user interrupted it, and it was cancelled.
pub async fn follow(client: &Client, run_id: &str, embedded: bool) -> Result<Option<Run>, Fail> {
    let mut view = View::new();
    let mut changes = client.watch(run_id).await?;
    let mut lines = client.logs(run_id, "", true).await?.fuse();
    let mut interrupted = false;
    let mut lines_open = true;
    let mut asking = Asking::new(run_id, embedded);
    // Heard from here on, also while something else is looked at: one that is made anew each time misses signals between.
    let mut orders = Orders::new()?;
    loop {
        tokio::select! {
            biased;
            () = orders.next() => {
                if std::mem::replace(&mut interrupted, true) { break }
                view.note("cancelling; interrupt again to leave at once");
                client.cancel(run_id).await?;
            }
            batch = lines.next(), if lines_open => match batch {
                Some(Ok(batch)) => {
                    for line in &batch {
                        view.log(line);
                    }
                }
                // Lines are a comfort: the run is told by its own stream.
                Some(Err(_)) | None => lines_open = false,
            },
            change = changes.next() => match change.transpose().map_err(|fail| gone(fail, run_id, embedded))? {
                Some(run) => {
                    view.run(&run);
                    asking.see(&run, &view);
                    if run.status.is_terminal() { break }
                }
                None => break,
            },
            (id, typed) = asking.typed() => asking.answer(client, &view, &id, typed).await,
        }
    }
    drain(&mut lines, lines_open, &view).await;
    view.finish();
    if interrupted {
        eprintln!("run {run_id} was cancelled");
        return Ok(None);
    }
    let run = client.get(run_id).await?;
    if run.status.is_terminal() {
        return Ok(Some(run));
    }
    let hint = if embedded { "" } else { "; it goes on: qflow runs watch RUN" };
    Err(Fail::new(Exit::Unreachable, format!("the server stopped telling of run {run_id}{hint}")))
}

/// What asks this call to end: an interrupt, SIGTERM, or the end of its terminal.
pub(crate) struct Orders([tokio::signal::unix::Signal; 3]);

impl Orders {
    /// Listens from here on.
    pub(crate) fn new() -> Result<Self, Fail> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| signal(kind).map_err(|e| Fail::from(anyhow::Error::from(e)));
        Ok(Self([listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?]))
    }

    /// The next of them.
    pub(crate) async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {}, _ = hangup.recv() => {} }
    }
}

/// A server that went away while it was followed: the run is not over.
fn gone(fail: Fail, run_id: &str, embedded: bool) -> Fail {
    if fail.exit != Exit::Unreachable || embedded {
        return fail;
    }
    let message = format!("{}; run {run_id} goes on once the server is back: qflow runs watch {run_id}", fail.message);
    Fail::new(Exit::Unreachable, message)
}

/// How long the last lines may come after the run's end.
const LAST_LINES: std::time::Duration = std::time::Duration::from_secs(2);

async fn drain<S>(lines: &mut S, open: bool, view: &View)
where
    S: tokio_stream::Stream<Item = Result<Vec<crate::submit::Line>, Fail>> + Unpin,
{
    if open {
        let rest = async {
            while let Some(Ok(batch)) = lines.next().await {
                for line in &batch {
                    view.log(line);
                }
            }
        };
        // Past the bound the run's end counts more than its last lines; `runs logs` has them.
        drop(tokio::time::timeout(LAST_LINES, rest).await);
    }
}

/// Prints how a run ended: the result to stdout, everything else to stderr.
pub fn tell(run: &Run, output: Output, embedded: bool) -> Exit {
    if output == Output::Json {
        outln!("{:#}", render::run_json(run));
    } else if let Some(result) = &run.result {
        outln!("{}", render::result(result, output));
    }
    if run.result.is_none() && !run.reason.is_empty() {
        eprintln!("no result is shown: {}", render::printable(&run.reason));
    }
    eprint!("{}", render::failure(run));
    eprintln!("run {} {} · trace {}", run.run_id, run.status, run.trace_id);
    if !embedded || run.error.is_some() {
        eprintln!("look at it: qflow runs get {0} · qflow runs logs {0}", run.run_id);
    }
    Exit::of_run(run.status)
}

/// Bytes of all parameters: they travel in one message, and leave room in it.
const PARAMETER_BYTES: usize = qflow_model::limits::MESSAGE_BYTES / 2;

/// The parameters as sent: those of `--params`, and over them those of `-p`.
fn parameters(args: &RunArgs) -> Result<Vec<(String, Given)>, Fail> {
    let mut all = BTreeMap::new();
    if let Some(path) = &args.params {
        let text = read(path)?;
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&text)
            .map_err(|e| Fail::usage(format!("{} is not a JSON object: {e}", path.display())))?;
        all.extend(object.into_iter().map(|(name, value)| (name, Given::Json(value.to_string()))));
    }
    let mut named = std::collections::BTreeSet::new();
    for Parameter { name, value } in &args.param {
        if !named.insert(name) {
            return Err(Fail::usage(format!(
                "parameter `{name}` is given twice; a list is one value: -p {name}:='[…]'"
            )));
        }
        let given = match value {
            Written::Text(text) => Given::Text(text.clone()),
            Written::Json(json) => Given::Json(json.clone()),
            Written::File(path) => Given::Text(read(path)?),
        };
        all.insert(name.clone(), given);
    }
    let size = |(name, given): (&String, &Given)| match given {
        Given::Text(text) | Given::Json(text) => name.len() + text.len(),
    };
    let bytes: usize = all.iter().map(size).sum();
    if bytes > PARAMETER_BYTES {
        let message =
            format!("parameters of {bytes} bytes; at most {PARAMETER_BYTES} go: pass the path or address of the data");
        return Err(Fail::new(Exit::Invalid, message));
    }
    Ok(all.into_iter().collect())
}

fn read(path: &Path) -> Result<String, Fail> {
    std::fs::read_to_string(path).map_err(|e| Fail::usage(format!("read {}: {e}", path.display())))
}

/// Whether the workflow is there and the parameters are its own: usage, told before anything starts.
fn check_names(definition: &Definition, workflow: Option<&str>, given: &[(String, Given)]) -> Result<(), Fail> {
    let chosen = choose(definition, workflow.unwrap_or_default()).map_err(|choice| {
        let known = definition.workflows.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        Fail::usage(format!("{choice}; there is {known}"))
    })?;
    let mut wrong = Vec::new();
    let params = || chosen.params.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ");
    for (name, _) in given {
        if !chosen.params.iter().any(|p| p.name == *name) {
            wrong.push(if chosen.params.is_empty() {
                format!("`{}` takes no parameters, so not `{name}`", chosen.name)
            } else {
                format!("`{}` has no parameter `{name}`; it has {}", chosen.name, params())
            });
        }
    }
    for param in &chosen.params {
        if param.default.is_none() && !given.iter().any(|(name, _)| *name == param.name) {
            wrong.push(format!("parameter `{0}` ({1}) is missing: -p {0}=…", param.name, param.ty.0));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(Fail::usage(wrong.join("\n"))) }
}

/// Runs a future against a session, and closes it.
pub async fn with<F, T>(session: Session, work: impl FnOnce(Client, bool) -> F) -> Result<T, Fail>
where
    F: Future<Output = Result<T, Fail>>,
{
    let done = work(session.client.clone(), session.is_embedded()).await;
    session.close().await;
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use qflow_model::definition::{Param, ParamDefault, Place, TypeText, WorkflowDef};

    fn definition() -> Definition {
        let param = |name: &str, default| Param {
            name: name.to_owned(),
            ty: TypeText("int".to_owned()),
            default,
            place: Place::default(),
        };
        let workflow = WorkflowDef {
            name: "w".to_owned(),
            function: "w".to_owned(),
            params: vec![param("a", None), param("b", Some(ParamDefault::Value(1.into())))],
            returns: TypeText::any(),
            steps: Vec::new(),
            branches: Vec::new(),
            result: serde_json::from_str(r#"{"literal":null}"#).unwrap(),
            max_parallel: None,
            timeout_ms: None,
            on_failure: qflow_model::definition::OnFailure::default(),
            isolation: None,
            place: Place::default(),
        };
        Definition { workflows: [("w".to_owned(), workflow)].into(), ..Definition::default() }
    }

    #[test]
    fn every_unknown_and_missing_parameter_is_told_at_once_as_usage() {
        let given = [("x".to_owned(), Given::Text("1".to_owned()))];
        let fail = check_names(&definition(), None, &given).unwrap_err();
        assert_eq!(fail.exit, Exit::Usage);
        assert!(fail.message.contains("`x`; it has a, b") && fail.message.contains("`a` (int) is missing"), "{fail}");
        let given = [("a".to_owned(), Given::Text("1".to_owned()))];
        assert!(check_names(&definition(), Some("w"), &given).is_ok());
    }

    #[test]
    fn an_unknown_workflow_names_those_that_there_are() {
        let fail = check_names(&definition(), Some("v"), &[]).unwrap_err();
        assert_eq!((fail.exit, fail.message.as_str()), (Exit::Usage, "no workflow is called `v`; there is w"));
    }
}
