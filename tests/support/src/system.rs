//! Requests to the operating system that the standard library does not make; without them tests would need programs such as `kill`.

use std::io;
use std::path::Path;

use rustix::process::{Pid, kill_process};

pub use rustix::process::Signal;

/// Sends a signal to a process.
///
/// # Errors
/// No such process, or one of somebody else.
pub fn send(signal: Signal, process: u32) -> io::Result<()> {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw);
    kill_process(pid.ok_or(io::ErrorKind::InvalidInput)?, signal).map_err(io::Error::from)
}

/// Makes a named pipe.
///
/// # Errors
/// The system's, such as a path that is taken.
#[cfg(not(target_vendor = "apple"))]
pub fn make_fifo(path: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, Mode, mkfifoat};
    mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR).map_err(io::Error::from)
}

/// Makes a named pipe, by the program of macOS: there is no safe call for it.
///
/// # Errors
/// A path that is taken.
#[cfg(target_vendor = "apple")]
pub fn make_fifo(path: &Path) -> io::Result<()> {
    let status = std::process::Command::new("mkfifo").arg(path).status()?;
    status.success().then_some(()).ok_or_else(|| io::Error::other("mkfifo failed"))
}
