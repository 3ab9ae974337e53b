//! The counts of a panel before its values are read: a store's manifest, or an estimate of the one that the files'
//! store would have.

use std::sync::Arc;

use stagger_model::error::Result;
use stagger_model::spec::RunSpec;
use stagger_panel::panel_store::{Manifest, PanelStore};
use stagger_storage::{MemoryStore, Storage};

use super::scan;

/// The counts of a panel.
#[derive(Clone, Debug)]
pub struct PanelFacts {
    /// The store; of files one without shards.
    pub store: PanelStore,
    /// The files, where there is no store yet.
    pub files: Option<InputFiles>,
    /// The assumptions that the counts rest on, as sentences.
    pub notes: Vec<String>,
}

/// The files of a panel that is not prepared yet.
#[derive(Clone, Debug, PartialEq)]
pub struct InputFiles {
    /// The number of files.
    pub count: usize,
    /// The rows of each row group, in order.
    pub chunks: Vec<usize>,
    /// Bytes of the columns that are read.
    pub bytes: u64,
    /// Bytes of the key columns: unit, period, cohort, eligibility.
    pub key_bytes: u64,
    /// Bytes of the largest row group's columns.
    pub largest_chunk: u64,
    /// True if footers show that the rows of a unit lie together.
    pub together: bool,
    /// True if units are named by text.
    pub text_ids: bool,
    /// Bytes of memory by which a run decides whether it reads the files without preparing them; `None` for files
    /// that are not local.
    pub direct: Option<u64>,
}

impl PanelFacts {
    /// Returns the counts of a run's inputs: those in the manifest of a store; of files those in the footers and in
    /// the period, cohort and eligibility columns, which are read once.
    ///
    /// # Errors
    /// As a run on them, as far as it can be told without the values.
    pub fn from_inputs(
        inputs: &[String],
        specs: &[(Option<&str>, &RunSpec)],
        threads: usize,
    ) -> Result<Self> {
        match PanelStore::open_input(inputs)? {
            Some(store) => Ok(Self::from_store(store)),
            None => scan::count_files(inputs, specs, threads),
        }
    }

    /// Returns the counts in the manifest of a store.
    pub fn from_store(store: PanelStore) -> Self {
        Self { store, files: None, notes: Vec::new() }
    }

    /// Returns the counts of a made-up panel: a manifest without shards behind it and, where it has yet to be
    /// prepared, its files.
    pub fn synthetic(manifest: Manifest, files: Option<InputFiles>) -> Self {
        let storage = Storage::new(Arc::new(MemoryStore::default()));
        Self { store: PanelStore::with_manifest(storage, manifest), files, notes: Vec::new() }
    }

    /// Returns the manifest of the store.
    pub fn manifest(&self) -> &Manifest {
        &self.store.manifest
    }
}

impl InputFiles {
    /// Returns the rows of all row groups.
    pub fn rows(&self) -> u64 {
        self.chunks.iter().map(|&rows| rows as u64).sum()
    }
}
