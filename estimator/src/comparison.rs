//! Comparisons and the nuisances they share (DESIGN §3).
//!
//! A 2×2 comparison is a treated stratum, a set of control strata, a base and a post period. Many comparisons share one
//! regression (same controls, same covariates) and one logit (same treated stratum besides), so each is listed once.

use crate::cells::Cell;
use crate::options::{EstMethod, FixWeights};

/// Where covariates and weights of a comparison come from: indices of periods, 0 where they are constant in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Frame {
    /// Period of the covariates.
    pub x_period: usize,
    /// Period of the weights.
    pub w_period: usize,
}

/// What decides frames and nuisances.
#[derive(Clone, Copy, Debug)]
pub struct NuisanceRules {
    /// Estimator.
    pub method: EstMethod,
    /// Covariates differ between periods for some unit.
    pub covariates_vary: bool,
    /// Weights differ between periods for some unit.
    pub weights_vary: bool,
    /// A weight column is given.
    pub weighted: bool,
    /// Which period's weight counts.
    pub fix_weights: Option<FixWeights>,
    /// The design is the intercept alone: all three estimators are differences of means.
    pub intercept_only: bool,
}

/// A regression of outcomes on covariates in a set of controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Regression {
    /// Index of the control set.
    pub control_set: usize,
    /// Index of the frame.
    pub frame: usize,
}

/// A logit of treatment on covariates over one treated stratum and a set of controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logit {
    /// Treated stratum.
    pub treated: usize,
    /// Index of the control set.
    pub control_set: usize,
    /// Index of the frame.
    pub frame: usize,
    /// Fitted with the sampling weights; `false` for the guard logit of FORMULAS §2.4 when there are weights.
    pub weighted: bool,
}

/// One 2×2 comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// Index of the cell it estimates.
    pub cell: usize,
    /// Treated stratum.
    pub treated: usize,
    /// Index of the control set.
    pub control_set: usize,
    /// Index of the frame.
    pub frame: usize,
    /// Index of the period of the cell.
    pub time: usize,
    /// Index of the base period.
    pub base: usize,
    /// Outcome regression, unless the method is `ipw`.
    pub regression: Option<usize>,
    /// Propensity score, unless the method is `reg`.
    pub logit: Option<usize>,
    /// Unweighted logit of the overlap guard; the same as `logit` without weights.
    pub guard: Option<usize>,
}

/// All comparisons of a specification and their distinct nuisances.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ComparisonPlan {
    /// Distinct frames.
    pub frames: Vec<Frame>,
    /// Distinct control sets: ascending strata.
    pub control_sets: Vec<Vec<usize>>,
    /// Distinct regressions.
    pub regressions: Vec<Regression>,
    /// Distinct logits.
    pub logits: Vec<Logit>,
    /// Comparisons in the order of cells; cells without controls and reference cells have none.
    pub comparisons: Vec<Comparison>,
}

fn intern<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    if let Some(index) = list.iter().position(|known| *known == item) {
        return index;
    }
    list.push(item);
    list.len() - 1
}

impl ComparisonPlan {
    /// Lists comparisons and nuisances. `last_clean[cell]` is the index of the last period before the cohort's treatment
    /// (T_pg of FORMULAS §2.1).
    pub fn new(cells: &[Cell], last_clean: &[usize], rules: &NuisanceRules) -> Self {
        let mut plan = Self::default();
        for (index, cell) in cells.iter().enumerate() {
            if !cell.reference && !cell.controls.is_empty() {
                plan.add(index, cell, last_clean.get(index).copied().unwrap_or(0), rules);
            }
        }
        plan
    }

    fn add(&mut self, index: usize, cell: &Cell, last_clean: usize, rules: &NuisanceRules) {
        let earlier = cell.time.min(cell.base);
        let weight_period = match rules.fix_weights {
            Some(FixWeights::BasePeriod) => last_clean,
            Some(FixWeights::FirstPeriod) => 0,
            Some(FixWeights::Varying) | None => earlier,
        };
        let frame = Frame {
            x_period: if rules.covariates_vary { earlier } else { 0 },
            w_period: if rules.weights_vary { weight_period } else { 0 },
        };
        let frame = intern(&mut self.frames, frame);
        let mut controls = cell.controls.clone();
        controls.sort_unstable();
        let control_set = intern(&mut self.control_sets, controls);
        let method = if rules.intercept_only { EstMethod::Reg } else { rules.method };
        let regression = (method != EstMethod::Ipw)
            .then(|| intern(&mut self.regressions, Regression { control_set, frame }));
        let logit = Logit { treated: cell.cohort, control_set, frame, weighted: true };
        let (logit, guard) = if method == EstMethod::Reg {
            (None, None)
        } else {
            let fitted = intern(&mut self.logits, logit);
            let guard = if rules.weighted {
                intern(&mut self.logits, Logit { weighted: false, ..logit })
            } else {
                fitted
            };
            (Some(fitted), Some(guard))
        };
        self.comparisons.push(Comparison {
            cell: index,
            treated: cell.cohort,
            control_set,
            frame,
            time: cell.time,
            base: cell.base,
            regression,
            logit,
            guard,
        });
    }

    /// Whether `stratum` is among the controls of a control set.
    pub fn controls(&self, control_set: usize, stratum: usize) -> bool {
        self.control_sets[control_set].binary_search(&stratum).is_ok()
    }

    /// The (stratum, frame) pairs whose cross products are needed, ascending.
    pub fn gram_keys(&self) -> Vec<(usize, usize)> {
        let mut keys: Vec<(usize, usize)> = self
            .comparisons
            .iter()
            .flat_map(|c| {
                self.control_sets[c.control_set]
                    .iter()
                    .map(move |&s| (s, c.frame))
                    .chain([(c.treated, c.frame)])
            })
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}
