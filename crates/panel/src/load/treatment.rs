//! Treatment indicators given in place of the cohort: recognised once an error occurs, and answered with code that
//! makes the cohort column.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::ArrayRef;
use stagger_model::error::{Result, StaggerError};
use stagger_model::spec::RunSpec;
use stagger_model::spec_check::CheckedSpec;
use stagger_records::{Source, with_f64, with_texts};

use crate::panel::Panel;
use crate::strata::RowKind;

/// Texts that mean untreated (`false`) or treated (`true`).
const WORDS: [(&[&str], bool); 2] = [
    (
        &[
            "control",
            "controls",
            "untreated",
            "not treated",
            "no",
            "n",
            "false",
            "f",
            "pre",
            "before",
            "off",
            "0",
            "never",
            "comparison",
            "placebo",
            "not yet",
        ],
        false,
    ),
    (
        &[
            "treated",
            "treatment",
            "treat",
            "yes",
            "y",
            "true",
            "t",
            "post",
            "after",
            "on",
            "1",
            "exposed",
            "intervention",
        ],
        true,
    ),
];

/// A period: bits that sort like its number (0 for dates and text), and its text in the data.
type Time = (u64, String);

/// Largest number of periods that a message names.
const NAMED: usize = 8;

/// Replaces an error by one that explains a cohort column with an indicator; other errors stay as they are.
pub fn explain_indicator(error: StaggerError, source: &Source, all: &[CheckedSpec]) -> StaggerError {
    let Some(wanted) = all.first().filter(|_| error.is_input()) else { return error };
    // If the columns can't be read now, the error is about that.
    match Indicator::find(source, &wanted.spec) {
        // A constant column of 0 and 1 may be cohorts: then the error is about something else.
        Ok(Some(indicator)) if indicator.quoted || indicator.turns => indicator.describe(&wanted.spec),
        _ => error,
    }
}

/// Returns the same explanation for a panel in which every unit keeps its value, in the context of `error`; `None` if
/// its cohorts can't be an indicator.
pub fn explain_constant_indicator(panel: &Panel, spec: &RunSpec, error: &str) -> Option<StaggerError> {
    let treated = panel.strata.iter().filter(|s| s.cohort.is_finite());
    let (mut any, mut only) = (false, true);
    treated.for_each(|stratum| (any, only) = (true, only && stratum.cohort == 1.0));
    if !any || !only || panel.periods.first().is_none_or(|first| *first < 1.0) {
        return None;
    }
    let periods = panel.periods.len();
    let treated = |period: usize| {
        let rows = |stratum: usize| panel.counts.census.present[stratum * periods + period];
        (0..panel.strata.len()).any(|s| panel.strata[s].cohort.is_finite() && rows(s) > 0)
    };
    let first = (0..periods).find(|&period| treated(period)).map(|period| panel.periods[period]);
    let indicator = Indicator {
        off: "0".into(),
        on: "1".into(),
        quoted: false,
        starts: first.into_iter().map(time).collect(),
        turns: false,
        reversal: None,
        first_of_all: panel.periods.first().copied().map(time),
    };
    debug_assert!(panel.rows == RowKind::Observation || spec.panel);
    Some(indicator.describe(spec).in_context(error))
}

/// An indicator that was recognised.
struct Indicator {
    off: String,
    on: String,
    /// True if its values are text.
    quoted: bool,
    /// Periods in which units are first treated.
    starts: BTreeSet<Time>,
    /// True if it turns on within units.
    turns: bool,
    /// A unit in which it turns off again: the unit, a treated period and a later untreated one.
    reversal: Option<(String, String, String)>,
    first_of_all: Option<Time>,
}

/// Values found in one unit.
#[derive(Default)]
struct Seen {
    first_on: Option<Time>,
    last_off: Option<Time>,
    any_off: bool,
}

impl Indicator {
    fn find(source: &Source, spec: &RunSpec) -> Result<Option<Self>> {
        let Some((off, on, quoted)) = two_values(source, &spec.gname)? else { return Ok(None) };
        let mut out = Self {
            off,
            on,
            quoted,
            starts: BTreeSet::new(),
            turns: false,
            reversal: None,
            first_of_all: None,
        };
        out.look(source, spec)?;
        Ok(Some(out))
    }

    /// Reads units, periods and the indicator of all rows.
    fn look(&mut self, source: &Source, spec: &RunSpec) -> Result<()> {
        let mut names = vec![spec.tname.clone(), spec.gname.clone()];
        names.extend(spec.panel.then(|| spec.idname.clone()));
        let mut units: BTreeMap<String, Seen> = BTreeMap::new();
        for chunk in source.chunks() {
            source.read(chunk, &names, |_, arrays| {
                let (marks, ids) = (shown(&arrays[1]), arrays.get(2).map(shown));
                for (row, time) in times(&arrays[0], &names[0]).into_iter().enumerate() {
                    let Some(time) = time else { continue };
                    if self.first_of_all.as_ref().is_none_or(|known| time < *known) {
                        self.first_of_all = Some(time.clone());
                    }
                    let unit = ids.as_ref().map(|ids| ids[row].clone()).unwrap_or_default();
                    units.entry(unit).or_default().add(time, self.is_on(&marks[row]));
                }
                Ok(())
            })?;
        }
        if !spec.panel {
            self.starts.extend(units.into_values().filter_map(|seen| seen.first_on));
            return Ok(());
        }
        for (unit, seen) in units {
            let Some(on) = seen.first_on else { continue };
            self.turns |= seen.any_off;
            if let Some(off) = seen.last_off.filter(|off| *off > on)
                && self.reversal.is_none()
            {
                self.reversal = Some((unit, on.1.clone(), off.1));
            }
            self.starts.insert(on);
        }
        Ok(())
    }

    fn is_on(&self, value: &str) -> bool {
        match self.quoted {
            true => value == self.on,
            false => ["1", "1.0", "true"].contains(&value),
        }
    }

    fn describe(&self, spec: &RunSpec) -> StaggerError {
        let Self { off, on, .. } = self;
        let (gname, panel) = (&spec.gname, spec.panel);
        let mark = if self.quoted { "`" } else { "" };
        let values = format!(
            "gname: `{gname}` holds only {mark}{off}{mark} and {mark}{on}{mark}, as a treatment indicator does"
        );
        let periods = self.periods();
        let text = match (&self.reversal, panel) {
            (Some((unit, on, off)), _) => format!(
                "{values}; gname wants the first treated period, and treatment that stays: unit {unit} is treated in {on} but not in {off}"
            ),
            (None, true) if self.turns => format!(
                "{values}; gname wants the first treated period: it turns on within units, in {periods}"
            ),
            (None, true) => format!(
                "{values}; gname wants the first treated period: it is constant within units, so it says who is ever treated, not when"
            ),
            (None, false) => format!(
                "{values}; gname wants the first treated period: rows with {mark}{on}{mark} appear from {periods} on"
            ),
        };
        StaggerError::input(text).with_hint(self.hint(spec))
    }

    /// Words the periods in which units are first treated.
    fn periods(&self) -> String {
        let mut all: Vec<String> = self.starts.iter().map(|(_, name)| name.clone()).collect();
        let more = all.len().saturating_sub(NAMED);
        all.truncate(NAMED);
        let (word, list) = match all.as_slice() {
            [only] => return format!("period {only}"),
            [most @ .., last] if more == 0 => ("the periods", format!("{} and {last}", most.join(", "))),
            all => ("the periods", format!("{} and {more} more", all.join(", "))),
        };
        format!("{word} {list}")
    }

    /// Words the code that makes the cohort column.
    fn hint(&self, spec: &RunSpec) -> String {
        let column = |name: &str| {
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '_')
                && name.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
            if plain { format!("df${name}") } else { format!("df[[\"{name}\"]]") }
        };
        let on = match self.quoted {
            true => format!("\"{}\"", self.on),
            false => "1".to_owned(),
        };
        let (time, treated) = (column(&spec.tname), column(&spec.gname));
        let (t, g) = (&spec.tname, &spec.gname);
        if spec.panel && self.turns {
            let (id, unit) = (column(&spec.idname), &spec.idname);
            return format!(
                "make it in R: df$cohort <- ave(ifelse({treated} == {on}, {time}, Inf), {id}, FUN = min); or in Python: \
                 df[\"cohort\"] = df[\"{t}\"].where(df[\"{g}\"] == {on}).groupby(df[\"{unit}\"]).transform(\"min\").fillna(0); \
                 then --gname cohort"
            );
        }
        if spec.panel {
            return format!(
                "where all of them are treated from one period on, say 2004, make it in R: df$cohort <- ifelse({treated} == {on}, 2004, 0); \
                 or in Python: df[\"cohort\"] = (df[\"{g}\"] == {on}) * 2004; then --gname cohort"
            )
            .replace("2004", &self.example());
        }
        format!(
            "where whole states, say, are treated, make it in R: df$cohort <- ave(ifelse({treated} == {on}, {time}, Inf), df$state, FUN = min); \
             or in Python: df[\"cohort\"] = df[\"{t}\"].where(df[\"{g}\"] == {on}).groupby(df[\"state\"]).transform(\"min\").fillna(0); then --gname cohort"
        )
    }

    /// Returns an example of a period that is not the first one.
    fn example(&self) -> String {
        let first = self.first_of_all.as_ref().and_then(|(_, name)| name.parse::<f64>().ok());
        first.map_or_else(|| "2004".to_owned(), |first| (first + 1.0).to_string())
    }
}

impl Seen {
    fn add(&mut self, time: Time, on: bool) {
        if !on {
            self.any_off = true;
            self.last_off = self.last_off.take().max(Some(time));
        } else if self.first_on.as_ref().is_none_or(|known| time < *known) {
            self.first_on = Some(time);
        }
    }
}

fn time(value: f64) -> Time {
    (ordered(value), value.to_string())
}

/// Returns the periods of some rows; `None` where one is missing. Dates and text sort by their text.
fn times(array: &ArrayRef, column: &str) -> Vec<Option<Time>> {
    let numbers = with_f64(array, column, &mut Vec::new(), |values| {
        Ok(values.iter().map(|&value| value.is_finite().then(|| time(value))).collect())
    });
    numbers.unwrap_or_else(|_| {
        shown(array).into_iter().map(|text| (!text.is_empty()).then_some((0, text))).collect()
    })
}

/// Returns the two values of a column that holds no others, that of treated units last, and true if they are text.
fn two_values(source: &Source, column: &str) -> Result<Option<(String, String, bool)>> {
    let mut met: BTreeSet<String> = BTreeSet::new();
    let (mut text, mut more) = (false, false);
    for chunk in source.chunks() {
        if more {
            return Ok(None);
        }
        source.read(chunk, &[column.to_owned()], |_, arrays| {
            let array = &arrays[0];
            text |= !array.data_type().is_numeric()
                && !matches!(array.data_type(), arrow_schema::DataType::Boolean);
            for value in if more { Vec::new() } else { shown(array) } {
                if !value.is_empty() && !met.contains(&value) {
                    met.insert(value);
                    more |= met.len() > 2;
                }
            }
            Ok(())
        })?;
    }
    let values: Vec<String> = met.into_iter().collect();
    if more || values.is_empty() {
        return Ok(None);
    }
    let is_number = |value: &String| ["0", "0.0", "false", "1", "1.0", "true"].contains(&value.as_str());
    let is_one = |value: &String| ["1", "1.0", "true"].contains(&value.as_str());
    if values.iter().all(is_number) {
        return Ok(values.iter().any(is_one).then(|| ("0".to_owned(), "1".to_owned(), false)));
    }
    let [first, second] = values.as_slice() else { return Ok(None) };
    if !text {
        return Ok(None);
    }
    Ok(match (meaning(first), meaning(second)) {
        (Some(true), _) | (_, Some(false)) => Some((second.clone(), first.clone(), true)),
        (Some(false), _) | (_, Some(true)) => Some((first.clone(), second.clone(), true)),
        (None, None) => None,
    })
}

/// Returns true for a text that means treated, false for one that means untreated, `None` for others.
fn meaning(text: &str) -> Option<bool> {
    let word = text.trim().to_lowercase();
    WORDS.iter().find(|(words, _)| words.contains(&word.as_str())).map(|(_, on)| *on)
}

/// Returns a column's values as text; empty where one is missing or has no text form.
fn shown(array: &ArrayRef) -> Vec<String> {
    let owned = |text: Option<&str>| text.unwrap_or_default().to_owned();
    with_texts(array, |texts| Ok(texts.into_iter().map(owned).collect()))
        .unwrap_or_else(|_| vec![String::new(); array.len()])
}

/// Returns the bits of a number, changed so that they sort like numbers.
fn ordered(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_mean_treated() {
        assert_eq!(
            (meaning("Treated "), meaning("control"), meaning("north")),
            (Some(true), Some(false), None)
        );
        assert!(ordered(-2.0) < ordered(-1.0) && ordered(-1.0) < ordered(3.0));
    }
}
