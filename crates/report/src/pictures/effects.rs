//! Charts of effects: by event time, by cell, by cohort, by period.

use stagger_estimator::inference::pointwise_critical_value;
use stagger_estimator::options::BasePeriod;
use stagger_model::numbers::{counted, percent};
use stagger_model::result::{Aggte, Num, SavedResult};
use stagger_pictures::Figure;
use stagger_pictures::charts::{self, Cohort, Cohorts, Effects, Estimate, EventStudy, Series};

use crate::bands::Bands;
use crate::settings::{controls, estimand, method};
use crate::text::{period_label, significant_digits};

/// A result among several.
#[derive(Clone, Debug)]
pub struct NamedAggregation<'a> {
    /// The name of the result in the legend.
    pub name: String,
    /// The result.
    pub saved: &'a SavedResult,
    /// The aggregation that is shown.
    pub aggte: &'a Aggte,
}

/// Effects by event time of one result, or of several side by side.
pub fn event_study(results: &[NamedAggregation<'_>]) -> Figure {
    let series = results.iter().map(series).collect();
    let mut study = EventStudy { series, level: "95".to_owned(), ..EventStudy::default() };
    if let Some(first) = results.first() {
        let outcome = &first.saved.extended.spec.yname;
        let same = results.iter().all(|result| result.saved.extended.spec.yname == *outcome);
        let of = if same { format!(" on {outcome}") } else { String::new() };
        study.title = format!("Effect{of} by time since treatment");
        study.y_label = format!("Average effect{of}");
        study.level = percent(first.saved.result.alp);
    }
    study.notes = match results {
        [one] => vec![sample_and_overall(one.saved, one.aggte)],
        several => several
            .iter()
            .map(|result| format!("{}: {}.", result.name, overall(result.saved, result.aggte)))
            .collect(),
    };
    charts::event_study(&study)
}

fn series(result: &NamedAggregation<'_>) -> Series {
    let spec = &result.saved.extended.spec;
    let universal = spec.base_period == BasePeriod::Universal;
    let mut estimates = of_aggregation(result.saved, result.aggte);
    for estimate in &mut estimates {
        estimate.post = estimate.at >= 0.0;
        // The base cells are zero by definition, without an error.
        estimate.reference = universal && estimate.value == 0.0 && estimate.pointwise.is_none();
    }
    Series { name: result.name.clone(), estimates, anticipation: spec.anticipation }
}

fn of_aggregation(saved: &SavedResult, aggte: &Aggte) -> Vec<Estimate> {
    let spec = &saved.extended.spec;
    let alp = saved.result.alp;
    let bands = Bands::of(spec.bstrap && spec.cband, aggte.crit, alp);
    (0..aggte.egt.len())
        .map(|i| {
            let numbers = [aggte.att_egt[i], aggte.se_egt[i], aggte.lci_egt[i], aggte.uci_egt[i]];
            estimate(aggte.egt[i], numbers, bands, alp)
        })
        .collect()
}

/// An estimate with its pointwise interval, and with the result's band where that holds for all at once.
fn estimate(at: Num, [att, se, low, high]: [Num; 4], bands: Bands, alp: f64) -> Estimate {
    let reach = pointwise_critical_value(alp) * se.0;
    Estimate {
        at: at.0,
        value: att.0,
        pointwise: reach.is_finite().then_some([att.0 - reach, att.0 + reach]),
        uniform: (bands == Bands::Simultaneous && low.0.is_finite() && high.0.is_finite())
            .then_some([low.0, high.0]),
        reference: false,
        post: true,
    }
}

/// ATT(g,t), a panel for every cohort.
pub fn cells_figure(saved: &SavedResult) -> Figure {
    let (cells, spec) = (&saved.result.att_gt, &saved.extended.spec);
    let alp = saved.result.alp;
    let bands = Bands::of(spec.bstrap && spec.cband, Some(saved.result.crit), alp);
    let mut cohorts: Vec<Cohort> = Vec::new();
    for i in 0..cells.att.len() {
        let begins = cells.group[i].0;
        if cohorts.last().is_none_or(|cohort| cohort.begins != begins) {
            cohorts.push(Cohort { begins, estimates: Vec::new() });
        }
        let numbers = [cells.att[i], cells.se[i], cells.lci[i], cells.uci[i]];
        let mut estimate = estimate(cells.time[i], numbers, bands, alp);
        estimate.post = cells.post[i];
        estimate.reference = saved.extended.reference.get(i).copied().unwrap_or(false);
        if let Some(cohort) = cohorts.last_mut() {
            cohort.estimates.push(estimate);
        }
    }
    charts::cohorts(&Cohorts {
        title: format!("{} on {} by cohort", estimand(spec), spec.yname),
        x_label: spec.tname.clone(),
        labels: written(saved),
        y_label: format!("Effect on {}", spec.yname),
        cohorts,
        anticipation: spec.anticipation,
        level: percent(alp),
        notes: vec![sample(saved)],
    })
}

/// Returns the figure of effects by cohort.
pub fn by_cohort(saved: &SavedResult, aggte: &Aggte) -> Figure {
    let title = format!("Effect on {} by cohort", saved.extended.spec.yname);
    effects(saved, aggte, title, "Cohort (first treated period)")
}

/// Returns the figure of effects by period.
pub fn by_period(saved: &SavedResult, aggte: &Aggte) -> Figure {
    let spec = &saved.extended.spec;
    effects(saved, aggte, format!("Effect on {} by period", spec.yname), &spec.tname)
}

fn effects(saved: &SavedResult, aggte: &Aggte, title: String, x_label: &str) -> Figure {
    charts::effects(&Effects {
        title,
        x_label: x_label.to_owned(),
        labels: written(saved),
        y_label: format!("Average effect on {}", saved.extended.spec.yname),
        estimates: of_aggregation(saved, aggte),
        level: percent(saved.result.alp),
        notes: vec![sample_and_overall(saved, aggte)],
    })
}

/// Periods and groups as they are written, where they are dates.
fn written(saved: &SavedResult) -> Vec<(f64, String)> {
    let Some(calendar) = &saved.extended.calendar else { return Vec::new() };
    let all = saved.extended.periods.iter().chain(&saved.extended.groups);
    all.map(|period| (period.0, calendar.label(period.0))).collect()
}

/// Returns the note on the sample below a picture: estimator, control group, units, periods.
fn sample(saved: &SavedResult) -> String {
    let (spec, extended) = (&saved.extended.spec, &saved.extended);
    let noun = if spec.panel { "unit" } else { "row" };
    let mut text = format!(
        "{}, {} controls; {}",
        capital(method(spec)),
        controls(spec).replace(' ', "-"),
        counted(saved.result.n, noun)
    );
    if let (Some(first), Some(last)) = (extended.periods.first(), extended.periods.last()) {
        text += &format!(", {} to {}", period_label(saved, *first), period_label(saved, *last));
    }
    text + "."
}

fn sample_and_overall(saved: &SavedResult, aggte: &Aggte) -> String {
    format!("{} {}.", sample(saved), capital(&overall(saved, aggte)))
}

/// The overall effect in words.
pub(super) fn overall(saved: &SavedResult, aggte: &Aggte) -> String {
    if aggte.overall_att.is_na() {
        return "no overall effect could be estimated".to_owned();
    }
    let number = |value: Num| significant_digits(value.0).replace('-', "\u{2212}");
    format!(
        "overall effect {} ({}% interval {} to {})",
        number(aggte.overall_att),
        percent(saved.result.alp),
        number(aggte.overall_lci),
        number(aggte.overall_uci)
    )
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
