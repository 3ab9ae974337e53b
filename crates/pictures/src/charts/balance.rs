//! Balance of covariates: a Love plot.

use crate::figure::{
    Axis, Figure, Layer, LegendEntry, LegendSymbol, Marker, MarkerShape, Panel, Ticks, drawable, range,
};
use crate::scene::{Color, Dash};

/// A chart of the balance of covariates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Balance {
    /// The title.
    pub title: String,
    /// One for each covariate.
    pub covariates: Vec<Covariate>,
    /// Notes below the chart.
    pub notes: Vec<String>,
}

/// Standardised mean differences of one covariate, one for each comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Covariate {
    /// The name of the covariate.
    pub name: String,
    /// Differences before weighting.
    pub before: Vec<f64>,
    /// After weighting; none where nothing is weighted.
    pub after: Vec<f64>,
}

/// Covariates beyond are left out, which the chart says.
const MOST: usize = 60;
/// Differences from here on are usually called imbalance.
const IMBALANCE: f64 = 0.1;
/// Distance of before and after from a covariate's line, above and below.
const APART: f64 = 0.14;

/// The chart: large signs are the comparisons that differ most, small ones all others.
pub fn balance(chart: &Balance) -> Figure {
    let shown = &chart.covariates[..chart.covariates.len().min(MOST)];
    let all = || shown.iter().flat_map(|covariate| covariate.before.iter().chain(&covariate.after).copied());
    let (low, high) = range(all().chain([IMBALANCE, -IMBALANCE]), 0.0);
    let weighted = shown.iter().any(|covariate| covariate.after.iter().any(|d| drawable(*d)));
    let (before, after) = (
        Marker::hollow(Color::Vermillion, MarkerShape::Triangle),
        Marker::full(Color::Blue, MarkerShape::Circle),
    );
    let upright = |at: f64, dash| Layer::Rule { level: false, at, dash };
    let mut layers =
        vec![upright(0.0, Dash::Solid), upright(-IMBALANCE, Dash::Dashed), upright(IMBALANCE, Dash::Dashed)];
    let shift = if weighted { APART } else { 0.0 };
    layers.extend(signs(shown, before, -shift, |covariate| &covariate.before));
    layers.extend(signs(shown, after, shift, |covariate| &covariate.after));
    let several = shown.iter().any(|covariate| covariate.before.len() > 1);
    let mut notes = chart.notes.clone();
    if shown.len() < chart.covariates.len() {
        notes.push(format!("The first {} of {} covariates.", shown.len(), chart.covariates.len()));
    }
    Figure {
        title: chart.title.clone(),
        x: Axis { label: "Standardised mean difference".to_owned(), low, high, ticks: Ticks::Numbers },
        y: Axis {
            label: String::new(),
            low: -0.6,
            high: shown.len().max(1) as f64 - 0.4,
            ticks: Ticks::Categories(shown.iter().map(|covariate| covariate.name.clone()).collect()),
        },
        panels: vec![Panel { title: String::new(), layers }],
        legend: keys(before, after, weighted, several),
        notes,
    }
}

fn keys(before: Marker, after: Marker, weighted: bool, several: bool) -> Vec<LegendEntry> {
    let mut keys = vec![LegendEntry::new(LegendSymbol::Marker(before), "Before weighting")];
    if weighted {
        keys.push(LegendEntry::new(LegendSymbol::Marker(after), "After weighting"));
    }
    if several {
        let small = Marker::full(Color::Black, MarkerShape::Circle);
        keys.push(LegendEntry::new(LegendSymbol::Faint(small), "Other comparisons"));
    }
    keys.push(LegendEntry::new(LegendSymbol::Rule(Dash::Dashed), "±0.1"));
    keys
}

/// A large sign at the difference of largest size, small ones at the others.
fn signs(
    shown: &[Covariate],
    marker: Marker,
    shift: f64,
    of: impl Fn(&Covariate) -> &Vec<f64>,
) -> Vec<Layer> {
    let (mut large, mut small) = (Vec::new(), Vec::new());
    for (place, covariate) in shown.iter().enumerate() {
        let y = place as f64 + shift;
        let known: Vec<f64> = of(covariate).iter().copied().filter(|d| drawable(*d)).collect();
        let Some(worst) = (0..known.len()).max_by(|a, b| known[*a].abs().total_cmp(&known[*b].abs())) else {
            continue;
        };
        large.push([known[worst], y]);
        let others = known.iter().enumerate().filter(|(number, _)| *number != worst);
        small.extend(others.map(|(_, d)| [*d, y]));
        // Cells of a cohort often share their covariates: equal signs are drawn once.
        small.sort_by(|a, b| a[1].total_cmp(&b[1]).then(a[0].total_cmp(&b[0])));
        small.dedup();
    }
    let faint = Marker { hollow: false, ..marker };
    let mut layers = Vec::new();
    for (marker, faint, places) in [(faint, true, small), (marker, false, large)] {
        if !places.is_empty() {
            layers.push(Layer::Points { marker, faint, places });
        }
    }
    layers
}
