//! Keys and mouse: what they change of the dashboard, and what they ask for beyond it.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::app::{App, Mode, Place, Popup, Tab};
use super::keys::{Action, action};
use super::layout;
use super::panes::{first_row, rows};

/// A request to the owner of the terminal after an input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum InputRequest {
    /// Nothing is asked for.
    None,
    /// Leaves; the screen stays as it is if asked.
    Quit {
        /// The last frame stays on the terminal.
        keep: bool,
    },
    /// Leaves, and the run goes on.
    Detach,
    /// Stops the run.
    Cancel {
        /// Tasks under way are not waited for.
        abandon: bool,
    },
    /// Pauses the run, or lets it go on.
    Pause,
    /// Tries a run that has stopped again, or at once what waits.
    Retry,
    /// Moves a replay by this number of seconds of the run.
    Seek(f64),
    /// Pauses a replay, or lets it go on.
    ReplayPause,
    /// Multiplies the speed of a replay.
    Speed(f64),
}

impl App {
    fn move_row(&mut self, by: isize) {
        let most = rows(self).saturating_sub(1);
        let place = self.place();
        place.row = place.row.min(most).saturating_add_signed(by).min(most);
    }

    /// The place within the tab shown.
    fn place(&mut self) -> &mut Place {
        &mut self.places[self.tab as usize]
    }

    /// A key was pressed, on a screen of this size.
    pub(crate) fn key(&mut self, event: KeyEvent, area: Rect) -> InputRequest {
        if event.kind == KeyEventKind::Release {
            return InputRequest::None;
        }
        if self.filter.typing {
            return self.typed(event);
        }
        if let Some(popup) = self.popup {
            return self.answered(popup, event);
        }
        self.control.said = None;
        let Some(action) = action(event) else { return InputRequest::None };
        self.act(action, layout::page_rows(area))
    }

    fn typed(&mut self, event: KeyEvent) -> InputRequest {
        match event.code {
            KeyCode::Enter => self.filter.typing = false,
            KeyCode::Esc => (self.filter.typing, self.filter.text) = (false, String::new()),
            KeyCode::Backspace => {
                self.filter.text.pop();
            }
            KeyCode::Char(c) => self.filter.text.push(c),
            _ => {}
        }
        self.places.iter_mut().for_each(|place| place.row = 0);
        InputRequest::None
    }

    fn answered(&mut self, popup: Popup, event: KeyEvent) -> InputRequest {
        self.popup = None;
        match (popup, event.code) {
            (Popup::Leave, KeyCode::Char('d')) => InputRequest::Detach,
            (Popup::Leave, KeyCode::Char('c')) | (Popup::Cancel, KeyCode::Char('y')) => {
                self.control.cancelling = true;
                InputRequest::Cancel { abandon: false }
            }
            (Popup::Cancel, KeyCode::Char('a')) => {
                self.control.cancelling = true;
                InputRequest::Cancel { abandon: true }
            }
            _ => InputRequest::None,
        }
    }

    fn act(&mut self, action: Action, page: usize) -> InputRequest {
        let page = page as isize;
        match action {
            Action::Quit => return self.quit(false),
            Action::QuitKeepScreen => return self.quit(true),
            Action::Help => self.popup = Some(Popup::Help),
            Action::NextTab => self.tab = Tab::ALL[(self.tab as usize + 1) % Tab::ALL.len()],
            Action::PreviousTab => {
                self.tab = Tab::ALL[(self.tab as usize + Tab::ALL.len() - 1) % Tab::ALL.len()];
            }
            Action::Tab(index) => self.tab = Tab::ALL.get(index).copied().unwrap_or(self.tab),
            Action::Up => self.move_row(-1),
            Action::Down => self.move_row(1),
            Action::PageUp => self.move_row(-page),
            Action::PageDown => self.move_row(page),
            Action::First => self.move_row(isize::MIN / 2),
            Action::Last => self.move_row(isize::MAX / 2),
            Action::Left | Action::Right => return self.sideways(action == Action::Right),
            Action::Filter => self.filter.typing = true,
            Action::Sort => self.sort(),
            Action::Reverse => self.reverse = !self.reverse,
            Action::ErrorsOnly => self.filter.errors_only = !self.filter.errors_only,
            Action::Spec => {
                let count = self.watched.live.specs.len().max(1);
                self.spec = (self.spec + 1) % count;
            }
            Action::ZoomIn | Action::ZoomOut => self.zoom(action == Action::ZoomIn),
            Action::Freeze => {
                let watched = &mut self.watched;
                watched.frozen = match watched.frozen.take() {
                    Some(_) => None,
                    None => Some(Box::new((watched.live.clone(), watched.now))),
                };
            }
            Action::Pause => return self.pause(),
            Action::Retry => return self.retry(),
            Action::Cancel => self.cancel(),
            Action::Faster | Action::Slower => {
                if let Mode::Replay { .. } = self.mode {
                    return InputRequest::Speed(if action == Action::Faster { 2.0 } else { 0.5 });
                }
            }
            Action::Back => {
                self.filter.text.clear();
                self.filter.errors_only = false;
            }
        }
        InputRequest::None
    }

    fn quit(&mut self, keep: bool) -> InputRequest {
        let here = matches!(self.mode, Mode::Run | Mode::Alone);
        if here && !self.watched.live.progress.phase.is_over() {
            self.popup = Some(Popup::Leave);
            return InputRequest::None;
        }
        InputRequest::Quit { keep }
    }

    fn sideways(&mut self, right: bool) -> InputRequest {
        if let Mode::Replay { speed, .. } = self.mode {
            let step = 5.0 * speed.max(1.0);
            return InputRequest::Seek(if right { step } else { -step });
        }
        let column = &mut self.place().column;
        *column = if right { *column + 1 } else { column.saturating_sub(1) };
        InputRequest::None
    }

    fn sort(&mut self) {
        let orders = self.tab.sort_orders();
        if orders.is_empty() {
            self.control.said = Some("nothing here is sorted".to_owned());
            return;
        }
        let place = self.place();
        place.order = (place.order + 1) % orders.len();
        let order = orders[place.order];
        self.control.said = Some(format!("sorted by {order}"));
    }

    fn zoom(&mut self, closer: bool) {
        let (view, now) = self.shown_run();
        let all = view.elapsed(now).max(1.0);
        let span = self.zoom.unwrap_or(all) * if closer { 0.5 } else { 2.0 };
        self.zoom = (span < all).then_some(span.max(0.5));
    }

    fn pause(&mut self) -> InputRequest {
        match self.mode {
            Mode::Replay { .. } => InputRequest::ReplayPause,
            Mode::Run if !self.watched.live.progress.phase.is_over() => {
                self.control.paused = !self.control.paused;
                let said = if self.control.paused { "paused: tasks under way end" } else { "going on" };
                self.control.said = Some(said.to_owned());
                InputRequest::Pause
            }
            Mode::Run => self.refuse("the run is over"),
            Mode::Alone => self.refuse("a run of one process does not pause; f freezes what is shown"),
            Mode::Watch => self.refuse("only its own controller pauses a run; f freezes what is shown"),
        }
    }

    fn retry(&mut self) -> InputRequest {
        match self.mode {
            Mode::Run => {
                self.control.said = Some("what waits is tried now".to_owned());
                InputRequest::Retry
            }
            _ => self.refuse("nothing to retry from here; `stagger resume` goes on with a run"),
        }
    }

    fn cancel(&mut self) {
        match self.mode {
            Mode::Replay { .. } => {
                self.refuse("this run is over");
            }
            _ if self.watched.live.progress.phase.is_over() => {
                self.refuse("the run is over");
            }
            _ => self.popup = Some(Popup::Cancel),
        }
    }

    fn refuse(&mut self, why: &str) -> InputRequest {
        self.control.said = Some(why.to_owned());
        InputRequest::None
    }

    /// The mouse did something, on a screen of this size.
    pub(crate) fn mouse(&mut self, event: MouseEvent, area: Rect) -> InputRequest {
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
                    let offset = first_row(self, area);
                    let last = rows(self).saturating_sub(1);
                    self.place().row = (offset + row).min(last);
                }
            }
            _ => {}
        }
        InputRequest::None
    }
}
