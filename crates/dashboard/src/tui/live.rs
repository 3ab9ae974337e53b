//! The dashboard of a run in this process: a thread of its own takes the run's events and draws them.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crossterm::event::{self, Event};
use ratatui::layout::Rect;
use stagger_model::event_log::Recording;
use stagger_model::events::RunEvent;
use stagger_model::failure::Failure;
use stagger_model::signal::Signal;

use super::app::{App, Mode};
use super::input::InputRequest;
use super::panes::draw;
use super::terminal::{Screen, is_closing, restore};
use super::theme::Theme;
use crate::view::RunView;

/// Time between frames: ten a second.
pub(super) const FRAME: Duration = Duration::from_millis(100);

/// The time between two looks at a thread that may not end, and the time that it has to close the dashboard.
const LOOK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(1);

/// The way in which the dashboard was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The run was over, or was cancelled.
    Closed,
    /// The run goes on without it.
    Detached,
    /// A run that failed is to be tried again.
    Again,
}

enum Message {
    Event(f64, Box<RunEvent>),
    /// The run has ended in this process, with an error or not.
    Ended {
        failed: bool,
    },
}

/// A dashboard that is open.
pub struct Dashboard {
    sender: Mutex<Sender<Message>>,
    thread: JoinHandle<Exit>,
}

/// Returns the present in seconds since 1970.
pub fn unix_now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

impl Dashboard {
    /// Opens the dashboard of a run with a past, if it has one. `signal` pauses and stops a run that can be; `interrupt` ends the process of one
    /// that can't.
    pub fn open(
        name: &str,
        theme: Theme,
        signal: Option<Signal>,
        past: &Recording,
        interrupt: fn(),
    ) -> Result<Self, Failure> {
        let screen = Screen::take().map_err(|error| {
            Failure::failed(format!("the dashboard can't have the terminal: {error}"))
                .hint("--no-tui shows lines instead")
        })?;
        let (sender, receiver) = channel();
        let mode = if signal.is_some() { Mode::Run } else { Mode::Alone };
        let mut app = App::new(RunView::new(name), theme, mode);
        past.iter().for_each(|(at, event)| app.apply(*at, event));
        app.set_now(unix_now());
        let own = EventLoop { screen, app, receiver, signal, interrupt, ended: None };
        let thread = std::thread::Builder::new().name("stagger-tui".to_owned());
        let thread = thread
            .spawn(move || own.run())
            .map_err(|error| Failure::failed(format!("the dashboard can't be started: {error}")))?;
        Ok(Self { sender: Mutex::new(sender), thread })
    }

    /// Takes an event of this moment. Never waits for the screen.
    pub fn observe(&self, event: &RunEvent) {
        self.send(Message::Event(unix_now(), Box::new(event.clone())));
    }

    fn send(&self, message: Message) {
        // A dashboard that was left listens no more.
        let _ = self.sender.lock().unwrap_or_else(PoisonError::into_inner).send(message);
    }

    /// Returns true if the dashboard was left while the run goes on.
    pub fn is_closed(&self) -> bool {
        self.thread.is_finished() || is_closing()
    }

    /// The run has ended.
    pub fn run_ended(&self, failed: bool) {
        self.send(Message::Ended { failed });
    }

    /// Stays open until somebody leaves.
    pub fn wait(self) -> Exit {
        // Reading from a terminal that is gone may never return: such a thread is not waited for.
        let mut patience = PATIENCE;
        while !self.thread.is_finished() {
            if is_closing() {
                patience = patience.saturating_sub(LOOK);
            }
            if patience.is_zero() {
                restore();
                return Exit::Detached;
            }
            std::thread::sleep(LOOK);
        }
        // A panic there has been told, and the terminal given back.
        self.thread.join().unwrap_or(Exit::Closed)
    }
}

struct EventLoop {
    screen: Screen,
    app: App,
    receiver: Receiver<Message>,
    signal: Option<Signal>,
    interrupt: fn(),
    /// The run has ended, failed or not.
    ended: Option<bool>,
}

impl EventLoop {
    fn run(mut self) -> Exit {
        let mut drawn = Instant::now();
        let mut dirty = true;
        loop {
            dirty |= self.drain();
            if is_closing() {
                self.screen.leave(false, |_| {});
                return Exit::Detached;
            }
            if dirty {
                if self.screen.terminal.draw(|frame| draw(frame, &self.app)).is_err() {
                    // A terminal that is gone: the run goes on.
                    return Exit::Detached;
                }
                drawn = Instant::now();
            }
            // A screen that need not be drawn again waits as long as a frame: it must not ask without a pause.
            let rest = FRAME.saturating_sub(drawn.elapsed());
            match event::poll(if rest.is_zero() { FRAME } else { rest }) {
                Ok(true) => {
                    if let Some(left) = self.inputs() {
                        let (left, keep) = left;
                        self.screen.leave(keep, |frame| draw(frame, &self.app));
                        return left;
                    }
                    dirty = true;
                }
                Ok(false) => dirty = self.ended.is_none() && !self.app.is_frozen(),
                Err(_) => return Exit::Detached,
            }
            self.app.set_now(unix_now());
        }
    }

    /// Takes what the run has told; whether there was anything.
    fn drain(&mut self) -> bool {
        let mut any = false;
        loop {
            match self.receiver.try_recv() {
                Ok(Message::Event(at, event)) => self.app.apply(at, &event),
                Ok(Message::Ended { failed }) => {
                    self.ended = Some(failed);
                    let said = match (failed, self.signal.is_some()) {
                        (false, _) => "the run is done; q closes and prints its results",
                        (true, true) => "the run has stopped; r tries again, q closes",
                        (true, false) => "the run has stopped; q closes",
                    };
                    self.app.control.said = Some(said.to_owned());
                }
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return any,
            }
            any = true;
        }
    }

    /// Takes every input that waits; how the dashboard was left, and whether the screen stays, if it was.
    fn inputs(&mut self) -> Option<(Exit, bool)> {
        while event::poll(Duration::ZERO).unwrap_or(false) {
            let Ok(input) = event::read() else { return Some((Exit::Detached, false)) };
            let area = self
                .screen
                .terminal
                .size()
                .map_or(Rect::default(), |size| Rect::new(0, 0, size.width, size.height));
            let effect = match input {
                Event::Key(key) => self.app.key(key, area),
                Event::Mouse(mouse) => self.app.mouse(mouse, area),
                _ => InputRequest::None,
            };
            if let Some(left) = self.carry_out(effect) {
                return Some(left);
            }
        }
        None
    }

    fn carry_out(&mut self, effect: InputRequest) -> Option<(Exit, bool)> {
        match effect {
            // What was asked before the run's end was known to be that.
            InputRequest::Quit { keep } => Some((Exit::Closed, keep)),
            InputRequest::Detach => Some((Exit::Detached, false)),
            InputRequest::Cancel { abandon } => {
                match &self.signal {
                    Some(signal) => (0..1 + u8::from(abandon)).for_each(|_| {
                        signal.stop();
                    }),
                    None => (self.interrupt)(),
                }
                None
            }
            InputRequest::Pause => {
                if let Some(signal) = &self.signal {
                    self.app.control.paused = signal.toggle_pause();
                }
                None
            }
            InputRequest::Retry if self.ended == Some(true) => Some((Exit::Again, false)),
            InputRequest::Retry => {
                if let Some(signal) = &self.signal {
                    signal.retry_now();
                }
                None
            }
            InputRequest::None
            | InputRequest::Seek(_)
            | InputRequest::ReplayPause
            | InputRequest::Speed(_) => None,
        }
    }
}
