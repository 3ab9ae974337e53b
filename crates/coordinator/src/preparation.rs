//! The store of a run: the one that is named, or one that is prepared from the run's files, by its workers or by this process.

use std::sync::Arc;

use stagger_forecast::{cut, shuffle_workers};
use stagger_model::error::{Result, StaggerError};
use stagger_model::events::RunEvent;
use stagger_model::spec_check::CheckedSpec;
use stagger_panel::panel_store::PanelStore;
use stagger_panel::prepare::{PrepareOptions, Prepared, fingerprint_of, prepare, prepare_on};
use stagger_records::{InputPath, list_input_files};
use stagger_storage::Storage;
use stagger_storage::open::is_on_s3;

use super::WorkerFailure;
use super::executor::SessionExecutor;
use super::request::{CloudOptions, RunRequest};
use super::session::Session;

/// Opens the store to read: the one that is named, or that of the files, which is prepared where it is not there.
///
/// # Errors
/// Bad input; a task that can't be done; storage that fails.
pub(super) fn open_store(
    session: &mut Session<'_>,
    request: &RunRequest,
    options: &CloudOptions,
) -> std::result::Result<PanelStore, WorkerFailure> {
    let open = Arc::clone(&session.settings.open);
    let open = |url: &str| open(url).map_err(StaggerError::from);
    if let [input] = request.inputs.as_slice()
        && let Some(store) = PanelStore::open_address(input, &open)?
    {
        return Ok(store);
    }
    let fingerprint = fingerprint_of(&request.inputs, &CheckedSpec::check_all(&request.named_specs())?)?;
    let storage = open(&format!("{}/{fingerprint}", request.stores.trim_end_matches('/')))?;
    let url = storage.url();
    let text = match PanelStore::find_manifest(&storage)? {
        Some(_) => format!("reading the prepared store `{url}` of this input"),
        None => format!("the input is prepared first, in `{url}`, where later runs find it"),
    };
    session.note(RunEvent::Note { text });
    prepare_store(session, request, &storage, options)?;
    Ok(PanelStore::open(storage)?)
}

/// Makes the store of the request's files, or finds it made.
///
/// # Errors
/// As [`open_store`].
pub(super) fn prepare_store(
    session: &mut Session<'_>,
    request: &RunRequest,
    storage: &Storage,
    options: &CloudOptions,
) -> Result<Prepared> {
    // Files of this machine are out of the workers' reach, and those on Lambda read Parquet only.
    let local = !request.inputs.iter().all(|input| is_on_s3(input));
    let files = list_input_files(&request.inputs)?;
    // Other formats are decoded as a whole, where they are opened, and steps are taken there.
    let steps = request.named_specs().iter().any(|(_, spec)| !spec.records.steps.is_empty());
    if steps {
        let text = "the steps from records to a panel are taken on this machine; `stagger panel … --out` writes their panel once for several runs";
        session.note(RunEvent::Note { text: text.to_owned() });
    }
    let here = steps
        || files.iter().any(InputPath::is_read_whole)
        || (storage.is_remote() && (local || files.iter().any(InputPath::is_csv)));
    let functions = cut::functions_without_pool(session.settings.invoker.functions());
    let memory = functions.first().map_or(0, |function| u64::from(function.memory_mb) << 20);
    let prepare_options = match here {
        true => PrepareOptions { threads: options.threads, ..PrepareOptions::default() },
        // A worker does one task at a time; as many tasks as workers, if memory asks for fewer.
        false => PrepareOptions {
            threads: Some(1),
            memory_limit: Some(memory),
            partitions: options.n_partitions,
            workers: Some(shuffle_workers(options.concurrency, memory, options.prefer)),
            ..PrepareOptions::default()
        },
    };
    let observer = session.observer();
    let specs = CheckedSpec::check_all(&request.named_specs())?;
    if here {
        return prepare(&request.inputs, &specs, storage, &prepare_options, observer);
    }
    let executor = SessionExecutor::new(session);
    prepare_on(&executor, &request.inputs, &specs, storage, &prepare_options, observer)
}
