//! Arguments of `stagger plot` and `stagger report`.

use clap::Args;

use super::run_args::WindowArgs;
use super::values::{boolean, positive};

/// Arguments of `stagger plot`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PlotArgs {
    /// Folder that `stagger run --out` wrote, or the result.json in it; several for one event study, as NAME=RESULT with
    /// names for the legend
    #[arg(value_name = "RESULT", required = true)]
    pub(crate) results: Vec<String>,
    /// event-study, gt (ATT(g,t) by cohort), group, calendar, overlap, balance or timeline
    #[arg(long, value_name = "KIND", default_value = "event-study", help_heading = "Picture")]
    pub(crate) kind: String,
    /// Title [default: what is shown]; "" for none
    #[arg(long, value_name = "TEXT", help_heading = "Picture")]
    pub(crate) title: Option<String>,
    /// Width: pixels of a file, characters of a terminal
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Picture")]
    pub(crate) width: Option<usize>,
    /// Height: pixels of a file, lines of a terminal
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Picture")]
    pub(crate) height: Option<usize>,
    /// Draw in the terminal with ASCII alone
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean, help_heading = "Picture")]
    pub(crate) ascii: Option<bool>,
    #[command(flatten)]
    pub(crate) window: WindowArgs,
    /// Write FILE.svg or FILE.png instead of drawing in the terminal
    #[arg(long, short = 'o', value_name = "FILE", help_heading = "Output")]
    pub(crate) out: Option<String>,
    /// Replace a file that another program wrote
    #[arg(long, help_heading = "Output")]
    pub(crate) force: bool,
}

/// Arguments of `stagger report`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ReportArgs {
    /// Folder that `stagger run --out` wrote, or the result.json in it
    #[arg(value_name = "RESULT")]
    pub(crate) result: String,
    /// report.html, report.md, report.tex, or a folder for tables as CSV
    #[arg(long, short = 'o', value_name = "FILE", help_heading = "Output")]
    pub(crate) out: String,
    /// Title [default: what was estimated]
    #[arg(long, value_name = "TEXT", help_heading = "Output")]
    pub(crate) title: Option<String>,
    /// Replace a file that another program wrote
    #[arg(long, help_heading = "Output")]
    pub(crate) force: bool,
}
