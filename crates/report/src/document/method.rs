//! The method in words, and the papers that it comes from.

use stagger_estimator::options::{BasePeriod, ControlGroup, EstMethod, FixWeights, Multiplier};
use stagger_model::numbers::{counted, grouped, percent};
use stagger_model::result::SavedResult;
use stagger_model::spec::RunSpec;

use super::model::{Block, Formula};
use crate::bands::Bands;
use crate::settings::{covariates, data_kind, design_paper, estimand, method_paper};
use crate::text::significant_digits;

const ATT: Formula = Formula {
    plain: "ATT(g,t) = E[ Y_t(g) − Y_t(0) | G = g ]",
    tex: r"ATT(g,t) = E\left[\, Y_t(g) - Y_t(0) \mid G = g \,\right]",
};
const DDD: Formula = Formula {
    plain: "DDD(g,t) = E[ Y_t(g) − Y_t(0) | G = g, eligible ]",
    tex: r"DDD(g,t) = E\left[\, Y_t(g) - Y_t(0) \mid G = g,\ \text{eligible} \,\right]",
};
const DR: Formula = Formula {
    plain: "E[ ( D / E[D] − w(X) / E[w(X)] ) · ( Y_t − Y_b − m(X) ) ],  w(X) = p(X)(1 − D) / (1 − p(X))",
    tex: r"E\left[ \left( \frac{D}{E[D]} - \frac{w(X)}{E[w(X)]} \right) \left( Y_t - Y_b - m(X) \right) \right], \quad w(X) = \frac{p(X)\,(1 - D)}{1 - p(X)}",
};
const REG: Formula = Formula {
    plain: "E[ D / E[D] · ( Y_t − Y_b − m(X) ) ]",
    tex: r"E\left[ \frac{D}{E[D]} \left( Y_t - Y_b - m(X) \right) \right]",
};
const IPW: Formula = Formula {
    plain: "E[ ( D / E[D] − w(X) / E[w(X)] ) · ( Y_t − Y_b ) ],  w(X) = p(X)(1 − D) / (1 − p(X))",
    tex: r"E\left[ \left( \frac{D}{E[D]} - \frac{w(X)}{E[w(X)]} \right) \left( Y_t - Y_b \right) \right], \quad w(X) = \frac{p(X)\,(1 - D)}{1 - p(X)}",
};

/// The section on the method.
pub(super) fn section(blocks: &mut Vec<Block>, saved: &SavedResult) {
    let spec = &saved.extended.spec;
    blocks.push(Block::Heading("Method".to_owned()));
    blocks.push(Block::Paragraph(estimand_in_words(spec)));
    blocks.push(Block::Formula(if spec.pname.is_some() { DDD } else { ATT }));
    blocks.push(Block::Paragraph(comparison(spec)));
    blocks.push(Block::Formula(match spec.est_method {
        EstMethod::Dr => DR,
        EstMethod::Reg => REG,
        EstMethod::Ipw => IPW,
    }));
    blocks.push(Block::Paragraph(symbols(spec)));
    blocks.push(Block::Paragraph(aggregation(spec)));
    blocks.push(Block::Paragraph(inference(saved)));
}

fn estimand_in_words(spec: &RunSpec) -> String {
    let (paper, whom) = match spec.pname {
        None => ("Callaway and Sant'Anna (2021, section 2)", String::new()),
        Some(_) => (
            "Ortiz-Villavicencio and Sant'Anna (2025)",
            format!(", among the units that are eligible by {}", spec.pname.as_deref().unwrap_or_default()),
        ),
    };
    let data = data_kind(spec).unwrap_or("a balanced panel");
    format!(
        "The data are {data}. The estimands are those of {paper}: for every cohort g, the units first treated in the same \
         period, and every period t, the average effect of treatment on {}{whom}:",
        spec.yname
    )
}

fn comparison(spec: &RunSpec) -> String {
    let controls = match spec.control_group {
        ControlGroup::NeverTreated => "units that are never treated",
        ControlGroup::NotYetTreated => "units that are not yet treated, and those never treated",
    };
    let base = match spec.base_period {
        BasePeriod::Varying => {
            "After treatment the base period b is the last one before treatment; before it, the period before t (varying base)"
        }
        BasePeriod::Universal => {
            "The base period b is the last one before treatment for all t (universal base), where the effect is zero by definition"
        }
    };
    let anticipation = if spec.anticipation > 0.0 {
        let periods = counted(spec.anticipation as u64, "period");
        format!(
            ". Units may react {periods} before treatment (anticipation), so b lies before that for effects inside this window and after treatment"
        )
    } else if spec.pname.is_none() {
        ". No anticipation is allowed for".to_owned()
    } else {
        String::new()
    };
    let which = match spec.pname {
        None => "estimates",
        Some(_) => {
            "has three terms (eligible against ineligible of the cohort, plus eligible of the cohort against eligible \
             controls, less eligible of the cohort against ineligible controls), each of which is"
        }
    };
    let method = match spec.est_method {
        EstMethod::Dr => "doubly robust estimation",
        EstMethod::Reg => "outcome regression",
        EstMethod::Ipw => "inverse probability weighting",
    };
    format!(
        "Controls are {controls}. {base}{anticipation}. Every cell, by {method} ({}), {which}:",
        short_paper(spec.est_method)
    )
}

fn short_paper(method: EstMethod) -> &'static str {
    match method {
        EstMethod::Dr => "Sant'Anna and Zhao 2020",
        EstMethod::Reg => "Heckman, Ichimura and Todd 1997",
        EstMethod::Ipw => "Abadie 2005",
    }
}

fn symbols(spec: &RunSpec) -> String {
    let covariates = match covariates(spec) {
        "none" => "There are no covariates, so that X is the constant alone".to_owned(),
        formula => format!("The covariates X are {formula}"),
    };
    let p = "p(X) is the probability of being treated given X, by logit, among the treated and the controls of the comparison";
    let m = "m(X) is the regression of the outcome's change among the controls";
    let functions = match spec.est_method {
        EstMethod::Dr => format!("{p}; {m}"),
        EstMethod::Reg => m.to_owned(),
        EstMethod::Ipw => p.to_owned(),
    };
    format!(
        "D tells the treated from the controls. {covariates}; {functions}.{}{}{}",
        levels(spec),
        control_cohorts(spec),
        weights(spec)
    )
}

/// The formulas are those of panels.
fn levels(spec: &RunSpec) -> String {
    let data = match (data_kind(spec), spec.fix_weights) {
        (Some(kind), _) => kind,
        (None, Some(FixWeights::Varying)) => "panels whose weights vary",
        (None, _) => return String::new(),
    };
    format!(
        " The formula is written for changes; rows of {data} enter in levels, each of the two periods with its own means and \
         regressions."
    )
}

fn control_cohorts(spec: &RunSpec) -> &'static str {
    match (&spec.pname, spec.control_group) {
        (Some(_), ControlGroup::NotYetTreated) => {
            " Every control cohort gives an estimate; the cell weights them by the inverse of their covariance."
        }
        _ => "",
    }
}

fn weights(spec: &RunSpec) -> String {
    let Some(column) = &spec.weightsname else {
        return " Units are not weighted.".to_owned();
    };
    let period = match spec.fix_weights {
        None if spec.pname.is_some() => "",
        None if data_kind(spec).is_some() => ", each row with its own",
        None => ", with the weight of the cell's earlier period",
        Some(FixWeights::BasePeriod) => ", with the weight of the base period",
        Some(FixWeights::FirstPeriod) => ", with the weight of the first period",
        Some(FixWeights::Varying) => ", each row with its own",
    };
    format!(" All means are weighted by {column}{period}.")
}

fn aggregation(spec: &RunSpec) -> String {
    let paper = if spec.pname.is_some() { "" } else { " (Callaway and Sant'Anna 2021, section 3)" };
    format!(
        "Aggregates are averages of {} with the cohorts' shares among the treated as weights{paper}: by event time e = t − g, \
         by cohort over its periods after treatment, by period over the cohorts treated by then, and over all cells after \
         treatment. Standard errors allow for the estimation of the shares.",
        estimand(spec)
    )
}

fn inference(saved: &SavedResult) -> String {
    let (spec, alp) = (&saved.extended.spec, saved.result.alp);
    let mut text = if spec.bstrap {
        let name = match spec.multiplier {
            Multiplier::Mammen => "Mammen's (1993) two points",
            Multiplier::Rademacher => "Rademacher weights",
        };
        format!(
            "Standard errors come from {} draws of the multiplier bootstrap of the influence functions, with {name} and seed {}",
            grouped(spec.biters as u64),
            spec.seed
        )
    } else {
        "Standard errors are analytic, from the influence functions".to_owned()
    };
    let clusters: Vec<&str> =
        spec.clustervars.iter().filter(|name| **name != spec.idname).map(String::as_str).collect();
    if clusters.is_empty() {
        text += if spec.panel { ", clustered by unit. " } else { ". " };
    } else {
        text += &format!(", clustered by {}", clusters.join(" and "));
        text += &saved.extended.clusters.map(|n| format!(" ({})", counted(n, "cluster"))).unwrap_or_default();
        text += if spec.cluster_factor { ", their variances times G/(G − 1) for G clusters" } else { "" };
        text += ". ";
    }
    let bands = Bands::of(spec.bstrap && spec.cband, Some(saved.result.crit), alp);
    text + &match bands {
        Bands::Simultaneous => format!(
            "Bands are uniform: they cover all estimates of a table at once with a probability of {}%. For {} the critical value \
             is {}. Intervals of overall effects are pointwise.",
            percent(alp),
            estimand(spec),
            significant_digits(saved.result.crit.0)
        ),
        Bands::Pointwise => format!(
            "Intervals are pointwise: each covers its own estimate with a probability of {}%. The critical value is {}.",
            percent(alp),
            significant_digits(saved.result.crit.0)
        ),
    }
}

/// Papers of what was used.
pub(super) fn references(spec: &RunSpec) -> Vec<String> {
    let mut all = vec![design_paper(spec).to_owned(), method_paper(spec).to_owned()];
    if spec.bstrap && spec.multiplier == Multiplier::Mammen {
        all.push(
            "Mammen, E. (1993). \"Bootstrap and Wild Bootstrap for High Dimensional Linear Models.\" Annals of Statistics \
             21(1), 255-285."
                .to_owned(),
        );
    }
    all.sort();
    all
}
