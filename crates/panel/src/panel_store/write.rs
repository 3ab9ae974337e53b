//! Writing of a shard as a Parquet file that any tool reads: one row for each unit; variables that are constant in time
//! have one column, others one for each period.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray, UInt64Array,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field as ArrowField, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use serde::{Deserialize, Serialize};
use stagger_model::error::{Result, StaggerError};
use stagger_records::prepared::DESCRIPTION_KEY;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::manifest::{FieldKind, KeyColumns, ShardEntry};
use crate::panel_store::fields::StoreField;
use crate::slot::{MISSING, UNSET, decode};
use crate::strata::Stratum;

/// Name of the column of row numbers in cross sections.
pub const ROW_COLUMN: &str = "@row";
/// Number of first values of a column that decide its encoding.
const TRIED: usize = 4096;
/// Share of a column that compression must save to be worth the time of decoding.
const WORTHWHILE: f64 = 0.15;

/// A run of units of one stratum, in the shard's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentDescription {
    /// Index of the stratum.
    pub stratum: usize,
    /// Index of the period, in cross sections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<usize>,
    /// Number of units; of rows in cross sections.
    pub units: usize,
}

/// Description of a shard in the metadata of its own file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardDescription {
    /// Segments, in the order of the rows.
    pub segments: Vec<SegmentDescription>,
    /// XXH3-64 of every column's bytes, in the order of the columns, as hexadecimal digits.
    pub columns: Vec<String>,
}

/// Identifiers of a shard's units, or numbers of its rows.
pub enum ShardIds {
    /// Integer identifiers of units.
    Integers(Vec<i64>),
    /// Text identifiers of units, as bytes.
    Texts(Vec<Vec<u8>>),
    /// Numbers of rows, in cross sections.
    Rows(Vec<i64>),
}

/// Slots of a variable, one for each unit.
pub enum FieldValues {
    /// One column for all periods.
    Constant(Vec<u64>),
    /// One column for each period.
    ByPeriod(Vec<Vec<u64>>),
}

/// A shard to be written.
pub struct ShardData<'a> {
    /// Columns that form the panel.
    pub columns: &'a KeyColumns,
    /// Variables, in the order of `values`.
    pub fields: &'a [StoreField],
    /// Periods, ascending.
    pub periods: &'a [f64],
    /// Strata, by cohort and eligibility.
    pub strata: &'a [Stratum],
    /// Segments, in the order of the rows.
    pub segments: Vec<SegmentDescription>,
    /// Identifiers of the rows.
    pub ids: ShardIds,
    /// Slots of every variable.
    pub values: Vec<FieldValues>,
    /// By period: true for each unit that has a row; `None` if all have.
    pub present: Option<Vec<Vec<bool>>>,
    /// Texts by code.
    pub texts: &'a [String],
}

/// A shard's file, its entry in the manifest, and the bytes that its columns take.
pub struct ShardFile {
    /// Content of the file.
    pub bytes: Bytes,
    /// Entry in the manifest.
    pub entry: ShardEntry,
    /// By variable: number of bytes of its columns.
    pub field_bytes: Vec<u64>,
    /// Number of bytes of the identifiers.
    pub id_bytes: u64,
}

/// Returns the name of an input's column in a shard. A single `@` begins the names that the store adds, so that no two
/// columns share a name.
fn plain_name(name: &str) -> String {
    name.replace('@', "@@")
}

/// Returns the name of a variable's column; `period` is that of the column, if there is one for each period.
pub fn column_name(keys: &KeyColumns, name: &str, kind: FieldKind, period: Option<f64>) -> String {
    let is_key =
        [&keys.id, &keys.time, &keys.group].into_iter().chain(&keys.eligibility).any(|key| key == name);
    let role = match kind {
        FieldKind::Cluster => "@cluster",
        FieldKind::Code => "@code",
        _ if is_key => "@value",
        _ => "",
    };
    let period = period.map(|period| format!("@{period}")).unwrap_or_default();
    format!("{}{role}{period}", plain_name(name))
}

/// Returns the name of the column of units, or of row numbers.
pub fn id_column_name(keys: &KeyColumns, cross_sections: bool) -> String {
    if cross_sections { ROW_COLUMN.to_owned() } else { plain_name(&keys.id) }
}

/// Returns the name of the column that tells if units have a row in a period.
pub fn presence_column_name(period: f64) -> String {
    format!("@present@{period}")
}

struct Columns {
    fields: Vec<ArrowField>,
    arrays: Vec<ArrayRef>,
    /// By column: the part of the shard that it belongs to.
    owners: Vec<Owner>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Id,
    Key,
    Field(usize),
}

impl Columns {
    fn push(&mut self, name: String, array: ArrayRef, owner: Owner) {
        let nullable = array.null_count() > 0;
        self.fields.push(ArrowField::new(name, array.data_type().clone(), nullable));
        self.arrays.push(array);
        self.owners.push(owner);
    }
}

/// Writes a shard. The bytes depend on the data alone.
///
/// # Errors
/// Columns that the Parquet writer refuses, and texts without a code.
pub fn write_shard(data: &ShardData<'_>) -> Result<ShardFile> {
    let columns = arrange(data)?;
    let failed =
        |e: parquet::errors::ParquetError| StaggerError::failed(format!("a shard can't be written: {e}"));
    let schema = Arc::new(Schema::new(columns.fields.clone()));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns.arrays.clone())
        .map_err(|e| StaggerError::failed(format!("a shard can't be written: {e}")))?;
    let mut writer = ArrowWriter::try_new(Vec::new(), schema, Some(properties(&columns)?)).map_err(failed)?;
    writer.write(&batch).map_err(failed)?;
    writer.flush().map_err(failed)?;
    writer.sync().map_err(|e| StaggerError::failed(format!("a shard can't be written: {e}")))?;
    let mut field_bytes = vec![0; data.fields.len()];
    let (mut id_bytes, mut checksums) = (0, Vec::new());
    for group in writer.flushed_row_groups() {
        for (chunk, owner) in group.columns().iter().zip(&columns.owners) {
            let (start, length) = chunk.byte_range();
            match owner {
                Owner::Id => id_bytes += length,
                Owner::Field(field) => field_bytes[*field] += length,
                Owner::Key => {}
            }
            let bytes = writer.inner().get(start as usize..(start + length) as usize);
            checksums.push(format!("{:016x}", xxh3_64(bytes.unwrap_or_default())));
        }
    }
    let note = ShardDescription { segments: data.segments.clone(), columns: checksums };
    let json = serde_json::to_string(&note).map_err(|e| StaggerError::failed(e.to_string()))?;
    writer.append_key_value_metadata(KeyValue::new(DESCRIPTION_KEY.to_owned(), json));
    let body = writer.bytes_written();
    let bytes = writer.into_inner().map_err(failed)?;
    let footer = footer_length(&bytes).unwrap_or(bytes.len() - body);
    let entry = ShardEntry {
        units: data.segments.iter().map(|s| s.units as u64).sum(),
        bytes: bytes.len() as u64,
        footer: footer as u64,
        checksum: format!("{:032x}", xxh3_128(&bytes)),
        footer_checksum: format!("{:032x}", xxh3_128(&bytes[bytes.len() - footer..])),
    };
    Ok(ShardFile { bytes: Bytes::from(bytes), entry, field_bytes, id_bytes })
}

/// Number of bytes of the footer, its length and the magic number, from the end of the file.
fn footer_length(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(bytes.len().checked_sub(8)?..bytes.len() - 4)?;
    Some(u32::from_le_bytes(length.try_into().ok()?) as usize + 8)
}

/// Returns the columns in the file's order: keys, then those that every stage reads, then outcomes.
fn arrange(data: &ShardData<'_>) -> Result<Columns> {
    let mut out = Columns { fields: Vec::new(), arrays: Vec::new(), owners: Vec::new() };
    let ids: ArrayRef = match &data.ids {
        ShardIds::Integers(ids) | ShardIds::Rows(ids) => Arc::new(Int64Array::from(ids.clone())),
        ShardIds::Texts(ids) => texts(ids),
    };
    out.push(id_column_name(data.columns, matches!(data.ids, ShardIds::Rows(_))), ids, Owner::Id);
    strata(data, &mut out);
    if let Some(present) = &data.present {
        for (own, &period) in present.iter().zip(data.periods) {
            out.push(presence_column_name(period), Arc::new(BooleanArray::from(own.clone())), Owner::Key);
        }
    }
    for outcomes in [false, true] {
        for (index, field) in data.fields.iter().enumerate().filter(|(_, f)| f.outcome == outcomes) {
            match &data.values[index] {
                FieldValues::Constant(slots) => {
                    let name = column_name(data.columns, &field.name, field.kind, None);
                    out.push(name, array(field.kind, slots, data.texts)?, Owner::Field(index));
                }
                FieldValues::ByPeriod(columns) => {
                    for (slots, &period) in columns.iter().zip(data.periods) {
                        let name = column_name(data.columns, &field.name, field.kind, Some(period));
                        out.push(name, array(field.kind, slots, data.texts)?, Owner::Field(index));
                    }
                }
            }
        }
    }
    Ok(out)
}

/// Identifiers as texts; as bytes if some are not UTF-8.
fn texts(ids: &[Vec<u8>]) -> ArrayRef {
    let text: std::result::Result<Vec<&str>, _> = ids.iter().map(|id| std::str::from_utf8(id)).collect();
    match text {
        Ok(text) => Arc::new(StringArray::from_iter_values(text)),
        Err(_) => Arc::new(BinaryArray::from_iter_values(ids)),
    }
}

/// Adds cohort, eligibility and, in cross sections, the period: for people who read the file, as the note has them too.
fn strata(data: &ShardData<'_>, out: &mut Columns) {
    let spread = |value: &dyn Fn(&SegmentDescription) -> f64| -> ArrayRef {
        let values = data.segments.iter().flat_map(|s| std::iter::repeat_n(value(s), s.units));
        Arc::new(Float64Array::from_iter_values(values))
    };
    if matches!(data.ids, ShardIds::Rows(_)) {
        let period = |s: &SegmentDescription| s.period.map_or(f64::NAN, |p| data.periods[p]);
        out.push(plain_name(&data.columns.time), spread(&period), Owner::Key);
    }
    out.push(plain_name(&data.columns.group), spread(&|s| data.strata[s.stratum].cohort), Owner::Key);
    if let Some(name) = &data.columns.eligibility {
        let eligible = |s: &SegmentDescription| f64::from(u8::from(data.strata[s.stratum].eligible));
        out.push(plain_name(name), spread(&eligible), Owner::Key);
    }
}

fn array(kind: FieldKind, slots: &[u64], texts: &[String]) -> Result<ArrayRef> {
    let is_null = |slot: &u64| *slot == MISSING || *slot == UNSET;
    let nulls =
        slots.iter().any(is_null).then(|| NullBuffer::from_iter(slots.iter().map(|slot| !is_null(slot))));
    let value = |slot: &u64| if is_null(slot) { 0.0 } else { decode(*slot) };
    Ok(match kind {
        FieldKind::Number => {
            Arc::new(Float64Array::new(slots.iter().map(value).collect::<Vec<f64>>().into(), nulls))
        }
        FieldKind::Cluster => Arc::new(UInt64Array::new(slots.to_vec().into(), nulls)),
        FieldKind::Text | FieldKind::Code => {
            let text = |slot: &u64| match is_null(slot) {
                true => Ok(None),
                false => match texts.get(decode(*slot) as usize) {
                    Some(text) => Ok(Some(text.as_str())),
                    None => Err(StaggerError::failed("a text has no code")),
                },
            };
            Arc::new(slots.iter().map(text).collect::<Result<StringArray>>()?)
        }
    })
}

/// Decides the encoding of each column by its first values: a dictionary for few different values, compression where it
/// saves enough, otherwise plain values, which are read fastest (measured: docs/decisions/0011).
fn properties(columns: &Columns) -> Result<WriterProperties> {
    let mut out = WriterProperties::builder()
        .set_created_by("stagger".to_owned())
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_offset_index_disabled(true)
        .set_dictionary_enabled(false)
        .set_compression(Compression::UNCOMPRESSED)
        .set_max_row_group_row_count(None)
        .set_data_page_row_count_limit(usize::MAX)
        .set_data_page_size_limit(1 << 20);
    for (field, array) in columns.fields.iter().zip(&columns.arrays) {
        let path = ColumnPath::new(vec![field.name().clone()]);
        let text = matches!(array.data_type(), DataType::Utf8 | DataType::Binary);
        let (dictionary, compressed) = if text { (true, true) } else { tried(array)? };
        if dictionary {
            out = out.set_column_dictionary_enabled(path.clone(), true);
        }
        if compressed {
            out = out.set_column_compression(path, Compression::ZSTD(ZstdLevel::default()));
        }
    }
    Ok(out.build())
}

/// Tells if a dictionary, and if compression, is worth it for a column of 8-byte values.
fn tried(array: &ArrayRef) -> Result<(bool, bool)> {
    let sample = array.slice(0, array.len().min(TRIED)).to_data();
    let Some(buffer) = sample.buffers().first().filter(|_| sample.data_type() != &DataType::Boolean) else {
        return Ok((false, false));
    };
    let bytes = &buffer[8 * sample.offset()..8 * (sample.offset() + sample.len())];
    let mut values: Vec<&[u8]> = bytes.chunks_exact(8).collect();
    values.sort_unstable();
    values.dedup();
    if values.len() * 8 <= sample.len() {
        return Ok((true, false));
    }
    let packed = zstd::bulk::compress(bytes, 1)
        .map_err(|e| StaggerError::failed(format!("a column can't be compressed: {e}")))?;
    Ok((false, (packed.len() as f64) < (1.0 - WORTHWHILE) * bytes.len() as f64))
}
