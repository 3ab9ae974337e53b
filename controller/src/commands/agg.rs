//! `stagger agg`: any aggregation afterwards, from the saved result alone.

use std::path::Path;

use stagger_estimation::aggregate::{InferenceOverrides, aggregate_saved};
use stagger_estimator::aggregate::AggregateOptions;
use stagger_model::failure::Failure;
use stagger_model::result::{AGGREGATION_TYPES, Aggte};
use stagger_report::aggregation::{aggregation_report, covariance_table};
use stagger_report::bands::Bands;
use stagger_report::load::load;
use stagger_report::overwrite::OverwriteRules;
use stagger_report::pictures::files::write_table;
use stagger_report::stdout::{print, print_json};
use stagger_report::tabular::covariance_csv;

use super::output::say;
use crate::cli::AggArgs;
use crate::cli::spec::{Window, level};

/// Aggregates and prints.
pub(crate) fn agg(args: &AggArgs) -> Result<(), Failure> {
    let kind = kind(&args.kind)?;
    let window = Window::new(&args.window)?;
    window.check(kind)?;
    let options = AggregateOptions::from(window);
    let vcov = args.vcov.unwrap_or(false);
    let inference = InferenceOverrides {
        alp: level(args.alp)?,
        cband: args.cband,
        vcov: vcov || args.vcov_out.is_some(),
    };
    if inference.vcov && kind == "simple" {
        return Err(Failure::input("type simple has one estimate, so that there is no covariance to show")
            .hint("--type dynamic has the covariance of the event study"));
    }
    let loaded = load(Path::new(&args.result))?;
    let spec = &loaded.saved.extended.spec;
    if args.cband == Some(true) && !spec.bstrap {
        return Err(Failure::input("cband needs the draws of the bootstrap, and this run had bstrap off")
            .hint("run it again with --bstrap, or leave --cband out for pointwise bands"));
    }

    let aggte = aggregate_saved(&loaded.saved, loaded.draws.as_ref(), kind, &options, &inference)?;
    for warning in &aggte.warnings {
        say(false, &format!("warning: {warning}"));
    }
    if let Some(out) = &args.vcov_out {
        write_covariance(Path::new(out), &aggte, args)?;
    }
    if args.json.unwrap_or(false) {
        return print_json(&aggte);
    }
    let alp = args.alp.unwrap_or(loaded.saved.result.alp);
    let bands = Bands::of(spec.bstrap && args.cband.unwrap_or(spec.cband), aggte.crit, alp);
    let matrix = if vcov { covariance_table(&aggte) } else { String::new() };
    print(&(aggregation_report(&loaded.saved, &aggte, alp, bands) + &matrix))
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
