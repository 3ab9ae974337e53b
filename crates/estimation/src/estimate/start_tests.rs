//! Logits started on a sample against logits that walk all the way over all rows: the same numbers in fewer passes.

use stagger_estimator::options::{ControlGroup, EstMethod};
use stagger_model::progress::StageProgress;
use stagger_model::reduction::Merge;
use stagger_model::result::{Num, SavedResult};
use stagger_panel::panel::{Panel, Shards};

use super::result::estimate;
use super::steps::{Estimation, PassLimits};
use crate::kernel::conformance::{Case, Layout};
use crate::passes::compute_partial;
use crate::plan::Plan;

/// Shards that are few enough for the way without a sample.
const FEW: usize = 8;

fn shards(panel: &Panel) -> &[stagger_panel::shard::Shard] {
    match &panel.shards {
        Shards::Memory(shards) => shards,
        Shards::Stored { .. } => panic!("stored"),
    }
}

/// Runs an estimation that takes the panel to have `told` shards; returns the result and the names of its passes over all of them.
fn run(case: &Case, told: usize) -> (SavedResult, Vec<&'static str>) {
    let (mut panel, spec, formula) = (case.panel().unwrap(), case.spec(), case.formula().unwrap());
    let plan = Plan::new(&mut panel, &spec, &formula, 1).unwrap();
    let plan = plan.summing_columns().starting_from(2 * FEW);
    let limits = PassLimits { shards: told, clusters: 0, max_cells: None };
    let mut estimation = Estimation::new(plan, limits);
    let mut stages = Vec::new();
    while let Some(request) = estimation.next_pass() {
        let stride = request.sample.map_or(1, |count| shards(&panel).len() / count.next_power_of_two());
        if request.sample.is_none() {
            stages.push(request.input.stage());
        }
        let one = |shard| compute_partial(estimation.plan(), &request.input, shard, &mut None);
        let whole = shards(&panel).iter().step_by(stride).map(one).reduce(|mut a, b| {
            a.merge(&b);
            a
        });
        estimation.accept_sums(whole.unwrap()).unwrap();
    }
    let (saved, _) = estimate(&panel, &spec, estimation.finish(), &mut StageProgress::new(&|_| ())).unwrap();
    (saved, stages)
}

fn close(what: &str, case: &Case, found: &[Num], expected: &[Num]) {
    assert_eq!(found.len(), expected.len(), "{what} of {case:?}");
    for (at, (a, b)) in found.iter().zip(expected).enumerate() {
        let same = a.is_na() && b.is_na() || (a.0 - b.0).abs() <= 1e-10 * b.0.abs().max(1e-2);
        assert!(same, "{what}[{at}] is {} from a sample and {} without: {case:?}", a.0, b.0);
    }
}

fn check(case: &Case) -> Vec<&'static str> {
    let ((found, stages), (expected, all)) = (run(case, case.shards), run(case, FEW));
    let (own, other) = (&found.result.att_gt, &expected.result.att_gt);
    close("att", case, &own.att, &other.att);
    close("se", case, &own.se, &other.se);
    assert!(stages.len() <= all.len(), "{stages:?} in place of {all:?}: {case:?}");
    stages
}

/// Of this many units the sample is a half.
fn large() -> Case {
    Case { units: 250_000, shards: 16, draws: 0, covariates: 3, ..Case::default() }
}

#[test]
fn a_started_fit_takes_one_round_and_one_with_the_moments() {
    let expected = ["gram", "propensity", "closing", "influence"];
    assert_eq!(check(&Case { weighted: true, ..large() }), expected);
    assert_eq!(check(&Case { method: EstMethod::Ipw, ..large() }), expected);
    let controls = ControlGroup::NotYetTreated;
    let case = Case { controls, cohorts: vec![2, 3, 4], ..large() };
    assert_eq!(check(&case), expected);
}

#[test]
fn levels_cross_sections_and_triple_differences_gain_as_well() {
    let layouts =
        [Layout::VaryingWeights, Layout::Unbalanced, Layout::CrossSections, Layout::TripleDifference];
    for layout in layouts {
        let case = Case { layout, weighted: true, vary: true, ..large() };
        let stages = check(&case);
        assert_eq!(stages[1..3], ["propensity", "closing"], "{layout:?}: {stages:?}");
    }
}

#[test]
fn many_covariates_start_on_a_sample_and_sum_their_moments_at_the_end() {
    let stages = check(&Case { covariates: 13, units: 30_000, ..large() });
    assert!(!stages.contains(&"closing") && stages.contains(&"moments"), "{stages:?}");
}

#[test]
fn scores_that_rows_lie_at_the_trimming_bound_of_are_summed_again() {
    // A few units beside many of another cohort: scores reach 0.995, and some row is always near it.
    let case = Case { untreated: 0.01, cohorts: vec![3], covariates: 2, ..large() };
    let (found, _) = run(&case, case.shards);
    let (expected, _) = run(&case, FEW);
    close("att", &case, &found.result.att_gt.att, &expected.result.att_gt.att);
    close("se", &case, &found.result.att_gt.se, &expected.result.att_gt.se);
}
