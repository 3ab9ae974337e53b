//! Arguments of `stagger table`.

use clap::Args;

use super::values::{boolean, whole};

/// Arguments of `stagger table`.
#[derive(Args, Clone, Debug)]
pub(crate) struct TableArgs {
    /// Folders that `stagger run --out` wrote, as NAME=RESULT with names for the columns; a folder of several results is all of them
    #[arg(value_name = "RESULT", required = true)]
    pub(crate) results: Vec<String>,
    /// Rows: simple, group, dynamic, calendar (overall effects), event-times, event times, means over event times as FIRST..LAST
    /// [default: simple,group,event-times]
    #[arg(
        long,
        value_name = "ROW,…",
        value_delimiter = ',',
        allow_hyphen_values = true,
        help_heading = "Table"
    )]
    pub(crate) rows: Option<Vec<String>>,
    /// Below the estimates: se, interval, z or p
    #[arg(long, value_name = "WHAT", default_value = "se", help_heading = "Table")]
    pub(crate) below: String,
    /// Stars at the 10%, 5% and 1% level
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean, help_heading = "Table")]
    pub(crate) stars: Option<bool>,
    /// Decimals [default: as many as the standard errors want]
    #[arg(long, value_name = "N", value_parser = whole, help_heading = "Table")]
    pub(crate) decimals: Option<u64>,
    /// Caption of the table in documents
    #[arg(long, value_name = "TEXT", help_heading = "Output")]
    pub(crate) title: Option<String>,
    /// text, markdown, latex, html or csv [default: as the name of --out says, else text]
    #[arg(long, value_name = "FORMAT", help_heading = "Output")]
    pub(crate) format: Option<String>,
    /// Write FILE.md, FILE.tex, FILE.html, FILE.csv or FILE.txt instead of printing
    #[arg(long, short = 'o', value_name = "FILE", help_heading = "Output")]
    pub(crate) out: Option<String>,
    /// Replace a file that another program wrote
    #[arg(long, help_heading = "Output")]
    pub(crate) force: bool,
}
