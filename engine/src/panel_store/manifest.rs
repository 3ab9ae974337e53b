//! The manifest of a panel store: what its shards hold, counted once for every specification that will read it.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::{check, keys};
use crate::calendar::Calendar;
use crate::error::{EngineError, Result};
use crate::input::KeyKind;
use crate::load::Remarks;
use crate::panel::{RowKind, Stratum};
use crate::spec::MissingCohort;

/// Version of the store's format; another one is refused.
pub const FORMAT: u32 = 1;

/// How a column's values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldKind {
    /// A number: outcomes, covariates, weights.
    Number,
    /// Text: factors.
    Text,
    /// Numbers of more digits than a double has, as text: factors.
    Code,
    /// The hash of a cluster's identifier.
    Cluster,
}

impl FieldKind {
    /// Whether values are codes of texts.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Code)
    }
}

/// A variable of the panel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Column of the input.
    pub name: String,
    /// How it is kept.
    pub kind: FieldKind,
    /// Always one column a period, whatever its values are.
    pub outcome: bool,
    /// Some unit has two different values.
    pub varies: bool,
    /// Some row that is there has no value.
    pub missing: bool,
    /// Bytes of its columns in all shards.
    pub bytes: u64,
}

/// Names of the columns that make the panel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyColumns {
    /// Unit; empty in cross sections.
    pub id: String,
    /// Period.
    pub time: String,
    /// First treated period.
    pub group: String,
    /// Eligibility of triple differences.
    pub eligibility: Option<String>,
    /// How identifiers are compared, where their column does not say it.
    #[serde(default, skip_serializing_if = "KeyKind::is_plain")]
    pub ids: KeyKind,
    /// What the numbers of periods and cohorts mean, where they are dates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<Calendar>,
    /// What rows without a cohort are.
    #[serde(default, skip_serializing_if = "MissingCohort::is_default")]
    pub missing_cohort: MissingCohort,
}

/// A stratum and its rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StratumEntry {
    /// Raw cohort; `None` for never treated.
    pub cohort: Option<f64>,
    /// Eligibility; true without such a column.
    pub eligible: bool,
    /// Units with a row; rows in cross sections.
    pub units: u64,
    /// Rows by period.
    pub rows: Vec<u64>,
}

impl StratumEntry {
    /// The stratum.
    pub fn stratum(&self) -> Stratum {
        Stratum { cohort: self.cohort.unwrap_or(f64::INFINITY), eligible: self.eligible }
    }
}

/// A shard's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardEntry {
    /// Units; rows in cross sections.
    pub units: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of its footer, with the length and the magic number after it.
    pub footer: u64,
    /// XXH3-128 of the file.
    pub checksum: String,
    /// XXH3-128 of the footer.
    pub footer_checksum: String,
}

/// An input file as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputEntry {
    /// Path or URL.
    pub url: String,
    /// Bytes.
    pub bytes: u64,
    /// ETag, or size and time of change of a local file.
    pub etag: String,
    /// Rows.
    pub rows: u64,
}

/// The manifest. Its JSON holds nothing that depends on when, where or by how many tasks the store was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`] of the writer.
    pub format: u32,
    /// Digest of inputs and columns.
    pub fingerprint: String,
    /// Whether a row of a shard is a row of the input: repeated cross sections.
    pub cross_sections: bool,
    /// Columns that make the panel.
    pub columns: KeyColumns,
    /// Periods, ascending.
    pub periods: Vec<f64>,
    /// Strata, by cohort and eligibility.
    pub strata: Vec<StratumEntry>,
    /// Variables, in the order of the shards' columns.
    pub fields: Vec<Field>,
    /// Texts of all text variables, ascending.
    pub texts: Vec<String>,
    /// Units; rows in cross sections.
    pub units: u64,
    /// Rows of the input.
    pub input_rows: u64,
    /// Rows without unit, period or eligibility.
    pub keyless_rows: u64,
    /// Rows whose missing cohort was read as never treated.
    pub cohortless_rows: u64,
    /// What is to be said of the input.
    #[serde(default, skip_serializing_if = "Remarks::is_empty")]
    pub remarks: Remarks,
    /// Bytes of the identifiers in all shards.
    pub id_bytes: u64,
    /// Some unit has no row in some period.
    pub unbalanced: bool,
    /// Input files.
    pub inputs: Vec<InputEntry>,
    /// Shards, in order; a power of two of them.
    pub shards: Vec<ShardEntry>,
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    /// XXH3-128 of the manifest's JSON.
    checksum: String,
    manifest: Manifest,
}

impl Manifest {
    /// What a row of a shard is.
    pub fn rows(&self) -> RowKind {
        if self.cross_sections { RowKind::Observation } else { RowKind::Unit }
    }

    /// Bytes of all shards.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|s| s.bytes).sum()
    }

    /// A variable by name and kind.
    pub fn field(&self, name: &str, kind: FieldKind) -> Option<usize> {
        self.fields.iter().position(|f| f.name == name && f.kind == kind)
    }

    /// The manifest as it is stored.
    ///
    /// # Errors
    /// Numbers that JSON can't hold.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let failed =
            |e: serde_json::Error| EngineError::failed(format!("the manifest can't be written: {e}"));
        let json = serde_json::to_vec(self).map_err(failed)?;
        let sealed = Sealed { checksum: format!("{:032x}", xxh3_128(&json)), manifest: self.clone() };
        let mut out = serde_json::to_vec(&sealed).map_err(failed)?;
        out.push(b'\n');
        Ok(out)
    }

    /// Reads a stored manifest of the store at `url`.
    ///
    /// # Errors
    /// Another format, or content that does not have its own checksum.
    pub fn decode(bytes: &[u8], url: &str) -> Result<Self> {
        let damaged = |why: String| {
            EngineError::input(format!("`{}` of the store `{url}` can't be used: {why}", keys::MANIFEST))
                .with_hint("remove the store and prepare it again")
        };
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
        let version: Option<Version> =
            value.get("manifest").and_then(|m| serde_json::from_value(m.clone()).ok());
        match version {
            Some(Version { format }) if format != FORMAT => {
                return Err(EngineError::input(format!(
                    "the store `{url}` has format {format}, this version reads format {FORMAT}"
                ))
                .with_hint("remove it and prepare it again, or use the version that wrote it"));
            }
            Some(_) => {}
            None => return Err(damaged("it names no format".into())),
        }
        let sealed: Sealed = serde_json::from_value(value).map_err(|e| damaged(e.to_string()))?;
        let json = serde_json::to_vec(&sealed.manifest).map_err(|e| damaged(e.to_string()))?;
        if format!("{:032x}", xxh3_128(&json)) != sealed.checksum {
            return Err(damaged("its checksum does not fit".into()));
        }
        check::manifest(&sealed.manifest).map_err(damaged)?;
        Ok(sealed.manifest)
    }
}
