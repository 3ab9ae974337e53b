//! Tables of a report.

use stagger_model::numbers::percent;
use stagger_model::result;
use stagger_model::result::{Num, SavedResult};

use super::model::Table;
use crate::aggregation::{effect_rows, overall_rows, window};
use crate::bands::Bands;
use crate::diagnostics::{
    IMBALANCE, MAXIMUM, QUANTILES, against, difference, greatest_control, largest_imbalance, rows_of,
};
use crate::estimates::cell_rows;
use crate::settings::estimand;
use crate::text::{Reasons, Row, decimals, format_number, label};

/// Scores in a table; the rest is in the result.
const MOST_SCORES: usize = 20;

fn headings(keys: &[&str], estimate: &str) -> Vec<String> {
    keys.iter().copied().chain([estimate, "Std. error", "Lower", "Upper", ""]).map(str::to_owned).collect()
}

fn table(caption: String, headings: Vec<String>, rows: &[Row], note: String) -> Table {
    let places = decimals(rows);
    let cells = |row: &Row| {
        let numbers = row.numbers.map(|number| format_number(number, places).replace('-', "\u{2212}"));
        let remark = if row.note.is_empty() { row.star() } else { row.note.as_str() };
        row.keys.iter().cloned().chain(numbers).chain([remark.to_owned()]).collect()
    };
    let left = usize::from(rows.iter().any(|row| row.keys[0].starts_with(char::is_alphabetic)));
    Table { caption, headings, left, rows: rows.iter().map(cells).collect(), note }
}

fn band(saved: &SavedResult, crit: Option<Num>) -> String {
    let (spec, alp) = (&saved.extended.spec, saved.result.alp);
    let kind = match Bands::of(spec.bstrap && spec.cband, crit, alp) {
        Bands::Simultaneous => "uniform band",
        Bands::Pointwise => "pointwise intervals",
    };
    format!("{}% {kind}", percent(alp))
}

/// Returns the meaning of the star, and the reasons of what is missing.
fn note(band: &str, reasons: &Reasons) -> String {
    let star = format!("* The {} does not cover zero.", band.trim_end_matches('s'));
    let reasons = reasons.notes().into_iter().map(|reason| format!(" {reason}."));
    std::iter::once(star).chain(reasons).collect()
}

/// The overall effects of the four aggregations.
pub(super) fn overall(saved: &SavedResult) -> Option<Table> {
    let (rows, reasons) = overall_rows(&saved.result.aggte, &saved.result.not_aggregated);
    let interval = format!("{}% interval", percent(saved.result.alp));
    let headings = headings(&["Average"], "Effect");
    (!rows.is_empty()).then(|| {
        table(format!("Overall effects with {interval}s."), headings, &rows, note("interval", &reasons))
    })
}

/// The effects by event time, cohort or period.
pub(super) fn effects(saved: &SavedResult, kind: &str) -> Option<Table> {
    let aggte = saved.result.aggte.get(kind)?;
    let (caption, key) = match kind {
        "dynamic" => ("Effects by periods since treatment", "Event time"),
        "group" => ("Effects by cohort", "Cohort"),
        _ => ("Effects by period", "Period"),
    };
    let (mut rows, reasons) = effect_rows(aggte);
    for key in rows.iter_mut().flat_map(|row| &mut row.keys).filter(|_| aggte.egt_label.is_empty()) {
        *key = key.replace('-', "\u{2212}");
    }
    let band = band(saved, aggte.crit);
    let caption = format!("{caption}{} with {band}.", window(aggte));
    Some(table(caption, headings(&[key], "Effect"), &rows, note(&band, &reasons)))
}

/// ATT(g,t).
pub(super) fn cells(saved: &SavedResult) -> Table {
    let (rows, reasons) = cell_rows(saved);
    let band = band(saved, Some(saved.result.crit));
    let estimand = estimand(&saved.extended.spec);
    table(
        format!("{estimand} with {band}."),
        headings(&["Cohort", "Period"], estimand),
        &rows,
        note(&band, &reasons),
    )
}

/// Quantiles of propensity scores, the least overlap first.
pub(super) fn overlap(all: &[result::Overlap]) -> Table {
    let mut order: Vec<&result::Overlap> = all.iter().collect();
    order.sort_by(|a, b| greatest_control(b).total_cmp(&greatest_control(a)));
    let quantile = |of: &[Num], at: usize| of.get(at).map_or_else(String::new, |q| format!("{:.3}", q.0));
    let rows = order.iter().take(MOST_SCORES).map(|o| {
        let mut row = vec![label(o.group), against(&o.controls), rows_of(o)];
        row.extend(QUANTILES.map(|at| quantile(&o.treated.quantiles, at)));
        row.extend(QUANTILES.map(|at| quantile(&o.untreated.quantiles, at)));
        row.push(quantile(&o.untreated.quantiles, MAXIMUM));
        row.push(format!("{:.1}%", 100.0 * o.trimmed));
        row
    });
    let headings = [
        "Cohort",
        "Controls",
        "Period",
        "treated 5%",
        "50%",
        "95%",
        "controls 5%",
        "50%",
        "95%",
        "max",
        "trimmed",
    ];
    let rest = all.len().saturating_sub(MOST_SCORES);
    let note = if rest > 0 {
        format!("{MOST_SCORES} of {} scores: those whose controls come nearest to 1.", all.len())
    } else {
        String::new()
    };
    Table {
        caption: "Quantiles of propensity scores; trimmed: controls with a score of 0.995 or more, which weigh nothing."
            .to_owned(),
        headings: headings.map(str::to_owned).to_vec(),
        left: 3,
        rows: rows.collect(),
        note,
    }
}

/// The largest differences of every covariate.
pub(super) fn balance(all: &[result::Balance]) -> Table {
    let names: Vec<&str> =
        all.first().map(|b| b.covariates.iter().map(|c| c.name.as_str()).collect()).unwrap_or_default();
    let minus = |value: f64| difference(value).replace('-', "\u{2212}");
    let rows = names.iter().enumerate().map(|(at, name)| {
        let before = largest_imbalance(all, |b| b.covariates.get(at).map(|c| c.before));
        let after = largest_imbalance(all, |b| b.covariates.get(at).map(|c| c.after));
        let mark = if after.0.abs() > IMBALANCE { "*" } else { "" };
        vec![(*name).to_owned(), before.1, minus(before.0), after.1, minus(after.0) + mark]
    });
    let headings =
        ["Covariate", "largest before in (g, t)", "difference", "largest after in (g, t)", "difference"];
    Table {
        caption: format!(
            "Standardised mean differences, the largest over {} comparisons, before and after weighting.",
            all.len()
        ),
        headings: headings.map(str::to_owned).to_vec(),
        left: 2,
        rows: rows.collect(),
        note: format!("* After weighting above {IMBALANCE}."),
    }
}
