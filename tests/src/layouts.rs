//! The same rows in other files, orders, encodings and types: everything a result must not depend on.

use std::fs::create_dir;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_schema::DataType;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterVersion};
use stagger_test_support::panels::Random;
use stagger_test_support::tables::{
    numbers, rows, rows_where, with_type, without_column, write_csv, write_parquet, write_parquet_with,
};

/// The rows in a random order.
pub fn shuffled(table: &RecordBatch, seed: u64) -> RecordBatch {
    rows(table, Random::new(seed).order(table.num_rows()))
}

/// Writes the rows to `files` files of a folder, as even as can be.
pub fn split(folder: &Path, name: &str, table: &RecordBatch, files: usize) -> PathBuf {
    let target = new_folder(folder, name);
    for file in 0..files {
        let (start, end) = (file * table.num_rows() / files, (file + 1) * table.num_rows() / files);
        write_parquet(&target.join(format!("part-{file:05}.parquet")), &table.slice(start, end - start));
    }
    target
}

/// Writes the rows to hive folders `COLUMN=VALUE/part-0.parquet`, the column itself left out of the files.
pub fn hive(folder: &Path, name: &str, table: &RecordBatch, column: &str) -> PathBuf {
    let target = new_folder(folder, name);
    let mut values = numbers(table, column);
    values.sort_by(f64::total_cmp);
    values.dedup();
    for value in values {
        let inner = new_folder(&target, &format!("{column}={value}"));
        let part = without_column(&rows_where(table, column, |v| v == value), column);
        write_parquet(&inner.join("part-0.parquet"), &part);
    }
    target
}

/// Writes one file with row groups of at most `rows` rows.
pub fn row_groups(folder: &Path, name: &str, table: &RecordBatch, rows: usize) -> PathBuf {
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(rows)).build();
    written(folder, name, table, properties)
}

/// The physical encodings of a Parquet file that writers in use produce.
pub fn encodings() -> Vec<(&'static str, WriterProperties)> {
    let builder = WriterProperties::builder;
    vec![
        ("plain", builder().set_dictionary_enabled(false).set_encoding(Encoding::PLAIN).build()),
        ("zstd", builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build()),
        (
            "snappy-v2",
            builder()
                .set_compression(Compression::SNAPPY)
                .set_writer_version(WriterVersion::PARQUET_2_0)
                .build(),
        ),
        ("lz4", builder().set_compression(Compression::LZ4_RAW).build()),
        ("small-pages", builder().set_data_page_row_count_limit(97).set_write_batch_size(97).build()),
        // The dictionary overflows early and the writer falls back to plain pages within one column chunk.
        ("mixed", builder().set_dictionary_page_size_limit(512).set_write_batch_size(64).build()),
    ]
}

/// Writes one file with these properties.
pub fn written(folder: &Path, name: &str, table: &RecordBatch, properties: WriterProperties) -> PathBuf {
    let path = folder.join(format!("{name}.parquet"));
    write_parquet_with(&path, table, properties);
    path
}

/// Writes one CSV file.
pub fn csv(folder: &Path, name: &str, table: &RecordBatch) -> PathBuf {
    let path = folder.join(format!("{name}.csv"));
    write_csv(&path, table);
    path
}

/// Writes the table with some columns in other types.
pub fn typed(folder: &Path, name: &str, table: &RecordBatch, types: &[(&str, DataType)]) -> PathBuf {
    let changed = types.iter().fold(table.clone(), |table, (column, to)| with_type(&table, column, to));
    let path = folder.join(format!("{name}.parquet"));
    write_parquet(&path, &changed);
    path
}

fn new_folder(parent: &Path, name: &str) -> PathBuf {
    let path = parent.join(name);
    create_dir(&path).unwrap_or_else(|e| panic!("can't make {}: {e}", path.display()));
    path
}
