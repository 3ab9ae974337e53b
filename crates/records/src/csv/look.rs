//! The first pass over a CSV file: header, rows, types of the wanted columns, and positions of the chunks.

use std::io::Read;

use stagger_model::csv_options::{ColumnRole, ColumnSelection, CsvOptions, Encoding};
use stagger_model::error::{Result, StaggerError};

use super::cell::{decimal, integer};
use super::column::{CsvCell, MissingSpellings, TypeInference};
use super::decode::{Decoded, encoding_of_mark, guess_utf16};
use super::dialect::{detect, likely_separator};
use super::records::{Dialect, Records};
use super::{CHUNK_ROWS, ChunkStart, CsvLayout, Stream, stopped};
use crate::bad_lines::{BadLines, shorten};
use crate::file::SourceFile;

/// The number of bytes at the start that the dialect is detected from.
const HEAD: u64 = 64 << 10;

/// Makes the first pass over a file.
///
/// # Errors
/// A file that is not a table: without a header, with records of other lengths than the header's, or with characters of
/// another encoding. The message names the line.
pub(crate) fn read_layout(file: &SourceFile, selection: &ColumnSelection) -> Result<CsvLayout> {
    let name = file.input.name();
    let options = &selection.csv;
    let mut head = Vec::new();
    let failed = |e: std::io::Error| stopped(&name, super::RecordError::Io(e));
    file.stream(0)?.take(HEAD).read_to_end(&mut head).map_err(failed)?;
    let (encoding, mark) = encoding(&head, options);
    let text = decoded(&head[mark..], encoding).map_err(failed)?;
    let marks = detect(&text, options, ["tsv", "tab"].contains(&file.input.extension().as_str()));
    let layout = CsvLayout {
        encoding,
        mark: mark as u64,
        marks,
        comma: false,
        missing: MissingSpellings { given: options.na.clone() },
        names: Vec::new(),
        columns: Vec::new(),
        chunks: Vec::new(),
        bad: BadLines::new(selection.records.skip_bad),
    };
    let stream = layout.stream(file, layout.mark)?;
    let mut look = Look { name: &name, selection, records: Records::new(stream, marks, layout.mark), layout };
    let guesses = look.header()?;
    let guesses = look.rows(guesses)?;
    look.finish(guesses)
}

/// Returns the encoding, and the length of a byte order mark.
fn encoding(head: &[u8], options: &CsvOptions) -> (Encoding, usize) {
    let marked = encoding_of_mark(head);
    match (options.encoding, marked) {
        (Some(given), Some((found, length))) if given == found => (given, length),
        (Some(given), _) => (given, 0),
        (None, Some(found)) => found,
        (None, None) => (guess_utf16(head).unwrap_or(Encoding::Utf8), 0),
    }
}

fn decoded(bytes: &[u8], encoding: Encoding) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    match encoding {
        Encoding::Utf8 => out.extend_from_slice(bytes),
        other => {
            Decoded::new(bytes, other).read_to_end(&mut out)?;
        }
    }
    Ok(out)
}

/// The first pass over a file.
struct Look<'a> {
    name: &'a str,
    selection: &'a ColumnSelection,
    records: Records<Stream>,
    layout: CsvLayout,
}

impl Look<'_> {
    /// Reads the header, and returns the inference of each wanted column.
    fn header(&mut self) -> Result<Vec<TypeInference>> {
        let read = self.records.next().map_err(|stop| stopped(self.name, stop))?;
        if !read {
            return Err(StaggerError::input(format!("`{}`: the file holds no line of text", self.name)));
        }
        let count = self.records.fields.len();
        for field in 0..count {
            let bytes = self.records.bytes(field);
            if self.layout.encoding == Encoding::Utf8 && std::str::from_utf8(&bytes).is_err() {
                return Err(self.no_utf8("the line of column names", &bytes));
            }
            self.layout.names.push(String::from_utf8_lossy(&bytes).trim().to_owned());
        }
        self.check_names()?;
        let names = self.layout.names.iter().enumerate();
        let wanted = names.filter_map(|(field, name)| Some((field, name, self.selection.role(name)?)));
        Ok(wanted.map(|(field, name, role)| TypeInference::new(name, field, role)).collect())
    }

    /// Refuses a first line that does not hold column names.
    fn check_names(&self) -> Result<()> {
        let names = &self.layout.names;
        let asked = &self.selection.columns;
        let found = names.iter().any(|name| asked.contains_key(name));
        let is_number = |name: &String| decimal(name.as_bytes(), b'.').is_some() || name.is_empty();
        let numbers = names.iter().filter(|name| is_number(name)).count();
        let line = shorten(&self.records.text());
        let at = |what: &str| StaggerError::input(format!("`{}`: {what}: {line}", self.name));
        if !found
            && names
                .iter()
                .any(|name| integer(name.as_bytes()).is_some() || decimal(name.as_bytes(), b'.').is_some())
            && (numbers == names.len() || !asked.is_empty())
        {
            let asked: Vec<String> = asked.keys().map(|name| format!("`{name}`")).collect();
            let none = if asked.is_empty() {
                String::new()
            } else {
                format!(", none of {} among them", asked.join(", "))
            };
            return Err(at(&format!("the first line holds numbers, not names of columns{none}"))
                .with_hint("write the names of the columns into the first line of the file"));
        }
        if names.first().is_some_and(|name| name.starts_with('#'))
            && !asked.keys().all(|name| names.contains(name))
        {
            return Err(at("the first line is a comment, where the names of the columns must stand")
                .with_hint("remove the lines before the names, for instance by: grep -v '^#' FILE > CLEAN"));
        }
        if let ([only], false, false) = (names.as_slice(), found, asked.is_empty())
            && let Some(mark) = likely_separator(only)
        {
            return Err(at("the first line seems to hold one column alone")
                .with_hint(format!("say what stands between two fields: --csv-delimiter '{mark}'")));
        }
        Ok(())
    }

    /// Examines all rows.
    fn rows(&mut self, mut guesses: Vec<TypeInference>) -> Result<Vec<TypeInference>> {
        let (mut row, count) = (0u64, self.layout.names.len());
        let utf8 = self.layout.encoding == Encoding::Utf8;
        while self.records.next().map_err(|stop| stopped(self.name, stop))? {
            let own = self.records.fields.len();
            if own != count && self.layout.bad.skips() {
                let fault = format!("has {own} fields in place of {count}");
                let (line, text) = (self.records.line, self.records.text());
                self.layout.bad.add(self.name, line, &fault, &text)?;
                continue;
            }
            if row.is_multiple_of(CHUNK_ROWS as u64) {
                self.layout.chunks.push(ChunkStart { rows: 0, position: self.records.position });
                guesses.iter_mut().for_each(TypeInference::begin_chunk);
            }
            row += 1;
            if let Some(chunk) = self.layout.chunks.last_mut() {
                chunk.rows += 1;
            }
            if own != count {
                return Err(self.ragged(row));
            }
            for guess in &mut guesses {
                let bytes = self.records.bytes(guess.field());
                if utf8 && !bytes.is_ascii() && std::str::from_utf8(&bytes).is_err() {
                    let place =
                        format!("column `{}` in {}", guess.name(), format_place(row, self.records.line));
                    return Err(self.no_utf8(&place, &bytes));
                }
                let line = self.records.line;
                let cell = || CsvCell { row, line, text: shorten(&String::from_utf8_lossy(&bytes)) };
                guess.add(&bytes, self.records.fields[guess.field()].quoted, &self.layout.missing, &cell);
            }
        }
        Ok(guesses)
    }

    /// Returns the layout once all rows were examined.
    fn finish(mut self, guesses: Vec<TypeInference>) -> Result<CsvLayout> {
        self.layout.comma = match (self.selection.csv.decimal, self.layout.marks.delimiter) {
            (Some(mark), _) => mark == ',',
            (None, b',') => false,
            (None, _) => self.has_commas(&guesses)?,
        };
        let comma = self.layout.comma;
        self.layout.columns = guesses.into_iter().map(|guess| guess.finish(comma)).collect();
        Ok(self.layout)
    }

    /// Returns `true` if decimals follow a comma.
    fn has_commas(&self, guesses: &[TypeInference]) -> Result<bool> {
        let numbers = || guesses.iter().filter(|guess| guess.role() == ColumnRole::Number);
        let comma = numbers().find_map(|g| Some((g, g.distinct(true)?)));
        let point = numbers().find_map(|g| Some((g, g.distinct(false)?)));
        let (Some((of_comma, comma)), Some((of_point, point))) = (comma, point) else {
            return Ok(comma.is_some());
        };
        Err(StaggerError::input(format!(
            "`{}`: column `{}` has `{}` in {}, column `{}` has `{}` in {}: decimals follow a comma in one and a point in the other",
            self.name,
            of_comma.name(),
            comma.text,
            format_place(comma.row, comma.line),
            of_point.name(),
            point.text,
            format_place(point.row, point.line)
        ))
        .with_hint("say which is right: --csv-decimal ',' or --csv-decimal '.'"))
    }

    /// Returns the error for a record with another number of fields than the header.
    fn ragged(&self, row: u64) -> StaggerError {
        let (own, all) = (self.records.fields.len(), self.layout.names.len());
        let text = self.records.text();
        let hint = if text.starts_with('#') {
            "it seems to be a comment: remove such lines, for instance by: grep -v '^#' FILE > CLEAN"
        } else if row == 1 && own == all + 1 {
            "the rows seem to have names without a column name, as R's write.table writes them: use write.csv(data, file, row.names = FALSE)"
        } else {
            "a field that holds the separator stands in quotes; --csv-delimiter names another separator, and --skip-bad 1000 leaves out up to 1000 such lines"
        };
        StaggerError::input(format!(
            "`{}`: {} has {own} fields, the line of column names {all}, separated by {}: {}",
            self.name,
            format_place(row, self.records.line),
            separator(self.layout.marks),
            shorten(&text)
        ))
        .with_hint(hint)
    }

    /// Returns the error for bytes that are not UTF-8.
    fn no_utf8(&self, place: &str, bytes: &[u8]) -> StaggerError {
        StaggerError::input(format!(
            "`{}`: {place} is no text in UTF-8: `{}`",
            self.name,
            shorten(&String::from_utf8_lossy(bytes))
        ))
        .with_hint("files of Windows and of older programs are mostly --csv-encoding latin1")
    }
}

/// Formats row and line for a message.
pub(crate) fn format_place(row: u64, line: u64) -> String {
    format!("row {row} (line {line})")
}

fn separator(marks: Dialect) -> String {
    match marks.delimiter {
        b'\t' => "tabs".to_owned(),
        b' ' => "blanks".to_owned(),
        other => format!("`{}`", char::from(other)),
    }
}
