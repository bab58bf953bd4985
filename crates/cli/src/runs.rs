//! `qflow runs …` and `qflow workflows`: look at what a server has, and act on it.

use std::path::Path;

use tokio_stream::StreamExt;

use crate::{
    approve,
    args::{ListArgs, OneRun, Output, ResumeArgs, RunsCommand},
    dev,
    exit::{Exit, Fail},
    out, outln, render, result, run,
    submit::{Client, Line, Run},
    tree,
};

/// Does what was asked.
pub async fn runs(command: RunsCommand, data_dir: &Path) -> Result<Exit, Fail> {
    match command {
        RunsCommand::List { workflow, status, limit, list } => {
            let session = dev::session(&list.server, data_dir).await?;
            let status = status.map(|s| s.to_string()).unwrap_or_default();
            let workflow = workflow.unwrap_or_default();
            let runs =
                run::with(session, |client, _| async move { client.list(&workflow, &status, limit).await }).await?;
            match list.output {
                Output::Json => outln!("{:#}", runs.iter().map(render::run_json).collect::<serde_json::Value>()),
                Output::Raw => runs.iter().for_each(|run| outln!("{}", run.run_id)),
                Output::Table => out!("{}", render::run_list(&runs)),
            }
            Ok(Exit::Completed)
        }
        RunsCommand::Get(one) => show(one, data_dir, async |client: Client, id: String| client.get(&id).await).await,
        RunsCommand::Cancel(one) => {
            show(one, data_dir, async |client: Client, id: String| client.cancel(&id).await).await
        }
        RunsCommand::Pause(one) => {
            show(one, data_dir, async |client: Client, id: String| client.pause(&id).await).await
        }
        RunsCommand::Resume(ResumeArgs { retry, fail, run }) => {
            go_on(run, data_dir, async |client: &Client, id: &str| client.resume(id, &retry, &fail).await).await
        }
        RunsCommand::Retry(one) => go_on(one, data_dir, async |client: &Client, id: &str| client.retry(id).await).await,
        RunsCommand::Approve(args) => approve::approve(args, data_dir).await,
        RunsCommand::Result(args) => result::result(args, data_dir).await,
        RunsCommand::Watch(one) => watch(one, data_dir).await,
        RunsCommand::Logs { node, follow, run } => logs(run, node.unwrap_or_default(), follow, data_dir).await,
    }
}

/// Lists the workflows.
pub async fn workflows(list: ListArgs, data_dir: &Path) -> Result<Exit, Fail> {
    let session = dev::session(&list.server, data_dir).await?;
    let workflows = run::with(session, |client, _| async move { client.workflows().await }).await?;
    if list.output == Output::Json {
        outln!("{:#}", serde_json::json!(workflows));
    } else {
        let rows = workflows
            .into_iter()
            .map(|w| [w.name, w.digest[..w.digest.len().min(12)].to_owned(), w.registered_at.unwrap_or_default()]);
        out!("{}", render::table(["WORKFLOW", "SOURCE", "REGISTERED"], rows));
    }
    Ok(Exit::Completed)
}

async fn show(
    one: OneRun,
    data_dir: &Path,
    call: impl AsyncFnOnce(Client, String) -> Result<Run, Fail>,
) -> Result<Exit, Fail> {
    let session = dev::session(&one.list.server, data_dir).await?;
    let run = run::with(session, |client, _| call(client, one.run.to_string())).await?;
    match one.list.output {
        Output::Json => outln!("{:#}", render::run_json(&run)),
        Output::Raw => outln!("{}", run.result.as_ref().map(|r| render::result(r, Output::Raw)).unwrap_or_default()),
        Output::Table => {
            out!("{}", render::run_list(std::slice::from_ref(&run)));
            if !run.reason.is_empty() {
                outln!("{}", render::printable(&run.reason));
            }
            let mut tree = tree::Tree::default();
            tree.apply(&run);
            for line in tree.lines() {
                outln!("{line}");
            }
            out!("{}", render::failure(&run));
            if let Some(result) = &run.result {
                outln!("result: {}", render::result(result, Output::Table));
            }
        }
    }
    Ok(Exit::Completed)
}

async fn watch(one: OneRun, data_dir: &Path) -> Result<Exit, Fail> {
    let session = dev::session(&one.list.server, data_dir).await?;
    let id = one.run.to_string();
    let embedded = session.is_embedded();
    let followed = run::with(session, |client, embedded| async move {
        run::follow(&client, &id, embedded, run::Interrupt::Leaves).await
    });
    Ok(followed.await?.map_or(Exit::Interrupted, |run| run::tell(&run, one.list.output, embedded)))
}

/// A run that goes on needs a server that stays: an embedded one follows it to its end.
async fn go_on(
    one: OneRun,
    data_dir: &Path,
    call: impl AsyncFnOnce(&Client, &str) -> Result<Run, Fail>,
) -> Result<Exit, Fail> {
    let session = dev::session(&one.list.server, data_dir).await?;
    let id = one.run.to_string();
    let (embedded, output) = (session.is_embedded(), one.list.output);
    let went_on = run::with(session, |client, embedded| async move {
        let run = call(&client, &id).await?;
        if !embedded {
            if one.list.output == Output::Json {
                outln!("{:#}", render::run_json(&run));
            }
            let further =
                if run.status.is_terminal() { String::new() } else { format!("; follow it: qflow runs watch {id}") };
            eprintln!("run {id} {}{further}", run.status);
            return Ok(Err(Exit::Completed));
        }
        let run = run::follow(&client, &id, embedded, run::Interrupt::Cancels).await?;
        Ok(run.ok_or(Exit::Interrupted))
    });
    Ok(went_on.await?.map_or_else(|exit| exit, |run| run::tell(&run, output, embedded)))
}

async fn logs(one: OneRun, node: String, follow: bool, data_dir: &Path) -> Result<Exit, Fail> {
    let session = dev::session(&one.list.server, data_dir).await?;
    let id = one.run.to_string();
    run::with(session, |client, _| async move {
        let mut batches = client.logs(&id, &node, follow).await?;
        while let Some(batch) = batches.next().await {
            for line in batch? {
                match one.list.output {
                    Output::Json => outln!("{}", line_json(&line)),
                    Output::Raw => outln!("{}", render::printable(&line.text)),
                    Output::Table => outln!("{}", tree::log_line(&line)),
                }
            }
        }
        Ok(Exit::Completed)
    })
    .await
}

/// A line as one object; fields only where `qflow.log` was given some.
fn line_json(line: &Line) -> serde_json::Value {
    let mut object = serde_json::json!({
        "node_id": line.node_id, "attempt": line.attempt, "sequence": line.sequence, "at": line.at, "stream": line.stream, "text": line.text,
    });
    if !line.fields.is_empty() {
        object["fields"] = line.fields.clone().into();
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_fields_where_it_was_given_some() {
        let (node_id, stream, text) = ("parse".to_owned(), "log".to_owned(), "parsed rows=3".to_owned());
        let fields = [("rows".to_owned(), 3.into())].into_iter().collect();
        let said = Line { node_id, stream, text, attempt: 1, sequence: 0, at: None, fields };
        assert_eq!(line_json(&said)["fields"], serde_json::json!({"rows": 3}));
        let printed = Line { fields: serde_json::Map::new(), ..said };
        assert!(line_json(&printed).get("fields").is_none());
    }
}
