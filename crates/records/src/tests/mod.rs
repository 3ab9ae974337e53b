//! Tests that read small files which they have written.

mod csv;
mod folders;
mod remote;

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray, UInt32Array};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use crate::{Source, list_input_files};

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>, group: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(group)).build();
    let mut writer =
        ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn numbers(values: std::ops::Range<i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&n| n.to_owned()).collect()
}

fn open(input: &Path, needed: &[&str]) -> stagger_model::error::Result<Source> {
    Source::open(list_input_files(&[input.display().to_string()])?, &names(needed))
}

/// Returns the values read, each with the position that it was delivered at.
fn values(source: &Source, chunk: usize, rows: std::ops::Range<usize>, column: &str) -> Vec<(usize, i64)> {
    let mut out = Vec::new();
    let read = source.read_rows(&source.chunks()[chunk], rows, &names(&[column]), |first, arrays| {
        let values = arrays[0].as_primitive::<Int64Type>().values();
        out.extend(values.iter().enumerate().map(|(i, &v)| (first + i, v)));
        Ok(())
    });
    read.unwrap();
    out
}

#[test]
fn rows_of_a_chunk_are_read_from_any_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    write(&path, vec![("x", numbers(0..50_000)), ("y", numbers(7..50_007))], 30_000);
    let source = open(&path, &[]).unwrap();
    assert_eq!(source.chunks().len(), 2);
    let expected = |rows: std::ops::Range<usize>| -> Vec<(usize, i64)> {
        rows.map(|row| (row, 30_007 + row as i64)).collect()
    };
    for rows in [0..20_000, 0..1, 8_191..8_193, 19_999..20_000, 5..5, 100..18_000] {
        assert_eq!(values(&source, 1, rows.clone(), "y"), expected(rows));
    }
    assert_eq!(values(&source, 1, 19_990..90_000, "y"), expected(19_990..20_000));
}

#[test]
fn rows_of_a_table_are_read_from_any_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let lines: String = (0..100_000).map(|i| format!("{i},{}\n", 2 * i)).collect();
    fs::write(&path, format!("x,y\n{lines}")).unwrap();
    let source = open(&path, &[]).unwrap();
    assert_eq!(source.chunks().iter().map(|chunk| chunk.rows).collect::<Vec<_>>(), [65_536, 34_464]);
    for (chunk, first) in [(0, 0), (1, 65_536)] {
        let read = values(&source, chunk, 8_000..18_000, "y");
        let expected: Vec<(usize, i64)> =
            (8_000..18_000).map(|row| (row, 2 * (first + row as i64))).collect();
        assert_eq!(read, expected);
    }
    assert_eq!(source.integer_bounds(&source.chunks()[1], "x"), Some((65_536, 99_999)));
    assert_eq!(source.column_bytes(&source.chunks()[1], &names(&["x"])), 8 * 34_464);
}

#[test]
fn footers_tell_ranges_of_integers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("year=2004/a.parquet");
    let large: ArrayRef = Arc::new(UInt32Array::from(vec![1, 4_000_000_000, 5]));
    let missing: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(-3), Some(9)]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "c"]));
    let float: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0, 3.0]));
    write(&path, vec![("u", large), ("m", missing), ("t", text), ("f", float)], 100);
    let source = open(folder.path(), &[]).unwrap();
    let chunk = source.chunks()[0];
    assert_eq!(source.integer_bounds(&chunk, "u"), Some((1, 4_000_000_000)));
    assert_eq!(source.integer_bounds(&chunk, "m"), Some((-3, 9)));
    assert_eq!(source.integer_bounds(&chunk, "year"), Some((2004, 2004)));
    for column in ["t", "f", "no such"] {
        assert_eq!(source.integer_bounds(&chunk, column), None);
    }
    let (one, two) = (
        source.column_bytes(&chunk, &names(&["u"])),
        source.column_bytes(&chunk, &names(&["u", "m", "year"])),
    );
    assert!(0 < one && one < two && two < source.bytes(), "{one} {two}");
}

#[test]
fn a_file_written_again_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    write(&path, vec![("x", numbers(0..10))], 100);
    let source = open(&path, &["x"]).unwrap();
    let info = source.file_infos().remove(0);
    assert_eq!((info.rows, info.bytes), (10, fs::metadata(&path).unwrap().len()));
    write(&path, vec![("x", numbers(0..1000))], 100);
    let error = source.read(&source.chunks()[0], &names(&["x"]), |_, _| Ok(())).unwrap_err();
    let start = format!("the input changed during the run: `{}` had {} bytes", path.display(), info.bytes);
    assert!(error.to_string().starts_with(&start), "{error}");
    assert!(error.is_input() && error.hint().is_some());
    assert_ne!(open(&path, &["x"]).unwrap().file_infos()[0].fingerprint, info.fingerprint);
}

#[test]
fn files_of_two_schemas_are_refused_where_they_are_used() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("a.parquet"), vec![("x", numbers(0..3)), ("z", numbers(0..3))], 9);
    let single: ArrayRef = Arc::new(Float32Array::from(vec![1.5]));
    let text: ArrayRef = Arc::new(StringArray::from(vec!["n/a"]));
    write(&folder.path().join("b.parquet"), vec![("x", single), ("z", text)], 9);
    let source = open(folder.path(), &["x", "z"]).unwrap();
    assert_eq!(source.require_number("yname", "x"), Ok(()));
    let error = source.require_number("yname", "z").unwrap_err().to_string();
    for part in ["column `z`", "Int64", "a.parquet", "Utf8", "b.parquet"] {
        assert!(error.contains(part), "{error}");
    }
}
