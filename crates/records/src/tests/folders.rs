//! Folders of parts under every name that people and programs give them, and files that must not count.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use stagger_model::error::Result;

use super::{names, numbers, open, write};
use crate::{Source, list_input_files};

fn found(inputs: &[&Path]) -> Result<Vec<String>> {
    let inputs: Vec<String> = inputs.iter().map(|path| path.display().to_string()).collect();
    Ok(list_input_files(&inputs)?
        .iter()
        .map(|input| input.path.file_name().unwrap().to_string_lossy().into_owned())
        .collect())
}

fn refusal(inputs: &[&Path]) -> String {
    let error = found(inputs).unwrap_err();
    assert!(error.is_input() && error.hint().is_some(), "{error}");
    error.to_string()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap()
}

/// Writes three rows of `x` to each file.
fn parts(folder: &Path, files: &[&str]) {
    for (part, name) in files.iter().enumerate() {
        let first = 3 * part as i64;
        write(&folder.join(name), vec![("x", numbers(first..first + 3))], 9);
    }
}

#[test]
fn every_part_is_read_whatever_its_name() {
    let root = tempfile::tempdir().unwrap();
    parts(
        root.path(),
        &["a.parquet", "b.parquet.gzip", "c.parquet.snappy", "d.gz.parquet", "000004_0", "e.c000"],
    );
    fs::write(root.path().join("f.csv.gz"), gzip("x\n18\n19\n20\n")).unwrap();
    fs::write(root.path().join("g.csv.zst"), zstd::encode_all(&b"x\n21\n22\n23\n"[..], 1).unwrap()).unwrap();
    fs::write(root.path().join("part-00007"), "x\n24\n25\n26\n").unwrap();
    fs::write(root.path().join("h.gz"), gzip("x\n27\n28\n29\n")).unwrap();
    let beside = [
        "README.md",
        "readme.txt",
        "_SUCCESS",
        "_metadata",
        ".DS_Store",
        "Thumbs.db",
        "a.parquet.sha256",
        "MD5SUMS",
        "LICENSE",
        "schema.sql",
        ".a.parquet.crc",
        "study.toml",
    ];
    beside.iter().for_each(|name| fs::write(root.path().join(name), "text").unwrap());
    fs::create_dir(root.path().join("_temporary")).unwrap();
    fs::write(root.path().join("_temporary/x.csv"), "x\n1\n").unwrap();
    fs::write(root.path().join("000009_0"), "").unwrap();
    let source = open(root.path(), &["x"]).unwrap();
    assert_eq!((source.file_sizes().len(), source.rows()), (10, 30));
    let mut read = Vec::new();
    for chunk in source.chunks() {
        source
            .read(chunk, &names(&["x"]), |_, arrays| {
                let mut scratch = Vec::new();
                crate::with_f64(&arrays[0], "x", &mut scratch, |values| {
                    read.extend_from_slice(values);
                    Ok(())
                })
            })
            .unwrap();
    }
    read.sort_by(f64::total_cmp);
    assert_eq!(read, (0..30).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn what_would_be_left_out_is_named() {
    let root = tempfile::tempdir().unwrap();
    parts(root.path(), &["a.parquet", "a.parquet.bak", "_b.parquet"]);
    let files: [(&str, &[u8], &str); 6] = [
        ("c.orc", b"ORC\x08\x03\x10", "ORC"),
        ("d.sav", b"$FL2@(#) SPSS\x02\0", "SPSS"),
        ("e.qs", b"\x0b\x0e\x0a\x0c\0", "R object (.qs)"),
        ("f.log", b"a text", "text"),
        ("g.bin", &[0; 20], "unknown format"),
        ("h.csv.bz2", b"BZh91AY&SY\x01", "bzip2"),
    ];
    files.iter().for_each(|(name, bytes, _)| fs::write(root.path().join(name), bytes).unwrap());
    let all = refusal(&[root.path()]);
    for (name, what) in files
        .iter()
        .map(|(name, _, what)| (*name, *what))
        .chain([("a.parquet.bak", "ending of something else"), ("_b.parquet", "begins with `_`")])
    {
        assert!(all.contains(name) && all.contains(what), "{name}: {all}");
    }
    assert_eq!(refusal(&[&root.path().join("*")]).matches("` (").count(), 8);
    assert_eq!(found(&[&root.path().join("*.parquet")]).unwrap_err().to_string().matches("` (").count(), 1);
    assert_eq!(found(&[&root.path().join("a*.parquet")]).unwrap(), ["a.parquet"]);
    (0..20).for_each(|i| fs::write(root.path().join(format!("z{i}.orc")), "ORC\x08\x03\x10").unwrap());
    assert!(refusal(&[root.path()]).ends_with("and 18 more"), "{}", refusal(&[root.path()]));
    let named = refusal(&[&root.path().join("e.qs")]);
    assert!(named.contains("its format is R object (.qs)"), "{named}");
}

#[test]
fn a_file_is_counted_once() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    parts(&at("one"), &["a.parquet"]);
    symlink(".", at("one/again")).unwrap();
    let looped = refusal(&[&at("one")]);
    assert!(looped.contains("one/again") && looped.contains("read already"), "{looped}");
    fs::remove_file(at("one/again")).unwrap();
    fs::create_dir(at("links")).unwrap();
    fs::hard_link(at("one/a.parquet"), at("links/hard.parquet")).unwrap();
    let file = at("one/a.parquet");
    for inputs in [
        [at("one"), at("links")],
        [file.clone(), file.clone()],
        [file.clone(), at("one/./a.parquet")],
        [at("one/*.parquet"), at("one")],
        [at("one"), at("one")],
    ] {
        let twice = refusal(&[&inputs[0], &inputs[1]]);
        assert!(twice.contains("count twice"), "{twice}");
    }
    symlink(&file, at("one/soft.parquet")).unwrap();
    let both = refusal(&[&at("one")]);
    assert!(both.contains("one/a.parquet") && both.contains("one/soft.parquet"), "{both}");
    fs::remove_file(at("one/soft.parquet")).unwrap();
    parts(&at("one/deep"), &["b.parquet", "c.parquet"]);
    write(&at("one/deep/b.parquet"), vec![("x", numbers(70..71))], 9);
    assert_eq!(found(&[&at("one/**/*")]).unwrap(), ["a.parquet", "b.parquet", "c.parquet"]);
    // Links between two folders, of which every path is another way round.
    (0..20).for_each(|i| symlink("..", at(&format!("one/deep/up{i}"))).unwrap());
    assert!(refusal(&[&at("one")]).contains("one/deep/up0"));
    symlink("nowhere", at("links/broken.csv")).unwrap();
    assert!(found(&[&at("links")]).unwrap_err().to_string().contains("a link to a file that is not there"));
}

#[test]
fn pipes_and_devices_are_not_opened() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    parts(root.path(), &["a.parquet"]);
    stagger_test_support::system::make_fifo(&at("b.csv")).unwrap();
    for input in [root.path(), &at("b.csv"), &at("*.csv")] {
        let error = refusal(&[input]);
        assert!(error.contains("b.csv`: not a regular file but a FIFO"), "{error}");
    }
    symlink("/dev/zero", at("z.parquet")).unwrap();
    assert!(refusal(&[&at("z.parquet")]).contains("not a regular file but a device"));
}

#[test]
fn a_column_in_two_places_is_refused_where_it_is_used() {
    let root = tempfile::tempdir().unwrap();
    parts(&root.path().join("x=7"), &["a.parquet"]);
    assert!(open(root.path(), &[]).is_ok());
    let error = open(root.path(), &["x"]).err().unwrap();
    assert!(
        error.to_string().contains("column `x` is in the file") && error.to_string().contains("x=7"),
        "{error}"
    );
    parts(&root.path().join("y=1/y=2"), &["b.parquet"]);
    let error = open(&root.path().join("y=1"), &["y"]);
    assert!(error.is_ok(), "what is above the input is no column");
    let inputs = [format!("{}/y=*", root.path().display())];
    let error = Source::open(list_input_files(&inputs).unwrap(), &names(&["y"])).err().unwrap();
    assert!(error.to_string().contains("`y=1` and `y=2`"), "{error}");
}

/// Writes a Delta table of three files, of which the second was removed.
fn delta(root: &Path, partitioned: bool) {
    let files = ["g=1/a.parquet", "g=1/b.parquet", "g=2/c.parquet"];
    parts(root, &files);
    let columns = if partitioned { r#"["g"]"# } else { "[]" };
    let add = |path: &str| {
        let value = if partitioned { format!(r#""g":"{}""#, &path[2..3]) } else { String::new() };
        format!(r#"{{"add":{{"path":"{path}","partitionValues":{{{value}}},"size":1,"dataChange":true}}}}"#)
    };
    let start = format!(
        "{{\"protocol\":{{\"minReaderVersion\":1,\"minWriterVersion\":2}}}}\n{{\"metaData\":{{\"partitionColumns\":{columns},\"configuration\":{{}}}}}}\n"
    );
    let adds: Vec<String> = files.iter().map(|path| add(path)).collect();
    let log = root.join("_delta_log");
    fs::create_dir_all(&log).unwrap();
    fs::write(log.join("00000000000000000000.json"), start + &adds.join("\n")).unwrap();
    let remove = r#"{"remove":{"path":"g=1/b.parquet","dataChange":true}}"#;
    fs::write(log.join("00000000000000000001.json"), remove).unwrap();
}

#[test]
fn a_delta_table_is_read_as_of_its_newest_version() {
    let root = tempfile::tempdir().unwrap();
    let table = root.path().join("table");
    delta(&table, true);
    fs::write(table.join("deletion_vector_1.bin"), "x").unwrap();
    let source = open(&table, &["x", "g"]).unwrap();
    assert_eq!((source.file_sizes().len(), source.rows()), (2, 6));
    let inputs = list_input_files(&[table.display().to_string()]).unwrap();
    assert_eq!(inputs[1].hive, [("g".to_owned(), Some("2".to_owned()))]);
    let at = |name: &str| table.join(name);
    assert_eq!(found(&[&at("g=1")]).unwrap(), ["a.parquet"]);
    assert_eq!(found(&[&at("*/*.parquet")]).unwrap(), ["a.parquet", "c.parquet"]);
    assert_eq!(found(&[&at("g=*")]).unwrap(), ["a.parquet", "c.parquet"]);
    assert_eq!(found(&[&at("g=2/c.parquet")]).unwrap(), ["c.parquet"]);
    let removed = refusal(&[&at("g=1/b.parquet")]);
    assert!(removed.contains("no part of the Delta table"), "{removed}");
    symlink(at("g=1"), root.path().join("link")).unwrap();
    assert_eq!(found(&[&root.path().join("link")]).unwrap(), ["a.parquet"]);
    symlink(at("g=1/b.parquet"), root.path().join("b.parquet")).unwrap();
    assert!(refusal(&[&root.path().join("b.parquet")]).contains("no part of the Delta table"));
    fs::remove_file(at("g=2/c.parquet")).unwrap();
    assert!(refusal(&[&table]).contains("`g=2/c.parquet`, which is not there"));
}

#[test]
fn checkpoints_stand_for_the_versions_before() {
    let root = tempfile::tempdir().unwrap();
    delta(root.path(), true);
    checkpoint(
        &root.path().join("_delta_log/00000000000000000001.checkpoint.parquet"),
        &["g=1/a.parquet", "g=2/c.parquet"],
    );
    fs::remove_file(root.path().join("_delta_log/00000000000000000000.json")).unwrap();
    let inputs = list_input_files(&[root.path().display().to_string()]).unwrap();
    let hive: Vec<_> = inputs.iter().map(|input| input.hive[0].1.clone().unwrap()).collect();
    assert_eq!(hive, ["1", "2"]);
    // Without the checkpoint the log has a gap.
    fs::remove_file(root.path().join("_delta_log/00000000000000000001.checkpoint.parquet")).unwrap();
    assert!(refusal(&[root.path()]).contains("00000000000000000000.json` is missing"));
}

/// Writes a checkpoint with one row for the protocol, one for the schema, and one for each file.
fn checkpoint(path: &Path, files: &[&str]) {
    use std::sync::Arc;

    use arrow_array::builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder};
    use arrow_array::{ArrayRef, StructArray};
    use arrow_buffer::NullBuffer;
    use arrow_schema::{DataType, Field};
    let rows = files.len() + 2;
    let structure = |columns: Vec<(&str, ArrayRef)>, valid: Vec<bool>| -> ArrayRef {
        let (fields, arrays): (Vec<_>, Vec<_>) = columns
            .into_iter()
            .map(|(name, array)| (Arc::new(Field::new(name, array.data_type().clone(), true)), array))
            .unzip();
        Arc::new(StructArray::new(fields.into(), arrays, Some(NullBuffer::from(valid))))
    };
    let mut paths = StringBuilder::new();
    let mut values = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    let mut columns = ListBuilder::new(StringBuilder::new());
    let mut versions = Int32Builder::new();
    for row in 0..rows {
        paths.append_option(row.checked_sub(2).map(|file| files[file]));
        if row >= 2 {
            values.keys().append_value("g");
            values.values().append_value(&files[row - 2][2..3]);
        }
        values.append(row >= 2).unwrap();
        if row == 1 {
            columns.values().append_value("g");
        }
        columns.append(row == 1);
        versions.append_value(1);
    }
    let paths: ArrayRef = Arc::new(paths.finish());
    assert_eq!(paths.data_type(), &DataType::Utf8);
    let add = structure(
        vec![("path", paths), ("partitionValues", Arc::new(values.finish()))],
        (0..rows).map(|row| row >= 2).collect(),
    );
    let metadata = structure(
        vec![("partitionColumns", Arc::new(columns.finish()))],
        (0..rows).map(|row| row == 1).collect(),
    );
    let protocol = structure(
        vec![("minReaderVersion", Arc::new(versions.finish()))],
        (0..rows).map(|row| row == 0).collect(),
    );
    write(path, vec![("protocol", protocol), ("metaData", metadata), ("add", add)], 99);
}

#[test]
fn tables_that_are_not_read_are_refused_by_name() {
    for (file, words) in [
        ("metadata/v3.metadata.json", "Iceberg table"),
        (".hoodie/hoodie.properties", "Hudi table"),
        ("_spark_metadata/0", "Spark stream"),
    ] {
        let root = tempfile::tempdir().unwrap();
        parts(root.path(), &["data/a.parquet"]);
        let mark = root.path().join(file);
        fs::create_dir_all(mark.parent().unwrap()).unwrap();
        fs::write(mark, "x").unwrap();
        for input in ["", "data", "data/*.parquet", "data/a.parquet"] {
            let error = refusal(&[&root.path().join(input)]);
            assert!(error.contains(words), "{input}: {error}");
        }
    }
}

#[test]
fn other_formats_are_named_and_damage_is_said_of_parquet_alone() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    parts(root.path(), &["whole.parquet"]);
    let whole = fs::read(at("whole.parquet")).unwrap();
    let files: [(&str, &[u8], &str); 6] = [
        ("cut.parquet", &whole[..whole.len() - 9], "not a readable Parquet file"),
        ("page.parquet", b"<!DOCTYPE html><html>", "HTML page"),
        ("error.csv", b"<?xml version=\"1.0\"?><Error>", "XML document"),
        ("panel.csv", b"$FL2@(#) SPSS DATA\x02\0", "SPSS"),
        ("text.parquet", b"Access denied", "the file is text"),
        ("zeros.parquet", &[0; 4096], "neither begins nor ends"),
    ];
    for (name, bytes, words) in files {
        fs::write(at(name), bytes).unwrap();
        let error = open(&at(name), &[]).err().unwrap();
        assert!(error.to_string().contains(words) && error.to_string().contains(name), "{error}");
        let damage =
            ["truncated", "corrupt"].iter().any(|word| format!("{error} {:?}", error.hint()).contains(word));
        assert_eq!(damage, name == "cut.parquet", "{error} {:?}", error.hint());
    }
    fs::rename(at("whole.parquet"), at("parquet.csv")).unwrap();
    assert_eq!(open(&at("parquet.csv"), &["x"]).unwrap().rows(), 3);
}
