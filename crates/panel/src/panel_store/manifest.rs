//! The manifest of a panel store: a description of its shards, with counts for every specification that will read it.

use serde::{Deserialize, Serialize};
use stagger_model::calendar::Calendar;
use stagger_model::error::{Result, StaggerError};
use stagger_model::spec::MissingCohort;
use stagger_records::KeyKind;
use stagger_records::prepared::MANIFEST;
use xxhash_rust::xxh3::xxh3_128;

use super::check;
use crate::gaps::InputRemarks;
use crate::strata::{RowKind, Stratum};

/// Version of the store's format; others are refused.
pub const FORMAT: u32 = 1;

/// Form in which a column's values are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldKind {
    /// Numbers: outcomes, covariates, weights.
    Number,
    /// Texts: factors.
    Text,
    /// Numbers with more digits than a double holds, stored as texts: factors.
    Code,
    /// Hashes of cluster identifiers.
    Cluster,
}

impl FieldKind {
    /// Tells if values are codes of texts.
    pub fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Code)
    }
}

/// A variable of the panel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Name of its column in the input.
    pub name: String,
    /// Form of its values.
    pub kind: FieldKind,
    /// True for outcomes, which always have one column for each period.
    pub outcome: bool,
    /// True if some unit has two different values.
    pub varies: bool,
    /// True if some existing row has no value.
    pub missing: bool,
    /// Number of bytes of its columns in all shards.
    pub bytes: u64,
}

/// Names of the columns that form the panel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyColumns {
    /// Unit; empty in cross sections.
    pub id: String,
    /// Period.
    pub time: String,
    /// Cohort: the first treated period.
    pub group: String,
    /// Eligibility of triple differences.
    pub eligibility: Option<String>,
    /// Comparison of the identifiers, where the type of their column leaves it open.
    #[serde(default, skip_serializing_if = "KeyKind::is_implied_by_type")]
    pub ids: KeyKind,
    /// Calendar of periods and cohorts, where they are dates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<Calendar>,
    /// Treatment of rows without a cohort.
    #[serde(default, skip_serializing_if = "MissingCohort::is_default")]
    pub missing_cohort: MissingCohort,
}

/// A stratum and its counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StratumEntry {
    /// Cohort as the data have it; `None` for never treated.
    pub cohort: Option<f64>,
    /// Eligibility; true without such a column.
    pub eligible: bool,
    /// Number of units with a row; of rows in cross sections.
    pub units: u64,
    /// Number of rows in each period.
    pub rows: Vec<u64>,
}

impl StratumEntry {
    /// Returns the stratum.
    pub fn stratum(&self) -> Stratum {
        Stratum { cohort: self.cohort.unwrap_or(f64::INFINITY), eligible: self.eligible }
    }
}

/// A shard's file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardEntry {
    /// Number of units; of rows in cross sections.
    pub units: u64,
    /// Number of bytes of the file.
    pub bytes: u64,
    /// Number of bytes of its footer, including the length and the magic number after it.
    pub footer: u64,
    /// XXH3-128 of the file, in hexadecimal digits.
    pub checksum: String,
    /// XXH3-128 of the footer, in hexadecimal digits.
    pub footer_checksum: String,
}

/// An input file as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputEntry {
    /// Path or URL.
    pub url: String,
    /// Number of bytes.
    pub bytes: u64,
    /// ETag; for a local file its size and time of change.
    pub etag: String,
    /// Number of rows.
    pub rows: u64,
}

/// The manifest. Its JSON depends on neither the time and place of the preparation nor the number of its tasks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`] of the program that wrote it.
    pub format: u32,
    /// Digest of inputs and columns.
    pub fingerprint: String,
    /// True if a row of a shard is a row of the input: repeated cross sections.
    pub cross_sections: bool,
    /// Columns that form the panel.
    pub columns: KeyColumns,
    /// Periods, ascending.
    pub periods: Vec<f64>,
    /// Strata, by cohort and eligibility.
    pub strata: Vec<StratumEntry>,
    /// Variables, in the order of the shards' columns.
    pub fields: Vec<Field>,
    /// Texts of all text variables, ascending.
    pub texts: Vec<String>,
    /// Number of units; of rows in cross sections.
    pub units: u64,
    /// Number of rows in the input.
    pub input_rows: u64,
    /// Number of rows without unit, period or eligibility.
    pub keyless_rows: u64,
    /// Number of rows whose missing cohort was read as never treated.
    pub cohortless_rows: u64,
    /// Findings about the input that are reported to the user.
    #[serde(default, skip_serializing_if = "InputRemarks::is_empty")]
    pub remarks: InputRemarks,
    /// Number of bytes of the identifiers in all shards.
    pub id_bytes: u64,
    /// True if some unit has no row in some period.
    pub unbalanced: bool,
    /// Input files.
    pub inputs: Vec<InputEntry>,
    /// Shards, in order; their number is a power of two.
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
    /// Returns the meaning of a shard's row.
    pub fn row_kind(&self) -> RowKind {
        if self.cross_sections { RowKind::Observation } else { RowKind::Unit }
    }

    /// Returns the number of bytes of all shards.
    pub fn total_bytes(&self) -> u64 {
        self.shards.iter().map(|s| s.bytes).sum()
    }

    /// Returns the index of a variable by name and form.
    pub fn field_index(&self, name: &str, kind: FieldKind) -> Option<usize> {
        self.fields.iter().position(|f| f.name == name && f.kind == kind)
    }

    /// Returns the bytes that are stored: JSON with a checksum.
    ///
    /// # Errors
    /// Numbers that JSON can't hold.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let failed =
            |e: serde_json::Error| StaggerError::failed(format!("the manifest can't be written: {e}"));
        let json = serde_json::to_vec(self).map_err(failed)?;
        let sealed = Sealed { checksum: format!("{:032x}", xxh3_128(&json)), manifest: self.clone() };
        let mut out = serde_json::to_vec(&sealed).map_err(failed)?;
        out.push(b'\n');
        Ok(out)
    }

    /// Reads a stored manifest of the store at `url`.
    ///
    /// # Errors
    /// Another format, a checksum that does not fit, and contents that contradict each other.
    pub fn decode(bytes: &[u8], url: &str) -> Result<Self> {
        let damaged = |why: String| {
            StaggerError::input(format!("`{}` of the store `{url}` can't be used: {why}", MANIFEST))
                .with_hint("remove the store and prepare it again")
        };
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
        let version: Option<Version> =
            value.get("manifest").and_then(|m| serde_json::from_value(m.clone()).ok());
        match version {
            Some(Version { format }) if format != FORMAT => {
                return Err(StaggerError::input(format!(
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
