//! Types of CSV columns by the use of the columns, and reads that continue where another stopped.

use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use stagger_model::csv_options::{ColumnRole, ColumnSelection};

use super::{fs, names};
use crate::{Source, list_input_files, with_texts};

fn read(texts: &[&str], role: ColumnRole) -> (Vec<DataType>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    for (index, text) in texts.iter().enumerate() {
        fs::write(folder.path().join(format!("{index}.csv")), text).unwrap();
    }
    let mut selection = ColumnSelection::default();
    selection.add("c", role);
    let source =
        Source::select(list_input_files(&[folder.path().display().to_string()]).unwrap(), &selection)
            .unwrap();
    let (mut types, mut values) = (Vec::new(), Vec::new());
    for chunk in source.chunks() {
        let each = |_: usize, arrays: &[ArrayRef]| {
            types.push(arrays[0].data_type().clone());
            with_texts(&arrays[0], |texts| {
                values.extend(texts.into_iter().map(|text| text.unwrap_or_default().to_owned()));
                Ok(())
            })
        };
        source.read(chunk, &names(&["c"]), each).unwrap();
    }
    (types, values)
}

#[test]
fn codes_are_numbers_where_one_spelling_is_one_number() {
    let of = |text: &str, role| read(&[text], role).0[0].clone();
    for (text, number, level, key) in [
        ("c\n1\n2\n-3\n", DataType::Int64, DataType::Int64, DataType::Int64),
        ("c\n01\n1\n", DataType::Int64, DataType::Utf8, DataType::Utf8),
        ("c\n+1\n1\n", DataType::Int64, DataType::Utf8, DataType::Utf8),
        ("c\n1.0\n2.0\nNA\n", DataType::Float64, DataType::Float64, DataType::Float64),
        ("c\n1.0\n2\n", DataType::Float64, DataType::Utf8, DataType::Utf8),
        ("c\n1.5\n2\n", DataType::Float64, DataType::Float64, DataType::Utf8),
        ("c\n1.50\n2\n", DataType::Float64, DataType::Utf8, DataType::Utf8),
        ("c\n1E2\n10E1\n", DataType::Float64, DataType::Utf8, DataType::Utf8),
        ("c\n18446744073709551615\n1\n", DataType::Float64, DataType::UInt64, DataType::UInt64),
        ("c\n9007199254740993\n1.5\n", DataType::Float64, DataType::Utf8, DataType::Utf8),
        ("c\ntrue\nfalse\n", DataType::Boolean, DataType::Boolean, DataType::Boolean),
        ("c\ntrue\nTRUE\n", DataType::Boolean, DataType::Utf8, DataType::Utf8),
        ("c\n NA \nNA\n", DataType::Null, DataType::Null, DataType::Null),
        ("c\na\n1\n", DataType::Utf8, DataType::Utf8, DataType::Utf8),
    ] {
        assert_eq!(of(text, ColumnRole::Number), number, "{text:?}");
        assert_eq!(of(text, ColumnRole::Level), level, "{text:?}");
        assert_eq!(of(text, ColumnRole::Key), key, "{text:?}");
    }
}

#[test]
fn parts_agree_on_a_spelling() {
    let (types, values) = read(&["c\n1\n2\n", "c\n01\n", "c\nNA\n"], ColumnRole::Key);
    assert!(types.iter().all(|t| *t == DataType::Utf8), "{types:?}");
    assert_eq!(values, ["1", "2", "01", "NA"]);
    let (types, _) = read(&["c\n1\n2\n", "c\n1.5\n"], ColumnRole::Level);
    assert_eq!(types, [DataType::Int64, DataType::Float64]);
    let (types, _) = read(&["c\n1\n2\n", "c\n1.0\n"], ColumnRole::Level);
    assert_eq!(types, [DataType::Utf8, DataType::Utf8]);
}

#[test]
fn encoded_files_are_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let text: String = (0..140_000).map(|i| format!("{i};gr\u{f6}\u{df}e\n")).collect();
    let bytes: Vec<u8> = format!("\u{feff}c;d\n{text}").encode_utf16().flat_map(u16::to_be_bytes).collect();
    fs::write(&path, bytes).unwrap();
    let source =
        Source::open(list_input_files(&[path.display().to_string()]).unwrap(), &names(&["c", "d"])).unwrap();
    assert_eq!(source.rows(), 140_000);
    for chunk in [2, 0, 1, 1, 0] {
        let rows = super::values(&source, chunk, 10..20, "c");
        let first = 65_536 * chunk as i64;
        assert_eq!(rows, (10..20).map(|row| (row, first + row as i64)).collect::<Vec<_>>());
    }
}
