//! A saved result in its folder as a report: the document, and the files of its forms.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_json::Value;
use stagger_model::failure::Failure;
use stagger_model::result::SavedResult;
use stagger_model::sensitivity::SensitivityResult;

use super::document::{Document, Sources, document, html};
use super::load::{load_result, verified_folder};
use super::overwrite::OverwriteRules;
use super::pictures::events;
use super::pictures::files::{DENSITY, PictureFormat, in_column, write, write_table};
use super::save::{CELLS_CSV, RUN, aggregation_file, covariance_file};
use super::tabular::{aggregation_csv, balance_csv, cells_csv, covariance_csv, overlap_csv};

/// Returns the result in a folder as one HTML document.
///
/// # Errors
/// A folder without a result, or with a damaged one.
pub fn result_html(folder: &Path) -> Result<String, Failure> {
    let (_, saved) = load_result(folder)?;
    Ok(html(&read_document(folder, &saved, None, None)?))
}

/// Reads what belongs to a result in its folder, and makes a report of it, with robust intervals where they are given.
///
/// # Errors
/// An event log or a record of the run that is damaged.
pub fn read_document(
    folder: &Path,
    saved: &SavedResult,
    sensitivity: Option<&SensitivityResult>,
    title: Option<&str>,
) -> Result<Document, Failure> {
    let run = run_record(folder)?;
    let timeline = events::read_timeline(folder)?;
    Ok(document(&Sources { saved, run: run.as_ref(), timeline: timeline.as_ref(), sensitivity, title }))
}

/// `run.json`; a report does without one that is missing, or that no checksum shows to be damaged.
fn run_record(folder: &Path) -> Result<Option<Value>, Failure> {
    if !folder.join(RUN).is_file() {
        return Ok(None);
    }
    Ok(serde_json::from_slice(&verified_folder(folder)?.read(RUN)?).ok())
}

/// Writes the pictures to a folder beside the report, and returns its name.
///
/// # Errors
/// Those of the file system, and a file that is not to be replaced.
pub fn pictures(
    out: &Path,
    document: &Document,
    form: PictureFormat,
    overwrite: &OverwriteRules,
) -> Result<String, Failure> {
    let name = format!("{}_pictures", out.file_stem().unwrap_or_default().to_string_lossy());
    let folder = out.with_file_name(&name);
    make(&folder)?;
    let extension = if form == PictureFormat::Svg { "svg" } else { "png" };
    for picture in document.pictures() {
        let path = folder.join(format!("{}.{extension}", picture.name));
        let (width, height) = in_column(&picture.figure);
        let pixels = if form == PictureFormat::Png { DENSITY } else { 1.0 };
        let size = (Some(width * pixels), Some(height * pixels));
        write(&path, &form.bytes(&picture.figure, size)?, overwrite)?;
    }
    Ok(name)
}

fn make(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|source| Failure::write(folder, &source))
}

/// Writes all tables of a result to a folder, as CSV.
///
/// # Errors
/// Those of the file system, and a file that is not to be replaced.
pub fn tables(folder: &Path, saved: &SavedResult, overwrite: &OverwriteRules) -> Result<(), Failure> {
    make(folder)?;
    let put = |name: &str, text: &dyn Fn(&mut Vec<u8>) -> io::Result<()>| {
        let path: PathBuf = folder.join(name);
        let mut bytes = Vec::new();
        text(&mut bytes).map_err(|source| Failure::write(&path, &source))?;
        write_table(&path, &bytes, overwrite)
    };
    put(CELLS_CSV, &|out| cells_csv(&saved.result.att_gt, out))?;
    for (kind, aggte) in &saved.result.aggte {
        put(&aggregation_file(kind), &|out| aggregation_csv(aggte, out))?;
        if !aggte.vcov_egt.is_empty() {
            put(&covariance_file(kind), &|out| covariance_csv(aggte, out))?;
        }
    }
    if let Some(diagnostics) = &saved.result.diagnostics {
        put("overlap.csv", &|out| overlap_csv(&diagnostics.overlap, out))?;
        put("balance.csv", &|out| balance_csv(&diagnostics.balance, out))?;
    }
    Ok(())
}
