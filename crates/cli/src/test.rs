//! `qflow test`: runs a file's cases on a server of their own, and says which hold.

mod cases;
mod diff;
mod judge;
mod report;

use std::path::{Path, PathBuf};

use qflow_model::definition::{Definition, Problem};
use qflow_type_validator::validate::{Inspected, inspect};
use tokio_stream::StreamExt as _;

use crate::{
    args::{Output, TestArgs, TestRuntime, Trace},
    dev::{self, Overrides, Session},
    exit::{Exit, Fail},
    outln, problems,
    run::Orders,
    source::{self, Collected},
    submit::{Given, Start},
};
use cases::{Case, Cases};
use report::{Report, Verdict};

/// How cases are written, for `--help`.
pub(crate) const HELP: &str = "\
Cases of sales.py stand in sales.test.toml:

  timeout = \"1m\"                          # of each case; 5m where nothing is said
  secrets = { openai = \"not a real key\" } # what qflow.secret gives in the nodes

  [[case]]
  name = \"a quiet day\"
  workflow = \"daily_sales\"                # where the file has several
  params = { day = 2026-11-23 }
  result = 7.5
  tolerance = 0.001                       # how far numbers may differ

  [[case]]
  name = \"a day before the shop opened\"
  params = { day = 1900-01-01 }
  failure = \"ValueError\"                  # the run must fail with it
  message = \"no rows\"                     # which its message holds
  node = \"fetch\"                          # in this node

A value that TOML does not have is written as JSON: params_json = '{\"x\": null}', result_json = 'null'.
Without such a file every workflow whose parameters all have defaults is run, and must complete.

Exit codes: 0 all passed, 1 some did not, 2 usage, 3 the workflow or a case is wrong.";

/// Whose runs those of an embedded server are, as its secrets' folder is named.
const TENANT: &str = "default";
/// How long a runner may take to see the secrets that a case gives; it looks about once a second.
const SECRETS_SEEN: std::time::Duration = std::time::Duration::from_secs(10);
/// Between two tries while it has not.
const SECRETS_LOOK: std::time::Duration = std::time::Duration::from_millis(100);
/// Lines of a failed case's output that are shown.
const SHOWN_LINES: usize = 20;

/// Runs the cases.
pub async fn test(args: TestArgs) -> Result<Exit, Fail> {
    let Collected { source, warnings } = source::collect(&args.file)?;
    let Inspected { definition, problems, .. } = inspect(&source);
    let problems: Vec<Problem> = warnings.into_iter().chain(problems).collect();
    problems::tell(&problems, None);
    if problems.iter().any(|problem| !problem.warning) {
        return Err(Fail::new(Exit::Invalid, format!("{}: {}", args.file.display(), problems::count(&problems))));
    }
    let cases = chosen(&args, &definition)?;
    let mut report = Report::new(&args.file, args.output == Output::Table);
    // It goes with this call, whatever becomes of it.
    let home = tempfile::Builder::new().prefix("qf").tempdir().map_err(anyhow::Error::from)?;
    let secrets = home.path().join("secrets");
    let mut orders = Orders::new()?;
    let session = dev::apart(home.path(), overrides(&args, &secrets, home.path())).await?;
    let all = async {
        let registered = session.client.register(&source).await?;
        let unsound: Vec<Problem> = registered.problems.into_iter().filter(|problem| !problem.warning).collect();
        if !unsound.is_empty() {
            problems::tell(&unsound, None);
            return Err(Fail::new(Exit::Invalid, format!("{}: {}", args.file.display(), problems::count(&unsound))));
        }
        for case in &cases.all {
            give_secrets(&secrets, case)?;
            let verdict = one(&session, &registered.digest, case).await?;
            report.add(case, verdict);
        }
        Ok(())
    };
    let ended = tokio::select! {
        biased;
        () = orders.next() => None,
        ended = all => Some(ended),
    };
    session.close().await;
    let Some(ended) = ended else { return Ok(Exit::Interrupted) };
    ended?;
    finish(&args, &report)
}

/// The cases that are asked for.
fn chosen(args: &TestArgs, definition: &Definition) -> Result<Cases, Fail> {
    let beside = args.file.with_extension("test.toml");
    let path = args.cases.clone().unwrap_or_else(|| beside.clone());
    let mut cases = if args.cases.is_some() || path.exists() {
        cases::read(&path, definition)?
    } else {
        let cases = cases::without_parameters(definition);
        let left_out = definition.workflows.len() - cases.all.len();
        let rest = if left_out == 0 { String::new() } else { format!("; {left_out} left out: they need parameters") };
        eprintln!("no cases in {}: each workflow that needs no parameters is run{rest}", beside.display());
        cases
    };
    let there = cases.all.len();
    if let Some(text) = &args.filter {
        cases.all.retain(|case| case.name.contains(text.as_str()) || case.workflow.contains(text.as_str()));
    }
    if cases.all.is_empty() {
        let why = match &args.filter {
            Some(text) => format!("none of {there} cases holds `{text}`"),
            None => format!("no case to run; write one in {}, see qflow test --help", beside.display()),
        };
        return Err(Fail::usage(why));
    }
    Ok(cases)
}

fn overrides(args: &TestArgs, secrets: &Path, home: &Path) -> Overrides {
    let docker = args.runtime == TestRuntime::Docker;
    Overrides { docker, secrets_dir: secrets.to_owned(), run_dir: home.join("run") }
}

/// A case's secrets, where the runner reads them; those of the case before are gone.
fn give_secrets(folder: &Path, case: &Case) -> Result<(), Fail> {
    let folder: PathBuf = folder.join(TENANT);
    drop(std::fs::remove_dir_all(&folder));
    let failed = |e: std::io::Error| Fail::from(anyhow::Error::from(e).context("write a case's secrets"));
    std::fs::create_dir_all(&folder).map_err(failed)?;
    for (name, text) in &case.secrets {
        std::fs::write(folder.join(name), text).map_err(failed)?;
    }
    Ok(())
}

/// Whether a case was refused for a secret that it gives: the runner has not looked into its folder since.
fn awaits_secret(case: &Case, fail: &Fail) -> bool {
    let given = |name: &String| fail.message.contains(&format!("the secret `{name}`"));
    fail.exit == Exit::Invalid && fail.message.contains("unknown-secret") && case.secrets.keys().any(given)
}

/// Runs one case to its end, or past its time.
async fn one(session: &Session, digest: &str, case: &Case) -> Result<Verdict, Fail> {
    let client = &session.client;
    let begun = tokio::time::Instant::now();
    let parameters = case.params.iter().map(|(name, text)| (name.clone(), Given::Json(text.clone())));
    let parameters: Vec<_> = parameters.collect();
    let start = || Start {
        digest: digest.to_owned(),
        workflow: case.workflow.clone(),
        parameters: parameters.clone(),
        idempotency_key: uuid::Uuid::new_v4().to_string(),
        relock: false,
        // A case is there to see the code run.
        no_cache: true,
        trace: Trace::Auto,
    };
    let mut started = client.start(start()).await;
    while matches!(&started, Err(fail) if awaits_secret(case, fail)) && begun.elapsed() < SECRETS_SEEN {
        tokio::time::sleep(SECRETS_LOOK).await;
        started = client.start(start()).await;
    }
    let run_id = match started {
        Ok(started) => started.run_id,
        // A wrong parameter is the case's; that no server answers is not.
        Err(fail) if matches!(fail.exit, Exit::Invalid | Exit::Usage) => {
            return Ok(Verdict::refused(fail.message, begun.elapsed()));
        }
        Err(fail) => return Err(fail),
    };
    let ended = async {
        let mut changes = client.watch(&run_id).await?;
        while let Some(run) = changes.next().await.transpose()? {
            if run.status.is_terminal() {
                break;
            }
        }
        client.get(&run_id).await
    };
    let Ok(run) = tokio::time::timeout(case.timeout, ended).await else {
        client.cancel(&run_id).await?;
        let message = format!("not ended within {:?}; it was cancelled", case.timeout);
        return Ok(Verdict { run_id, ..Verdict::refused(message, begun.elapsed()) });
    };
    let run = run?;
    let mut verdict = judge::judge(case, &run, begun.elapsed());
    if verdict.why.is_some() {
        let mut lines = Vec::new();
        let mut batches = client.logs(&run_id, "", false).await?;
        while let Some(batch) = batches.next().await {
            lines.extend(batch?.iter().map(crate::tree::log_line));
        }
        verdict.lines = lines.split_off(lines.len().saturating_sub(SHOWN_LINES));
    }
    Ok(verdict)
}

fn finish(args: &TestArgs, report: &Report) -> Result<Exit, Fail> {
    if let Some(path) = &args.junit {
        let written = std::fs::write(path, report.junit());
        written.map_err(|e| Fail::usage(format!("write {}: {e}", path.display())))?;
    }
    match args.output {
        Output::Json => outln!("{:#}", report.json()),
        Output::Raw | Output::Table => outln!("{}", report.sum()),
    }
    Ok(if report.failed() == 0 { Exit::Completed } else { Exit::Failed })
}
