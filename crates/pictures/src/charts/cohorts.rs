//! ATT(g,t): a panel for every cohort.

use super::estimates::{Estimate, PRE_AND_POST, gaps, layers, legend, missing, written, zero};
use crate::figure::{Axis, Figure, Layer, LegendEntry, LegendSymbol, Panel, Ticks, drawable, range};
use crate::scene::Dash;

/// ATT(g,t) of all cohorts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cohorts {
    /// The title.
    pub title: String,
    /// The label of the horizontal axis, which has the periods.
    pub x_label: String,
    /// The label of the vertical axis: the effect, and on which outcome.
    pub y_label: String,
    /// Periods and cohorts as they are written, where that is not as numbers.
    pub labels: Vec<(f64, String)>,
    /// One for each cohort, ascending.
    pub cohorts: Vec<Cohort>,
    /// Periods before treatment in which units may already react.
    pub anticipation: f64,
    /// Confidence level in percent.
    pub level: String,
    /// Notes below the chart.
    pub notes: Vec<String>,
}

/// ATT(g,t) of one cohort.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cohort {
    /// First treated period.
    pub begins: f64,
    /// One for each period.
    pub estimates: Vec<Estimate>,
}

/// Panels beyond are left out, which the chart says.
pub const MOST_COHORTS: usize = 30;

/// The chart: panels share their axes.
pub fn cohorts(chart: &Cohorts) -> Figure {
    let shown = &chart.cohorts[..chart.cohorts.len().min(MOST_COHORTS)];
    let all = || shown.iter().flat_map(|cohort| &cohort.estimates);
    let (low, high) = range(all().flat_map(Estimate::extent), 0.0);
    let mut periods: Vec<f64> = all().map(|e| e.at).filter(|at| drawable(*at)).collect();
    periods.sort_by(f64::total_cmp);
    periods.dedup();
    let (first, last) = match (periods.first(), periods.last()) {
        (Some(first), Some(last)) => (*first, *last),
        _ => (0.0, 1.0),
    };
    // Half a period of the usual distance, and never nothing.
    let gap = periods.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    let half = if gap.is_finite() && gap > 0.0 { gap / 2.0 } else { 0.5 };
    let anticipated = chart.anticipation > 0.0;
    let before = |at, dash| Layer::Rule { level: false, at, dash };
    let panel = |cohort: &Cohort| Panel {
        title: format!("Cohort {}", written(&chart.labels, cohort.begins)),
        layers: [zero(), before(cohort.begins - half, Dash::Dashed)]
            .into_iter()
            .chain(anticipated.then(|| before(cohort.begins - chart.anticipation - half, Dash::Dotted)))
            .chain(layers(&cohort.estimates, PRE_AND_POST, 0.0))
            .collect(),
    };
    // So that the line before the first period does not lie on the axis.
    let air = (1.3 * half).max(0.03 * (last - first)).max(last.abs() * 1e-9);
    Figure {
        title: chart.title.clone(),
        x: Axis {
            label: chart.x_label.clone(),
            low: first - air,
            high: last + air,
            ticks: ticks(chart, &periods),
        },
        y: Axis { label: chart.y_label.clone(), low, high, ticks: Ticks::Numbers },
        panels: shown.iter().map(panel).collect(),
        legend: keys(shown, chart),
        notes: notes(chart, shown),
    }
}

/// Labels of the axis: round numbers, or the periods as they are written, as far as there is room.
fn ticks(chart: &Cohorts, periods: &[f64]) -> Ticks {
    if !chart.labels.is_empty() {
        return Ticks::At(periods.iter().map(|&at| (at, written(&chart.labels, at))).collect());
    }
    match periods.iter().all(|period| period.fract() == 0.0) {
        true => Ticks::Whole,
        false => Ticks::Numbers,
    }
}

fn keys(shown: &[Cohort], chart: &Cohorts) -> Vec<LegendEntry> {
    let estimates: Vec<&[Estimate]> = shown.iter().map(|cohort| &cohort.estimates[..]).collect();
    let mut keys = legend(&estimates, PRE_AND_POST, &chart.level);
    keys.push(LegendEntry::new(LegendSymbol::Rule(Dash::Dashed), "Treatment begins"));
    if chart.anticipation > 0.0 {
        keys.push(LegendEntry::new(LegendSymbol::Rule(Dash::Dotted), "Anticipation begins"));
    }
    keys
}

fn notes(chart: &Cohorts, shown: &[Cohort]) -> Vec<String> {
    let mut notes = chart.notes.clone();
    if shown.len() < chart.cohorts.len() {
        notes.push(format!("The first {} of {} cohorts.", shown.len(), chart.cohorts.len()));
    }
    let cells: Vec<String> = shown
        .iter()
        .flat_map(|cohort| {
            let label = |period| written(&chart.labels, period);
            missing(&cohort.estimates, |period| format!("({}, {})", label(cohort.begins), label(period)))
        })
        .collect();
    notes.extend(gaps("cells (g, t)", &cells));
    notes
}
