//! Arguments that say how records of every format are read.

use clap::Args;
use stagger_model::failure::Failure;
use stagger_model::record_options::RecordOptions;

use super::step_args::{StepArgs, StepColumns};
use super::values::{toml_whole, whole};

/// How records are read.
#[derive(Args, Clone, Debug, Default, PartialEq)]
#[command(next_help_heading = "Records")]
pub(crate) struct RecordArgs {
    /// Leave out up to so many broken lines of CSV and JSON files, and list the first [default: 0, which refuses them]
    #[arg(long, value_name = "N", value_parser = whole, allow_negative_numbers = true)]
    pub(crate) skip_bad: Option<u64>,
    #[command(flatten)]
    pub(crate) steps: StepArgs,
}

impl RecordArgs {
    /// Keys of a run file.
    pub(crate) const KEYS: &[&str] = &["skip_bad", StepArgs::KEY];

    /// Sets the argument from a run file's value; `None` where the key belongs to another group.
    pub(crate) fn set(&mut self, key: &str, value: &toml::Value) -> Option<Result<(), String>> {
        match key {
            "skip_bad" => Some(toml_whole(value).map(|count| self.skip_bad = Some(count))),
            _ => self.steps.set(key, value),
        }
    }

    /// These arguments, and those of `under` where none is given here.
    pub(crate) fn over(self, under: Self) -> Self {
        Self { skip_bad: self.skip_bad.or(under.skip_bad), steps: self.steps.over(under.steps) }
    }

    /// The options as a specification has them.
    pub(crate) fn options(&self, columns: &StepColumns) -> Result<RecordOptions, Failure> {
        Ok(RecordOptions { skip_bad: self.skip_bad.unwrap_or(0), steps: self.steps.steps(columns)? })
    }
}
