//! `stagger agg`: any aggregation afterwards, from the saved result alone.

use std::path::Path;

use serde::Serialize;
use stagger_estimation::aggregate::{
    InferenceOverrides, aggregate_saved, difference, has_covariance, pretest,
};
use stagger_estimator::aggregate::AggregateOptions;
use stagger_model::contrast::{ChosenPretest, Contrast};
use stagger_model::failure::Failure;
use stagger_model::result::{AGGREGATION_TYPES, Aggte};
use stagger_report::aggregation::{aggregation_report, contrast_lines, covariance_table, pretest_line};
use stagger_report::bands::Bands;
use stagger_report::load::{LoadedResult, load};
use stagger_report::overwrite::OverwriteRules;
use stagger_report::pictures::files::write_table;
use stagger_report::stdout::{print, print_json};
use stagger_report::tabular::covariance_csv;

use super::output::say;
use crate::cli::AggArgs;
use crate::cli::spec::{Window, level};
use crate::cli::values::{number, span};

/// The object of `--json`: the aggregation, and what was asked of its estimates.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    aggte: &'a Aggte,
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<Contrast>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pre_test: Option<ChosenPretest>,
}

/// Aggregates and prints.
pub(crate) fn agg(args: &AggArgs) -> Result<(), Failure> {
    let kind = kind(&args.kind)?;
    let options = options(args, kind)?;
    let leads = args.pre_test.as_deref().map(|text| event_times("--pre-test", text)).transpose()?;
    let pair = pair(args, kind)?;
    let loaded = load(Path::new(&args.result))?;
    let spec = &loaded.saved.extended.spec;
    if args.cband == Some(true) && !spec.bstrap {
        return Err(Failure::input("cband needs the draws of the bootstrap, and this run had bstrap off")
            .hint("run it again with --bstrap, or leave --cband out for pointwise bands"));
    }
    let inference = inference(args, kind, &loaded)?;
    let draws = loaded.draws.as_ref();
    let aggte = aggregate_saved(&loaded.saved, draws, kind, &options, &inference)?;
    check_average(&aggte)?;
    let pair = pair.map(|[a, b]| Ok::<_, Failure>((place(&aggte, a)?, place(&aggte, b)?))).transpose()?;
    let contrast =
        pair.map(|pair| difference(&loaded.saved, draws, (kind, &options), &inference, pair)).transpose()?;
    let test = leads.map(|leads| pretest(&loaded.saved, leads)).transpose()?;
    for warning in &aggte.warnings {
        say(false, &format!("warning: {warning}"));
    }
    if let Some(out) = &args.vcov_out {
        write_covariance(Path::new(out), &aggte, args)?;
    }
    if args.json.unwrap_or(false) {
        return print_json(&Answer { aggte: &aggte, difference: contrast, pre_test: test });
    }
    let alp = args.alp.unwrap_or(loaded.saved.result.alp);
    let bands = Bands::of(spec.bstrap && args.cband.unwrap_or(spec.cband), aggte.crit, alp);
    let mut text = aggregation_report(&loaded.saved, &aggte, alp, bands);
    text += &contrast.map(|own| contrast_lines(&aggte, &own, alp)).unwrap_or_default();
    text += &test.map(|own| pretest_line(&own)).unwrap_or_default();
    if args.vcov.unwrap_or(false) {
        text += &covariance_table(&aggte);
    }
    print(&text)
}

fn options(args: &AggArgs, kind: &str) -> Result<AggregateOptions, Failure> {
    let window = Window::new(&args.window)?;
    window.check(kind)?;
    let average = args.average.as_deref().map(|text| event_times("--average", text)).transpose()?;
    if average.is_some() && kind != "dynamic" {
        return Err(Failure::input(format!("--average names event times, and type {kind} has none"))
            .hint("--type dynamic has them"));
    }
    Ok(AggregateOptions { average, ..AggregateOptions::from(window) })
}

fn inference(args: &AggArgs, kind: &str, loaded: &LoadedResult) -> Result<InferenceOverrides, Failure> {
    let wanted = args.vcov.unwrap_or(false) || args.vcov_out.is_some();
    if wanted && kind == "simple" {
        return Err(Failure::input("type simple has one estimate, so that there is no covariance to show")
            .hint("--type dynamic has the covariance of the event study"));
    }
    // What the run itself has is given without being asked for, so that both are the same.
    let vcov = wanted || has_covariance(&loaded.saved, kind);
    Ok(InferenceOverrides { alp: level(args.alp)?, cband: args.cband, vcov })
}

fn event_times(flag: &str, text: &str) -> Result<(f64, f64), Failure> {
    span(text).map_err(|reason| Failure::input(format!("{flag} {text}: {reason}")))
}

/// The two estimates whose difference is asked for.
fn pair<'a>(args: &'a AggArgs, kind: &str) -> Result<Option<[&'a String; 2]>, Failure> {
    match args.difference.as_deref() {
        None => Ok(None),
        Some(_) if kind == "simple" => {
            Err(Failure::input("type simple has one estimate, so that there is no difference")
                .hint("--type group has differences between cohorts, --type dynamic between event times"))
        }
        Some([a, b]) => Ok(Some([a, b])),
        Some(all) => Err(Failure::input(format!("--difference takes two estimates; received {}", all.len()))
            .hint("--difference 2007,2006 is that of 2007 less that of 2006")),
    }
}

/// An event time, group or period as it is written in the table, or as a number.
fn place(aggte: &Aggte, text: &str) -> Result<f64, Failure> {
    let labelled = aggte.egt_label.iter().position(|label| label == text);
    match labelled.and_then(|at| aggte.egt.get(at)) {
        Some(value) => Ok(value.0),
        None => number(text).map_err(|reason| Failure::input(format!("--difference {text}: {reason}"))),
    }
}

/// Refuses a mean over event times that are not there.
fn check_average(aggte: &Aggte) -> Result<(), Failure> {
    let Some([first, last]) = aggte.average else { return Ok(()) };
    if aggte.egt.iter().any(|e| (first.0..=last.0).contains(&e.0)) {
        return Ok(());
    }
    let there: Vec<String> = aggte.egt.iter().map(|e| e.0.to_string()).collect();
    Err(Failure::input(format!("no event time lies in {}..{}", first.0, last.0))
        .hint(format!("there are {}", there.join(", "))))
}

fn write_covariance(out: &Path, aggte: &Aggte, args: &AggArgs) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    covariance_csv(aggte, &mut bytes).map_err(|source| Failure::write(out, &source))?;
    write_table(out, &bytes, &OverwriteRules::new("--vcov-out", args.force, &[&args.result]))
}

/// R's name of an aggregation; Python and Stata say `eventstudy`.
fn kind(text: &str) -> Result<&'static str, Failure> {
    let name = match text {
        "eventstudy" | "event" => "dynamic",
        other => other,
    };
    AGGREGATION_TYPES.into_iter().find(|kind| *kind == name).ok_or_else(|| {
        Failure::input(format!(
            "type must be one of \"simple\", \"dynamic\", \"group\", or \"calendar\"; received \"{text}\""
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_their_other_names() {
        assert_eq!(kind("eventstudy"), Ok("dynamic"));
        assert_eq!(kind("group"), Ok("group"));
        insta::assert_snapshot!(kind("dynamics").expect_err("refused").to_string(), @r#"error: type must be one of "simple", "dynamic", "group", or "calendar"; received "dynamics""#);
    }
}
