//! Facts that footers give before any row is read: ranges of values, and bytes to read.

use arrow_schema::DataType;
use parquet::basic::{ConvertedType, LogicalType};
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;

use super::file::Content;
use super::source::{Chunk, Source};
use crate::parquet_file::chunk_range;

impl Source {
    /// Returns bounds of an integer column in a chunk, missing values aside. They come from the footer or a folder's
    /// name, and are valid though not always tight. `None` for other types, and if the footer has none.
    pub fn integer_bounds(&self, chunk: &Chunk, column: &str) -> Option<(i128, i128)> {
        let file = &self.files[chunk.file];
        let Ok(field) = file.schema.field_with_name(column) else {
            let value = file.hive(column)?.as_ref()?.parse::<i64>().ok()?;
            return Some((value.into(), value.into()));
        };
        let meta = match &file.content {
            Content::Parquet(meta) => meta,
            Content::Csv(csv) => return csv.layout.bounds(chunk.row_group, column),
        };
        if !is_integer(field.data_type()) {
            return None;
        }
        let root = *file.roots(&[column.to_owned()]).first()?;
        integer_bounds(leaves(meta.metadata().row_group(chunk.row_group), root).next()?)
    }

    /// Returns the number of bytes to read for columns of a chunk: the compressed bytes of a Parquet file, 8 for each
    /// value of a CSV file.
    pub fn column_bytes(&self, chunk: &Chunk, columns: &[String]) -> u64 {
        let file = &self.files[chunk.file];
        match &file.content {
            Content::Parquet(meta) => {
                let group = meta.metadata().row_group(chunk.row_group);
                let roots = file.roots(columns).into_iter();
                roots.flat_map(|root| leaves(group, root)).filter_map(|c| length(c, file.row_bytes())).sum()
            }
            // Lines are read whole, whichever columns are wanted.
            Content::Csv(_) => {
                let own = columns.iter().filter(|c| file.schema.field_with_name(c).is_ok()).count();
                8 * own as u64 * chunk.rows as u64
            }
        }
    }
}

/// Returns the bytes of a column chunk; `None` if the footer is invalid, which is an error once the chunk is read.
fn length(column: &ColumnChunkMetaData, size: u64) -> Option<u64> {
    chunk_range(column, size).ok().map(|range| range.end - range.start)
}

/// Returns the Parquet columns of the schema's field `root`: one, or several for a nested field.
pub(super) fn leaves(group: &RowGroupMetaData, root: usize) -> impl Iterator<Item = &ColumnChunkMetaData> {
    let schema = group.schema_descr_ptr();
    let columns = group.columns().iter().enumerate();
    columns.filter(move |(leaf, _)| schema.get_column_root_idx(*leaf) == root).map(|(_, column)| column)
}

fn is_integer(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => values.is_integer(),
        other => other.is_integer(),
    }
}

fn integer_bounds(column: &ColumnChunkMetaData) -> Option<(i128, i128)> {
    let statistics = column.statistics()?;
    let unsigned = is_unsigned(column);
    // Old writers compared unsigned values as signed ones.
    if unsigned && statistics.is_min_max_deprecated() {
        return None;
    }
    match statistics {
        Statistics::Int32(s) => {
            let wide = |v: i32| if unsigned { i128::from(v as u32) } else { i128::from(v) };
            Some((wide(*s.min_opt()?), wide(*s.max_opt()?)))
        }
        Statistics::Int64(s) => {
            let wide = |v: i64| if unsigned { i128::from(v as u64) } else { i128::from(v) };
            Some((wide(*s.min_opt()?), wide(*s.max_opt()?)))
        }
        _ => None,
    }
}

fn is_unsigned(column: &ColumnChunkMetaData) -> bool {
    use ConvertedType::{UINT_8, UINT_16, UINT_32, UINT_64};
    let description = column.column_descr();
    matches!(description.logical_type_ref(), Some(LogicalType::Integer(int)) if !int.is_signed)
        || matches!(description.converted_type(), UINT_8 | UINT_16 | UINT_32 | UINT_64)
}
