//! Sensitivity to violations of parallel trends, and the power of the pre-test, as text.

use stagger_estimator::sensitivity::{Direction, Method, RestrictionKind};
use stagger_model::numbers::percent;
use stagger_model::result::Num;
use stagger_model::sensitivity::{PretrendEntry, PretrendsResult, RobustEffect, SensitivityResult};

use super::text::{Row, Table, field, label, significant_digits, wrapped};

/// The paper on robust intervals.
pub(super) const ROBUST_PAPER: &str = "Rambachan, A. and Roth, J. (2023). \"A More Credible Approach to Parallel Trends.\" Review of \
     Economic Studies 90(5), 2555-2591.";
/// The paper on pre-tests.
const PRETEST_PAPER: &str = "Roth, J. (2022). \"Pretest with Caution: Event-Study Estimates after Testing for Parallel Trends.\" \
     American Economic Review: Insights 4(3), 305-322.";

/// Returns the text that `stagger sensitivity` prints.
pub fn sensitivity_report(result: &SensitivityResult) -> String {
    let mut text = wrapped("Reference: ", 2, ROBUST_PAPER);
    let (size, meaning) = match result.restriction {
        RestrictionKind::RelativeMagnitude => ("Mbar", "violations relative to the largest before treatment"),
        RestrictionKind::Smoothness => ("M", "the largest change of the slope of violations"),
    };
    text += &format!("\nRobust intervals by {size}, {meaning}:\n");
    text += &table(result).render();
    text += "---\nSignif. codes: '*' confidence interval does not cover 0\n";
    text += &format!("\nBreakdown values, the {size} from which on an interval covers 0:\n");
    let rows: Vec<Vec<String>> = result.effects.iter().map(breakdown_row).collect();
    text += &super::text::text_table(&["Event time", "Estimate", "Std. Error", size], 0, &rows);
    text.push('\n');
    text += &field("Restriction:", &restriction_phrase(result));
    text +=
        &field("Intervals:", &format!("{}, {}% level", method_phrase(result.method), percent(result.alp)));
    text + &field(
        "Reference:",
        &format!(
            "event time {}, {} before and {} after it",
            label(result.reference),
            result.pre.len(),
            result.post.len()
        ),
    )
}

/// The table of intervals: of each effect the usual one, then one for each size.
fn table(result: &SensitivityResult) -> Table<'static> {
    let keys: &[&str] = match result.restriction {
        RestrictionKind::RelativeMagnitude => &["Event time", "Mbar"],
        RestrictionKind::Smoothness => &["Event time", "M"],
    };
    let band = format!("[{}% Robust Conf. Int.]", percent(result.alp));
    let rows = result.effects.iter().flat_map(effect_rows).collect();
    Table { keys, estimate: "Estimate", band, rows }
}

fn effect_rows(effect: &RobustEffect) -> Vec<Row> {
    let name = times_label(&effect.event_time);
    let original =
        Row::new(vec![name.clone(), "-".to_owned()], [effect.att, effect.se, effect.lci, effect.uci]);
    let row = |own: &stagger_model::sensitivity::RobustEnds| {
        let row = Row::new(vec![name.clone(), size_label(own.m)], [effect.att, effect.se, own.lci, own.uci]);
        if own.lci.is_na() { row.with_note("every effect is rejected") } else { row }
    };
    std::iter::once(original.with_note("parallel trends")).chain(effect.robust.iter().map(row)).collect()
}

fn breakdown_row(effect: &RobustEffect) -> Vec<String> {
    let breakdown = if effect.breakdown.is_na() { "none".to_owned() } else { size_label(effect.breakdown) };
    vec![
        times_label(&effect.event_time),
        significant_digits(effect.att.0),
        significant_digits(effect.se.0),
        breakdown,
    ]
}

/// An event time, or the first and the last of a mean.
pub(super) fn times_label(times: &[Num]) -> String {
    match times {
        [one] => label(*one),
        [first, .., last] => format!("{}..{}", label(*first), label(*last)),
        [] => String::new(),
    }
}

/// A size with four significant digits at most.
pub(super) fn size_label(size: Num) -> String {
    let value = size.0;
    if value == 0.0 || !value.is_finite() {
        return if value == 0.0 { "0".to_owned() } else { significant_digits(value) };
    }
    let decimals = 3.0 - libm::floor(libm::log10(value.abs()));
    if !(0.0..=9.0).contains(&decimals) {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.*}", decimals as usize);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// What a size is.
pub(super) fn size_phrase(kind: RestrictionKind) -> &'static str {
    match kind {
        RestrictionKind::RelativeMagnitude => {
            "size Mbar of violations after treatment, relative to the largest before"
        }
        RestrictionKind::Smoothness => {
            "largest change M of the slope of violations, from one period to the next"
        }
    }
}

fn restriction_phrase(result: &SensitivityResult) -> String {
    let mut text = match result.restriction {
        RestrictionKind::RelativeMagnitude => "relative magnitudes".to_owned(),
        RestrictionKind::Smoothness => "smoothness".to_owned(),
    };
    match result.bias {
        Some(Direction::Up) => text += ", positive bias",
        Some(Direction::Down) => text += ", negative bias",
        None => {}
    }
    match result.monotone {
        Some(Direction::Up) => text += ", increasing bias",
        Some(Direction::Down) => text += ", decreasing bias",
        None => {}
    }
    text
}

fn method_phrase(method: Method) -> &'static str {
    match method {
        Method::LeastFavorable => "conditional test with least favourable first stage (C-LF)",
        Method::Conditional => "conditional test",
        Method::FixedLength => "fixed length, the shortest (FLCI)",
        Method::ConditionalFixedLength => "conditional test with fixed-length first stage (C-F)",
    }
}

/// Returns the text that `stagger pretrends` prints.
pub fn pretrends_report(result: &PretrendsResult) -> String {
    let mut text = wrapped("Reference: ", 2, PRETEST_PAPER);
    let verdict = if result.passed { "pass" } else { "do not pass" };
    text += &wrapped(
        "\nPre-test: ",
        2,
        &format!(
            "the estimates before the reference {verdict} it: any of them significant at the {}% level rejects.",
            percent(1.0 - result.alp)
        ),
    );
    for trend in &result.trends {
        text.push('\n');
        text += &trend_table(result, trend);
    }
    text.push('\n');
    text + &wrapped(
        "",
        0,
        "Bias is the mean of an estimate under the trend if there is no effect. It is given for all estimates and for those that pass the \
         pre-test.",
    )
}

fn trend_table(result: &PretrendsResult, trend: &PretrendEntry) -> String {
    let mut text = wrapped(
        "Linear trend with slope ",
        2,
        &format!(
            "{}, which the pre-test finds with probability {:.3}:",
            size_label(trend.slope),
            trend.reject
        ),
    );
    let rows: Vec<Vec<String>> = (0..result.event_time.len())
        .map(|i| {
            let numbers = [result.att[i], result.se[i], trend.trend[i], trend.mean_if_passed[i]];
            let cells = numbers.map(|x| format!("{:.4}", x.0 + 0.0));
            std::iter::once(label(result.event_time[i])).chain(cells).collect()
        })
        .collect();
    text += &super::text::text_table(
        &["Event time", "Estimate", "Std. Error", "Bias", "Bias if passed"],
        0,
        &rows,
    );
    text
}

#[cfg(test)]
mod tests {
    use stagger_model::sensitivity::RobustEnds;

    use super::*;

    fn effect(times: &[f64], breakdown: f64) -> RobustEffect {
        let ends = |m: f64, lci: f64, uci: f64| RobustEnds { m: Num(m), lci: Num(lci), uci: Num(uci) };
        RobustEffect {
            event_time: times.iter().copied().map(Num).collect(),
            att: Num(-0.0510),
            se: Num(0.0169),
            lci: Num(-0.0841),
            uci: Num(-0.0178),
            breakdown: Num(breakdown),
            robust: vec![ends(0.5, -0.1, -0.001), ends(1.25, f64::NAN, f64::NAN)],
        }
    }

    #[test]
    fn intervals_and_breakdown_values() {
        let result = SensitivityResult {
            restriction: RestrictionKind::RelativeMagnitude,
            bias: Some(Direction::Down),
            monotone: None,
            method: Method::LeastFavorable,
            alp: 0.05,
            seed: 1,
            reference: Num(-1.0),
            pre: vec![Num(-3.0), Num(-2.0)],
            post: [0.0, 1.0, 2.0].map(Num).to_vec(),
            effects: vec![effect(&[1.0], 0.513_46), effect(&[0.0, 1.0, 2.0], f64::NAN)],
        };
        insta::assert_snapshot!(sensitivity_report(&result));
    }

    #[test]
    fn trends_that_a_pre_test_finds() {
        let numbers = |list: [f64; 2]| list.map(Num).to_vec();
        let trend = PretrendEntry {
            power: Num(0.5),
            slope: Num(0.017_002),
            reject: 0.5,
            trend: numbers([-0.017, 0.017]),
            mean_if_passed: numbers([-0.0083, 0.0188]),
        };
        let result = PretrendsResult {
            alp: 0.05,
            reference: Num(-1.0),
            event_time: numbers([-2.0, 0.0]),
            att: numbers([0.0245, -0.0199]),
            se: numbers([0.0142, 0.0118]),
            passed: true,
            trends: vec![trend],
        };
        insta::assert_snapshot!(pretrends_report(&result));
    }

    #[test]
    fn sizes_are_short() {
        let all = [0.0, 0.5, 2.0, 0.513_46, 0.017_001_9, 1234.5, 123_456.0, 1e-12];
        let found = all.map(|size| size_label(Num(size)));
        assert_eq!(found, ["0", "0.5", "2", "0.5135", "0.017", "1234", "1.235e5", "1.000e-12"]);
    }
}
