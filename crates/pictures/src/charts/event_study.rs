//! Effects by event time, of one result or several.

use super::estimates::{Estimate, Look, PRE_AND_POST, gaps, layers, legend, missing, plain, zero};
use crate::figure::{
    Axis, Figure, Layer, LegendEntry, LegendSymbol, Marker, MarkerShape, Panel, Ticks, drawable, range,
};
use crate::scene::{Color, Dash};

/// Effects by event time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventStudy {
    /// The title.
    pub title: String,
    /// The label of the vertical axis: the effect, and on which outcome.
    pub y_label: String,
    /// One for each result.
    pub series: Vec<Series>,
    /// Confidence level in percent.
    pub level: String,
    /// Notes below the chart.
    pub notes: Vec<String>,
}

/// Effects of one result.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// The name of the result among several.
    pub name: String,
    /// One for each event time.
    pub estimates: Vec<Estimate>,
    /// Periods before treatment in which units may already react.
    pub anticipation: f64,
}

/// Room of the series of one event time.
const DODGE: f64 = 0.56;
/// Between two series.
const MOST_APART: f64 = 0.2;

/// The chart. Several series stand side by side, each with its colour and sign.
pub fn event_study(study: &EventStudy) -> Figure {
    let all = || study.series.iter().flat_map(|series| &series.estimates);
    let (low, high) = range(all().flat_map(Estimate::extent), 0.0);
    let times = all().map(|e| e.at).filter(|at| drawable(*at));
    let (first, last) = times.fold((0.0_f64, 0.0_f64), |(low, high), at| (low.min(at), high.max(at)));
    let air = 0.6_f64.max(0.02 * (last - first));
    let mut panel = Panel { title: String::new(), layers: vec![zero(), before(0.0, Dash::Dashed)] };
    let anticipation = anticipations(&study.series);
    panel.layers.extend(anticipation.iter().map(|periods| before(-periods, Dash::Dotted)));
    let count = study.series.len();
    for (number, series) in study.series.iter().enumerate() {
        let apart = (DODGE / count.max(1) as f64).min(MOST_APART);
        let shift = (number as f64 - (count as f64 - 1.0) / 2.0) * apart;
        panel.layers.extend(layers(&series.estimates, look(number, count), shift));
    }
    Figure {
        title: study.title.clone(),
        x: Axis {
            label: "Periods since treatment".to_owned(),
            low: first - air,
            high: last + air,
            ticks: Ticks::Whole,
        },
        y: Axis { label: study.y_label.clone(), low, high, ticks: Ticks::Numbers },
        panels: vec![panel],
        legend: keys(study, &anticipation),
        notes: notes(study),
    }
}

/// The line before a period.
fn before(time: f64, dash: Dash) -> Layer {
    Layer::Rule { level: false, at: time - 0.5, dash }
}

/// Different numbers of anticipated periods, if any.
fn anticipations(series: &[Series]) -> Vec<f64> {
    let mut all: Vec<f64> =
        series.iter().map(|series| series.anticipation).filter(|periods| *periods > 0.0).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
}

fn look(number: usize, count: usize) -> Look {
    if count < 2 {
        return PRE_AND_POST;
    }
    let marker = series_marker(number);
    Look { pre: marker, post: marker }
}

fn series_marker(number: usize) -> Marker {
    let ink = match number % 6 {
        0 => Color::Blue,
        1 => Color::Vermillion,
        2 => Color::Green,
        3 => Color::Purple,
        4 => Color::Orange,
        _ => Color::Black,
    };
    Marker::full(ink, MarkerShape::SERIES[number % MarkerShape::SERIES.len()])
}

fn keys(study: &EventStudy, anticipation: &[f64]) -> Vec<LegendEntry> {
    let count = study.series.len();
    let mut keys = Vec::new();
    if count > 1 {
        let named = study.series.iter().enumerate();
        keys.extend(named.map(|(number, series)| {
            LegendEntry::new(LegendSymbol::Marker(series_marker(number)), series.name.clone())
        }));
    }
    let estimates: Vec<&[Estimate]> = study.series.iter().map(|series| &series.estimates[..]).collect();
    keys.extend(legend(&estimates, look(0, count), &study.level));
    if let [periods, ..] = anticipation {
        let noun = if *periods == 1.0 { "period" } else { "periods" };
        let label = match anticipation {
            [_] => format!("Anticipation ({} {noun})", plain(*periods)),
            _ => "Anticipation".to_owned(),
        };
        keys.push(LegendEntry::new(LegendSymbol::Rule(Dash::Dotted), label));
    }
    keys
}

fn notes(study: &EventStudy) -> Vec<String> {
    let mut notes = study.notes.clone();
    for series in &study.series {
        if let Some(note) = gaps("event times", &missing(&series.estimates, plain)) {
            let of = if study.series.len() > 1 { format!("{}: ", series.name) } else { String::new() };
            notes.push(format!("{of}{note}"));
        }
    }
    notes
}
