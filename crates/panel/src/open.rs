//! The panels of a prepared store: opened for a run, or with the counts of its manifest alone.

use std::sync::{Arc, OnceLock};

use stagger_model::error::Result;
use stagger_model::parallel;
use stagger_model::progress::StageProgress;
use stagger_model::spec_check::CheckedSpec;

use crate::panel::{ColumnFacts, Panel, PanelCounts, PanelSource, Shards};
use crate::panel_store::PanelStore;
use crate::stored::{StoredShards, shard_cache_bytes};
use crate::strata::{Census, NeededColumns, RowKind, Stratum};
use crate::survey::Surveyor;
/// Opens the panels of specifications that read one store; their shards go to memory if `memory` bytes allow.
///
/// # Errors
/// Those of [`StoredShards::new`], and shards that can't be read.
pub fn open_store(
    store: PanelStore,
    all: &[CheckedSpec],
    threads: usize,
    memory: u64,
    progress: &mut StageProgress<'_>,
) -> Result<Vec<Panel>> {
    let mut shards = StoredShards::new(store, all)?;
    let room = shard_cache_bytes(memory);
    let size = shards.shard_bytes();
    if size > room {
        let fits = shards.shard_count() as u64 * room / size.max(1);
        shards.kept = (0..fits).map(|_| OnceLock::new()).collect();
    }
    let in_memory = size <= room;
    let shards = Arc::new(shards);
    let panel = |specification: usize| shards.panel(specification, in_memory);
    let mut panels: Vec<Panel> = (0..all.len()).map(panel).collect();
    let count = shards.shard_count();
    if in_memory {
        let built = progress.stage("shards", count, |_| {
            parallel::map(threads, count, |index| shards.build(index, NeededColumns::ALL))
        })?;
        for built in built {
            for (panel, built) in panels.iter_mut().zip(built) {
                panel.add_shard(built.count(panel.periods.len()), built.shard);
            }
        }
    } else if panels.iter().enumerate().any(|(s, panel)| !shards.has_no_gaps(s) || panel.has_weights()) {
        let counts = progress.stage("census", count, |_| {
            parallel::map(threads, count, |index| {
                let built = shards.build(index, NeededColumns::default())?;
                Ok(built
                    .iter()
                    .map(|b| b.count(shards.store.manifest.periods.len()))
                    .collect::<Vec<Census>>())
            })
        })?;
        for counts in counts {
            panels.iter_mut().zip(counts).for_each(|(panel, census)| panel.counts.census.merge(&census));
        }
    } else {
        panels.iter_mut().for_each(|panel| panel.counts.census = shards.census());
    }
    Ok(panels)
}

impl StoredShards {
    /// Returns the row counts of the manifest; all rows count as complete.
    pub fn census(&self) -> Census {
        let mut out = Census::new(self.store.manifest.strata.len(), self.store.manifest.periods.len());
        let periods = self.store.manifest.periods.len();
        for (index, stratum) in self.store.manifest.strata.iter().enumerate() {
            out.units[index] = stratum.units;
            out.present[index * periods..(index + 1) * periods].copy_from_slice(&stratum.rows);
        }
        out.complete.clone_from(&out.present);
        out
    }

    /// Returns the panel of a specification, with all counts 0.
    pub fn panel(self: &Arc<Self>, specification: usize, in_memory: bool) -> Panel {
        let manifest = &self.store.manifest;
        let used = &self.uses[specification];
        let varies = |field: usize| self.varies[field];
        Panel {
            counts: PanelCounts {
                units: manifest.units,
                input_rows: manifest.input_rows,
                keyless_rows: manifest.keyless_rows,
                cohortless_rows: manifest.cohortless_rows,
                census: Census::new(manifest.strata.len(), manifest.periods.len()),
            },
            columns: ColumnFacts {
                atoms_vary: manifest.row_kind() == RowKind::Unit
                    && used.atoms.iter().any(|atom| atom.fields.iter().any(|&f| varies(f))),
                weights_vary: used.weight.is_some_and(varies),
                text_atoms: used.atoms.iter().map(|a| a.text).collect(),
                code_atoms: used.atoms.iter().map(|a| a.code).collect(),
                interned: Arc::new(manifest.texts.clone()),
            },
            source: PanelSource {
                files: manifest.inputs.iter().map(|i| (i.url.clone(), i.bytes, i.rows)).collect(),
                remarks: manifest.remarks.clone(),
            },
            rows: manifest.row_kind(),
            shards: match in_memory {
                true => Shards::Memory(Vec::new()),
                false => Shards::Stored { shards: Arc::clone(self), specification },
            },
            periods: manifest.periods.clone(),
            strata: manifest.strata.iter().map(|s| s.stratum()).collect::<Vec<Stratum>>(),
            calendar: manifest.columns.calendar.clone(),
            surveyor: Surveyor::Local,
        }
    }
}

/// Returns the panels of a store with the counts of its manifest: enough for a plan, without a shard being read.
///
/// # Errors
/// Those of [`StoredShards::new`].
pub fn counted(store: PanelStore, all: &[CheckedSpec]) -> Result<(Arc<StoredShards>, Vec<Panel>)> {
    let shards = Arc::new(StoredShards::new(store, all)?);
    let panel = |specification| {
        let mut panel = shards.panel(specification, true);
        panel.counts.census = shards.census();
        panel
    };
    let panels = (0..all.len()).map(panel).collect();
    Ok((shards, panels))
}
