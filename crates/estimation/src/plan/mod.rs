//! Plan of a run, from the counts of a panel: sample, design, cells, comparisons, extended columns (FORMULAS §1–§2).

mod balance;
mod columns;
pub mod features;
mod missing;
mod sample;
mod targets;
mod weights;

use std::collections::HashMap;

use features::PlannedFeatures;
use sample::Sample;
use serde::{Deserialize, Serialize};
use stagger_estimator::cells::Cell;
use stagger_estimator::comparison::{ComparisonPlan, NuisanceRules, RowModel};
use stagger_estimator::formula::{Design, Formula};
use stagger_estimator::influence::{Membership, Role};
use stagger_estimator::linear::Standardization;
use stagger_estimator::moments::MomentsShape;
use stagger_estimator::multipliers::TwoPoint;
use stagger_estimator::options::EstMethod;
use stagger_estimator::outcome::GramShape;
use stagger_model::calendar::Calendar;
use stagger_model::error::{Result, input_error};
use stagger_model::result::Dropped;
use stagger_model::spec::RunSpec;
use stagger_panel::levels;
use stagger_panel::panel::Panel;
use stagger_panel::sample_mask::SampleMask;
use stagger_panel::shard::Segment;
use stagger_panel::strata::{RowKind, Stratum};
use targets::Targets;

use crate::stage::StageInput;

/// Weight of a unit in its cohort's share (FORMULAS §6, §7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShareWeight {
    /// Weight in the first period; in cross sections that of the row.
    FirstPeriod,
    /// Mean of the weights in the unit's rows.
    MeanOfRows,
    /// Weight in the unit's first row.
    FirstRow,
}

impl ShareWeight {
    /// Returns the weight that R's did and triplediff use (FORMULAS §6, §7.3).
    fn of(unbalanced: bool, triple: bool) -> Self {
        match (unbalanced, triple) {
            (false, _) => Self::FirstPeriod,
            (true, false) => Self::MeanOfRows,
            (true, true) => Self::FirstRow,
        }
    }
}

/// Names of the columns that the sums of a plan are over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceColumns {
    outcome: String,
    formula: Option<String>,
    weights: Option<String>,
}

impl SourceColumns {
    fn of(spec: &RunSpec) -> Self {
        Self { outcome: spec.yname.clone(), formula: spec.xformla.clone(), weights: spec.weightsname.clone() }
    }
}

/// Plan of one specification over one panel: everything that its passes compute. Workers receive it; only
/// `standardization` and `outcome_center` are set later, by the first stage.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Columns of outcome, covariates and weights.
    pub source: SourceColumns,
    /// Units, rows and periods that are used.
    pub sample: PlannedSample,
    /// Form in which outcomes enter: differences or levels.
    pub model: RowModel,
    /// Groups and cells to be estimated.
    pub targets: PlannedTargets,
    /// Comparisons of the cells, with their nuisance estimates.
    pub comparisons: ComparisonPlan,
    /// Positions of strata in the sums of a pass.
    pub sums: PlannedSums,
    /// Features that the influence functions are linear in, where these are what is summed.
    pub features: Option<PlannedFeatures>,
    /// Design matrix, its standardization, and the estimator.
    pub regression: PlannedRegression,
    /// Weights of units and of their shares.
    pub weights: PlannedWeights,
    /// Bootstrap, clusters and bands.
    pub inference: PlannedInference,
    /// True if diagnostics of overlap and balance are asked for.
    pub diagnostics: bool,
    /// Warnings about the sample.
    pub warnings: Vec<String>,
}

/// The units, rows and periods that a plan uses.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlannedSample {
    /// Units that are used.
    pub mask: SampleMask,
    /// Meaning of a shard's row.
    pub rows: RowKind,
    /// True if some used unit has no row in some kept period.
    pub unbalanced: bool,
    /// Kept periods, ascending, as indices into the panel's.
    pub periods: Vec<usize>,
    /// Kept periods as numbers.
    pub period_labels: Vec<f64>,
    /// Calendar of periods and cohorts, where they are dates.
    pub calendar: Option<Calendar>,
    /// Strata of the panel.
    pub strata: Vec<Stratum>,
    /// Number of used units in each stratum.
    pub units: Vec<u64>,
    /// Number n of used units; of rows in cross sections.
    pub n: u64,
    /// Rows and units that the sample leaves out, with reasons.
    #[serde(with = "stagger_model::as_json")]
    pub dropped: Dropped,
}

/// The groups and cells that a plan estimates.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlannedTargets {
    /// True for triple differences.
    pub triple: bool,
    /// True for triple differences of two groups and two periods (FORMULAS §7.2).
    pub two_period: bool,
    /// Estimated groups, ascending.
    pub groups: Vec<f64>,
    /// Cells (g, t), in R's order.
    pub cells: Vec<Cell>,
    /// By cell: true if its standard error is centred, with n − 1. This holds for two-period triple differences and for
    /// cells combined over control cohorts (FORMULAS §7.2, §7.3).
    pub centred: Vec<bool>,
}

/// The positions of strata in the sums of a pass.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlannedSums {
    /// Pairs (stratum, frame) of the `Gram` stage, ascending.
    pub gram_keys: Vec<(usize, usize)>,
    /// By stratum: the extended columns Ψ that it enters, as position and role; empty where features are summed.
    pub stratum_columns: Vec<Vec<(usize, Role)>>,
    /// By stratum: the sides of comparisons that it enters, by extended column; empty where features are summed.
    pub stratum_parts: Vec<Vec<Membership>>,
}

/// The design matrix of a plan, its standardization, and the estimator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlannedRegression {
    /// Columns of the design matrix.
    pub design: Design,
    /// Centres and scales of the design columns; set by the first stage.
    pub standardization: Standardization,
    /// Constant that is subtracted from outcomes in levels, to keep the digits of those with a large level; 0 without
    /// an intercept.
    pub outcome_center: f64,
    /// Estimator that is computed: `reg` where the design is the intercept alone.
    pub method: EstMethod,
    /// True if the design is the intercept alone and the estimator asked for has a propensity score: then the overlap
    /// guard checks the share of treated units.
    pub guards_share: bool,
    /// Shards of a panel from which on logits are started on a sample.
    pub started_from: usize,
}

impl PlannedRegression {
    fn of(spec: &RunSpec, design: Design, intercept_only: bool) -> Self {
        let scored = spec.est_method != EstMethod::Reg;
        Self {
            standardization: no_standardization(&design),
            outcome_center: 0.0,
            method: if intercept_only { EstMethod::Reg } else { spec.est_method },
            guards_share: intercept_only && scored && spec.pname.is_none(),
            started_from: LEAST_STARTED,
            design,
        }
    }
}

/// The weights of units, and of units in the shares of their cohorts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlannedWeights {
    /// True if there is a weight column.
    pub weighted: bool,
    /// Factor of every weight: a power of two that brings the largest near 1. No result depends on the scale of
    /// weights.
    pub weight_factor: f64,
    /// Weight of a unit in its cohort's share.
    pub share_weight: ShareWeight,
}

/// The bootstrap, clusters and bands of a plan.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PlannedInference {
    /// Number of bootstrap draws; 0 for none.
    pub draws: usize,
    /// Seed of the bootstrap multipliers.
    pub seed: u64,
    /// Distribution of the bootstrap multipliers: two points.
    pub multiplier: TwoPoint,
    /// Number of cluster variables other than the unit.
    pub cluster_variables: usize,
    /// True if clustered variances are multiplied by G/(G − 1).
    pub cluster_factor: bool,
    /// True if simultaneous bands are possible: more than two periods.
    pub allows_band: bool,
}

impl PlannedInference {
    fn of(spec: &RunSpec, periods: usize) -> Self {
        Self {
            draws: if spec.bstrap { spec.biters } else { 0 },
            seed: spec.seed,
            multiplier: TwoPoint::of(spec.multiplier),
            cluster_variables: spec.clustervars.iter().filter(|c| **c != spec.idname).count(),
            cluster_factor: spec.cluster_factor,
            allows_band: periods > 2,
        }
    }
}

/// Shards of a panel from which on its logits are started on a sample, about 17 million units: below, a pass is quicker on
/// a machine than the sums of third order that save it (decision 21).
const LEAST_STARTED: usize = 2048;

impl Plan {
    /// Plans a specification over a panel. Factor levels are counted over the sample, and their indices replace the
    /// values in the shards.
    ///
    /// # Errors
    /// A sample that is empty or too small, specifications without a valid cell, factors with too many levels, and
    /// shards that can't be read.
    pub fn new(panel: &mut Panel, spec: &RunSpec, formula: &Formula, threads: usize) -> Result<Self> {
        let sample = Sample::new(panel, spec, formula, threads).map_err(|e| panel.label_error(e))?;
        let levels = levels::encode_factors(panel, &sample.mask, &sample.periods, formula, threads)?;
        Self::with_levels(panel, spec, formula, sample, &levels)
    }

    /// Plans over a panel of counts alone; `levels` holds the number of levels of each factor.
    ///
    /// # Errors
    /// Those of [`Plan::new`], without reading shards.
    pub fn from_counts(
        panel: &mut Panel,
        spec: &RunSpec,
        formula: &Formula,
        levels: &HashMap<String, usize>,
    ) -> Result<Self> {
        let sample = Sample::new(panel, spec, formula, 1).map_err(|e| panel.label_error(e))?;
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
        let targets = Targets::new(panel, spec, &sample, &labels).map_err(|e| panel.label_error(e))?;
        let mut plan = Self::assemble(panel, spec, sample, labels, design, targets);
        plan.warnings.iter_mut().for_each(|warning| *warning = panel.label_periods(warning));
        plan.sample.calendar.clone_from(&panel.calendar);
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
        let intercept_only = design.columns.len() == 1 && intercept_of(&design).is_some();
        let triple = spec.pname.is_some();
        let Targets { cells, targets } = targets;
        let rules = nuisance_rules(panel, spec, &sample, intercept_only);
        let comparisons = ComparisonPlan::new(&targets, &rules);
        let plan = Self {
            sums: PlannedSums {
                gram_keys: comparisons.gram_keys(),
                stratum_columns: Vec::new(),
                stratum_parts: Vec::new(),
            },
            regression: PlannedRegression::of(spec, design, intercept_only),
            weights: PlannedWeights {
                weighted: spec.weightsname.is_some(),
                weight_factor: sample.weight_factor,
                share_weight: ShareWeight::of(sample.unbalanced, triple),
            },
            inference: PlannedInference::of(spec, sample.periods.len()),
            targets: PlannedTargets {
                centred: centred(&comparisons, cells.len(), sample.two_period),
                triple,
                two_period: sample.two_period,
                groups: groups_of(&cells),
                cells,
            },
            sample: PlannedSample {
                rows: panel.rows,
                strata: panel.strata.clone(),
                mask: sample.mask,
                unbalanced: sample.unbalanced,
                periods: sample.periods,
                period_labels,
                calendar: None,
                units: sample.units,
                n: sample.n,
                dropped: sample.dropped,
            },
            features: None,
            diagnostics: spec.diagnostics,
            source: SourceColumns::of(spec),
            model: sample.model,
            comparisons,
            warnings: sample.warnings,
        };
        plan.with_features()
    }

    /// Returns the estimates of each cell that has several, to be combined over control cohorts (FORMULAS §7.3).
    pub fn combined_estimates(&self) -> Vec<Vec<usize>> {
        let mut by_cell: Vec<Vec<usize>> = vec![Vec::new(); self.targets.cells.len()];
        for (estimate, &cell) in self.comparisons.estimates.iter().enumerate() {
            by_cell[cell].push(estimate);
        }
        by_cell.retain(|estimates| estimates.len() > 1);
        by_cell
    }

    /// Tells if the sums of a stage over the same rows are equal to those of another plan, so that one pass serves
    /// both.
    pub fn has_same_sums(&self, other: &Self, input: &StageInput) -> bool {
        let (own, others) = (&self.comparisons, &other.comparisons);
        let data = self.source.formula == other.source.formula
            && self.source.weights == other.source.weights
            && (matches!(input, StageInput::Propensity { .. })
                || self.source.outcome == other.source.outcome);
        let design = self.sample.mask == other.sample.mask
            && self.sample.periods == other.sample.periods
            && self.model == other.model
            && self.regression.design == other.regression.design
            && self.regression.standardization == other.regression.standardization
            && self.regression.outcome_center == other.regression.outcome_center
            && self.weights.weight_factor == other.weights.weight_factor
            && own.frames == others.frames;
        let strata = match input {
            StageInput::Gram => self.sums.gram_keys == other.sums.gram_keys,
            StageInput::Starts { .. } => {
                self.sums.gram_keys == other.sums.gram_keys && self.start_keys() == other.start_keys()
            }
            // Plans know the number of cluster variables and not which they are.
            StageInput::Features { clusters, .. } => {
                clusters.is_none()
                    && self.sums.gram_keys == other.sums.gram_keys
                    && self.features == other.features
                    && self.weights.share_weight == other.weights.share_weight
                    && (self.inference.seed, self.inference.multiplier)
                        == (other.inference.seed, other.inference.multiplier)
            }
            StageInput::Propensity { .. }
            | StageInput::Closing { .. }
            | StageInput::Moments { .. }
            | StageInput::Overlap { .. } => own.sets == others.sets && own.logits == others.logits,
            StageInput::Omega { .. } | StageInput::Survey(_) | StageInput::Influence { .. } => false,
        };
        data && design && strata
    }

    /// Tells by pair of stratum and frame whether a logit has rows of it.
    pub fn start_keys(&self) -> Vec<bool> {
        let mut out = vec![false; self.sums.gram_keys.len()];
        for logit in &self.comparisons.logits {
            let strata = self.comparisons.sets[logit.controls].iter().chain([&logit.treated]);
            for &stratum in strata {
                let keys = logit.frames.iter().filter_map(|&frame| self.gram_key(stratum, frame));
                keys.for_each(|key| out[key] = true);
            }
        }
        out
    }

    /// Returns the sizes of the moments of a logit in a frame; `sloped`: with their derivatives.
    pub fn moments_shape(&self, sloped: bool) -> MomentsShape {
        MomentsShape {
            columns: self.design_column_count(),
            regressors: self.regressor_count(),
            periods: self.outcome_column_count(),
            sloped,
        }
    }

    /// Multiplies weights by `weight_factor`.
    pub fn scale_weights(&self, weights: &mut [f64]) {
        if self.weights.weight_factor != 1.0 {
            weights.iter_mut().for_each(|weight| *weight *= self.weights.weight_factor);
        }
    }

    /// Tells if rows of a segment enter a frame.
    pub fn segment_enters(&self, segment: &Segment, frame: usize) -> bool {
        match (segment.period, self.comparisons.frames[frame].rows) {
            (Some(own), Some(rows)) => self.sample.periods[rows] == own,
            _ => true,
        }
    }

    /// Returns the number of regressors.
    pub fn regressor_count(&self) -> usize {
        self.regression.design.columns.len()
    }

    /// Returns the number of design columns in a block: the regressors and, without an intercept, a column of ones.
    pub fn design_column_count(&self) -> usize {
        self.regressor_count() + usize::from(self.regression.standardization.intercept.is_none())
    }

    /// Returns the number of outcome columns in a block: one for each period in differences; two in levels, zeros and
    /// the outcome.
    pub fn outcome_column_count(&self) -> usize {
        if self.model == RowModel::Differences { self.sample.periods.len() } else { 2 }
    }

    /// Returns the index of the column of ones in the design.
    pub fn ones_column(&self) -> usize {
        self.regression.standardization.intercept.unwrap_or(self.regressor_count())
    }

    /// Returns the number of extended columns Ψ: ones, shares, cells.
    pub fn extended_column_count(&self) -> usize {
        1 + self.targets.groups.len() + self.targets.cells.len()
    }

    /// Returns the shape of the `Gram` sums.
    pub fn gram_shape(&self) -> GramShape {
        GramShape {
            columns: self.design_column_count(),
            periods: self.outcome_column_count(),
            weighted: self.weights.weighted,
        }
    }

    /// Returns the position of a pair (stratum, frame) among the keys of the `Gram` stage.
    pub fn gram_key(&self, stratum: usize, frame: usize) -> Option<usize> {
        self.sums.gram_keys.binary_search(&(stratum, frame)).ok()
    }
}

/// Index of the intercept among the design columns.
fn intercept_of(design: &Design) -> Option<usize> {
    design.columns.iter().position(|c| c.parts.is_empty())
}

/// Centres of 0 and scales of 1, which leave the design as it is.
fn no_standardization(design: &Design) -> Standardization {
    let count = design.columns.len();
    Standardization { center: vec![0.0; count], scale: vec![1.0; count], intercept: intercept_of(design) }
}

/// Rules by which comparisons get their nuisance estimates (FORMULAS §3).
fn nuisance_rules(panel: &Panel, spec: &RunSpec, sample: &Sample, intercept_only: bool) -> NuisanceRules {
    NuisanceRules {
        method: spec.est_method,
        model: sample.model,
        covariates_vary: panel.columns.atoms_vary,
        weights_vary: panel.columns.weights_vary,
        weighted: spec.weightsname.is_some(),
        unbalanced: sample.unbalanced,
        fix_weights: spec.fix_weights,
        guarded: spec.pname.is_none(),
        intercept_only,
    }
}

/// Groups of the cells, ascending.
fn groups_of(cells: &[Cell]) -> Vec<f64> {
    let mut groups: Vec<f64> = cells.iter().map(|c| c.group).collect();
    groups.dedup();
    groups
}

fn centred(comparisons: &ComparisonPlan, cells: usize, two_period: bool) -> Vec<bool> {
    let mut estimates = vec![0; cells];
    comparisons.estimates.iter().for_each(|&cell| estimates[cell] += 1);
    estimates.into_iter().map(|count| two_period || count > 1).collect()
}
