//! Standard input, `-`: copied once to a temporary file, since data is read more than once.

use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use stagger_model::error::{Result, StaggerError};

use super::files::InputPath;
use super::format::{DetectedFormat, Format, PACKED_HEAD, TAIL, detect_format};
use super::spool::{Spool, SpoolReader};

/// The name of standard input among inputs.
pub(super) const STDIN: &str = "-";

/// The copy of standard input. A process has one standard input, and every reader of it must see the same bytes.
static COPY: Mutex<Option<(Spool, u128)>> = Mutex::new(None);

/// Returns standard input as a file.
///
/// # Errors
/// A terminal, empty input, a format that is not read, and a full disk.
pub(super) fn standard_input() -> Result<InputPath> {
    let mut copy = COPY.lock().unwrap_or_else(|error| error.into_inner());
    let (spool, digest) = match copy.as_ref() {
        Some(copy) => copy.clone(),
        None => copy.insert(copied()?).clone(),
    };
    let head = bytes(&spool, 0, PACKED_HEAD).map_err(|error| unreadable(&error))?;
    let tail = spool.bytes().saturating_sub(TAIL as u64);
    let tail = bytes(&spool, tail, TAIL).map_err(|error| unreadable(&error))?;
    let format = match detect_format(STDIN, &head, &tail) {
        DetectedFormat::Known(format) => format,
        DetectedFormat::Foreign(foreign) => return Err(foreign.unsupported_error("standard input")),
        DetectedFormat::Bytes => Format::Parquet,
    };
    Ok(InputPath {
        path: PathBuf::from(STDIN),
        hive: Vec::new(),
        remote: None,
        format,
        logged: false,
        copy: Some((spool, format!("{digest:032x}"))),
    })
}

fn copied() -> Result<(Spool, u128)> {
    if io::IsTerminal::is_terminal(&io::stdin()) {
        return Err(StaggerError::input("`-`: standard input is a terminal, not data")
            .with_hint("send data through a pipe: duckdb -c \"copy (from panel) to stdout (format csv)\" | stagger run - …"));
    }
    let copy = Spool::copy(io::stdin().lock()).map_err(|error| unreadable(&error))?;
    match copy.0.bytes() {
        0 => Err(StaggerError::input("`-`: standard input is empty")
            .with_hint("see if the command before the pipe has failed")),
        _ => Ok(copy),
    }
}

fn bytes(spool: &Spool, from: u64, most: usize) -> io::Result<Vec<u8>> {
    use io::{Read, Seek, SeekFrom};
    let mut reader: SpoolReader = spool.reader();
    reader.seek(SeekFrom::Start(from))?;
    let mut out = Vec::new();
    reader.take(most as u64).read_to_end(&mut out)?;
    Ok(out)
}

fn unreadable(error: &io::Error) -> StaggerError {
    let folder = std::env::temp_dir().display().to_string();
    StaggerError::failed(format!(
        "`-`: standard input can't be copied to a temporary file in `{folder}`: {error}"
    ))
    .with_hint("TMPDIR names a folder with more room")
}
