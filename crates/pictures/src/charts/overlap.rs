//! Propensity scores of treated and controls.

use crate::figure::{AreaStyle, Axis, Bar, Figure, Hatch, Layer, LegendEntry, LegendSymbol, Panel, Ticks};
use crate::scene::{Color, Dash};

/// A chart of the overlap of propensity scores.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overlap {
    /// The title.
    pub title: String,
    /// One for each fitted score, the most telling first if there are many.
    pub scores: Vec<Score>,
    /// Notes below the chart.
    pub notes: Vec<String>,
}

/// Distribution of one score.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Score {
    /// The name of the comparison: treated and controls.
    pub name: String,
    /// Counts of treated in bins of equal width over 0 to 1.
    pub treated: Vec<u64>,
    /// Counts of controls in the same bins.
    pub controls: Vec<u64>,
}

/// Panels beyond are left out, which the chart says.
pub const MOST_SCORES: usize = 12;

const TREATED: AreaStyle =
    AreaStyle { ink: Color::Blue, opacity: 0.85, hatch: Hatch::Plain, edge: false, letter: None };
const CONTROLS: AreaStyle =
    AreaStyle { ink: Color::Vermillion, opacity: 0.85, hatch: Hatch::Rising, edge: false, letter: None };

/// The chart: treated upwards, controls downwards, both in shares.
pub fn overlap(chart: &Overlap) -> Figure {
    let shown = &chart.scores[..chart.scores.len().min(MOST_SCORES)];
    let tallest = shown
        .iter()
        .flat_map(|score| shares(&score.treated).into_iter().chain(shares(&score.controls)))
        .fold(0.0, f64::max);
    let height = if tallest > 0.0 { 1.08 * tallest } else { 1.0 };
    let right = shown.iter().map(right_end).fold(0.0, f64::max);
    let panel = |score: &Score| Panel {
        title: score.name.clone(),
        layers: vec![
            Layer::Bars { tint: TREATED, bars: bars(&score.treated, 1.0) },
            Layer::Bars { tint: CONTROLS, bars: bars(&score.controls, -1.0) },
            Layer::Rule { level: true, at: 0.0, dash: Dash::Solid },
        ],
    };
    let mut notes = chart.notes.clone();
    if shown.len() < chart.scores.len() {
        notes.push(format!(
            "{} of {} scores: those whose controls come nearest to 1.",
            shown.len(),
            chart.scores.len()
        ));
    }
    Figure {
        title: chart.title.clone(),
        x: Axis {
            label: "Propensity score".to_owned(),
            low: 0.0,
            high: if right > 0.0 { right } else { 1.0 },
            ticks: Ticks::Numbers,
        },
        y: Axis { label: "Share of units".to_owned(), low: -height, high: height, ticks: Ticks::Percent },
        panels: shown.iter().map(panel).collect(),
        legend: vec![
            LegendEntry::new(LegendSymbol::Area(TREATED), "Treated (upwards)"),
            LegendEntry::new(LegendSymbol::Area(CONTROLS), "Controls (downwards)"),
        ],
        notes,
    }
}

fn shares(counts: &[u64]) -> Vec<f64> {
    let total: u64 = counts.iter().sum();
    counts.iter().map(|count| *count as f64 / total.max(1) as f64).collect()
}

fn bars(counts: &[u64], direction: f64) -> Vec<Bar> {
    let width = 1.0 / counts.len().max(1) as f64;
    let bar = |(bin, share): (usize, f64)| {
        let (left, end) = (bin as f64 * width, direction * share);
        Bar { left, right: left + width, from: end.min(0.0), to: end.max(0.0) }
    };
    shares(counts).into_iter().enumerate().filter(|(_, share)| *share > 0.0).map(bar).collect()
}

/// The end of the last bin that is not empty, with some air; at most 1.
fn right_end(score: &Score) -> f64 {
    let last = |counts: &[u64]| {
        let bin = counts.iter().rposition(|count| *count > 0).map_or(0, |bin| bin + 1);
        bin as f64 / counts.len().max(1) as f64
    };
    let end = last(&score.treated).max(last(&score.controls));
    (end * 1.1).min(1.0)
}
