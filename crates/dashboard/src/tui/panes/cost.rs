//! Dollars: spent, expected, allowed.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::super::app::App;
use super::table::{draw_frame, lines, plain, styled};
use super::words::{bytes, count, dollars};
use super::workers;

/// The pane; with rates below where it is small, as they have none of their own there.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, whole: bool) {
    let title = if whole { "Cost" } else { "Cost and rates" };
    let inside = draw_frame(frame, area, app, title);
    let all = amounts(app, usize::from(inside.width), whole);
    let used = (all.len() as u16).min(inside.height);
    lines(frame, inside, all);
    let below = Rect { y: inside.y + used, height: inside.height - used, ..inside };
    workers::rates(frame, below, app);
}

fn amounts<'a>(app: &App, width: usize, whole: bool) -> Vec<Line<'a>> {
    let (view, now) = app.shown_run();
    let theme = app.theme;
    let cost = view.summary.cost;
    let (attempts, failures, throttled) = view.attempts();
    let expected = view.forecast(now).dollars;
    let mut first = vec![styled("spent ", theme.faint()), styled(dollars(cost.spent), theme.title())];
    if let Some(all) = expected.filter(|_| !view.progress.phase.is_over()) {
        first.push(styled(format!("  about {} in all", dollars(all)), theme.faint()));
    }
    if cost.reserved > 0.0 {
        first.push(styled(format!("  up to {} more under way", dollars(cost.reserved)), theme.faint()));
    }
    let mut out = vec![Line::from(first)];
    if let Some(cap) = cost.cap {
        let share = cost.spent / cap.max(1e-12);
        let style = if share > 0.85 { theme.bad() } else { theme.good() };
        out.push(Line::from(vec![
            styled("cap   ", theme.faint()),
            plain(format!("{} ", dollars(cap))),
            styled(theme.bar(share, width.saturating_sub(22).min(50)), style),
            plain(format!(" {:.0} %", 100.0 * share)),
        ]));
    } else if whole {
        out.push(Line::from(styled("cap   none (--max-cost sets one)", theme.faint())));
    }
    let bad = if failures > 0 { theme.bad() } else { theme.faint() };
    out.push(Line::from(vec![
        plain(format!("{} attempts", count(attempts))),
        styled(format!(", {} failed", count(failures)), bad),
        styled(format!(", {} turned away", count(throttled)), theme.faint()),
    ]));
    if whole {
        let read = view.summary.bytes_read.max(view.rates.total.bytes);
        out.push(Line::from(styled(format!("{} read by workers", bytes(read)), theme.faint())));
        let seconds = view.rates.last(width.saturating_sub(8).max(1), now);
        let values: Vec<f64> = seconds.iter().map(|second| second.dollars).collect();
        let most = expected.unwrap_or(0.0).max(cost.spent);
        out.push(Line::from(vec![
            styled("over time ", theme.faint()),
            styled(theme.sparkline(&values, most), theme.accent()),
        ]));
        out.push(Line::default());
    }
    out
}
