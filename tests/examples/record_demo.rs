//! Makes the recording that `stagger demo` plays: a faulty run of 1,000 workers in virtual time.
//!
//! ```text
//! cargo run -p stagger-tests --example record_demo              # what is in it
//! cargo run -p stagger-tests --example record_demo -- --write   # writes controller/src/demo/recording.jsonl.zst
//! cargo run -p stagger-tests --example record_demo -- --check   # fails if it differs
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;

use serde_json::Value;
use stagger_tests::scale::recording::{compress, decompress, path, text};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match work(&args) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work(args: &[&str]) -> Result<ExitCode> {
    match args {
        [] => describe(&text())?,
        ["--write"] => {
            let text = text();
            describe(&text)?;
            let (path, bytes) = (path(), compress(&text)?);
            println!("{}: {} bytes", path.display(), bytes.len());
            std::fs::create_dir_all(path.parent().ok_or("no folder")?)?;
            std::fs::write(path, bytes)?;
        }
        ["--check"] => {
            if decompress(&std::fs::read(path())?)? != text() {
                eprintln!("{} is not what the recorder makes; --write writes it anew", path().display());
                return Ok(ExitCode::FAILURE);
            }
        }
        _ => {
            eprintln!("usage: record_demo [--write | --check]");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Counts by event, failures by class and remedy, stages with their times.
fn describe(text: &str) -> Result<()> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut begin = None;
    for line in text.lines() {
        let line: Value = serde_json::from_str(line)?;
        let word = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let at = line["at"].as_f64().unwrap_or_default();
        let since = at - *begin.get_or_insert(at);
        let event = word("event");
        let key = match event.as_str() {
            "failed" => format!("failed, {}: {}", word("class"), word("remedy")),
            "invoked" if line["backup"] == true => "invoked, as a backup".to_owned(),
            "done" if line["found"] == true => "done, found".to_owned(),
            "done" if line["ignored"] == true => "done, ignored".to_owned(),
            "done" if line["throttles"] != 0 => "done, slowed down by storage".to_owned(),
            _ => event.clone(),
        };
        *counts.entry(key).or_default() += 1;
        if !matches!(event.as_str(), "invoked" | "done" | "failed" | "summary") {
            println!("{since:8.3} {:.150}", line.to_string());
        }
    }
    counts.iter().for_each(|(key, count)| println!("{count:6} {key}"));
    println!("{} bytes of text", text.len());
    Ok(())
}
