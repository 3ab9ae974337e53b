//! Source of a run's panel: files that fit in memory, a prepared store, or a store that is prepared first.

use std::borrow::Cow;

use stagger_model::error::{Result, StaggerError};
use stagger_model::events::RunEvent;
use stagger_model::progress::StageProgress;
use stagger_model::spec::RunSpec;
use stagger_model::spec_check::CheckedSpec;
use stagger_panel::columns::{needed_columns, select_columns};
use stagger_panel::load;
use stagger_panel::open::open_store;
use stagger_panel::panel::Panel;
use stagger_panel::panel_store::PanelStore;
use stagger_panel::prepare::{PrepareOptions, default_memory, fingerprint_of, prepare};
use stagger_records::{Source, list_input_files};
use stagger_storage::Storage;
use stagger_storage::open::is_on_s3;

use super::RunOptions;

/// Bytes that a process needs besides the panel: code, footers, tasks, partials, draws.
const BESIDE: u64 = 96 << 20;

/// Start of the note that a store will be prepared first.
pub const PREPARES_FIRST_NOTE: &str = "the input is prepared first";

/// The input of a run.
pub enum RunInput<'a> {
    /// Paths and patterns of files.
    Files(&'a [String]),
    /// A prepared store.
    Store(Box<PanelStore>),
}

impl<'a> RunInput<'a> {
    /// Opens the store that the inputs name, or takes them as files.
    ///
    /// # Errors
    /// A store that can't be used.
    pub fn open(inputs: &'a [String]) -> Result<Self> {
        Ok(PanelStore::open_input(inputs)?.map_or(Self::Files(inputs), |store| Self::Store(Box::new(store))))
    }

    /// Completes a specification with the columns that a store knows.
    ///
    /// # Errors
    /// Those of [`PanelStore::complete_spec`].
    pub fn complete_spec(&self, spec: &RunSpec) -> Result<RunSpec> {
        match self {
            Self::Files(_) => Ok(spec.clone()),
            Self::Store(store) => store.complete_spec(spec),
        }
    }

    /// Loads the panels of specifications that share their keys. Files that do not fit in memory are prepared first.
    ///
    /// # Errors
    /// Files or stores that can't be read, and columns that do not fit their role.
    pub fn load_panels(
        &self,
        wanted: &[CheckedSpec],
        threads: usize,
        options: &RunOptions,
        progress: &mut StageProgress<'_>,
    ) -> Result<Vec<Panel>> {
        let memory = options.memory_limit.unwrap_or_else(default_memory);
        let store = match self {
            Self::Store(store) => Cow::Borrowed(store.as_ref()),
            Self::Files(inputs) => {
                if !inputs.iter().any(|input| is_on_s3(input)) {
                    let source = Source::select(list_input_files(inputs)?, &select_columns(wanted))?;
                    if estimate_direct_memory(&source, wanted) <= memory {
                        return load::load_open_files(&source, wanted, threads, progress);
                    }
                }
                Cow::Owned(prepared(inputs, wanted, threads, memory, options, progress)?)
            }
        };
        open_store(store.into_owned(), wanted, threads, memory, progress)
    }
}

/// Returns the bytes of memory that a run on local files would take, estimated from their footers.
pub fn estimate_direct_memory(source: &Source, wanted: &[CheckedSpec]) -> u64 {
    let Some(first) = wanted.first() else { return 0 };
    let mut outcomes: Vec<&str> = wanted.iter().map(|w| w.spec.yname.as_str()).collect();
    outcomes.sort_unstable();
    outcomes.dedup();
    let columns = needed_columns(wanted).len() as u64;
    let rows = source.rows();
    if !first.spec.panel {
        // Every row has every column, twice while the rows are put in order.
        return rows * (8 * columns + 24) + BESIDE;
    }
    // A row has its outcome, unit and period; a unit its other columns, identifier and position.
    let units = rows / periods(source, &first.spec.tname);
    rows * (8 * outcomes.len() as u64 + 6) + units * (8 * columns + 48) + BESIDE
}

/// Returns the number of periods as far as footers show it; a small number otherwise.
fn periods(source: &Source, tname: &str) -> u64 {
    let bounds = source.chunks().iter().map(|chunk| source.integer_bounds(chunk, tname));
    let all: Option<Vec<(i128, i128)>> = bounds.collect();
    let span = all.and_then(|all| {
        let (least, most) = (all.iter().map(|b| b.0).min()?, all.iter().map(|b| b.1).max()?);
        u64::try_from(most - least + 1).ok()
    });
    span.unwrap_or(4).clamp(2, 100)
}

/// Prepares the store of the specifications' columns in the folder for such stores, or finds it there.
fn prepared(
    inputs: &[String],
    wanted: &[CheckedSpec],
    threads: usize,
    memory: u64,
    options: &RunOptions,
    progress: &mut StageProgress<'_>,
) -> Result<PanelStore> {
    let fingerprint = fingerprint_of(inputs, wanted)?;
    let folder = options.stores.clone().or_else(cache_folder).ok_or_else(|| {
        StaggerError::failed("the input does not fit in memory, and there is no folder to prepare it in")
            .with_hint("name one with --store-dir")
    })?;
    let storage = Storage::open(&format!("{}/{fingerprint}", folder.trim_end_matches('/')))?;
    let url = storage.url();
    let known = PanelStore::find_manifest(&storage)?.is_some();
    let text = match known {
        true => format!("reading the prepared store `{url}` of this input"),
        false => format!("{PREPARES_FIRST_NOTE}, in `{url}`, where later runs find it"),
    };
    (progress.observer)(&RunEvent::Note { text });
    let prepare_options =
        PrepareOptions { threads: Some(threads), memory_limit: Some(memory), ..PrepareOptions::default() };
    let made = prepare(inputs, wanted, &storage, &prepare_options, progress.observer)?;
    progress.stages.extend(made.stages);
    PanelStore::open(storage)
}

/// Returns the user's folder for prepared stores.
fn cache_folder() -> Option<String> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| format!("{home}/.cache")))?;
    Some(format!("{cache}/stagger/panels"))
}
