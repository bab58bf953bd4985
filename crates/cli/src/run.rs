//! `qflow run`: submits a file, shows the run while it goes, prints its result.

use std::{future::Future, path::Path};

use qflow_model::status::{NodeStatus, RunStatus};
use serde_json::Value;
use tokio_stream::StreamExt;

use crate::{
    approve::Asking,
    args::{ListArgs, Output, RunArgs, Written},
    dev::{self, Session},
    exit::{Exit, Fail},
    outln, parameters,
    paused::Paused,
    problems, render, resolving,
    source::{self, Collected},
    submit::{Client, Run, Start, Started},
    tree::View,
};

/// Runs the file.
pub async fn run(args: RunArgs, data_dir: &Path) -> Result<Exit, Fail> {
    let Collected { source, warnings } = source::collect(&args.file)?;
    problems::tell(&warnings, None);
    let parameters = parameters::written(&args)?;
    let session = dev::session(&args.server, data_dir).await?;
    let end = submit(&args, &source, parameters, &session).await;
    let embedded = session.is_embedded();
    session.close().await;
    Ok(match end? {
        End::Ran(run) => tell(&run, args.output, embedded),
        End::Left(exit) => exit,
    })
}

/// How a run was followed: told once nothing of ours runs any more, since a full disk or a closed pipe ends the program.
enum End {
    /// To its end.
    Ran(Box<Run>),
    /// Not so far.
    Left(Exit),
}

async fn submit(
    args: &RunArgs,
    source: &qflow_model::definition::Source,
    parameters: Vec<(String, Written)>,
    session: &Session,
) -> Result<End, Fail> {
    if args.detach && session.is_embedded() {
        return Err(Fail::usage("--detach needs a server that stays: start `qflow dev`, or set QFLOW_SERVER"));
    }
    let client = &session.client;
    let registered = client.register(source).await?;
    if !registered.problems.is_empty() {
        problems::tell(&registered.problems, None);
    }
    if registered.problems.iter().any(|p| !p.warning) {
        return Err(Fail::new(
            Exit::Invalid,
            format!("{}: {}", args.file.display(), problems::count(&registered.problems)),
        ));
    }
    let chosen = parameters::check_names(&registered.definition, args.workflow.as_deref(), &parameters)?;
    let parameters = parameters::given(client, chosen, parameters).await?;
    let start = Start {
        digest: registered.digest,
        workflow: args.workflow.clone().unwrap_or_default(),
        parameters,
        idempotency_key: args.idempotency_key.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string()),
        relock: args.relock,
        no_cache: args.no_cache,
        trace: args.trace,
    };
    let Started { run_id, created, warnings } = resolving::told(client.start(start), &registered.definition).await?;
    let news: Vec<_> = warnings.into_iter().filter(|warning| !registered.problems.contains(warning)).collect();
    problems::tell(&news, None);
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
        return Ok(End::Left(Exit::Completed));
    }
    let followed = follow(client, &run_id, session.is_embedded(), Interrupt::Cancels);
    let run = match args.timeout {
        None => followed.await?,
        Some(limit) => match tokio::time::timeout(limit, followed).await {
            Ok(run) => run?,
            Err(_) => return Err(timed_out(client, &run_id, session.is_embedded()).await),
        },
    };
    Ok(run.map_or(End::Left(Exit::Interrupted), |run| End::Ran(Box::new(run))))
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

/// What an interrupt does to the run that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// It is cancelled: whoever started it follows it.
    Cancels,
    /// It goes on: somebody looks at it.
    Leaves,
}

/// Shows the run until it has ended; `None` where the user interrupted it.
pub async fn follow(client: &Client, run_id: &str, embedded: bool, interrupt: Interrupt) -> Result<Option<Run>, Fail> {
    let mut view = View::new();
    let mut changes = client.watch(run_id).await?;
    let mut lines = client.logs(run_id, "", true).await?.fuse();
    let mut interrupted = false;
    let (mut lines_open, mut stopped, mut paused) = (true, None, Paused::default());
    let mut asking = Asking::new(run_id, embedded);
    // Heard from here on, also while something else is looked at: one that is made anew each time misses signals between.
    let mut orders = Orders::new()?;
    loop {
        tokio::select! {
            biased;
            () = orders.next() => {
                if interrupt == Interrupt::Leaves {
                    let again = if embedded { "goes on when a server is there again" } else { "goes on" };
                    view.note(&format!("run {run_id} {again}: qflow runs watch {run_id}"));
                    view.finish();
                    return Ok(None);
                }
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
                    if let Some(reason) = stands_still(&run, embedded) { stopped = Some(reason); break }
                    if let Some(told) = paused.see(&run) { view.note(&told) }
                }
                None => break,
            },
            (id, typed) = asking.typed() => asking.answer(client, &view, &id, typed).await,
        }
    }
    drain(&mut lines, lines_open && stopped.is_none(), &view).await;
    view.finish();
    if let Some(reason) = stopped {
        return Err(Fail::new(Exit::Failed, format!("run {run_id} is paused: {reason}")));
    }
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

/// Why to wait no longer for a run whose only server ends with this call: nobody else could have it go on.
fn stands_still(run: &Run, embedded: bool) -> Option<String> {
    let runs = |node: &crate::submit::Node| matches!(node.status, NodeStatus::Leased | NodeStatus::Running);
    let stands = embedded && run.status == RunStatus::Paused && !run.nodes.iter().any(runs);
    stands.then(|| render::printable(&run.reason))
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
    if let Some(hint) = run.result.as_ref().and_then(|result| contents(result, &run.run_id)) {
        eprintln!("{hint}");
    }
    eprint!("{}", render::failure(run));
    eprintln!("run {} {} · trace {}", run.run_id, run.status, run.trace_id);
    if !embedded || run.error.is_some() {
        eprintln!("look at it: qflow runs get {0} · qflow runs logs {0}", run.run_id);
    }
    Exit::of_run(run.status)
}

/// How what a result holds besides its JSON is fetched; nothing where it holds nothing.
fn contents(result: &Value, run_id: &str) -> Option<String> {
    fn find<'v>(value: &'v Value, found: &mut Vec<(&'v str, u64)>) {
        let of = |fields: &'v serde_json::Map<String, Value>| {
            let (kind, index) = (fields.get("attachment")?.as_str()?, fields.get("index")?.as_u64()?);
            (fields.len() == 2).then_some((kind, index))
        };
        match value {
            Value::Array(items) => items.iter().for_each(|item| find(item, found)),
            Value::Object(fields) => match of(fields) {
                Some(one) => found.push(one),
                None => fields.values().for_each(|field| find(field, found)),
            },
            _ => {}
        }
    }
    let mut found = Vec::new();
    find(result, &mut found);
    let (kind, index) = *found.first()?;
    let kind = if kind == "arrow" { "frame" } else { kind };
    let whole = found.len() == 1 && result.get("attachment").is_some();
    let which = if whole { String::new() } else { format!(" --content {index}") };
    let more = if found.len() > 1 { format!(" and {} more", found.len() - 1) } else { String::new() };
    Some(format!("it holds content ({kind}{more}), fetch it: qflow runs result {run_id}{which} --out PATH"))
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

/// One call of the server that a command's arguments lead to.
pub async fn call<T>(
    list: &ListArgs,
    data_dir: &Path,
    call: impl AsyncFnOnce(Client) -> Result<T, Fail>,
) -> Result<T, Fail> {
    let session = dev::session(&list.server, data_dir).await?;
    with(session, |client, _| call(client)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_result_holds_besides_json_says_how_it_is_fetched() {
        let file = json!({"attachment": "file", "index": 0});
        let hint = |result: Value| contents(&result, "R").unwrap_or_default();
        assert_eq!(hint(file.clone()), "it holds content (file), fetch it: qflow runs result R --out PATH");
        assert_eq!(
            hint(json!([1, {"x": {"attachment": "arrow", "index": 2}}, file])),
            "it holds content (frame and 1 more), fetch it: qflow runs result R --content 2 --out PATH"
        );
        assert_eq!(hint(json!({"attachment": "mine", "index": "none"})), "");
    }
}
