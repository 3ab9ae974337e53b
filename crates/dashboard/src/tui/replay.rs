//! A run that is over, or one of another process: its journal, played or followed.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use crossterm::event::{self, Event};
use ratatui::layout::Rect;
use stagger_model::event_log::Recording;
use stagger_model::events::RunEvent;
use stagger_model::failure::Failure;

use super::app::{App, Mode};
use super::input::InputRequest;
use super::live::{FRAME, unix_now};
use super::panes::draw;
use super::terminal::{Screen, is_closing};
use super::theme::Theme;
use crate::view::RunView;

/// Seconds that a replay takes at most, unless a person asks for another speed.
const LONGEST: f64 = 60.0;

/// Returns a speed at which a run of this length is shown within a minute.
pub(crate) fn speed_for(seconds: f64) -> f64 {
    let mut speed = 1.0;
    while seconds / speed > LONGEST {
        speed *= 2.0;
    }
    speed
}

/// A recording and where it is.
pub(super) struct Player {
    name: String,
    events: Recording,
    /// Events that have been shown.
    next: usize,
    at: f64,
}

impl Player {
    pub(super) fn new(name: &str, mut events: Recording) -> Self {
        // Controllers of different hosts may have different clocks; within one the order is that of the journal.
        events.sort_by(|a, b| a.0.total_cmp(&b.0));
        let at = events.first().map_or(0.0, |(at, _)| *at);
        Self { name: name.to_owned(), events, next: 0, at }
    }

    /// Moves by a number of seconds of the run, back if it is negative.
    pub(super) fn advance(&mut self, app: &mut App, seconds: f64) {
        let (first, last) = (self.begin(), self.end());
        self.at = (self.at + seconds).clamp(first, last);
        if seconds < 0.0 {
            self.next = 0;
            app.reset(RunView::new(&self.name), first);
        }
        while let Some((at, event)) = self.events.get(self.next).filter(|(at, _)| *at <= self.at) {
            app.apply(*at, event);
            self.next += 1;
        }
        app.set_now(self.at);
    }

    fn begin(&self) -> f64 {
        self.events.first().map_or(0.0, |(at, _)| *at)
    }

    fn end(&self) -> f64 {
        self.events.last().map_or(0.0, |(at, _)| *at)
    }

    /// Seconds from its first event to its last.
    pub(super) fn seconds(&self) -> f64 {
        self.end() - self.begin()
    }
}

/// Plays a recording on the terminal until somebody leaves.
pub fn play(
    name: &str,
    events: Recording,
    theme: Theme,
    speed: Option<f64>,
    at_end: bool,
) -> Result<(), Failure> {
    let mut player = Player::new(name, events);
    let speed = speed.unwrap_or_else(|| speed_for(player.seconds()));
    let mut app = App::new(RunView::new(name), theme, Mode::Replay { speed, paused: false });
    player.advance(&mut app, if at_end { f64::MAX } else { 0.0 });
    let mut last = Instant::now();
    show(&mut app, |app, effect| {
        let passed = last.elapsed().as_secs_f64();
        last = Instant::now();
        let Mode::Replay { speed, paused } = &mut app.mode else { return };
        match effect {
            InputRequest::ReplayPause => *paused = !*paused,
            InputRequest::Speed(times) => *speed = (*speed * times).clamp(1.0 / 16.0, 65_536.0),
            _ => {}
        }
        let moved = match effect {
            InputRequest::Seek(seconds) => seconds,
            _ if *paused => 0.0,
            _ => passed * *speed,
        };
        player.advance(app, moved);
    })
}

/// Follows a run of another process; `cancel` asks its controller to stop.
pub fn follow(
    name: &str,
    theme: Theme,
    news: &Receiver<(f64, RunEvent)>,
    cancel: impl Fn(bool) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut app = App::new(RunView::new(name), theme, Mode::Watch);
    show(&mut app, |app, effect| {
        if let InputRequest::Cancel { abandon } = effect
            && let Err(failure) = cancel(abandon)
        {
            app.control.cancelling = false;
            app.control.said = Some(failure.to_string().lines().next().unwrap_or_default().to_owned());
        }
        while let Ok((at, event)) = news.try_recv() {
            app.apply(at, &event);
        }
        app.set_now(unix_now());
    })
}

/// Shows an app until somebody leaves; `step` is called before every frame, and with what keys ask for.
fn show(app: &mut App, mut step: impl FnMut(&mut App, InputRequest)) -> Result<(), Failure> {
    let lost = |error: std::io::Error| Failure::failed(format!("the terminal is lost: {error}"));
    let mut screen = Screen::take().map_err(lost)?;
    loop {
        step(app, InputRequest::None);
        if is_closing() {
            return Ok(());
        }
        screen.terminal.draw(|frame| draw(frame, app)).map_err(lost)?;
        let mut wait = FRAME;
        while event::poll(wait).map_err(lost)? {
            wait = Duration::ZERO;
            let size = screen.terminal.size().map_err(lost)?;
            let area = Rect::new(0, 0, size.width, size.height);
            let effect = match event::read().map_err(lost)? {
                Event::Key(key) => app.key(key, area),
                Event::Mouse(mouse) => app.mouse(mouse, area),
                _ => InputRequest::None,
            };
            match effect {
                InputRequest::Quit { keep } => {
                    screen.leave(keep, |frame| draw(frame, app));
                    return Ok(());
                }
                InputRequest::None => {}
                effect => step(app, effect),
            }
        }
    }
}
