//! The columns that specifications read, by role.

use std::collections::BTreeMap;

use arrow_array::ArrayRef;
use serde::{Deserialize, Serialize};
use stagger_estimator::formula::Atom;
use stagger_model::csv_options::{ColumnRole, ColumnSelection};
use stagger_model::error::{Result, name_specifications};
use stagger_model::parallel::available_cores;
use stagger_model::spec::MissingCohort;
use stagger_model::spec_check::CheckedSpec;
use stagger_records::{ColumnKind, KeyKind, LevelKind, Source, with_f64};

use crate::load::PeriodScale;

/// Names of the columns that the specifications read, by role.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Columns {
    /// Unit; empty in cross sections.
    pub id: String,
    /// Period.
    pub time: String,
    /// Cohort: the first treated period.
    pub group: String,
    /// Eligibility of triple differences.
    pub eligibility: Option<String>,
    /// Treatment of rows without a cohort.
    #[serde(default)]
    pub missing_cohort: MissingCohort,
    /// Outcomes of all specifications.
    pub outcomes: Vec<String>,
    /// Raw columns of the formulas.
    pub covariates: Vec<Covariate>,
    /// Weights of all specifications.
    pub weights: Vec<String>,
    /// Cluster columns other than the unit, each with its position among its specification's cluster variables.
    pub clusters: Vec<(String, usize)>,
    /// Comparison of the identifiers of units and clusters, by column.
    #[serde(default)]
    pub kinds: BTreeMap<String, KeyKind>,
    /// Conversion of periods and cohorts to numbers.
    #[serde(default)]
    pub scale: PeriodScale,
}

/// Adds an item to a list that does not have it.
pub fn insert<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// A raw column of a formula.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Covariate {
    /// Name of the column.
    pub name: String,
    /// True if its values are text, or numbers of too many digits that are kept as text.
    pub text: bool,
    /// True if they are such numbers.
    #[serde(default)]
    pub code: bool,
}

impl Columns {
    /// Resolves the columns of all specifications in a source.
    ///
    /// # Errors
    /// A column that is missing or of a type that its role does not allow.
    pub fn resolve(all: &[CheckedSpec], source: &Source) -> Result<Self> {
        let mut columns = Self::default();
        for wanted in all {
            columns.add(wanted, source).map_err(|e| name_specifications(e, &[wanted.name()]))?;
        }
        if let Some(first) = all.first() {
            let names = (columns.time.as_str(), columns.group.as_str());
            columns.scale = PeriodScale::detect(source, names, first.spec.tunit, available_cores())?;
        }
        Ok(columns)
    }

    fn add(&mut self, wanted: &CheckedSpec, source: &Source) -> Result<()> {
        let spec = &wanted.spec;
        if spec.panel {
            self.keys("idname", &spec.idname, source)?;
        }
        source.period_type("tname", &spec.tname)?;
        source.period_type("gname", &spec.gname)?;
        if spec.yname != spec.tname {
            source.require_number("yname", &spec.yname)?;
        }
        if let Some(eligibility) = &spec.pname {
            source.require_number("pname", eligibility)?;
        }
        if let Some(weight) = &spec.weightsname {
            source.require_number("weightsname", weight)?;
            insert(&mut self.weights, weight.clone());
        }
        let clusters = wanted.clusters();
        for cluster in &clusters {
            self.keys("clustervars", cluster, source)?;
        }
        for atom in wanted.formula.atoms() {
            self.covariates(atom, source)?;
        }
        for (dimension, cluster) in clusters.into_iter().enumerate() {
            insert(&mut self.clusters, (cluster, dimension));
        }
        insert(&mut self.outcomes, spec.yname.clone());
        self.id.clone_from(&spec.idname);
        self.time.clone_from(&spec.tname);
        self.group.clone_from(&spec.gname);
        self.eligibility.clone_from(&spec.pname);
        self.missing_cohort = spec.missing_cohort;
        Ok(())
    }

    fn keys(&mut self, argument: &str, column: &str, source: &Source) -> Result<()> {
        let kind = source.key_kind(argument, column)?;
        self.kinds.insert(column.to_owned(), kind);
        Ok(())
    }

    /// Returns the comparison of a column's identifiers.
    pub fn kind(&self, column: &str) -> KeyKind {
        self.kinds.get(column).copied().unwrap_or_default()
    }

    /// Calls `each` with a column's values as numbers; those of the period column are periods.
    pub fn numbers<T>(
        &self,
        array: &ArrayRef,
        column: &str,
        scratch: &mut Vec<f64>,
        each: impl FnOnce(&[f64]) -> Result<T>,
    ) -> Result<T> {
        if column == self.time {
            self.scale.with_periods(array, column, scratch, each)
        } else {
            with_f64(array, column, scratch, each)
        }
    }

    /// Adds the columns of an atom in the form that it reads: numbers or levels.
    fn covariates(&mut self, atom: &Atom, source: &Source) -> Result<()> {
        let names = match atom {
            Atom::Factor(name) => {
                let levels = source.level_kind("xformla", name)?;
                let (text, code) = (levels != LevelKind::Number, levels == LevelKind::Code);
                insert(&mut self.covariates, Covariate { name: name.clone(), text, code });
                return Ok(());
            }
            Atom::Numeric(expression) => expression.columns(),
        };
        for name in names {
            let text = source.variable_kind("xformla", name)? == ColumnKind::Text;
            insert(&mut self.covariates, Covariate { name: name.to_owned(), text, code: false });
        }
        Ok(())
    }
}

/// Returns the columns that the specifications read, each with its role, and the settings of CSV files.
pub fn select_columns(all: &[CheckedSpec]) -> ColumnSelection {
    let mut out = ColumnSelection::default();
    for CheckedSpec { spec, formula, .. } in all {
        out.csv.clone_from(&spec.csv);
        out.records.clone_from(&spec.records);
        let keys = spec.clustervars.iter().chain([&spec.idname]).filter(|name| !name.is_empty());
        keys.for_each(|name| out.add(name, ColumnRole::Key));
        let numbers =
            [&spec.tname, &spec.gname, &spec.yname].into_iter().chain(&spec.weightsname).chain(&spec.pname);
        numbers.for_each(|name| out.add(name, ColumnRole::Number));
        for atom in formula.atoms() {
            match atom {
                Atom::Factor(name) => out.add(name, ColumnRole::Level),
                Atom::Numeric(expression) => {
                    expression.columns().into_iter().for_each(|name| out.add(name, ColumnRole::Number));
                }
            }
        }
    }
    out
}

/// Returns the names of the columns that the specifications read, sorted, each once.
pub fn needed_columns(all: &[CheckedSpec]) -> Vec<String> {
    let mut names = Vec::new();
    for CheckedSpec { spec, formula, .. } in all {
        let keys = [&spec.idname, &spec.tname, &spec.gname, &spec.yname];
        names.extend(keys.into_iter().filter(|name| !name.is_empty()).cloned());
        names.extend(spec.clustervars.iter().chain(&spec.weightsname).chain(&spec.pname).cloned());
        names.extend(formula.variables());
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// Returns the same names as [`needed_columns`] for columns that are resolved.
pub fn resolved_names(columns: &Columns) -> Vec<String> {
    let Columns { id, time, group, eligibility, outcomes, covariates, weights, clusters, .. } = columns;
    let keys = [id, time, group].into_iter().filter(|name| !name.is_empty());
    let mut names: Vec<String> = keys.chain(eligibility).chain(outcomes).chain(weights).cloned().collect();
    names.extend(covariates.iter().map(|covariate| covariate.name.clone()));
    names.extend(clusters.iter().map(|(name, _)| name.clone()));
    names.sort_unstable();
    names.dedup();
    names
}
