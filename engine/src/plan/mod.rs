//! From a panel's counts to everything a run will compute: sample, design, cells, comparisons, columns (FORMULAS §1–§2).

mod balance;
mod missing;
mod sample;
mod targets;
mod weights;

use serde::{Deserialize, Serialize};
use std::collections::HashMap;

use stagger_estimator::cells::Cell;
use stagger_estimator::comparison::{ComparisonPlan, NuisanceRules, RowModel};
use stagger_estimator::formula::{Design, Formula};
use stagger_estimator::influence::{Part, Role};
use stagger_estimator::linear::Standardization;
use stagger_estimator::multipliers::TwoPoint;
use stagger_estimator::options::EstMethod;
use stagger_estimator::outcome::GramShape;
use stagger_estimator::sample::CohortRole;

use crate::calendar::Calendar;
use crate::error::{EngineError, Result};
use crate::levels;
use crate::panel::{Panel, RowKind, Stratum};
use crate::result::Dropped;
use crate::shard::Segment;
use crate::spec::RunSpec;
use crate::task::StageInput;

use sample::Sample;
pub use sample::SampleMask;
use targets::Targets;

/// Which weight of a unit counts for its cohort's share (FORMULAS §6, §7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShareWeight {
    /// That of the first period, or of the row in cross sections.
    FirstPeriod,
    /// The mean over the unit's rows.
    MeanOfRows,
    /// That of the unit's first row.
    FirstRow,
}

/// The columns that sums are over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceColumns {
    outcome: String,
    formula: Option<String>,
    weights: Option<String>,
}

/// What a run computes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Units used.
    pub mask: SampleMask,
    /// Columns of outcome, covariates and weights.
    pub source: SourceColumns,
    /// What a row of the shards is.
    pub rows: RowKind,
    /// How outcomes enter.
    pub model: RowModel,
    /// Some used unit misses some period.
    pub unbalanced: bool,
    /// Triple differences.
    pub triple: bool,
    /// Triple differences of two groups and two periods.
    pub two_period: bool,
    /// Kept periods, as indices into the panel's.
    pub periods: Vec<usize>,
    /// Their labels.
    pub period_labels: Vec<f64>,
    /// What these mean, where they are dates.
    pub calendar: Option<Calendar>,
    /// Strata of the panel.
    pub strata: Vec<Stratum>,
    /// Used units of each stratum.
    pub units: Vec<u64>,
    /// Used units in all: n. Rows in cross sections.
    pub n: u64,
    /// Estimated groups, ascending.
    pub groups: Vec<f64>,
    /// Cells in R's order.
    pub cells: Vec<Cell>,
    /// Comparisons and nuisances.
    pub comparisons: ComparisonPlan,
    /// Cells whose standard error is centred, with n − 1: two-period triple differences, and those combined over control
    /// cohorts (FORMULAS §7.2, §7.3).
    pub centred: Vec<bool>,
    /// (stratum, frame) pairs of the `Gram` stage, ascending.
    pub gram_keys: Vec<(usize, usize)>,
    /// Design columns.
    pub design: Design,
    /// Centres and scales of the design columns; set by the first stage.
    pub standardization: Standardization,
    /// Taken off outcomes in levels, which keeps the digits of those whose level is large; 0 without an intercept.
    pub outcome_center: f64,
    /// Estimator, as computed: `reg` where the design is the intercept alone.
    pub method: EstMethod,
    /// The design is the intercept alone and the estimator has a propensity score: its guard is on the share of treated.
    pub guards_share: bool,
    /// A weight column is given.
    pub weighted: bool,
    /// Multiplies every weight: a power of two that brings the largest near 1, as no figure depends on their scale.
    pub weight_factor: f64,
    /// The weight that counts for shares.
    pub share_weight: ShareWeight,
    /// Extended columns of each stratum: position and meaning.
    pub stratum_columns: Vec<Vec<(usize, Role)>>,
    /// Sides of comparisons that each stratum enters, by extended column.
    pub stratum_parts: Vec<Vec<Part>>,
    /// Overlap and balance are asked for.
    pub diagnostics: bool,
    /// Bootstrap draws by multipliers; 0 for none.
    pub draws: usize,
    /// Seed of the multipliers.
    pub seed: u64,
    /// Values of the multipliers.
    pub multiplier: TwoPoint,
    /// Cluster variables beyond the unit.
    pub cluster_variables: usize,
    /// Clustered variances times G/(G − 1).
    pub cluster_factor: bool,
    /// What cleaning removed.
    #[serde(with = "crate::as_json")]
    pub dropped: Dropped,
    /// Warnings so far.
    pub warnings: Vec<String>,
    /// Simultaneous bands are possible (more than two periods).
    pub allows_band: bool,
}

impl Plan {
    /// Plans a specification over a panel. Factor levels are counted over the sample and replace their values in the shards.
    pub fn new(panel: &mut Panel, spec: &RunSpec, formula: &Formula, threads: usize) -> Result<Self> {
        let sample = Sample::new(panel, spec, formula, threads).map_err(|e| panel.rewrite(e))?;
        let levels = levels::encode(panel, &sample.mask, &sample.periods, formula, threads)?;
        Self::with_levels(panel, spec, formula, sample, &levels)
    }

    /// Plans over a panel of counts alone, whose factors have so many levels.
    pub(crate) fn counted(
        panel: &mut Panel,
        spec: &RunSpec,
        formula: &Formula,
        levels: &HashMap<String, usize>,
    ) -> Result<Self> {
        let sample = Sample::new(panel, spec, formula, 1).map_err(|e| panel.rewrite(e))?;
        Self::with_levels(panel, spec, formula, sample, levels)
    }

    fn with_levels(
        panel: &Panel,
        spec: &RunSpec,
        formula: &Formula,
        sample: Sample,
        levels: &HashMap<String, usize>,
    ) -> Result<Self> {
        let design = formula
            .design(&|name| levels.get(name).copied())
            .map_err(|e| input_error(&format!("xformla: {e}"), e.hint()))?;
        let labels: Vec<f64> = sample.periods.iter().map(|&p| panel.periods[p]).collect();
        let targets = Targets::new(panel, spec, &sample, &labels).map_err(|e| panel.rewrite(e))?;
        let mut plan = Self::assemble(panel, spec, sample, labels, design, targets);
        plan.warnings.iter_mut().for_each(|warning| *warning = panel.relabel(warning));
        plan.calendar.clone_from(&panel.calendar);
        Ok(plan)
    }

    fn assemble(
        panel: &Panel,
        spec: &RunSpec,
        sample: Sample,
        period_labels: Vec<f64>,
        design: Design,
        targets: Targets,
    ) -> Self {
        let intercept = design.columns.iter().position(|c| c.parts.is_empty());
        let intercept_only = intercept.is_some() && design.columns.len() == 1;
        let rules = NuisanceRules {
            method: spec.est_method,
            model: sample.model,
            covariates_vary: panel.atoms_vary,
            weights_vary: panel.weights_vary,
            weighted: spec.weightsname.is_some(),
            unbalanced: sample.unbalanced,
            fix_weights: spec.fix_weights,
            guarded: spec.pname.is_none(),
            intercept_only,
        };
        let Targets { cells, targets } = targets;
        let comparisons = ComparisonPlan::new(&targets, &rules);
        let mut groups: Vec<f64> = cells.iter().map(|c| c.group).collect();
        groups.dedup();
        let regressors = design.columns.len();
        let triple = spec.pname.is_some();
        let clusters = spec.clustervars.iter().filter(|c| **c != spec.idname).count();
        let mut plan = Self {
            gram_keys: comparisons.gram_keys(),
            stratum_columns: Vec::new(),
            stratum_parts: Vec::new(),
            standardization: Standardization {
                center: vec![0.0; regressors],
                scale: vec![1.0; regressors],
                intercept,
            },
            outcome_center: 0.0,
            method: if intercept_only { EstMethod::Reg } else { spec.est_method },
            guards_share: intercept_only && spec.est_method != EstMethod::Reg && !triple,
            weighted: spec.weightsname.is_some(),
            weight_factor: sample.weight_factor,
            share_weight: match (sample.unbalanced, triple) {
                (false, _) => ShareWeight::FirstPeriod,
                (true, false) => ShareWeight::MeanOfRows,
                (true, true) => ShareWeight::FirstRow,
            },
            draws: if spec.bstrap { spec.biters } else { 0 },
            diagnostics: spec.diagnostics,
            seed: spec.seed,
            multiplier: TwoPoint::of(spec.multiplier),
            cluster_variables: clusters,
            cluster_factor: spec.cluster_factor,
            allows_band: sample.periods.len() > 2,
            centred: centred(&comparisons, cells.len(), sample.two_period),
            source: SourceColumns {
                outcome: spec.yname.clone(),
                formula: spec.xformla.clone(),
                weights: spec.weightsname.clone(),
            },
            rows: panel.rows,
            strata: panel.strata.clone(),
            mask: sample.mask,
            model: sample.model,
            unbalanced: sample.unbalanced,
            triple,
            two_period: sample.two_period,
            periods: sample.periods,
            period_labels,
            calendar: None,
            units: sample.units,
            n: sample.n,
            groups,
            cells,
            comparisons,
            design,
            dropped: sample.dropped,
            warnings: sample.warnings,
        };
        let fixed = 1 + plan.groups.len();
        plan.stratum_parts = plan.parts(&|estimate| Some(fixed + plan.comparisons.estimates[estimate]));
        plan.stratum_columns = plan.columns();
        plan
    }

    /// Sides of comparisons that each stratum enters; `column` gives an estimate's column.
    pub fn parts(&self, column: &dyn Fn(usize) -> Option<usize>) -> Vec<Vec<Part>> {
        let mut out: Vec<Vec<Part>> = self.units.iter().map(|_| Vec::new()).collect();
        for (comparison, c) in self.comparisons.comparisons.iter().enumerate() {
            let Some(column) = column(c.estimate) else { continue };
            for side in 0..c.sides.len() {
                out[c.treated].push(Part { column, comparison, side, treated: true });
                for &stratum in &self.comparisons.sets[c.controls] {
                    out[stratum].push(Part { column, comparison, side, treated: false });
                }
            }
        }
        out
    }

    fn columns(&self) -> Vec<Vec<(usize, Role)>> {
        let of = |stratum: usize| {
            if self.mask.roles[stratum] == CohortRole::Dropped {
                return Vec::new();
            }
            let mut columns = vec![(0, Role::Ones)];
            let label = self.strata[stratum].cohort;
            let group = self.groups.iter().position(|&g| g == label);
            if let (CohortRole::Estimated, Some(group)) = (self.mask.roles[stratum], group) {
                columns.push((1 + group, Role::Share));
            }
            let mut estimates: Vec<usize> = self.stratum_parts[stratum].iter().map(|p| p.column).collect();
            estimates.sort_unstable();
            estimates.dedup();
            columns.extend(estimates.into_iter().map(|column| (column, Role::Estimate)));
            columns
        };
        (0..self.units.len()).map(of).collect()
    }

    /// Estimates of each cell that has several, to be combined over control cohorts (FORMULAS §7.3).
    pub fn combined(&self) -> Vec<Vec<usize>> {
        let mut by_cell: Vec<Vec<usize>> = vec![Vec::new(); self.cells.len()];
        for (estimate, &cell) in self.comparisons.estimates.iter().enumerate() {
            by_cell[cell].push(estimate);
        }
        by_cell.retain(|estimates| estimates.len() > 1);
        by_cell
    }

    /// Whether the sums of a stage over the same rows are those of another plan's.
    pub(crate) fn sums_as(&self, other: &Self, input: &StageInput) -> bool {
        let (own, others) = (&self.comparisons, &other.comparisons);
        let data = self.source.formula == other.source.formula
            && self.source.weights == other.source.weights
            && (matches!(input, StageInput::Propensity { .. })
                || self.source.outcome == other.source.outcome);
        let design = self.mask == other.mask
            && self.periods == other.periods
            && self.model == other.model
            && self.design == other.design
            && self.standardization == other.standardization
            && self.outcome_center == other.outcome_center
            && self.weight_factor == other.weight_factor
            && own.frames == others.frames;
        let strata = match input {
            StageInput::Gram => self.gram_keys == other.gram_keys,
            StageInput::Propensity { .. } | StageInput::Moments { .. } | StageInput::Overlap { .. } => {
                own.sets == others.sets && own.logits == others.logits
            }
            StageInput::Omega { .. } | StageInput::Survey(_) | StageInput::Influence { .. } => false,
        };
        data && design && strata
    }

    /// Brings weights to the scale of the sums.
    pub fn scale_weights(&self, weights: &mut [f64]) {
        if self.weight_factor != 1.0 {
            weights.iter_mut().for_each(|weight| *weight *= self.weight_factor);
        }
    }

    /// Whether rows of a segment enter a frame.
    pub fn enters(&self, segment: &Segment, frame: usize) -> bool {
        match (segment.period, self.comparisons.frames[frame].rows) {
            (Some(own), Some(rows)) => self.periods[rows] == own,
            _ => true,
        }
    }

    /// Regressors.
    pub fn regressors(&self) -> usize {
        self.design.columns.len()
    }

    /// Design columns of a block: the regressors and, without an intercept, the ones column.
    pub fn design_columns(&self) -> usize {
        self.regressors() + usize::from(self.standardization.intercept.is_none())
    }

    /// Outcome columns of a block: one a period, or zeros and the level.
    pub fn outcome_columns(&self) -> usize {
        if self.model == RowModel::Differences { self.periods.len() } else { 2 }
    }

    /// Index of the ones column.
    pub fn ones(&self) -> usize {
        self.standardization.intercept.unwrap_or(self.regressors())
    }

    /// Extended columns: ones, shares, cells.
    pub fn extended_columns(&self) -> usize {
        1 + self.groups.len() + self.cells.len()
    }

    /// Sizes of the `Gram` sums.
    pub fn gram_shape(&self) -> GramShape {
        GramShape { columns: self.design_columns(), periods: self.outcome_columns(), weighted: self.weighted }
    }

    /// Position of a (stratum, frame) pair among the `Gram` keys.
    pub fn gram_key(&self, stratum: usize, frame: usize) -> Option<usize> {
        self.gram_keys.binary_search(&(stratum, frame)).ok()
    }
}

fn centred(comparisons: &ComparisonPlan, cells: usize, two_period: bool) -> Vec<bool> {
    let estimates = |cell: usize| comparisons.estimates.iter().filter(|&&c| c == cell).count();
    (0..cells).map(|cell| two_period || estimates(cell) > 1).collect()
}

/// An input error from an error of the estimator.
pub(crate) fn input_error(error: &dyn std::fmt::Display, hint: Option<String>) -> EngineError {
    let out = EngineError::input(error.to_string());
    match hint {
        Some(hint) => out.with_hint(hint),
        None => out,
    }
}
