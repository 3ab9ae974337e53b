//! From a panel's counts to everything a run will compute: sample, design, cells, comparisons, columns (FORMULAS §1–§2).

use std::collections::BTreeMap;

use stagger_estimator::cells::{Cell, CellRules, cells};
use stagger_estimator::comparison::{ComparisonPlan, NuisanceRules};
use stagger_estimator::formula::{Design, Formula};
use stagger_estimator::influence::Role;
use stagger_estimator::linear::Standardization;
use stagger_estimator::multipliers::TwoPoint;
use stagger_estimator::options::EstMethod;
use stagger_estimator::outcome::GramShape;
use stagger_estimator::sample::{CohortRole, CohortTable, SampleRules, check_group_sizes, plan_sample};

use crate::error::{EngineError, Result};
use crate::levels;
use crate::panel::Panel;
use crate::parallel;
use crate::result::Dropped;
use crate::shard::{Segment, Shard};
use crate::spec::RunSpec;

/// Which units of a panel a specification uses: masks over strata and periods, so that shards stay the same for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleMask {
    /// Role of each raw cohort.
    pub roles: Vec<CohortRole>,
    /// Kept periods, as bits.
    pub periods: Vec<u64>,
}

impl SampleMask {
    /// Whether some unit of the segment can be used.
    pub fn uses(&self, segment: &Segment) -> bool {
        self.roles[segment.stratum] != CohortRole::Dropped
    }

    /// Whether a unit of a used segment is used: complete in every kept period.
    #[inline]
    pub fn complete(&self, shard: &Shard, row: usize) -> bool {
        shard
            .incomplete
            .as_ref()
            .is_none_or(|bits| bits.row(row).iter().zip(&self.periods).all(|(b, p)| b & p == 0))
    }
}

/// What a run computes.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Units used.
    pub mask: SampleMask,
    /// Kept periods, as indices into the panel's.
    pub periods: Vec<usize>,
    /// Their labels.
    pub period_labels: Vec<f64>,
    /// Used units of each raw cohort.
    pub units: Vec<u64>,
    /// Used units in all: n.
    pub n: u64,
    /// Estimated groups, ascending.
    pub groups: Vec<f64>,
    /// Cells in R's order.
    pub cells: Vec<Cell>,
    /// Comparisons and nuisances.
    pub comparisons: ComparisonPlan,
    /// (stratum, frame) pairs of the `Gram` stage, ascending.
    pub gram_keys: Vec<(usize, usize)>,
    /// Design columns.
    pub design: Design,
    /// Centres and scales of the design columns; set by the first stage.
    pub standardization: Standardization,
    /// Estimator, as computed: `reg` where the design is the intercept alone.
    pub method: EstMethod,
    /// The design is the intercept alone and the estimator has a propensity score: its guard is on the share of treated.
    pub guards_share: bool,
    /// A weight column is given.
    pub weighted: bool,
    /// Extended columns of each stratum: position and meaning.
    pub stratum_columns: Vec<Vec<(usize, Role)>>,
    /// Bootstrap draws by multipliers; 0 for none.
    pub draws: usize,
    /// Seed of the multipliers.
    pub seed: u64,
    /// Values of the multipliers.
    pub multiplier: TwoPoint,
    /// Cluster variables beyond the unit.
    pub cluster_variables: usize,
    /// What cleaning removed.
    pub dropped: Dropped,
    /// Warnings so far.
    pub warnings: Vec<String>,
    /// Simultaneous bands are possible (more than two periods).
    pub allows_band: bool,
}

impl Plan {
    /// Plans a specification over a panel. Factor levels are counted over the sample and replace their values in the shards.
    pub fn new(panel: &mut Panel, spec: &RunSpec, formula: &Formula, threads: usize) -> Result<Self> {
        check_weights(panel, spec)?;
        let mut warnings = Vec::new();
        if panel.cohortless_rows > 0 {
            warnings.push(format!(
                "{} rows have no value in `{}` and count as never treated",
                panel.cohortless_rows, spec.gname
            ));
        }
        let (mask, periods, sample_reasons) = sample(panel, spec, &mut warnings)?;
        let mut mask = mask;
        let units = count_units(panel, &mask, threads)?;
        for (role, &count) in mask.roles.iter_mut().zip(&units) {
            if count == 0 {
                *role = CohortRole::Dropped;
            }
        }
        let n: u64 = units.iter().sum();
        let dropped = count_dropped(panel, spec, &mask, &periods, n, sample_reasons, &mut warnings)?;
        let named = formula.variables().len();
        let sizes = check_group_sizes(&panel.cohorts, &mask.roles, &units, named, spec.control_group);
        warnings.extend(sizes.map_err(|e| input_error(&e, Some(e.hint().to_owned())))?);
        let levels = levels::encode(panel, &mask, &periods, formula, threads)?;
        let design = formula
            .design(&|name| levels.get(name).copied())
            .map_err(|e| input_error(&format!("xformla: {e}"), e.hint()))?;
        let period_labels: Vec<f64> = periods.iter().map(|&p| panel.periods[p]).collect();
        let cells = spec_cells(panel, spec, &mask, &period_labels)?;
        Ok(Self::assemble(
            panel,
            spec,
            Parts { mask, periods, period_labels, units, n, design, cells, dropped, warnings },
        ))
    }

    fn assemble(panel: &Panel, spec: &RunSpec, parts: Parts) -> Self {
        let Parts { mask, periods, period_labels, units, n, design, cells, dropped, warnings } = parts;
        let intercept = design.columns.iter().position(|c| c.parts.is_empty());
        let intercept_only = intercept.is_some() && design.columns.len() == 1;
        let rules = NuisanceRules {
            method: spec.est_method,
            covariates_vary: panel.atoms_vary,
            weights_vary: panel.weights_vary,
            weighted: spec.weightsname.is_some(),
            fix_weights: spec.fix_weights,
            intercept_only,
        };
        let last_clean: Vec<usize> = cells
            .iter()
            .map(|cell| last_clean_period(&period_labels, cell.group, spec.anticipation))
            .collect();
        let comparisons = ComparisonPlan::new(&cells, &last_clean, &rules);
        let mut groups: Vec<f64> = cells.iter().map(|c| c.group).collect();
        groups.dedup();
        let regressors = design.columns.len();
        let clusters = spec.clustervars.iter().filter(|c| **c != spec.idname).count();
        Self {
            gram_keys: comparisons.gram_keys(),
            stratum_columns: stratum_columns(&panel.cohorts, &mask.roles, &groups, &comparisons),
            standardization: Standardization {
                center: vec![0.0; regressors],
                scale: vec![1.0; regressors],
                intercept,
            },
            method: if intercept_only { EstMethod::Reg } else { spec.est_method },
            guards_share: intercept_only && spec.est_method != EstMethod::Reg,
            weighted: spec.weightsname.is_some(),
            draws: if spec.bstrap { spec.biters } else { 0 },
            seed: spec.seed,
            multiplier: TwoPoint::of(spec.multiplier),
            cluster_variables: clusters,
            allows_band: periods.len() > 2,
            mask,
            periods,
            period_labels,
            units,
            n,
            groups,
            cells,
            comparisons,
            design,
            dropped,
            warnings,
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
        GramShape { columns: self.design_columns(), periods: self.periods.len(), weighted: self.weighted }
    }

    /// Position of a (stratum, frame) pair among the `Gram` keys.
    pub fn gram_key(&self, stratum: usize, frame: usize) -> Option<usize> {
        self.gram_keys.binary_search(&(stratum, frame)).ok()
    }
}

struct Parts {
    mask: SampleMask,
    periods: Vec<usize>,
    period_labels: Vec<f64>,
    units: Vec<u64>,
    n: u64,
    design: Design,
    cells: Vec<Cell>,
    dropped: Dropped,
    warnings: Vec<String>,
}

/// An input error from an error of the estimator.
pub(crate) fn input_error(error: &dyn std::fmt::Display, hint: Option<String>) -> EngineError {
    let out = EngineError::input(error.to_string());
    match hint {
        Some(hint) => out.with_hint(hint),
        None => out,
    }
}

fn check_weights(panel: &Panel, spec: &RunSpec) -> Result<()> {
    let Some(name) = &spec.weightsname else { return Ok(()) };
    if panel.census.least_weight < 0.0 {
        return Err(EngineError::input(format!(
            "the weights in `{name}` go down to {}",
            panel.census.least_weight
        ))
        .with_hint("sampling weights can't be negative"));
    }
    if panel.census.least_weight.is_finite() && panel.census.weight <= 0.0 {
        return Err(EngineError::input(format!(
            "the mean of the weights in `{name}` is {}",
            panel.census.weight
        ))
        .with_hint("at least some weights must be positive"));
    }
    Ok(())
}

type SampleOutcome = (SampleMask, Vec<usize>, Vec<(String, u64)>);

fn sample(panel: &Panel, spec: &RunSpec, warnings: &mut Vec<String>) -> Result<SampleOutcome> {
    let all = panel.periods.len();
    let complete = |cohort: usize, period: usize| panel.census.complete[cohort * all + period];
    let observed: Vec<usize> =
        (0..all).filter(|&p| (0..panel.cohorts.len()).any(|c| complete(c, p) > 0)).collect();
    if observed.is_empty() {
        return Err(EngineError::input(format!("no row of {} is complete", panel.input_rows))
            .with_hint("every row has a missing value in some needed column"));
    }
    let table = CohortTable {
        periods: observed.iter().map(|&p| panel.periods[p]).collect(),
        cohorts: panel.cohorts.clone(),
        rows: (0..panel.cohorts.len()).map(|c| observed.iter().map(|&p| complete(c, p)).collect()).collect(),
        units: panel.census.units.clone(),
    };
    let rules = SampleRules { control_group: spec.control_group, anticipation: spec.anticipation };
    let planned = plan_sample(&table, &rules).map_err(|e| input_error(&e, Some(e.hint().to_owned())))?;
    warnings.extend(planned.warnings);
    let periods: Vec<usize> = planned.periods.iter().map(|&p| observed[p]).collect();
    let mut bits = vec![0u64; all.div_ceil(64)];
    for &period in &periods {
        bits[period / 64] |= 1 << (period % 64);
    }
    Ok((SampleMask { roles: planned.roles, periods: bits }, periods, planned.dropped_rows))
}

fn count_units(panel: &Panel, mask: &SampleMask, threads: usize) -> Result<Vec<u64>> {
    let counts = parallel::map(threads, panel.shards.len(), |index| {
        let shard = &panel.shards[index];
        let mut counts = vec![0u64; panel.cohorts.len()];
        for segment in shard.segments.iter().filter(|s| mask.uses(s)) {
            let rows = segment.start..segment.start + segment.units;
            counts[segment.stratum] += match shard.incomplete {
                None => segment.units as u64,
                Some(_) => rows.filter(|&row| mask.complete(shard, row)).count() as u64,
            };
        }
        Ok(counts)
    })?;
    let mut total = vec![0u64; panel.cohorts.len()];
    for counts in counts {
        total.iter_mut().zip(counts).for_each(|(t, c)| *t += c);
    }
    Ok(total)
}

fn count_dropped(
    panel: &Panel,
    spec: &RunSpec,
    mask: &SampleMask,
    periods: &[usize],
    n: u64,
    sample_reasons: Vec<(String, u64)>,
    warnings: &mut Vec<String>,
) -> Result<Dropped> {
    let all = panel.periods.len();
    let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
    let present: u64 = panel.census.present.iter().sum();
    let complete: u64 = panel.census.complete.iter().sum();
    if panel.keyless_rows > 0 {
        reasons.insert("missing unit or period".into(), panel.keyless_rows);
    }
    let missing = present - complete;
    if missing > 0 {
        reasons.insert("missing or infinite values".into(), missing);
    }
    if missing + panel.keyless_rows > 0 {
        warnings.push(format!(
            "dropped {} rows from the original data due to missing values",
            missing + panel.keyless_rows
        ));
    }
    for (reason, rows) in sample_reasons {
        *reasons.entry(reason).or_default() += rows;
    }
    let eligible: u64 = (0..panel.cohorts.len())
        .filter(|&c| mask.roles[c] != CohortRole::Dropped)
        .flat_map(|c| periods.iter().map(move |&p| panel.census.complete[c * all + p]))
        .sum();
    let incomplete = eligible.saturating_sub(n * periods.len() as u64);
    if incomplete > 0 && spec.allow_unbalanced_panel {
        return Err(EngineError::input(format!(
            "the panel is unbalanced ({incomplete} rows of units that miss periods), and allow_unbalanced_panel = true is not supported yet"
        ))
        .with_hint("--allow-unbalanced-panel false drops the units that miss periods"));
    }
    if incomplete > 0 {
        let units: u64 = (0..panel.cohorts.len())
            .filter(|&c| mask.roles[c] != CohortRole::Dropped)
            .map(|c| panel.census.units[c])
            .sum::<u64>()
            .saturating_sub(n);
        warnings
            .push(format!("dropped {units} units ({incomplete} rows) that are not observed in every period"));
        reasons.insert("units not observed in every period".into(), incomplete);
    }
    Ok(Dropped { rows: panel.input_rows - n * periods.len() as u64, units: panel.units - n, reasons })
}

fn spec_cells(panel: &Panel, spec: &RunSpec, mask: &SampleMask, periods: &[f64]) -> Result<Vec<Cell>> {
    let cohorts: Vec<(f64, CohortRole)> =
        panel.cohorts.iter().copied().zip(mask.roles.iter().copied()).collect();
    let rules = CellRules {
        control_group: spec.control_group,
        base_period: spec.base_period,
        anticipation: spec.anticipation,
    };
    let found = cells(periods, &cohorts, &rules);
    if found.is_empty() {
        return Err(EngineError::input(
            "no valid groups: no cohort is treated within the periods that are left",
        )
        .with_hint("gname must hold the first treated period of each unit, 0 for never treated"));
    }
    Ok(found)
}

fn last_clean_period(periods: &[f64], group: f64, anticipation: f64) -> usize {
    periods.iter().rposition(|&t| t + anticipation < group).unwrap_or(0)
}

/// Which extended columns the units of each stratum enter.
fn stratum_columns(
    cohorts: &[f64],
    roles: &[CohortRole],
    groups: &[f64],
    plan: &ComparisonPlan,
) -> Vec<Vec<(usize, Role)>> {
    (0..cohorts.len())
        .map(|stratum| {
            if roles[stratum] == CohortRole::Dropped {
                return Vec::new();
            }
            let mut columns = vec![(0, Role::Ones)];
            if roles[stratum] == CohortRole::Estimated
                && let Some(group) = groups.iter().position(|&g| g == cohorts[stratum])
            {
                columns.push((1 + group, Role::Share));
            }
            for (comparison, c) in plan.comparisons.iter().enumerate() {
                let column = 1 + groups.len() + c.cell;
                if c.treated == stratum {
                    columns.push((column, Role::Treated { comparison }));
                } else if plan.controls(c.control_set, stratum) {
                    columns.push((column, Role::Control { comparison }));
                }
            }
            columns
        })
        .collect()
}
