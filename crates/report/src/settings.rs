//! The settings of a result in words: papers, titles, and lines.

use stagger_estimator::options::{BasePeriod, ControlGroup, DrawScale, EstMethod, FixWeights, Multiplier};
use stagger_model::numbers::{counted, grouped};
use stagger_model::result::SavedResult;
use stagger_model::spec::RunSpec;

use super::text::{field, wrapped};

/// Returns the lines of the papers to cite.
pub fn references(spec: &RunSpec) -> String {
    let method = format!("{}. {}", method(spec), method_paper(spec));
    wrapped("Reference: ", 2, design_paper(spec)) + &wrapped("Method: ", 2, &method)
}

/// The paper on the design.
pub(super) fn design_paper(spec: &RunSpec) -> &'static str {
    match spec.pname {
        None => {
            "Callaway, B. and Sant'Anna, P. H. C. (2021). \"Difference-in-Differences with Multiple Time Periods.\" \
             Journal of Econometrics 225(2), 200-230."
        }
        Some(_) => {
            "Ortiz-Villavicencio, M. and Sant'Anna, P. H. C. (2025). \"Better Understanding Triple Differences \
             Estimators.\" arXiv:2505.09942."
        }
    }
}

/// The paper on the comparison of two groups.
pub(super) fn method_paper(spec: &RunSpec) -> &'static str {
    match spec.est_method {
        EstMethod::Dr => {
            "Sant'Anna, P. H. C. and Zhao, J. (2020). \"Doubly Robust Difference-in-Differences Estimators.\" \
             Journal of Econometrics 219(1), 101-122."
        }
        EstMethod::Reg => {
            "Heckman, J. J., Ichimura, H. and Todd, P. E. (1997). \"Matching as an Econometric Evaluation \
             Estimator.\" Review of Economic Studies 64(4), 605-654."
        }
        EstMethod::Ipw => {
            "Abadie, A. (2005). \"Semiparametric Difference-in-Differences Estimators.\" \
             Review of Economic Studies 72(1), 1-19."
        }
    }
}

/// Returns the short name of what a cell estimates.
pub(super) fn estimand(spec: &RunSpec) -> &'static str {
    if spec.pname.is_some() { "DDD(g,t)" } else { "ATT(g,t)" }
}

/// Returns the title of the cells: their estimand, and the kind of data where it is no balanced panel.
pub(super) fn title(spec: &RunSpec) -> String {
    let effects = "Group-Time Average Treatment Effects";
    let effects =
        if spec.pname.is_some() { format!("Triple Differences, {effects}") } else { effects.into() };
    match data_kind(spec) {
        Some(kind) => format!("{effects}\nfrom {kind}"),
        None => effects,
    }
}

/// The kind of data, where it is no balanced panel.
pub(super) fn data_kind(spec: &RunSpec) -> Option<&'static str> {
    match (spec.panel, spec.allow_unbalanced_panel) {
        (false, _) => Some("repeated cross sections"),
        (true, true) => Some("an unbalanced panel"),
        (true, false) => None,
    }
}

/// Returns the lines of the settings: control group, base period, estimator, inference.
pub fn settings(saved: &SavedResult) -> String {
    let spec = &saved.extended.spec;
    let control = controls(spec);
    let base = match spec.base_period {
        BasePeriod::Varying => "varying",
        BasePeriod::Universal => "universal",
    };
    let control = match spec.pname {
        None => format!("{control}, anticipation periods: {}", spec.anticipation),
        Some(_) => control.to_owned(),
    };
    eligibility(spec)
        + &field("Control group:", &control)
        + &field("Estimation method:", &format!("{}; covariates: {}", method(spec), covariates(spec)))
        + &field("Base period:", base)
        + &weights(spec)
        + &field("Standard errors:", &standard_errors(saved))
}

fn eligibility(spec: &RunSpec) -> String {
    spec.pname
        .as_ref()
        .map(|pname| field("Triple differences:", &format!("eligible by {pname}")))
        .unwrap_or_default()
}

/// Returns the name of the control group.
pub(super) fn controls(spec: &RunSpec) -> &'static str {
    match spec.control_group {
        ControlGroup::NeverTreated => "never treated",
        ControlGroup::NotYetTreated => "not yet treated",
    }
}

pub(super) fn method(spec: &RunSpec) -> &'static str {
    match spec.est_method {
        EstMethod::Dr => "doubly robust",
        EstMethod::Reg => "outcome regression",
        EstMethod::Ipw => "inverse probability weighting",
    }
}

pub(super) fn covariates(spec: &RunSpec) -> &str {
    match spec.xformla.as_deref() {
        None => "none",
        Some(formula) if formula.replace(' ', "") == "~1" => "none",
        Some(formula) => formula.trim(),
    }
}

fn weights(spec: &RunSpec) -> String {
    let Some(column) = &spec.weightsname else {
        return String::new();
    };
    let period = match spec.fix_weights {
        None if spec.pname.is_some() => "",
        None if data_kind(spec).is_some() => ", each row its own",
        None => ", of each cell's earlier period",
        Some(FixWeights::BasePeriod) => ", fixed at the base period",
        Some(FixWeights::FirstPeriod) => ", fixed at the first period",
        Some(FixWeights::Varying) => ", varying, each row its own",
    };
    field("Weights:", &format!("{column}{period}"))
}

pub(super) fn standard_errors(saved: &SavedResult) -> String {
    let spec = &saved.extended.spec;
    let mut text = if spec.bstrap {
        let weights = match spec.multiplier {
            Multiplier::Mammen => "Mammen",
            Multiplier::Rademacher => "Rademacher",
        };
        let scale = if spec.scale == DrawScale::Iqr { ", quartiles as scale" } else { "" };
        format!(
            "multiplier bootstrap, {} {weights} draws, seed {}{scale}",
            grouped(spec.biters as u64),
            spec.seed
        )
    } else {
        "analytic".to_owned()
    };
    let clusters: Vec<&str> =
        spec.clustervars.iter().filter(|name| **name != spec.idname).map(String::as_str).collect();
    if let [first, others @ ..] = clusters.as_slice() {
        text += &format!(", clustered by {}", clusters.join(" and "));
        if let Some(count) = saved.extended.clusters {
            let of = if others.is_empty() { String::new() } else { format!(" of {first}") };
            text += &format!(" ({}{of})", counted(count, "cluster"));
        }
        if spec.cluster_factor {
            text += ", times G/(G - 1)";
        }
    }
    text
}
