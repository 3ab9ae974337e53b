//! Tasks of a run: a lane for every worker slot, time to the right.

use crate::figure::{
    AreaStyle, Axis, Bar, Figure, Hatch, Layer, LegendEntry, LegendSymbol, Marker, MarkerShape, Panel, Ticks,
    drawable,
};
use crate::scene::Color;

/// Tasks of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// The title.
    pub title: String,
    /// Stages in the order in which they began.
    pub stages: Vec<String>,
    /// Attempts at tasks.
    pub spans: Vec<Span>,
    /// Notes below the chart.
    pub notes: Vec<String>,
}

/// An attempt at a task.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// The index of the worker slot.
    pub lane: usize,
    /// Seconds from the run's begin.
    pub begin: f64,
    /// Seconds from the run's begin.
    pub end: f64,
    /// The index of its stage in [`Timeline::stages`].
    pub stage: usize,
    /// The outcome of the attempt.
    pub outcome: Outcome,
}

/// The outcome of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its result was taken.
    Done,
    /// It failed.
    Failed,
    /// It was a second one beside a slow one.
    Backup,
    /// It followed one that failed.
    Retry,
}

/// Returns the figure of the chart.
pub fn timeline(chart: &Timeline) -> Figure {
    let known: Vec<&Span> = chart
        .spans
        .iter()
        .filter(|span| drawable(span.begin) && drawable(span.end) && span.stage < chart.stages.len())
        .collect();
    let end = known.iter().map(|span| span.end).fold(0.0, f64::max);
    let lanes = known.iter().map(|span| span.lane + 1).max().unwrap_or(1);
    let mut layers: Vec<Layer> = (0..chart.stages.len())
        .map(|stage| {
            let own = known.iter().filter(|span| span.stage == stage);
            Layer::Bars { tint: tint(stage), bars: own.map(|span| bar(span)).collect() }
        })
        .collect();
    let mut legend: Vec<LegendEntry> = chart
        .stages
        .iter()
        .enumerate()
        .map(|(stage, name)| LegendEntry::new(LegendSymbol::Area(tint(stage)), name.clone()))
        .collect();
    for (outcome, marker, label) in OUTCOMES {
        let places: Vec<[f64; 2]> =
            known.iter().filter(|span| span.outcome == outcome).map(|span| place(span)).collect();
        if !places.is_empty() {
            legend.push(LegendEntry::new(LegendSymbol::Marker(marker), label));
            layers.push(Layer::Points { marker, faint: false, places });
        }
    }
    Figure {
        title: chart.title.clone(),
        x: Axis {
            label: "Seconds since the run began".to_owned(),
            low: 0.0,
            high: if end > 0.0 { end * 1.01 } else { 1.0 },
            ticks: Ticks::Numbers,
        },
        y: Axis { label: "Worker slot".to_owned(), low: 0.4, high: lanes as f64 + 0.6, ticks: Ticks::Whole },
        panels: vec![Panel { title: String::new(), layers }],
        legend,
        notes: chart.notes.clone(),
    }
}

const OUTCOMES: [(Outcome, Marker, &str); 3] = [
    (Outcome::Failed, Marker { ink: Color::Black, sign: MarkerShape::Cross, hollow: false }, "failed"),
    (Outcome::Retry, Marker { ink: Color::Black, sign: MarkerShape::Triangle, hollow: true }, "done again"),
    (
        Outcome::Backup,
        Marker { ink: Color::Black, sign: MarkerShape::Diamond, hollow: true },
        "backup of a slow one",
    ),
];

/// Attempts that failed are marked where they ended, others where they began.
fn place(span: &Span) -> [f64; 2] {
    let at = if span.outcome == Outcome::Failed { span.end } else { span.begin };
    [at, span.lane as f64 + 1.0]
}

fn bar(span: &Span) -> Bar {
    let lane = span.lane as f64 + 1.0;
    Bar { left: span.begin, right: span.end.max(span.begin), from: lane - 0.38, to: lane + 0.38 }
}

/// Seven colours, and lines across them that change more slowly: stages differ without colour too.
fn tint(stage: usize) -> AreaStyle {
    let hatches = [Hatch::Plain, Hatch::Rising, Hatch::Falling, Hatch::Upright];
    AreaStyle {
        ink: Color::SERIES[stage % Color::SERIES.len()],
        opacity: 1.0,
        hatch: hatches[stage % hatches.len()],
        edge: false,
        letter: Some(char::from(b'a' + (stage % 26) as u8)),
    }
}
