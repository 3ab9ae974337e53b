//! The state of the dashboard: the run that is watched, and what is shown of it. No input, no drawing, no terminal, no clock.

use stagger_model::events::RunEvent;

use super::theme::Theme;
use crate::view::RunView;

/// The panes that fill the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tab {
    /// The most important panes, small.
    Overview,
    /// The stages of the run.
    Stages,
    /// The cells by cohort and period.
    Cells,
    /// The attempts over time, one lane per worker slot.
    Tasks,
    /// The memory and the rates of the workers.
    Workers,
    /// The dollars spent, and where they went.
    Cost,
    /// The failures by cause.
    Errors,
    /// The events as lines.
    Log,
    /// The estimates of the cells and their aggregations.
    Estimates,
}

impl Tab {
    /// All tabs in the order in which they are shown.
    pub(crate) const ALL: [Self; 9] = [
        Self::Overview,
        Self::Stages,
        Self::Cells,
        Self::Tasks,
        Self::Workers,
        Self::Cost,
        Self::Errors,
        Self::Log,
        Self::Estimates,
    ];

    /// Returns the name of the tab.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Stages => "Stages",
            Self::Cells => "Cells",
            Self::Tasks => "Tasks",
            Self::Workers => "Workers",
            Self::Cost => "Cost",
            Self::Errors => "Errors",
            Self::Log => "Log",
            Self::Estimates => "Estimates",
        }
    }

    /// Returns the orders that its rows can have, by name.
    pub(crate) fn sort_orders(self) -> &'static [&'static str] {
        match self {
            Self::Tasks => &["start", "seconds", "task", "outcome"],
            Self::Stages => &["order", "seconds", "failures"],
            Self::Errors => &["weight", "count", "last"],
            Self::Estimates => &["cell", "estimate", "|t|"],
            _ => &[],
        }
    }
}

/// A window in front of the panes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Popup {
    /// The keys and their meaning.
    Help,
    /// The question how to leave a run under way: detach or cancel.
    Leave,
    /// The question whether to cancel the run.
    Cancel,
}

/// The relation to the run, which decides what it can be asked for from here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    /// A run of this process, on workers: it pauses, retries, is cancelled.
    Run,
    /// A run of this process alone: it can only be ended.
    Alone,
    /// A run of another process, or none: it is watched, and can be cancelled.
    Watch,
    /// A run that is over, shown again at this multiple of its speed.
    Replay { speed: f64, paused: bool },
}

/// The state of the dashboard.
#[derive(Clone, Debug)]
pub(crate) struct App {
    /// The run, as it is and as it is shown.
    pub(super) watched: Watched,
    /// The colours and signs.
    pub(crate) theme: Theme,
    /// The relation to the run.
    pub(crate) mode: Mode,
    /// The tab that is shown.
    pub(crate) tab: Tab,
    /// The window in front, if there is one.
    pub(crate) popup: Option<Popup>,
    /// The place within each tab, by its index.
    pub(super) places: [Place; Tab::ALL.len()],
    /// The rows are in reverse order.
    pub(crate) reverse: bool,
    /// The choice of rows.
    pub(crate) filter: Filter,
    /// Index of the specification shown, which may be beyond the last one.
    pub(super) spec: usize,
    /// Seconds that the task stream spans; all of the run without a value.
    pub(crate) zoom: Option<f64>,
    /// The requests to the run, and the last answer.
    pub(crate) control: Control,
}

/// The run that is watched.
#[derive(Clone, Debug)]
pub(super) struct Watched {
    pub(super) live: RunView,
    /// The run as it was when it was frozen, and the time of that.
    pub(super) frozen: Option<Box<(RunView, f64)>>,
    /// The present in seconds since 1970; in a replay, the present of the run.
    pub(super) now: f64,
}

/// The place within a tab.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// Index of the row that is chosen.
    pub(super) row: usize,
    /// Index of the first column shown.
    pub(super) column: usize,
    /// Index of the order in [`Tab::orders`].
    pub(super) order: usize,
}

/// The choice of rows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// The text that rows hold, or, after `!`, do not hold; empty for all.
    pub(crate) text: String,
    /// The text is being typed.
    pub(crate) typing: bool,
    /// Only rows of errors are shown.
    pub(crate) errors_only: bool,
}

impl Filter {
    /// Returns true if a text passes.
    fn passes(&self, text: &str) -> bool {
        let (wanted, inverse) = match self.text.strip_prefix('!') {
            Some(rest) => (rest, true),
            None => (self.text.as_str(), false),
        };
        wanted.is_empty() || text.to_lowercase().contains(&wanted.to_lowercase()) != inverse
    }
}

/// The requests to the run that were made here, and the last answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Control {
    /// The run starts no more tasks.
    pub(crate) paused: bool,
    /// The run was asked to stop.
    pub(crate) cancelling: bool,
    /// The last answer to a key.
    pub(crate) said: Option<String>,
}

impl App {
    /// Returns the dashboard of a run, with its overview in front.
    pub(crate) fn new(view: RunView, theme: Theme, mode: Mode) -> Self {
        Self {
            watched: Watched { live: view, frozen: None, now: 0.0 },
            theme,
            mode,
            tab: Tab::Overview,
            popup: None,
            places: [Place::default(); Tab::ALL.len()],
            reverse: false,
            filter: Filter::default(),
            spec: 0,
            zoom: None,
            control: Control::default(),
        }
    }

    /// Sets the present, in seconds since 1970.
    pub(crate) fn set_now(&mut self, now: f64) {
        self.watched.now = now;
    }

    /// Takes an event of the run.
    pub(crate) fn apply(&mut self, at: f64, event: &RunEvent) {
        self.watched.live.update(at, event);
        self.watched.now = self.watched.now.max(at);
    }

    /// Shows another state of the run: a replay that went back.
    pub(crate) fn reset(&mut self, view: RunView, now: f64) {
        (self.watched.live, self.watched.now) = (view, now);
    }

    /// Returns the run as it is shown, and the time of that in seconds since 1970.
    pub(crate) fn shown_run(&self) -> (&RunView, f64) {
        match &self.watched.frozen {
            Some(frozen) => (&frozen.0, frozen.1),
            None => (&self.watched.live, self.watched.now),
        }
    }

    /// Returns true if what is shown does not follow the run.
    pub(crate) fn is_frozen(&self) -> bool {
        self.watched.frozen.is_some()
    }

    /// The row that is chosen in the tab shown.
    pub(crate) fn selected_row(&self) -> usize {
        self.places[self.tab as usize].row
    }

    /// Returns the index of the first column shown in the tab.
    pub(crate) fn first_column(&self) -> usize {
        self.places[self.tab as usize].column
    }

    /// Returns the index of the order of a tab's rows in [`Tab::orders`].
    pub(crate) fn sort_order(&self, tab: Tab) -> usize {
        self.places[tab as usize].order
    }

    /// The specification shown, by its place.
    pub(crate) fn selected_spec(&self) -> usize {
        self.spec.min(self.shown_run().0.specs.len().saturating_sub(1))
    }

    /// Returns true if a text passes the filter.
    pub(crate) fn passes(&self, text: &str) -> bool {
        self.filter.passes(text)
    }
}
