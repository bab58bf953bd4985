//! The first screen: runs, and below them containers, pools and dependencies. Where there is little room, columns that matter less go first.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Modifier, Style},
    text::{Line, Span},
    widgets::{Cell, Row, Table, TableState},
};

use super::{colour, framed, plain};
use crate::{
    status::{duration, progress, under_causes, used},
    submit::{ActiveContainer, ActiveWorkflow, Check, Pool},
    top::view::View,
};

/// Columns of an id, and of as much of its end as is shown where there is less room.
const ID: u16 = 36;
const TAIL: u16 = 12;
/// Columns of a bar of progress.
const BAR: u16 = 10;
/// Rows of the tables below the runs at least, their frame included, where there are any.
const BELOW: u16 = 9;
/// Rows of a table that are none of its own: its frame and its head.
const FRAME: u16 = 2;
/// Columns from which on there is room for pools though there are none.
const ROOMY: u16 = 120;

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let [runs, below] = Layout::vertical([Constraint::Min(0), Constraint::Length(below(area, view))]).areas(area);
    draw_runs(frame, runs, view);
    let has_pools = !view.pools.is_empty() || area.width >= ROOMY;
    let shares = [Constraint::Fill(3), Constraint::Fill(if has_pools { 2 } else { 0 }), Constraint::Fill(3)];
    let [containers, pools, parts] = Layout::horizontal(shares).spacing(1).areas(below);
    draw_containers(frame, containers, view);
    draw_pools(frame, pools, view);
    draw_parts(frame, parts, view);
}

/// Rows of the tables below the runs: as many as the longest of them has, as far as runs do not need them, and half of all at least.
fn below(area: Rect, view: &View) -> u16 {
    if area.height < 2 * BELOW {
        return 0;
    }
    let rows = |rows: usize| u16::try_from(rows).unwrap_or(u16::MAX).saturating_add(FRAME);
    let containers = view.status.as_ref().map_or(0, |status| status.containers.len());
    let parts = view.health.as_ref().map_or(0, |health| health.checks.len());
    let wanted = rows(containers.max(parts).max(view.pools.len()));
    wanted.clamp(BELOW, area.height.saturating_sub(rows(view.runs().len())).max(area.height / 2))
}

/// A column: its head, how wide it is, and whether there is room for it.
type Column<'a, T> = (&'static str, Constraint, bool, Box<dyn Fn(&T) -> Cell<'static> + 'a>);

/// The columns that there is room for, of so many rows.
fn table<'a, T: 'a>(
    title: String,
    columns: Vec<Column<'_, T>>,
    rows: impl IntoIterator<Item = &'a T>,
) -> Table<'static> {
    let columns: Vec<Column<'_, T>> = columns.into_iter().filter(|(_, _, has_room, _)| *has_room).collect();
    let rows = rows.into_iter().map(|row| Row::new(columns.iter().map(|(.., cell)| cell(row)).collect::<Vec<_>>()));
    let rows: Vec<Row<'static>> = rows.collect();
    let head = Row::new(columns.iter().map(|(head, ..)| *head)).style(Style::new().add_modifier(Modifier::BOLD));
    Table::new(rows, columns.iter().map(|(_, width, ..)| *width)).header(head).block(framed(title))
}

/// Draws as many rows as there is room for, and how many more there are.
fn draw_cut<'a, T: 'a>(
    frame: &mut Frame<'_>,
    area: Rect,
    title: String,
    columns: Vec<Column<'_, T>>,
    rows: impl IntoIterator<Item = &'a T>,
) {
    let (mut rows, room) = (rows.into_iter().collect::<Vec<_>>(), usize::from(area.height.saturating_sub(FRAME)));
    let left_out = if rows.len() > room { (rows.len() + 1).saturating_sub(room) } else { 0 };
    rows.truncate(rows.len() - left_out.min(rows.len()));
    frame.render_widget(table(title, columns, rows), area);
    if left_out > 0 && room > 0 {
        let last = Rect { y: area.y + area.height - 1, height: 1, ..area };
        frame.render_widget(Line::raw(format!("… {left_out} more")), last);
    }
}

/// Room that is given away: to what is asked for first.
struct Room(u16);

impl Room {
    /// Whether there is room for a column, its space before it included.
    fn has(&mut self, width: u16) -> bool {
        let fits = self.0 > width;
        self.0 -= if fits { width + 1 } else { 0 };
        fits
    }
}

fn draw_runs(frame: &mut Frame<'_>, area: Rect, view: &View) {
    const STATUS: u16 = 8;
    const COUNTS: u16 = 14;
    const QUEUED: u16 = 6;
    const AGE: u16 = 10;
    // These are always there, with the mark of the chosen one before them.
    let mut room = Room(area.width.saturating_sub(2 + TAIL + 1 + STATUS + COUNTS + AGE + 3));
    let (workflow, queued, bar, user) = (room.has(16), room.has(QUEUED), room.has(BAR), room.has(8));
    // A whole id stands in the place of its end.
    let whole = room.has(ID - TAIL - 2);
    let runs = view.runs();
    let id = move |run: &ActiveWorkflow| if whole { plain(&run.run_id) } else { tail(&plain(&run.run_id)) };
    let counts = move |run: &ActiveWorkflow| {
        let filled = if bar { filled(run.progress_percent) + " " } else { String::new() };
        Cell::new(filled + &progress(run))
    };
    let status = |run: &ActiveWorkflow| Cell::new(Span::styled(plain(&run.status), colour(view, &run.status)));
    let columns: Vec<Column<'_, ActiveWorkflow>> = vec![
        ("RUN", Constraint::Length(if whole { ID } else { TAIL + 1 }), true, Box::new(move |run| Cell::new(id(run)))),
        ("WORKFLOW", Constraint::Fill(2), workflow, Box::new(|run| Cell::new(plain(&run.workflow_id)))),
        ("USER", Constraint::Fill(1), user, Box::new(|run| Cell::new(plain(&run.user_id)))),
        ("STATUS", Constraint::Length(STATUS), true, Box::new(status)),
        ("PROGRESS", Constraint::Length(COUNTS + if bar { BAR } else { 0 }), true, Box::new(counts)),
        ("QUEUED", Constraint::Length(QUEUED), queued, Box::new(|run| Cell::new(run.queued.to_string()))),
        ("AGE", Constraint::Length(AGE), true, Box::new(|run| Cell::new(duration(run.age_seconds)))),
    ];
    let filter = if view.filter.is_empty() { String::new() } else { format!(", with `{}`", plain(&view.filter)) };
    let title = format!(" runs {}{filter}, by {} ", runs.len(), view.sort.name());
    let table = table(title, columns, runs.iter().copied())
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .highlight_symbol("> ");
    let mut state = TableState::new().with_selected((!runs.is_empty()).then(|| view.at()));
    frame.render_stateful_widget(table, area, &mut state);
}

/// The end of a run's id, which tells it from those of the same moment.
fn tail(id: &str) -> String {
    let left_out = id.chars().count().saturating_sub(usize::from(TAIL));
    if left_out == 0 { id.to_owned() } else { format!("…{}", id.chars().skip(left_out).collect::<String>()) }
}

/// `####......`
fn filled(percent: f64) -> String {
    let all = usize::from(BAR);
    let full = (percent / 100.0 * all as f64).round().clamp(0.0, all as f64) as usize;
    format!("{}{}", "#".repeat(full), ".".repeat(all - full))
}

fn draw_containers(frame: &mut Frame<'_>, area: Rect, view: &View) {
    const ID: u16 = 12;
    const CPU: u16 = 5;
    const MEMORY: u16 = 9;
    let mut room = Room(area.width.saturating_sub(CPU + MEMORY + 1));
    let (id, python, status) = (room.has(ID), room.has(6), room.has(8));
    let containers = view.status.as_ref().map_or(&[][..], |status| &status.containers);
    let mut shown: Vec<&ActiveContainer> = containers.iter().collect();
    // What works most first: there may be more than there is room for.
    shown.sort_by(|a, b| {
        (b.attempt.is_some(), b.cpu_usage)
            .partial_cmp(&(a.attempt.is_some(), a.cpu_usage))
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    let columns: Vec<Column<'_, ActiveContainer>> = vec![
        ("ID", Constraint::Length(ID), id, Box::new(|one| Cell::new(plain(&used(one)[0])))),
        ("STATUS", Constraint::Length(8), status, Box::new(|one| Cell::new(plain(&one.status)))),
        ("PYTHON", Constraint::Length(6), python, Box::new(|one| Cell::new(plain(&one.python_version)))),
        ("CPU", Constraint::Length(CPU), true, Box::new(|one| Cell::new(used(one)[1].clone()))),
        ("MEMORY", Constraint::Length(MEMORY), true, Box::new(|one| Cell::new(used(one)[2].clone()))),
    ];
    let title = format!(" containers {} ", view.status.as_ref().map_or(0, |status| status.active_containers));
    draw_cut(frame, area, title, columns, shown);
}

fn draw_pools(frame: &mut Frame<'_>, area: Rect, view: &View) {
    let held = |pool: &Pool| Cell::new(format!("{} of {}", pool.holders.len(), pool.slots));
    let columns: Vec<Column<'_, Pool>> = vec![
        ("POOL", Constraint::Fill(1), true, Box::new(|pool| Cell::new(plain(&pool.name)))),
        ("HELD", Constraint::Length(8), true, Box::new(held)),
    ];
    draw_cut(frame, area, format!(" pools {} ", view.pools.len()), columns, &view.pools);
}

fn draw_parts(frame: &mut Frame<'_>, area: Rect, view: &View) {
    const NAME: u16 = 21;
    // Whether `not_configured` is told, the longest of states, and whether errors are.
    let (lacks, errors) = match area.width {
        47.. => (true, true),
        43.. => (false, true),
        36.. => (true, false),
        _ => (false, false),
    };
    let mut checks: Vec<&Check> = view.health.iter().flat_map(|health| &health.checks).collect();
    // What this shape lacks does not count.
    checks.retain(|check| lacks || check.status != "not_configured");
    let rank = |check: &Check| match check.status.as_str() {
        "unhealthy" => 0,
        "degraded" => 1,
        "healthy" => 2,
        _ => 3,
    };
    // What is amiss first: there may be more than there is room for.
    checks.sort_by_key(|check| rank(check));
    // What comes of another stands below it, a little to the right.
    let name = |check: &Check| {
        let name = plain(&check.name);
        Cell::new(if check.cause.is_empty() { name } else { format!("  {name}") })
    };
    let status = |check: &Check| Cell::new(Span::styled(plain(&check.status), colour(view, &check.status)));
    let width = Constraint::Length(if lacks { 14 } else { 9 });
    let names = if lacks || errors { Constraint::Length(NAME) } else { Constraint::Fill(1) };
    let columns: Vec<Column<'_, Check>> = vec![
        ("PART", names, true, Box::new(name)),
        ("STATUS", width, true, Box::new(status)),
        ("ERROR", Constraint::Fill(1), errors, Box::new(|check| Cell::new(plain(&check.error)))),
    ];
    draw_cut(frame, area, " dependencies ".to_owned(), columns, under_causes(&checks));
}
