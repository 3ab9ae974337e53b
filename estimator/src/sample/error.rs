//! What makes a sample unusable, said with the numbers that show it.

use thiserror::Error;

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
        "no unit is never treated, and control_group is nevertreated (last treated cohort: {last_cohort})"
    )]
    NoNeverTreated { last_cohort: f64 },
    /// All units are treated and the data start too late for any of them to serve as a control.
    #[error(
        "all units are treated and no row lies before period {cut} (first period: {first}, last treated cohort: {last_cohort})"
    )]
    NoControlRows { cut: f64, first: f64, last_cohort: f64 },
    /// Too few never-treated units while they are the only controls.
    #[error(
        "never-treated group is too small to be the control group (units: {units}, at least: {required})"
    )]
    NeverTreatedTooSmall { units: u64, required: u64 },
    /// Balancing the panel removed all treated units.
    #[error(
        "no valid group: no unit of an estimated cohort is left after balancing (cohorts: {cohorts}, units of all cohorts: {units})"
    )]
    NoTreatedLeft { cohorts: usize, units: u64 },
}

impl SampleError {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Anticipation { .. } => {
                "give the number of periods before treatment in which units may already react, as 0 or 1"
            }
            Self::Cohort { .. } => {
                "gname holds the first treated period of a unit; use 0 or infinity for never treated"
            }
            Self::Period { .. } => "tname must hold finite numbers",
            Self::Shape { .. } => "this is a defect of the program: please report it",
            Self::Empty { .. } => {
                "look for missing values in the outcome, the covariates, the weight or the cluster"
            }
            Self::OnePeriod { .. } => {
                "check tname, and whether rows with missing values leave whole periods empty"
            }
            Self::NoneTreated { .. } => "check gname: it must hold treatment times on the scale of tname",
            Self::AlreadyTreated { .. } => {
                "such units have no untreated period; start the data earlier or lower anticipation"
            }
            Self::NoNeverTreated { .. } => "use control_group = notyettreated",
            Self::NoValidGroup { .. } => "add never-treated units or units treated later",
            Self::NoControlRows { .. } => {
                "start the data earlier, add never-treated units, or lower anticipation"
            }
            Self::NeverTreatedTooSmall { .. } => "use control_group = notyettreated, or fewer covariates",
            Self::NoTreatedLeft { .. } => {
                "use allow_unbalanced_panel = true to keep units that miss some periods"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_carry_both_values_and_no_full_stop() {
        let error = SampleError::NeverTreatedTooSmall { units: 3, required: 8 };
        let text = error.to_string();
        assert!(text.contains('3') && text.contains('8'));
        assert!(!text.ends_with('.') && !error.hint().ends_with('.'));
        assert!(text.starts_with(char::is_lowercase));
    }
}
