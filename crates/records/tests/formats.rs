//! Formats that are decoded as a whole: each gives the rows that were written, whatever its compression.

#![allow(clippy::unwrap_used, reason = "a test that panics fails")]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, StructArray};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use arrow_schema::{DataType, Field, Schema};
use dta::stata::dta::byte_order::ByteOrder;
use dta::stata::dta::dta_writer::DtaWriter;
use dta::stata::dta::header::Header;
use dta::stata::dta::release::Release;
use dta::stata::dta::schema::Schema as StataSchema;
use dta::stata::dta::value::Value;
use dta::stata::dta::variable::Variable;
use dta::stata::dta::variable_type::VariableType;
use dta::stata::missing_value::MissingValue;
use dta::stata::stata_double::StataDouble;
use dta::stata::stata_long::StataLong;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use stagger_model::csv_options::{ColumnRole, ColumnSelection};
use stagger_model::error::Result;

use stagger_records::{Source, list_input_files, with_f64, with_texts};

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn open(input: &Path, needed: &[&str]) -> Result<Source> {
    Source::open(list_input_files(&[input.display().to_string()])?, &names(needed))
}

/// Returns whole numbers of rows of a chunk.
fn values(source: &Source, chunk: usize, rows: std::ops::Range<usize>, column: &str) -> Vec<i64> {
    let mut out = Vec::new();
    let read = source.read_rows(&source.chunks()[chunk], rows, &names(&[column]), |_, arrays| {
        out.extend(arrays[0].as_primitive::<Int64Type>().values());
        Ok(())
    });
    read.unwrap();
    out
}

/// Rows of more than one batch and one row group.
const ROWS: i64 = 140_000;

fn id(row: i64) -> i64 {
    (1 << 53) + row
}

fn outcome(row: i64) -> Option<f64> {
    (row % 7 != 0).then(|| row as f64 / 8.0)
}

/// The rows as a batch with a struct `at` that is missing in every eleventh row.
fn batch(rows: std::ops::Range<i64>) -> RecordBatch {
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.clone().map(id)));
    let y: ArrayRef = Arc::new(rows.clone().map(outcome).collect::<Float64Array>());
    let state: ArrayRef =
        Arc::new(StringArray::from_iter_values(rows.clone().map(|row| format!("s{}", row % 5))));
    let fields = vec![Field::new("y", DataType::Float64, true), Field::new("state", DataType::Utf8, true)];
    let present = rows.map(|row| row % 11 != 0).collect::<Vec<bool>>();
    let at: ArrayRef = Arc::new(StructArray::new(fields.into(), vec![y, state], Some(present.into())));
    RecordBatch::try_from_iter_with_nullable([("id", ids, false), ("at", at, true)]).unwrap()
}

/// Checks identifiers, nested numbers and nested text of all rows.
#[track_caller]
fn check(path: &Path) {
    let source =
        open(path, &["id", "at.y", "at.state"]).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(source.rows(), ROWS as u64, "{}", path.display());
    assert!(source.chunks().len() > 1 || ROWS < 1 << 17);
    let mut row = 0;
    for chunk in source.chunks() {
        let wanted = names(&["id", "at.y", "at.state"]);
        source
            .read(chunk, &wanted, |_, arrays| {
                let ids = arrays[0].as_primitive::<Int64Type>().clone();
                with_f64(&arrays[1], "at.y", &mut Vec::new(), |ys| {
                    with_texts(&arrays[2], |states| {
                        for (at, (y, state)) in ys.iter().zip(states).enumerate() {
                            let there = row % 11 != 0;
                            assert_eq!(ids.value(at), id(row));
                            assert_eq!(Some(*y).filter(|y| !y.is_nan()), outcome(row).filter(|_| there));
                            assert_eq!(state.map(str::to_owned), there.then(|| format!("s{}", row % 5)));
                            row += 1;
                        }
                        Ok(())
                    })
                })
            })
            .unwrap();
    }
    assert_eq!(row, ROWS);
}

fn lines() -> String {
    let line = |row: i64| {
        let y = outcome(row).map_or("null".to_owned(), |y| y.to_string());
        let at = if row % 11 == 0 {
            String::new()
        } else {
            format!(",\"at\":{{\"y\":{y},\"state\":\"s{}\"}}", row % 5)
        };
        format!("{{\"id\":{}{at},\"unused\":[1,{{}}]}}\n", id(row))
    };
    (0..ROWS).map(line).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

/// The rows as an Arrow file and stream.
fn arrow() -> (Vec<u8>, Vec<u8>) {
    let schema = batch(0..1).schema();
    let mut file = FileWriter::try_new(Vec::new(), &schema).unwrap();
    let mut stream = StreamWriter::try_new(Vec::new(), &schema).unwrap();
    for from in (0..ROWS).step_by(50_000) {
        let batch = batch(from..ROWS.min(from + 50_000));
        file.write(&batch).unwrap();
        stream.write(&batch).unwrap();
    }
    (file.into_inner().unwrap(), stream.into_inner().unwrap())
}

fn avro() -> Vec<u8> {
    let mut writer = arrow_avro::writer::WriterBuilder::new(batch(0..1).schema().as_ref().clone())
        .build::<_, arrow_avro::writer::format::AvroOcfFormat>(Vec::new())
        .unwrap();
    for from in (0..ROWS).step_by(50_000) {
        writer.write(&batch(from..ROWS.min(from + 50_000))).unwrap();
    }
    writer.finish().unwrap();
    writer.into_inner()
}

#[test]
fn every_format_gives_the_rows_that_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let (file, stream) = arrow();
    let lines = lines();
    let array = format!("[{}]", lines.trim_end().replace("}\n", "},\n"));
    let all = [
        ("a.json", lines.clone().into_bytes()),
        ("array.json", array.into_bytes()),
        ("file.arrow", file),
        ("stream.arrows", stream),
        ("a.avro", avro()),
    ];
    for (name, bytes) in all {
        let path = folder.path().join(name);
        fs::write(&path, &bytes).unwrap();
        check(&path);
        // The ending tells nothing, and a compression changes nothing.
        let packed = folder.path().join(format!("{name}.gz"));
        fs::write(&packed, gzip(&bytes)).unwrap();
        check(&packed);
        let packed = folder.path().join("unnamed");
        fs::write(&packed, zstd::encode_all(&bytes[..], 1).unwrap()).unwrap();
        check(&packed);
    }
}

#[test]
fn a_parquet_file_may_be_compressed_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..20_000));
    let batch = RecordBatch::try_from_iter([("x", column)]).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(9_000)).build();
    let file = fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let packed = folder.path().join("b.parquet.gz");
    fs::write(&packed, gzip(&fs::read(&path).unwrap())).unwrap();
    let (plain, packed) = (open(&path, &["x"]).unwrap(), open(&packed, &["x"]).unwrap());
    assert_eq!(plain.chunks(), packed.chunks());
    assert_eq!(values(&plain, 1, 0..9_000, "x"), values(&packed, 1, 0..9_000, "x"));
}

fn refusal(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    match open(&path, &["id"]) {
        Ok(_) => panic!("{name} was read"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn cut_files_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (file, stream) = arrow();
    for (name, bytes) in
        [("a.arrow", file), ("b.arrows", stream), ("c.avro", avro()), ("d.json", lines().into_bytes())]
    {
        // In the middle, shortly before the end, and between two batches.
        for cut in [bytes.len() / 2, bytes.len() - 9, 41] {
            let error = refusal(folder.path(), name, &bytes[..cut]);
            assert!(error.contains(name), "{name} cut at {cut}: {error}");
        }
    }
    let between = {
        let schema = batch(0..1).schema();
        let mut writer = StreamWriter::try_new(Vec::new(), &schema).unwrap();
        writer.write(&batch(0..10)).unwrap();
        writer.get_ref().clone()
    };
    assert!(refusal(folder.path(), "e.arrows", &between).contains("without the mark of its end"));
}

fn skipping(path: &Path, skip_bad: u64) -> Result<Source> {
    let mut selection = ColumnSelection::of(&names(&["id", "t"]));
    selection.records.skip_bad = skip_bad;
    Source::select(list_input_files(&[path.display().to_string()])?, &selection)
}

#[test]
fn broken_lines_are_refused_or_left_out_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let json = "{\"id\":1,\"t\":2}\n{\"id\":2,\nnull\n{\"id\":3,\"t\":2,\"t\":3}\n{\"id\":4,\"t\":2}\n[1]\n";
    let csv = "id,t\n1,2\n2\nx\n3,2,3\n4,2\n\n5,6,7\n";
    for (name, text) in [("a.json", json), ("a.csv", csv)] {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        let error = skipping(&path, 0).map(|_| ()).unwrap_err();
        let error = format!("{error} {:?}", error.hint());
        assert!(error.contains("line ") && error.contains("--skip-bad 1000"), "{error}");
        let error = skipping(&path, 3).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("more broken lines than --skip-bad 3"), "{error}");
        let source = skipping(&path, 4).unwrap();
        assert_eq!(source.rows(), 2);
        let notes = source.notes();
        assert!(notes[0].starts_with("4 broken lines of `") && notes[0].contains("; line "), "{notes:?}");
        assert_eq!(values(&source, 0, 0..2, "id"), [1, 4]);
    }
    let both = skipping(folder.path(), 7).map(|_| ()).unwrap_err().to_string();
    assert!(both.contains("the files hold 8 broken lines"), "{both}");
    assert_eq!(skipping(folder.path(), 8).unwrap().rows(), 4);
}

/// Writes a data set with missing codes and months.
fn stata(path: &Path, release: Release) {
    let header = Header::builder(release, ByteOrder::LittleEndian).build();
    let schema = StataSchema::builder()
        .add_variable(Variable::builder(VariableType::Long, "id").format("%12.0g"))
        .add_variable(Variable::builder(VariableType::Double, "t").format("%tm"))
        .add_variable(Variable::builder(VariableType::Long, "region").format("%9.0g"))
        .add_variable(Variable::builder(VariableType::FixedString(8), "name").format("%8s"))
        .build()
        .unwrap();
    let mut records = DtaWriter::new()
        .from_path(path)
        .unwrap()
        .write_header(header)
        .unwrap()
        .write_schema(schema)
        .unwrap()
        .into_record_writer()
        .unwrap();
    for (id, t, region) in [
        (1, StataDouble::Present(720.0), StataLong::Present(1)),
        (2, StataDouble::Present(0.0), StataLong::Present(3)),
        (3, StataDouble::Missing(MissingValue::System), StataLong::Missing(MissingValue::System)),
    ] {
        let row = [
            Value::Long(StataLong::Present(id)),
            Value::Double(t),
            Value::Long(region),
            Value::string("a b"),
        ];
        records.write_record(&row).unwrap();
    }
    records.into_long_string_writer().unwrap().into_value_label_writer().unwrap().finish().unwrap();
}

/// Returns a column of text.
fn texts(source: &Source, column: &str) -> Vec<Option<String>> {
    let mut out = Vec::new();
    for chunk in source.chunks() {
        let read = source.read(chunk, &names(&[column]), |_, arrays| {
            with_texts(&arrays[0], |texts| {
                out.extend(texts.into_iter().map(|text| text.map(str::to_owned)));
                Ok(())
            })
        });
        read.unwrap();
    }
    out
}

fn own(texts: &[Option<&str>]) -> Vec<Option<String>> {
    texts.iter().map(|text| text.map(str::to_owned)).collect()
}

/// A file that another program wrote.
fn fixture(name: &str) -> String {
    format!("{}/../../tests/fixtures/formats/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn labels_of_stata_are_levels_where_levels_are_asked_for() {
    let mut selection = ColumnSelection::default();
    selection.add("region", ColumnRole::Level);
    let input = [fixture("labels.dta")];
    let levels = Source::select(list_input_files(&input).unwrap(), &selection).unwrap();
    assert_eq!(texts(&levels, "region"), own(&[Some("North"), Some("South"), Some("7"), None]));
    selection.add("region", ColumnRole::Number);
    let codes = Source::select(list_input_files(&input).unwrap(), &selection).unwrap();
    let read = codes.read(&codes.chunks()[0], &names(&["region"]), |_, arrays| {
        with_f64(&arrays[0], "region", &mut Vec::new(), |values| {
            assert_eq!(values[..3], [1.0, 2.0, 7.0]);
            Ok(())
        })
    });
    read.unwrap();
}

#[test]
fn stata_gives_missing_codes_and_periods() {
    let folder = tempfile::tempdir().unwrap();
    for release in [Release::V114, Release::V117, Release::V118] {
        let path = folder.path().join(format!("{release:?}.dta"));
        stata(&path, release);
        let source = open(&path, &["id", "t", "region", "name"]).unwrap();
        assert_eq!(texts(&source, "t"), own(&[Some("2020m1"), Some("0"), None]), "{release:?}");
        assert_eq!(texts(&source, "name"), own(&[Some("a b"); 3]));
        let number = open(&path, &["region"]).unwrap();
        number
            .read(&number.chunks()[0], &names(&["region"]), |_, arrays| {
                with_f64(&arrays[0], "region", &mut Vec::new(), |values| {
                    assert_eq!((values[0], values[1], values[2].is_nan()), (1.0, 3.0, true));
                    Ok(())
                })
            })
            .unwrap();
        let error = open(&path, &["regoin"]).unwrap().require_column("xformla", "regoin").unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("did you mean `region`")), "{error}");
    }
}

#[test]
fn columns_that_are_not_read_cost_nothing_and_have_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    fs::write(&path, "{\"id\": 1, \"y\": 2}\n{\"id\": 2, \"at\": {\"z\": \"a\"}}\n").unwrap();
    let source = open(&path, &["id"]).unwrap();
    assert_eq!(source.column_names(), ["id", "y", "at.z"]);
    assert_eq!(open(&path, &[]).unwrap().column_names(), ["id", "y", "at.z"]);
    let schema = Schema::new(vec![Field::new("id", DataType::Int64, true)]);
    assert_eq!(source.type_name("id").as_deref(), Some(schema.field(0).data_type().to_string().as_str()));
}
