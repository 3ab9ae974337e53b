//! Comparisons and the nuisances they share (DESIGN §3).
//!
//! A 2×2 comparison is a treated stratum, a set of control strata, a base and a post period. Many comparisons share one
//! regression (same strata, same rows) and one logit (same treated stratum besides), so each is listed once.
//!
//! Two row models cover all data. *Differences*: a unit enters once, with Y_t − Y_b (FORMULAS §3.3). *Levels*: a row enters,
//! with its own outcome, and a comparison has a post side and a pre side (§3.4) — cross sections, unbalanced panels,
//! `fix_weights = varying`. Triple differences are three comparisons with signs (§7.1).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;

use serde::{Deserialize, Serialize};

use crate::options::{EstMethod, FixWeights};

/// The rows that enter a sum, and the sources of their covariates and weights: indices of periods, 0 where constant in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Frame {
    /// Rows of this period; `None` for units with all their periods, whose outcomes are differenced.
    pub rows: Option<usize>,
    /// Period of the covariates.
    pub x_period: usize,
    /// Period of the weights.
    pub w_period: usize,
    /// A unit enters only if it was observed in `w_period` (unbalanced panels with a fixed weight period, FORMULAS §2.3).
    pub needs_weight_row: bool,
}

/// The form in which outcomes enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowModel {
    /// Units, with the difference of two outcomes.
    Differences,
    /// Rows of two periods, with their outcomes; covariates of the cell's earlier period (`fix_weights = varying`).
    LevelsEarlierCovariates,
    /// Rows of two periods, with their outcomes and their own covariates.
    Levels,
}

/// The settings that decide frames and nuisance functions.
#[derive(Clone, Copy, Debug)]
pub struct NuisanceRules {
    /// Estimator.
    pub method: EstMethod,
    /// The form in which outcomes enter.
    pub model: RowModel,
    /// Covariates differ between periods for some unit.
    pub covariates_vary: bool,
    /// Weights differ between periods for some unit.
    pub weights_vary: bool,
    /// A weight column is given.
    pub weighted: bool,
    /// Some unit misses some period.
    pub unbalanced: bool,
    /// The period whose weight counts.
    pub fix_weights: Option<FixWeights>,
    /// Scores near 1 in an unweighted logit fail a comparison (did; triple differences have no such guard).
    pub guarded: bool,
    /// The design is the intercept alone: all three estimators are differences of means.
    pub intercept_only: bool,
}

/// One term of an estimate: a treated stratum against control strata.
#[derive(Clone, Debug, PartialEq)]
pub struct Contrast {
    /// Treated stratum.
    pub treated: usize,
    /// Control strata.
    pub controls: Vec<usize>,
    /// +1, or −1 for the term that a triple difference subtracts.
    pub sign: f64,
}

/// An estimate: signed comparisons between two periods.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Index of the cell it belongs to.
    pub cell: usize,
    /// Index of the period of the cell.
    pub time: usize,
    /// Index of the base period.
    pub base: usize,
    /// Index of the last period before the cohort's treatment (T_pg of FORMULAS §2.1).
    pub last_clean: usize,
    /// Its terms.
    pub contrasts: Vec<Contrast>,
}

/// A regression of outcomes on covariates in a set of strata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Regression {
    /// Index of the set of strata.
    pub set: usize,
    /// Index of the frame.
    pub frame: usize,
}

/// A logit of treatment on covariates over one treated stratum and a set of controls.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Logit {
    /// Treated stratum.
    pub treated: usize,
    /// Index of the set of control strata.
    pub controls: usize,
    /// Indices of the frames whose rows are pooled.
    pub frames: Vec<usize>,
    /// Fitted with the sampling weights; `false` for the guard logit of FORMULAS §2.4 when there are weights.
    pub weighted: bool,
}

/// The rows of one period of a comparison, or all of a comparison of differences.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComparisonSide {
    /// Index of the frame.
    pub frame: usize,
    /// Column of the outcome.
    pub time: usize,
    /// Column of the outcome that is subtracted.
    pub base: usize,
    /// +1, or −1 on the pre side.
    pub sign: f64,
    /// Outcome regression on the controls, unless the method is `ipw`.
    pub controls_fit: Option<usize>,
    /// Outcome regression on the treated: `dr` of levels alone.
    pub treated_fit: Option<usize>,
}

/// One 2×2 comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Index of the estimate it is a term of.
    pub estimate: usize,
    /// Sign with which it enters.
    pub sign: f64,
    /// Treated stratum.
    pub treated: usize,
    /// Index of the set of control strata.
    pub controls: usize,
    /// One side of differences, or the post and the pre side of levels.
    pub sides: Vec<ComparisonSide>,
    /// Propensity score, unless the method is `reg`.
    pub logit: Option<usize>,
    /// Unweighted logit of the overlap guard; the same as `logit` without weights.
    pub guard: Option<usize>,
}

/// All comparisons of a specification and their distinct nuisances.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ComparisonPlan {
    /// Distinct frames.
    pub frames: Vec<Frame>,
    /// Distinct sets of strata: ascending.
    pub sets: Vec<Vec<usize>>,
    /// Distinct regressions.
    pub regressions: Vec<Regression>,
    /// Distinct logits.
    pub logits: Vec<Logit>,
    /// (logit, frame) pairs whose odds-weighted sums are kept, logit by logit.
    pub slots: Vec<(usize, usize)>,
    /// Cell of every estimate.
    pub estimates: Vec<usize>,
    /// Comparisons in the order of estimates.
    pub comparisons: Vec<Comparison>,
}

/// Indices of what has been listed, so that thousands of cells find theirs at once.
#[derive(Default)]
struct Known {
    frames: HashMap<Frame, usize>,
    sets: HashMap<Vec<usize>, usize>,
    regressions: HashMap<Regression, usize>,
    logits: HashMap<Logit, usize>,
}

/// Returns the index of an item in a list, to which it is added if it is new.
fn intern<T: Clone + Eq + Hash>(list: &mut Vec<T>, known: &mut HashMap<T, usize>, item: T) -> usize {
    if let Some(&index) = known.get(&item) {
        return index;
    }
    known.insert(item.clone(), list.len());
    list.push(item);
    list.len() - 1
}

impl ComparisonPlan {
    /// Lists comparisons and nuisances.
    pub fn new(targets: &[Target], rules: &NuisanceRules) -> Self {
        let (mut plan, mut known) = (Self::default(), Known::default());
        for (estimate, target) in targets.iter().enumerate() {
            plan.estimates.push(target.cell);
            for contrast in &target.contrasts {
                plan.add(&mut known, (estimate, target), contrast, rules);
            }
        }
        for (index, logit) in plan.logits.iter().enumerate() {
            plan.slots.extend(logit.frames.iter().map(|&frame| (index, frame)));
        }
        plan
    }

    fn add(
        &mut self,
        known: &mut Known,
        (estimate, target): (usize, &Target),
        contrast: &Contrast,
        rules: &NuisanceRules,
    ) {
        let mut controls = contrast.controls.clone();
        controls.sort_unstable();
        let controls = intern(&mut self.sets, &mut known.sets, controls);
        let method = if rules.intercept_only { EstMethod::Reg } else { rules.method };
        let sides: Vec<ComparisonSide> = self
            .sides(known, target, rules)
            .into_iter()
            .map(|side| {
                self.with_regressions(known, side, (contrast.treated, controls), (method, rules.model))
            })
            .collect();
        let (logit, guard) = if method == EstMethod::Reg {
            (None, None)
        } else {
            let frames: Vec<usize> = sides.iter().map(|s| s.frame).collect();
            let logit = Logit { treated: contrast.treated, controls, frames, weighted: true };
            let unweighted = Logit { weighted: false, ..logit.clone() };
            let fitted = intern(&mut self.logits, &mut known.logits, logit);
            let guard = if rules.weighted && rules.guarded {
                intern(&mut self.logits, &mut known.logits, unweighted)
            } else {
                fitted
            };
            (Some(fitted), Some(guard))
        };
        let (sign, treated) = (contrast.sign, contrast.treated);
        self.comparisons.push(Comparison { estimate, sign, treated, controls, sides, logit, guard });
    }

    fn sides(&mut self, known: &mut Known, target: &Target, rules: &NuisanceRules) -> Vec<ComparisonSide> {
        let earlier = target.time.min(target.base);
        if rules.model == RowModel::Differences {
            let frame = intern(
                &mut self.frames,
                &mut known.frames,
                frame(None, earlier, earlier, target.last_clean, rules),
            );
            let (time, base) = (target.time, target.base);
            return vec![ComparisonSide {
                frame,
                time,
                base,
                sign: 1.0,
                controls_fit: None,
                treated_fit: None,
            }];
        }
        [(target.time, 1.0), (target.base, -1.0)]
            .into_iter()
            .map(|(rows, sign)| {
                let x = if rules.model == RowModel::Levels { rows } else { earlier };
                let frame = intern(
                    &mut self.frames,
                    &mut known.frames,
                    frame(Some(rows), x, rows, target.last_clean, rules),
                );
                // Blocks of levels have a column of zeros before the outcome.
                ComparisonSide { frame, time: 1, base: 0, sign, controls_fit: None, treated_fit: None }
            })
            .collect()
    }

    fn with_regressions(
        &mut self,
        known: &mut Known,
        side: ComparisonSide,
        (treated, controls): (usize, usize),
        (method, model): (EstMethod, RowModel),
    ) -> ComparisonSide {
        let frame = side.frame;
        let controls_fit = (method != EstMethod::Ipw).then(|| {
            intern(&mut self.regressions, &mut known.regressions, Regression { set: controls, frame })
        });
        let treated_fit = (method == EstMethod::Dr && model != RowModel::Differences).then(|| {
            let set = intern(&mut self.sets, &mut known.sets, vec![treated]);
            intern(&mut self.regressions, &mut known.regressions, Regression { set, frame })
        });
        ComparisonSide { controls_fit, treated_fit, ..side }
    }

    /// Returns true if `stratum` is in a set of strata.
    pub fn contains(&self, set: usize, stratum: usize) -> bool {
        self.sets[set].binary_search(&stratum).is_ok()
    }

    /// First slot of a logit; its frames follow in order.
    pub fn first_slot(&self, logit: usize) -> usize {
        self.slots.partition_point(|&(l, _)| l < logit)
    }

    /// The (stratum, frame) pairs whose cross products are needed, ascending.
    pub fn gram_keys(&self) -> Vec<(usize, usize)> {
        let (mut keys, mut seen) = (BTreeSet::new(), HashSet::new());
        for comparison in &self.comparisons {
            for side in &comparison.sides {
                if seen.insert((comparison.controls, side.frame)) {
                    keys.extend(self.sets[comparison.controls].iter().map(|&s| (s, side.frame)));
                }
                keys.insert((comparison.treated, side.frame));
            }
        }
        keys.into_iter().collect()
    }
}

fn frame(
    rows: Option<usize>,
    x_period: usize,
    own_weight: usize,
    last_clean: usize,
    rules: &NuisanceRules,
) -> Frame {
    let fixed = match rules.fix_weights {
        Some(FixWeights::BasePeriod) => Some(last_clean),
        Some(FixWeights::FirstPeriod) => Some(0),
        Some(FixWeights::Varying) | None => None,
    };
    let needs_weight_row = rules.unbalanced && fixed.is_some();
    let keep = rules.weights_vary || needs_weight_row;
    Frame {
        rows,
        x_period: if rules.covariates_vary { x_period } else { 0 },
        w_period: if keep { fixed.unwrap_or(own_weight) } else { 0 },
        needs_weight_row,
    }
}
