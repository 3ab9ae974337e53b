//! Estimates as they come: the table of ATT(g,t), and the event study once its bands are known.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::Line;
use stagger_engine::result::Aggte;

use super::super::app::{App, Tab};
use super::table::{framed, lines, part, plain, table};
use super::words::label;
use crate::view::CellState;

/// Cells that pass the filter, by their places, as they are sorted.
pub(super) fn rows(app: &App) -> Vec<usize> {
    let (view, _) = app.shown();
    let Some(spec) = view.specs.get(app.spec()) else { return Vec::new() };
    let outline = &spec.outline;
    let passes = |index: &usize| {
        let text = format!("{} {}", label(outline.group[*index].0), label(outline.time[*index].0));
        app.passes(&text) && (!app.errors_only || spec.cells[*index] == CellState::Failed)
    };
    let mut out: Vec<usize> = (0..spec.cells.len()).filter(passes).collect();
    let size = |index: usize| match (app.order(Tab::Estimates), spec.cells[index]) {
        (2, CellState::Done { att, se, .. }) => (att / se).abs(),
        (_, cell) => cell.att().unwrap_or(f64::NEG_INFINITY),
    };
    if app.order(Tab::Estimates) > 0 {
        out.sort_by(|&a, &b| size(b).total_cmp(&size(a)));
    }
    if app.reverse {
        out.reverse();
    }
    out
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let cuts = if area.width >= 90 {
        Layout::horizontal([Constraint::Length(62), Constraint::Fill(1)])
    } else {
        Layout::vertical([Constraint::Percentage(45), Constraint::Fill(1)])
    };
    let [one, two] = cuts.areas(area);
    cells(frame, one, app);
    study(frame, two, app);
}

fn cells(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let (view, _) = app.shown();
    let rows = rows(app);
    let head = format!(
        "{:>8} {:>8} {:>10} {:>10} {:>10} {:>9}",
        "group", "time", "ATT(g,t)", "std.error", "lower", "upper"
    );
    let order = Tab::Estimates.orders()[app.order(Tab::Estimates)];
    let title = format!("ATT(g,t), by {order}");
    table(frame, area, app, (&title, &head), rows.len(), |index| {
        let Some(spec) = view.specs.get(app.spec()) else { return Line::default() };
        let place = rows[index];
        let outline = &spec.outline;
        let cell = spec.cells[place];
        let (sign, style) = app.theme.cell(cell);
        let number = |x: f64| if x.is_nan() { "NA".to_owned() } else { format!("{x:.4}") };
        let values = match cell {
            CellState::Done { att, se, lower, upper } => {
                format!("{:>10} {:>10} {:>10} {:>9}", number(att), number(se), number(lower), number(upper))
            }
            CellState::Solved { att } => format!("{:>10}", number(att)),
            _ => String::new(),
        };
        Line::from(vec![
            plain(format!(
                "{:>8} {:>8} {values:<42} ",
                label(outline.group[place].0),
                label(outline.time[place].0)
            )),
            part(sign, style),
        ])
    });
}

/// The event study, drawn with characters: `O` the estimate, thick the pointwise interval, thin the uniform band.
fn study(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let (view, _) = app.shown();
    let estimated = view.specs.get(app.spec()).and_then(|spec| spec.estimated.as_ref());
    let Some(found) = estimated else {
        let inside = framed(frame, area, app, "Event study");
        lines(frame, inside, vec![Line::from(part("comes with the standard errors", app.theme.faint()))]);
        return;
    };
    let overall = found
        .simple
        .as_ref()
        .map(|simple| format!(": overall ATT {:.4} ({:.4})", simple.overall_att.0, simple.overall_se.0));
    let inside = framed(frame, area, app, &format!("Event study{}", overall.unwrap_or_default()));
    match &found.dynamic {
        Some(dynamic) if !dynamic.egt.is_empty() && inside.height > 4 && inside.width > 16 => {
            chart(frame, inside, app, dynamic, found.alp);
        }
        _ => lines(frame, inside, vec![Line::from(part("there is none", app.theme.faint()))]),
    }
}

/// Characters of the value axis.
const AXIS: u16 = 9;

fn chart(frame: &mut Frame<'_>, area: Rect, app: &App, dynamic: &Aggte, alp: f64) {
    let z = normal_quantile(1.0 - alp / 2.0);
    let ends = dynamic.lci_egt.iter().chain(&dynamic.uci_egt).chain(&dynamic.att_egt);
    let finite: Vec<f64> = ends.map(|x| x.0).filter(|x| x.is_finite()).chain([0.0]).collect();
    let (low, high) = finite.iter().fold((0.0f64, 0.0f64), |(low, high), &x| (low.min(x), high.max(x)));
    let (low, high) = if high > low { (low, high) } else { (-1.0, 1.0) };
    let height = area.height - 2;
    let row = |x: f64| {
        let share = (high - x) / (high - low);
        area.y + (share.clamp(0.0, 1.0) * f64::from(height - 1)).round() as u16
    };
    let (point, thick, thin, zero) =
        if app.theme.ascii { ("O", "#", "|", "-") } else { ("●", "┃", "╎", "─") };
    let faint = app.theme.faint();
    let buffer = frame.buffer_mut();
    for value in [high, 0.0, low] {
        buffer.set_stringn(area.x, row(value), format!("{value:>8.3}"), usize::from(AXIS), faint);
    }
    for x in area.x + AXIS..area.right() {
        buffer.set_string(x, row(0.0), zero, faint);
    }
    let count = dynamic.egt.len() as u16;
    let step = ((area.width - AXIS) / count.max(1)).clamp(1, 8);
    let mut labelled = 0;
    for (index, egt) in dynamic.egt.iter().enumerate() {
        let x = area.x + AXIS + step / 2 + index as u16 * step;
        if x >= area.right() {
            break;
        }
        let style = app.theme.side(egt.0 >= 0.0);
        let (att, se) = (dynamic.att_egt[index].0, dynamic.se_egt[index].0);
        if att.is_finite() {
            if se.is_finite() {
                for y in row(dynamic.uci_egt[index].0)..=row(dynamic.lci_egt[index].0) {
                    buffer.set_string(x, y, thin, style);
                }
                for y in row(att + z * se)..=row(att - z * se) {
                    buffer.set_string(x, y, thick, style);
                }
            }
            buffer.set_string(x, row(att), point, style);
        }
        let text = label(egt.0);
        let begin = x.saturating_sub(text.len() as u16 / 2);
        if begin >= labelled && begin + text.len() as u16 <= area.right() {
            buffer.set_string(begin, area.y + height, &text, faint);
            labelled = begin + text.len() as u16 + 1;
        }
    }
    let legend = format!("event time; {thick} pointwise, {thin} uniform band, {:.0} %", 100.0 * (1.0 - alp));
    buffer.set_stringn(area.x, area.bottom() - 1, legend, usize::from(area.width), faint);
}

/// Quantile of the standard normal, by bisection on its distribution function: a picture needs few digits.
fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-10.0, 10.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        let below = 0.5 * libm::erfc(-middle / std::f64::consts::SQRT_2);
        if below < p { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantile_is_that_of_tables() {
        assert!((normal_quantile(0.975) - 1.959_963_984_540_054).abs() < 1e-9);
    }
}
