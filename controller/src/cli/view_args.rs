//! Arguments of `stagger watch` and `stagger demo`.

use clap::Args;
use stagger_model::failure::Failure;

use super::values::{boolean, number};

/// How a run is shown that is not this process's.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Showing")]
pub(crate) struct ViewArgs {
    /// Seconds of the run in a second of a replay [default: so that it takes a minute at most]
    #[arg(long, value_name = "TIMES", value_parser = number)]
    pub(crate) speed: Option<f64>,
    /// Begin a replay at its end
    #[arg(long)]
    pub(crate) end: bool,
    /// Print every event as a line of JSON on stdout (docs/events.md)
    #[arg(long)]
    pub(crate) json: bool,
    /// Use no feature of the terminal: lines of text only
    #[arg(long, alias = "no-tui")]
    pub(crate) plain: bool,
    /// Draw with ASCII characters only
    #[arg(long)]
    pub(crate) ascii: bool,
    /// Write a picture of the dashboard to this file (.svg) instead of showing it
    #[arg(long, value_name = "FILE")]
    pub(crate) picture: Option<String>,
    /// Let the picture replace a file that another program wrote
    #[arg(long)]
    pub(crate) force: bool,
    /// Moment of the picture, as a share of the run's time
    #[arg(long, value_name = "SHARE", default_value_t = 1.0)]
    pub(crate) at: f64,
    /// Size of the picture in characters
    #[arg(long, value_name = "WxH", default_value = "120x40")]
    pub(crate) size: String,
    /// Pane of the picture, 1 to 9
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) pane: usize,
}

impl ViewArgs {
    /// Columns and rows of the picture.
    pub(crate) fn size(&self) -> Result<(u16, u16), Failure> {
        let parts = self.size.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
        parts.filter(|(w, h)| (40..=500).contains(w) && (10..=300).contains(h)).ok_or_else(|| {
            Failure::input(format!(
                "size must be columns x rows, from 40x10 to 500x300; received \"{}\"",
                self.size
            ))
        })
    }

    /// The moment of the picture, checked.
    pub(crate) fn share(&self) -> Result<f64, Failure> {
        if (0.0..=1.0).contains(&self.at) {
            return Ok(self.at);
        }
        Err(Failure::input(format!("at must be between 0 and 1; received {}", self.at)))
    }

    /// Checks the speed, and returns it.
    pub(crate) fn speed(&self) -> Result<Option<f64>, Failure> {
        match self.speed {
            Some(speed) if !(speed > 0.0 && speed.is_finite()) => {
                Err(Failure::input(format!("speed must be positive; received {speed}")))
            }
            speed => Ok(speed),
        }
    }
}

/// Arguments of `stagger watch`.
#[derive(Args, Clone, Debug)]
pub(crate) struct WatchArgs {
    /// Name of a run, folder of a saved result, or an event log (.jsonl)
    #[arg(value_name = "RUN")]
    pub(crate) run: String,
    /// Folder or s3:// prefix of journals [default: s3://$STAGGER_BUCKET/runs]
    #[arg(long, value_name = "DIR")]
    pub(crate) run_dir: Option<String>,
    #[command(flatten)]
    pub(crate) view: ViewArgs,
}

/// Arguments of `stagger demo`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoArgs {
    /// Run a small panel on this machine instead of playing the recorded run
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean)]
    pub(crate) live: Option<bool>,
    /// Measure how long frames take, in milliseconds
    #[arg(long, conflicts_with = "live")]
    pub(crate) measure: bool,
    #[command(flatten)]
    pub(crate) view: ViewArgs,
}
