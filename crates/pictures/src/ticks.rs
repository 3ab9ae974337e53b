//! Places and labels of ticks.

use crate::figure::{Axis, Ticks};

/// The minus sign of pictures.
const MINUS: char = '\u{2212}';

/// A tick.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tick {
    pub(crate) at: f64,
    pub(crate) label: String,
}

/// Ticks of an axis of `length`, where labels take the room that `room` says and may not touch.
pub(crate) fn ticks(axis: &Axis, length: f64, room: impl Fn(&str) -> f64) -> Vec<Tick> {
    match &axis.ticks {
        Ticks::At(places) => {
            let all = places.iter().map(|(at, label)| Tick { at: *at, label: label.clone() }).collect();
            thinned(all, axis, length, room)
        }
        Ticks::Categories(things) => things
            .iter()
            .enumerate()
            .map(|(place, thing)| Tick { at: place as f64, label: thing.clone() })
            .collect(),
        Ticks::Numbers | Ticks::Whole | Ticks::Percent => steps(axis, length, room),
    }
}

/// Round numbers, as many as have room.
fn steps(axis: &Axis, length: f64, room: impl Fn(&str) -> f64) -> Vec<Tick> {
    let whole = matches!(axis.ticks, Ticks::Whole);
    // More than a dozen are hard to read, whatever room there is; of whole numbers every one is wanted.
    let wanted = if whole { 25.0 } else { 8.0 };
    let mut step = round_step((axis.high - axis.low) / wanted, whole);
    for _ in 0..12 {
        let found = at_step(axis, step);
        let widest = found.iter().map(|tick| room(&tick.label)).fold(0.0, f64::max);
        let spacing = step / (axis.high - axis.low) * length;
        if widest <= spacing || found.len() <= 2 {
            return found;
        }
        step = round_step(step * 1.2, whole);
    }
    at_step(axis, step)
}

fn at_step(axis: &Axis, step: f64) -> Vec<Tick> {
    // An end that is a multiple of the step up to rounding has its tick.
    let (first, last) = ((axis.low / step - 1e-9).ceil(), (axis.high / step + 1e-9).floor());
    if !(first.is_finite() && last.is_finite()) || last - first > 100.0 {
        return Vec::new();
    }
    let percent = matches!(axis.ticks, Ticks::Percent);
    let greatest = axis.low.abs().max(axis.high.abs());
    (0..=(last - first).max(-1.0) as i64)
        .map(|place| (first + place as f64) * step)
        .map(|at| Tick {
            at,
            label: if percent {
                format!("{}%", label(100.0 * at.abs(), 100.0 * step, 100.0 * greatest))
            } else {
                label(at, step, greatest)
            },
        })
        .collect()
}

/// The least of 1, 2, 2.5 and 5 times a power of ten that is not below `least`.
fn round_step(least: f64, whole: bool) -> f64 {
    let least = if whole { least.max(1.0) } else { least.max(1e-305) };
    let power = libm::pow(10.0, libm::floor(libm::log10(least)));
    let steps: &[f64] = if whole { &[1.0, 2.0, 5.0, 10.0] } else { &[1.0, 2.0, 2.5, 5.0, 10.0] };
    let fits = steps.iter().map(|step| step * power).find(|step| *step >= least * (1.0 - 1e-9));
    fits.unwrap_or(10.0 * power)
}

/// A number with the decimals of its step; powers of ten where it is very large or very small.
fn label(value: f64, step: f64, greatest: f64) -> String {
    // A sum of steps is not exactly zero.
    let value = if value.abs() < step * 1e-6 { 0.0 } else { value };
    let text = if greatest >= 1e6 || step < 1e-5 {
        if value == 0.0 { "0".to_owned() } else { power(value) }
    } else {
        let decimals = (0..9).find(|decimals| {
            let scaled = step * libm::pow(10.0, f64::from(*decimals));
            (scaled - scaled.round()).abs() < 1e-6 * scaled
        });
        format!("{value:.*}", decimals.unwrap_or(9) as usize)
    };
    text.replace('-', &MINUS.to_string())
}

/// `2.5e-6` as `2.5e-6`, without digits that are noise.
fn power(value: f64) -> String {
    let text = format!("{value:.2e}");
    match text.split_once('e') {
        Some((digits, exponent)) if digits.contains('.') => {
            format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

/// Returns every n-th of the ticks, with the least n at which their labels do not touch.
fn thinned(all: Vec<Tick>, axis: &Axis, length: f64, room: impl Fn(&str) -> f64) -> Vec<Tick> {
    let touching = |every: usize| {
        let kept: Vec<&Tick> = all.iter().step_by(every).collect();
        kept.windows(2).any(|pair| {
            let apart = (pair[1].at - pair[0].at) / (axis.high - axis.low) * length;
            (room(&pair[0].label) + room(&pair[1].label)) / 2.0 > apart
        })
    };
    let every = (1..=all.len().max(1)).find(|every| !touching(*every)).unwrap_or(all.len().max(1));
    all.into_iter().step_by(every).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64, ticks_of: Ticks, length: f64) -> String {
        let axis = Axis { label: String::new(), low, high, ticks: ticks_of };
        let found = ticks(&axis, length, |label| 7.0 * label.chars().count() as f64 + 8.0);
        found.iter().map(|tick| tick.label.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn round_numbers() {
        insta::assert_snapshot!(labels(-0.25, 0.08, Ticks::Numbers, 700.0), @"−0.25 −0.20 −0.15 −0.10 −0.05 0.00 0.05");
        insta::assert_snapshot!(labels(-3.6, 3.6, Ticks::Whole, 700.0), @"−3 −2 −1 0 1 2 3");
        insta::assert_snapshot!(labels(-3.6, 3.6, Ticks::Whole, 90.0), @"−2 0 2");
        insta::assert_snapshot!(labels(2003.0, 2007.5, Ticks::Whole, 300.0), @"2003 2004 2005 2006 2007");
        insta::assert_snapshot!(labels(1990.0, 2020.0, Ticks::Whole, 200.0), @"1990 2000 2010 2020");
        insta::assert_snapshot!(labels(-0.3, 0.2, Ticks::Percent, 300.0), @"30% 20% 10% 0% 10% 20%");
        insta::assert_snapshot!(labels(-3e-9, 3e-9, Ticks::Numbers, 400.0), @"−3e−9 −2e−9 −1e−9 0 1e−9 2e−9 3e−9");
        insta::assert_snapshot!(labels(0.0, 4.2e12, Ticks::Numbers, 400.0), @"0 1e12 2e12 3e12 4e12");
        insta::assert_snapshot!(labels(0.0, 4200.0, Ticks::Numbers, 400.0), @"0 1000 2000 3000 4000");
    }

    #[test]
    fn given_places_are_thinned() {
        let places = (0..10).map(|at| (f64::from(at), (2000 + at).to_string())).collect();
        insta::assert_snapshot!(labels(-0.5, 9.5, Ticks::At(places), 150.0), @"2000 2003 2006 2009");
    }
}
