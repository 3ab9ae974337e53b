//! Checkpoints of a Delta log: the actions of all earlier versions, as rows of a Parquet file.

use std::collections::BTreeMap;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Array, ArrayRef, RecordBatch, StructArray};
use bytes::Bytes;
use stagger_model::error::StaggerError;

use super::delta::{Action, DeletionVector, FileAction, Metadata, Protocol};
use crate::parquet_file;

/// The number of rows of a batch: each is a file with its statistics.
const BATCH_ROWS: usize = 4096;

/// The columns that are read.
const COLUMNS: [&str; 3] = ["add", "metaData", "protocol"];

/// Reads the actions of a checkpoint; the error is the reason why it can't be read.
pub(super) fn read(bytes: Bytes) -> Result<Vec<Action>, String> {
    let metadata = parquet_file::read_footer(&bytes).map_err(|damage| damage.to_string())?;
    let fields = metadata.schema().fields().iter().enumerate();
    let roots: Vec<usize> =
        fields.filter(|(_, field)| COLUMNS.contains(&field.name().as_str())).map(|(root, _)| root).collect();
    let mut actions = Vec::new();
    for (row_group, group) in metadata.metadata().row_groups().iter().enumerate() {
        let request = parquet_file::RowRequest {
            metadata: &metadata,
            size: bytes.len() as u64,
            row_group,
            roots: &roots,
            rows: 0..usize::try_from(group.num_rows()).unwrap_or(0),
            batch_rows: BATCH_ROWS,
            repeating: &[],
        };
        let broken = |damage: &parquet_file::Damage| StaggerError::input(damage.to_string());
        let take = |batch: &RecordBatch| take(batch, &mut actions).map_err(StaggerError::input);
        parquet_file::decode_rows(bytes.clone(), &request, broken, take)
            .map_err(|error| error.to_string())?;
    }
    Ok(actions)
}

fn take(batch: &RecordBatch, actions: &mut Vec<Action>) -> Result<(), String> {
    let column = |name| batch.column_by_name(name).and_then(|array| array.as_struct_opt());
    let (add, metadata, protocol) = (column("add"), column("metaData"), column("protocol"));
    for row in 0..batch.num_rows() {
        actions.push(Action {
            add: present(add, row).map(|array| file(array, row)).transpose()?,
            meta_data: present(metadata, row).map(|array| metadata_of(array, row)),
            protocol: present(protocol, row).map(|array| protocol_of(array, row)).transpose()?,
            ..Action::default()
        });
    }
    Ok(())
}

fn present(array: Option<&StructArray>, row: usize) -> Option<&StructArray> {
    array.filter(|array| array.is_valid(row))
}

fn file(add: &StructArray, row: usize) -> Result<FileAction, String> {
    let vector = add.column_by_name("deletionVector").and_then(|array| array.as_struct_opt());
    Ok(FileAction {
        path: text(add.column_by_name("path"), row).ok_or("an added file has no path")?,
        partition_values: Some(map(add.column_by_name("partitionValues"), row)),
        deletion_vector: present(vector, row).map(|vector| DeletionVector {
            path_or_inline_dv: text(vector.column_by_name("pathOrInlineDv"), row).unwrap_or_default(),
            offset: integer(vector.column_by_name("offset"), row),
        }),
    })
}

fn metadata_of(metadata: &StructArray, row: usize) -> Metadata {
    Metadata {
        partition_columns: texts(metadata.column_by_name("partitionColumns"), row).unwrap_or_default(),
        configuration: map(metadata.column_by_name("configuration"), row),
    }
}

fn protocol_of(protocol: &StructArray, row: usize) -> Result<Protocol, String> {
    let version = integer(protocol.column_by_name("minReaderVersion"), row);
    Ok(Protocol {
        min_reader_version: version.ok_or("the protocol has no reader version")?,
        reader_features: texts(protocol.column_by_name("readerFeatures"), row),
    })
}

fn text(array: Option<&ArrayRef>, row: usize) -> Option<String> {
    let array = array.filter(|array| array.is_valid(row))?;
    let short = || array.as_string_opt::<i32>().map(|texts| texts.value(row).to_owned());
    let long = || array.as_string_opt::<i64>().map(|texts| texts.value(row).to_owned());
    let view = || array.as_string_view_opt().map(|texts| texts.value(row).to_owned());
    short().or_else(long).or_else(view)
}

fn integer(array: Option<&ArrayRef>, row: usize) -> Option<i64> {
    let array = array.filter(|array| array.is_valid(row))?;
    let narrow = array.as_primitive_opt::<Int32Type>().map(|values| i64::from(values.value(row)));
    narrow.or_else(|| array.as_primitive_opt::<Int64Type>().map(|values| values.value(row)))
}

fn texts(array: Option<&ArrayRef>, row: usize) -> Option<Vec<String>> {
    let array = array.filter(|array| array.is_valid(row))?;
    let short = || array.as_list_opt::<i32>().map(|lists| lists.value(row));
    let list = short().or_else(|| array.as_list_opt::<i64>().map(|lists| lists.value(row)))?;
    Some((0..list.len()).filter_map(|at| text(Some(&list), at)).collect())
}

fn map(array: Option<&ArrayRef>, row: usize) -> BTreeMap<String, Option<String>> {
    let entries =
        array.and_then(|array| array.as_map_opt()).filter(|map| map.is_valid(row)).map(|map| map.value(row));
    let Some(entries) = entries else { return BTreeMap::new() };
    let (keys, values) = (entries.columns().first(), entries.columns().get(1));
    (0..entries.len()).filter_map(|at| Some((text(keys, at)?, text(values, at)))).collect()
}
