//! The terminal taken for the dashboard, and given back whatever happens: on drop, on a panic, on a signal.
//!
//! It is drawn on stderr, so that results on stdout can go into a pipe or a file.

use std::io::{self, Stderr, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::{Hide, Show};
use crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::Frame;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use stagger_model::printable::printable;

/// True while the terminal is ours.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The terminal, while it is ours.
pub(crate) struct Screen {
    /// The terminal that frames are drawn on.
    pub(crate) terminal: ratatui::Terminal<CrosstermBackend<Stderr>>,
}

impl Screen {
    /// Takes the terminal.
    pub(crate) fn take() -> io::Result<Self> {
        enable_raw_mode()?;
        TAKEN.store(true, Ordering::SeqCst);
        let entered = execute!(io::stderr(), EnterAlternateScreen, EnableMouseCapture, Hide);
        let terminal = entered.and_then(|()| ratatui::Terminal::new(CrosstermBackend::new(io::stderr())));
        match terminal {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }

    /// Gives it back, and leaves behind what is shown last, if asked.
    pub(crate) fn leave(mut self, keep: bool, draw: impl FnOnce(&mut Frame<'_>)) {
        let last =
            if keep { self.terminal.draw(draw).ok().map(|frame| buffer_text(frame.buffer)) } else { None };
        drop(self);
        if let Some(text) = last {
            let _ = io::stderr().write_all(printable(&text).as_bytes());
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Somebody outside wants the dashboard closed: the terminal is gone, or the process is to end.
static CLOSE: AtomicBool = AtomicBool::new(false);

/// Has the dashboard close.
pub fn request_close() {
    CLOSE.store(true, Ordering::SeqCst);
}

/// Returns true if the dashboard is to close.
pub(super) fn is_closing() -> bool {
    CLOSE.load(Ordering::SeqCst)
}

/// Returns true while the terminal is ours.
pub fn is_taken() -> bool {
    TAKEN.load(Ordering::SeqCst)
}

/// Gives the terminal back, if it is ours: called twice it does nothing the second time.
pub fn restore() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // Nothing better can be done about a terminal that takes no orders.
        let _ = execute!(io::stderr(), DisableMouseCapture, LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// Gives the terminal back before a panic is reported from now on, so that its message lands on a screen that shows it. A panic is left
/// alone where `is_caught` returns true.
pub fn restore_on_panic(is_caught: fn() -> bool) {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if is_caught() {
            return;
        }
        restore();
        report(info);
    }));
}

/// Returns the text on a screen, line by line, without the blanks at their ends.
pub(crate) fn buffer_text(buffer: &Buffer) -> String {
    let area = buffer.area;
    let line = |y: u16| {
        let cells = (area.x..area.right()).map(|x| buffer[(x, y)].symbol());
        cells.collect::<String>().trim_end().to_owned() + "\n"
    };
    (area.y..area.bottom()).map(line).collect()
}
