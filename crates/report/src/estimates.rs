//! The result of a run as a person reads it: R's `summary(att_gt)`, then the aggregations, then what was done and dropped.

use stagger_model::numbers::{counted, grouped};
use stagger_model::result::{Num, RunResult, SavedResult};
use stagger_model::spec::RunSpec;

use super::aggregation::{effects_table, overall_table};
use super::bands::{Bands, SIGNIFICANCE, band_heading, critical_value};
use super::diagnostics::diagnostics_report;
use super::settings::{data_kind, estimand, references, settings, title};
use super::text::{Reasons, Row, Table, field, period_label, significant_digits, wrapped, written_labels};

/// Line over the report of a specification among several.
pub fn heading(name: &str) -> String {
    let title = format!("Specification {name}");
    let line = "=".repeat(title.chars().count());
    format!("{title}\n{line}\n\n")
}

/// Returns the text that `stagger run` prints.
pub fn run_report(saved: &SavedResult) -> String {
    let result = &saved.result;
    let spec = &saved.extended.spec;
    let mut text = references(spec);
    text.push('\n');
    text += &cells_table(saved);
    text.push('\n');
    text += &pretest(saved);
    if !result.aggte.is_empty() || !result.not_aggregated.is_empty() {
        text.push('\n');
        text += &overall_table(&result.aggte, &result.not_aggregated, result.alp);
    }
    if let Some(dynamic) = result.aggte.get("dynamic") {
        let bands = Bands::of(spec.bstrap && spec.cband, dynamic.crit, result.alp);
        text.push('\n');
        text += &effects_table(dynamic, result.alp, bands).unwrap_or_default();
    }
    text.push('\n');
    text += &result.diagnostics.as_ref().map(diagnostics_report).unwrap_or_default();
    text += &settings(saved);
    text += &critical_value(result.crit.0, cell_bands(saved), estimand(spec), result.alp);
    text += &sample(saved);
    text += &dropped(result, spec);
    text += &warnings(result);
    text
}

fn cell_bands(saved: &SavedResult) -> Bands {
    let spec = &saved.extended.spec;
    Bands::of(spec.bstrap && spec.cband, Some(saved.result.crit), saved.result.alp)
}

fn cells_table(saved: &SavedResult) -> String {
    let (rows, reasons) = cell_rows(saved);
    let band = band_heading(saved.result.alp, cell_bands(saved));
    let spec = &saved.extended.spec;
    let table = Table { keys: &["Group", "Time"], estimate: estimand(spec), band, rows };
    format!("{}:\n{}{SIGNIFICANCE}{}", title(spec), table.render(), reasons.lines())
}

/// The lines of ATT(g,t), and the reasons of what is missing in them.
pub(super) fn cell_rows(saved: &SavedResult) -> (Vec<Row>, Reasons) {
    let cells = &saved.result.att_gt;
    let (groups, times) =
        (written_labels(&cells.group_label, &cells.group), written_labels(&cells.time_label, &cells.time));
    let mut reasons = Reasons::default();
    let row = |i: usize| {
        let keys = vec![groups[i].clone(), times[i].clone()];
        let row = Row::new(keys, [cells.att[i], cells.se[i], cells.lci[i], cells.uci[i]]);
        match cells.missing_reason(i) {
            _ if saved.extended.reference.get(i) == Some(&true) => row.with_note("base period"),
            Some(reason) => row.with_note(reasons.mark(reason)),
            None => row,
        }
    };
    ((0..cells.att.len()).map(row).collect(), reasons)
}

fn pretest(saved: &SavedResult) -> String {
    wrapped("P-value for pre-test of parallel trends assumption: ", 2, &pretest_outcome(saved))
}

/// The p-value, or why there is none.
pub(super) fn pretest_outcome(saved: &SavedResult) -> String {
    let spec = &saved.extended.spec;
    match saved.result.wald {
        Some(test) => {
            let p = if test.p.0 < 0.000_005 { "< 0.00001".to_owned() } else { format!("{:.5}", test.p.0) };
            let note = saved.result.wald_reason.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
            format!("{p} (chi2({}) = {}){note}", test.df, significant_digits(test.stat.0))
        }
        None if spec.pname.is_some() => "not given, as in R's triplediff".to_owned(),
        None if spec.bstrap && saved.extended.clusters.is_some() => {
            "not given, as in R, with clusters and bootstrap; --bstrap false gives it".to_owned()
        }
        None => match &saved.result.wald_reason {
            Some(reason) => format!("not available: {reason}"),
            None => "not available".to_owned(),
        },
    }
}

/// Returns the lines on the sample: units, periods, cohorts.
fn sample(saved: &SavedResult) -> String {
    let extended = &saved.extended;
    let noun = if extended.spec.panel { "unit" } else { "row" };
    let of = data_kind(&extended.spec).map(|kind| format!(" of {kind}")).unwrap_or_default();
    let mut text = counted(saved.result.n, noun) + &of;
    if let (Some(first), Some(last)) = (extended.periods.first(), extended.periods.last()) {
        let periods = counted(extended.periods.len() as u64, "period");
        text += &format!(", {periods} ({} to {})", period_label(saved, *first), period_label(saved, *last));
    }
    let cohorts: Vec<String> = extended
        .cohort_units
        .iter()
        .map(|(cohort, units)| format!("{}: {}", cohort_label(saved, *cohort), grouped(*units)))
        .collect();
    let mut lines = field("Sample:", &text);
    if !cohorts.is_empty() {
        lines += &field("Cohorts:", &unbroken(&cohorts, ", "));
    }
    lines
}

/// Raw cohorts 0, infinite and missing are never treated.
pub(super) fn cohort_label(saved: &SavedResult, cohort: Num) -> String {
    if cohort.0 == 0.0 || !cohort.0.is_finite() {
        "never treated".to_owned()
    } else {
        period_label(saved, cohort)
    }
}

/// Joins items whose inner blanks must not be broken at, by means of no-break blanks.
fn unbroken(items: &[String], separator: &str) -> String {
    items.iter().map(|item| item.replace(' ', "\u{a0}")).collect::<Vec<_>>().join(separator)
}

fn dropped(result: &RunResult, spec: &RunSpec) -> String {
    let dropped = &result.dropped;
    if dropped.rows == 0 && dropped.units == 0 {
        return field("Dropped:", "nothing");
    }
    let rows = counted(dropped.rows, "row");
    // In cross sections every row is a unit.
    let total = if spec.panel { format!("{rows}, {}", counted(dropped.units, "unit")) } else { rows };
    let mut text = field("Dropped:", &total);
    for (reason, rows) in &dropped.reasons {
        text += &field("", &format!("{}: {reason}", counted(*rows, "row")));
    }
    text
}

fn warnings(result: &RunResult) -> String {
    if result.warnings.is_empty() {
        return String::new();
    }
    let items: String = result.warnings.iter().map(|warning| wrapped("- ", 2, warning)).collect();
    format!("\nWarnings:\n{items}")
}

#[cfg(test)]
mod tests {
    use stagger_test_support::results;

    use super::*;

    #[test]
    fn bootstrap_run() {
        insta::assert_snapshot!(run_report(&results::bootstrap()), @r#"
        Reference: Callaway, B. and Sant'Anna, P. H. C. (2021).
          "Difference-in-Differences with Multiple Time Periods." Journal of
          Econometrics 225(2), 200-230.
        Method: doubly robust. Sant'Anna, P. H. C. and Zhao, J. (2020). "Doubly Robust
          Difference-in-Differences Estimators." Journal of Econometrics 219(1),
          101-122.

        Group-Time Average Treatment Effects:
         Group  Time  ATT(g,t)  Std. Error  [95% Simult. Conf. Band]
          2004  2004   -0.0145      0.0228      -0.0752       0.0462
          2004  2005   -0.0764      0.0302      -0.1570       0.0042
          2004  2006   -0.1404      0.0382      -0.2424      -0.0385  *
          2004  2007   -0.1069      0.0349      -0.2000      -0.0138  *
          2006  2004   -0.0005      0.0222      -0.0597       0.0588
          2006  2005   -0.0062      0.0192      -0.0574       0.0450
          2006  2006    0.0010      0.0191      -0.0500       0.0519
          2006  2007   -0.0413      0.0193      -0.0927       0.0101
          2007  2004    0.0267      0.0143      -0.0114       0.0649
          2007  2005   -0.0046      0.0156      -0.0461       0.0369
          2007  2006   -0.0284      0.0185      -0.0778       0.0209
          2007  2007   -0.0288      0.0167      -0.0734       0.0158
        ---
        Signif. codes: '*' confidence band does not cover 0

        P-value for pre-test of parallel trends assumption: 0.23267 (chi2(5) = 6.842)

        Overall effects:
         Aggregation                            ATT  Std. Error  [95% Conf. Int.]
         simple (all post-treatment cells)  -0.0418      0.0116  -0.0645  -0.0190  *
         dynamic (event times >= 0)         -0.0804      0.0205  -0.1205  -0.0402  *
         group (average over groups)        -0.0328      0.0120  -0.0563  -0.0093  *
         calendar (average over time)       -0.0442      0.0164  -0.0763  -0.0121  *

        Dynamic effects (event study):
         Event time  Estimate  Std. Error  [95% Simult. Conf. Band]
                 -3    0.0267      0.0143      -0.0092       0.0626
                 -2   -0.0036      0.0130      -0.0363       0.0290
                 -1   -0.0232      0.0146      -0.0599       0.0134
                  0   -0.0211      0.0118      -0.0506       0.0085
                  1   -0.0530      0.0163      -0.0939      -0.0121  *
                  2   -0.1404      0.0388      -0.2378      -0.0430  *
                  3   -0.1069      0.0336      -0.1912      -0.0226  *

        Control group:      never treated, anticipation periods: 0
        Estimation method:  doubly robust; covariates: ~ lpop
        Base period:        varying
        Standard errors:    multiplier bootstrap, 5,000 Rademacher draws, seed 20210101
        Critical value:     2.667, simultaneous over all ATT(g,t), at the 5% level
        Sample:             500 units, 5 periods (2003 to 2007)
        Cohorts:            2004: 20, 2006: 40, 2007: 131, never treated: 309
        Dropped:            nothing
        "#);
    }

    #[test]
    fn analytic_run_with_universal_base() {
        let report = run_report(&results::universal());
        insta::assert_snapshot!(report, @r#"
        Reference: Callaway, B. and Sant'Anna, P. H. C. (2021).
          "Difference-in-Differences with Multiple Time Periods." Journal of
          Econometrics 225(2), 200-230.
        Method: doubly robust. Sant'Anna, P. H. C. and Zhao, J. (2020). "Doubly Robust
          Difference-in-Differences Estimators." Journal of Econometrics 219(1),
          101-122.

        Group-Time Average Treatment Effects:
         Group  Time  ATT(g,t)  Std. Error  [95% Pointwise Conf. Band]
          2004  2003    0.0000          NA            NA            NA     base period
          2004  2004   -0.0105      0.0233       -0.0561        0.0351
          2004  2005   -0.0704      0.0310       -0.1312       -0.0097  *
          2004  2006   -0.1373      0.0364       -0.2087       -0.0658  *
          2004  2007   -0.1008      0.0344       -0.1682       -0.0335  *
          2006  2003   -0.0038      0.0313       -0.0652        0.0577
          2006  2004    0.0028      0.0196       -0.0356        0.0411
          2006  2005    0.0000          NA            NA            NA     base period
          2006  2006   -0.0046      0.0178       -0.0394        0.0302
          2006  2007   -0.0412      0.0202       -0.0809       -0.0016  *
          2007  2003    0.0033      0.0245       -0.0446        0.0512
          2007  2004    0.0338      0.0211       -0.0076        0.0752
          2007  2005    0.0311      0.0179       -0.0040        0.0661
          2007  2006    0.0000          NA            NA            NA     base period
          2007  2007   -0.0261      0.0167       -0.0587        0.0066
        ---
        Signif. codes: '*' confidence band does not cover 0

        P-value for pre-test of parallel trends assumption: 0.16812 (chi2(5) = 7.791)

        Overall effects:
         Aggregation                            ATT  Std. Error  [95% Conf. Int.]
         simple (all post-treatment cells)  -0.0400      0.0120  -0.0635  -0.0164  *
         dynamic (event times >= 0)         -0.0772      0.0200  -0.1164  -0.0381  *
         group (average over groups)        -0.0310      0.0124  -0.0554  -0.0066  *
         calendar (average over time)       -0.0417      0.0160  -0.0730  -0.0104  *

        Dynamic effects (event study):
         Event time  Estimate  Std. Error  [95% Pointwise Conf. Band]
                 -4    0.0033      0.0245       -0.0446        0.0512
                 -3    0.0250      0.0181       -0.0105        0.0605
                 -2    0.0245      0.0142       -0.0034        0.0524
                 -1    0.0000          NA            NA            NA
                  0   -0.0199      0.0118       -0.0431        0.0032
                  1   -0.0510      0.0169       -0.0841       -0.0178  *
                  2   -0.1373      0.0364       -0.2087       -0.0658  *
                  3   -0.1008      0.0344       -0.1682       -0.0335  *

        Control group:      never treated, anticipation periods: 0
        Estimation method:  doubly robust; covariates: none
        Base period:        universal
        Standard errors:    analytic
        Critical value:     1.960, pointwise, at the 5% level
        Sample:             500 units, 5 periods (2003 to 2007)
        Cohorts:            2004: 20, 2006: 40, 2007: 131, never treated: 309
        Dropped:            nothing
        "#);
    }

    #[test]
    fn nothing_is_wider_than_80_columns() {
        for saved in [results::bootstrap(), results::universal(), results::troubled()] {
            for line in run_report(&saved).lines() {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
    }

    #[test]
    fn troubles_are_told() {
        let report = run_report(&results::troubled());
        let tail: Vec<&str> = report.lines().skip_while(|line| !line.starts_with("P-value")).collect();
        insta::assert_snapshot!(tail.join("\n"), @"
        P-value for pre-test of parallel trends assumption: not given, as in R, with
          clusters and bootstrap; --bstrap false gives it

        Control group:      never treated, anticipation periods: 0
        Estimation method:  doubly robust; covariates: ~ lpop
        Base period:        varying
        Weights:            weight, of each cell's earlier period
        Standard errors:    multiplier bootstrap, 5,000 Rademacher draws, seed 20210101,
                            clustered by state (29 clusters)
        Critical value:     2.667, simultaneous over all ATT(g,t), at the 5% level
        Sample:             500 units, 5 periods (2003 to 2007)
        Cohorts:            2004: 20, 2006: 40, 2007: 131, never treated: 309
        Dropped:            1,012 rows, 3 units
                            1,002 rows: missing values in lemp
                            10 rows: units not seen in every period

        Warnings:
        - ATT(2004, 2007) can't be estimated: overlap condition violated (largest fitted
          propensity score 0.9995, limit 0.999)
        ");
    }
    /// The lines around the table that say what was estimated, and from what.
    fn said(saved: &SavedResult) -> String {
        let report = run_report(saved);
        let cells = |line: &&str| !line.starts_with(|first: char| first == ' ' && !line.contains("(g,t)"));
        let lines: Vec<&str> = report.lines().filter(cells).collect();
        lines.join("\n")
    }

    #[test]
    fn triple_differences_of_cross_sections() {
        let saved = results::triple();
        insta::assert_snapshot!(said(&saved), @r#"
        Reference: Ortiz-Villavicencio, M. and Sant'Anna, P. H. C. (2025). "Better
        Method: doubly robust. Sant'Anna, P. H. C. and Zhao, J. (2020). "Doubly Robust

        Triple Differences, Group-Time Average Treatment Effects
        from repeated cross sections:
         Group  Time  DDD(g,t)  Std. Error  [95% Pointwise Conf. Band]
        ---
        Signif. codes: '*' confidence band does not cover 0

        P-value for pre-test of parallel trends assumption: not given, as in R's

        Overall effects:

        Dynamic effects (event study):

        Triple differences: eligible by low.wage
        Control group:      never treated
        Estimation method:  doubly robust; covariates: none
        Base period:        universal
        Weights:            weight
        Standard errors:    analytic
        Critical value:     1.960, pointwise, at the 5% level
        Sample:             500 rows of repeated cross sections, 5 periods (2003 to
        Cohorts:            2004: 20, 2006: 40, 2007: 131, never treated: 309
        Dropped:            2 rows
        "#);
        assert!(run_report(&saved).lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn unbalanced_panels_say_so() {
        let mut saved: SavedResult = results::troubled();
        saved.extended.spec.allow_unbalanced_panel = true;
        let report = run_report(&saved);
        for line in [
            "Group-Time Average Treatment Effects\nfrom an unbalanced panel:\n",
            "Weights:            weight, each row its own\n",
            "Sample:             500 units of an unbalanced panel, 5 periods (2003 to 2007)\n",
        ] {
            assert!(report.contains(line), "{report}");
        }
    }

    #[test]
    fn a_specification_has_a_heading() {
        insta::assert_snapshot!(heading("wide"), @"
        Specification wide
        ==================
        ");
    }
}
