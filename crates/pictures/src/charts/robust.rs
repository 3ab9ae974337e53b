//! Robust intervals by the size of violations: the sensitivity plot.

use super::estimates::zero;
use crate::figure::{
    Axis, Coverage, Figure, Layer, LegendEntry, LegendSymbol, Marker, MarkerShape, Panel, Ticks, drawable,
    range,
};
use crate::scene::Color;

/// Robust intervals of some effects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Robust {
    /// The title.
    pub title: String,
    /// The label of the horizontal axis: what the sizes are.
    pub x_label: String,
    /// The label of the vertical axis: the effect, and on which outcome.
    pub y_label: String,
    /// The sizes, as they are written.
    pub sizes: Vec<String>,
    /// One for each effect.
    pub effects: Vec<RobustEffect>,
    /// Confidence level in percent.
    pub level: String,
    /// Notes below the chart.
    pub notes: Vec<String>,
}

/// An effect with its intervals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RobustEffect {
    /// The name of the effect among several.
    pub name: String,
    /// The estimate.
    pub value: f64,
    /// The interval under parallel trends.
    pub original: [f64; 2],
    /// By size: the robust interval; NaN where there is none.
    pub intervals: Vec<[f64; 2]>,
}

const ORIGINAL: Color = Color::Vermillion;
const ROBUST: Color = Color::Blue;

/// The chart: a panel for every effect, in it the usual interval and then one for each size.
pub fn robust(chart: &Robust) -> Figure {
    let ends = |own: &RobustEffect| {
        let all: Vec<f64> = own.intervals.iter().chain([&own.original]).flatten().copied().collect();
        all.into_iter().chain([own.value])
    };
    let (low, high) = range(chart.effects.iter().flat_map(ends), 0.0);
    let mut ticks = vec![(0.0, "none".to_owned())];
    ticks.extend(chart.sizes.iter().enumerate().map(|(place, size)| (place as f64 + 1.0, size.clone())));
    Figure {
        title: chart.title.clone(),
        x: Axis {
            label: chart.x_label.clone(),
            low: -0.6,
            high: ticks.len() as f64 - 0.4,
            ticks: Ticks::At(ticks),
        },
        y: Axis { label: chart.y_label.clone(), low, high, ticks: Ticks::Numbers },
        panels: chart.effects.iter().map(|own| panel(own, chart.effects.len() > 1)).collect(),
        legend: vec![
            LegendEntry::new(
                LegendSymbol::Interval(ORIGINAL, Coverage::Pointwise),
                format!("{}% interval under parallel trends", chart.level),
            ),
            LegendEntry::new(
                LegendSymbol::Interval(ROBUST, Coverage::Pointwise),
                format!("{}% robust interval", chart.level),
            ),
        ],
        notes: chart.notes.clone(),
    }
}

fn panel(own: &RobustEffect, several: bool) -> Panel {
    let placed = |(place, [low, high]): (usize, &[f64; 2])| {
        (drawable(*low) && drawable(*high)).then_some([place as f64, *low, *high])
    };
    let original: Vec<[f64; 3]> = placed((0, &own.original)).into_iter().collect();
    let bounds: Vec<[f64; 3]> =
        own.intervals.iter().enumerate().filter_map(|(i, ends)| placed((i + 1, ends))).collect();
    let intervals = |ink, bounds| Layer::Intervals { ink, cover: Coverage::Pointwise, bounds };
    let marker = Marker::full(ORIGINAL, MarkerShape::Circle);
    let mut layers = vec![zero(), intervals(ORIGINAL, original), intervals(ROBUST, bounds)];
    if drawable(own.value) {
        layers.push(Layer::Points { marker, faint: false, places: vec![[0.0, own.value]] });
    }
    Panel { title: if several { own.name.clone() } else { String::new() }, layers }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{scene, svg};

    fn chart(effects: usize) -> Robust {
        let effect = |at: usize| RobustEffect {
            name: format!("Event time {at}"),
            value: 0.5,
            original: [0.1, 0.9],
            intervals: vec![[0.0, 1.0], [f64::NAN; 2], [-3.0, 4.0]],
        };
        Robust {
            sizes: ["0.5", "1", "2"].map(str::to_owned).to_vec(),
            effects: (0..effects).map(effect).collect(),
            level: "95".to_owned(),
            ..Robust::default()
        }
    }

    #[test]
    fn every_interval_that_there_is_has_its_place() {
        let figure = robust(&chart(1));
        assert!(figure.y.low < -3.0 && figure.y.high > 4.0);
        let bounds = |layer: &Layer| match layer {
            Layer::Intervals { bounds, .. } => bounds.iter().map(|b| b[0]).collect(),
            _ => Vec::new(),
        };
        let places: Vec<f64> = figure.panels[0].layers.iter().flat_map(bounds).collect();
        assert_eq!(places, [0.0, 1.0, 3.0]);
        assert!(figure.panels[0].title.is_empty());
    }

    #[test]
    fn several_effects_have_a_panel_each() {
        let figure = robust(&chart(3));
        let titles: Vec<&str> = figure.panels.iter().map(|panel| panel.title.as_str()).collect();
        assert_eq!(titles, ["Event time 0", "Event time 1", "Event time 2"]);
        let (width, height) = figure.natural_size();
        assert!(svg(&scene(&figure, width, height)).contains("Event time 2"));
        assert_eq!(robust(&Robust::default()).panels.len(), 0);
    }
}
