//! Effects by cohort or by period.

use super::estimates::{Estimate, Look, PRE_AND_POST, gaps, layers, legend, missing, written, zero};
use crate::figure::{Axis, Figure, Panel, Ticks, drawable, range};

/// Effects by cohort or by period.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effects {
    /// The title.
    pub title: String,
    /// The label of the horizontal axis: what tells the effects apart, such as cohorts.
    pub x_label: String,
    /// The label of the vertical axis: the effect, and on which outcome.
    pub y_label: String,
    /// The labels of places on the horizontal axis that are not written as numbers.
    pub labels: Vec<(f64, String)>,
    /// The effects.
    pub estimates: Vec<Estimate>,
    /// Confidence level in percent.
    pub level: String,
    /// Notes below the chart.
    pub notes: Vec<String>,
}

/// Returns the figure of the chart.
pub fn effects(chart: &Effects) -> Figure {
    let (low, high) = range(chart.estimates.iter().flat_map(Estimate::extent), 0.0);
    let places: Vec<f64> = chart.estimates.iter().map(|e| e.at).filter(|at| drawable(*at)).collect();
    // Cohorts may lie far apart in time: each has its place in the row.
    let row: Vec<Estimate> = chart
        .estimates
        .iter()
        .filter(|e| drawable(e.at))
        .enumerate()
        .map(|(place, e)| Estimate { at: place as f64, ..e.clone() })
        .collect();
    let look = Look { pre: PRE_AND_POST.post, post: PRE_AND_POST.post };
    let ticks =
        places.iter().enumerate().map(|(place, at)| (place as f64, written(&chart.labels, *at))).collect();
    let mut notes = chart.notes.clone();
    notes.extend(gaps(
        &chart.x_label.to_lowercase(),
        &missing(&chart.estimates, |at| written(&chart.labels, at)),
    ));
    Figure {
        title: chart.title.clone(),
        x: Axis {
            label: chart.x_label.clone(),
            low: -0.6,
            high: places.len().max(1) as f64 - 0.4,
            ticks: Ticks::At(ticks),
        },
        y: Axis { label: chart.y_label.clone(), low, high, ticks: Ticks::Numbers },
        panels: vec![Panel {
            title: String::new(),
            layers: std::iter::once(zero()).chain(layers(&row, look, 0.0)).collect(),
        }],
        legend: legend(&[&row], look, &chart.level),
        notes,
    }
}
