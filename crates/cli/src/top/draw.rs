//! How the view looks: pure, from a state to a picture.

mod tables;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Clear, Paragraph, Wrap},
};

use super::view::{Detail, View};
use crate::{render::printable, status::totals};

/// Rows of a run's head, its frame included.
const HEAD: u16 = 4;
/// The part of the rows below that which is the log's where it has so many lines: nodes have the rest, as far as there are any.
const LOG: u16 = 3;

const KEYS: &[(&str, &str)] = &[
    ("up, down, PgUp, PgDn", "choose a run; in a run: scroll its log or its nodes"),
    ("Tab", "in a run: scroll the other of the two"),
    ("Enter", "look into the run: nodes, log, trace id"),
    ("Esc", "back to the runs; there: no filter any more"),
    ("/", "show runs that hold a text: workflow, user, state, id"),
    ("s", "another order: age, progress, queued, workflow, user"),
    ("?", "these keys"),
    ("q, Ctrl-C", "quit"),
];

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View) {
    let told = told(view);
    // Where the totals do not fit into a line they go on in the next.
    let height = if told.chars().count() > usize::from(frame.area().width) { 3 } else { 2 };
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(height), Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
    draw_head(frame, head, view, told);
    match &view.detail {
        Some(detail) => draw_run(frame, body, view, detail),
        None => tables::draw(frame, body, view),
    }
    draw_foot(frame, foot, view);
    if view.help {
        draw_help(frame, body);
    }
}

/// A text of others, without what steers a terminal.
fn plain(text: &str) -> String {
    printable(text).replace(['\n', '\t'], " ")
}

/// The totals; and for how long they are what they were.
fn told(view: &View) -> String {
    let Some(status) = &view.status else { return "waiting for the health-aggregator".to_owned() };
    match view.silence() {
        Some(since) => format!("{}; not heard for {since}", totals(status)),
        None => totals(status),
    }
}

fn draw_head(frame: &mut Frame<'_>, area: Rect, view: &View, told: String) {
    let verdict = view.verdict();
    let at = view.status.as_ref().map(|status| status.timestamp.as_str()).unwrap_or_default();
    // To the second: what is smaller is only restless.
    let at = at.split('.').next().unwrap_or_default().trim_end_matches('Z').replace('T', " ");
    let first = Line::from(vec![
        Span::styled("qflow top", Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(format!("  {}  ", plain(&view.server))),
        Span::styled(plain(&verdict), colour(view, &verdict)),
        Span::raw(if at.is_empty() { String::new() } else { format!("  {at} UTC") }),
    ]);
    let paragraph = Paragraph::new(vec![first, Line::raw(told)]);
    frame.render_widget(if area.height > 2 { paragraph.wrap(Wrap { trim: true }) } else { paragraph }, area);
}

fn draw_foot(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let line = if let Some((feed, why)) = view.trouble.iter().next() {
        Line::styled(format!("{feed}: {} (tried again)", plain(why)), colour(view, "unhealthy"))
    } else if view.typing {
        Line::raw(format!("/{}_   Enter keeps it, Esc drops it", plain(&view.filter)))
    } else if let Some(detail) = &view.detail {
        let (here, there) = if detail.in_nodes { ("nodes", "log") } else { ("log", "nodes") };
        Line::raw(format!("Esc back   up/down scroll the {here}   Tab the {there}   ? keys   q quit"))
    } else {
        Line::raw("Enter look into   / filter   s sort   ? keys   q quit")
    };
    frame.render_widget(Paragraph::new(line), area);
}

fn framed(title: String) -> Block<'static> {
    Block::new().borders(Borders::TOP).title(title)
}

fn draw_run(frame: &mut Frame<'_>, area: Rect, view: &View, detail: &Detail) {
    let rows = |lines: usize| u16::try_from(lines + 1).unwrap_or(u16::MAX);
    let rest = area.height.saturating_sub(HEAD);
    let height = rows(detail.nodes.count()).min(rest - rows(detail.lines.len()).min(rest / LOG));
    let parts = [Constraint::Length(HEAD), Constraint::Length(height), Constraint::Min(0)];
    let [head, middle, log] = Layout::vertical(parts).areas(area);
    let mut lines = vec![Line::raw(format!("run       {}", plain(&detail.run_id)))];
    if let Some(run) = &detail.run {
        let status = run.status.to_string();
        let reason = if run.reason.is_empty() { String::new() } else { format!("  {}", plain(&run.reason)) };
        lines.push(Line::from(vec![
            Span::raw(format!("workflow  {}  ", plain(&run.workflow))),
            Span::styled(status.clone(), colour(view, &status)),
            Span::raw(format!("  {}/{} nodes{reason}", run.nodes_completed, run.nodes_total)),
        ]));
        lines.push(Line::raw(format!("trace     {}", plain(&run.trace_id))));
    }
    frame.render_widget(Paragraph::new(lines).block(Block::new().borders(Borders::TOP)), head);
    draw_nodes(frame, middle, detail);
    let room = usize::from(log.height.saturating_sub(1));
    let end = detail.lines.len() - detail.back.min(detail.lines.len());
    let shown = detail.lines.iter().take(end).skip(end.saturating_sub(room));
    let shown: Vec<Line<'_>> = shown.map(|line| Line::raw(plain(line))).collect();
    let back = if detail.back > 0 { format!(", {} lines back", detail.back) } else { String::new() };
    frame.render_widget(Paragraph::new(shown).block(framed(format!(" log{back} "))), log);
}

/// As many nodes as there is room for; of how many more there are its last row tells.
fn draw_nodes(frame: &mut Frame<'_>, area: Rect, detail: &Detail) {
    let (all, room) = (detail.nodes.count(), usize::from(area.height.saturating_sub(1)));
    let from = if all > room { detail.down.min(all - 1) } else { 0 };
    let most = if from + room >= all { room } else { room.saturating_sub(1) };
    let above = if from > 0 { format!(", {from} above") } else { String::new() };
    let nodes: Vec<Line<'_>> = detail.nodes.part(from, most).into_iter().map(Line::raw).collect();
    frame.render_widget(Paragraph::new(nodes).block(framed(format!(" nodes {all}{above} "))), area);
}

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let lines: Vec<Line<'_>> = KEYS.iter().map(|(key, does)| Line::raw(format!(" {key:<22}{does}"))).collect();
    let (width, height) = (80.min(area.width), (KEYS.len() as u16 + 2).min(area.height));
    let place = Rect { x: area.x + (area.width - width) / 2, y: area.y + (area.height - height) / 2, width, height };
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" keys ")), place);
}

fn colour(view: &View, word: &str) -> Style {
    let colour = match word {
        "healthy" | "running" | "completed" => Color::Green,
        "degraded" | "paused" | "pending" => Color::Yellow,
        "unhealthy" | "failed" | "timed_out" => Color::Red,
        _ => return Style::new(),
    };
    if view.colour { Style::new().fg(colour) } else { Style::new() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use qflow_model::status::NodeStatus;
    use ratatui::{Terminal, backend::TestBackend, crossterm::event::KeyCode};

    use super::{
        super::{
            feed::News,
            view::tests::{line, pressed},
        },
        *,
    };
    use crate::{
        status::tests::{system, verdict, with_symptoms},
        submit::{ActiveContainer, Holder, Pool, Run},
        tree::tests::{node, run},
    };

    fn view() -> View {
        let mut view = View { server: "http://127.0.0.1:7400".to_owned(), ..View::default() };
        let holder = Holder { run_id: "r".to_owned(), node_id: "load".to_owned(), attempt: 1, since: None };
        let pool = Pool { name: "database".to_owned(), slots: 2, per_minute: None, started: 0, holders: vec![holder] };
        for news in [News::Status(system()), News::Health(verdict("degraded")), News::Pools(vec![pool])] {
            view.hear(news);
        }
        view
    }

    fn picture(view: &View, (width, height): (u16, u16)) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, view)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let rows = buffer.content().chunks(usize::from(width));
        let row = |row: &[ratatui::buffer::Cell]| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>();
        rows.map(|cells| row(cells).trim_end().to_owned() + "\n").collect()
    }

    fn looked_into(view: &mut View) {
        pressed(view, &[KeyCode::Enter]);
        let id = view.run_shown().unwrap().to_owned();
        let nodes = vec![node("fetch", NodeStatus::Completed), node("load", NodeStatus::Running)];
        let trace_id = "4bf92f3577b34da6a3ce929d0e0e4736".to_owned();
        view.hear(News::Run(Box::new(Run { run_id: id.clone(), trace_id, nodes_completed: 1, ..run(nodes) })));
        let lines = (0..40).map(|n| line("load", n, &format!("row {n} of 40"))).collect();
        view.hear(News::Lines(id, lines));
    }

    #[test]
    fn the_first_screen_has_runs_containers_pools_and_dependencies() {
        insta::assert_snapshot!(picture(&view(), (140, 28)));
    }

    #[test]
    fn on_a_small_terminal_columns_make_room_for_what_matters_more() {
        let mut view = view();
        insta::assert_snapshot!(picture(&view, (80, 24)));
        insta::assert_snapshot!(picture(&view, (120, 40)));
        view.hear(News::Pools(vec![]));
        insta::assert_snapshot!(picture(&view, (80, 24)));
    }

    #[test]
    fn of_each_run_its_id_state_progress_and_age_are_shown_whole_on_any_terminal() {
        let view = view();
        for width in 50..200 {
            let shown = picture(&view, (width, 24));
            let row = |part: &str| shown.lines().find(|line| line.contains(part)).map(str::trim_end).unwrap();
            let whole = |line: &str, parts: &[&str]| {
                assert!(parts.iter().all(|part| line.contains(part)), "{width}: {shown}");
            };
            whole(row("000000000003 "), &["0000000003", "running", "4/10 40 %", "4 m 30 s"]);
            whole(row("STATUS  "), &["RUN", "STATUS", "PROGRESS", "AGE"]);
            whole(row("redis"), &["unhealthy"]);
            whole(row("37 %"), &["64 MiB"]);
        }
    }

    #[test]
    fn what_is_not_heard_for_long_is_told_so_though_no_feed_ended() {
        let mut view = view();
        view.at = Duration::from_secs(21);
        let head = |view: &View| picture(view, (140, 8)).lines().take(2).collect::<Vec<_>>().join(" ");
        assert_eq!(head(&view).matches("not heard for 21 s").count(), 2, "{}", head(&view));
        view.hear(News::Health(verdict("degraded")));
        assert!(
            head(&view).contains("  degraded") && head(&view).ends_with("heard; not heard for 21 s"),
            "{}",
            head(&view)
        );
        view.hear(News::Status(system()));
        assert!(!head(&view).contains("not heard"), "{}", head(&view));
    }

    #[test]
    fn what_comes_of_a_dependency_stands_below_it() {
        let mut view = view();
        view.hear(News::Health(with_symptoms()));
        let shown = picture(&view, (140, 28));
        let at = |part: &str| shown.lines().position(|line| line.contains(part)).unwrap();
        let (cause, symptom) = (at("runtime_away"), at("  python_environments degraded"));
        assert_eq!((symptom, at("  workflows           degraded")), (cause + 1, cause + 2), "{shown}");
    }

    #[test]
    fn tables_grow_with_the_height_and_say_how_many_more_there_are() {
        let (mut view, mut status) = (view(), system());
        let container = status.containers[1].clone();
        let id = |n| format!("{n:02}c0ffee012345");
        status.containers.extend((0..30).map(|n| ActiveContainer { container_id: id(n), ..container.clone() }));
        view.hear(News::Status(status));
        let pool = |n| Pool { name: format!("pool_{n:02}"), holders: Vec::new(), ..view.pools[0].clone() };
        let pools = (0..12).map(pool).collect();
        view.hear(News::Pools(pools));
        insta::assert_snapshot!(picture(&view, (140, 28)));
        let high = picture(&view, (140, 60));
        assert!(!high.contains(" more") && high.contains("29c0ffee0123") && high.contains("pool_11"), "{high}");
        for height in 21..60 {
            let shown = picture(&view, (140, height));
            let rows = shown.lines().filter(|line| line.contains("MiB")).count();
            let cut =
                shown.lines().find_map(|line| line.strip_prefix("… ")?.split_once(" more")?.0.parse::<usize>().ok());
            assert_eq!(rows + cut.unwrap_or(0), 32, "{height}: {shown}");
            assert!(shown.contains("hello"), "all runs are there: {height}: {shown}");
        }
    }

    #[test]
    fn a_run_shows_its_nodes_its_log_and_its_trace() {
        let mut view = view();
        looked_into(&mut view);
        insta::assert_snapshot!(picture(&view, (100, 20)));
        pressed(&mut view, &[KeyCode::PageUp]);
        let scrolled = picture(&view, (100, 20));
        assert!(scrolled.contains("log, 10 lines back") && scrolled.contains("row 29 of 40"), "{scrolled}");
        assert!(!scrolled.contains("row 39 of 40"), "{scrolled}");
    }

    #[test]
    fn a_run_of_many_nodes_has_the_height_there_is_and_what_is_left_out_is_counted() {
        let mut view = view();
        looked_into(&mut view);
        let id = view.run_shown().unwrap().to_owned();
        let nodes = (1..=28).map(|n| {
            let status = match n {
                17 => NodeStatus::Failed,
                23 => NodeStatus::Running,
                26.. => NodeStatus::Waiting,
                _ => NodeStatus::Completed,
            };
            node(&format!("step_{n:02}"), status)
        });
        view.hear(News::Run(Box::new(Run { run_id: id, nodes_total: 30, ..run(nodes.collect()) })));
        insta::assert_snapshot!(picture(&view, (80, 24)));
        insta::assert_snapshot!(picture(&view, (140, 60)));
        // What failed and what runs is there on any terminal that has room for a few lines, and what is not there is counted.
        for height in 16..70 {
            let shown = picture(&view, (80, height));
            assert!(["step_17", "step_23"].iter().all(|one| shown.contains(one)), "{height}: {shown}");
            let count = shown
                .lines()
                .filter(|line| line.starts_with("  step_") || line.starts_with("  load") || line.starts_with("  fetch"))
                .count();
            let more = shown
                .lines()
                .find_map(|line| line.strip_prefix("  … and ")?.strip_suffix(" more")?.parse::<usize>().ok());
            assert_eq!(count + more.unwrap_or(0), 30, "{height}: {shown}");
        }
        pressed(&mut view, &[KeyCode::Tab, KeyCode::PageDown, KeyCode::Down]);
        let scrolled = picture(&view, (80, 24));
        assert!(
            scrolled.contains("nodes 30, 11 above") && scrolled.contains("scroll the nodes   Tab the log"),
            "{scrolled}"
        );
        assert!(!scrolled.contains("step_17") && scrolled.contains("row 39 of 40"), "{scrolled}");
        pressed(&mut view, &[KeyCode::End, KeyCode::PageUp, KeyCode::Tab, KeyCode::Up]);
        let scrolled = picture(&view, (80, 24));
        assert!(scrolled.contains("nodes 30, 19 above") && scrolled.contains("log, 1 lines back"), "{scrolled}");
    }

    #[test]
    fn the_keys_are_told_over_what_is_shown() {
        let mut view = view();
        pressed(&mut view, &[KeyCode::Char('?')]);
        insta::assert_snapshot!(picture(&view, (100, 20)));
    }

    #[test]
    fn before_anything_is_told_that_is_said_and_trouble_stands_at_the_foot() {
        let mut view = View { server: "http://127.0.0.1:7400".to_owned(), ..View::default() };
        view.hear(News::Trouble("status", "the server went away".to_owned()));
        insta::assert_snapshot!(picture(&view, (80, 8)));
    }

    #[test]
    fn a_verdict_that_is_not_heard_any_more_is_not_shown_as_how_it_is() {
        let mut view = view();
        view.at = Duration::from_secs(75);
        view.hear(News::Trouble("health", "the server went away".to_owned()));
        let head = |view: &View| picture(view, (120, 8)).lines().next().unwrap().to_owned();
        assert!(
            head(&view).contains("  not heard for 1 m 15 s") && !head(&view).contains("degraded"),
            "{}",
            head(&view)
        );
        view.hear(News::Health(verdict("degraded")));
        assert!(head(&view).contains("  degraded"), "{}", head(&view));
    }

    #[test]
    fn no_screen_is_too_small_and_nothing_steers_the_terminal() {
        let mut view = view();
        view.server = "\u{1b}[2J\nserver".to_owned();
        for size in [(1, 1), (10, 2), (20, 5), (300, 3), (3, 100)] {
            assert!(!picture(&view, size).contains('\u{1b}'));
        }
        looked_into(&mut view);
        pressed(&mut view, &[KeyCode::Char('?')]);
        for size in [(1, 1), (10, 2), (20, 5), (300, 3), (3, 100)] {
            picture(&view, size);
        }
    }
}
