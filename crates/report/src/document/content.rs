//! Sections of a report.

use serde_json::Value;
use stagger_model::numbers::{counted, grouped, percent};
use stagger_model::result::{Num, SavedResult};
use stagger_model::sensitivity::SensitivityResult;
use stagger_pictures::Figure;
use stagger_pictures::charts::{self, Timeline};

use super::model::{Block, Document, Picture};
use super::{facts, method, numbers, robustness};
use crate::estimates::{cohort_label, pretest_outcome};
use crate::pictures::{NamedAggregation, balance, by_cohort, by_period, cells_figure, event_study, overlap};
use crate::sensitivity::ROBUST_PAPER;
use crate::settings::estimand;
use crate::text::{period_label, significant_digits};

/// The sources of a report.
pub struct Sources<'a> {
    /// The result.
    pub saved: &'a SavedResult,
    /// `run.json`, if it is there.
    pub run: Option<&'a Value>,
    /// Tasks, if the run left a log.
    pub timeline: Option<&'a Timeline>,
    /// Robust intervals, if they can be given.
    pub sensitivity: Option<&'a SensitivityResult>,
    /// The title, in place of one made from the estimand.
    pub title: Option<&'a str>,
}

/// The report on a result.
pub fn document(sources: &Sources<'_>) -> Document {
    let saved = sources.saved;
    let mut blocks = vec![];
    effects(&mut blocks, saved);
    if let Some(result) = sources.sensitivity {
        robustness::section(&mut blocks, result);
    }
    method::section(&mut blocks, saved);
    sample(&mut blocks, saved);
    diagnostics(&mut blocks, saved);
    facts::section(&mut blocks, sources.run);
    if let Some(timeline) = sources.timeline.filter(|timeline| !timeline.spans.is_empty()) {
        let caption = "Tasks of the run: a lane for every worker slot.".to_owned();
        blocks.push(picture("timeline", caption, charts::timeline(timeline)));
    }
    blocks.push(Block::Heading("References".to_owned()));
    let mut papers = method::references(&saved.extended.spec);
    papers.extend(sources.sensitivity.map(|_| ROBUST_PAPER.to_owned()));
    papers.sort();
    blocks.push(Block::List(papers));
    let spec = &saved.extended.spec;
    let title = format!("The effect on {} by cohort and time since treatment", spec.yname);
    Document {
        title: sources.title.map_or(title, str::to_owned),
        subtitle: subtitle(saved),
        result: result(saved),
        blocks,
    }
}

fn subtitle(saved: &SavedResult) -> String {
    let spec = &saved.extended.spec;
    let what =
        if spec.pname.is_some() { "Triple differences" } else { "Staggered difference-in-differences" };
    format!("{what}: {} from {}", estimand(spec), sample_in_words(saved))
}

fn sample_in_words(saved: &SavedResult) -> String {
    let (spec, extended) = (&saved.extended.spec, &saved.extended);
    let noun = if spec.panel { "unit" } else { "row" };
    let mut text = counted(saved.result.n, noun);
    if let (Some(first), Some(last)) = (extended.periods.first(), extended.periods.last()) {
        let periods = counted(extended.periods.len() as u64, "period");
        text +=
            &format!(" over {periods} ({} to {})", period_label(saved, *first), period_label(saved, *last));
    }
    text
}

/// A number in a sentence.
fn number(value: Num) -> String {
    significant_digits(value.0).replace('-', "\u{2212}")
}

/// The overall effect: over cohorts, as Callaway and Sant'Anna advise; else over cells.
fn result(saved: &SavedResult) -> String {
    let (result, spec) = (&saved.result, &saved.extended.spec);
    let kinds = [
        ("group", "Averaged over cohorts"),
        ("simple", "Averaged over all cells after treatment"),
        ("dynamic", "Averaged over event times after treatment"),
    ];
    let found = kinds.iter().find_map(|(kind, how)| Some((how, result.aggte.get(*kind)?)));
    let Some((how, aggte)) = found.filter(|(_, aggte)| !aggte.overall_att.is_na()) else {
        return format!("No overall effect on {} could be estimated.", spec.yname);
    };
    let covered = aggte.overall_lci.0 <= 0.0 && aggte.overall_uci.0 >= 0.0;
    let zero = if aggte.overall_se.is_na() {
        ""
    } else if covered {
        "; it covers zero"
    } else {
        "; it does not cover zero"
    };
    format!(
        "{how}, treatment changes {} by {} (standard error {}, {}% confidence interval {} to {}{zero}).",
        spec.yname,
        number(aggte.overall_att),
        number(aggte.overall_se),
        percent(result.alp),
        number(aggte.overall_lci),
        number(aggte.overall_uci),
    )
}

/// Without a title: a caption says it.
fn picture(name: &'static str, caption: String, mut figure: Figure) -> Block {
    figure.title.clear();
    Block::Picture(Picture { name, caption, figure })
}

fn effects(blocks: &mut Vec<Block>, saved: &SavedResult) {
    let (result, spec) = (&saved.result, &saved.extended.spec);
    blocks.push(Block::Heading("Effects by time since treatment".to_owned()));
    if let Some(aggte) = result.aggte.get("dynamic") {
        let figure = event_study(&[NamedAggregation { name: String::new(), saved, aggte }]);
        let caption = format!("Average effect on {} by periods since treatment.", spec.yname);
        blocks.push(picture("event_study", caption, figure));
    } else {
        let why = result.not_aggregated.get("dynamic").map(|why| format!(": {}", why.reason));
        let why = why.unwrap_or_default();
        blocks.push(Block::Paragraph(format!("Effects by time since treatment are not aggregated{why}.")));
    }
    if let Some(table) = numbers::overall(saved) {
        blocks.push(Block::Table(table));
    }
    blocks.extend(numbers::effects(saved, "dynamic").map(Block::Table));
    blocks.push(Block::Heading("Effects by cohort and period".to_owned()));
    let caption = format!("{} on {}, a panel for every cohort.", estimand(spec), spec.yname);
    blocks.push(picture("att_gt", caption, cells_figure(saved)));
    let proof = if result.wald.is_some() {
        " A high one is no proof of parallel trends after treatment."
    } else {
        ""
    };
    blocks.push(Block::Paragraph(format!(
        "Pre-test: the p-value of the hypothesis that all effects before treatment are zero is {}.{proof}",
        pretest_outcome(saved)
    )));
    blocks.push(Block::Table(numbers::cells(saved)));
    if let Some(aggte) = result.aggte.get("group") {
        let caption = format!("Average effect on {} by cohort.", spec.yname);
        blocks.push(picture("group", caption, by_cohort(saved, aggte)));
        blocks.extend(numbers::effects(saved, "group").map(Block::Table));
    }
    if let Some(aggte) = result.aggte.get("calendar") {
        let caption = format!("Average effect on {} by period.", spec.yname);
        blocks.push(picture("calendar", caption, by_period(saved, aggte)));
        blocks.extend(numbers::effects(saved, "calendar").map(Block::Table));
    }
}

fn sample(blocks: &mut Vec<Block>, saved: &SavedResult) {
    let (result, spec) = (&saved.result, &saved.extended.spec);
    blocks.push(Block::Heading("Sample".to_owned()));
    let cohorts: Vec<String> = saved
        .extended
        .cohort_units
        .iter()
        .map(|(cohort, units)| format!("{} {}", grouped(*units), cohort_phrase(saved, *cohort)))
        .collect();
    let mut text = format!("The estimates use {}", sample_in_words(saved));
    if !cohorts.is_empty() {
        text += &format!(": {}", cohorts.join(", "));
    }
    blocks.push(Block::Paragraph(text + "."));
    let dropped = &result.dropped;
    if dropped.rows == 0 && dropped.units == 0 {
        blocks.push(Block::Paragraph("Nothing of the input was dropped.".to_owned()));
    } else {
        let units =
            if spec.panel { format!(" and {}", counted(dropped.units, "unit")) } else { String::new() };
        let rows = counted(dropped.rows, "row");
        blocks.push(Block::Paragraph(format!("Of the input {rows}{units} were dropped:")));
        let reasons = dropped.reasons.iter();
        blocks.push(Block::List(
            reasons.map(|(reason, rows)| format!("{}: {reason}", counted(*rows, "row"))).collect(),
        ));
    }
    if !result.warnings.is_empty() {
        blocks.push(Block::Paragraph("Warnings:".to_owned()));
        blocks.push(Block::List(result.warnings.clone()));
    }
}

fn cohort_phrase(saved: &SavedResult, cohort: Num) -> String {
    match cohort_label(saved, cohort).as_str() {
        "never treated" => "never treated".to_owned(),
        period => format!("treated from {period}"),
    }
}

fn diagnostics(blocks: &mut Vec<Block>, saved: &SavedResult) {
    let Some(diagnostics) = &saved.result.diagnostics else {
        return;
    };
    let (scores, covariates) = (overlap(saved), balance(saved));
    if scores.is_none() && covariates.is_none() {
        return;
    }
    blocks.push(Block::Heading("Overlap and balance".to_owned()));
    if let Some(figure) = scores {
        let caption = "Propensity scores of treated (upwards) and controls (downwards).".to_owned();
        blocks.push(picture("overlap", caption, figure));
        blocks.push(Block::Table(numbers::overlap(&diagnostics.overlap)));
    }
    if let Some(figure) = covariates {
        let caption =
            "Standardised mean differences between treated and controls, before and after weighting."
                .to_owned();
        blocks.push(picture("balance", caption, figure));
        blocks.push(Block::Table(numbers::balance(&diagnostics.balance)));
    }
}
