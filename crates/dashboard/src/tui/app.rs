//! The dashboard's state: what is shown of the run, and what keys and mouse change about it. No drawing, no terminal, no clock.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};
use stagger_model::events::RunEvent;

use super::keys::{Action, action};
use super::layout;
use super::theme::Theme;
use crate::view::RunView;

/// The panes that fill the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    Overview,
    Stages,
    Cells,
    Tasks,
    Workers,
    Cost,
    Errors,
    Log,
    Estimates,
}

impl Tab {
    pub const ALL: [Self; 9] = [
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

    pub fn name(self) -> &'static str {
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

    /// What its rows can be sorted by.
    pub fn orders(self) -> &'static [&'static str] {
        match self {
            Self::Tasks => &["start", "seconds", "task", "outcome"],
            Self::Stages => &["order", "seconds", "failures"],
            Self::Errors => &["weight", "count", "last"],
            Self::Estimates => &["cell", "estimate", "|t|"],
            _ => &[],
        }
    }
}

/// What stands in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Popup {
    Help,
    /// Whether to leave a run under way: detach or cancel.
    Leave,
    Cancel,
}

/// What the run can be asked for from here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// A run of this process, on workers: it pauses, retries, is cancelled.
    Run,
    /// A run of this process alone: it can only be ended.
    Alone,
    /// A run of another process, or none: it is watched, and can be cancelled.
    Watch,
    /// A run that is over, shown again at this multiple of its speed.
    Replay { speed: f64, paused: bool },
}

/// What the terminal's owner has to do after an input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect {
    None,
    /// Leaves; the screen stays as it is if asked.
    Quit {
        keep: bool,
    },
    /// Leaves, and the run goes on.
    Detach,
    Cancel {
        abandon: bool,
    },
    Pause,
    Retry,
    /// Moves a replay by so many seconds of the run.
    Seek(f64),
    ReplayPause,
    Speed(f64),
}

/// The dashboard.
#[derive(Clone, Debug)]
pub struct App {
    live: RunView,
    /// What was shown when it was frozen.
    frozen: Option<Box<(RunView, f64)>>,
    /// Now, seconds since 1970: of the run, in a replay.
    pub now: f64,
    pub theme: Theme,
    pub mode: Mode,
    pub tab: Tab,
    pub popup: Option<Popup>,
    /// Row that is chosen, by tab.
    rows: [usize; Tab::ALL.len()],
    /// First column shown, by tab.
    columns: [usize; Tab::ALL.len()],
    orders: [usize; Tab::ALL.len()],
    pub reverse: bool,
    pub filter: String,
    /// The filter is being typed.
    pub typing: bool,
    pub errors_only: bool,
    /// Specification shown.
    spec: usize,
    /// Seconds that the task stream spans; all without.
    pub zoom: Option<f64>,
    pub paused: bool,
    pub cancelling: bool,
    /// What was said last in answer to a key.
    pub said: Option<String>,
}

impl App {
    pub fn new(view: RunView, theme: Theme, mode: Mode) -> Self {
        Self {
            live: view,
            frozen: None,
            now: 0.0,
            theme,
            mode,
            tab: Tab::Overview,
            popup: None,
            rows: [0; Tab::ALL.len()],
            columns: [0; Tab::ALL.len()],
            orders: [0; Tab::ALL.len()],
            reverse: false,
            filter: String::new(),
            typing: false,
            errors_only: false,
            spec: 0,
            zoom: None,
            paused: false,
            cancelling: false,
            said: None,
        }
    }

    /// Takes an event of the run.
    pub fn event(&mut self, at: f64, event: &RunEvent) {
        self.live.update(at, event);
        self.now = self.now.max(at);
    }

    /// Shows another state of the run: a replay that went back.
    pub fn replace(&mut self, view: RunView, now: f64) {
        (self.live, self.now) = (view, now);
    }

    /// What is shown, and when it was so.
    pub fn shown(&self) -> (&RunView, f64) {
        match &self.frozen {
            Some(frozen) => (&frozen.0, frozen.1),
            None => (&self.live, self.now),
        }
    }

    pub fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    fn index(&self) -> usize {
        self.tab as usize
    }

    /// The row that is chosen in the tab shown.
    pub fn row(&self) -> usize {
        self.rows[self.index()]
    }

    pub fn column(&self) -> usize {
        self.columns[self.index()]
    }

    /// What the rows of a tab are sorted by.
    pub fn order(&self, tab: Tab) -> usize {
        self.orders[tab as usize]
    }

    /// The specification shown, by its place.
    pub fn spec(&self) -> usize {
        self.spec.min(self.shown().0.specs.len().saturating_sub(1))
    }

    /// Whether a text passes the filter.
    pub fn passes(&self, text: &str) -> bool {
        let (wanted, inverse) = match self.filter.strip_prefix('!') {
            Some(rest) => (rest, true),
            None => (self.filter.as_str(), false),
        };
        wanted.is_empty() || text.to_lowercase().contains(&wanted.to_lowercase()) != inverse
    }

    fn move_row(&mut self, by: isize) {
        let index = self.index();
        let most = self.row_count().saturating_sub(1);
        self.rows[index] = self.rows[index].min(most).saturating_add_signed(by).min(most);
    }

    /// Rows of the tab shown, as it is filtered.
    fn row_count(&self) -> usize {
        super::panes::rows(self)
    }

    /// A key was pressed, on a screen of this size.
    pub fn key(&mut self, event: KeyEvent, area: Rect) -> Effect {
        if event.kind == KeyEventKind::Release {
            return Effect::None;
        }
        if self.typing {
            return self.typed(event);
        }
        if let Some(popup) = self.popup {
            return self.answered(popup, event);
        }
        self.said = None;
        let Some(action) = action(event) else { return Effect::None };
        self.act(action, layout::page(area))
    }

    fn typed(&mut self, event: KeyEvent) -> Effect {
        match event.code {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => (self.typing, self.filter) = (false, String::new()),
            KeyCode::Backspace => {
                self.filter.pop();
            }
            KeyCode::Char(c) => self.filter.push(c),
            _ => {}
        }
        self.rows = [0; Tab::ALL.len()];
        Effect::None
    }

    fn answered(&mut self, popup: Popup, event: KeyEvent) -> Effect {
        self.popup = None;
        match (popup, event.code) {
            (Popup::Leave, KeyCode::Char('d')) => Effect::Detach,
            (Popup::Leave, KeyCode::Char('c')) | (Popup::Cancel, KeyCode::Char('y')) => {
                self.cancelling = true;
                Effect::Cancel { abandon: false }
            }
            (Popup::Cancel, KeyCode::Char('a')) => {
                self.cancelling = true;
                Effect::Cancel { abandon: true }
            }
            _ => Effect::None,
        }
    }

    fn act(&mut self, action: Action, page: usize) -> Effect {
        let page = page as isize;
        match action {
            Action::Quit => return self.quit(false),
            Action::QuitKeepScreen => return self.quit(true),
            Action::Help => self.popup = Some(Popup::Help),
            Action::NextTab => self.tab = Tab::ALL[(self.index() + 1) % Tab::ALL.len()],
            Action::PreviousTab => {
                self.tab = Tab::ALL[(self.index() + Tab::ALL.len() - 1) % Tab::ALL.len()];
            }
            Action::Tab(index) => self.tab = Tab::ALL.get(index).copied().unwrap_or(self.tab),
            Action::Up => self.move_row(-1),
            Action::Down => self.move_row(1),
            Action::PageUp => self.move_row(-page),
            Action::PageDown => self.move_row(page),
            Action::First => self.move_row(isize::MIN / 2),
            Action::Last => self.move_row(isize::MAX / 2),
            Action::Left | Action::Right => return self.sideways(action == Action::Right),
            Action::Filter => self.typing = true,
            Action::Sort => self.sort(),
            Action::Reverse => self.reverse = !self.reverse,
            Action::ErrorsOnly => self.errors_only = !self.errors_only,
            Action::Spec => {
                let count = self.live.specs.len().max(1);
                self.spec = (self.spec + 1) % count;
            }
            Action::ZoomIn | Action::ZoomOut => self.zoom(action == Action::ZoomIn),
            Action::Freeze => {
                self.frozen = match self.frozen.take() {
                    Some(_) => None,
                    None => Some(Box::new((self.live.clone(), self.now))),
                };
            }
            Action::Pause => return self.pause(),
            Action::Retry => return self.retry(),
            Action::Cancel => self.cancel(),
            Action::Faster | Action::Slower => {
                if let Mode::Replay { .. } = self.mode {
                    return Effect::Speed(if action == Action::Faster { 2.0 } else { 0.5 });
                }
            }
            Action::Back => {
                self.filter.clear();
                self.errors_only = false;
            }
        }
        Effect::None
    }

    fn quit(&mut self, keep: bool) -> Effect {
        let here = matches!(self.mode, Mode::Run | Mode::Alone);
        if here && !self.live.phase.is_over() {
            self.popup = Some(Popup::Leave);
            return Effect::None;
        }
        Effect::Quit { keep }
    }

    fn sideways(&mut self, right: bool) -> Effect {
        if let Mode::Replay { speed, .. } = self.mode {
            let step = 5.0 * speed.max(1.0);
            return Effect::Seek(if right { step } else { -step });
        }
        let index = self.index();
        let column = &mut self.columns[index];
        *column = if right { *column + 1 } else { column.saturating_sub(1) };
        Effect::None
    }

    fn sort(&mut self) {
        let orders = self.tab.orders();
        let index = self.index();
        if orders.is_empty() {
            self.said = Some("nothing here is sorted".to_owned());
            return;
        }
        self.orders[index] = (self.orders[index] + 1) % orders.len();
        self.said = Some(format!("sorted by {}", orders[self.orders[index]]));
    }

    fn zoom(&mut self, closer: bool) {
        let (view, now) = self.shown();
        let all = view.elapsed(now).max(1.0);
        let span = self.zoom.unwrap_or(all) * if closer { 0.5 } else { 2.0 };
        self.zoom = (span < all).then_some(span.max(0.5));
    }

    fn pause(&mut self) -> Effect {
        match self.mode {
            Mode::Replay { .. } => Effect::ReplayPause,
            Mode::Run if !self.live.phase.is_over() => {
                self.paused = !self.paused;
                let said = if self.paused { "paused: tasks under way end" } else { "going on" };
                self.said = Some(said.to_owned());
                Effect::Pause
            }
            Mode::Run => self.refuse("the run is over"),
            Mode::Alone => self.refuse("a run of one process does not pause; f freezes what is shown"),
            Mode::Watch => self.refuse("only its own controller pauses a run; f freezes what is shown"),
        }
    }

    fn retry(&mut self) -> Effect {
        match self.mode {
            Mode::Run => {
                self.said = Some("what waits is tried now".to_owned());
                Effect::Retry
            }
            _ => self.refuse("nothing to retry from here; `stagger resume` goes on with a run"),
        }
    }

    fn cancel(&mut self) {
        match self.mode {
            Mode::Replay { .. } => {
                self.refuse("this run is over");
            }
            _ if self.live.phase.is_over() => {
                self.refuse("the run is over");
            }
            _ => self.popup = Some(Popup::Cancel),
        }
    }

    fn refuse(&mut self, why: &str) -> Effect {
        self.said = Some(why.to_owned());
        Effect::None
    }

    /// The mouse did something, on a screen of this size.
    pub fn mouse(&mut self, event: MouseEvent, area: Rect) -> Effect {
        let at = Position { x: event.column, y: event.row };
        match event.kind {
            MouseEventKind::ScrollUp => self.move_row(-3),
            MouseEventKind::ScrollDown => self.move_row(3),
            MouseEventKind::Down(MouseButton::Left) => {
                self.popup = None;
                if let Some(tab) = layout::tab_at(area, at) {
                    self.tab = tab;
                } else if let Some(tab) =
                    (self.tab == Tab::Overview).then(|| layout::pane_at(area, at)).flatten()
                {
                    self.tab = tab;
                } else if let Some(row) = layout::row_at(area, at) {
                    let offset = super::panes::first_row(self, area);
                    let index = self.index();
                    self.rows[index] = (offset + row).min(self.row_count().saturating_sub(1));
                }
            }
            _ => {}
        }
        Effect::None
    }
}
