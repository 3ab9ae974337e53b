//! Charts of a saved result.

mod diagnostics;
mod effects;
pub mod events;
pub mod files;
mod robustness;

pub use diagnostics::{balance, overlap};
pub use effects::{NamedAggregation, by_cohort, by_period, cells_figure, event_study};
pub use robustness::{pretrends, sensitivity};

/// The kinds of charts, by the names of `--kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Effects by event time.
    EventStudy,
    /// ATT(g,t), a panel for every cohort.
    Cells,
    /// Effects by cohort.
    Group,
    /// Effects by period.
    Calendar,
    /// Propensity scores.
    Overlap,
    /// Standardised mean differences.
    Balance,
    /// Tasks of the run.
    Timeline,
}

impl Kind {
    /// Names, in the order of the help.
    pub const NAMES: [(&'static str, Kind); 7] = [
        ("event-study", Kind::EventStudy),
        ("gt", Kind::Cells),
        ("group", Kind::Group),
        ("calendar", Kind::Calendar),
        ("overlap", Kind::Overlap),
        ("balance", Kind::Balance),
        ("timeline", Kind::Timeline),
    ];

    /// The kind of that name; other programs say `dynamic` and `eventstudy`.
    pub fn named(text: &str) -> Option<Kind> {
        let name = match text {
            "dynamic" | "eventstudy" | "event_study" | "event" => "event-study",
            "att-gt" | "att_gt" => "gt",
            other => other,
        };
        Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, kind)| kind)
    }

    /// Returns its name.
    pub fn name(self) -> &'static str {
        Self::NAMES.into_iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}
