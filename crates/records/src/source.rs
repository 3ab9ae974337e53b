//! The opened input: all files, and their rows cut into chunks.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use arrow_schema::DataType;
use serde::{Deserialize, Serialize};
use stagger_model::csv_options::ColumnSelection;
use stagger_model::error::{Result, StaggerError, closest_names};
use stagger_model::parallel::for_each;

use super::bad_lines;
use super::clock::{ReadClocks, ReadTimes};
use super::csv;
use super::file::{Content, Opening, SourceFile};
use super::files::InputPath;
use super::formats::decode_table;
use super::steps::{StepReport, make_panel};
use super::types::FileColumnType;

/// The number of footers that are read from S3 concurrently: ten thousand files take a minute.
const OPENING: usize = 16;

/// The kind of a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Integers, floats, decimals, logicals.
    Number,
    /// Text, plain or dictionary-encoded.
    Text,
    /// Bytes, of variable or fixed length.
    Bytes,
    /// Any other type: dates, lists, structs.
    Other,
}

/// Consecutive rows of one file, which one task reads as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// The index of the file.
    pub file: usize,
    /// The row group of a Parquet file, or the number of the block of rows of a CSV file.
    pub row_group: usize,
    /// The number of rows.
    pub rows: usize,
    /// The position of the first row in the file.
    pub first_row: u64,
}

/// The facts of an input file that a manifest records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputFileInfo {
    /// The path or `s3://` address.
    pub url: String,
    /// The size in bytes.
    pub bytes: u64,
    /// The fingerprint, which changes whenever the file does: the ETag of an object, or size and modification time of a
    /// local file.
    pub fingerprint: String,
    /// The number of rows.
    pub rows: u64,
}

/// All input files, opened.
pub struct Source {
    pub(super) files: Vec<SourceFile>,
    pub(super) chunks: Vec<Chunk>,
    pub(super) clocks: ReadClocks,
    /// The origin of a panel that steps have made.
    pub(super) made: Option<Made>,
}

/// The origin of a panel that steps have made.
#[derive(Clone, Debug, Default)]
pub(super) struct Made {
    /// The panel's name in messages.
    pub(super) name: String,
    /// The files that it was made of.
    pub(super) inputs: Vec<InputFileInfo>,
    /// Notes about these files.
    pub(super) notes: Vec<String>,
    /// The steps.
    pub(super) steps: Vec<StepReport>,
}

/// Returns the kind of an Arrow type.
pub(super) fn kind_of(data_type: &DataType) -> ColumnKind {
    match data_type {
        DataType::Dictionary(_, values) => kind_of(values),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ColumnKind::Text,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            ColumnKind::Bytes
        }
        t if t.is_numeric() => ColumnKind::Number,
        DataType::Boolean | DataType::Null => ColumnKind::Number,
        _ => ColumnKind::Other,
    }
}

impl Source {
    /// Opens every file for the columns `needed`, or for all columns if there are none, as numbers where possible.
    ///
    /// # Errors
    /// Those of [`Source::select`].
    pub fn open(inputs: Vec<InputPath>, needed: &[String]) -> Result<Self> {
        Self::select(inputs, &ColumnSelection::of(needed))
    }

    /// Opens every file for a selection of columns. CSV files are read through once.
    ///
    /// # Errors
    /// A file that can't be read, or that has a column of the selection twice. Columns that a file lacks, or has with
    /// another type, are refused by the checks of their use ([`Source::require_number`], [`Source::key_kind`]).
    pub fn select(inputs: Vec<InputPath>, selection: &ColumnSelection) -> Result<Self> {
        if !selection.records.steps.is_empty() {
            let panel = make_panel(inputs, selection)?;
            selection.columns.keys().try_for_each(|column| panel.refuse_ambiguous_name(column))?;
            return Ok(panel);
        }
        let mut files = open_files(inputs, selection)?;
        bad_lines::check_total(files.iter().map(|file| file.bad.count), selection.records.skip_bad)?;
        csv::unify_code_types(&mut files, selection);
        let source = Self::of_files(files, None);
        for column in selection.columns.keys() {
            source.refuse_ambiguous_name(column)?;
            source.refuse_contradiction(column)?;
        }
        Ok(source)
    }

    /// Returns the source of opened files.
    pub(super) fn of_files(files: Vec<SourceFile>, made: Option<Made>) -> Self {
        let mut source = Self { files, chunks: Vec::new(), clocks: ReadClocks::default(), made };
        source.chunks = source.cut();
        source
    }

    /// Returns what each step did, if steps have made the rows.
    pub fn steps(&self) -> &[StepReport] {
        self.made.as_ref().map_or(&[], |made| &made.steps)
    }

    /// Cuts the rows of all files into chunks.
    fn cut(&self) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        for (file, opened) in self.files.iter().enumerate() {
            let rows: Vec<usize> = match &opened.content {
                Content::Parquet(meta) => {
                    meta.metadata().row_groups().iter().map(|g| g.num_rows() as usize).collect()
                }
                Content::Csv(csv) => csv.layout.chunks.iter().map(|start| start.rows).collect(),
            };
            let mut first_row = 0;
            for (row_group, rows) in rows.into_iter().enumerate() {
                if rows > 0 {
                    chunks.push(Chunk { file, row_group, rows, first_row });
                }
                first_row += rows as u64;
            }
        }
        chunks
    }

    /// Returns the time that reading has taken so far, summed over the threads that read.
    pub fn read_times(&self) -> ReadTimes {
        self.clocks.times()
    }

    /// Returns the chunks, in the order of files and rows.
    pub fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }

    /// Returns the number of rows in all files.
    pub fn rows(&self) -> u64 {
        self.chunks.iter().map(|c| c.rows as u64).sum()
    }

    /// Returns the size of all files, in bytes.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|f| f.bytes).sum()
    }

    /// Returns name, size in bytes and number of rows of each file.
    pub fn file_sizes(&self) -> Vec<(String, u64, u64)> {
        self.file_infos().into_iter().map(|file| (file.url, file.bytes, file.rows)).collect()
    }

    /// Returns the facts of every file, in the order of the input; of a panel that steps have made those of its records.
    pub fn file_infos(&self) -> Vec<InputFileInfo> {
        if let Some(made) = &self.made {
            return made.inputs.clone();
        }
        let mut infos: Vec<InputFileInfo> = self.files.iter().map(SourceFile::info).collect();
        for chunk in &self.chunks {
            infos[chunk.file].rows += chunk.rows as u64;
        }
        infos
    }

    /// Returns the path of a chunk's file, for messages.
    pub fn path_of(&self, chunk: &Chunk) -> String {
        self.files[chunk.file].input.name()
    }

    /// Returns the names of all columns of the first file, including those of its folders.
    pub fn column_names(&self) -> Vec<String> {
        self.files.first().map(SourceFile::column_names).unwrap_or_default()
    }

    /// Returns the Arrow name of a column's type; if files differ, the names of all types in the order of the files.
    pub fn type_name(&self, column: &str) -> Option<String> {
        let mut names: Vec<String> = Vec::new();
        for file in &self.files {
            let name = match file.column(column) {
                Some(FileColumnType::InFile(data_type)) => data_type.to_string(),
                Some(FileColumnType::InFolderName(_)) => "folder name".to_owned(),
                None => continue,
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        (!names.is_empty()).then(|| names.join(" or "))
    }

    /// Refuses a column that some file lacks.
    ///
    /// # Errors
    /// Names the file and, as a hint, the most similar column names. A column that is both in a file and in its
    /// folders' names is an error too.
    pub fn require_column(&self, argument: &str, column: &str) -> Result<()> {
        match self.files.iter().find(|file| file.column(column).is_none()) {
            Some(file) => Err(missing(argument, column, file)),
            None => {
                self.refuse_ambiguous_name(column)?;
                self.refuse_contradiction(column)
            }
        }
    }

    /// Returns `true` if the file of a chunk has a column.
    pub fn chunk_has_column(&self, chunk: &Chunk, column: &str) -> bool {
        self.files[chunk.file].column(column).is_some()
    }

    /// Refuses a column to which a file and its folders' names, or two of those, give different values.
    fn refuse_contradiction(&self, column: &str) -> Result<()> {
        self.files.iter().find_map(|file| file.contradiction(column)).map_or(Ok(()), Err)
    }
}

/// Opens the files in order; those on S3 concurrently, as each waits for its footer.
fn open_files(inputs: Vec<InputPath>, selection: &ColumnSelection) -> Result<Vec<SourceFile>> {
    let opening = Opening { selection, known: None, decode: Some(decode_table) };
    if inputs.iter().all(|input| input.remote.is_none()) {
        return inputs.into_iter().map(|input| SourceFile::open(input, opening)).collect();
    }
    let slots: Vec<OnceLock<SourceFile>> = inputs.iter().map(|_| OnceLock::new()).collect();
    let open = |(): &mut (), at: usize| {
        let file = SourceFile::open(inputs[at].clone(), opening)?;
        // Each slot is set once, by the thread that took its number.
        let _ = slots[at].set(file);
        Ok(())
    };
    for_each(OPENING, inputs.len(), || (), open)?;
    Ok(slots.into_iter().filter_map(OnceLock::into_inner).collect())
}

impl SourceFile {
    fn info(&self) -> InputFileInfo {
        InputFileInfo {
            url: self.input.name(),
            bytes: self.bytes,
            fingerprint: self.fingerprint.clone(),
            rows: 0,
        }
    }

    fn column_names(&self) -> Vec<String> {
        let own = self.schema.fields().iter().map(|f| f.name().clone());
        own.chain(self.input.hive.iter().map(|(name, _)| name.clone())).collect()
    }
}

/// Returns the error for a column that a file does not have.
fn missing(argument: &str, column: &str, file: &SourceFile) -> StaggerError {
    let names: BTreeSet<String> = file.column_names().into_iter().collect();
    let near = closest_names(column, names.iter().map(String::as_str));
    let hint = if near.is_empty() {
        let all: Vec<_> = names.into_iter().take(30).collect();
        format!("the columns are {}", all.join(", "))
    } else {
        format!("did you mean {}", near.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(" or "))
    };
    StaggerError::input(format!(
        "{argument}: the following variable is not in the data: `{column}` (file `{}`)",
        file.input.name()
    ))
    .with_hint(hint)
}
