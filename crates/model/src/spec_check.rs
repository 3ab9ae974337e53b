//! Refusal of arguments that are missing, out of range or contradictory.

use stagger_estimator::formula::{self, Formula};
use stagger_estimator::options::FixWeights;

use crate::error::{Result, StaggerError, input_error, name_specifications};
use crate::spec::RunSpec;

/// The largest number of draws. More would not improve a standard error: its Monte Carlo error is 1.17/√B (FORMULAS
/// §5).
const MOST_DRAWS: usize = 1_000_000_000;

/// A specification whose arguments were checked, with its parsed formula. It is owned, so that one value goes with a run
/// from its arguments to its result.
#[derive(Clone, Debug)]
pub struct CheckedSpec {
    name: Option<String>,
    /// The specification.
    pub spec: RunSpec,
    /// Its parsed formula.
    pub formula: Formula,
}

impl CheckedSpec {
    /// Checks a specification; `name` tells it from others.
    ///
    /// # Errors
    /// Arguments that are missing, out of range or contradictory, in the context of the name.
    pub fn new(name: Option<&str>, spec: RunSpec) -> Result<Self> {
        let formula = check_spec(&spec).map_err(|e| name_specifications(e, &[name]))?;
        Ok(Self { name: name.map(str::to_owned), spec, formula })
    }

    /// Completes specifications one after the other, as a prepared store knows some of their columns, then checks them.
    ///
    /// # Errors
    /// Those of `complete` and of [`Self::new`], in the context of the name.
    pub fn complete_all(
        specs: &[(Option<&str>, &RunSpec)],
        complete: impl Fn(&RunSpec) -> Result<RunSpec>,
    ) -> Result<Vec<Self>> {
        let completed = specs
            .iter()
            .map(|&(name, spec)| Ok((name, complete(spec).map_err(|e| name_specifications(e, &[name]))?)))
            .collect::<Result<Vec<_>>>()?;
        completed.into_iter().map(|(name, spec)| Self::new(name, spec)).collect()
    }

    /// Checks specifications that name all their columns.
    ///
    /// # Errors
    /// Those of [`Self::new`].
    pub fn check_all(specs: &[(Option<&str>, &RunSpec)]) -> Result<Vec<Self>> {
        specs.iter().map(|&(name, spec)| Self::new(name, spec.clone())).collect()
    }

    /// Returns the name among several specifications; `None` for a single one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the cluster variables other than the unit.
    pub fn clusters(&self) -> Vec<String> {
        self.spec.clustervars.iter().filter(|c| **c != self.spec.idname).cloned().collect()
    }

    /// Tells if two specifications find the same units and periods in the same rows.
    pub fn shares_keys(&self, other: &Self) -> bool {
        let keys = |s: &RunSpec| {
            let rules = (s.panel, s.tunit, s.missing_cohort);
            (rules, s.idname.clone(), s.tname.clone(), s.gname.clone(), s.pname.clone())
        };
        keys(&self.spec) == keys(&other.spec)
            && self.spec.csv == other.spec.csv
            && self.spec.records == other.spec.records
    }
}

/// Checks a specification, and returns its parsed formula.
pub fn check_spec(spec: &RunSpec) -> Result<Formula> {
    for (argument, value) in [("yname", &spec.yname), ("tname", &spec.tname), ("gname", &spec.gname)] {
        if value.is_empty() {
            return Err(StaggerError::input(format!("argument \"{argument}\" is missing, with no default")));
        }
    }
    if spec.panel && spec.idname.is_empty() {
        return Err(StaggerError::input("must provide idname when panel is true").with_hint(
            "--idname names the column of the units; --panel false is for repeated cross sections",
        ));
    }
    check_kind(spec)?;
    if !(spec.anticipation >= 0.0 && spec.anticipation == spec.anticipation.trunc()) {
        return Err(StaggerError::input(format!(
            "anticipation must be a non-negative whole number, not {}",
            spec.anticipation
        )));
    }
    if !(spec.alp > 0.0 && spec.alp < 1.0) {
        return Err(StaggerError::input(format!("alp must lie between 0 and 1, not {}", spec.alp)));
    }
    if spec.bstrap && spec.biters > MOST_DRAWS {
        return Err(StaggerError::input(format!("biters must be at most {MOST_DRAWS}, not {}", spec.biters))
            .with_hint("1000 draws know a standard error to 4 %, 100000 to 0.4 %: --biters 1000"));
    }
    if spec.bstrap && spec.biters == 0 {
        return Err(StaggerError::input("biters must be at least 1, not 0")
            .with_hint("--bstrap false turns draws off"));
    }
    let others = spec.clustervars.iter().filter(|c| **c != spec.idname).count();
    if others > 2 {
        return Err(StaggerError::input(format!(
            "at most two cluster variables besides the unit, not {others}"
        )));
    }
    if spec.cluster_factor && others == 0 {
        return Err(StaggerError::input(
            "cluster_factor is for clustered standard errors, and no cluster is given",
        )
        .with_hint("--clustervars names the columns of the clusters; --cluster-factor false leaves it out"));
    }
    let text = spec.xformla.as_deref().unwrap_or("~1");
    formula::parse(text).map_err(|e| input_error(&format!("xformla `{text}`: {e}"), e.hint()))
}

/// Refuses arguments that do not go with cross sections or triple differences.
fn check_kind(spec: &RunSpec) -> Result<()> {
    let fixed = match spec.fix_weights {
        Some(FixWeights::BasePeriod) => Some("base_period"),
        Some(FixWeights::FirstPeriod) => Some("first_period"),
        Some(FixWeights::Varying) | None => None,
    };
    if let (false, Some(name)) = (spec.panel, fixed) {
        return Err(StaggerError::input(format!(
            "fix_weights = {name} takes a unit's weight from another period, and with panel = false rows have no unit"
        ))
        .with_hint("every row of a cross section has its own weight: leave fix_weights out"));
    }
    if spec.pname.is_none() {
        return Ok(());
    }
    if spec.anticipation > 0.0 {
        return Err(StaggerError::input(format!(
            "triple differences (pname) have no anticipation, and {} is given",
            spec.anticipation
        )));
    }
    if spec.fix_weights.is_some() {
        return Err(StaggerError::input("triple differences (pname) have no fix_weights")
            .with_hint("leave it out: the weight is that of the cell's earlier period"));
    }
    Ok(())
}
