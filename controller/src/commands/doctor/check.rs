//! One line of the doctor's report.

use serde::Serialize;
use stagger_protocol::messages::TaskFailure;
use stagger_storage::StoreError;

/// The outcome of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    /// As it should be.
    Ok,
    /// A run works, but not as well as it might.
    Warn,
    /// A run would fail.
    Fail,
    /// Could not be looked at, or needs what failed before.
    Skipped,
}

/// A check that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    pub(super) check: String,
    pub(super) status: Status,
    pub(super) detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
}

impl Check {
    pub(super) fn new(check: &str, status: Status, detail: impl Into<String>) -> Self {
        Self { check: check.to_owned(), status, detail: detail.into(), hint: None }
    }

    pub(super) fn ok(check: &str, detail: impl Into<String>) -> Self {
        Self::new(check, Status::Ok, detail)
    }

    pub(super) fn warn(check: &str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(check, Status::Warn, detail).hint(hint)
    }

    pub(super) fn fail(check: &str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(check, Status::Fail, detail).hint(hint)
    }

    pub(super) fn skipped(check: &str, detail: impl Into<String>) -> Self {
        Self::new(check, Status::Skipped, detail)
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Returns a failed check with the refusal of Lambda.
    pub(super) fn refused(check: &str, failure: TaskFailure) -> Self {
        Self { hint: failure.hint, ..Self::new(check, Status::Fail, failure.message) }
    }

    /// Returns a failed check with the refusal of S3.
    pub(super) fn unstored(check: &str, error: &StoreError) -> Self {
        Self { hint: error.hint().map(str::to_owned), ..Self::new(check, Status::Fail, error.to_string()) }
    }
}

/// The report for people; `signs` where the terminal may be shown more than ASCII.
pub(super) fn text(checks: &[Check], signs: bool) -> String {
    let width = checks.iter().map(|check| check.check.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for check in checks {
        let mark = match (check.status, signs) {
            (Status::Ok, true) => "✓",
            (Status::Warn, true) => "!",
            (Status::Fail, true) => "✗",
            (Status::Skipped, true) => "-",
            (Status::Ok, false) => "ok  ",
            (Status::Warn, false) => "warn",
            (Status::Fail, false) => "FAIL",
            (Status::Skipped, false) => "-   ",
        };
        out += &format!("{mark} {:width$}  {}\n", check.check, check.detail);
        if let Some(hint) = &check.hint {
            let indent = mark.chars().count() + 1;
            out += &format!("{:indent$}hint: {hint}\n", "");
        }
    }
    out
}

/// Returns the number of checks that failed.
pub(super) fn failures(checks: &[Check]) -> usize {
    checks.iter().filter(|check| check.status == Status::Fail).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_each_and_a_hint_where_it_fails() {
        let checks = [
            Check::ok("credentials", "from the environment"),
            Check::warn("quota", "10 of 1000", "ask for more"),
            Check::fail("bucket b", "there is none", "make one"),
            Check::skipped("clock", "nothing answered"),
        ];
        assert_eq!(failures(&checks), 1);
        insta::assert_snapshot!(text(&checks, false) + "\n" + &text(&checks, true), @r"
        ok   credentials  from the environment
        warn quota        10 of 1000
             hint: ask for more
        FAIL bucket b     there is none
             hint: make one
        -    clock        nothing answered

        ✓ credentials  from the environment
        ! quota        10 of 1000
          hint: ask for more
        ✗ bucket b     there is none
          hint: make one
        - clock        nothing answered
        ");
    }
}
