//! Properties that intervals have for all event studies.

use faer::Mat;
use proptest::prelude::*;

use super::study::examples::counties;
use super::*;

const KINDS: [(RestrictionKind, Method); 6] = [
    (RestrictionKind::RelativeMagnitude, Method::LeastFavorable),
    (RestrictionKind::RelativeMagnitude, Method::Conditional),
    (RestrictionKind::Smoothness, Method::LeastFavorable),
    (RestrictionKind::Smoothness, Method::Conditional),
    (RestrictionKind::Smoothness, Method::FixedLength),
    (RestrictionKind::Smoothness, Method::ConditionalFixedLength),
];

fn options((kind, method): (RestrictionKind, Method)) -> SensitivityOptions {
    SensitivityOptions { restriction: Restriction::of(kind), method, alp: 0.05, seed: 20_210_101 }
}

fn interval(study: &EventStudy, options: SensitivityOptions, weights: &[f64], m: f64) -> RobustInterval {
    let analysis = Sensitivity::new(study, options).unwrap();
    analysis.target(weights.to_vec()).unwrap().interval(m).unwrap()
}

/// The study of another outcome, another scale of time or another order.
fn changed(study: &EventStudy, factor: f64, step: f64) -> EventStudy {
    let times: Vec<f64> = study.event_time.iter().map(|e| step * e).collect();
    let estimate: Vec<f64> = study.estimate.iter().map(|b| factor * b).collect();
    let n = times.len();
    let covariance = Mat::from_fn(n, n, |i, j| factor * factor * study.covariance[(i, j)]);
    EventStudy::new(&times, &estimate, &covariance, step * study.reference).unwrap()
}

/// A study of made-up numbers: a random walk, measured with correlated errors.
fn made(pre: usize, post: usize, numbers: &[f64]) -> EventStudy {
    let n = pre + post;
    let times: Vec<f64> = (0..=n).map(|t| t as f64 - pre as f64 - 1.0).filter(|e| *e != -1.0).collect();
    let root = Mat::from_fn(n, n, |i, j| {
        numbers[(7 * i + 3 * j) % numbers.len()] + 2.0 * f64::from(u8::from(i == j))
    });
    let covariance = &root * root.transpose();
    EventStudy::new(&times, &numbers[..n], &covariance, -1.0).unwrap()
}

fn near(a: f64, b: f64, scale: f64) -> bool {
    (a - b).abs() <= 1e-6 * scale || a == b
}

fn directions() -> impl Strategy<Value = Option<Direction>> {
    prop_oneof![Just(None), Just(Some(Direction::Up)), Just(Some(Direction::Down))]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn outcomes_may_be_rescaled_and_event_times_be_named_otherwise(
        kind in 0usize..6, m in 0.0..1.0f64, factor in 1e-3..1e3f64, step in 1u8..5,
    ) {
        let study = counties();
        let options = options(KINDS[kind]);
        // The size of smoothness is in units of the outcome, that of relative magnitudes is none.
        let (m, grown) = match options.restriction.kind {
            RestrictionKind::Smoothness => (0.05 * m, 0.05 * m * factor),
            RestrictionKind::RelativeMagnitude => (m, m),
        };
        let own = interval(&study, options, &[0.0, 1.0, 0.0, 0.0], m);
        let other = interval(&changed(&study, factor, f64::from(step)), options, &[0.0, 1.0, 0.0, 0.0], grown);
        let scale = (own.upper - own.lower) * factor;
        prop_assert!(near(own.lower * factor, other.lower, scale), "{own:?} {other:?}");
        prop_assert!(near(own.upper * factor, other.upper, scale), "{own:?} {other:?}");
    }

    #[test]
    fn the_sign_may_be_turned(
        kind in 0usize..6, m in 0.0..1.0f64, bias in directions(), monotone in directions(),
    ) {
        let study = counties();
        let mut options = options(KINDS[kind]);
        if options.method == Method::LeastFavorable || options.method == Method::Conditional {
            (options.restriction.bias, options.restriction.monotone) = (bias, monotone);
        }
        let m = if options.restriction.kind == RestrictionKind::Smoothness { 0.05 * m } else { m };
        let turn = |direction: Option<Direction>| direction.map(|own| match own {
            Direction::Up => Direction::Down,
            Direction::Down => Direction::Up,
        });
        let mut turned = options;
        (turned.restriction.bias, turned.restriction.monotone) = (turn(bias), turn(monotone));
        if !options.restriction.has_shape() {
            turned = options;
        }
        let own = interval(&study, options, &[0.25; 4], m);
        let other = interval(&changed(&study, -1.0, 1.0), turned, &[0.25; 4], m);
        let both_empty = own.lower.is_nan() && other.lower.is_nan();
        let scale = own.upper - own.lower;
        let same = near(own.lower, -other.upper, scale) && near(own.upper, -other.lower, scale);
        prop_assert!(both_empty || same, "{own:?} {other:?}");
    }

    #[test]
    fn any_study_has_intervals_that_its_programs_certify(
        kind in 0usize..6, pre in 1usize..5, post in 1usize..6, m in 0.0..2.0f64, at in 0usize..6,
        numbers in proptest::collection::vec(-1.0..1.0f64, 24),
    ) {
        let study = made(pre, post, &numbers);
        let options = options(KINDS[kind]);
        let weights: Vec<f64> = (0..post).map(|j| f64::from(u8::from(j == at % post))).collect();
        let analysis = Sensitivity::new(&study, options).unwrap();
        let target = analysis.target(weights).unwrap();
        let found = target.interval(m).unwrap();
        prop_assert!(found.lower.is_nan() || found.lower <= found.upper);
        if options.method == Method::FixedLength {
            let more = target.interval(m + 0.1).unwrap();
            prop_assert!(more.upper - more.lower >= found.upper - found.lower - 1e-9);
        }
    }
}

#[test]
fn a_breakdown_value_is_where_the_interval_reaches_zero() {
    let study = counties();
    for kind in [KINDS[0], KINDS[4], KINDS[2]] {
        let analysis = Sensitivity::new(&study, options(kind)).unwrap();
        for (at, overturned) in [(0, true), (2, false)] {
            let weights = (0..4).map(|j| f64::from(u8::from(j == at))).collect();
            let target = analysis.target(weights).unwrap();
            let known: Vec<RobustInterval> = [0.001, 0.5].map(|m| target.interval(m).unwrap()).to_vec();
            let found = target.breakdown(&known).unwrap().expect("some size overturns any estimate");
            let alone = target.breakdown(&[]).unwrap().expect("the same size");
            assert!((alone - found).abs() <= 1e-4 * found, "{kind:?}: {found} and {alone}");
            if overturned {
                assert_eq!(found, 0.0, "the usual interval covers 0");
            }
            if found > 0.0 {
                let reach = |m: f64| target.interval(m).unwrap().distance_of_zero();
                assert!(reach(0.999 * found) > 0.0 && reach(1.001 * found) <= 0.0, "{kind:?} {found}");
            }
        }
    }
}

#[test]
fn the_same_bits_again() {
    let study = counties();
    for kind in KINDS {
        let bits = |own: RobustInterval| [own.lower.to_bits(), own.upper.to_bits()];
        let one = || bits(interval(&study, options(kind), &[0.0, 0.0, 1.0, 0.0], 0.3));
        assert_eq!(one(), one());
    }
}

#[test]
fn what_is_not_possible_is_refused() {
    let study = counties();
    let refused = |restriction: Restriction, method: Method| {
        let own = SensitivityOptions { restriction, method, alp: 0.05, seed: 1 };
        Sensitivity::new(&study, own).expect_err("refused").to_string()
    };
    let magnitude = Restriction::of(RestrictionKind::RelativeMagnitude);
    let smooth = Restriction::of(RestrictionKind::Smoothness);
    let shaped = Restriction { bias: Some(Direction::Up), ..smooth };
    assert_eq!(
        refused(magnitude, Method::FixedLength),
        "flci intervals are for smoothness, not for relative magnitudes"
    );
    assert_eq!(
        refused(shaped, Method::FixedLength),
        "flci intervals are for smoothness alone, without a direction: they would not use it"
    );
    let analysis = Sensitivity::new(&study, options(KINDS[0])).unwrap();
    let target = analysis.target(vec![1.0, 0.0, 0.0, 0.0]).unwrap();
    for size in [-0.1, f64::NAN, f64::INFINITY] {
        assert!(matches!(target.interval(size), Err(SensitivityError::Size { .. })));
    }
}
