//! Approvals: `qflow approve`, and what a followed run waits for, asked on the terminal where its server is ours and told elsewhere.

use std::{
    collections::{BTreeSet, VecDeque},
    io::{BufRead, IsTerminal},
    path::Path,
};

use tokio::sync::oneshot;

use crate::{
    args::{ApproveArgs, Output},
    dev,
    exit::{Exit, Fail},
    outln, render, run,
    submit::{Client, Run},
    tree::View,
};

/// Answers an approval.
pub async fn approve(args: ApproveArgs, data_dir: &Path) -> Result<Exit, Fail> {
    let session = dev::session(&args.list.server, data_dir).await?;
    run::with(session, |client, embedded| async move {
        let id = args.run.to_string();
        let (run, node) = client.approve(&id, &args.node, !args.reject, &args.comment).await?;
        if args.list.output == Output::Json {
            outln!("{:#}", render::run_json(&run));
        }
        eprintln!("{} {}; run {id} is {}", if args.reject { "rejected" } else { "approved" }, node, run.status);
        if !embedded {
            eprintln!("follow it: qflow runs watch {id}");
            return Ok(Exit::Completed);
        }
        // The embedded server ends with this call: the run goes on in it.
        let run = run::follow(&client, &id, embedded, run::Interrupt::Leaves).await?;
        Ok(run.map_or(Exit::Interrupted, |run| run::tell(&run, args.list.output, embedded)))
    })
    .await
}

/// What a followed run waits for.
#[derive(Debug)]
pub struct Asking {
    run_id: String,
    embedded: bool,
    /// Whether somebody sits there to be asked.
    terminal: bool,
    told: BTreeSet<String>,
    left: VecDeque<(String, String)>,
    open: Option<(String, oneshot::Receiver<String>)>,
}

impl Asking {
    /// Of a run that is followed from here.
    pub fn new(run_id: &str, embedded: bool) -> Self {
        let terminal = embedded && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        let (told, left) = (BTreeSet::new(), VecDeque::new());
        Self { run_id: run_id.to_owned(), embedded, terminal, told, left, open: None }
    }

    /// Takes a change of the run in.
    pub fn see(&mut self, run: &Run, view: &View) {
        for node in &run.nodes {
            let Some(name) = &node.approval else {
                self.told.remove(&node.node_id);
                self.left.retain(|(id, _)| *id != node.node_id);
                continue;
            };
            if !self.told.insert(node.node_id.clone()) {
                continue;
            }
            if self.terminal {
                self.left.push_back((node.node_id.clone(), name.clone()));
            } else {
                view.note(&render::printable(&how(&self.run_id, &node.node_id, name, self.embedded)));
            }
        }
        self.ask(view);
    }

    fn ask(&mut self, view: &View) {
        if self.open.is_some() {
            return;
        }
        let Some((id, name)) = self.left.pop_front() else { return };
        view.note(&render::printable(&format!("approve `{name}` ({id})? [y/N]")));
        let (to, answer) = oneshot::channel();
        // A thread of its own: one that reads a terminal cannot be called off, and must not hold up the end of the process.
        std::thread::spawn(move || {
            let mut line = String::new();
            if std::io::stdin().lock().read_line(&mut line).is_ok_and(|read| read > 0) {
                // Nobody waits for it any more where the run has ended.
                drop(to.send(line));
            }
        });
        self.open = Some((id, answer));
    }

    /// Waits for what is typed, for which node; for ever where nothing was asked. Nothing is lost where it is not waited for to the end.
    pub async fn typed(&mut self) -> (String, Option<String>) {
        let Some((id, typed)) = &mut self.open else { return std::future::pending().await };
        let typed = typed.await.ok();
        let id = std::mem::take(id);
        self.open = None;
        (id, typed)
    }

    /// Gives the run what was typed.
    pub async fn answer(&mut self, client: &Client, view: &View, id: &str, typed: Option<String>) {
        let Some(line) = typed else {
            self.terminal = false;
            return view.note("nothing more can be typed: the run waits until its approvals' time is up");
        };
        if let Err(fail) = client.approve(&self.run_id, id, is_yes(&line), "").await {
            view.note(&render::printable(&fail.message));
        }
        self.ask(view);
    }
}

fn is_yes(line: &str) -> bool {
    matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// How an approval is answered that is not asked for here.
fn how(run_id: &str, node_id: &str, name: &str, embedded: bool) -> String {
    if embedded {
        return format!(
            "waits for approval `{name}` ({node_id}), which nobody can give: this call is the run's only server, and has no \
             terminal. Start `qflow dev` and run it there; `qflow approve RUN {node_id}` then answers"
        );
    }
    format!("waits for approval `{name}`: qflow approve {run_id} {node_id}, or with --reject")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::tests::{node, run};
    use qflow_model::status::NodeStatus;

    #[test]
    fn only_yes_is_yes() {
        for (line, yes) in [("y\n", true), (" YES \n", true), ("n\n", false), ("\n", false), ("yeah\n", false)] {
            assert_eq!(is_yes(line), yes, "{line}");
        }
    }

    #[test]
    fn an_approval_is_told_once_each_time_it_waits() {
        let view = View::new();
        let mut asking = Asking { terminal: false, ..Asking::new("r", true) };
        let waits = crate::submit::Node { approval: Some("finance".into()), ..node("ok", NodeStatus::Running) };
        asking.see(&run(vec![waits.clone()]), &view);
        asking.see(&run(vec![waits]), &view);
        assert_eq!(asking.told.len(), 1);
        asking.see(&run(vec![node("ok", NodeStatus::Completed)]), &view);
        assert!(asking.told.is_empty());
    }

    #[test]
    fn who_cannot_answer_is_told_where_one_can() {
        assert!(how("r", "publish", "finance", true).contains("qflow dev"));
        assert!(how("r", "publish", "finance", false).contains("qflow approve r publish"));
    }
}
