//! What `qflow top` shows, and how keys and news change it: pure.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::feed::News;
use crate::{
    status::duration,
    submit::{ActiveWorkflow, Health, Line, Pool, Run, SystemStatus},
    tree::{self, Tree},
};

/// Lines of a run's log that are kept to be looked at; `qflow runs logs` has all.
const LINES: usize = 1_000;

/// After which a feed that tells nothing is heard no more, though its connection stands: the aggregator tells all every five seconds.
const SILENT: Duration = Duration::from_secs(20);

/// Everything that is shown.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own: they are not states of one thing")]
pub(super) struct View {
    /// Whose it is.
    pub(super) server: String,
    /// Whether there are colours.
    pub(super) colour: bool,
    /// What is under way, once it was told.
    pub(super) status: Option<SystemStatus>,
    /// How the parts are, once it was told.
    pub(super) health: Option<Health>,
    /// Since it began, and when what is under way and how the parts are was told last.
    pub(super) at: Duration,
    pub(super) heard: (Duration, Duration),
    /// All pools.
    pub(super) pools: Vec<Pool>,
    /// Feeds that do not come, and why.
    pub(super) trouble: BTreeMap<&'static str, String>,
    /// What a run must hold somewhere to be shown.
    pub(super) filter: String,
    /// Whether keys go into the filter.
    pub(super) typing: bool,
    /// What comes first.
    pub(super) sort: Sort,
    /// The run that is chosen.
    pub(super) chosen: Option<String>,
    /// The run that is looked into.
    pub(super) detail: Option<Detail>,
    /// Whether the keys are told.
    pub(super) help: bool,
    /// Whether it was left.
    pub(super) left: bool,
}

/// A run that is looked into.
#[derive(Debug, Default)]
pub(super) struct Detail {
    /// Its id.
    pub(super) run_id: String,
    /// Its head, once it was told.
    pub(super) run: Option<Run>,
    /// Its nodes.
    pub(super) nodes: Tree,
    /// Its newest lines.
    pub(super) lines: VecDeque<String>,
    /// The last line of each attempt: what was told before is not told again.
    heard: BTreeMap<(String, u32), u64>,
    /// Lines by which it is scrolled back from the newest.
    pub(super) back: usize,
    /// Nodes that are scrolled past.
    pub(super) down: usize,
    /// Whether keys scroll its nodes, and not its log.
    pub(super) in_nodes: bool,
}

/// What comes first in the list of runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// The oldest.
    #[default]
    Age,
    /// What is least through.
    Progress,
    /// What waits most.
    Queued,
    /// By workflow.
    Workflow,
    /// By user.
    User,
}

impl Sort {
    const fn next(self) -> Self {
        match self {
            Self::Age => Self::Progress,
            Self::Progress => Self::Queued,
            Self::Queued => Self::Workflow,
            Self::Workflow => Self::User,
            Self::User => Self::Age,
        }
    }

    /// As it is told.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Progress => "progress",
            Self::Queued => "queued",
            Self::Workflow => "workflow",
            Self::User => "user",
        }
    }
}

impl View {
    /// How the whole is, as far as that is known: what was told before its feed ended is not how it is now.
    pub(super) fn verdict(&self) -> String {
        match (&self.health, self.since("health", self.heard.1)) {
            (Some(_), Some(since)) => format!("not heard for {since}"),
            (Some(health), None) => health.status.clone(),
            (None, _) => "not told yet".to_owned(),
        }
    }

    /// For how long what is under way was not told, where that is too long.
    pub(super) fn silence(&self) -> Option<String> {
        self.since("status", self.heard.0)
    }

    /// For how long a feed that ended, or that tells nothing though it has not, was not heard.
    fn since(&self, feed: &str, heard: Duration) -> Option<String> {
        let silent = self.at.saturating_sub(heard);
        (self.trouble.contains_key(feed) || silent > SILENT).then(|| duration(silent.as_secs()))
    }

    /// The runs that are shown, in their order.
    pub(super) fn runs(&self) -> Vec<&ActiveWorkflow> {
        let wanted = self.filter.to_lowercase();
        let holds = |run: &&ActiveWorkflow| {
            let texts = [&run.workflow_id, &run.user_id, &run.status, &run.run_id, &run.trace_id];
            texts.into_iter().any(|text| text.to_lowercase().contains(&wanted))
        };
        let all = self.status.as_ref().map_or(&[][..], |status| &status.workflows);
        let mut runs: Vec<&ActiveWorkflow> = all.iter().filter(holds).collect();
        // They come oldest first, which stays among equals.
        match self.sort {
            Sort::Age => {}
            Sort::Progress => runs.sort_by(|a, b| a.progress_percent.total_cmp(&b.progress_percent)),
            Sort::Queued => runs.sort_by_key(|run| std::cmp::Reverse(run.queued)),
            Sort::Workflow => runs.sort_by(|a, b| a.workflow_id.cmp(&b.workflow_id)),
            Sort::User => runs.sort_by(|a, b| a.user_id.cmp(&b.user_id)),
        }
        runs
    }

    /// Where the chosen run stands among those that are shown; the first, where it is not among them.
    pub(super) fn at(&self) -> usize {
        let runs = self.runs();
        runs.iter().position(|run| Some(&run.run_id) == self.chosen.as_ref()).unwrap_or_default()
    }

    /// The run that is looked into.
    pub(super) fn run_shown(&self) -> Option<&str> {
        self.detail.as_ref().map(|detail| detail.run_id.as_str())
    }

    /// Takes something in.
    pub(super) fn hear(&mut self, news: News) {
        match news {
            News::Key(key) => self.press(key),
            News::Resized => {}
            News::Gone => self.left = true,
            News::Status(status) => {
                self.trouble.remove("status");
                (self.status, self.heard.0) = (Some(status), self.at);
            }
            News::Health(health) => {
                self.trouble.remove("health");
                (self.health, self.heard.1) = (Some(health), self.at);
            }
            News::Pools(pools) => {
                self.trouble.remove("pools");
                self.pools = pools;
            }
            News::Run(run) => {
                self.trouble.remove("run");
                if let Some(detail) = self.detail.as_mut().filter(|detail| detail.run_id == run.run_id) {
                    detail.nodes.apply(&run);
                    detail.run = Some(*run);
                }
            }
            News::Lines(run, lines) => {
                self.trouble.remove("log");
                if let Some(detail) = self.detail.as_mut().filter(|detail| detail.run_id == run) {
                    lines.iter().for_each(|line| detail.line(line));
                }
            }
            News::Trouble(feed, why) => drop(self.trouble.insert(feed, why)),
        }
    }

    fn press(&mut self, key: KeyEvent) {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => self.left = true,
            code if self.typing => self.typed(code),
            KeyCode::Char('q') => self.left = true,
            KeyCode::Char('?') => self.help = !self.help,
            _ if self.help => self.help = false,
            KeyCode::Esc if self.detail.is_some() => self.leave_run(),
            KeyCode::Backspace | KeyCode::Left if self.detail.is_some() => self.leave_run(),
            code if self.detail.is_some() => self.scroll(code),
            KeyCode::Esc => self.filter.clear(),
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Down | KeyCode::Char('j') => self.choose(|at| at + 1),
            KeyCode::Up | KeyCode::Char('k') => self.choose(|at| at.saturating_sub(1)),
            KeyCode::PageDown => self.choose(|at| at + 10),
            KeyCode::PageUp => self.choose(|at| at.saturating_sub(10)),
            KeyCode::Home => self.choose(|_| 0),
            KeyCode::End => self.choose(|_| usize::MAX),
            KeyCode::Enter | KeyCode::Right => self.look_into(),
            _ => {}
        }
    }

    fn typed(&mut self, code: KeyCode) {
        match code {
            KeyCode::Char(letter) => self.filter.push(letter),
            KeyCode::Backspace => drop(self.filter.pop()),
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            _ => {}
        }
    }

    fn choose(&mut self, to: impl Fn(usize) -> usize) {
        let runs = self.runs();
        let at = to(self.at()).min(runs.len().saturating_sub(1));
        self.chosen = runs.get(at).map(|run| run.run_id.clone());
    }

    fn look_into(&mut self) {
        let chosen = self.runs().get(self.at()).map(|run| run.run_id.clone());
        if let Some(run_id) = chosen {
            self.chosen = Some(run_id.clone());
            self.detail = Some(Detail { run_id, ..Detail::default() });
        }
    }

    fn leave_run(&mut self) {
        self.detail = None;
        self.trouble.remove("run");
        self.trouble.remove("log");
    }

    fn scroll(&mut self, code: KeyCode) {
        let Some(detail) = self.detail.as_mut() else { return };
        let by = match code {
            KeyCode::Tab | KeyCode::BackTab => {
                detail.in_nodes = !detail.in_nodes;
                return;
            }
            KeyCode::Up | KeyCode::Char('k') => -1,
            KeyCode::Down | KeyCode::Char('j') => 1,
            KeyCode::PageUp => -10,
            KeyCode::PageDown => 10,
            KeyCode::Home => -isize::MAX,
            KeyCode::End => isize::MAX,
            _ => return,
        };
        // Nodes are read from the first on, a log from its end.
        if detail.in_nodes {
            let most = detail.nodes.count().saturating_sub(1);
            detail.down = detail.down.saturating_add_signed(by).min(most);
        } else {
            let most = detail.lines.len().saturating_sub(1);
            detail.back = detail.back.saturating_add_signed(-by).min(most);
        }
    }
}

impl Detail {
    /// Takes a line in, once: a log that is opened again begins from its beginning.
    fn line(&mut self, line: &Line) {
        let key = (line.node_id.clone(), line.attempt);
        if line.stream != "gap" {
            if self.heard.get(&key).is_some_and(|last| *last >= line.sequence) {
                return;
            }
            self.heard.insert(key, line.sequence);
        }
        self.lines.push_back(tree::log_line(line));
        if self.lines.len() > LINES {
            self.lines.pop_front();
        }
        // Whoever has scrolled back stays where they are.
        if self.back > 0 {
            self.back = (self.back + 1).min(self.lines.len() - 1);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::status::tests::system;

    pub(in super::super) fn pressed(view: &mut View, keys: &[KeyCode]) {
        keys.iter().for_each(|code| view.hear(News::Key(KeyEvent::new(*code, KeyModifiers::NONE))));
    }

    pub(in super::super) fn line(node: &str, sequence: u64, text: &str) -> Line {
        Line {
            node_id: node.to_owned(),
            stream: "stdout".to_owned(),
            text: text.to_owned(),
            fields: serde_json::Map::new(),
            attempt: 1,
            sequence,
            at: None,
        }
    }

    fn shown(view: &View) -> Vec<&str> {
        view.runs().into_iter().map(|run| run.workflow_id.as_str()).collect()
    }

    fn view() -> View {
        let mut view = View::default();
        view.hear(News::Status(system()));
        view
    }

    #[test]
    fn runs_are_filtered_by_any_of_their_texts_while_it_is_typed() {
        let mut view = view();
        pressed(&mut view, &[KeyCode::Char('/'), KeyCode::Char('A'), KeyCode::Char('d'), KeyCode::Char('a')]);
        assert_eq!((shown(&view), view.typing), (vec!["sales", "hello"], true));
        pressed(&mut view, &[KeyCode::Char('q')]);
        assert!(shown(&view).is_empty() && !view.left, "a q that is typed is a letter");
        pressed(&mut view, &[KeyCode::Esc]);
        assert_eq!(shown(&view).len(), 3);
    }

    #[test]
    fn the_order_changes_and_the_chosen_run_stays_chosen() {
        let mut view = view();
        pressed(&mut view, &[KeyCode::Down]);
        assert_eq!(view.runs()[view.at()].workflow_id, "daily");
        pressed(&mut view, &[KeyCode::Char('s')]);
        assert_eq!((shown(&view), view.sort.name()), (vec!["hello", "sales", "daily"], "progress"));
        assert_eq!((view.at(), view.runs()[view.at()].workflow_id.as_str()), (2, "daily"));
        pressed(&mut view, &[KeyCode::Down, KeyCode::End, KeyCode::Char('s'), KeyCode::Char('s')]);
        assert_eq!(shown(&view), ["daily", "hello", "sales"], "by workflow");
    }

    #[test]
    fn a_run_is_looked_into_and_left_again() {
        let mut view = view();
        pressed(&mut view, &[KeyCode::Down, KeyCode::Enter]);
        let id = view.runs()[1].run_id.clone();
        assert_eq!(view.run_shown(), Some(id.as_str()));
        view.hear(News::Lines(id.clone(), vec![line("a", 0, "one"), line("a", 1, "two")]));
        view.hear(News::Lines("another".to_owned(), vec![line("a", 2, "not ours")]));
        // The log was opened anew.
        view.hear(News::Lines(id, vec![line("a", 0, "one"), line("a", 1, "two"), line("a", 2, "three")]));
        assert_eq!(view.detail.as_ref().unwrap().lines, ["a | one", "a | two", "a | three"]);
        pressed(&mut view, &[KeyCode::Up, KeyCode::Up, KeyCode::Up, KeyCode::Up]);
        assert_eq!(view.detail.as_ref().unwrap().back, 2, "there is no more above");
        pressed(&mut view, &[KeyCode::Esc]);
        assert_eq!((view.run_shown(), view.at()), (None, 1));
        pressed(&mut view, &[KeyCode::Char('q')]);
        assert!(view.left);
    }

    #[test]
    fn a_feed_that_comes_again_is_no_trouble_any_more() {
        let mut view = view();
        view.hear(News::Trouble("status", "the server went away".to_owned()));
        assert_eq!(view.trouble.len(), 1);
        view.hear(News::Status(system()));
        assert!(view.trouble.is_empty());
        view.hear(News::Gone);
        assert!(view.left);
    }
}
