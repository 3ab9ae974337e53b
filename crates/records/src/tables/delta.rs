//! The log of a Delta table, replayed to its newest version (<https://github.com/delta-io/delta/blob/master/PROTOCOL.md>).

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use stagger_model::error::{Result, StaggerError};

use super::{DELTA_LOG, Folder, checkpoint, unread};
use crate::files::percent_decode;

/// The features of reader version 3 that do not matter here, or that are checked separately.
const FEATURES: [&str; 7] = [
    "columnMapping",
    "deletionVectors",
    "timestampNtz",
    "typeWidening",
    "typeWidening-preview",
    "v2Checkpoint",
    "vacuumProtocolCheck",
];

/// The files of a table's version.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// The files by path below the table's folder.
    pub(crate) files: BTreeMap<String, TableFile>,
}

/// The log's facts of a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableFile {
    /// The values of the partition columns; `None` for a missing one.
    pub(crate) columns: Vec<(String, Option<String>)>,
}

/// An action: a line of a commit, or a row of a checkpoint.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Action {
    pub(super) add: Option<FileAction>,
    pub(super) remove: Option<FileAction>,
    pub(super) meta_data: Option<Metadata>,
    pub(super) protocol: Option<Protocol>,
}

/// The addition or removal of a file.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FileAction {
    pub(super) path: String,
    #[serde(default)]
    pub(super) partition_values: Option<BTreeMap<String, Option<String>>>,
    pub(super) deletion_vector: Option<DeletionVector>,
}

/// The rows of a file that are deleted without the file saying so.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeletionVector {
    pub(super) path_or_inline_dv: String,
    pub(super) offset: Option<i64>,
}

/// The schema and settings of a table, as far as they matter here.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata {
    #[serde(default)]
    pub(super) partition_columns: Vec<String>,
    #[serde(default)]
    pub(super) configuration: BTreeMap<String, Option<String>>,
}

/// The features that a reader must know.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Protocol {
    pub(super) min_reader_version: i64,
    pub(super) reader_features: Option<Vec<String>>,
}

/// The state of the table after the actions so far.
#[derive(Default)]
struct Replay {
    /// The files by path and the deletion vector's name.
    files: BTreeMap<(String, String), FileAction>,
    metadata: Option<Metadata>,
    protocol: Option<Protocol>,
}

/// Returns the files of the newest version of a table; `names` are the names of the files in its log.
///
/// # Errors
/// A log with gaps or damage, and tables that need more than their files: deletion vectors, renamed columns, unknown
/// features.
pub(super) fn snapshot(table: &dyn Folder, names: &[String]) -> Result<Snapshot> {
    let damaged = |what: String| unread(&table.name(), &format!("whose log can't be replayed: {what}"));
    let log = Names::new(names);
    let Some(newest) = log.newest() else { return Err(damaged("it holds no version".into())) };
    let mut replay = Replay::default();
    let first = match log.checkpoint() {
        Some((version, parts)) => {
            for part in parts {
                let bytes = table.read(&format!("{DELTA_LOG}/{part}"))?;
                let actions = checkpoint::read(bytes).map_err(|why| damaged(format!("`{part}`: {why}")))?;
                actions.into_iter().for_each(|action| replay.take(action));
            }
            version + 1
        }
        None => 0,
    };
    for version in first..=newest {
        let name = format!("{version:020}.json");
        if !log.commits.contains(&version) {
            return Err(damaged(format!("`{DELTA_LOG}/{name}` is missing")));
        }
        let bytes = table.read(&format!("{DELTA_LOG}/{name}"))?;
        for (line, text) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let action = serde_json::from_slice(text)
                .map_err(|e| damaged(format!("`{DELTA_LOG}/{name}`, line {}: {e}", line + 1)))?;
            replay.take(action);
        }
    }
    replay.finish(&table.name())
}

/// The files of the log, by version.
#[derive(Default)]
struct Names<'a> {
    commits: BTreeSet<u64>,
    /// The parts of checkpoints, by version and number of parts.
    checkpoints: BTreeMap<(u64, u64), Vec<&'a str>>,
}

impl<'a> Names<'a> {
    fn new(names: &'a [String]) -> Self {
        let mut log = Self::default();
        for name in names {
            let parts: Vec<&str> = name.split('.').collect();
            match parts.as_slice() {
                [version, "json"] => log.commits.extend(number(version, 20)),
                [version, "checkpoint", "parquet"] => log.part(version, 1, name),
                [version, "checkpoint", _, of, "parquet"] => {
                    if let Some(of) = number(of, 10) {
                        log.part(version, of, name);
                    }
                }
                // Other checkpoints and compacted commits repeat the commits.
                _ => {}
            }
        }
        log
    }

    fn part(&mut self, version: &str, of: u64, name: &'a str) {
        if let Some(version) = number(version, 20) {
            self.checkpoints.entry((version, of)).or_default().push(name);
        }
    }

    fn newest(&self) -> Option<u64> {
        let checkpoint = self.checkpoint().map(|(version, _)| version);
        self.commits.last().copied().max(checkpoint)
    }

    /// Returns the newest complete checkpoint.
    fn checkpoint(&self) -> Option<(u64, &[&'a str])> {
        let whole = self.checkpoints.iter().rev().find(|((_, of), parts)| parts.len() as u64 == *of);
        whole.map(|((version, _), parts)| (*version, parts.as_slice()))
    }
}

/// Parses a number of exactly `digits` digits.
fn number(text: &str, digits: usize) -> Option<u64> {
    (text.len() == digits && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

impl Replay {
    /// Applies an action to the state.
    fn take(&mut self, action: Action) {
        if let Some(remove) = action.remove {
            self.files.remove(&key(&remove));
        }
        if let Some(add) = action.add {
            self.files.insert(key(&add), add);
        }
        self.metadata = action.meta_data.or(self.metadata.take());
        self.protocol = action.protocol.or(self.protocol.take());
    }

    /// Returns the snapshot, after all actions.
    fn finish(self, table: &str) -> Result<Snapshot> {
        let (Some(metadata), Some(protocol)) = (self.metadata, self.protocol) else {
            return Err(unread(table, "whose log names no schema or no protocol"));
        };
        readable(table, &protocol, &metadata)?;
        let mut snapshot = Snapshot::default();
        for (_, add) in self.files {
            if add.deletion_vector.is_some() {
                let text = format!(
                    "with deletion vectors: rows of `{}` are deleted without the file saying so",
                    add.path
                );
                return Err(unread(table, &text));
            }
            let path = below(table, &add.path)?;
            let columns = columns(&metadata, add.partition_values.unwrap_or_default());
            if snapshot.files.insert(path.clone(), TableFile { columns }).is_some() {
                return Err(unread(table, &format!("whose log names `{path}` twice")));
            }
        }
        Ok(snapshot)
    }
}

fn key(action: &FileAction) -> (String, String) {
    let vector = action.deletion_vector.as_ref();
    let name = vector.map(|v| format!("{}@{:?}", v.path_or_inline_dv, v.offset));
    (action.path.clone(), name.unwrap_or_default())
}

/// Refuses tables whose files do not hold the table's columns.
fn readable(table: &str, protocol: &Protocol, metadata: &Metadata) -> Result<()> {
    let mode = metadata.configuration.get("delta.columnMapping.mode").cloned().flatten();
    if let Some(mode) = mode.filter(|mode| mode != "none") {
        let text = format!(
            "with column mapping (mode `{mode}`): its files name the columns otherwise than the table"
        );
        return Err(unread(table, &text));
    }
    let version = protocol.min_reader_version;
    if !(1..=3).contains(&version) {
        return Err(unread(table, &format!("of reader version {version}, and versions up to 3 are known")));
    }
    let features = protocol.reader_features.as_deref().unwrap_or_default();
    let unknown: Vec<&str> =
        features.iter().map(String::as_str).filter(|feature| !FEATURES.contains(feature)).collect();
    match unknown.is_empty() {
        true => Ok(()),
        false => Err(unread(
            table,
            &format!("that needs the features {}, which are not known", unknown.join(", ")),
        )),
    }
}

/// Returns the path of a file below the table's folder.
fn below(table: &str, path: &str) -> Result<String> {
    let decoded = percent_decode(path);
    let outside = decoded.contains("://")
        || decoded.starts_with("file:")
        || decoded.starts_with('/')
        || decoded.split('/').any(|part| part == "..");
    match outside {
        true => Err(unread(table, &format!("with files elsewhere (`{decoded}`), as a shallow clone has"))),
        false => Ok(decoded),
    }
}

fn columns(
    metadata: &Metadata,
    mut values: BTreeMap<String, Option<String>>,
) -> Vec<(String, Option<String>)> {
    let names = metadata.partition_columns.iter();
    // The log writes a missing value as an empty text.
    names
        .map(|name| (name.clone(), values.remove(name).flatten().filter(|value| !value.is_empty())))
        .collect()
}

/// Returns the error for a file that the newest version has and the folder lacks.
pub(super) fn gone(table: &str, path: &str) -> StaggerError {
    StaggerError::input(format!("the Delta table `{table}` has the file `{path}`, which is not there"))
        .with_hint("copy the whole folder of the table again, or repair it with FSCK REPAIR TABLE")
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    struct Log(BTreeMap<String, String>);

    impl Folder for Log {
        fn name(&self) -> String {
            "t".into()
        }
        fn names(&self, _: &str) -> Result<Vec<String>> {
            Ok(self.0.keys().cloned().collect())
        }
        fn read(&self, path: &str) -> Result<Bytes> {
            Ok(Bytes::from(self.0[path.strip_prefix("_delta_log/").unwrap()].clone()))
        }
    }

    const START: &str = r#"{"protocol":{"minReaderVersion":1,"minWriterVersion":2}}
{"metaData":{"id":"x","partitionColumns":["g"],"configuration":{}}}
{"add":{"path":"g=1/a.parquet","partitionValues":{"g":"1"},"size":1}}
{"add":{"path":"g=__HIVE_DEFAULT_PARTITION__/b%20c.parquet","partitionValues":{"g":null},"size":1}}
"#;

    fn replay(commits: &[&str]) -> Result<Snapshot> {
        let names = commits.iter().enumerate().map(|(i, text)| (format!("{i:020}.json"), (*text).to_owned()));
        let log = Log(names.collect());
        snapshot(&log, &log.names("").unwrap())
    }

    fn files(commits: &[&str]) -> Vec<String> {
        replay(commits).unwrap().files.into_keys().collect()
    }

    #[test]
    fn versions_add_and_remove_files() {
        let b = "g=__HIVE_DEFAULT_PARTITION__/b c.parquet";
        assert_eq!(files(&[START]), ["g=1/a.parquet", b]);
        let remove = r#"{"remove":{"path":"g=1/a.parquet","dataChange":true}}"#;
        assert_eq!(files(&[START, remove]), [b]);
        let again = r#"{"add":{"path":"g=1/a.parquet","partitionValues":{"g":"1"}}}"#;
        assert_eq!(files(&[START, remove, again]), ["g=1/a.parquet", b]);
        let columns = replay(&[START]).unwrap().files["g=1/a.parquet"].columns.clone();
        assert_eq!(columns, [("g".to_owned(), Some("1".to_owned()))]);
        assert_eq!(replay(&[START]).unwrap().files[b].columns, [("g".to_owned(), None)]);
    }

    #[test]
    fn what_is_not_read_is_refused_by_name() {
        let mapped =
            r#"{"metaData":{"partitionColumns":[],"configuration":{"delta.columnMapping.mode":"name"}}}"#;
        let vector = r#"{"add":{"path":"g=1/a.parquet","partitionValues":{"g":"1"},"deletionVector":{"storageType":"u","pathOrInlineDv":"ab","offset":1}}}
{"remove":{"path":"g=1/a.parquet"}}"#;
        let feature =
            r#"{"protocol":{"minReaderVersion":3,"readerFeatures":["deletionVectors","variantType"]}}"#;
        let version = r#"{"protocol":{"minReaderVersion":4}}"#;
        let clone = r#"{"add":{"path":"s3://other/a.parquet","partitionValues":{}}}"#;
        for (commit, words) in [
            (mapped, "column mapping"),
            (vector, "deletion vectors"),
            (feature, "variantType"),
            (version, "reader version 4"),
            (clone, "shallow clone"),
            ("{\"add\":", "line 1"),
        ] {
            let error = replay(&[START, commit]).unwrap_err();
            assert!(error.to_string().contains(words) && error.is_input(), "{error}");
            assert!(error.hint().unwrap().contains("duckdb"));
        }
    }

    #[test]
    fn gaps_are_named() {
        let names =
            [(format!("{:020}.json", 0), START.to_owned()), (format!("{:020}.json", 2), String::new())];
        let log = Log(names.into());
        let error = snapshot(&log, &log.names("").unwrap()).unwrap_err().to_string();
        assert!(error.contains("00000000000000000001.json` is missing"), "{error}");
    }
}
