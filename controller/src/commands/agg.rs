//! `stagger agg`: any aggregation afterwards, from the saved result alone.

use std::path::Path;

use stagger_estimation::aggregate::{InferenceOverrides, aggregate_saved};
use stagger_estimator::aggregate::AggregateOptions;
use stagger_model::failure::Failure;
use stagger_model::result::AGGREGATION_TYPES;
use stagger_report::aggregation::aggregation_report;
use stagger_report::bands::Bands;
use stagger_report::load::load;
use stagger_report::stdout::{print, print_json};

use super::output::say;
use crate::cli::AggArgs;
use crate::cli::spec::{Window, level};

/// Aggregates and prints.
pub(crate) fn agg(args: &AggArgs) -> Result<(), Failure> {
    let kind = kind(&args.kind)?;
    let window = Window::new(&args.window)?;
    window.check(kind)?;
    let options = AggregateOptions::from(window);
    let inference = InferenceOverrides { alp: level(args.alp)?, cband: args.cband };
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
    if args.json.unwrap_or(false) {
        return print_json(&aggte);
    }
    let alp = args.alp.unwrap_or(loaded.saved.result.alp);
    let bands = Bands::of(spec.bstrap && args.cband.unwrap_or(spec.cband), aggte.crit, alp);
    print(&aggregation_report(&loaded.saved, &aggte, alp, bands))
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
