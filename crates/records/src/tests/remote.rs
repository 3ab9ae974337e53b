//! Tests that read from a bucket in memory, which counts the bytes read.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use stagger_model::error::Result;
use stagger_storage::{Condition, MemoryStore, Storage};

use super::{names, numbers, values, write};
use crate::Source;
use crate::files::{InputPath, list_input_files_in};

/// Returns a bucket in which these keys hold something.
fn bucket(keys: &[&str]) -> Storage {
    let storage = Storage::new(Arc::new(MemoryStore::new()));
    keys.iter().for_each(|key| put(&storage, key, b"x"));
    storage
}

fn put(storage: &Storage, key: &str, bytes: &[u8]) {
    storage.put(key, Bytes::copy_from_slice(bytes), Condition::Always).unwrap();
}

/// Puts the file that `fill` writes.
fn put_file(storage: &Storage, key: &str, fill: impl Fn(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.parquet");
    fill(&path);
    put(storage, key, &std::fs::read(path).unwrap());
}

fn find(storage: &Storage, input: &str) -> Result<Vec<InputPath>> {
    list_input_files_in(&[format!("s3://b/{input}")], &|_| Ok(storage.clone()))
}

fn found(storage: &Storage, input: &str) -> Vec<String> {
    let name = |path: InputPath| path.name().trim_start_matches("s3://b/").to_owned();
    find(storage, input).unwrap().into_iter().map(name).collect()
}

const KEYS: [&str; 11] = [
    "p/_SUCCESS",
    "p/_tmp/x.parquet",
    "p/notes.md",
    "p/year=2004/part-0.parquet",
    "p/year=2004/part-1.parquet",
    "p/year=2004/.part-1.parquet.crc",
    "p/year=2005/deep/part-2.csv",
    "p/year=2005/part-0.parquet",
    "q.parquet/part-0.parquet",
    "q.parquet/_SUCCESS",
    "whole.parquet",
];

#[test]
fn folders_hold_their_data_files_by_key() {
    let storage = bucket(&KEYS);
    let all = [
        "p/year=2004/part-0.parquet",
        "p/year=2004/part-1.parquet",
        "p/year=2005/deep/part-2.csv",
        "p/year=2005/part-0.parquet",
    ];
    assert_eq!(found(&storage, "p/"), all);
    assert_eq!(found(&storage, "p"), all);
    assert_eq!(found(&storage, "").len(), 6);
    assert_eq!(found(&storage, "q.parquet"), ["q.parquet/part-0.parquet"]);
    assert_eq!(found(&storage, "whole.parquet"), ["whole.parquet"]);
    let hive = find(&storage, "p/").unwrap().remove(0).hive;
    assert_eq!(hive, [("year".to_owned(), Some("2004".to_owned()))]);
}

#[test]
fn globs_match_objects_and_folders() {
    let storage = bucket(&KEYS);
    let first = ["p/year=2004/part-0.parquet", "p/year=2005/part-0.parquet"];
    assert_eq!(found(&storage, "p/year=*/part-0.*"), first);
    assert_eq!(found(&storage, "p/year=2005*"), ["p/year=2005/deep/part-2.csv", first[1]]);
    assert_eq!(found(&storage, "p/year=200[5-9]/"), ["p/year=2005/deep/part-2.csv", first[1]]);
    assert_eq!(found(&storage, "p/**/part-2.csv"), ["p/year=2005/deep/part-2.csv"]);
    assert_eq!(find(&storage, "p/year=2005*").unwrap()[0].hive[0].0, "year");
}

#[test]
fn every_object_is_data_or_named() {
    let storage = bucket(&[]);
    for (file, key) in ["f/a.parquet", "f/b.parquet.gzip", "f/000002_0"].iter().enumerate() {
        let first = file as i64;
        put_file(&storage, key, |path| write(path, vec![("x", numbers(first..first + 1))], 9));
    }
    put(&storage, "f/000003_0", b"");
    put(&storage, "f/README.md", b"text");
    assert_eq!(found(&storage, "f/"), ["f/000002_0", "f/a.parquet", "f/b.parquet.gzip"]);
    assert_eq!(found(&storage, "f/*"), found(&storage, "f/"));
    assert_eq!(Source::open(find(&storage, "f").unwrap(), &names(&["x"])).unwrap().rows(), 3);
    put(&storage, "f/c.orc", b"ORC\x08\x03\x10");
    for input in ["f/", "f/*", "f*"] {
        let error = find(&storage, input).unwrap_err().to_string();
        assert!(error.contains("`s3://b/f/c.orc` (ORC)"), "{error}");
    }
    assert!(find(&storage, "f/c.orc").unwrap_err().to_string().contains("its format is ORC"));
    put(&storage, "j/a.jsonl", b"{\"x\":1}\n{\"x\":2}\n");
    assert_eq!(Source::open(find(&storage, "j/").unwrap(), &names(&["x"])).unwrap().rows(), 2);
    let twice = ["s3://b/f/a.parquet".to_owned(), "s3://b/f/a*".to_owned()];
    let error = list_input_files_in(&twice, &|_| Ok(storage.clone())).unwrap_err().to_string();
    assert!(error.contains("named twice"), "{error}");
}

#[test]
fn tables_on_s3_are_read_as_of_their_newest_version() {
    let storage = bucket(&["t/g=1/a.parquet", "t/g=1/b.parquet", "t/g=2/c.parquet", "other/x.parquet"]);
    let log = r#"{"protocol":{"minReaderVersion":1}}
{"metaData":{"partitionColumns":["g"],"configuration":{}}}
{"add":{"path":"g=1/a.parquet","partitionValues":{"g":"1"}}}
{"add":{"path":"g=1/b.parquet","partitionValues":{"g":"1"}}}
{"add":{"path":"g=2/c.parquet","partitionValues":{"g":"2"}}}"#;
    put(&storage, "t/_delta_log/00000000000000000000.json", log.as_bytes());
    put(&storage, "t/_delta_log/00000000000000000001.json", br#"{"remove":{"path":"g=1/b.parquet"}}"#);
    let all = ["t/g=1/a.parquet", "t/g=2/c.parquet"];
    for input in ["t/", "t", "t/g=*", "t/*/*.parquet", "t/**/*.parquet"] {
        assert_eq!(found(&storage, input), all, "{input}");
    }
    assert_eq!(found(&storage, "t/g=1/"), all[..1]);
    assert_eq!(found(&storage, "").len(), 3);
    assert_eq!(find(&storage, "t/g=1/").unwrap()[0].hive, [("g".to_owned(), Some("1".to_owned()))]);
    assert!(
        find(&storage, "t/g=1/b.parquet").unwrap_err().to_string().contains("no part of the Delta table")
    );
    storage.delete("t/g=2/c.parquet").unwrap();
    assert!(find(&storage, "t/").unwrap_err().to_string().contains("which is not there"));
    put(&storage, "i/metadata/00001-x.metadata.json", b"{}");
    put(&storage, "i/data/a.parquet", b"x");
    for input in ["i/", "i/data/", "i/data/*", "i/data/a.parquet"] {
        let error = find(&storage, input).unwrap_err();
        assert!(error.to_string().contains("Iceberg") && error.is_input(), "{error}");
    }
}

#[test]
fn what_is_not_there_is_bad_input() {
    let storage = bucket(&KEYS);
    for (input, words) in
        [("none.parquet", "no such object"), ("none/", "no data file"), ("x*", "no object matches")]
    {
        let error = find(&storage, input).unwrap_err();
        assert!(error.to_string().contains(words) && error.is_input(), "{error}");
    }
}

#[test]
fn columns_are_fetched_alone_and_read_as_from_a_file() {
    let storage = bucket(&[]);
    let fill = |path: &Path| {
        write(
            path,
            vec![("x", numbers(0..50_000)), ("wide", numbers(9..50_009)), ("y", numbers(7..50_007))],
            30_000,
        );
    };
    put_file(&storage, "year=2004/a.parquet", fill);
    let source = Source::open(find(&storage, "").unwrap(), &names(&["x", "y"])).unwrap();
    let footer = storage.stats().bytes_read;
    assert_eq!(footer, 64 << 10);
    assert_eq!(values(&source, 1, 100..18_000, "y").len(), 17_900);
    assert_eq!(values(&source, 1, 5..7, "y"), [(5, 30_012), (6, 30_013)]);
    let mut year = Vec::new();
    let read = source.read_rows(&source.chunks()[0], 0..1, &names(&["year"]), |_, arrays| {
        crate::with_f64(&arrays[0], "year", &mut Vec::new(), |own| {
            year.extend_from_slice(own);
            Ok(())
        })
    });
    assert_eq!((read, year), (Ok(()), vec![2004.0]));
    let chunk = source.chunks()[1];
    let column = source.column_bytes(&chunk, &names(&["y"]));
    assert_eq!(storage.stats().bytes_read, footer + 2 * column);
    assert_eq!(source.integer_bounds(&chunk, "y"), Some((30_007, 50_006)));
    let info = source.file_infos().remove(0);
    assert_eq!((info.url.as_str(), info.rows), ("s3://b/year=2004/a.parquet", 50_000));
    assert_eq!(info.fingerprint, storage.head("year=2004/a.parquet").unwrap().etag);
}

#[test]
fn long_footers_are_read_whole() {
    let storage = bucket(&[]);
    put_file(&storage, "a.parquet", |path| write(path, vec![("x", numbers(0..3_000))], 1));
    let source = Source::open(find(&storage, "a.parquet").unwrap(), &names(&["x"])).unwrap();
    assert_eq!((source.chunks().len(), source.rows()), (3_000, 3_000));
    assert!(storage.stats().gets >= 3);
    assert_eq!(values(&source, 2_999, 0..1, "x"), [(0, 2_999)]);
}

#[test]
fn an_object_written_again_is_refused() {
    let storage = bucket(&[]);
    let fill = |path: &Path| write(path, vec![("x", numbers(0..10))], 100);
    put_file(&storage, "a.parquet", fill);
    let source = Source::open(find(&storage, "a.parquet").unwrap(), &[]).unwrap();
    put_file(&storage, "a.parquet", fill);
    let error = source.read(&source.chunks()[0], &names(&["x"]), |_, _| Ok(())).unwrap_err();
    assert!(error.to_string().starts_with("the input changed during the run: `s3://b/a.parquet`"), "{error}");
}

#[test]
fn damaged_and_empty_objects_are_named() {
    let storage = bucket(&["a.parquet"]);
    put(&storage, "b.parquet", b"");
    put(&storage, "c.csv", b"");
    // A footer that claims to be longer than the file.
    put(&storage, "d.parquet", b"PAR1xxxx\xff\xff\xff\x0fPAR1");
    for (key, words) in [("a", "the file is text"), ("b", "empty"), ("c", "empty"), ("d", "not a readable")] {
        let inputs = find(&storage, &format!("{key}*")).unwrap();
        let error = Source::open(inputs, &[]).err().unwrap();
        assert!(error.to_string().contains(words) && error.to_string().contains(key), "{error}");
    }
}

#[test]
fn tables_are_read_whole() {
    let storage = bucket(&[]);
    put(&storage, "a.tsv", b"x\ty\n1\t2\n3\t4\n");
    let source = Source::open(find(&storage, "a.tsv").unwrap(), &[]).unwrap();
    assert_eq!(values(&source, 0, 0..2, "y"), [(0, 2), (1, 4)]);
    put(&storage, "b.tsv.zst", &zstd::encode_all(&b"x\ty\n1\t2\n3\t4\n"[..], 1).unwrap());
    let source = Source::open(find(&storage, "b*").unwrap(), &[]).unwrap();
    assert_eq!(values(&source, 0, 0..2, "y"), [(0, 2), (1, 4)]);
}

#[test]
fn many_files_keep_their_order() {
    let storage = bucket(&[]);
    for file in 0..40 {
        put_file(&storage, &format!("f/{file:02}.parquet"), |path| {
            write(path, vec![("x", numbers(file..file + 1))], 100);
        });
    }
    let source = Source::open(find(&storage, "f/").unwrap(), &[]).unwrap();
    let read: Vec<i64> = (0..40).map(|chunk| values(&source, chunk, 0..1, "x")[0].1).collect();
    assert_eq!(read, (0..40).collect::<Vec<_>>());
}
