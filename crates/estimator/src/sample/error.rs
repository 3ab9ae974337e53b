//! The errors of samples that can't be used, with the numbers that show it.

use thiserror::Error;

use super::sizes::UNITS_BEYOND_COVARIATES;
use crate::label::label;

/// A sample or a rule from which no ATT(g,t) can be estimated (FORMULAS §1.2-1.8).
#[derive(Clone, Debug, PartialEq, Error)]
pub enum SampleError {
    /// The anticipation horizon is no whole number of periods ≥ 0.
    #[error("anticipation must be a whole number of at least 0 (given: {given})")]
    Anticipation { given: f64 },
    /// A cohort label below zero, or none at all.
    #[error("cohort {cohort} is not a time of first treatment (units: {units}, lowest allowed: 0)")]
    Cohort { cohort: f64, units: u64 },
    /// A period label that is not a finite number.
    #[error("period {position} of {periods} is not a finite number (found: {found})")]
    Period { position: usize, periods: usize, found: f64 },
    /// The table's parts do not fit together.
    #[error(
        "cohort table of uneven shape (cohorts: {cohorts}, rows of counts: {rows}, unit counts: {units})"
    )]
    Shape { cohorts: usize, rows: usize, units: usize },
    /// No complete row.
    #[error("no complete row left (cohorts: {cohorts}, periods: {periods})")]
    Empty { cohorts: usize, periods: usize },
    /// Differences need two periods.
    #[error("only {found} period with usable rows is left, at least 2 are needed (last one: {period})")]
    OnePeriod { found: usize, period: f64 },
    /// Nobody is treated within the sample.
    #[error("no unit is treated within the sample (never treated: {units}, last period: {last})")]
    NoneTreated { units: u64, last: f64 },
    /// Every treated cohort was treated from the start.
    #[error(
        "every treated unit was already treated in the first period (units: {units}, first period: {first}, anticipation: {anticipation})"
    )]
    AlreadyTreated { units: u64, first: f64, anticipation: f64 },
    /// All units are treated and no cohort is left to compare the last one with.
    #[error(
        "no valid group: all {units} units are treated and cohort {last_cohort}, the last one, has nobody to be compared with"
    )]
    NoValidGroup { units: u64, last_cohort: f64 },
    /// Triple differences with never-treated controls, of which there are none.
    #[error(
        "no unit is never treated, and the control group is nevertreated (last treated cohort: {})",
        label(*last_cohort)
    )]
    NoNeverTreated {
        last_cohort: f64,
        /// Some other cohort is treated earlier.
        others: bool,
    },
    /// All units are treated and the data start too late for any of them to serve as a control.
    #[error(
        "all units are treated and no row lies before period {cut} (first period: {first}, last treated cohort: {last_cohort})"
    )]
    NoControlRows { cut: f64, first: f64, last_cohort: f64 },
    /// Too few never-treated units while they are the only controls.
    #[error(
        "never-treated group is too small to be the control group (units: {units}, at least: {required})"
    )]
    NeverTreatedTooSmall {
        units: u64,
        required: u64,
        /// Some cohort is treated later than another, and so not yet treated in a cell.
        not_yet: bool,
    },
    /// Balancing the panel removed all treated units.
    #[error(
        "no valid group: no unit of an estimated cohort is left after balancing (cohorts: {cohorts}, units of all cohorts: {units})"
    )]
    NoTreatedLeft { cohorts: usize, units: u64 },
}

impl SampleError {
    /// Returns what the user can do about it, if something can be done.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Anticipation { .. } => {
                "--anticipation takes the periods before treatment in which units may already react, as 0 or 1"
            }
            Self::Cohort { .. } => {
                "the column of --gname holds the first treated period of a unit; 0 or infinity for never treated"
            }
            Self::Period { .. } => "the column of --tname must hold finite numbers",
            Self::Shape { .. } => "this is a defect of the program: please report it",
            Self::Empty { .. } => {
                "look for missing values in the outcome, the covariates, the weight or the cluster"
            }
            Self::OnePeriod { .. } => {
                "check the column of --tname, and whether rows with missing values leave whole periods empty"
            }
            Self::NoneTreated { .. } => {
                "the column of --gname must hold treatment times on the scale of that of --tname"
            }
            Self::AlreadyTreated { anticipation, .. } if *anticipation > 0.0 => {
                "such units have no untreated period: lower --anticipation, or start the data earlier"
            }
            Self::AlreadyTreated { .. } => {
                "such units have no untreated period: the data must begin before they are treated"
            }
            Self::NoNeverTreated { others: true, .. } => "--control-group notyettreated",
            Self::NoNeverTreated { .. } | Self::NoValidGroup { .. } => {
                "add never-treated units or units treated later"
            }
            Self::NoControlRows { cut, last_cohort, .. } if cut < last_cohort => {
                "lower --anticipation, start the data earlier, or add never-treated units"
            }
            Self::NoControlRows { .. } => "start the data earlier, or add never-treated units",
            Self::NeverTreatedTooSmall { required, not_yet, .. } => {
                return few_never_treated(*required > UNITS_BEYOND_COVARIATES, *not_yet);
            }
            Self::NoTreatedLeft { .. } => "--allow-unbalanced-panel keeps units that miss some periods",
        };
        Some(hint.to_owned())
    }
}

/// Returns the options that help against few never-treated units.
fn few_never_treated(covariates: bool, not_yet: bool) -> Option<String> {
    let ways = [(not_yet, "--control-group notyettreated"), (covariates, "fewer covariates in --xformla")];
    let ways: Vec<&str> = ways.into_iter().filter_map(|(helps, way)| helps.then_some(way)).collect();
    (!ways.is_empty()).then(|| ways.join(", or "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_carry_both_values_and_no_full_stop() {
        let error = SampleError::NeverTreatedTooSmall { units: 3, required: 8, not_yet: true };
        let text = error.to_string();
        assert!(text.contains('3') && text.contains('8'));
        assert!(!text.ends_with('.') && !error.hint().unwrap().ends_with('.'));
        assert!(text.starts_with(char::is_lowercase));
    }

    #[test]
    fn hints_are_of_what_can_help() {
        let few =
            |required, not_yet| SampleError::NeverTreatedTooSmall { units: 3, required, not_yet }.hint();
        assert_eq!(few(5, true).unwrap(), "--control-group notyettreated");
        assert_eq!(few(6, true).unwrap(), "--control-group notyettreated, or fewer covariates in --xformla");
        assert_eq!(few(6, false).unwrap(), "fewer covariates in --xformla");
        assert_eq!(few(5, false), None);
        let treated =
            |anticipation| SampleError::AlreadyTreated { units: 4, first: 1.0, anticipation }.hint();
        assert!(
            treated(1.0).unwrap().contains("--anticipation")
                && !treated(0.0).unwrap().contains("--anticipation")
        );
    }
}
