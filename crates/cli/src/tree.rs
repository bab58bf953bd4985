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
    /// Each with its place among those that were heard of.
    nodes: BTreeMap<String, (usize, Node)>,
}

impl Tree {
    /// Takes a change in, and gives the lines that tell it to somebody who sees no tree.
    pub fn apply(&mut self, run: &Run) -> Vec<String> {
        let mut told = Vec::new();
        for node in &run.nodes {
            let rank = self.nodes.get(&node.node_id).map_or(self.nodes.len(), |(rank, _)| *rank);
            let before = self.nodes.insert(node.node_id.clone(), (rank, node.clone()));
            let changed = before.as_ref().is_none_or(|(_, b)| b.status != node.status || b.doing != node.doing);
            let quiet = matches!(node.status, NodeStatus::Waiting | NodeStatus::Ready | NodeStatus::Leased);
            if changed && (!quiet || !node.doing.is_empty()) {
                told.push(line(node));
            }
        }
        told
    }

    /// The tree as it is, as far as a terminal has room for it.
    pub fn lines(&self) -> Vec<String> {
        self.part(0, SHOWN_NODES)
    }

    /// How many nodes it tells of.
    pub fn count(&self) -> usize {
        self.shown().count()
    }

    /// At most so many nodes after the first so many, and how many more there are. Where there is no room for all, what failed and what
    /// runs comes before what waits and what is done.
    pub fn part(&self, from: usize, most: usize) -> Vec<String> {
        let mut nodes: Vec<&Node> = self.shown().collect();
        nodes.sort_by_cached_key(|node| self.place(&node.node_id));
        if nodes.len() > most {
            nodes.sort_by_key(|node| match node.status {
                NodeStatus::Failed | NodeStatus::TimedOut => 0,
                NodeStatus::Running | NodeStatus::Leased | NodeStatus::Retrying => 1,
                NodeStatus::Completed => 3,
                _ => 2,
            });
        }
        let left_out = nodes.len().saturating_sub(from + most);
        let shown = nodes.into_iter().skip(from).take(most);
        let mut lines: Vec<String> = shown.map(|node| line(node) + &needs(node)).collect();
        if left_out > 0 {
            lines.push(format!("  … and {left_out} more"));
        }
        lines
    }

    /// Elements of a map, and what is called for them, are told by their step, but where they failed or wait for somebody.
    fn shown(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().map(|(_, node)| node).filter(|node| {
            !node.node_id.contains('[')
                || matches!(node.status, NodeStatus::Failed | NodeStatus::TimedOut | NodeStatus::Retrying)
                || node.approval.is_some()
        })
    }

    /// Where a node stands in the tree: below who called it, there in the order in which it was heard of.
    fn place(&self, node_id: &str) -> Vec<usize> {
        let (mut place, mut end) = (Vec::new(), 0);
        for part in node_id.split('/') {
            end += part.len();
            let (bare, index) = part.strip_suffix(']').and_then(|part| part.split_once('[')).unwrap_or((part, ""));
            let own = &node_id[..end - part.len() + bare.len()];
            place.push(self.nodes.get(own).map_or(usize::MAX, |(rank, _)| *rank));
            place.push(index.parse().map_or(0, |index: usize| index + 1));
            end += 1;
        }
        place
    }
}

/// The edges into a node: together the lines of a tree tell the whole graph.
fn needs(node: &Node) -> String {
    if node.needs.is_empty() { String::new() } else { format!("  ← {}", printable(&node.needs.join(", "))) }
}

fn line(node: &Node) -> String {
    use std::fmt::Write as _;
    // Writing to a String cannot fail.
    let indent = " ".repeat(2 * node.node_id.matches('/').count());
    let mut line = format!("  {:<24} {}", indent + &printable(&node.node_id), node.status);
    if node.length > 0 {
        let _ = write!(line, " {}/{}", node.completed, node.length);
        if node.failed > 0 {
            let _ = write!(line, ", {} failed", node.failed);
        }
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
    if let Some(from) = &node.reused_from {
        let _ = write!(line, " · reused from run {}", printable(&from.run_id.to_string()));
    }
    let measured = node.status == NodeStatus::Completed
        && node.length == 0
        && node.node_type == "python"
        && node.reused_from.is_none();
    if let Some(phases) = node.phases.filter(|_| measured) {
        let _ = match phases.user_code_ms {
            short if short < 1.0 => write!(line, " in under 1 ms"),
            ms if ms < 10_000.0 => write!(line, " in {ms:.0} ms"),
            long => write!(line, " in {:.1} s", long / 1e3),
        };
    }
    if let Some(answered) = &node.answered {
        let answer = if answered.approved { "approved" } else { "rejected" };
        let by = answered.by.as_deref().unwrap_or("nobody in time");
        let _ = write!(line, " · {answer} by {}", printable(by));
        if !answered.comment.is_empty() {
            let _ = write!(line, ": {}", printable(&answered.comment));
        }
    }
    if let Some(error) = &node.error {
        let _ = write!(line, " · {}", printable(&error.error_type));
    }
    for warning in &node.warnings {
        let _ = write!(line, " · warning: {}", printable(&sentence(warning)));
    }
    line
}

/// Characters of a text that a row has room for.
const ROW_CHARS: usize = 120;

/// The first sentence of a text, as far as a row has room for it; `-o json` has all.
fn sentence(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    let first = first.split_once(". ").map_or(first, |(first, _)| first);
    if first.chars().count() <= ROW_CHARS {
        return first.to_owned();
    }
    first.chars().take(ROW_CHARS).chain(['…']).collect()
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
            node_type: "python".to_owned(),
            failed: 0,
            approval: None,
            answered: None,
            reused_from: None,
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
            paused_at: None,
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
    fn a_node_that_was_not_run_says_whose_value_it_has() {
        let run_id = "0198a000-0000-7000-8000-000000000001".parse().unwrap();
        let from = qflow_model::progress::ReusedFrom { run_id, node_id: "a".to_owned(), attempt: 1 };
        let reused = Node { attempts: 0, reused_from: Some(from), ..node("a", NodeStatus::Completed) };
        assert!(line(&reused).ends_with(&format!("completed · reused from run {run_id}")), "{}", line(&reused));
    }

    #[test]
    fn a_row_has_the_first_sentence_of_a_warning_and_no_more_than_it_has_room_for() {
        let row =
            |warning: &str| line(&Node { warnings: vec![warning.to_owned()], ..node("a", NodeStatus::Completed) });
        assert!(row("it is late. Look at the clock.").ends_with(" · warning: it is late"));
        assert!(row("read `a.b`: no\nsuch thing").ends_with(" · warning: read `a.b`: no"));
        let long = row(&"ä".repeat(500));
        assert_eq!((long.matches('ä').count(), long.ends_with('…')), (ROW_CHARS, true));
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
    fn what_a_workflow_calls_stands_below_it() {
        let mut tree = Tree::default();
        let map = Node { length: 3, completed: 1, failed: 1, ..node("one", NodeStatus::Running) };
        let waits = Node { approval: Some("finance".to_owned()), ..node("one[2]/ok", NodeStatus::Running) };
        tree.apply(&run(vec![
            node("child", NodeStatus::Running),
            map,
            node("last", NodeStatus::Waiting),
            node("one[0]", NodeStatus::Completed),
            node("one[2]", NodeStatus::Running),
            node("child/fetch", NodeStatus::Completed),
            node("child/inner", NodeStatus::Running),
            node("one[0]/parse", NodeStatus::Failed),
            waits,
            node("child/inner/deep", NodeStatus::Running),
        ]));
        insta::assert_snapshot!(tree.lines().join("\n"));
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
