//! `stagger report`: a saved result as one document, or as tables.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_json::Value;
use stagger_model::failure::Failure;
use stagger_model::result::SavedResult;
use stagger_pictures::MARK;
use stagger_report::document::{Document, Sources, document, html, latex, markdown};
use stagger_report::load::{checked, load_result};
use stagger_report::overwrite::{Kind, Overwrite};
use stagger_report::pictures::events;
use stagger_report::pictures::files::{DENSITY, Form, in_column, write, write_table};
use stagger_report::save::{CELLS_CSV, RUN, aggregation_file};
use stagger_report::tabular::{aggregation_csv, balance_csv, cells_csv, overlap_csv};

use crate::cli::picture_args::ReportArgs;

/// The forms of reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Html,
    Markdown,
    Latex,
    Folder,
}

impl Target {
    /// The form that a file's name asks for.
    fn of(path: &Path) -> Result<Self, Failure> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            _ if path.is_dir() => Ok(Self::Folder),
            None => Ok(Self::Folder),
            Some("html" | "htm") => Ok(Self::Html),
            Some("md" | "markdown") => Ok(Self::Markdown),
            Some("tex") => Ok(Self::Latex),
            Some(other) => {
                Err(Failure::input(format!("--out {}: no report can be written as .{other}", path.display()))
                    .hint("give a name that ends in .html, .md or .tex, or a folder for tables as CSV"))
            }
        }
    }
}

/// Writes the report.
pub(crate) fn report(args: &ReportArgs) -> Result<(), Failure> {
    let out = Path::new(&args.out);
    let target = Target::of(out)?;
    let overwrite = Overwrite::new("--out", args.force, &[&args.result]);
    if target != Target::Folder {
        overwrite.check(out, Kind::Marked(MARK))?;
    }
    let (file, saved) = load_result(Path::new(&args.result))?;
    if target == Target::Folder {
        return tables(out, &saved, &overwrite);
    }
    let folder = file.parent().unwrap_or(Path::new("."));
    let document = document_of(folder, &saved, args.title.as_deref())?;
    match target {
        Target::Markdown => {
            let folder = pictures(out, &document, Form::Svg, &overwrite)?;
            write(out, markdown(&document, &folder).as_bytes(), &overwrite)
        }
        Target::Latex => {
            let folder = pictures(out, &document, Form::Png, &overwrite)?;
            write(out, latex(&document, &folder).as_bytes(), &overwrite)
        }
        _ => write(out, html(&document).as_bytes(), &overwrite),
    }
}

/// A result in a folder as one HTML document.
///
/// # Errors
/// A folder without a result, or with a damaged one.
pub(crate) fn html_of(folder: &Path) -> Result<String, Failure> {
    let (_, saved) = load_result(folder)?;
    Ok(html(&document_of(folder, &saved, None)?))
}

fn document_of(folder: &Path, saved: &SavedResult, title: Option<&str>) -> Result<Document, Failure> {
    let run = run_record(folder)?;
    let timeline = events::read(folder)?;
    Ok(document(&Sources { saved, run: run.as_ref(), timeline: timeline.as_ref(), title }))
}

/// `run.json`; a report does without one that is missing, or that no checksum shows to be damaged.
fn run_record(folder: &Path) -> Result<Option<Value>, Failure> {
    if !folder.join(RUN).is_file() {
        return Ok(None);
    }
    Ok(serde_json::from_slice(&checked(folder)?.read(RUN)?).ok())
}

/// Writes the pictures to a folder beside the report, and returns its name.
fn pictures(out: &Path, document: &Document, form: Form, overwrite: &Overwrite) -> Result<String, Failure> {
    let name = format!("{}_pictures", out.file_stem().unwrap_or_default().to_string_lossy());
    let folder = out.with_file_name(&name);
    make(&folder)?;
    let extension = if form == Form::Svg { "svg" } else { "png" };
    for picture in document.pictures() {
        let path = folder.join(format!("{}.{extension}", picture.name));
        let (width, height) = in_column(&picture.figure);
        let pixels = if form == Form::Png { DENSITY } else { 1.0 };
        let size = (Some(width * pixels), Some(height * pixels));
        write(&path, &form.bytes(&picture.figure, size)?, overwrite)?;
    }
    Ok(name)
}

fn make(folder: &Path) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|source| Failure::write(folder, &source))
}

/// All tables as CSV.
fn tables(folder: &Path, saved: &SavedResult, overwrite: &Overwrite) -> Result<(), Failure> {
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
    }
    if let Some(diagnostics) = &saved.result.diagnostics {
        put("overlap.csv", &|out| overlap_csv(&diagnostics.overlap, out))?;
        put("balance.csv", &|out| balance_csv(&diagnostics.balance, out))?;
    }
    Ok(())
}
