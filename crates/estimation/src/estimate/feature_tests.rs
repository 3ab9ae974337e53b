//! Features against columns: two ways to the same numbers.

use std::sync::Arc;

use faer::Mat;
use stagger_estimator::factor::Factor;
use stagger_estimator::inference::Covariance;
use stagger_estimator::options::{ControlGroup, EstMethod};
use stagger_model::progress::StageProgress;
use stagger_model::reduction::Merge;
use stagger_model::result::{Num, SavedResult};
use stagger_model::spec::RunSpec;
use stagger_panel::panel::{Panel, Shards};

use super::result::estimate;
use super::steps::{Estimation, PassLimits};
use crate::kernel::conformance::{Case, Layout};
use crate::partial::Partial;
use crate::passes::compute_partial;
use crate::plan::Plan;

/// Number of clusters, where a case has some.
const CLUSTERS: u64 = 37;

struct Found {
    saved: SavedResult,
    draws: Option<Mat<f64>>,
    passes: usize,
}

/// Makes all passes over shards in memory; returns the number of passes.
fn make_passes(estimation: &mut Estimation, panel: &Panel) -> usize {
    let Shards::Memory(shards) = &panel.shards else { panic!("stored") };
    let mut passes = 0;
    while let Some(request) = estimation.next_pass() {
        let stride = request.sample.map_or(1, |count| shards.len() / count.next_power_of_two());
        passes += usize::from(request.sample.is_none());
        let sums = shards.iter().step_by(stride).map(|shard| {
            let partial = compute_partial(estimation.plan(), &request.input, shard, &mut None);
            Partial::decode(&partial.encode()).unwrap()
        });
        let whole = sums.reduce(|mut a, b| {
            a.merge(&b);
            a
        });
        estimation.accept_sums(whole.unwrap()).unwrap();
    }
    passes
}

/// Gives every unit one of a few clusters.
fn cluster(panel: &mut Panel, spec: &mut RunSpec) {
    spec.clustervars = vec!["c".to_owned()];
    let Shards::Memory(shards) = &mut panel.shards else { panic!("stored") };
    for shard in shards {
        shard.clusters = vec![Arc::new(shard.keys.iter().map(|key| key % CLUSTERS).collect())];
    }
}

fn limits(panel: &Panel, clusters: u64) -> PassLimits {
    let Shards::Memory(shards) = &panel.shards else { panic!("stored") };
    PassLimits { shards: shards.len(), clusters, max_cells: None }
}

fn finish(panel: &Panel, spec: &RunSpec, estimation: Estimation) -> (SavedResult, Option<Mat<f64>>) {
    estimate(panel, spec, estimation.finish(), &mut StageProgress::new(&|_| ())).unwrap()
}

/// Runs an estimation over the features, or over the columns of the same plan. `clusters` is the bound that the slices are
/// cut by.
fn run(case: &Case, features: bool, clusters: Option<u64>) -> Found {
    let (mut panel, mut spec, formula) = (case.panel().unwrap(), case.spec(), case.formula().unwrap());
    if clusters.is_some() {
        cluster(&mut panel, &mut spec);
    }
    let plan = Plan::new(&mut panel, &spec, &formula, 1).unwrap();
    assert!(plan.features.is_some(), "{case:?} has no features");
    let plan = if features { plan } else { plan.summing_columns() };
    let mut estimation = Estimation::new(plan, limits(&panel, clusters.unwrap_or(0)));
    let passes = make_passes(&mut estimation, &panel);
    let (saved, draws) = finish(&panel, &spec, estimation);
    Found { saved, draws, passes }
}

fn close(what: &str, case: &Case, found: &[Num], expected: &[Num]) {
    assert_eq!(found.len(), expected.len(), "{what} of {case:?}");
    for (at, (a, b)) in found.iter().zip(expected).enumerate() {
        let same = a.is_na() && b.is_na() || (a.0 - b.0).abs() <= 1e-10 * b.0.abs().max(1e-6);
        assert!(same, "{what}[{at}] is {} by features and {} by columns: {case:?}", a.0, b.0);
    }
}

fn check(case: &Case, clusters: Option<u64>) {
    let (a, b) = (run(case, true, clusters), run(case, false, clusters));
    assert!(a.passes < b.passes, "{} and {} passes", a.passes, b.passes);
    let (own, other) = (&a.saved.result, &b.saved.result);
    close("att", case, &own.att_gt.att, &other.att_gt.att);
    close("se", case, &own.att_gt.se, &other.att_gt.se);
    for (row, (x, y)) in own.vcov.iter().zip(&other.vcov).enumerate() {
        // Relative to the variances, since covariances may vanish.
        let scale = |list: &[Num]| -> Vec<Num> {
            let of = |j: usize| (other.vcov[row][row].0 * other.vcov[j][j].0).sqrt();
            list.iter().enumerate().map(|(j, v)| Num(v.0 / of(j) + 1.0)).collect()
        };
        close("vcov", case, &scale(x), &scale(y));
    }
    let shares = |saved: &SavedResult| saved.extended.shares.iter().copied().map(Num).collect::<Vec<Num>>();
    close("shares", case, &shares(&a.saved), &shares(&b.saved));
    for (kind, expected) in &other.aggte {
        let found = &own.aggte[kind];
        close("att_egt", case, &found.att_egt, &expected.att_egt);
        close("se_egt", case, &found.se_egt, &expected.se_egt);
        close(
            "overall",
            case,
            &[found.overall_att, found.overall_se],
            &[expected.overall_att, expected.overall_se],
        );
    }
    assert_eq!(a.draws.is_some(), b.draws.is_some());
    if let (Some(a), Some(b)) = (&a.draws, &b.draws) {
        for column in 0..a.ncols() {
            let largest = b.col(column).norm_max();
            let error = (a.col(column) - b.col(column)).norm_max();
            assert!(error <= 1e-10 * largest, "draws of column {column}: {error} of {largest}: {case:?}");
        }
    }
}

/// Cases without a propensity score.
fn cases() -> Vec<Case> {
    let plain = || Case { covariates: 0, ..Case::default() };
    let later =
        || Case { controls: ControlGroup::NotYetTreated, cohorts: vec![2, 3, 4, 5], periods: 6, ..plain() };
    let mut out =
        vec![plain(), later(), Case { weighted: true, ..plain() }, Case { weighted: true, ..later() }];
    for layout in
        [Layout::VaryingWeights, Layout::Unbalanced, Layout::CrossSections, Layout::TripleDifference]
    {
        out.push(Case { layout, ..later() });
        out.push(Case { layout, weighted: true, units: 900, ..later() });
    }
    out.push(Case { layout: Layout::Unbalanced, weighted: true, vary: true, units: 900, ..later() });
    // As many cells as make the products with a covariate worth their while.
    let many =
        Case { covariates: 1, method: EstMethod::Reg, cohorts: (2..20).collect(), periods: 20, ..plain() };
    out.push(Case { units: 3000, controls: ControlGroup::NotYetTreated, draws: 0, ..many.clone() });
    out.push(Case { units: 3000, weighted: true, ..many });
    out
}

#[test]
fn features_and_columns_give_the_same_numbers() {
    cases().iter().for_each(|case| check(case, None));
}

#[test]
fn clusters_of_features_and_of_columns_are_the_same() {
    for case in cases() {
        check(&case, Some(CLUSTERS));
        check(&Case { draws: 0, ..case }, Some(CLUSTERS));
    }
}

#[test]
fn slices_of_clusters_add_up() {
    let case = Case { units: 2000, covariates: 0, ..Case::default() };
    let (whole, sliced) = (run(&case, true, Some(CLUSTERS)), run(&case, true, Some(1 << 40)));
    assert_eq!(whole.passes, 1);
    // The bound on the clusters is the number of units: still one slice of so small a panel.
    assert_eq!(sliced.passes, 1);
    let clusters = run_sliced(&case, 5);
    close("se", &case, &clusters.result.att_gt.se, &whole.saved.result.att_gt.se);
    assert_eq!(clusters.extended.clusters, Some(CLUSTERS));
}

/// Runs an estimation in slices of the clusters.
fn run_sliced(case: &Case, slices: u64) -> SavedResult {
    let (mut panel, mut spec, formula) = (case.panel().unwrap(), case.spec(), case.formula().unwrap());
    cluster(&mut panel, &mut spec);
    let plan = Plan::new(&mut panel, &spec, &formula, 1).unwrap();
    let mut estimation = Estimation::new(plan, limits(&panel, CLUSTERS)).in_slices(slices);
    assert_eq!(make_passes(&mut estimation, &panel) as u64, slices);
    finish(&panel, &spec, estimation).0
}

#[test]
fn outcomes_that_persist_keep_their_digits() {
    // The level of a unit is a million times the noise: what is summed are changes.
    let case = Case { units: 2000, covariates: 0, cohorts: vec![3, 4, 5, 6], periods: 8, ..Case::default() };
    let large = |features: bool| {
        let (mut panel, spec, formula) = (case.panel().unwrap(), case.spec(), case.formula().unwrap());
        let Shards::Memory(shards) = &mut panel.shards else { panic!("stored") };
        for shard in shards.iter_mut() {
            for (period, outcomes) in shard.outcomes.iter_mut().enumerate().skip(1) {
                let mut own = (**outcomes).clone();
                for (unit, value) in own.iter_mut().enumerate() {
                    *value += 1e6 * (unit % 7) as f64 + 1e4 * period as f64;
                }
                *outcomes = Arc::new(own);
            }
        }
        let plan = Plan::new(&mut panel, &spec, &formula, 1).unwrap();
        let plan = if features { plan } else { plan.summing_columns() };
        let mut estimation = Estimation::new(plan, limits(&panel, 0));
        make_passes(&mut estimation, &panel);
        finish(&panel, &spec, estimation).0
    };
    let (a, b) = (large(true), large(false));
    for (at, (x, y)) in a.result.vcov.iter().zip(&b.result.vcov).enumerate() {
        let (x, y) = (x[at].0, y[at].0);
        assert!((x / y - 1.0).abs() < 1e-9, "variance {at}: {x} by features, {y} by columns");
    }
}

#[test]
fn thousands_of_cells_stay_a_factor() {
    let cohorts: Vec<usize> = (2..30).collect();
    let case = Case { units: 4000, covariates: 0, cohorts, periods: 30, draws: 0, ..Case::default() };
    let found = run(&case, true, None).saved;
    let Covariance::Factored(factor) = &found.extended.covariance else { panic!("a matrix") };
    let bytes = postcard::to_stdvec(&found.extended.covariance).unwrap();
    assert!(bytes.len() < 8 * factor.size() * factor.size() / 10, "{} bytes", bytes.len());
    let Covariance::Factored(back) = postcard::from_bytes(&bytes).unwrap() else { panic!("a matrix") };
    assert_eq!(*back, Factor { variances: Vec::new(), ..(**factor).clone() });
    let matrix = factor.matrix(&[40, 41, 300]);
    for (i, a) in [40, 41, 300].into_iter().enumerate() {
        for (j, b) in [40, 41, 300].into_iter().enumerate() {
            let single = found.extended.covariance.get(a, b);
            let scale = (matrix[(i, i)] * matrix[(j, j)]).sqrt();
            assert!((single - matrix[(i, j)]).abs() < 1e-12 * scale, "{single} {}", matrix[(i, j)]);
        }
    }
}
