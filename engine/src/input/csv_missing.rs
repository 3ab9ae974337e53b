//! What a build without CSV says of such a file: workers are built so, to be small.

use std::io::{Read, Seek};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::error::{EngineError, Result};

/// Refuses the file.
pub(super) fn read(
    name: &str,
    _tabs: bool,
    _file: impl Read + Seek,
    _needed: &[String],
) -> Result<(SchemaRef, Vec<RecordBatch>)> {
    Err(EngineError::input(format!("`{name}`: workers on Lambda read Parquet, not CSV"))
        .with_hint("run it on this machine, or convert the file to Parquet"))
}
