//! Preparation of a panel store from long files of any layout, within a bound of memory (DESIGN §4).
//!
//! 1. `scatter`: each mapper reads some row groups once and writes one object with a block for every partition of the
//!    hashes. Where footers show that a unit's rows are together, the mapper puts them side by side first.
//! 2. `combine`, where requests would cost more than another pass: blocks of several mappers for several partitions in
//!    one object.
//! 3. `gather`: each task reads the blocks of its partitions and writes their shards.
//! 4. The manifest is written; then the objects of the steps before are removed.
//!
//! Repeated cross sections need no shuffle: `rows` reads each shard from the files directly. Every step stores its
//! result under a name that its content decides, so that a preparation that was killed continues where it stopped.

pub mod assemble;
mod block;
mod combine;
mod conflict;
mod drive;
mod executor;
pub mod fields;
mod gather;
mod handout;
mod rows;
mod scatter;
mod shuffle;
mod space;
pub mod stage;
mod steps;
mod threads;
mod width;

use fields::store_fields;

use stagger_model::error::{Result, StaggerError};
use stagger_model::events::Observer;
use stagger_model::facts::StageFacts;
use stagger_model::parallel::available_cores;
use stagger_model::progress::StageProgress;
use stagger_model::spec::RunSpec;
use stagger_model::spec_check::CheckedSpec;
use stagger_records::{Source, list_input_files};
use stagger_storage::open::is_on_s3;
use stagger_storage::{Storage, StoreErrorKind};

use xxhash_rust::xxh3::xxh3_128;

use crate::columns::{Columns, select_columns};
use crate::load::treatment;
use crate::panel_store::fields::StoreField;
use crate::panel_store::{FORMAT, InputEntry, KeyColumns, Manifest, PanelStore};

pub use conflict::RowConflict;
pub use drive::{cross_section_shard_count, panel_shard_count};
pub use executor::{Executor, PrepareTask, StepFailure};
pub use gather::PrepareTaskError;
pub use handout::{BLOCK_BYTES, BlockTable, ObjectReport};
pub use shuffle::{PROCESS_BYTES, RequestCounts, ShuffleInputs, ShufflePlan, units_together};
pub use space::default_memory;
pub use stage::PrepareStage;
pub use steps::{CONCURRENT_READS, OpenedInputs, SHARDS_PER_ROW_TASK, compute_task};
pub use width::ShuffleWorkers;

/// Options of a preparation; none of them changes a byte of the store.
#[derive(Clone, Debug, Default)]
pub struct PrepareOptions {
    /// Number of threads; `None`: all cores.
    pub threads: Option<usize>,
    /// Number of bytes that the process may use; `None`: most of the memory that the machine has available.
    pub memory_limit: Option<u64>,
    /// Number of partitions, and so of tasks in a stage; `None`: chosen by memory.
    pub partitions: Option<usize>,
    /// Numbers of mappers and of partitions that one combiner of a two-stage shuffle takes; `None`: chosen by cost.
    pub combine: Option<(usize, usize)>,
    /// Workers that do the tasks, whose rates decide how many tasks a stage has; `None` for the threads of this process.
    pub workers: Option<ShuffleWorkers>,
}

/// Result of [`prepare`]: a store that was made or found.
#[derive(Debug)]
pub struct Prepared {
    /// Manifest of the store.
    pub manifest: Manifest,
    /// True if the store existed already, with the same inputs and columns.
    pub reused: bool,
    /// Facts about the stages; empty if the store existed.
    pub stages: Vec<StageFacts>,
}

/// The opened input, and the columns of it that the store will hold.
pub struct PreparationInput {
    /// The input files.
    pub source: Source,
    /// Columns that the specifications read.
    pub columns: Columns,
    /// Columns that form the panel.
    pub keys: KeyColumns,
    /// Variables that the store will hold.
    pub fields: Vec<StoreField>,
    /// True for repeated cross sections.
    pub cross_sections: bool,
    /// Digest of the inputs and columns.
    pub fingerprint: String,
}

impl PreparationInput {
    /// Opens the inputs of specifications that share their keys.
    ///
    /// # Errors
    /// Invalid specifications, specifications with different keys, files that can't be read, and columns that do not
    /// fit their role.
    pub fn new(inputs: &[String], wanted: &[CheckedSpec]) -> Result<Self> {
        let Some(first) = wanted.first() else {
            return Err(StaggerError::input("nothing says which columns to keep"));
        };
        if let Some(other) = wanted.iter().find(|w| !w.shares_keys(first)) {
            return Err(StaggerError::input(format!(
                "a store has one --idname, --tname, --gname, --pname, --panel, --missing-cohort and way of reading CSV files, but specification `{}` names others than the first",
                other.name().unwrap_or_default()
            ))
            .with_hint("prepare a store for each"));
        }
        let source = Source::select(list_input_files(inputs)?, &select_columns(wanted))?;
        let columns = Columns::resolve(wanted, &source)
            .map_err(|e| treatment::explain_indicator(e, &source, wanted))?;
        if source.rows() == 0 {
            return Err(
                StaggerError::input("the input has no rows").with_hint("check that the files hold the panel")
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
        let fingerprint = fingerprint(&source, &keys, &fields, cross_sections, &first.spec)?;
        Ok(Self { source, columns, keys, fields, cross_sections, fingerprint })
    }

    /// Returns the entries of the input files for the manifest.
    pub fn inputs(&self) -> Vec<InputEntry> {
        let entry = |input: stagger_records::InputFileInfo| InputEntry {
            url: input.url,
            bytes: input.bytes,
            etag: input.fingerprint,
            rows: input.rows,
        };
        self.source.file_infos().into_iter().map(entry).collect()
    }
}

/// Absolute form of a local path: `panel.parquet` in two folders are two inputs.
fn whole_path(url: &str) -> String {
    if is_on_s3(url) {
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
    spec: &RunSpec,
) -> Result<String> {
    let inputs: Vec<(String, u64, String)> =
        source.file_infos().into_iter().map(|i| (whole_path(&i.url), i.bytes, i.fingerprint)).collect();
    let failed = |e: serde_json::Error| StaggerError::failed(e.to_string());
    let mut json = serde_json::to_vec(&(FORMAT, inputs, keys, fields, cross_sections)).map_err(failed)?;
    if !spec.csv.is_default() {
        json.extend(serde_json::to_vec(&spec.csv).map_err(failed)?);
    }
    if !spec.records.is_default() {
        json.extend(serde_json::to_vec(&spec.records).map_err(failed)?);
    }
    Ok(format!("{:032x}", xxh3_128(&json)))
}

/// Returns the digest of the inputs and columns of specifications, without preparing a store.
///
/// # Errors
/// Those of [`prepare`] for arguments and input.
pub fn fingerprint_of(inputs: &[String], specs: &[CheckedSpec]) -> Result<String> {
    PreparationInput::new(inputs, specs).map(|order| order.fingerprint)
}

/// Refuses a store inside an input folder or prefix: its shards would be input the next time.
fn apart(inputs: &[String], store: &str) -> Result<()> {
    let place = |path: &str| match is_on_s3(path) {
        true => std::path::PathBuf::from(path),
        false => std::path::absolute(path).unwrap_or_else(|_| path.into()),
    };
    let around = |input: &&String| {
        let is_folder = input.ends_with('/') || std::path::Path::new(input.as_str()).is_dir();
        is_folder && place(store).starts_with(place(input))
    };
    match inputs.iter().find(around) {
        None => Ok(()),
        Some(input) => {
            Err(StaggerError::input(format!("the store `{store}` lies within the input `{input}`"))
                .with_hint(
                    "choose a place beside the input: the shards would be read as input the next time",
                ))
        }
    }
}

/// Prepares the store of the columns that some specifications read, or finds it complete. The specifications must share
/// their keys; outcomes, covariates, weights and clusters of all are stored.
///
/// # Errors
/// Invalid arguments or input, as for a run; a store of other inputs or columns in that place; storage that fails.
pub fn prepare(
    inputs: &[String],
    specs: &[CheckedSpec],
    storage: &Storage,
    options: &PrepareOptions,
    observer: Observer<'_>,
) -> Result<Prepared> {
    prepare_with(None, inputs, specs, storage, options, observer)
}

/// Does the same as [`prepare`] by another executor than the threads of this process.
///
/// # Errors
/// Those of [`prepare`].
pub fn prepare_on(
    executor: &dyn Executor,
    inputs: &[String],
    specs: &[CheckedSpec],
    storage: &Storage,
    options: &PrepareOptions,
    observer: Observer<'_>,
) -> Result<Prepared> {
    prepare_with(Some(executor), inputs, specs, storage, options, observer)
}

/// Prepares by an executor; by the threads of this process where none is given.
fn prepare_with(
    executor: Option<&dyn Executor>,
    inputs: &[String],
    specs: &[CheckedSpec],
    storage: &Storage,
    options: &PrepareOptions,
    observer: Observer<'_>,
) -> Result<Prepared> {
    apart(inputs, &storage.url())?;
    let order = PreparationInput::new(inputs, specs)?;
    if let Some(found) = find(&order, storage)? {
        return Ok(found);
    }
    let threads = options.threads.unwrap_or_else(available_cores).max(1);
    let own = threads::ThreadExecutor::new(&order, storage, threads, StageProgress::new(observer));
    let executor = executor.unwrap_or(&own);
    let made = drive::Driver { order: &order, storage, options, threads, executor }.run(observer);
    finish(made, own.into_stages(), &order, specs, storage)
}

/// The store, if it is there already.
fn find(order: &PreparationInput, storage: &Storage) -> Result<Option<Prepared>> {
    let Some(manifest) = PanelStore::find_manifest(storage)? else { return Ok(None) };
    if manifest.fingerprint != order.fingerprint {
        return Err(StaggerError::input(format!(
            "the store `{}` holds a panel of other inputs or other columns",
            storage.url()
        ))
        .with_hint("choose another place, or remove it first"));
    }
    drive::clean(storage)?;
    Ok(Some(Prepared { manifest, reused: true, stages: Vec::new() }))
}

/// The store that was made, or the reason why there is none.
fn finish(
    made: Result<Manifest>,
    stages: Vec<StageFacts>,
    order: &PreparationInput,
    specs: &[CheckedSpec],
    storage: &Storage,
) -> Result<Prepared> {
    let error = match made {
        Ok(manifest) => return Ok(Prepared { manifest, reused: false, stages }),
        Err(error) => error,
    };
    // Another process that prepares the same store has completed it, and has removed the objects of the steps.
    if error.storage_kind() == Some(StoreErrorKind::NotFound)
        && let Some(manifest) = PanelStore::find_manifest(storage)?
        && manifest.fingerprint == order.fingerprint
    {
        return Ok(Prepared { manifest, reused: true, stages: Vec::new() });
    }
    drive::forget(storage, order, &error);
    Err(treatment::explain_indicator(error, &order.source, specs))
}
