//! HonestDiD's numbers on an event study of county employment (`tests/fixtures/golden/honest.jsonl`).

use faer::Mat;
use serde_json::Value;

use super::*;

struct Case {
    name: String,
    study: EventStudy,
    weights: Vec<f64>,
    options: SensitivityOptions,
    /// The step of the grid that the ends were read off, where it is known.
    step: Option<f64>,
    /// M, lower, upper.
    expected: Vec<[f64; 3]>,
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn study(times: &Value, value: &Value) -> EventStudy {
    let sigma: Vec<Vec<f64>> = value["sigma"].as_array().unwrap().iter().map(numbers).collect();
    let covariance = Mat::from_fn(sigma.len(), sigma.len(), |i, j| sigma[i][j]);
    EventStudy::new(&numbers(times), &numbers(&value["betahat"]), &covariance, -1.0).unwrap()
}

fn cases() -> Vec<Case> {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/golden/honest.jsonl"))
        .unwrap()
        .lines()
        .map(case)
        .collect()
}

fn case(line: &str) -> Case {
    let value: Value = serde_json::from_str(line).unwrap();
    let robust = &value["robust"];
    let delta = robust["Delta"][0].as_str().unwrap();
    let (kind, sizes) = match delta.starts_with("DeltaRM") {
        true => (RestrictionKind::RelativeMagnitude, &robust["Mbar"]),
        false => (RestrictionKind::Smoothness, &robust["M"]),
    };
    let restriction = Restriction {
        kind,
        bias: delta.ends_with("NB").then_some(Direction::Down),
        monotone: delta.ends_with('I').then_some(Direction::Up),
    };
    let method = robust["method"][0].as_str().unwrap().to_lowercase();
    let method = Method::NAMES.iter().find(|(name, _)| *name == method).unwrap().1;
    let (lower, upper) = (numbers(&robust["lb"]), numbers(&robust["ub"]));
    let rows = numbers(sizes).into_iter().zip(lower).zip(upper);
    Case {
        name: value["case"].as_str().unwrap().to_owned(),
        study: study(&value["egt"], &value),
        weights: numbers(&value["l_vec"]),
        options: SensitivityOptions { restriction, method, alp: 0.05, seed: 1 },
        step: None,
        expected: rows.map(|((m, lower), upper)| [m, lower, upper]).collect(),
    }
}

/// The precision of HonestDiD's ends: a step of its grid of 1,000 points, over ± 20 standard deviations or over the first-stage interval,
/// where its convex solver and its quantile of a folded normal, from a million draws, add two thousandths.
fn allowed(case: &Case, target: &Target<'_>, m: f64) -> f64 {
    match (case.options.method, &target.frontier) {
        _ if case.step.is_some() => case.step.unwrap_or(0.0),
        (Method::FixedLength, Some(frontier)) => 1e-2 * frontier.shortest(m, 0.05).half,
        (Method::ConditionalFixedLength, Some(frontier)) => {
            (2.0 / 999.0 + 2e-3) * frontier.shortest(m, 0.005).half
        }
        // The identified set of the first effect is ± M wide under smoothness, and a point under parallel trends otherwise.
        _ => (40.0 * target.standard_error() + 2.0 * smoothness(&case.options, m)) / 999.0,
    }
}

fn smoothness(options: &SensitivityOptions, m: f64) -> f64 {
    if options.restriction.kind == RestrictionKind::Smoothness { m } else { 0.0 }
}

/// The lowest and highest ends for critical values between which the quantile of HonestDiD's 1,000 draws lies, ± 0.3: two standard deviations.
fn range_of_ends(target: &Target<'_>, m: f64) -> [[f64; 2]; 2] {
    let mut ranges = [[f64::INFINITY, f64::NEG_INFINITY]; 2];
    for shift in [-0.3, 0.0, 0.3] {
        let mut union = [f64::INFINITY, f64::NEG_INFINITY];
        for (at, own) in target.polyhedra(m).iter().enumerate() {
            let vertices = Vertices::new(target.analysis.study, own, target.cone(at));
            let mut test = target.test(&vertices, m);
            if let FirstStage::LeastFavorable { critical } = &mut test.first {
                *critical += shift;
            }
            let Some((lower, upper)) = interval::invert(&test) else { continue };
            union = [union[0].min(lower), union[1].max(upper)];
        }
        for (range, end) in ranges.iter_mut().zip(union) {
            *range = [range[0].min(end), range[1].max(end)];
        }
    }
    ranges
}

/// Compares both ends of every interval of a case, and returns their number.
fn compare(case: &Case) -> usize {
    let analysis = Sensitivity::new(&case.study, case.options).unwrap();
    let target = analysis.target(case.weights.clone()).unwrap();
    for [m, lower, upper] in &case.expected {
        let found = target.interval(*m).unwrap();
        let ranges = match case.options.method {
            Method::LeastFavorable => range_of_ends(&target, *m),
            _ => [[found.lower; 2], [found.upper; 2]],
        };
        let limit = allowed(case, &target, *m);
        for ([low, high], expected) in ranges.iter().zip([lower, upper]) {
            let near = (low - limit..=high + limit).contains(expected);
            assert!(near, "{} at {m}: {low} to {high}, not {expected} ± {limit}", case.name);
        }
        if case.options.method == Method::FixedLength {
            let (half, theirs) = (0.5 * (found.upper - found.lower), 0.5 * (upper - lower));
            assert!(
                (half / theirs - 1.0).abs() < 2e-3,
                "{}: half a length of {half}, not {theirs}",
                case.name
            );
        }
    }
    2 * case.expected.len()
}

#[test]
fn honest_did_has_these_numbers() {
    assert_eq!(cases().iter().map(compare).sum::<usize>(), 42);
}

/// A published event study in another implementation, moderndid: its ends are points of a grid of 1,000, too, and its critical values come
/// from as few draws. Its fixed-length intervals have an exact quantile and agree to seven digits.
#[test]
fn another_program_has_these_numbers_of_a_published_study() {
    let text = std::fs::read_to_string(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/fixtures/power/published.jsonl"
    ))
    .unwrap();
    let mut compared = 0;
    for line in text.lines() {
        let value: Value = serde_json::from_str(line).unwrap();
        let study = study(&value["event_time"], &value);
        for row in value["intervals"].as_array().unwrap() {
            let own = of_row(row, study.clone(), numbers(&value["l_vec"]));
            compared += compare(&own);
            if own.options.method == Method::FixedLength {
                let analysis = Sensitivity::new(&own.study, own.options).unwrap();
                let [m, lower, upper] = own.expected[0];
                let found = analysis.target(own.weights.clone()).unwrap().interval(m).unwrap();
                assert!(
                    (found.lower - lower).abs() < 1e-6 && (found.upper - upper).abs() < 1e-6,
                    "{}",
                    own.name
                );
            }
        }
    }
    assert_eq!(compared, 40);
}

fn of_row(row: &Value, study: EventStudy, weights: Vec<f64>) -> Case {
    let kind = serde_json::from_value(row["restriction"].clone()).unwrap();
    let method = serde_json::from_value(row["method"].clone()).unwrap();
    Case {
        name: row.to_string(),
        study,
        weights,
        options: SensitivityOptions { restriction: Restriction::of(kind), method, alp: 0.05, seed: 1 },
        step: row["step"].as_f64(),
        expected: vec![["m", "lci", "uci"].map(|name| row[name].as_f64().unwrap())],
    }
}
