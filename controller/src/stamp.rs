//! Names with a date in them, so that a schedule need not know what day it is.

use std::time::{SystemTime, UNIX_EPOCH};

use stagger_model::failure::Failure;

/// The values of placeholders: the time at which the command began, and the run's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placeholders {
    seconds: u64,
    run: Option<String>,
}

impl Placeholders {
    /// Returns the values at this moment, for a run that has no name yet.
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self { seconds: since.map_or(0, |since| since.as_secs()), run: None }
    }

    /// Returns the values for a run of this name.
    pub(crate) fn of(self, run: &str) -> Self {
        Self { run: Some(run.to_owned()), ..self }
    }

    fn value(&self, name: &str) -> Option<String> {
        let (year, month, day) = civil_date(self.seconds / 86_400);
        let (hour, minute, second) = (self.seconds / 3600 % 24, self.seconds / 60 % 60, self.seconds % 60);
        match name {
            "date" => Some(format!("{year:04}-{month:02}-{day:02}")),
            "time" => Some(format!("{hour:02}{minute:02}{second:02}")),
            "run" => self.run.clone(),
            _ => None,
        }
    }
}

/// `results/{date}/{run}` with what stands for them; `argument` is for the message.
///
/// # Errors
/// A placeholder that means nothing there.
pub(crate) fn fill_placeholders(argument: &str, text: &str, stamp: &Placeholders) -> Result<String, Failure> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let named = after.split_once('}').and_then(|(name, rest)| Some((stamp.value(name)?, rest)));
        let Some((value, next)) = named else {
            return Err(Failure::input(format!(
                "{argument} has a placeholder that means nothing: \"{text}\""
            ))
            .hint("{date}, {time} (UTC) and, in out, {run} are filled in"));
        };
        out += before;
        out += &value;
        rest = next;
    }
    Ok(out + rest)
}

/// Year, month and day of a number of days since 1970 (Howard Hinnant's civil_from_days).
pub(crate) fn civil_date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp() -> Placeholders {
        Placeholders { seconds: 1_795_251_723, run: Some("nightly".to_owned()) }
    }

    #[test]
    fn days_are_dates() {
        assert_eq!(civil_date(0), (1970, 1, 1));
        assert_eq!(civil_date(11_016), (2000, 2, 29));
        assert_eq!(civil_date(20_778), (2026, 11, 21));
    }

    #[test]
    fn placeholders_are_date_time_and_run() {
        let found = fill_placeholders("out", "s3://b/{date}/{time}-{run}", &stamp()).unwrap();
        assert_eq!(found, "s3://b/2026-11-21/090203-nightly");
        assert_eq!(fill_placeholders("out", "plain", &stamp()).unwrap(), "plain");
    }

    #[test]
    fn other_placeholders_are_refused() {
        for wrong in ["{day}", "{", "{date", "{}"] {
            let refused = fill_placeholders("out", wrong, &stamp()).unwrap_err().to_string();
            assert!(refused.contains(wrong) && refused.contains("hint: {date}"), "{refused}");
        }
        let unnamed = Placeholders { run: None, ..stamp() };
        assert!(
            fill_placeholders("run_name", "a-{run}", &unnamed).is_err(),
            "a run can't be named after itself"
        );
    }
}
