//! The time that frames take: `stagger demo --measure`. The screen is in memory, so that it is the dashboard that is measured.

use std::time::{Duration, Instant};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::layout::Rect;
use stagger_model::event_log::Recording;
use stagger_model::events::RunEvent;
use stagger_model::failure::Failure;

use super::app::{App, Mode};
use super::live::FRAME;
use super::panes::draw;
use super::replay::Player;
use super::theme::{Colors, Theme};
use crate::view::RunView;

/// Keys that are pressed in turn: through all panes, down their rows, sorting, filtering, help.
const KEYS: [KeyCode; 12] = [
    KeyCode::Tab,
    KeyCode::Char('j'),
    KeyCode::PageDown,
    KeyCode::Char('s'),
    KeyCode::Char('G'),
    KeyCode::Char('z'),
    KeyCode::Char('e'),
    KeyCode::Char('/'),
    KeyCode::Char('1'),
    KeyCode::Esc,
    KeyCode::Char('?'),
    KeyCode::Esc,
];
/// Presses that are timed.
const PRESSES: usize = 2_000;

/// Tasks that the dashboard is to be quick with.
const TASKS: usize = 10_000;

/// The recording as often as it has that many tasks, one after the other.
fn enlarged(events: Recording) -> Recording {
    let tasks = events.iter().filter(|(_, event)| matches!(event, RunEvent::Done(_))).count();
    let times = TASKS.div_ceil(tasks.max(1));
    let length = events.last().map_or(0.0, |(at, _)| *at) - events.first().map_or(0.0, |(at, _)| *at);
    let again = |time: usize| {
        let shift = 1_000_000 * time as u64;
        let events = events.iter().map(move |(at, event)| {
            let mut event = event.clone();
            match &mut event {
                RunEvent::Invoked { attempt, .. } | RunEvent::Failed { attempt, .. } => *attempt += shift,
                RunEvent::Done(done) => done.attempt += shift,
                _ => {}
            }
            (at + length * time as f64, event)
        });
        events.collect::<Recording>()
    };
    (0..times).flat_map(again).collect()
}

/// A table of times from a key to its frame, and of what ten frames a second take.
pub fn frame_times(events: Recording) -> Result<String, Failure> {
    let events = enlarged(events);
    let tasks = events.iter().filter(|(_, event)| matches!(event, RunEvent::Done(_))).count();
    let mut out = format!(
        "{tasks} tasks; times in ms\n{:<10} {:>8} {:>8} {:>8} {:>8}  {:>6}\n",
        "screen", "first", "p50", "p99", "most", "CPU"
    );
    for (columns, rows) in [(80, 24), (120, 40), (200, 60)] {
        out += &line(events.clone(), columns, rows)?;
    }
    Ok(out)
}

fn line(events: Recording, columns: u16, rows: u16) -> Result<String, Failure> {
    let failed = |_| Failure::failed("a frame can't be drawn");
    let begin = Instant::now();
    let mut app =
        App::new(RunView::new("measured"), Theme { colors: Colors::True, ascii: false }, Mode::Watch);
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).map_err(failed)?;
    terminal.draw(|frame| draw(frame, &app)).map_err(failed)?;
    let first = begin.elapsed();
    let mut player = Player::new("measured", events);
    player.advance(&mut app, f64::MAX);
    let area = Rect::new(0, 0, columns, rows);
    let mut times = Vec::with_capacity(PRESSES);
    for press in 0..PRESSES {
        let begin = Instant::now();
        app.key(KeyEvent::new(KEYS[press % KEYS.len()], KeyModifiers::NONE), area);
        terminal.draw(|frame| draw(frame, &app)).map_err(failed)?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    let mean = times.iter().sum::<Duration>().as_secs_f64() / times.len() as f64;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(format!(
        "{:<10} {:>8.2} {:>8.2} {:>8.2} {:>8.2}  {:>4.1} %\n",
        format!("{columns}x{rows}"),
        ms(first),
        ms(times[times.len() / 2]),
        ms(times[times.len() * 99 / 100]),
        ms(times[times.len() - 1]),
        100.0 * mean / FRAME.as_secs_f64()
    ))
}
