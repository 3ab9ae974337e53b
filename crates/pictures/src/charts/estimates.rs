//! Estimates with their intervals, before and after treatment.

use crate::figure::{Coverage, Layer, LegendEntry, LegendSymbol, Marker, MarkerShape, drawable};
use crate::scene::{Color, Dash};

/// One estimate.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Event time, period, cohort.
    pub at: f64,
    /// Estimate; not a number where there is none.
    pub value: f64,
    /// The ends of the pointwise interval.
    pub pointwise: Option<[f64; 2]>,
    /// Interval that holds for all estimates at once.
    pub uniform: Option<[f64; 2]>,
    /// Zero by definition: what others are compared with.
    pub reference: bool,
    /// The estimate is of a period after treatment.
    pub post: bool,
}

impl Default for Estimate {
    fn default() -> Self {
        Self { at: 0.0, value: f64::NAN, pointwise: None, uniform: None, reference: false, post: false }
    }
}

impl Estimate {
    /// Returns true if the estimate has a place in a picture.
    pub(crate) fn shown(&self) -> bool {
        drawable(self.at) && drawable(self.value)
    }

    /// Everything that the axis of values must hold.
    pub(crate) fn extent(&self) -> impl Iterator<Item = f64> {
        let ends = self.pointwise.into_iter().chain(self.uniform).flatten();
        ends.chain([self.value])
    }
}

/// Colours and signs of a set of estimates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    pub(crate) pre: Marker,
    pub(crate) post: Marker,
}

/// Before and after treatment in another colour and with another sign.
pub(crate) const PRE_AND_POST: Look = Look {
    pre: Marker { ink: Color::Vermillion, sign: MarkerShape::Triangle, hollow: false },
    post: Marker { ink: Color::Blue, sign: MarkerShape::Circle, hollow: false },
};

/// The sign of reference periods.
fn reference(ink: Color, sign: MarkerShape) -> Marker {
    Marker::hollow(ink, sign)
}

/// Layers of estimates that are moved to the right by `shift`: bands below, signs above.
pub(crate) fn layers(estimates: &[Estimate], look: Look, shift: f64) -> Vec<Layer> {
    let mut all = Vec::new();
    let of = |marker: &Marker| {
        let post = *marker == look.post;
        // One look for all: they are one set.
        let same = look.pre == look.post;
        estimates.iter().filter(move |e| e.shown() && !e.reference && (same || e.post == post))
    };
    let mut markers = vec![look.pre, look.post];
    markers.dedup();
    for cover in [Coverage::Uniform, Coverage::Pointwise] {
        for marker in &markers {
            let bounds: Vec<[f64; 3]> = of(marker)
                .filter_map(|e| {
                    let interval = if cover == Coverage::Uniform { e.uniform } else { e.pointwise };
                    let [low, high] = interval?;
                    (drawable(low) && drawable(high)).then_some([e.at + shift, low, high])
                })
                .collect();
            if !bounds.is_empty() {
                all.push(Layer::Intervals { ink: marker.ink, cover, bounds });
            }
        }
    }
    let mut signs = |marker: Marker, places: Vec<[f64; 2]>| {
        if !places.is_empty() {
            all.push(Layer::Points { marker, faint: false, places });
        }
    };
    for marker in &markers {
        signs(*marker, of(marker).map(|e| [e.at + shift, e.value]).collect());
    }
    let references = estimates.iter().filter(|e| e.shown() && e.reference);
    let ink = if look.pre == look.post { look.pre.ink } else { Color::Black };
    signs(reference(ink, look.post.sign), references.map(|e| [e.at + shift, e.value]).collect());
    all
}

/// Returns the keys of a legend for the kinds of estimates that occur.
pub(crate) fn legend(estimates: &[&[Estimate]], look: Look, level: &str) -> Vec<LegendEntry> {
    let any = |test: &dyn Fn(&Estimate) -> bool| {
        estimates.iter().any(|all| all.iter().any(|e| e.shown() && test(e)))
    };
    let mut keys = Vec::new();
    if look.pre != look.post {
        if any(&|e| !e.post && !e.reference) {
            keys.push(LegendEntry::new(LegendSymbol::Marker(look.pre), "Before treatment"));
        }
        if any(&|e| e.post) {
            keys.push(LegendEntry::new(LegendSymbol::Marker(look.post), "After treatment"));
        }
    }
    if any(&|e| e.reference) {
        let sign = if look.pre == look.post { MarkerShape::Circle } else { look.post.sign };
        keys.push(LegendEntry::new(LegendSymbol::Marker(reference(Color::Black, sign)), "Reference period"));
    }
    if any(&|e| e.pointwise.is_some()) {
        let label = format!("{level}% pointwise interval");
        keys.push(LegendEntry::new(LegendSymbol::Interval(Color::Black, Coverage::Pointwise), label));
    }
    if any(&|e| e.uniform.is_some()) {
        let label = format!("{level}% uniform band");
        keys.push(LegendEntry::new(LegendSymbol::Interval(Color::Black, Coverage::Uniform), label));
    }
    keys
}

/// The line at zero.
pub(crate) fn zero() -> Layer {
    Layer::Rule { level: true, at: 0.0, dash: Dash::Solid }
}

/// Labels of the estimates that have no place in the picture.
pub(crate) fn missing(estimates: &[Estimate], label: impl Fn(f64) -> String) -> Vec<String> {
    estimates.iter().filter(|e| !e.shown()).map(|e| label(e.at)).collect()
}

/// Says what is not estimable.
pub(crate) fn gaps(what: &str, labels: &[String]) -> Option<String> {
    enumerated(labels).map(|list| format!("Not estimable: {what} {list}."))
}

/// The first of a list, and how many there are beyond.
pub(crate) fn enumerated(all: &[String]) -> Option<String> {
    const MOST: usize = 8;
    match all {
        [] => None,
        all if all.len() <= MOST => Some(all.join(", ")),
        all => Some(format!("{} and {} more", all[..MOST].join(", "), all.len() - MOST)),
    }
}

/// A period as it is written, where that is known.
pub(crate) fn written(labels: &[(f64, String)], period: f64) -> String {
    labels.iter().find(|(at, _)| *at == period).map_or_else(|| plain(period), |(_, text)| text.clone())
}

/// A period or event time: whole where it is whole.
pub(crate) fn plain(value: f64) -> String {
    if !value.is_finite() {
        return "NA".to_owned();
    }
    let large = value.abs() >= 1e15;
    let text = if large { format!("{value:e}") } else { shortest(value) };
    text.replace('-', "\u{2212}")
}

/// A number with four decimals where it has more than ten digits, as fractions without an end do.
fn shortest(value: f64) -> String {
    let text = format!("{}", value + 0.0);
    let digits = text.chars().filter(char::is_ascii_digit).count();
    if !text.contains('.') || digits <= 10 {
        return text;
    }
    let text = format!("{value:.*}", if value.abs() < 1e-3 { 12 } else { 4 });
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
