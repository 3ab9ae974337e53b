//! Decoding of a whole file into a temporary Parquet file.

use std::io::Read;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use stagger_model::csv_options::ColumnSelection;
use stagger_model::error::{Result, StaggerError};

use super::flatten::Flattened;
use super::write::TableWriter;
use super::{Decoder, TableBytes, TableFormat, damaged};
use crate::bad_lines::BadLines;
use crate::parquet_file::{catch_panic, read_footer};
use crate::spool::{Spool, spool_error};

/// A file that was decoded.
pub(crate) struct DecodedTable {
    /// The temporary Parquet file.
    pub(crate) spool: Spool,
    /// Its footer.
    pub(crate) meta: ArrowReaderMetadata,
    /// The columns of the temporary file, followed by those that were not read, as text.
    pub(crate) schema: SchemaRef,
    /// The broken lines that were left out.
    pub(crate) bad: BadLines,
}

/// The function that decodes a file. Programs that never do so pass none, and need no decoders.
pub(crate) type DecodeTable = fn(
    name: &str,
    format: TableFormat,
    selection: &ColumnSelection,
    stream: &dyn Fn() -> Result<Box<dyn Read + Send>>,
) -> Result<DecodedTable>;

/// Decodes the columns of a selection. `stream` returns the file's bytes, unpacked, from the start.
///
/// # Errors
/// Damage, with its reason; broken lines; and a temporary file that can't be written.
pub(crate) fn decode_table(
    name: &str,
    format: TableFormat,
    selection: &ColumnSelection,
    stream: &dyn Fn() -> Result<Box<dyn Read + Send>>,
) -> Result<DecodedTable> {
    let bytes = TableBytes { name: name.to_owned(), format, selection, stream };
    let decoded = catch_panic(|| match format {
        TableFormat::PackedParquet => unpacked(&bytes),
        _ => spooled(&bytes),
    });
    decoded.unwrap_or_else(|damage| Err(damaged(name, format, &damage.to_string())))
}

fn decoder(bytes: &TableBytes<'_>) -> Result<Box<dyn Decoder>> {
    Ok(match bytes.format {
        TableFormat::Json => Box::new(super::json::JsonDecoder::open(bytes)?),
        TableFormat::Avro => Box::new(super::avro::AvroDecoder::open(bytes)?),
        TableFormat::ArrowFile | TableFormat::ArrowStream => {
            Box::new(super::arrow::ArrowDecoder::open(bytes)?)
        }
        TableFormat::Stata => Box::new(super::stata::StataDecoder::open(bytes)?),
        TableFormat::RObject | TableFormat::RData => Box::new(super::r_data::RDecoder::open(bytes)?),
        TableFormat::Workbook => Box::new(super::excel::WorkbookDecoder::open(bytes)?),
        TableFormat::PackedParquet => {
            return Err(bytes.damaged("it holds Parquet, which is not decoded here"));
        }
    })
}

/// Decodes all batches into a temporary file.
fn spooled(bytes: &TableBytes<'_>) -> Result<DecodedTable> {
    let mut decoder = decoder(bytes)?;
    let flattened = Flattened::new(&decoder.schema(), bytes.selection);
    let file = Spool::create().map_err(|error| spool_error(&error))?;
    let mut writer = TableWriter::new(file, &flattened.schema)?;
    while let Some(batch) = decoder.next()? {
        writer.write(&flattened.batch(&batch)?)?;
    }
    let spool = writer.finish()?;
    let meta = footer(&spool)?;
    let schema = with_unread(meta.schema(), &decoder.names());
    Ok(DecodedTable { spool, meta, schema, bad: decoder.bad_lines() })
}

/// Unpacks a Parquet file that is compressed as a whole.
fn unpacked(bytes: &TableBytes<'_>) -> Result<DecodedTable> {
    let spool = bytes.spool()?;
    let file = spool.local_file().map_err(|error| spool_error(&error))?;
    let meta = read_footer(&file).map_err(|damage| bytes.damaged(damage))?;
    let schema = Arc::clone(meta.schema());
    Ok(DecodedTable { spool, meta, schema, bad: BadLines::default() })
}

/// Returns the footer of a temporary file.
pub(crate) fn footer(spool: &Spool) -> Result<ArrowReaderMetadata> {
    let file = spool.local_file().map_err(|error| spool_error(&error))?;
    read_footer(&file)
        .map_err(|damage| StaggerError::failed(format!("a temporary file is damaged: {damage}")))
}

/// Returns a schema with the columns that were not read at its end. Only their names are used, in hints.
fn with_unread(read: &SchemaRef, names: &[String]) -> SchemaRef {
    let mut fields: Vec<Field> = read.fields().iter().map(|field| field.as_ref().clone()).collect();
    for name in names {
        if read.field_with_name(name).is_err() {
            fields.push(Field::new(name, DataType::Utf8, true));
        }
    }
    Arc::new(Schema::new(fields))
}
