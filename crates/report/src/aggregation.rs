//! Tables of aggregated effects, as R's `summary(aggte)`.

use std::collections::BTreeMap;

use stagger_model::contrast::{ChosenPretest, Contrast};
use stagger_model::numbers::percent;
use stagger_model::result::{AGGREGATION_TYPES, Aggte, NotAggregated, Num, SavedResult};

use super::bands::{Bands, SIGNIFICANCE, band_heading, critical_value};
use super::settings::{references, settings};
use super::text::{Reasons, Row, Table, label, significant_digits, text_table, written_labels};

/// Returns the text that `stagger agg` prints.
pub fn aggregation_report(saved: &SavedResult, aggte: &Aggte, alp: f64, bands: Bands) -> String {
    let mut text = references(&saved.extended.spec);
    text.push('\n');
    let one = BTreeMap::from([(aggte.kind.clone(), aggte.clone())]);
    text += &overall_table(&one, &BTreeMap::new(), alp);
    if let Some(effects) = effects_table(aggte, alp, bands) {
        text.push('\n');
        text += &effects;
    }
    text += SIGNIFICANCE;
    text.push('\n');
    text += &settings(saved);
    if let Some(crit) = aggte.crit {
        let what = match aggte.kind.as_str() {
            "dynamic" => "event times",
            "group" => "groups",
            _ => "periods",
        };
        text += &critical_value(crit.0, bands, what, alp);
    }
    text
}

/// Returns the lines of a difference between two estimates.
pub fn contrast_lines(aggte: &Aggte, own: &Contrast, alp: f64) -> String {
    let name = |value: Num| {
        let labelled = aggte.egt.iter().position(|e| *e == value).and_then(|at| aggte.egt_label.get(at));
        labelled.cloned().unwrap_or_else(|| label(value))
    };
    let row = Row::new(
        vec![format!("{} less {}", name(own.of), name(own.from))],
        [own.att, own.se, own.lci, own.uci],
    );
    let band = format!("[{}% Conf. Int.]", percent(alp));
    let table = Table { keys: &["Estimates"], estimate: "Difference", band, rows: vec![row] };
    format!("\nDifference (z = {:.3}, p = {:.4}):\n{}", own.z.0, own.p.0, table.render())
}

/// Returns the line of a pre-test over chosen event times.
pub fn pretest_line(own: &ChosenPretest) -> String {
    let what = format!("Pre-test over event times {} to {}:", label(own.first), label(own.last));
    let ChosenPretest { wald, .. } = own;
    format!("\n{what} p-value {:.5} (chi2({}) = {})\n", wald.p.0, wald.df, significant_digits(wald.stat.0))
}

/// Columns of a covariance side by side: they fill 80 characters.
const COVARIANCE_COLUMNS: usize = 6;

/// Returns the covariance of the estimates, in blocks of columns; empty without one.
pub fn covariance_table(aggte: &Aggte) -> String {
    if aggte.vcov_egt.is_empty() {
        return String::new();
    }
    let names = written_labels(&aggte.egt_label, &aggte.egt);
    let columns: Vec<usize> = (0..names.len()).collect();
    let number = |x: Num| if x.is_na() { "NA".to_owned() } else { format!("{:.3e}", x.0) };
    let block = |columns: &[usize]| {
        let headings: Vec<&str> =
            std::iter::once("").chain(columns.iter().map(|&j| names[j].as_str())).collect();
        let row = |i: usize| {
            let numbers = columns.iter().map(|&j| number(aggte.vcov_egt[i][j]));
            std::iter::once(names[i].clone()).chain(numbers).collect()
        };
        let rows: Vec<Vec<String>> = (0..names.len()).map(row).collect();
        text_table(&headings, 0, &rows)
    };
    let blocks: Vec<String> = columns.chunks(COVARIANCE_COLUMNS).map(block).collect();
    format!("\nCovariance of the estimates:\n{}", blocks.join("\n"))
}

/// One line an aggregation: its overall effect, or that there is none.
pub fn overall_table(
    aggregations: &BTreeMap<String, Aggte>,
    not_given: &BTreeMap<String, NotAggregated>,
    alp: f64,
) -> String {
    let (rows, reasons) = overall_rows(aggregations, not_given);
    let band = format!("[{}% Conf. Int.]", percent(alp));
    let table = Table { keys: &["Aggregation"], estimate: "ATT", band, rows };
    format!("Overall effects:\n{}{}", table.render(), reasons.lines())
}

/// The lines of overall effects, and the reasons of what is missing in them.
pub(super) fn overall_rows(
    aggregations: &BTreeMap<String, Aggte>,
    not_given: &BTreeMap<String, NotAggregated>,
) -> (Vec<Row>, Reasons) {
    let mut reasons = Reasons::default();
    let row = |kind: &&str| {
        if let Some(aggte) = aggregations.get(*kind) {
            let numbers = [aggte.overall_att, aggte.overall_se, aggte.overall_lci, aggte.overall_uci];
            let row = Row::new(vec![overall_label(aggte)], numbers);
            return Some(match &aggte.overall_reason {
                Some(reason) => row.with_note(reasons.mark(reason)),
                None => row,
            });
        }
        let why = not_given.get(*kind)?;
        let hint = why.hint.as_ref().map(|hint| format!("; {hint}")).unwrap_or_default();
        Some(
            Row::new(vec![(*kind).to_owned()], [Num::NA; 4])
                .with_note(reasons.mark(&format!("{}{hint}", why.reason))),
        )
    };
    (AGGREGATION_TYPES.iter().filter_map(row).collect(), reasons)
}

/// Returns the label of an overall effect, with the window that was applied.
pub(super) fn overall_label(aggte: &Aggte) -> String {
    let window = window(aggte);
    if let Some([first, last]) = aggte.average {
        return format!("dynamic (event times {} to {}){window}", label(first), label(last));
    }
    match aggte.kind.as_str() {
        kind if !window.is_empty() => format!("{kind}{window}"),
        "simple" => "simple (all post-treatment cells)".to_owned(),
        "dynamic" => "dynamic (event times >= 0)".to_owned(),
        "group" => "group (average over groups)".to_owned(),
        "calendar" => "calendar (average over time)".to_owned(),
        other => other.to_owned(),
    }
}

/// The effects by event time, group or period; `None` for the simple aggregation.
pub fn effects_table(aggte: &Aggte, alp: f64, bands: Bands) -> Option<String> {
    let (title, key) = match aggte.kind.as_str() {
        "dynamic" => ("Dynamic effects (event study)", "Event time"),
        "group" => ("Group effects", "Group"),
        "calendar" => ("Calendar time effects", "Time"),
        _ => return None,
    };
    let (rows, reasons) = effect_rows(aggte);
    let table = Table { keys: &[key], estimate: "Estimate", band: band_heading(alp, bands), rows };
    Some(format!("{title}{}:\n{}{}", window(aggte), table.render(), reasons.lines()))
}

/// The lines of effects by event time, group or period, and the reasons of what is missing in them.
pub(super) fn effect_rows(aggte: &Aggte) -> (Vec<Row>, Reasons) {
    let mut reasons = Reasons::default();
    let row = |(i, key): (usize, String)| {
        let numbers = [aggte.att_egt[i], aggte.se_egt[i], aggte.lci_egt[i], aggte.uci_egt[i]];
        let row = Row::new(vec![key], numbers);
        match aggte.reason_egt.get(i).and_then(Option::as_ref) {
            Some(reason) => row.with_note(reasons.mark(reason)),
            None => row,
        }
    };
    (written_labels(&aggte.egt_label, &aggte.egt).into_iter().enumerate().map(row).collect(), reasons)
}

/// The arguments that were applied and are not R's defaults: `, balance_e 1`.
pub(super) fn window(aggte: &Aggte) -> String {
    let limits = [("min_e", aggte.min_e), ("max_e", aggte.max_e), ("balance_e", aggte.balance_e)];
    let mut text = String::new();
    for (name, value) in limits {
        if let Some(e) = value.filter(|e| e.0.is_finite()) {
            text += &format!(", {name} {}", label(e));
        }
    }
    if aggte.na_rm && aggte.left_out.is_some() {
        text += ", na_rm";
    }
    text
}

#[cfg(test)]
mod tests {
    use stagger_test_support::results;

    use super::*;

    #[test]
    fn report_of_one_aggregation() {
        let saved: SavedResult = results::bootstrap();
        let mut dynamic = saved.result.aggte["dynamic"].clone();
        dynamic.balance_e = Some(Num(1.0));
        insta::assert_snapshot!(aggregation_report(&saved, &dynamic, 0.05, Bands::Simultaneous), @r#"
        Reference: Callaway, B. and Sant'Anna, P. H. C. (2021).
          "Difference-in-Differences with Multiple Time Periods." Journal of
          Econometrics 225(2), 200-230.
        Method: doubly robust. Sant'Anna, P. H. C. and Zhao, J. (2020). "Doubly Robust
          Difference-in-Differences Estimators." Journal of Econometrics 219(1),
          101-122.

        Overall effects:
         Aggregation               ATT  Std. Error  [95% Conf. Int.]
         dynamic, balance_e 1  -0.0804      0.0205  -0.1205  -0.0402  *

        Dynamic effects (event study), balance_e 1:
         Event time  Estimate  Std. Error  [95% Simult. Conf. Band]
                 -3    0.0267      0.0143      -0.0092       0.0626
                 -2   -0.0036      0.0130      -0.0363       0.0290
                 -1   -0.0232      0.0146      -0.0599       0.0134
                  0   -0.0211      0.0118      -0.0506       0.0085
                  1   -0.0530      0.0163      -0.0939      -0.0121  *
                  2   -0.1404      0.0388      -0.2378      -0.0430  *
                  3   -0.1069      0.0336      -0.1912      -0.0226  *
        ---
        Signif. codes: '*' confidence band does not cover 0

        Control group:      never treated, anticipation periods: 0
        Estimation method:  doubly robust; covariates: ~ lpop
        Base period:        varying
        Standard errors:    multiplier bootstrap, 5,000 Rademacher draws, seed 20210101
        Critical value:     2.511, simultaneous over all event times, at the 5% level
        "#);
    }

    #[test]
    fn simple_has_no_effects() {
        let saved: SavedResult = results::bootstrap();
        assert!(effects_table(&saved.result.aggte["simple"], 0.05, Bands::Pointwise).is_none());
    }
}
