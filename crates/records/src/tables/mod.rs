//! Folders that are tables: a log, not the folder, says which files count. Delta tables are read as of their newest
//! version. Iceberg tables, Hudi tables and the output of Spark streams are refused by name.

mod checkpoint;
mod delta;
mod local;
mod remote;

use stagger_model::error::{Result, StaggerError};

pub(super) use delta::{Snapshot, TableFile};
pub(super) use local::{LocalTable, LocalTables};
pub(super) use remote::RemoteTables;

/// The folder of a Delta table's log.
const DELTA_LOG: &str = "_delta_log";
/// The end of the names of an Iceberg table's metadata files.
const ICEBERG: &str = ".metadata.json";

/// A folder, local or remote.
trait Folder {
    /// Returns the folder's name, for messages.
    fn name(&self) -> String;
    /// Returns the names of the entries of its folder `below`; none if there is no such folder.
    fn names(&self, below: &str) -> Result<Vec<String>>;
    /// Reads a file of the folder.
    fn read(&self, path: &str) -> Result<bytes::Bytes>;
}

/// Returns the snapshot of the table that the folder is, if it is one.
///
/// # Errors
/// A table in a format that is not read, or one whose log can't be read.
fn table_at(folder: &dyn Folder) -> Result<Option<Snapshot>> {
    let log = folder.names(DELTA_LOG)?;
    if !log.is_empty() {
        return delta::snapshot(folder, &log).map(Some);
    }
    if !folder.names(".hoodie")?.is_empty() {
        return Err(hudi(&folder.name()));
    }
    if !folder.names("_spark_metadata")?.is_empty() {
        return Err(stream(&folder.name()));
    }
    let mut states = folder.names("metadata")?;
    states.retain(|name| name.ends_with(ICEBERG) || name.ends_with(".metadata.json.gz"));
    match newest(&states) {
        Some(state) => Err(iceberg(&folder.name(), state)),
        None => Ok(None),
    }
}

/// Returns the metadata file with the greatest number (`v3.metadata.json`, `00003-….metadata.json`).
fn newest(states: &[String]) -> Option<&String> {
    let number = |name: &str| -> u64 {
        let digits = name.trim_start_matches('v').split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    };
    states.iter().max_by_key(|name| (number(name), (*name).clone()))
}

fn is_log(name: &str) -> bool {
    name == DELTA_LOG
}

/// Returns the hint for a table that is not read; `command` exports its rows.
fn export_hint(command: &str) -> String {
    format!("write its rows to a file and give that: {command}")
}

fn refused(table: &str, format: &str, command: &str) -> StaggerError {
    StaggerError::input(format!(
        "`{table}` is {format}: its folder holds files that the table no longer has, and which ones is not read"
    ))
    .with_hint(export_hint(command))
}

fn iceberg(table: &str, state: &str) -> StaggerError {
    let command = format!(
        "python3 -c \"import pyiceberg.table as t, pyarrow.parquet as p; p.write_table(t.StaticTable.from_metadata('{}/metadata/{state}').scan().to_arrow(), 'panel.parquet')\"",
        table.trim_end_matches('/')
    );
    refused(table, "an Iceberg table", &command)
}

fn hudi(table: &str) -> StaggerError {
    let command =
        format!("spark.read.format(\"hudi\").load(\"{table}\").write.parquet(\"panel\") in a Spark shell");
    refused(table, "a Hudi table", &command)
}

fn stream(table: &str) -> StaggerError {
    let command = format!("spark.read.parquet(\"{table}\").write.parquet(\"panel\") in a Spark shell");
    refused(table, "the output of a Spark stream (`_spark_metadata`)", &command)
}

/// Returns the error for a Delta table with features that are not read.
fn unread(table: &str, what: &str) -> StaggerError {
    let command = format!(
        "duckdb -c \"INSTALL delta; LOAD delta; COPY (FROM delta_scan('{}')) TO 'panel.parquet'\"",
        table.trim_end_matches('/')
    );
    StaggerError::input(format!("`{table}` is a Delta table {what}")).with_hint(export_hint(&command))
}

/// Returns the error for a file that its table no longer has.
pub(super) fn not_in_table(file: &str, table: &str) -> StaggerError {
    StaggerError::input(format!(
        "`{file}` is no part of the Delta table `{table}` any more: its rows were deleted or replaced"
    ))
    .with_hint(format!("name the table itself, `{table}`: then the files of its newest version are read"))
}
