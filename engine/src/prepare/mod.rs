//! `prepare`: from long files of any layout to a panel store, within a bound of memory (DESIGN §4).
//!
//! 1. `scatter`: each mapper reads some row groups once and writes one object with a block for every partition of the hashes.
//!    Where footers show units together it puts them side by side first.
//! 2. `combine`, where requests would cost more than another pass: blocks of several mappers for several partitions in one object.
//! 3. `gather`: each task reads its partitions' blocks and writes their shards.
//! 4. The manifest is written; then what was needed on the way is removed.
//!
//! Repeated cross sections need no shuffle: `rows` reads each shard where it lies. Every step leaves what it made under a name that its
//! content decides, so that a preparation that was killed goes on where it was.

pub(crate) mod assemble;
mod block;
mod combine;
mod conflict;
mod drive;
pub(crate) mod fields;
mod gather;
mod rows;
mod scatter;
mod shuffle;
mod space;
mod steps;

use xxhash_rust::xxh3::xxh3_128;

use crate::cloud::Workers;
use crate::error::{EngineError, Result};
use crate::events::Observer;
use crate::input::{CsvOptions, Source, expand};
use crate::load::{Columns, Wanted, selection, treatment};
use crate::panel_store::{FORMAT, InputEntry, KeyColumns, Manifest, PanelStore};
use crate::run::{Progress, StageFacts, check};
use crate::spec::RunSpec;
use crate::store::{Storage, StoreErrorKind};
use fields::{StoreField, store_fields};

pub use conflict::Conflict;
pub(crate) use drive::{row_shard_count, shard_count};
pub(crate) use shuffle::{BASE, Shape, units_together};
pub use shuffle::{Requests, Shuffle};
pub use space::default_memory;
pub(crate) use steps::{HEADER, PrepareStage, READS_AT_ONCE, ROW_TASK, work};

/// How to prepare; no option changes a byte of the store.
#[derive(Clone, Debug, Default)]
pub struct PrepareOptions {
    /// Threads; all cores if absent.
    pub threads: Option<usize>,
    /// Bytes that the process may use; most of the machine's if absent.
    pub memory_limit: Option<u64>,
    /// Tasks of a stage; as memory asks if absent.
    pub partitions: Option<usize>,
    /// Mappers and partitions that a combiner of a two-stage shuffle takes; by cost if absent.
    pub combine: Option<(usize, usize)>,
    /// Tasks of a stage at least, as far as each has a few megabytes to do: workers that would otherwise be idle.
    pub least_tasks: usize,
}

/// A store that was made or found.
#[derive(Debug)]
pub struct Prepared {
    /// Its manifest.
    pub manifest: Manifest,
    /// It was there already, of the same inputs and columns.
    pub reused: bool,
    /// How long the stages took; none if it was there.
    pub stages: Vec<StageFacts>,
}

/// The input, opened, and what of it is kept.
pub(crate) struct Order {
    pub(crate) source: Source,
    pub(crate) columns: Columns,
    pub(crate) keys: KeyColumns,
    pub(crate) fields: Vec<StoreField>,
    pub(crate) cross_sections: bool,
    pub(crate) fingerprint: String,
}

impl Order {
    /// Opens the inputs of specifications that share their keys.
    pub(crate) fn new(inputs: &[String], specs: &[(Option<&str>, &RunSpec)]) -> Result<Self> {
        let formulas = specs.iter().map(|(_, spec)| check(spec)).collect::<Result<Vec<_>>>()?;
        let wanted: Vec<Wanted<'_>> = specs
            .iter()
            .zip(&formulas)
            .map(|(&(name, spec), formula)| Wanted { name, spec, formula })
            .collect();
        let Some(first) = wanted.first() else {
            return Err(EngineError::input("nothing says which columns to keep"));
        };
        if let Some(other) = wanted.iter().find(|w| !w.shares_keys(first)) {
            return Err(EngineError::input(format!(
                "a store has one --idname, --tname, --gname, --pname, --panel, --missing-cohort and way of reading CSV files, but specification `{}` names others than the first",
                other.name.unwrap_or_default()
            ))
            .with_hint("prepare a store for each"));
        }
        let source = Source::select(expand(inputs)?, &selection(&wanted))?;
        let columns =
            Columns::resolve(&wanted, &source).map_err(|e| treatment::explain(e, &source, &wanted))?;
        if source.rows() == 0 {
            return Err(
                EngineError::input("the input has no rows").with_hint("check that the files hold the panel")
            );
        }
        let fields = store_fields(&columns);
        let keys = KeyColumns {
            id: columns.id.clone(),
            time: columns.time.clone(),
            group: columns.group.clone(),
            eligibility: columns.eligibility.clone(),
            ids: columns.kind(&columns.id),
            calendar: columns.scale.calendar().cloned(),
            missing_cohort: columns.missing_cohort,
        };
        let cross_sections = !first.spec.panel;
        let fingerprint = fingerprint(&source, &keys, &fields, cross_sections, &first.spec.csv)?;
        Ok(Self { source, columns, keys, fields, cross_sections, fingerprint })
    }

    pub(crate) fn inputs(&self) -> Vec<InputEntry> {
        let entry = |input: crate::input::InputFileInfo| InputEntry {
            url: input.url,
            bytes: input.bytes,
            etag: input.fingerprint,
            rows: input.rows,
        };
        self.source.inputs().into_iter().map(entry).collect()
    }
}

/// A local path from the root on: `panel.parquet` of two folders are two inputs.
fn whole_path(url: &str) -> String {
    if url.starts_with("s3://") {
        return url.to_owned();
    }
    std::fs::canonicalize(url).map_or_else(|_| url.to_owned(), |path| path.display().to_string())
}

/// Digest of the format, the inputs as they are now, and the columns.
fn fingerprint(
    source: &Source,
    keys: &KeyColumns,
    fields: &[StoreField],
    cross_sections: bool,
    csv: &CsvOptions,
) -> Result<String> {
    let inputs: Vec<(String, u64, String)> =
        source.inputs().into_iter().map(|i| (whole_path(&i.url), i.bytes, i.fingerprint)).collect();
    let failed = |e: serde_json::Error| EngineError::failed(e.to_string());
    let mut json = serde_json::to_vec(&(FORMAT, inputs, keys, fields, cross_sections)).map_err(failed)?;
    if !csv.is_default() {
        json.extend(serde_json::to_vec(csv).map_err(failed)?);
    }
    Ok(format!("{:032x}", xxh3_128(&json)))
}

/// Digest of the inputs and columns of specifications, without preparing anything.
///
/// # Errors
/// As [`prepare`].
pub fn fingerprint_of(inputs: &[String], specs: &[(Option<&str>, &RunSpec)]) -> Result<String> {
    Order::new(inputs, specs).map(|order| order.fingerprint)
}

/// Refuses a store within an input folder or prefix: its shards would be input the next time.
fn apart(inputs: &[String], store: &str) -> Result<()> {
    let place = |path: &str| match path.starts_with("s3://") {
        true => std::path::PathBuf::from(path),
        false => std::path::absolute(path).unwrap_or_else(|_| path.into()),
    };
    let around = |input: &&String| {
        let is_folder = input.ends_with('/') || std::path::Path::new(input.as_str()).is_dir();
        is_folder && place(store).starts_with(place(input))
    };
    match inputs.iter().find(around) {
        None => Ok(()),
        Some(input) => Err(EngineError::input(format!(
            "the store `{store}` lies within the input `{input}`"
        ))
        .with_hint("choose a place beside the input: the shards would be read as input the next time")),
    }
}

/// Makes the store of some specifications' columns, or finds it made. Specifications must share their keys; outcomes,
/// covariates, weights and clusters of all are kept.
///
/// # Errors
/// Bad arguments or input as for a run; a store of other inputs or columns in that place; storage that fails.
pub fn prepare(
    inputs: &[String],
    specs: &[(Option<&str>, &RunSpec)],
    storage: &Storage,
    options: &PrepareOptions,
    observer: Observer<'_>,
) -> Result<Prepared> {
    prepare_by(None, inputs, specs, storage, options, observer)
}

/// The same by workers, if there are any.
pub(crate) fn prepare_by(
    workers: Option<&dyn Workers>,
    inputs: &[String],
    specs: &[(Option<&str>, &RunSpec)],
    storage: &Storage,
    options: &PrepareOptions,
    observer: Observer<'_>,
) -> Result<Prepared> {
    apart(inputs, &storage.url())?;
    let order = Order::new(inputs, specs)?;
    if let Some(manifest) = PanelStore::find(storage)? {
        if manifest.fingerprint != order.fingerprint {
            return Err(EngineError::input(format!(
                "the store `{}` holds a panel of other inputs or other columns",
                storage.url()
            ))
            .with_hint("choose another place, or remove it first"));
        }
        drive::clean(storage)?;
        return Ok(Prepared { manifest, reused: true, stages: Vec::new() });
    }
    let mut progress = Progress::new(observer);
    let made = drive::Driver::new(&order, storage, options, workers).run(&mut progress);
    let error = match made {
        Ok(manifest) => return Ok(Prepared { manifest, reused: false, stages: progress.stages }),
        Err(error) => error,
    };
    // Another process that prepares the same has finished, and has removed what was needed on the way.
    if error.storage() == Some(StoreErrorKind::NotFound)
        && let Some(manifest) = PanelStore::find(storage)?
        && manifest.fingerprint == order.fingerprint
    {
        return Ok(Prepared { manifest, reused: true, stages: Vec::new() });
    }
    drive::forget(storage, &order, &error);
    let formulas = specs.iter().map(|(_, spec)| check(spec)).collect::<Result<Vec<_>>>()?;
    let wanted = specs.iter().zip(&formulas).map(|(&(name, spec), formula)| Wanted { name, spec, formula });
    Err(treatment::explain(error, &order.source, &wanted.collect::<Vec<_>>()))
}
