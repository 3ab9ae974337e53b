//! Stages: how far each is, rounds of the propensity scores, and what the workers' seconds went into.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;

use super::super::app::{App, Tab};
use super::table::{draw_frame, lines, plain, styled, table};
use super::words::{bytes, count, cut, seconds};
use crate::view::StageView;

/// The parts of worker seconds, and the sign of each.
const PHASES: [(&str, char); 5] =
    [("open", 'o'), ("read", 'r'), ("compute", 'c'), ("write", 'w'), ("wait", '.')];

/// Stages that pass the filter, by their places, as they are sorted.
pub(super) fn rows(app: &App) -> Vec<usize> {
    let (view, now) = app.shown_run();
    let passes = |index: &usize| {
        let stage = &view.stages[*index];
        app.passes(&stage.name)
            && (!app.filter.errors_only || stage.attempts.failures + stage.attempts.throttled > 0)
    };
    let mut out: Vec<usize> = (0..view.stages.len()).filter(passes).collect();
    match app.sort_order(Tab::Stages) {
        1 => out.sort_by(|&a, &b| view.stages[b].elapsed(now).total_cmp(&view.stages[a].elapsed(now))),
        2 => out.sort_by_key(|&index| std::cmp::Reverse(view.stages[index].attempts.failures)),
        _ => {}
    }
    if app.reverse {
        out.reverse();
    }
    out
}

/// The pane of the overview: the last stages.
pub(super) fn draw_small(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let inside = draw_frame(frame, area, app, "Stages");
    let (view, now) = app.shown_run();
    let logits = logits(app, 1);
    let room = usize::from(inside.height).saturating_sub(logits.len());
    let first = view.stages.len().saturating_sub(room);
    let width = usize::from(inside.width);
    let mut all: Vec<Line<'_>> =
        view.stages[first..].iter().map(|stage| short(app, stage, now, width)).collect();
    all.extend(logits);
    lines(frame, inside, all);
}

/// A stage in one short line.
fn short<'a>(app: &App, stage: &StageView, now: f64, width: usize) -> Line<'a> {
    let theme = app.theme;
    let name = width.saturating_sub(25).clamp(6, 22);
    let bar = theme.bar(stage.progress(), 8);
    let (sign, style) = sign(app, stage);
    let mut parts = vec![
        styled(format!("{sign} "), style),
        plain(format!("{:<name$} ", cut(&stage.name, name))),
        styled(bar, style),
        plain(format!(" {:>6}", tasks_left(stage))),
        styled(format!(" {:>6}", seconds(stage.elapsed(now))), theme.faint()),
    ];
    if stage.attempts.failures > 0 {
        parts.push(styled(format!(" {} failed", stage.attempts.failures), theme.bad()));
    }
    Line::from(parts)
}

fn tasks_left(stage: &StageView) -> String {
    if stage.seconds.is_some() {
        count(stage.tasks as u64)
    } else {
        format!("{:.0} %", 100.0 * stage.progress())
    }
}

fn sign(app: &App, stage: &StageView) -> (char, ratatui::style::Style) {
    match (stage.seconds.is_some(), stage.left) {
        (true, _) => ('*', app.theme.good()),
        (false, true) => ('!', app.theme.warning()),
        (false, false) => ('>', app.theme.accent()),
    }
}

/// The last rounds of the propensity scores.
fn logits<'a>(app: &App, most: usize) -> Vec<Line<'a>> {
    let (view, _) = app.shown_run();
    let Some(spec) = view.specs.get(app.selected_spec()) else { return Vec::new() };
    let first = spec.logits.len().saturating_sub(most);
    let line = |[round, active, converged, failed]: &[usize; 4]| {
        let all = (active + converged + failed).max(1);
        let text = format!(
            "scores: round {round}, {converged} of {all} converged{}",
            if *failed > 0 { format!(", {failed} failed") } else { String::new() }
        );
        Line::from(styled(text, app.theme.accent()))
    };
    spec.logits[first..].iter().map(line).collect()
}

/// The whole pane.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let (view, now) = app.shown_run();
    let rows = rows(app);
    let rounds = logits(app, 4);
    let below = (PHASES.len() as u16 + 3).max(rounds.len() as u16 + 3).min(area.height / 2);
    let [upper, lower] = Layout::vertical([Constraint::Fill(1), Constraint::Length(below)]).areas(area);
    let head = format!(
        "{:>3} {:<22} {:<10} {:>11} {:>8} {:>6} {:>6} {:>6} {:>5} {:>9} {:>8}",
        "#", "stage", "", "tasks", "seconds", "again", "backup", "failed", "429", "read", "rows"
    );
    table(frame, upper, app, ("Stages", &head), rows.len(), |index| {
        whole(app, &view.stages[rows[index]], now)
    });
    let [left, right] = Layout::horizontal([Constraint::Percentage(60), Constraint::Fill(1)]).areas(lower);
    let chosen =
        rows.get(app.selected_row().min(rows.len().saturating_sub(1))).map(|&index| &view.stages[index]);
    profile(frame, left, app, chosen);
    let inside = draw_frame(frame, right, app, "Propensity scores");
    let rounds =
        if rounds.is_empty() { vec![Line::from(styled("none yet", app.theme.faint()))] } else { rounds };
    lines(frame, inside, rounds);
}

fn whole<'a>(app: &App, stage: &StageView, now: f64) -> Line<'a> {
    let theme = app.theme;
    let (sign, style) = sign(app, stage);
    let loud = |n: u64| if n > 0 { theme.bad() } else { theme.faint() };
    Line::from(vec![
        plain(format!("{:>3} ", stage.number)),
        plain(format!("{:<22} ", cut(&stage.name, 22))),
        styled(theme.bar(stage.progress(), 9), style),
        styled(format!("{sign} "), style),
        plain(format!("{:>11} ", format!("{}/{}", stage.done, stage.tasks))),
        plain(format!("{:>8} ", seconds(stage.elapsed(now)))),
        styled(format!("{:>6} {:>6} ", stage.attempts.again, stage.attempts.backups), theme.faint()),
        styled(format!("{:>6} ", stage.attempts.failures), loud(stage.attempts.failures)),
        styled(format!("{:>5} ", stage.attempts.throttled), loud(stage.attempts.throttled)),
        plain(format!("{:>9} {:>8}", bytes(stage.work.bytes_read), count(stage.work.rows))),
    ])
}

/// Draws the parts of worker seconds: of the chosen stage, beside those of the run.
fn profile(frame: &mut Frame<'_>, area: Rect, app: &App, chosen: Option<&StageView>) {
    let (view, _) = app.shown_run();
    let Some(stage) = chosen else {
        draw_frame(frame, area, app, "Profile");
        return;
    };
    let inside = draw_frame(
        frame,
        area,
        app,
        &format!("Profile: worker seconds of {} | whole run", cut(&stage.name, 20)),
    );
    let own = stage.profile();
    let all = view.stages.iter().map(StageView::profile).fold([0.0; 5], |mut sum, one| {
        sum.iter_mut().zip(one).for_each(|(sum, one)| *sum += one);
        sum
    });
    let share = |part: f64, of: &[f64; 5]| part / of.iter().sum::<f64>().max(1e-9);
    let width = usize::from(inside.width).saturating_sub(44) / 2;
    let mut out: Vec<Line<'_>> = PHASES
        .iter()
        .enumerate()
        .map(|(index, (name, sign))| {
            let (mine, total) = (share(own[index], &own), share(all[index], &all));
            let style = app.theme.stage(index);
            Line::from(vec![
                styled(format!("{sign} {name:<8}"), style),
                plain(format!("{:>9} {:>4.0} % ", seconds(own[index]), 100.0 * mine)),
                styled(app.theme.bar(mine, width), style),
                styled(format!(" {:>9} {:>4.0} % ", seconds(all[index]), 100.0 * total), app.theme.faint()),
                styled(app.theme.bar(total, width), app.theme.faint()),
            ])
        })
        .collect();
    if let Some((task, took)) = &stage.work.worst {
        out.push(Line::from(plain(format!("worst task: {task}, {}", seconds(*took)))));
    }
    lines(frame, inside, out);
}
