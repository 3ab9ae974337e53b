//! A saved result, sent to S3.

use std::fs;
use std::path::{Path, PathBuf};

use stagger_model::error::StaggerError;
use stagger_model::failure::Failure;
use stagger_report::checksums::CHECKSUMS;
use stagger_report::folder::RESULT;
use stagger_report::html::result_html;
use stagger_storage::{Condition, Storage};

use crate::interrupt;

/// The report beside a result.
const REPORT: &str = "report.html";

/// Writes a report beside every result below `folder`, and puts all of it below `url`. A result comes after everything that
/// belongs to it: whoever waits for it finds the rest.
///
/// # Errors
/// A file that can't be read or written, or storage that fails.
pub(crate) fn upload(folder: &Path, url: &str) -> Result<(), Failure> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    for result in files.clone().iter().filter(|path| is_result(path)) {
        let own = result.parent().unwrap_or(folder);
        let report = own.join(REPORT);
        fs::write(&report, result_html(own)?).map_err(|source| Failure::write(&report, &source))?;
        files.push(report);
    }
    files.sort_by_key(|path| (is_result(path), is_named(path, CHECKSUMS), path.clone()));
    interrupt::set_sent_to(url);
    let storage = Storage::open(url).map_err(StaggerError::from)?;
    for path in &files {
        let bytes = fs::read(path).map_err(|source| Failure::read(path, &source))?;
        let put = storage.put(&key(folder, path), bytes.into(), Condition::Always);
        put.map_err(|error| {
            let failure = Failure::from(StaggerError::from(error));
            failure
                .hint("the result is not saved: give a folder with --out, or another place, and run it again")
        })?;
    }
    Ok(())
}

fn is_result(path: &Path) -> bool {
    is_named(path, RESULT)
}

fn is_named(path: &Path, name: &str) -> bool {
    path.file_name().is_some_and(|found| found == name)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let entries = fs::read_dir(folder).map_err(|source| Failure::read(folder, &source))?;
    for entry in entries {
        let path = entry.map_err(|source| Failure::read(folder, &source))?.path();
        match path.is_dir() {
            true => collect(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}

/// A file's path below the folder, with slashes.
fn key(folder: &Path, path: &Path) -> String {
    let below = path.strip_prefix(folder).unwrap_or(path);
    let parts = below.components().map(|part| part.as_os_str().to_string_lossy().into_owned());
    parts.collect::<Vec<_>>().join("/")
}
