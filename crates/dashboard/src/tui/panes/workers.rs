//! Workers: memory against its limit, and their work of each second.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;

use super::super::app::App;
use super::table::{draw_frame, lines, plain, styled};
use super::words::{bytes, count, cut, lambda_mb};
use crate::view::{BINS, Second};

/// Bin from which memory is short: 85 % of the limit.
const RED: usize = 17;

/// The pane of the overview: memory.
pub(super) fn small(frame: &mut Frame<'_>, area: Rect, app: &App) {
    memory(frame, area, app);
}

/// Memory, those nearest to their limit, and rates.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let [upper, lower] = Layout::vertical([Constraint::Percentage(50), Constraint::Fill(1)]).areas(area);
    let [left, right] = Layout::horizontal([Constraint::Percentage(45), Constraint::Fill(1)]).areas(upper);
    memory(frame, left, app);
    worst(frame, right, app);
    let inside = draw_frame(frame, lower, app, "Rates");
    rates(frame, inside, app);
}

/// Tasks by their peak, as a share of what they may use.
fn memory(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let (view, _) = app.shown_run();
    let memory = &view.memory;
    let title = match memory.worst.first() {
        Some(worst) => format!("Memory: worst {:.0} % of {}", 100.0 * worst.share(), lambda_mb(worst.limit)),
        None => "Memory".to_owned(),
    };
    let inside = draw_frame(frame, area, app, &title);
    if memory.count() == 0 {
        let text = match memory.highest {
            0 if view.workers.backend.is_empty() => {
                "of workers; this process tells by --monitor-interval".to_owned()
            }
            0 => "no worker has told yet".to_owned(),
            peak => format!("highest peak {}", lambda_mb(peak)),
        };
        lines(frame, inside, vec![Line::from(styled(text, app.theme.faint()))]);
        return;
    }
    // Two bins a line where there is little room; what would be empty at the bottom is left out.
    let rows = usize::from(inside.height);
    let step = if rows >= BINS {
        1
    } else if rows * 2 >= BINS {
        2
    } else {
        BINS.div_ceil(rows.max(1))
    };
    let most = memory.bins.chunks(step).map(|bins| bins.iter().sum::<u64>()).max().unwrap_or(1);
    let width = usize::from(inside.width).saturating_sub(16);
    let line = |(index, bins): (usize, &[u64])| {
        let (from, to) = (index * step, (index + 1) * step);
        let sum: u64 = bins.iter().sum();
        let label =
            if from >= BINS - 1 { "over".to_owned() } else { format!("{:>3} %", to.min(BINS - 1) * 5) };
        let red = to > RED;
        let style = if red { app.theme.bad() } else { app.theme.good() };
        let filled = (sum as f64 / most as f64 * width as f64).ceil() as usize;
        let sign = match (app.theme.ascii, red) {
            (true, true) => "!",
            (true, false) => "#",
            (false, true) => "▓",
            (false, false) => "█",
        };
        Line::from(vec![
            styled(format!("{label:>5} "), app.theme.faint()),
            styled(sign.repeat(filled.min(width)), style),
            plain(if sum > 0 { format!(" {}", count(sum)) } else { String::new() }),
        ])
    };
    lines(frame, inside, memory.bins.chunks(step).enumerate().map(line).collect());
}

/// Tasks nearest to their limit.
fn worst(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let (view, _) = app.shown_run();
    let inside = draw_frame(frame, area, app, "Nearest to their limit");
    let width = usize::from(inside.width).saturating_sub(34).max(8);
    let line = |peak: &crate::view::Peak| {
        let style = if peak.share() * 20.0 >= RED as f64 { app.theme.bad() } else { app.theme.good() };
        Line::from(vec![
            styled(format!("{:>4.0} % ", 100.0 * peak.share()), style),
            plain(format!("{:>8} of {:>8}  ", lambda_mb(peak.peak), lambda_mb(peak.limit))),
            plain(cut(&peak.task, width)),
        ])
    };
    let passing = view.memory.worst.iter().filter(|peak| app.passes(&peak.task));
    lines(frame, inside, passing.map(line).collect());
}

/// A rate that is shown: its name, its value in a second, and the function that writes it.
type Row = (&'static str, fn(&Second) -> f64, fn(f64) -> String);

fn number(x: f64) -> String {
    count(x.round() as u64)
}

fn size(x: f64) -> String {
    bytes(x.round() as u64)
}

const ROWS: [Row; 7] = [
    ("under way", |s| s.under_way as f64, number),
    ("tasks/s", |s| s.tasks as f64, number),
    ("rows/s", |s| s.rows as f64, number),
    ("read/s", |s| s.bytes as f64, size),
    ("requests/s", |s| s.requests as f64, number),
    ("429/s", |s| s.throttled as f64, number),
    ("503/s", |s| s.slowed as f64, number),
];

/// One line a rate: name, now, most, and the last minutes.
pub(super) fn rates(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let (view, now) = app.shown_run();
    let narrow = area.width < 50;
    let room = usize::from(area.width).saturating_sub(if narrow { 21 } else { 33 });
    let seconds = view.rates.last(room.max(1), now);
    let line = |(name, of, write): &Row| {
        let values: Vec<f64> = seconds.iter().map(of).collect();
        let most = values.iter().copied().fold(0.0, f64::max);
        // The second under way is not over: what it has is not its rate.
        let last = values.iter().rev().nth(1).or(values.last()).copied().unwrap_or(0.0);
        let bad = name.ends_with("9/s") || name.ends_with("3/s");
        let style = if bad && most > 0.0 { app.theme.bad() } else { app.theme.accent() };
        Line::from(vec![
            styled(format!("{name:<11}"), app.theme.faint()),
            plain(format!("{:>8} ", write(last))),
            styled(
                if narrow { String::new() } else { format!("max {:>7} ", write(most)) },
                app.theme.faint(),
            ),
            styled(app.theme.sparkline(&values, most), style),
        ])
    };
    lines(frame, area, ROWS.iter().map(line).collect());
}
