//! Standard output, and lines on standard error. A closed pipe (`| head`) is the reader's choice, not an error.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;
use stagger_model::failure::Failure;
use stagger_model::printable::{printable, printable_json};

/// Prints a text, with its control characters shown instead of obeyed.
pub fn print(text: &str) -> Result<(), Failure> {
    print_coloured(&printable(text))
}

/// Prints a text that holds the colours of a picture, whose words were made printable before.
pub fn print_coloured(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::printing(&error)),
        _ => Ok(()),
    }
}

/// Prints one line of JSON.
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    print(&json_line(value)?)
}

/// One line of JSON.
pub fn json_line(value: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(value)
        .map(|line| printable_json(&line).into_owned() + "\n")
        .map_err(|error| Failure::failed(format!("can't write the result as JSON: {error}")))
}

/// Writes a line to standard error, with its control characters shown instead of obeyed; there is nobody to tell if that fails.
pub fn print_line_to_stderr(line: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(line));
}
