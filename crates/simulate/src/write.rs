//! Row groups are made by threads and written in order by this one.
//!
//! Thread w of W makes row groups w, w + W, w + 2W, … and holds at most two of them, one being made and one waiting
//! for its turn, so memory depends on the number of threads and the size of a row group alone.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::ArrowRowGroupWriterFactory;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterPropertiesPtr;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::TypePtr;

use super::args::SimulateArgs;
use super::columns::{self, EncodedRowGroup, RowGroupEncoder};
use super::error::SimulateError;
use super::layout::{RowGroup, RowOrder};
use super::model::Model;
use super::output::Output;
use super::truth::Tally;

/// Threads beyond this many wait for the disk.
const MOST_THREADS: usize = 16;
/// Bytes gathered before a system call.
const BUFFER_BYTES: usize = 1 << 20;

/// The size of a panel that was written.
#[derive(Debug)]
pub struct PanelSize {
    /// Bytes of all its files.
    pub bytes: u64,
    /// Rows, without those that are missing.
    pub rows: u64,
    /// Counts of units and rows, for the true effects.
    pub(super) tally: Tally,
}

/// Writes the panel's files under their temporary names.
pub(super) fn write(
    args: &SimulateArgs,
    model: &Model,
    order: &RowOrder,
    row_groups: &[RowGroup],
    output: &Output,
) -> Result<PanelSize, SimulateError> {
    let failed = SimulateError::encode(&args.out);
    let schema = columns::schema(args);
    let parquet_schema = ArrowSchemaConverter::new().convert(&schema).map_err(&failed)?.root_schema_ptr();
    let properties = Arc::new(columns::properties(args).map_err(&failed)?);
    let nowhere =
        SerializedFileWriter::new(io::sink(), parquet_schema.clone(), properties.clone()).map_err(&failed)?;
    let writers = ArrowRowGroupWriterFactory::new(&nowhere, schema.clone());
    let maker = RowGroupEncoder { args, model, order, schema, writers: &writers };
    let threads =
        thread::available_parallelism().map_or(1, usize::from).min(MOST_THREADS).min(row_groups.len());
    thread::scope(|scope| {
        let mut results = Vec::with_capacity(threads);
        for thread in 0..threads {
            let (sender, receiver) = sync_channel(0);
            let maker = &maker;
            results.push(receiver);
            scope.spawn(move || {
                for row_group in row_groups.iter().skip(thread).step_by(threads) {
                    // The receiver is gone where writing failed.
                    if sender.send(maker.encode(row_group)).is_err() {
                        return;
                    }
                }
            });
        }
        let mut sink = Sink { output, schema: parquet_schema, properties, open: None, bytes: 0, rows: 0 };
        let tally = collect(row_groups, &results, &mut sink, &args.out)?;
        sink.close()?;
        Ok(PanelSize { bytes: sink.bytes, rows: sink.rows, tally })
    })
}

/// Takes the row groups from the threads in turn.
fn collect(
    row_groups: &[RowGroup],
    results: &[Receiver<Result<EncodedRowGroup, ParquetError>>],
    sink: &mut Sink<'_>,
    out: &std::path::Path,
) -> Result<Tally, SimulateError> {
    let mut tally = Tally::default();
    let mut progress = Progress::new(row_groups.last().map_or(0, |last| last.rows.end));
    for (row_group, result) in row_groups.iter().zip(results.iter().cycle()) {
        let Ok(encoded) = result.recv() else {
            // The thread panicked; the scope passes its panic on.
            break;
        };
        let encoded = encoded.map_err(SimulateError::encode(out))?;
        tally.add(&encoded.tally);
        sink.append(row_group.file, encoded)?;
        progress.show(row_group.rows.end);
    }
    Ok(tally)
}

/// The file being written.
struct Sink<'a> {
    output: &'a Output,
    schema: TypePtr,
    properties: WriterPropertiesPtr,
    open: Option<(usize, SerializedFileWriter<BufWriter<File>>)>,
    bytes: u64,
    rows: u64,
}

impl Sink<'_> {
    /// Appends a row group, after opening its file where it is the first; one whose rows are all missing is left out.
    fn append(&mut self, file: usize, encoded: EncodedRowGroup) -> Result<(), SimulateError> {
        let name = self.output.name(file);
        let failed = SimulateError::encode(&name);
        if self.open.as_ref().is_none_or(|(open, _)| *open != file) {
            self.close()?;
            let target = self.output.open(file).map_err(SimulateError::write(&name))?;
            let buffer = BufWriter::with_capacity(BUFFER_BYTES, target);
            let writer = SerializedFileWriter::new(buffer, self.schema.clone(), self.properties.clone());
            self.open = Some((file, writer.map_err(&failed)?));
        }
        self.rows += encoded.rows;
        if let Some((_, writer)) = self.open.as_mut().filter(|_| encoded.rows > 0) {
            let mut row_group = writer.next_row_group().map_err(&failed)?;
            for column in encoded.columns {
                column.append_to_row_group(&mut row_group).map_err(&failed)?;
            }
            row_group.close().map_err(&failed)?;
        }
        Ok(())
    }

    /// Writes the footer of the open file.
    fn close(&mut self) -> Result<(), SimulateError> {
        if let Some((file, mut writer)) = self.open.take() {
            let name = self.output.name(file);
            writer.finish().map_err(SimulateError::encode(&name))?;
            self.bytes += writer.bytes_written() as u64;
            writer.inner_mut().flush().map_err(SimulateError::write(&name))?;
        }
        Ok(())
    }
}

/// A line on stderr that says how far we are, once it takes more than a second and someone watches.
struct Progress {
    rows: u64,
    start: Instant,
    shown: Option<Instant>,
    watched: bool,
}

impl Progress {
    fn new(rows: u64) -> Self {
        Self { rows, start: Instant::now(), shown: None, watched: io::stderr().is_terminal() }
    }

    fn show(&mut self, done: u64) {
        let due = match self.shown {
            None => self.start.elapsed() > Duration::from_secs(1),
            Some(last) => last.elapsed() > Duration::from_millis(200),
        };
        if self.watched && due {
            self.shown = Some(Instant::now());
            let percent = 100.0 * done as f64 / self.rows as f64;
            let _ = write!(io::stderr(), "\rsimulating: {percent:.0}% of {} rows ", self.rows);
        }
    }
}

impl Drop for Progress {
    /// Leaves an empty line for what comes next.
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(io::stderr(), "\r{:60}\r", "");
        }
    }
}
