//! Sample of a specification: the rows and units that it uses (FORMULAS §1), chosen from the census.

use std::collections::BTreeMap;

use stagger_estimator::comparison::RowModel;
use stagger_estimator::formula::Formula;
use stagger_estimator::options::FixWeights;
use stagger_estimator::sample::{CohortRole, CohortTable, SampleRules, check_group_sizes, plan_sample};
use stagger_model::error::{Result, StaggerError, input_error};
use stagger_model::result::{Dropped, MissingValues};
use stagger_model::spec::{MissingCohort, RunSpec};
use stagger_panel::load::treatment;
use stagger_panel::panel::Panel;
use stagger_panel::sample_mask::SampleMask;
use stagger_panel::strata::RowKind;
use stagger_panel::survey::{Counts, Survey};

use super::balance::Balance;
use super::{missing, weights};

/// Smallest number of units in a sub-group of a two-period triple difference (FORMULAS §7.2).
const SUBGROUP_UNITS: u64 = 5;

/// The sample of a specification.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    /// Units that are used.
    pub mask: SampleMask,
    /// Kept periods, as indices into the panel's.
    pub periods: Vec<usize>,
    /// Form in which outcomes enter.
    pub model: RowModel,
    /// True if some used unit is not observed in some kept period.
    pub unbalanced: bool,
    /// Number of used units in each stratum.
    pub units: Vec<u64>,
    /// Number of used units.
    pub n: u64,
    /// True for triple differences of two groups and two periods.
    pub two_period: bool,
    /// Cohorts before balancing, and the rows that it removed.
    pub(super) balance: Balance,
    /// Factor of the weights, a power of two.
    pub weight_factor: f64,
    /// Rows and units that are left out, with reasons.
    pub dropped: Dropped,
    /// Warnings about the sample.
    pub warnings: Vec<String>,
}

impl Sample {
    /// Chooses the sample of a specification.
    ///
    /// # Errors
    /// Weights out of range, an empty sample, a sample without control or treated units, and groups that are too small.
    pub(super) fn new(panel: &mut Panel, spec: &RunSpec, formula: &Formula, threads: usize) -> Result<Self> {
        let weight_factor = weights::factor(panel, spec)?;
        let mut warnings = panel.source.remarks.notes.clone();
        if panel.counts.cohortless_rows > 0 {
            warnings.push(format!(
                "{} rows have no value in `{}` and count as never treated; --missing-cohort drop leaves them out, as R does",
                panel.counts.cohortless_rows, spec.gname
            ));
        }
        warnings.extend(read_treatment_dummy(panel, spec));
        let raw = distinct_cohorts(panel);
        let two_period = spec.pname.is_some() && panel.periods.len() == 2 && raw.len() == 2;
        let (mask, periods, mut reasons) = clean(panel, spec, &mut warnings)?;
        let mut sample = Sample {
            balance: Balance::of(panel, &mask, &periods),
            mask,
            periods,
            model: RowModel::Differences,
            unbalanced: false,
            units: Vec::new(),
            n: 0,
            two_period,
            weight_factor,
            dropped: Dropped::default(),
            warnings,
        };
        sample.choose_model(panel, spec, threads)?;
        sample.warnings.extend(missing::variation(panel, formula, sample.model));
        let located = sample.warn_of_missing_rows(panel, spec, formula);
        sample.settle_balance(panel, spec, &mut reasons)?;
        sample.count_dropped(panel, spec, reasons, located);
        sample.check_sizes(panel, spec, formula.variables().len())?;
        Ok(sample)
    }

    /// Chooses the row model by the rule of FORMULAS §1.6, and counts the units of each stratum.
    fn choose_model(&mut self, panel: &Panel, spec: &RunSpec, threads: usize) -> Result<()> {
        self.mask.whole = !spec.allow_unbalanced_panel;
        self.units = count_units(panel, &self.mask, threads)?;
        for (role, &count) in self.mask.roles.iter_mut().zip(&self.units) {
            if count == 0 {
                *role = CohortRole::Dropped;
            }
        }
        self.n = self.units.iter().sum();
        if panel.rows == RowKind::Observation {
            self.model = RowModel::Levels;
            return Ok(());
        }
        self.unbalanced = !self.mask.whole && self.complete_rows(panel) < self.n * self.periods.len() as u64;
        if self.unbalanced {
            self.model = RowModel::Levels;
            self.warnings.push(
                "the panel is unbalanced: rows are estimated as repeated cross sections and summed by unit"
                    .into(),
            );
            let fixed = match spec.fix_weights {
                Some(FixWeights::BasePeriod) => Some("in the base period of a cell are left out of the cell"),
                Some(FixWeights::FirstPeriod) => Some("in the first period are left out"),
                _ => None,
            };
            self.warnings
                .extend(fixed.map(|what| format!("fix_weights: units that were not observed {what}")));
        } else {
            self.mask.whole = true;
            if spec.fix_weights == Some(FixWeights::Varying) {
                self.model = RowModel::LevelsEarlierCovariates;
            }
        }
        Ok(())
    }

    /// Number of complete rows in the kept strata and periods.
    fn complete_rows(&self, panel: &Panel) -> u64 {
        let all = panel.periods.len();
        (0..panel.strata.len())
            .filter(|&s| self.mask.roles[s] != CohortRole::Dropped)
            .flat_map(|s| self.periods.iter().map(move |&p| panel.counts.census.complete[s * all + p]))
            .sum()
    }

    /// Number of rows that the estimates use.
    fn used_rows(&self, panel: &Panel) -> u64 {
        match (panel.rows, self.unbalanced) {
            (RowKind::Unit, false) => self.n * self.periods.len() as u64,
            _ => self.complete_rows(panel),
        }
    }

    /// Warns of rows without values; returns their columns and places.
    fn warn_of_missing_rows(
        &mut self,
        panel: &Panel,
        spec: &RunSpec,
        formula: &Formula,
    ) -> Vec<MissingValues> {
        let located = missing::located(panel, spec, formula);
        let rows = missing_rows(panel) + panel.counts.keyless_rows;
        if rows > 0 {
            self.warnings.push(format!(
                "dropped {rows} rows from the original data due to missing values{}",
                missing::sentence(&located)
            ));
        }
        located
    }

    fn count_dropped(
        &mut self,
        panel: &Panel,
        spec: &RunSpec,
        sample_reasons: Vec<(String, u64)>,
        located: Vec<MissingValues>,
    ) {
        let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
        let missing = missing_rows(panel);
        let keyless = keyless(spec, panel.rows);
        if panel.counts.keyless_rows > 0 {
            reasons.insert(keyless, panel.counts.keyless_rows);
        }
        if missing > 0 {
            reasons.insert("missing or infinite values".into(), missing);
        }
        for (reason, rows) in sample_reasons {
            *reasons.entry(reason).or_default() += rows;
        }
        let used = self.used_rows(panel);
        if self.balance.rows > 0 {
            reasons.insert("units not observed in every period".into(), self.balance.rows);
        }
        self.dropped = Dropped {
            rows: panel.counts.input_rows - used,
            units: panel.counts.units - self.n,
            reasons,
            missing: located,
        };
    }

    /// Checks the sizes of groups (FORMULAS §1.8, §7.2) and of the sub-groups of triple differences.
    fn check_sizes(&mut self, panel: &Panel, spec: &RunSpec, named: usize) -> Result<()> {
        let raw = distinct_cohorts(panel);
        let rows_of = |cohort: f64, counts: &dyn Fn(usize) -> u64| -> u64 {
            strata_of(panel, cohort)
                .into_iter()
                .filter(|&s| self.mask.roles[s] != CohortRole::Dropped)
                .map(counts)
                .sum()
        };
        let all = panel.periods.len();
        let levels = self.model == RowModel::Levels;
        let complete = |s: usize| -> u64 {
            self.periods.iter().map(|&p| panel.counts.census.complete[s * all + p]).sum()
        };
        // Where units are not observed in every period, or there are no units, the size of a group is its rows divided
        // by the number of periods.
        let sizes: Vec<u64> = raw
            .iter()
            .map(|&cohort| {
                if !levels {
                    return rows_of(cohort, &|s| self.units[s]);
                }
                let rows = rows_of(cohort, &complete);
                (rows / self.periods.len() as u64).max(u64::from(rows > 0))
            })
            .collect();
        let roles: Vec<CohortRole> = raw.iter().map(|&cohort| self.role_of(panel, cohort)).collect();
        let warnings = check_group_sizes(&raw, &roles, &sizes, named, spec.control_group)
            .map_err(|e| input_error(&e, e.hint()))?;
        if self.two_period
            && let Some(warning) = warnings.first()
        {
            let hint = (named > 0).then(|| "fewer covariates in --xformla".to_owned());
            return Err(input_error(&format!("a group is too small: {warning}"), hint));
        }
        self.warnings.extend(warnings);
        if spec.pname.is_some() { self.check_subgroups(panel, &raw) } else { Ok(()) }
    }

    pub(super) fn role_of(&self, panel: &Panel, cohort: f64) -> CohortRole {
        strata_of(panel, cohort)
            .into_iter()
            .map(|s| self.mask.roles[s])
            .find(|role| *role != CohortRole::Dropped)
            .unwrap_or(CohortRole::Dropped)
    }

    fn check_subgroups(&self, panel: &Panel, cohorts: &[f64]) -> Result<()> {
        let least = if self.two_period { SUBGROUP_UNITS } else { 1 };
        for &cohort in cohorts {
            if matches!(self.role_of(panel, cohort), CohortRole::Dropped | CohortRole::Bystander) {
                continue;
            }
            for eligible in [true, false] {
                let units: u64 = strata_of(panel, cohort)
                    .into_iter()
                    .filter(|&s| panel.strata[s].eligible == eligible)
                    .map(|s| self.units[s])
                    .sum();
                if units < least {
                    let group =
                        if cohort.is_infinite() { "never treated".to_owned() } else { cohort.to_string() };
                    let kind = if eligible { "eligible" } else { "ineligible" };
                    let lost = self.lost_in_balancing(panel, cohort, eligible);
                    let hint = if lost.is_empty() {
                        "triple differences compare eligible with ineligible units in every cohort"
                    } else {
                        "--allow-unbalanced-panel true keeps units that miss some periods"
                    };
                    return Err(StaggerError::input(format!(
                        "the sub-group of cohort {group} and {kind} units has {units} units{lost}, at least {least} are needed"
                    ))
                    .with_hint(hint));
                }
            }
        }
        Ok(())
    }
}

/// Number of input rows with a missing value.
fn missing_rows(panel: &Panel) -> u64 {
    let sum = |counts: &[u64]| counts.iter().sum::<u64>();
    sum(&panel.counts.census.present) - sum(&panel.counts.census.complete)
}

/// Names the key columns whose missing values cost a row its place in the panel.
fn keyless(spec: &RunSpec, rows: RowKind) -> String {
    let of = [
        (rows == RowKind::Unit, "unit"),
        (true, "period"),
        (spec.missing_cohort == MissingCohort::Drop, "cohort"),
        (spec.pname.is_some(), "eligibility"),
    ];
    let names: Vec<&str> = of.into_iter().filter_map(|(needed, name)| needed.then_some(name)).collect();
    match names.as_slice() {
        [several @ .., last] if !several.is_empty() => format!("missing {} or {last}", several.join(", ")),
        _ => "missing period".to_owned(),
    }
}

/// Returns the distinct cohorts in the data, ascending.
pub(super) fn distinct_cohorts(panel: &Panel) -> Vec<f64> {
    let mut all: Vec<f64> = panel.strata.iter().map(|s| s.cohort).collect();
    all.dedup();
    all
}

/// Returns the strata of a cohort.
pub(super) fn strata_of(panel: &Panel, cohort: f64) -> Vec<usize> {
    (0..panel.strata.len()).filter(|&s| panel.strata[s].cohort == cohort).collect()
}

/// Reads a treatment indicator in place of the cohort where there are two periods, as R `drdid` and two-period `ddd`
/// do: treated units are then treated in the later period. A 1 that is itself a period is a cohort, except in triple
/// differences, whose reference reads indicators on periods 1 and 2.
fn read_treatment_dummy(panel: &mut Panel, spec: &RunSpec) -> Option<String> {
    let ([first, later], [treated, never]) =
        (panel.periods[..].try_into().ok()?, <[f64; 2]>::try_from(distinct_cohorts(panel)).ok()?);
    let (first, later): (f64, f64) = (first, later);
    let indicator = treated == 1.0 && (spec.pname.is_some() || treated != first);
    if !(never.is_infinite() && treated <= first && indicator) {
        return None;
    }
    for stratum in panel.strata.iter_mut().filter(|s| s.cohort == treated) {
        stratum.cohort = later;
    }
    let other = if treated == first {
        "leave those units out".to_owned()
    } else {
        format!("give them the cohort {first}")
    };
    Some(format!(
        "`{}` holds 0 and 1, and there are two periods, {first} and {later}: read as a treatment indicator, treated in \
         {later}; if 1 stands for units treated from period {first} on, {other}: they have no untreated period",
        spec.gname
    ))
}

type Cleaned = (SampleMask, Vec<usize>, Vec<(String, u64)>);

fn clean(panel: &Panel, spec: &RunSpec, warnings: &mut Vec<String>) -> Result<Cleaned> {
    let all = panel.periods.len();
    let complete = |stratum: usize, period: usize| panel.counts.census.complete[stratum * all + period];
    let observed: Vec<usize> =
        (0..all).filter(|&p| (0..panel.strata.len()).any(|s| complete(s, p) > 0)).collect();
    if observed.is_empty() {
        return Err(StaggerError::input(format!("no row of {} is complete", panel.counts.input_rows))
            .with_hint("every row has a missing value in some needed column"));
    }
    let raw = distinct_cohorts(panel);
    let sum = |cohort: f64, of: &dyn Fn(usize) -> u64| strata_of(panel, cohort).into_iter().map(of).sum();
    let table = CohortTable {
        periods: observed.iter().map(|&p| panel.periods[p]).collect(),
        rows: raw
            .iter()
            .map(|&cohort| observed.iter().map(|&p| sum(cohort, &|s| complete(s, p))).collect())
            .collect(),
        units: raw.iter().map(|&cohort| sum(cohort, &|s| panel.counts.census.units[s])).collect(),
        cohorts: raw.clone(),
    };
    let planned = plan_sample(&table, &rules(panel, spec)).map_err(|e| {
        treatment::explain_constant_indicator(panel, spec, &e.to_string())
            .unwrap_or_else(|| input_error(&e, e.hint()))
    })?;
    warnings.extend(planned.warnings);
    let periods: Vec<usize> = planned.periods.iter().map(|&p| observed[p]).collect();
    let bits = bits_of(&periods, all);
    let role = |cohort: f64| {
        raw.iter().position(|&known| known == cohort).map_or(CohortRole::Dropped, |i| planned.roles[i])
    };
    let roles = panel.strata.iter().map(|s| role(s.cohort)).collect();
    let mask = SampleMask { roles, needed: bits.clone(), periods: bits, whole: true };
    Ok((mask, periods, planned.dropped_rows))
}

pub(super) fn rules(panel: &Panel, spec: &RunSpec) -> SampleRules {
    let triple = spec.pname.is_some();
    SampleRules {
        control_group: spec.control_group,
        anticipation: spec.anticipation,
        needs_never_treated: triple,
        keeps_already_treated: triple && panel.rows == RowKind::Observation,
    }
}

/// Some of `all` periods as bits.
pub(super) fn bits_of(periods: &[usize], all: usize) -> Vec<u64> {
    let mut bits = vec![0u64; all.div_ceil(64)];
    for &period in periods {
        bits[period / 64] |= 1 << (period % 64);
    }
    bits
}

/// Number of used units where no row lacks a value: that of the census.
fn whole_units(panel: &Panel, mask: &SampleMask) -> Vec<u64> {
    let periods = panel.periods.len();
    let kept = |period: &usize| mask.periods[period / 64] >> (period % 64) & 1 == 1;
    let count = |stratum: usize| match (mask.roles[stratum], panel.rows) {
        (CohortRole::Dropped, _) => 0,
        (_, RowKind::Unit) => panel.counts.census.units[stratum],
        (_, RowKind::Observation) => {
            let rows = &panel.counts.census.complete[stratum * periods..(stratum + 1) * periods];
            (0..periods).filter(kept).map(|period| rows[period]).sum()
        }
    };
    (0..panel.strata.len()).map(count).collect()
}

fn count_units(panel: &Panel, mask: &SampleMask, threads: usize) -> Result<Vec<u64>> {
    if panel.has_no_gaps() {
        return Ok(whole_units(panel, mask));
    }
    match panel.survey(threads, &Survey::Units { mask: mask.clone() })? {
        Counts::Units(counts) => Ok(counts),
        _ => Err(StaggerError::failed("units were not counted")),
    }
}
