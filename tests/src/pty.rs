//! The program on a terminal: a pseudo-terminal that types and reads, and an emulator that knows what is on the screen.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use vt100::Parser;

use crate::cli::binary;

/// How long anything may take that a test waits for.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the screen is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A program on a terminal.
pub struct Terminal {
    parser: Arc<Mutex<Parser>>,
    master: Box<dyn MasterPty + Send>,
    writer: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
}

fn size((columns, rows): (u16, u16)) -> PtySize {
    PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }
}

impl Terminal {
    /// Starts `stagger` with these words on a terminal of so many columns and rows.
    pub fn start(words: &[String], columns_rows: (u16, u16), environment: &[(&str, &str)]) -> Self {
        let pair = native_pty_system().openpty(size(columns_rows)).expect("a pseudo-terminal");
        let mut command = CommandBuilder::new(binary());
        command.args(words);
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        command.env_remove("NO_COLOR");
        command.env_remove("COLORTERM");
        environment.iter().for_each(|(name, value)| command.env(name, value));
        let child = pair.slave.spawn_command(command).expect("stagger");
        drop(pair.slave);
        let (columns, rows) = columns_rows;
        let parser = Arc::new(Mutex::new(Parser::new(rows, columns, 200)));
        let mut reader = pair.master.try_clone_reader().expect("the terminal's output");
        let writer = pair.master.take_writer().expect("the terminal's input");
        let shown = Arc::clone(&parser);
        std::thread::spawn(move || {
            let mut bytes = [0; 8192];
            // The terminal of a program that has ended can't be read.
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                shown.lock().unwrap_or_else(PoisonError::into_inner).process(&bytes[..count]);
            }
        });
        Self { parser, master: pair.master, writer, child }
    }

    fn with<T>(&self, look: impl FnOnce(&vt100::Screen) -> T) -> T {
        look(self.parser.lock().unwrap_or_else(PoisonError::into_inner).screen())
    }

    /// What is on the screen.
    pub fn screen(&self) -> String {
        self.with(vt100::Screen::contents)
    }

    /// Whether the program has a screen of its own and hides the cursor.
    pub fn is_taken(&self) -> bool {
        self.with(|screen| screen.alternate_screen() || screen.hide_cursor())
    }

    /// Types keys.
    pub fn press(&mut self, keys: &str) {
        self.writer.write_all(keys.as_bytes()).expect("a terminal that takes keys");
        self.writer.flush().expect("a terminal that takes keys");
    }

    /// Waits until this is on the screen.
    #[track_caller]
    pub fn until(&self, what: &str) -> String {
        let begin = Instant::now();
        loop {
            let screen = self.screen();
            if screen.contains(what) {
                return screen;
            }
            assert!(begin.elapsed() < PATIENCE, "`{what}` is not on the screen:\n{screen}");
            std::thread::sleep(LOOK);
        }
    }

    /// Types keys and waits until this is on the screen.
    #[track_caller]
    pub fn press_until(&mut self, keys: &str, what: &str) -> String {
        self.press(keys);
        self.until(what)
    }

    /// Gives the terminal another size.
    pub fn resize(&mut self, columns: u16, rows: u16) {
        self.parser.lock().unwrap_or_else(PoisonError::into_inner).screen_mut().set_size(rows, columns);
        self.master.resize(size((columns, rows))).expect("a terminal of another size");
    }

    /// The program's number.
    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("a program that runs")
    }

    /// Seconds that the program has computed, where the system tells.
    pub fn computed(&self) -> Option<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).ok()?;
        // After the name, which may hold anything in its brackets: the 12th and 13th fields, in hundredths.
        let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
        let ticks: f64 = fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?;
        Some(ticks / 100.0)
    }

    /// Waits until the program has ended: its exit status, and what is on the screen.
    #[track_caller]
    pub fn ends(mut self) -> (u32, String) {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the program's status") {
                // What it wrote last may still be on its way.
                std::thread::sleep(10 * LOOK);
                assert!(!self.is_taken(), "the terminal was not given back:\n{}", self.screen());
                return (status.exit_code(), self.screen());
            }
            assert!(begin.elapsed() < PATIENCE, "it does not end:\n{}", self.screen());
            std::thread::sleep(LOOK);
        }
    }
}
