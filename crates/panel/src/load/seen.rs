//! Strata and periods as one thread finds them in the key columns, for rows of panels and of cross sections.

use arrow_array::ArrayRef;
use stagger_model::calendar::{Calendar, format_period as show_period};
use stagger_model::error::{Result, StaggerError};
use stagger_model::spec::MissingCohort;
use stagger_records::{split_runs, with_f64};

use crate::columns::Columns;
use crate::strata::Stratum;

/// Strata that one thread has found, in order of appearance; a stratum's code is its position.
#[derive(Default)]
pub struct SeenStrata {
    /// The strata.
    pub list: Vec<Stratum>,
    /// Number of rows whose cohort is missing, counted as never treated.
    pub cohortless_rows: u64,
    /// Calendar of the cohorts, where they are dates: for messages.
    pub calendar: Option<Calendar>,
    guesses: Guesses,
}

/// Positions in a list by the bits of their values, so that rows in any order need no search; a position may be that of
/// another value, which is then searched.
#[derive(Default)]
struct Guesses(Vec<u16>);

impl Guesses {
    const BITS: u32 = 8;

    /// Returns the position that was last found for these bits, or bits like them.
    #[inline]
    fn get(&self, bits: u64) -> Option<usize> {
        self.0.get(Self::place(bits)).map(|&position| usize::from(position))
    }

    fn set(&mut self, bits: u64, position: usize) {
        self.0.resize(1 << Self::BITS, 0);
        self.0[Self::place(bits)] = position as u16;
    }

    #[inline]
    fn place(bits: u64) -> usize {
        (bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - Self::BITS)) as usize
    }
}

impl SeenStrata {
    /// Returns the stratum of a row from its cohort and eligibility. A missing, zero or infinite cohort means never
    /// treated (FORMULAS §1).
    pub fn stratum_of(group: f64, eligibility: f64) -> Stratum {
        let cohort =
            if group.is_nan() || group == 0.0 || group == f64::INFINITY { f64::INFINITY } else { group };
        Stratum { cohort, eligible: eligibility != 0.0 }
    }

    /// Returns the code of a row's stratum; a new stratum gets the next code.
    ///
    /// # Errors
    /// A negative cohort, and more than 10,000 strata.
    pub fn code(&mut self, group: f64, eligibility: f64) -> Result<u16> {
        let stratum = Self::stratum_of(group, eligibility);
        let bits = stratum.cohort.to_bits() ^ u64::from(stratum.eligible);
        if let Some(guess) = self.guesses.get(bits)
            && self.list.get(guess) == Some(&stratum)
        {
            return Ok(guess as u16);
        }
        if let Some(code) = self.list.iter().position(|known| *known == stratum) {
            self.guesses.set(bits, code);
            return Ok(code as u16);
        }
        if stratum.cohort < 0.0 {
            return Err(StaggerError::input(format!(
                "the cohort column holds {}, but cohorts can't be negative",
                stratum.cohort
            ))
            .with_hint("never-treated units have 0, Inf or a missing value"));
        }
        code(&mut self.list, stratum, "cohorts", "the cohort column must hold the first treated period")
    }
}

impl Columns {
    /// Returns an empty table of strata, with the calendar of these columns.
    pub fn seen_strata(&self) -> SeenStrata {
        SeenStrata { calendar: self.scale.calendar().cloned(), ..SeenStrata::default() }
    }

    /// Words a period or cohort for a message.
    pub fn format_period(&self, period: f64) -> String {
        show_period(self.scale.calendar(), period)
    }
}

/// Periods that one thread has found, in order of appearance; a period's code is its position.
#[derive(Default)]
pub struct SeenPeriods {
    /// The periods.
    pub list: Vec<f64>,
    last: usize,
    guesses: Guesses,
}

impl SeenPeriods {
    /// Appends the codes of a run's periods, which are mostly consecutive.
    ///
    /// # Errors
    /// More than 10,000 periods.
    pub fn push_codes(&mut self, times: &[f64], out: &mut Vec<u16>) -> Result<()> {
        let first = self.code(times[0])? as usize;
        if self.list.get(first..first + times.len()) == Some(times) {
            out.extend((first..first + times.len()).map(|code| code as u16));
            return Ok(());
        }
        out.push(first as u16);
        for &time in &times[1..] {
            let code = self.code(time)?;
            out.push(code);
        }
        Ok(())
    }

    /// Returns the code of a row's period; a new period gets the next code.
    ///
    /// # Errors
    /// More than 10,000 periods.
    pub fn code(&mut self, time: f64) -> Result<u16> {
        // Panels mostly step from a period to the one that was found next.
        let next = self.last + 1;
        if self.list.get(next) == Some(&time) {
            self.last = next;
            return Ok(next as u16);
        }
        if let Some(guess) = self.guesses.get(time.to_bits())
            && self.list.get(guess) == Some(&time)
        {
            self.last = guess;
            return Ok(guess as u16);
        }
        if let Some(found) = self.list.iter().position(|&known| known == time) {
            self.guesses.set(time.to_bits(), found);
            self.last = found;
            return Ok(found as u16);
        }
        self.last = self.list.len();
        code(&mut self.list, time, "periods", "the period column must be discrete")
    }
}

/// Returns the error for a unit whose rows lie in two strata; `unit` names it in the message.
pub fn varying_stratum_error(
    unit: &str,
    first: Stratum,
    second: Stratum,
    calendar: Option<&Calendar>,
) -> StaggerError {
    if first.cohort == second.cohort {
        let show = |stratum: Stratum| u8::from(stratum.eligible);
        return StaggerError::input(format!(
            "the eligibility varies within {unit}: {} and {}",
            show(first),
            show(second)
        ))
        .with_hint("the column of --pname must be constant in time");
    }
    let show = |stratum: Stratum| match stratum.cohort.is_infinite() {
        true => "never treated".to_owned(),
        false => show_period(calendar, stratum.cohort),
    };
    StaggerError::input(format!("the cohort varies within {unit}: {} and {}", show(first), show(second)))
        .with_hint(
            "the column of --gname must be constant in time: the first period in which the unit is treated",
        )
}

fn code<T>(list: &mut Vec<T>, value: T, what: &str, hint: &str) -> Result<u16> {
    if list.len() >= 10_000 {
        return Err(StaggerError::input(format!("more than 10000 different {what}")).with_hint(hint));
    }
    list.push(value);
    Ok((list.len() - 1) as u16)
}

/// Returns the names of the key columns: period, cohort and, for triple differences, eligibility.
pub fn key_columns(columns: &Columns) -> Vec<String> {
    let mut names = vec![columns.time.clone(), columns.group.clone()];
    names.extend(columns.eligibility.clone());
    names
}

/// Calls `each(periods, cohorts, eligibilities)` with a batch of the [`key_columns`], one value for each row.
/// Eligibilities are all 1 without such a column, and missing where a missing cohort makes the row be dropped.
pub fn with_keys<T>(
    columns: &Columns,
    arrays: &[ArrayRef],
    names: &[String],
    first_row: u64,
    scratch: &mut [Vec<f64>; 3],
    each: impl FnOnce(&[f64], &[f64], &[f64]) -> Result<T>,
) -> Result<T> {
    let [times, groups, eligible] = scratch;
    let each = |times: &[f64], groups: &[f64], eligible: &[f64]| {
        if columns.missing_cohort == MissingCohort::Never || !groups.iter().any(|group| group.is_nan()) {
            return each(times, groups, eligible);
        }
        let known = groups.iter().zip(eligible).map(|(g, e)| if g.is_nan() { f64::NAN } else { *e });
        each(times, groups, &known.collect::<Vec<f64>>())
    };
    columns.scale.with_periods(&arrays[0], &names[0], times, |times| {
        with_cohorts(columns, &arrays[1], &names[1], groups, |groups| match arrays.get(2) {
            Some(array) => with_numbers(array, &names[2], eligible, |eligible| {
                check_eligibility(eligible, &names[2], first_row)?;
                each(times, groups, eligible)
            }),
            None => {
                eligible.clear();
                eligible.resize(times.len(), 1.0);
                each(times, groups, eligible)
            }
        })
    })
}

/// Calls `each` with the cohort of every row.
fn with_cohorts<T>(
    columns: &Columns,
    array: &ArrayRef,
    name: &str,
    scratch: &mut Vec<f64>,
    each: impl FnOnce(&[f64]) -> Result<T>,
) -> Result<T> {
    let Some((values, ends)) = split_runs(array) else {
        return columns.scale.with_periods(array, name, scratch, each);
    };
    columns.scale.with_periods(values, name, &mut Vec::new(), |values| each(repeat(values, ends, scratch)))
}

/// Calls `each` with the number in every row.
fn with_numbers<T>(
    array: &ArrayRef,
    name: &str,
    scratch: &mut Vec<f64>,
    each: impl FnOnce(&[f64]) -> Result<T>,
) -> Result<T> {
    let Some((values, ends)) = split_runs(array) else { return with_f64(array, name, scratch, each) };
    with_f64(values, name, &mut Vec::new(), |values| each(repeat(values, ends, scratch)))
}

/// Repeats each value up to the end of its run.
fn repeat<'a>(values: &[f64], ends: &[i32], out: &'a mut Vec<f64>) -> &'a [f64] {
    out.clear();
    for (value, &end) in values.iter().zip(ends) {
        out.resize(end as usize, *value);
    }
    out
}

/// Refuses an eligibility other than 0 and 1; rows without one are dropped later.
fn check_eligibility(values: &[f64], name: &str, first_row: u64) -> Result<()> {
    match values.iter().position(|&v| !(v.is_nan() || v == 0.0 || v == 1.0)) {
        None => Ok(()),
        Some(row) => Err(StaggerError::input(format!(
            "pname: `{name}` holds {} in row {}, where only 0 and 1 are possible",
            values[row],
            first_row + row as u64 + 1
        ))
        .with_hint("1 is for units that are eligible for treatment, 0 for the others")),
    }
}

/// Appends the file's path to the message of an error; kind and hint stay.
pub fn name_file(error: StaggerError, path: &str) -> StaggerError {
    let out = if error.is_input() {
        StaggerError::input(format!("{error} (file `{path}`)"))
    } else {
        StaggerError::failed(format!("{error} (file `{path}`)"))
    };
    match error.hint() {
        Some(hint) => out.with_hint(hint),
        None => out,
    }
}
