//! Pictures and reports as files that appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use stagger_model::failure::Failure;
use stagger_pictures::{Figure, MARK, Scene, png, scene, svg};
use stagger_storage::disk::random_name;

use crate::overwrite::{OverwriteRules, Replaceable};

/// Pixels of a PNG for every unit of the plane: sharp on paper.
pub const DENSITY: f64 = 2.0;

/// The forms of pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureFormat {
    /// A vector picture.
    Svg,
    /// A picture of pixels.
    Png,
}

impl PictureFormat {
    /// The form that a file's name asks for.
    pub fn of(path: &Path) -> Result<Self, Failure> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        match extension.as_deref() {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            Some(other) => Err(Failure::input(format!(
                "--out {}: no picture can be written as .{other}",
                path.display()
            ))
            .hint("give a name that ends in .svg or .png")),
            None => {
                Err(Failure::input(format!("--out {} has no ending that tells its form", path.display()))
                    .hint("give a name that ends in .svg or .png"))
            }
        }
    }

    /// The figure as a file of that form: `width` × `height` in pixels, or the natural size.
    pub fn bytes(self, figure: &Figure, size: (Option<f64>, Option<f64>)) -> Result<Vec<u8>, Failure> {
        match self {
            Self::Svg => Ok(svg(&sized(figure, size, 1.0)).into_bytes()),
            Self::Png => png(&sized(figure, size, DENSITY), DENSITY)
                .ok_or_else(|| Failure::input("a picture of that size can't be drawn")),
        }
    }
}

fn sized(figure: &Figure, (width, height): (Option<f64>, Option<f64>), density: f64) -> Scene {
    let (natural_width, natural_height) = figure.natural_size();
    let (width, height) = (width.map(|w| w / density), height.map(|h| h / density));
    let (width, height) = match (width, height) {
        (Some(width), Some(height)) => (width, height),
        (Some(width), None) => (width, width * natural_height / natural_width),
        (None, Some(height)) => (height * natural_width / natural_height, height),
        (None, None) => (natural_width, natural_height),
    };
    scene(figure, width, height)
}

/// Width of a report's column of text.
const COLUMN: f64 = 760.0;

/// Width and height of a figure in a report: what is wider than the column becomes higher instead of smaller.
pub fn in_column(figure: &Figure) -> (f64, f64) {
    let (width, height) = figure.natural_size();
    if width <= COLUMN { (width, height) } else { (COLUMN, height * (width / COLUMN).min(1.4)) }
}

/// The figure as SVG for a report.
pub fn column_svg(figure: &Figure) -> String {
    let (width, height) = in_column(figure);
    svg(&scene(figure, width, height))
}

/// The figure as SVG of its natural size.
pub fn natural_svg(figure: &Figure) -> String {
    svg(&sized(figure, (None, None), 1.0))
}

/// Writes a file that carries our mark beside its place and moves it there.
///
/// # Errors
/// A file that is not to be replaced, or that can't be written.
pub fn write(path: &Path, bytes: &[u8], overwrite: &OverwriteRules) -> Result<(), Failure> {
    put(&overwrite.check(path, Replaceable::Marked(MARK))?, bytes)
}

/// Writes a table, likewise.
///
/// # Errors
/// A file that is not a table of these columns, or that can't be written.
pub fn write_table(path: &Path, bytes: &[u8], overwrite: &OverwriteRules) -> Result<(), Failure> {
    put(&overwrite.check(path, Replaceable::Table(bytes))?, bytes)
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let staging = path.with_file_name(random_name(".stagger-", ".partial"));
    let written = File::create_new(&staging)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&staging, path));
    written.map_err(|source| {
        let _ = fs::remove_file(&staging);
        missing_folder(path, &source).unwrap_or_else(|| Failure::write(path, &source))
    })
}

/// The system says only that something does not exist; it is the folder.
fn missing_folder(path: &Path, source: &io::Error) -> Option<Failure> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty())?;
    (source.kind() == io::ErrorKind::NotFound && !parent.exists()).then(|| {
        Failure::failed(format!("can't write {}: there is no folder {}", path.display(), parent.display()))
            .hint("make the folder first")
    })
}
