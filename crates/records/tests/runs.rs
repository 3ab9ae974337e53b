//! Columns that come as runs hold what the parquet crate reads.

#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use std::sync::Arc;

use arrow_array::builder::PrimitiveBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int32Type, Int64Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::DataType;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{WriterProperties, WriterVersion};
use stagger_model::error::{Result, StaggerError};
use stagger_records::parquet_file::{Damage, RowRequest, decode_rows, read_footer};
use stagger_records::split_runs;

/// Returns `rows` values in runs of about `run` rows; every seventh run has no value if `gaps`.
fn column<T: ArrowPrimitiveType>(
    rows: usize,
    run: usize,
    gaps: bool,
    value: impl Fn(usize) -> T::Native,
) -> ArrayRef {
    let mut out = PrimitiveBuilder::<T>::new();
    let mut number = 0;
    while out.values_slice().len() < rows {
        // Runs of one to twice the length, in an order that repeats late.
        let length = 1 + (number * 7919) % (2 * run);
        let length = length.min(rows - out.values_slice().len());
        match gaps && number % 7 == 3 {
            true => out.append_nulls(length),
            false => out.append_value_n(value(number), length),
        }
        number += 1;
    }
    Arc::new(out.finish())
}

fn file(batch: &RecordBatch, properties: WriterProperties) -> Bytes {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap().into()
}

/// Reads all batches of a file, with the columns `repeating` as runs.
fn read(file: &Bytes, repeating: &[usize]) -> Result<Vec<RecordBatch>> {
    let metadata = read_footer(file).map_err(|damage| StaggerError::input(damage.to_string()))?;
    let roots: Vec<usize> = (0..metadata.schema().fields().len()).collect();
    let mut out = Vec::new();
    for row_group in 0..metadata.metadata().num_row_groups() {
        let rows = 0..metadata.metadata().row_group(row_group).num_rows() as usize;
        let size = file.len() as u64;
        let request = RowRequest {
            metadata: &metadata,
            size,
            row_group,
            roots: &roots,
            rows,
            batch_rows: 97,
            repeating,
        };
        let broken = |damage: &Damage| StaggerError::input(damage.to_string());
        decode_rows(file.clone(), &request, broken, |batch| {
            out.push(batch.clone());
            Ok(())
        })?;
    }
    Ok(out)
}

/// Returns a column with each value in all its rows.
fn expanded(array: &ArrayRef) -> ArrayRef {
    let Some((values, ends)) = split_runs(array) else { return Arc::clone(array) };
    let mut start = 0;
    let indices = (0u32..).zip(ends).flat_map(|(at, &end)| {
        let times = (end - start) as usize;
        start = end;
        std::iter::repeat_n(at, times)
    });
    let indices = UInt32Array::from_iter_values(indices);
    macro_rules! of {
        ($type:ty) => {{
            let values = values.as_primitive::<$type>();
            let taken = indices
                .values()
                .iter()
                .map(|&at| values.is_valid(at as usize).then(|| values.value(at as usize)));
            Arc::new(taken.collect::<arrow_array::PrimitiveArray<$type>>())
        }};
    }
    match values.data_type() {
        DataType::Int8 => of!(Int8Type),
        DataType::Int32 => of!(Int32Type),
        DataType::Int64 => of!(Int64Type),
        DataType::UInt32 => of!(UInt32Type),
        DataType::UInt64 => of!(UInt64Type),
        DataType::Float32 => of!(Float32Type),
        DataType::Float64 => of!(Float64Type),
        other => panic!("{other}"),
    }
}

#[test]
fn runs_hold_what_the_crate_reads() {
    let mut as_runs = 0;
    for (rows, run, gaps) in
        [(1, 1, false), (999, 1, true), (5000, 6, false), (5000, 12, true), (700, 400, true)]
    {
        let batch = RecordBatch::try_from_iter([
            ("a", column::<Int8Type>(rows, run, gaps, |n| n as i8)),
            ("b", column::<Int32Type>(rows, run, false, |n| -(n as i32))),
            ("c", column::<Int64Type>(rows, run, gaps, |n| n as i64 - (1 << 40))),
            ("d", column::<UInt32Type>(rows, run, gaps, |n| u32::MAX - n as u32)),
            ("e", column::<UInt64Type>(rows, run, false, |n| u64::MAX - n as u64)),
            ("f", column::<Float32Type>(rows, run, gaps, |n| n as f32 * 0.3)),
            ("g", column::<Float64Type>(rows, run, gaps, |n| n as f64 * 0.7)),
        ])
        .unwrap();
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            // A small dictionary is given up within the column, and the rest is plain.
            for dictionary in [1 << 20, 600] {
                let properties = WriterProperties::builder()
                    .set_writer_version(version)
                    .set_dictionary_page_size_limit(dictionary)
                    .set_data_page_row_count_limit(400)
                    .set_write_batch_size(50)
                    .set_max_row_group_row_count(Some(3000))
                    .build();
                let file = file(&batch, properties);
                let plain = read(&file, &[]).unwrap();
                for repeating in [&[0, 1, 2, 3, 4, 5, 6][..], &[2, 6]] {
                    let found = read(&file, repeating).unwrap();
                    assert_eq!(found.len(), plain.len());
                    for (found, plain) in found.iter().zip(&plain) {
                        for (index, field) in plain.schema().fields().iter().enumerate() {
                            let own = found.column_by_name(field.name()).unwrap();
                            as_runs += usize::from(split_runs(own).is_some());
                            assert_eq!(&expanded(own), plain.column(index), "{} {run} {gaps}", field.name());
                        }
                    }
                }
            }
        }
    }
    assert!(as_runs > 100, "{as_runs} columns came as runs");
}
