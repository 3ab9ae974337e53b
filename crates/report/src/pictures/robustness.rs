//! Pictures of sensitivity and of the power of a pre-test.

use stagger_estimator::inference::pointwise_critical_value;
use stagger_estimator::sensitivity::RestrictionKind;
use stagger_model::numbers::percent;
use stagger_model::result::Num;
use stagger_model::sensitivity::{PretrendsResult, RobustEffect, SensitivityResult};
use stagger_pictures::Figure;
use stagger_pictures::charts::{self, Estimate, EventStudy, Robust, Series};

use crate::sensitivity::{size_label, times_label};

/// The sensitivity plot: robust intervals by size, a panel for every effect.
pub fn sensitivity(result: &SensitivityResult) -> Figure {
    let sizes = result.effects.first().map(|own| own.robust.iter().map(|ends| size_label(ends.m)).collect());
    let (what, x_label) = match result.restriction {
        RestrictionKind::RelativeMagnitude => {
            ("relative magnitudes", "Largest violation, relative to those before (Mbar)")
        }
        RestrictionKind::Smoothness => ("smoothness", "Largest change of slope (M)"),
    };
    charts::robust(&Robust {
        title: format!("Sensitivity to violations of parallel trends: {what}"),
        x_label: x_label.to_owned(),
        y_label: "Effect".to_owned(),
        sizes: sizes.unwrap_or_default(),
        effects: result.effects.iter().map(effect).collect(),
        level: percent(result.alp),
        notes: result.effects.iter().map(breakdown).collect(),
    })
}

fn effect(own: &RobustEffect) -> charts::RobustEffect {
    charts::RobustEffect {
        name: format!("Event time {}", times_label(&own.event_time)),
        value: own.att.0,
        original: [own.lci.0, own.uci.0],
        intervals: own.robust.iter().map(|ends| [ends.lci.0, ends.uci.0]).collect(),
    }
}

fn breakdown(own: &RobustEffect) -> String {
    let name = times_label(&own.event_time);
    match own.breakdown.is_na() {
        true => format!("Event time {name}: no size makes the interval cover 0."),
        false => format!("Event time {name}: breakdown value {}.", size_label(own.breakdown)),
    }
}

/// The event study with the trends of a pre-test: their means, and those of the estimates that pass it.
pub fn pretrends(result: &PretrendsResult) -> Figure {
    let reach = |i: usize| pointwise_critical_value(result.alp) * result.se[i].0;
    let interval = |i: usize| [result.att[i].0 - reach(i), result.att[i].0 + reach(i)];
    let own = |i: usize| Estimate {
        at: result.event_time[i].0,
        value: result.att[i].0,
        pointwise: Some(interval(i)),
        post: result.event_time[i].0 > result.reference.0,
        ..Estimate::default()
    };
    let estimates: Vec<Estimate> = (0..result.att.len()).map(own).collect();
    let mut series = vec![Series { name: "Estimates".to_owned(), estimates, anticipation: 0.0 }];
    for trend in &result.trends {
        let points = |values: &[Num]| -> Vec<Estimate> {
            let times = result.event_time.iter().zip(values);
            times
                .map(|(at, value)| Estimate { at: at.0, value: value.0, post: true, ..Estimate::default() })
                .collect()
        };
        let found = format!("{:.0}%", 100.0 * trend.reject);
        let named =
            |name: String, values: &[Num]| Series { name, estimates: points(values), anticipation: 0.0 };
        series.push(named(format!("Trend that is found with {found}"), &trend.trend));
        series.push(named(format!("Mean if not found ({found})"), &trend.mean_if_passed));
    }
    charts::event_study(&EventStudy {
        title: "Power of the pre-test".to_owned(),
        y_label: "Effect, and bias under a linear trend".to_owned(),
        series,
        level: percent(result.alp),
        notes: result.trends.iter().map(note).collect(),
    })
}

fn note(trend: &stagger_model::sensitivity::PretrendEntry) -> String {
    format!("Slope {} is found with probability {:.3}.", size_label(trend.slope), trend.reject)
}
