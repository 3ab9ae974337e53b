//! Arguments of `stagger sensitivity` and `stagger pretrends`.

use clap::Args;

use super::run_args::WindowArgs;
use super::values::{boolean, number, positive, whole};

/// The event study that is asked about.
#[derive(Args, Clone, Debug)]
pub(crate) struct StudyArgs {
    /// Folder that `stagger run --out` wrote, or the result.json in it; its base period has to be universal
    #[arg(value_name = "RESULT")]
    pub(crate) result: Option<String>,
    /// Event study of any other program: CSV with event_time and estimate, or a JSON object with event_time, betahat and sigma
    #[arg(long, value_name = "FILE", help_heading = "Event study")]
    pub(crate) estimates: Option<String>,
    /// Its covariance: CSV with a row and a column for each event time, in the same order
    #[arg(long, value_name = "FILE", help_heading = "Event study")]
    pub(crate) vcov: Option<String>,
    /// Its reference period, as an event time [default: -1]
    #[arg(long, value_name = "E", allow_hyphen_values = true, value_parser = number, help_heading = "Event study")]
    pub(crate) reference: Option<f64>,
    #[command(flatten)]
    pub(crate) window: WindowArgs,
}

/// The form of the answer.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct AnswerArgs {
    /// Print one line of JSON
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) json: Option<bool>,
    /// Draw the picture in the terminal, too
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) plot: Option<bool>,
    /// Write the picture to FILE.svg or FILE.png
    #[arg(long, short = 'o', value_name = "FILE")]
    pub(crate) out: Option<String>,
    /// Title of the picture [default: what is shown]; "" for none
    #[arg(long, value_name = "TEXT")]
    pub(crate) title: Option<String>,
    /// Width of the picture: pixels of a file, characters of a terminal
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) width: Option<usize>,
    /// Height of the picture: pixels of a file, lines of a terminal
    #[arg(long, value_name = "N", value_parser = positive)]
    pub(crate) height: Option<usize>,
    /// Replace a file that another program wrote
    #[arg(long)]
    pub(crate) force: bool,
}

/// Arguments of `stagger sensitivity`.
#[derive(Args, Clone, Debug)]
pub(crate) struct SensitivityArgs {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    /// relative-magnitude (violations are at most Mbar times the largest before treatment) or smoothness (their slope changes by at
    /// most M)
    #[arg(
        long = "type",
        value_name = "TYPE",
        default_value = "relative-magnitude",
        help_heading = "Restriction"
    )]
    pub(crate) kind: String,
    /// Sizes of relative magnitudes [default: 0.5,1,1.5,2]
    #[arg(long, value_name = "M,…", value_delimiter = ',', allow_hyphen_values = true, value_parser = number, help_heading = "Restriction")]
    pub(crate) mbar: Option<Vec<f64>>,
    /// Sizes of smoothness, in units of the outcome [default: 0 to the largest change of slope before treatment]
    #[arg(long, value_name = "M,…", value_delimiter = ',', allow_hyphen_values = true, value_parser = number, help_heading = "Restriction")]
    pub(crate) m: Option<Vec<f64>>,
    /// The bias is known to be positive or negative
    #[arg(long, value_name = "SIGN", help_heading = "Restriction")]
    pub(crate) bias: Option<String>,
    /// The bias is known to be increasing or decreasing
    #[arg(long, value_name = "DIRECTION", help_heading = "Restriction")]
    pub(crate) monotone: Option<String>,
    /// Event times whose effects are looked at [default: all after the reference]
    #[arg(long, value_name = "E,…", value_delimiter = ',', allow_hyphen_values = true, value_parser = number, help_heading = "Effect")]
    pub(crate) event_time: Option<Vec<f64>>,
    /// The mean effect over some event times, in place of single ones
    #[arg(long, value_name = "FIRST..LAST", allow_hyphen_values = true, help_heading = "Effect")]
    pub(crate) average: Option<String>,
    /// c-lf, flci, conditional or c-f [default: flci for smoothness without a direction, else c-lf]
    #[arg(long, value_name = "METHOD", help_heading = "Inference")]
    pub(crate) method: Option<String>,
    /// Significance level [default: 0.05, or as in the run]
    #[arg(long, alias = "alpha", value_name = "LEVEL", value_parser = number, allow_negative_numbers = true, help_heading = "Inference")]
    pub(crate) alp: Option<f64>,
    /// Seed of the draws of critical values [default: 20210101]
    #[arg(long, value_name = "SEED", value_parser = whole, help_heading = "Inference")]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
}

/// Arguments of `stagger pretrends`.
#[derive(Args, Clone, Debug)]
pub(crate) struct PretrendsArgs {
    #[command(flatten)]
    pub(crate) study: StudyArgs,
    /// Probabilities with which the pre-test is to find the trend [default: 0.5,0.8]
    #[arg(long, value_name = "P,…", value_delimiter = ',', allow_hyphen_values = true, value_parser = number, help_heading = "Trend")]
    pub(crate) power: Option<Vec<f64>>,
    /// Slopes of trends, in units of the outcome for one event time, in place of probabilities
    #[arg(long, value_name = "S,…", value_delimiter = ',', allow_hyphen_values = true, value_parser = number, help_heading = "Trend")]
    pub(crate) slope: Option<Vec<f64>>,
    /// Level of the pre-test [default: 0.05, or as in the run]
    #[arg(long, alias = "alpha", value_name = "LEVEL", value_parser = number, allow_negative_numbers = true, help_heading = "Trend")]
    pub(crate) alp: Option<f64>,
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
}
