//! Options of reading records that hold for input files of every format: broken lines, and the steps that make a panel
//! of the records.

use serde::{Deserialize, Serialize};

/// The options of reading records. They are part of a specification, since they change what is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordOptions {
    /// The number of broken lines of text files that may be left out, over all files.
    #[serde(skip_serializing_if = "is_zero")]
    pub skip_bad: u64,
    /// The steps that make the panel of the records, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

impl RecordOptions {
    /// Returns `true` if no option is set.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A step from records to a panel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step {
    /// Keeps the rows for which an expression is `TRUE`.
    Where(String),
    /// Adds or replaces columns: `name = expression`, separated by commas.
    Let(String),
    /// Adds the columns of a small table, found by keys.
    Lookup(Lookup),
    /// Makes one row of each group of rows.
    Collapse {
        /// The columns that are made: `name = function(expression)`, separated by commas.
        values: String,
        /// The columns of the groups, separated by commas.
        by: String,
    },
    /// Makes a cohort column of a 0/1 treatment.
    Treatment(TreatmentStep),
    /// Makes rows of columns such as `y2003` and `y2004`.
    ReshapeLong {
        /// What the names of the columns begin with.
        stubs: Vec<String>,
        /// The column of what follows it.
        column: String,
    },
    /// Keeps one row of those with the same key.
    Dedupe {
        /// The columns of the key, separated by commas.
        by: String,
        /// The row that is kept.
        keep: Keep,
    },
    /// Adds the rows of absent pairs of unit and period.
    Fill {
        /// The values of columns in these rows: `name = constant`, separated by commas.
        values: String,
        /// The column of the unit.
        id: String,
        /// The column of the period.
        time: String,
    },
}

/// A table that is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// The table: a file, folder or glob.
    pub table: String,
    /// The keys, separated by commas: a column of both, or `column of the records = column of the table`.
    pub by: String,
    /// `true` drops rows that the table has no row for.
    #[serde(default)]
    pub inner: bool,
}

/// The columns of a treatment that becomes a cohort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TreatmentStep {
    /// The column of the treatment: 1 or `TRUE` in treated periods, 0 or `FALSE` in others.
    pub column: String,
    /// The column of the unit.
    pub id: String,
    /// The column of the period.
    pub time: String,
    /// The column that is made: the first treated period; 0 for units that are never treated, or missing if periods are
    /// dates or text.
    pub cohort: String,
    /// `true` takes units as treated from their first treated period on, whatever follows.
    pub absorbing: bool,
}

/// The row that is kept of several with the same key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// Several rows are an error.
    #[default]
    Error,
    /// The first row in the order of the input.
    First,
    /// The last row in the order of the input.
    Last,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
