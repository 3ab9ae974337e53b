//! The lines that are always on the screen: the run, its stage, the tabs, the keys.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::app::{App, Mode, Popup};
use super::super::layout::tab_words;
use super::table::{lines, plain, styled};
use super::words::{count, cut, dollars, seconds};
use crate::view::{Input, RunPhase, RunView};

pub(super) fn header(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let (view, now) = app.shown_run();
    lines(frame, area, vec![run(app, view), specification(app, view), progress(app, view, now, area.width)]);
}

fn run<'a>(app: &App, view: &RunView) -> Line<'a> {
    let theme = app.theme;
    let (sign, word, style) = match &view.progress.phase {
        RunPhase::Waiting => (".", "waiting".to_owned(), theme.faint()),
        RunPhase::Running if app.control.cancelling => {
            ("!", "stopping: tasks under way end".to_owned(), theme.warning())
        }
        RunPhase::Running if app.control.paused || view.summary.paused => {
            ("=", "paused".to_owned(), theme.warning())
        }
        RunPhase::Running => (">", "running".to_owned(), theme.accent()),
        RunPhase::Finished => ("*", "finished".to_owned(), theme.good()),
        RunPhase::Stopped { resumable: true, .. } => ("!", "stopped, resumable".to_owned(), theme.warning()),
        RunPhase::Stopped { resumable: false, .. } => ("x", "failed".to_owned(), theme.bad()),
    };
    let on = match (view.workers.backend.as_str(), view.workers.concurrency) {
        ("", _) => "this process".to_owned(),
        (backend, most) => format!("{backend}, up to {} at a time", count(most as u64)),
    };
    let mut parts = vec![
        styled("stagger ", theme.title()),
        plain(format!("{}  ", view.name)),
        styled(format!("{sign} {word}"), style),
    ];
    if app.is_frozen() {
        parts.push(styled("  frozen", theme.warning()));
    }
    if let Mode::Replay { speed, paused } = app.mode {
        let how = if paused { "replay, paused".to_owned() } else { format!("replay at {speed}x") };
        parts.push(styled(format!("  {how}"), theme.warning()));
    }
    parts.push(styled(format!("  {on}"), theme.faint()));
    if view.workers.controllers > 1 {
        parts.push(styled(format!("  {} controllers", view.workers.controllers), theme.faint()));
    }
    Line::from(parts)
}

fn specification<'a>(app: &App, view: &RunView) -> Line<'a> {
    if let RunPhase::Stopped { reason, .. } = &view.progress.phase
        && !reason.is_empty()
    {
        return Line::from(styled(reason.clone(), app.theme.bad()));
    }
    let Some(spec) = view.specs.get(app.selected_spec()) else {
        let Input { files, rows } = view.input;
        let text = if files > 0 { format!("{files} files, {} rows", count(rows)) } else { String::new() };
        return Line::from(styled(text, app.theme.faint()));
    };
    let outline = &spec.outline;
    let mut text = match (&outline.name, view.specs.len()) {
        (Some(name), all) if all > 1 => format!("{name} ({} of {all}): ", app.selected_spec() + 1),
        (Some(name), _) => format!("{name}: "),
        (None, _) => String::new(),
    };
    text += &format!("{:?}", outline.method).to_lowercase();
    if outline.triple {
        text += ", triple differences";
    }
    text += &format!(", {} cells, {} units", count(outline.cells as u64), count(outline.units));
    if outline.shards > 1 {
        text += &format!(" in {} shards", count(outline.shards as u64));
    }
    if outline.draws > 0 {
        text += &format!(", {} draws", count(outline.draws as u64));
    }
    Line::from(plain(text))
}

fn progress<'a>(app: &App, view: &RunView, now: f64, width: u16) -> Line<'a> {
    let Some(stage) = view.stage() else { return Line::default() };
    let theme = app.theme;
    let forecast = view.forecast(now);
    let mut right = format!("  {}", seconds(view.elapsed(now)));
    if let (Some(left), false) =
        (forecast.seconds, view.progress.phase.is_over() || app.control.paused || view.summary.paused)
    {
        right += &format!(", about {} left", seconds(left));
    }
    if view.workers.backend == "lambda" || view.summary.cost.spent > 0.0 {
        right += &format!("  {}", dollars(view.summary.cost.spent));
        if let (Some(all), false) = (forecast.dollars, view.progress.phase.is_over()) {
            right += &format!(" of about {}", dollars(all));
        }
    }
    let left = format!("{}. {} ", stage.number, cut(&stage.name, 28));
    let tasks = format!(" {}/{}", count(stage.done as u64), count(stage.tasks as u64));
    let room = usize::from(width).saturating_sub(left.len() + tasks.len() + right.len());
    Line::from(vec![
        plain(left),
        styled(theme.bar(stage.progress(), room.min(60)), theme.accent()),
        plain(tasks),
        styled(right, theme.faint()),
    ])
}

pub(super) fn tabs(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let words = tab_words(area.width).into_iter().map(|(tab, text, ..)| {
        let style = if tab == app.tab { app.theme.chosen() } else { app.theme.faint() };
        Span::styled(text, style)
    });
    let line = Line::from(words.collect::<Vec<_>>());
    frame.buffer_mut().set_line(area.x, area.y, &line, area.width);
}

pub(super) fn footer(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let theme = app.theme;
    let line = if app.filter.typing {
        let cursor = if theme.ascii { "_" } else { "▏" };
        Line::from(vec![styled("filter: ", theme.title()), plain(format!("{}{cursor}", app.filter.text))])
    } else if let Some(said) = &app.control.said {
        Line::from(styled(said.clone(), theme.warning()))
    } else {
        keys(app)
    };
    frame.buffer_mut().set_line(area.x, area.y, &line, area.width);
}

fn keys<'a>(app: &App) -> Line<'a> {
    let theme = app.theme;
    let mut parts = Vec::new();
    if !app.filter.text.is_empty() {
        parts.push(styled(format!("filter {}  ", app.filter.text), theme.warning()));
    }
    if app.filter.errors_only {
        parts.push(styled("failures only  ", theme.warning()));
    }
    let hints: &[(&str, &str)] = match app.mode {
        Mode::Run => &[
            ("?", "help"),
            ("Tab", "panes"),
            ("/", "filter"),
            ("p", "pause"),
            ("f", "freeze"),
            ("c", "cancel"),
            ("q", "leave"),
        ],
        Mode::Alone => &[
            ("?", "help"),
            ("Tab", "panes"),
            ("/", "filter"),
            ("f", "freeze"),
            ("c", "cancel"),
            ("q", "leave"),
        ],
        Mode::Watch => &[
            ("?", "help"),
            ("Tab", "panes"),
            ("/", "filter"),
            ("f", "freeze"),
            ("c", "cancel"),
            ("q", "quit"),
        ],
        Mode::Replay { .. } => &[
            ("?", "help"),
            ("Tab", "panes"),
            ("space", "pause"),
            ("left right", "seek"),
            ("+ -", "speed"),
            ("q", "quit"),
        ],
    };
    for (key, does) in hints {
        parts.push(Span::styled((*key).to_owned(), Style::new().patch(theme.title())));
        parts.push(styled(format!(" {does}  "), theme.faint()));
    }
    if app.popup == Some(Popup::Help) {
        parts.push(styled("any key closes the help", theme.faint()));
    }
    Line::from(parts)
}
