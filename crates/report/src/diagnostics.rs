//! Overlap and balance as a person reads them: the worst first, the rest in `result.json`.

use stagger_model::numbers::counted;
use stagger_model::result::{Balance, Diagnostics, Num, Overlap};

use super::text::{label, text_table};

/// Propensity scores shown.
const SHOWN: usize = 12;
/// Positions of 5 %, 50 % and 95 % among the quantiles of a score, and of the maximum.
pub(super) const QUANTILES: [usize; 3] = [2, 4, 6];
pub(super) const MAXIMUM: usize = 8;
/// Differences from here on are usually called imbalance.
pub(super) const IMBALANCE: f64 = 0.1;

/// Returns the section that `--diagnostics` adds to the report.
pub fn diagnostics_report(diagnostics: &Diagnostics) -> String {
    let mut text = String::new();
    if !diagnostics.overlap.is_empty() {
        text += &overlap(&diagnostics.overlap);
        text.push('\n');
    }
    if diagnostics.balance.iter().any(|b| !b.covariates.is_empty()) {
        text += &balance(&diagnostics.balance);
        text.push('\n');
    }
    text
}

/// The logits whose controls come nearest to a score of 1.
fn overlap(all: &[Overlap]) -> String {
    let mut order: Vec<&Overlap> = all.iter().collect();
    order.sort_by(|a, b| greatest_control(b).total_cmp(&greatest_control(a)));
    let rows: Vec<Vec<String>> = order.iter().take(SHOWN).map(|o| overlap_row(o)).collect();
    let headings =
        ["Group", "Against", "Period", "5%", "50%", "95%", "ctrl 5%", "50%", "95%", "max", "trimmed"];
    let rest = all.len().saturating_sub(SHOWN);
    let more = if rest > 0 {
        format!(" ({SHOWN} of {} with the highest scores of controls)", all.len())
    } else {
        String::new()
    };
    format!("Propensity scores of the treated and the controls{more}:\n{}", text_table(&headings, 3, &rows))
}

/// The highest score of a control.
pub(super) fn greatest_control(o: &Overlap) -> f64 {
    o.untreated.quantiles.get(MAXIMUM).map_or(f64::NAN, |q| q.0)
}

fn overlap_row(o: &Overlap) -> Vec<String> {
    let quantile =
        |summary: &[Num], at: usize| summary.get(at).map_or_else(String::new, |q| format!("{:.3}", q.0));
    let mut row = vec![label(o.group), against(&o.controls), rows_of(o)];
    row.extend(QUANTILES.map(|at| quantile(&o.treated.quantiles, at)));
    row.extend(QUANTILES.map(|at| quantile(&o.untreated.quantiles, at)));
    row.push(quantile(&o.untreated.quantiles, MAXIMUM));
    row.push(format!("{:.1} %", 100.0 * o.trimmed));
    row
}

/// Period of the rows, and the period with which they are pooled.
pub(super) fn rows_of(o: &Overlap) -> String {
    match (o.period, o.pooled) {
        (Some(own), Some([time, base])) => {
            format!("{} of {}, {}", label(own), label(time), label(base))
        }
        (own, _) => own.map(label).unwrap_or_default(),
    }
}

/// Control cohorts, shortened where there are many.
pub(super) fn against(controls: &[String]) -> String {
    match controls {
        [one] => one.clone(),
        [first, .., last] => format!("{first}..{last} ({})", controls.len()),
        [] => String::new(),
    }
}

/// The largest differences of every covariate, and what weighting costs.
fn balance(all: &[Balance]) -> String {
    let names: Vec<&str> =
        all.first().map(|b| b.covariates.iter().map(|c| c.name.as_str()).collect()).unwrap_or_default();
    let rows: Vec<Vec<String>> = names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let before = largest_imbalance(all, |b| b.covariates.get(at).map(|c| c.before));
            let after = largest_imbalance(all, |b| b.covariates.get(at).map(|c| c.after));
            let mark = if after.0.abs() > IMBALANCE { "*" } else { "" };
            vec![(*name).to_owned(), difference(before.0), before.1, difference(after.0) + mark, after.1]
        })
        .collect();
    let headings = ["Covariate", "before", "in (g, t)", "after", "in (g, t)"];
    let mut text = format!(
        "Standardised mean differences, the largest over {} ('*' after weighting above {IMBALANCE}):\n{}",
        counted(all.len() as u64, "comparison"),
        text_table(&headings, 1, &rows)
    );
    let least = all.iter().filter(|b| !b.effective_controls.is_na());
    if let Some(b) = least.min_by(|a, b| a.effective_controls.0.total_cmp(&b.effective_controls.0)) {
        text += &format!(
            " Smallest effective number of controls: {:.1} in {} (treated: {:.1})\n",
            b.effective_controls.0,
            cell(b),
            b.effective_treated.0
        );
    }
    if let Some(b) = all.iter().max_by(|a, b| a.condition.0.total_cmp(&b.condition.0)) {
        text += &format!(
            " Largest condition number of the controls' X'X: {:.3e} in {}\n",
            b.condition.0,
            cell(b)
        );
    }
    text
}

/// The number of largest size over the comparisons, and its cell.
pub(super) fn largest_imbalance(all: &[Balance], of: impl Fn(&Balance) -> Option<Num>) -> (f64, String) {
    let known = all.iter().filter_map(|b| Some((of(b).filter(|n| !n.is_na())?.0, b)));
    let largest = known.max_by(|a, b| a.0.abs().total_cmp(&b.0.abs()));
    largest.map_or((f64::NAN, String::new()), |(value, b)| (value, cell(b)))
}

pub(super) fn difference(value: f64) -> String {
    if value.is_nan() { "NA".to_owned() } else { format!("{value:.3}") }
}

fn cell(b: &Balance) -> String {
    format!("({}, {})", label(b.group), label(b.time))
}

#[cfg(test)]
mod tests {
    use stagger_model::result::{CovariateBalance, ScoreSummary};

    use super::*;

    fn scores(top: f64) -> ScoreSummary {
        let quantiles = (0..9).map(|q| Num(top * f64::from(q) / 8.0)).collect();
        ScoreSummary { n: 100, quantiles, histogram: vec![0; 50] }
    }

    fn compared(time: f64, before: f64, after: f64) -> Balance {
        let covariate = CovariateBalance { name: "lpop".into(), before: Num(before), after: Num(after) };
        Balance {
            group: Num(2004.0),
            time: Num(time),
            controls: vec!["never".into()],
            period: None,
            effective_treated: Num(20.0),
            effective_controls: Num(time - 1900.0),
            condition: Num(time),
            covariates: vec![covariate],
        }
    }

    #[test]
    fn the_worst_comes_first() {
        let overlap = |controls: &[&str], top: f64| Overlap {
            group: Num(2004.0),
            controls: controls.iter().map(|c| (*c).to_owned()).collect(),
            pooled: None,
            period: None,
            trimmed: 0.0125,
            treated: scores(0.5),
            untreated: scores(top),
        };
        let diagnostics = Diagnostics {
            overlap: vec![overlap(&["never"], 0.25), overlap(&["2006", "2007", "never"], 0.75)],
            balance: vec![compared(2004.0, -0.5, 0.125), compared(2005.0, 0.25, -0.25)],
        };
        insta::assert_snapshot!(diagnostics_report(&diagnostics), @r"
        Propensity scores of the treated and the controls:
         Group  Against          Period     5%    50%    95%  ctrl 5%    50%    95%    max  trimmed
         2004   2006..never (3)          0.125  0.250  0.375    0.188  0.375  0.562  0.750    1.2 %
         2004   never                    0.125  0.250  0.375    0.062  0.125  0.188  0.250    1.2 %

        Standardised mean differences, the largest over 2 comparisons ('*' after weighting above 0.1):
         Covariate  before     in (g, t)    after     in (g, t)
         lpop       -0.500  (2004, 2004)  -0.250*  (2004, 2005)
         Smallest effective number of controls: 104.0 in (2004, 2004) (treated: 20.0)
         Largest condition number of the controls' X'X: 2.005e3 in (2004, 2005)
        ");
    }
}
