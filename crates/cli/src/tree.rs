//! The live view of a run on stderr: a tree that is redrawn on a terminal, a line per change elsewhere.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Write},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use qflow_model::status::NodeStatus;

use crate::{
    render::printable,
    submit::{Line, Node, Run},
};

/// Lines of nodes that a terminal shows at once: more would scroll it.
const SHOWN_NODES: usize = 20;

/// What is known of the run so far; pure.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    order: Vec<String>,
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// Takes a change in, and gives the lines that tell it to somebody who sees no tree.
    pub fn apply(&mut self, run: &Run) -> Vec<String> {
        let mut told = Vec::new();
        for node in &run.nodes {
            let before = self.nodes.insert(node.node_id.clone(), node.clone());
            if before.is_none() {
                self.order.push(node.node_id.clone());
            }
            let changed = before.as_ref().is_none_or(|b| b.status != node.status || b.doing != node.doing);
            let quiet = matches!(node.status, NodeStatus::Waiting | NodeStatus::Ready | NodeStatus::Leased);
            if changed && (!quiet || !node.doing.is_empty()) {
                told.push(line(node));
            }
        }
        told
    }

    /// The tree as it is: what runs and what failed before what waits and what is done.
    pub fn lines(&self) -> Vec<String> {
        let all: Vec<&Node> = self.order.iter().filter_map(|id| self.nodes.get(id)).collect();
        // Elements of a map are told by their step, but where they failed.
        let shown = |node: &&&Node| {
            !node.node_id.ends_with(']')
                || matches!(node.status, NodeStatus::Failed | NodeStatus::TimedOut | NodeStatus::Retrying)
        };
        let mut nodes: Vec<&Node> = all.iter().filter(shown).copied().collect();
        let left_out = nodes.len().saturating_sub(SHOWN_NODES);
        if left_out > 0 {
            nodes.sort_by_key(|node| match node.status {
                NodeStatus::Failed | NodeStatus::TimedOut => 0,
                NodeStatus::Running | NodeStatus::Leased | NodeStatus::Retrying => 1,
                NodeStatus::Completed => 3,
                _ => 2,
            });
            nodes.truncate(SHOWN_NODES);
        }
        let mut lines: Vec<String> = nodes.into_iter().map(|node| line(node) + &needs(node)).collect();
        if left_out > 0 {
            lines.push(format!("  … and {left_out} more"));
        }
        lines
    }
}

/// The edges into a node: together the lines of a tree tell the whole graph.
fn needs(node: &Node) -> String {
    if node.needs.is_empty() { String::new() } else { format!("  ← {}", printable(&node.needs.join(", "))) }
}

fn line(node: &Node) -> String {
    use std::fmt::Write as _;
    // Writing to a String cannot fail.
    let mut line = format!("  {:<24} {}", printable(&node.node_id), node.status);
    if node.length > 0 {
        let _ = write!(line, " {}/{}", node.completed, node.length);
    }
    if node.attempts > 1 {
        let _ = write!(line, " (attempt {})", node.attempts);
    }
    if let Some(progress) = node.progress.filter(|_| node.status == NodeStatus::Running) {
        let _ = write!(line, " {:.0} %", progress * 100.0);
    }
    if !node.doing.is_empty() && !node.status.is_terminal() {
        let _ = write!(line, " · {}", printable(&node.doing));
    }
    if let Some(phases) = node.phases.filter(|_| node.status == NodeStatus::Completed && node.length == 0) {
        let _ = match phases.user_code_ms {
            short if short < 1.0 => write!(line, " in under 1 ms"),
            ms if ms < 10_000.0 => write!(line, " in {ms:.0} ms"),
            long => write!(line, " in {:.1} s", long / 1e3),
        };
    }
    if let Some(error) = &node.error {
        let _ = write!(line, " · {}", printable(&error.error_type));
    }
    for warning in &node.warnings {
        let _ = write!(line, " · warning: {}", printable(warning));
    }
    line
}

/// Shows a run while it goes.
#[derive(Debug)]
pub struct View {
    tree: Tree,
    bar: Option<ProgressBar>,
}

impl View {
    /// On stderr, by whether it is a terminal.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            bar
        });
        Self { tree: Tree::default(), bar }
    }

    /// Takes a change of the run in.
    pub fn run(&mut self, run: &Run) {
        let told = self.tree.apply(run);
        match &self.bar {
            Some(bar) => {
                let lines = self.tree.lines().join("\n");
                bar.set_message(format!("{} {}\n{lines}", printable(&run.workflow), run.status));
            }
            None => {
                for line in &told {
                    say(line);
                }
            }
        }
    }

    /// Shows a line that user code wrote.
    pub fn log(&self, line: &Line) {
        self.note(&log_line(line));
    }

    /// Shows a line of our own.
    pub fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => say(text),
        }
    }

    /// Leaves the tree standing as it is.
    pub fn finish(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
            for line in self.tree.lines() {
                say(&line);
            }
        }
    }
}

impl Default for View {
    fn default() -> Self {
        Self::new()
    }
}

/// A line of user code with its node before it.
pub fn log_line(line: &Line) -> String {
    format!("{} | {}", printable(&line.node_id), printable(line.text.trim_end()))
}

fn say(line: &str) {
    // A reader of stderr that went away is no reason to stop a run.
    drop(writeln!(std::io::stderr(), "{line}"));
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use qflow_model::status::RunStatus;

    pub(crate) fn node(node_id: &str, status: NodeStatus) -> Node {
        Node {
            node_id: node_id.to_owned(),
            status,
            attempts: 1,
            phases: None,
            error: None,
            length: 0,
            completed: 0,
            needs: Vec::new(),
            doing: String::new(),
            progress: None,
            warnings: Vec::new(),
        }
    }

    pub(crate) fn run(nodes: Vec<Node>) -> Run {
        Run {
            run_id: "r".to_owned(),
            workflow: "w".to_owned(),
            status: RunStatus::Running,
            reason: String::new(),
            result: None,
            error: None,
            trace_id: String::new(),
            created_at: None,
            started_at: None,
            ended_at: None,
            nodes,
            nodes_completed: 0,
            nodes_total: 2,
        }
    }

    #[test]
    fn without_a_terminal_each_change_is_told_once() {
        let mut tree = Tree::default();
        assert!(tree.apply(&run(vec![node("a", NodeStatus::Waiting)])).is_empty(), "waiting is no news");
        let running = run(vec![node("a", NodeStatus::Running)]);
        assert_eq!(tree.apply(&running).len(), 1);
        assert!(tree.apply(&running).is_empty());
        let building =
            Node { doing: "environment: installing 5 packages".to_owned(), ..node("b", NodeStatus::Waiting) };
        assert!(tree.apply(&run(vec![building]))[0].contains("installing 5 packages"));
    }

    #[test]
    fn a_map_is_one_line_with_its_failed_elements_below() {
        let mut tree = Tree::default();
        let map = Node { length: 3, completed: 1, ..node("f", NodeStatus::Running) };
        let elements = [NodeStatus::Completed, NodeStatus::Failed, NodeStatus::Running];
        let elements = elements.into_iter().enumerate().map(|(i, status)| node(&format!("f[{i}]"), status));
        tree.apply(&run(std::iter::once(map).chain(elements).collect()));
        let lines: Vec<String> =
            tree.lines().iter().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines, ["f running 1/3", "f[1] failed"]);
    }

    #[test]
    fn a_large_run_shows_what_matters_within_the_screen() {
        let mut tree = Tree::default();
        let mut nodes: Vec<Node> = (0..50).map(|i| node(&format!("n{i}"), NodeStatus::Completed)).collect();
        nodes.push(node("bad", NodeStatus::Failed));
        tree.apply(&run(nodes));
        assert_eq!(tree.lines().len(), SHOWN_NODES + 1);
        assert!(tree.lines()[0].contains("bad"));
        assert!(tree.lines()[SHOWN_NODES].contains("31 more"));
    }
}
