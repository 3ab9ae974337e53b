//! Panels of a prepared store: shards are read when they are needed, or all of them at once where memory allows.

mod shard;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use stagger_estimator::formula::Atom;
use stagger_model::error::{EngineError, Result, of_specifications};
use stagger_model::parallel;
use stagger_model::progress::Progress;
use stagger_model::spec_check::CheckedSpec;
use stagger_storage::Storage;

use super::fields::FieldUse;
use super::slots::{FieldKind, Slots};
use super::{Columns, Covariate, insert};
use crate::levels::{Recodes, recode};
use crate::panel::{Census, Needs, Panel, RowKind, Shards, Stratum};
use crate::panel_store::{self, Manifest, PanelStore};
use crate::shard::Shard;
use crate::survey::{Counts, Survey, Surveyor};

/// Bytes of memory for tasks, partials and draws, reserved before shards are kept in memory.
const BESIDE: u64 = 128 << 20;
/// Share of the rest that columns of kept shards may take; allocations are rounded up.
const KEPT: f64 = 0.65;

/// Returns the number of bytes that kept shards may take under a memory limit of `memory` bytes.
pub fn room(memory: u64) -> u64 {
    (memory.saturating_sub(BESIDE) as f64 * KEPT) as u64
}

/// The shards of a store as several specifications see them.
#[derive(Debug)]
pub struct StoredShards {
    store: PanelStore,
    columns: Columns,
    uses: Vec<FieldUse>,
    /// By field of the slots: its index among the store's fields.
    fields: Vec<usize>,
    /// By field of the slots: its content.
    roles: Vec<FieldKind>,
    /// By field: true if it varies in time in some shard.
    varies: Vec<bool>,
    /// By field: true if some existing row lacks it.
    missing: Vec<bool>,
    /// Code of each text in the store.
    texts: HashMap<String, u32>,
    /// By specification: the levels of its factors, once they are known.
    recodes: Vec<OnceLock<Recodes>>,
    /// Shards that stay in memory after they were read: the first ones.
    kept: Vec<OnceLock<Arc<Vec<Shard>>>>,
}

impl StoredShards {
    /// Resolves the columns of the specifications in a store.
    ///
    /// # Errors
    /// Columns that the store does not have, or not in the form that a specification needs.
    pub fn new(store: PanelStore, all: &[CheckedSpec]) -> Result<Self> {
        let columns = columns_of(&store, all)?;
        let slots = Slots::new(&columns, 1, &|_| false);
        let manifest = &store.manifest;
        let fields = slots
            .fields
            .iter()
            .map(|field| {
                kinds_of(field.kind)
                    .iter()
                    .find_map(|&kind| manifest.field(&field.name, kind))
                    .ok_or_else(|| EngineError::failed(format!("no column `{}` in the store", field.name)))
            })
            .collect::<Result<Vec<usize>>>()?;
        let uses = all
            .iter()
            .map(|wanted| {
                FieldUse::of(&columns, wanted, &slots).map_err(|e| of_specifications(e, &[wanted.name()]))
            })
            .collect::<Result<_>>()?;
        let texts = manifest.texts.iter().zip(0..).map(|(text, code)| (text.clone(), code)).collect();
        Ok(Self {
            varies: fields.iter().map(|&f| manifest.fields[f].varies).collect(),
            missing: fields.iter().map(|&f| manifest.fields[f].missing).collect(),
            roles: slots.fields.iter().map(|f| f.kind).collect(),
            recodes: all.iter().map(|_| OnceLock::new()).collect(),
            kept: Vec::new(),
            columns,
            uses,
            fields,
            texts,
            store,
        })
    }

    /// Returns the number of shards.
    pub fn count(&self) -> usize {
        self.store.manifest.shards.len()
    }

    /// Returns the mean number of bytes that one shard takes in memory, for all specifications.
    pub fn shard_memory(&self) -> u64 {
        self.memory() / self.count().max(1) as u64
    }

    /// Returns the store's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.store.manifest
    }

    /// Returns the storage that holds the shards.
    pub fn storage(&self) -> &Storage {
        self.store.storage()
    }

    /// Returns the levels of a specification's factors; empty if they are not known yet.
    pub fn recodes(&self, specification: usize) -> Recodes {
        self.recodes[specification].get().cloned().unwrap_or_default()
    }

    /// Tells if every row that a specification reads has all its values.
    pub fn is_whole(&self, specification: usize) -> bool {
        let used = &self.uses[specification];
        !self.store.manifest.unbalanced
            && used.atoms.iter().all(|atom| atom.expression.is_none())
            && used.fields().iter().all(|&field| !self.missing[field])
    }

    /// Tells for each atom of a specification if it varies in time.
    pub fn varying_atoms(&self, specification: usize) -> Vec<bool> {
        let atoms = self.uses[specification].atoms.iter();
        atoms.map(|atom| atom.fields.iter().any(|&field| self.varies[field])).collect()
    }

    /// Tells if a specification has sampling weights.
    pub fn has_weights(&self, specification: usize) -> bool {
        self.uses[specification].weight.is_some()
    }

    /// Tells if two specifications leave out the same rows. Where only the rows themselves could tell, the answer is
    /// false.
    pub fn same_rows(&self, a: usize, b: usize) -> bool {
        let gaps = |specification: usize| {
            let used = &self.uses[specification];
            let fields: Vec<usize> = used.fields().into_iter().filter(|&f| self.missing[f]).collect();
            let computed: Vec<String> = used
                .atoms
                .iter()
                .filter_map(|a| a.expression.as_ref())
                .map(|(e, _)| format!("{e:?}"))
                .collect();
            (fields, computed)
        };
        gaps(a) == gaps(b)
    }

    /// Computes the counts of a survey over one shard, as a specification sees it.
    ///
    /// # Errors
    /// A shard that can't be read, or that contradicts the manifest.
    pub fn survey(&self, index: usize, specification: usize, survey: &Survey) -> Result<Counts> {
        let manifest = &self.store.manifest;
        let built = self.build(index, survey.needs())?;
        let own = &built[specification];
        Ok(match survey {
            Survey::Census => {
                let mut census = Census::new(manifest.strata.len(), manifest.periods.len());
                census.merge(&own.count(manifest.periods.len()));
                Counts::Census(census)
            }
            other => other.of_shard(&own.shard, manifest.strata.len()),
        })
    }

    /// Sets the levels of a specification's factors; only the first call has an effect.
    pub fn recode(&self, specification: usize, recodes: Recodes) {
        // A specification is planned once.
        let _ = self.recodes[specification].set(recodes);
    }

    /// Returns the number of bytes that all shards take in memory, for all specifications.
    pub fn memory(&self) -> u64 {
        let manifest = &self.store.manifest;
        let periods = if manifest.cross_sections { 1 } else { manifest.periods.len() as u64 };
        let columns = |field: &panel_store::Field| {
            let by_period = field.outcome || field.varies || (field.missing && !manifest.cross_sections);
            if by_period { periods } else { 1 }
        };
        let fields: u64 = self.fields.iter().map(|&f| columns(&manifest.fields[f])).sum();
        let computed: usize =
            self.uses.iter().flat_map(|u| &u.atoms).filter(|a| a.expression.is_some()).count();
        let per_unit =
            8 * (fields + 1 + computed as u64 * periods) + self.uses.len() as u64 * periods.div_ceil(8);
        manifest.units * per_unit
    }

    /// Reads a shard as every specification sees it; it has at least the columns of `needs`.
    ///
    /// # Errors
    /// A shard that can't be read, or that contradicts the manifest.
    pub fn load(&self, index: usize, needs: Needs) -> Result<Arc<Vec<Shard>>> {
        let Some(kept) = self.kept.get(index).filter(|_| self.recodes.iter().all(|r| r.get().is_some()))
        else {
            return self.read(index, needs).map(Arc::new);
        };
        if let Some(shards) = kept.get() {
            return Ok(Arc::clone(shards));
        }
        let shards = Arc::new(self.read(index, Needs::ALL)?);
        Ok(Arc::clone(kept.get_or_init(|| shards)))
    }

    fn read(&self, index: usize, needs: Needs) -> Result<Vec<Shard>> {
        let built = self.build(index, needs)?;
        let shards = built.into_iter().zip(&self.recodes).map(|(built, recodes)| {
            let mut shard = built.shard;
            if let Some(recodes) = recodes.get() {
                recode(&mut shard, recodes);
            }
            shard
        });
        Ok(shards.collect())
    }
}

/// Kinds of a store's fields that a field of the slots can be read from.
fn kinds_of(kind: FieldKind) -> &'static [panel_store::FieldKind] {
    use panel_store::FieldKind::{Cluster, Code, Number, Text};
    match kind {
        FieldKind::Covariate { text: true } => &[Text, Code],
        FieldKind::Cluster { .. } => &[Cluster],
        FieldKind::Outcome | FieldKind::Covariate { text: false } | FieldKind::Weight => &[Number],
    }
}

/// Returns the columns that the specifications read, as the store has them.
fn columns_of(store: &PanelStore, all: &[CheckedSpec]) -> Result<Columns> {
    use panel_store::FieldKind::{Cluster, Number};
    let keys = &store.manifest.columns;
    let mut out = Columns {
        id: keys.id.clone(),
        time: keys.time.clone(),
        group: keys.group.clone(),
        eligibility: keys.eligibility.clone(),
        missing_cohort: keys.missing_cohort,
        ..Columns::default()
    };
    for wanted in all {
        let named = |e: EngineError| of_specifications(e, &[wanted.name()]);
        let yname = &wanted.spec.yname;
        let outcome = store.field("yname", yname, Number).map_err(named)?;
        if !store.manifest.fields[outcome].outcome {
            return Err(named(
                EngineError::input(format!(
                    "yname: the store `{}` was prepared with `{yname}`, but not as an outcome",
                    store.url()
                ))
                .with_hint("prepare a store with it among the outcomes"),
            ));
        }
        insert(&mut out.outcomes, yname.clone());
        if let Some(weight) = &wanted.spec.weightsname {
            store.field("weightsname", weight, Number).map_err(named)?;
            insert(&mut out.weights, weight.clone());
        }
        for atom in wanted.formula.atoms() {
            for covariate in covariates(store, atom).map_err(named)? {
                insert(&mut out.covariates, covariate);
            }
        }
        for (dimension, cluster) in wanted.clusters().into_iter().enumerate() {
            store.field("clustervars", &cluster, Cluster).map_err(named)?;
            insert(&mut out.clusters, (cluster, dimension));
        }
    }
    Ok(out)
}

/// Returns the variables of an atom as the store has them.
fn covariates(store: &PanelStore, atom: &Atom) -> Result<Vec<Covariate>> {
    use panel_store::FieldKind::{Code, Number, Text};
    let has = |name: &str, kind| store.manifest.field(name, kind).is_some();
    let of = |name: &str| {
        let text = has(name, Text);
        if !text {
            store.field("xformla", name, Number)?;
        }
        Ok(Covariate { name: name.to_owned(), text, code: false })
    };
    match atom {
        Atom::Factor(name) if has(name, Code) => {
            Ok(vec![Covariate { name: name.clone(), text: true, code: true }])
        }
        Atom::Factor(name) => Ok(vec![of(name)?]),
        Atom::Numeric(expression) => expression.columns().into_iter().map(of).collect(),
    }
}

/// Opens the panels of specifications that read one store; their shards go to memory if `memory` bytes allow.
///
/// # Errors
/// Those of [`StoredShards::new`], and shards that can't be read.
pub fn open(
    store: PanelStore,
    all: &[CheckedSpec],
    threads: usize,
    memory: u64,
    progress: &mut Progress<'_>,
) -> Result<Vec<Panel>> {
    let mut shards = StoredShards::new(store, all)?;
    let room = room(memory);
    let size = shards.memory();
    if size > room {
        let fits = shards.count() as u64 * room / size.max(1);
        shards.kept = (0..fits).map(|_| OnceLock::new()).collect();
    }
    let in_memory = size <= room;
    let shards = Arc::new(shards);
    let panel = |specification: usize| shards.panel(specification, in_memory);
    let mut panels: Vec<Panel> = (0..all.len()).map(panel).collect();
    let count = shards.count();
    if in_memory {
        let built = progress.stage("shards", count, |_| {
            parallel::map(threads, count, |index| shards.build(index, Needs::ALL))
        })?;
        for built in built {
            for (panel, built) in panels.iter_mut().zip(built) {
                panel.add(built.count(panel.periods.len()), built.shard);
            }
        }
    } else if panels.iter().enumerate().any(|(s, panel)| !shards.is_whole(s) || panel.has_weights()) {
        let counts = progress.stage("census", count, |_| {
            parallel::map(threads, count, |index| {
                let built = shards.build(index, Needs::default())?;
                Ok(built
                    .iter()
                    .map(|b| b.count(shards.store.manifest.periods.len()))
                    .collect::<Vec<Census>>())
            })
        })?;
        for counts in counts {
            panels.iter_mut().zip(counts).for_each(|(panel, census)| panel.census.merge(&census));
        }
    } else {
        panels.iter_mut().for_each(|panel| panel.census = shards.census());
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
            rows: manifest.rows(),
            shards: match in_memory {
                true => Shards::Memory(Vec::new()),
                false => Shards::Stored { shards: Arc::clone(self), specification },
            },
            periods: manifest.periods.clone(),
            strata: manifest.strata.iter().map(|s| s.stratum()).collect::<Vec<Stratum>>(),
            units: manifest.units,
            input_rows: manifest.input_rows,
            keyless_rows: manifest.keyless_rows,
            cohortless_rows: manifest.cohortless_rows,
            census: Census::new(manifest.strata.len(), manifest.periods.len()),
            atoms_vary: manifest.rows() == RowKind::Unit
                && used.atoms.iter().any(|atom| atom.fields.iter().any(|&f| varies(f))),
            weights_vary: used.weight.is_some_and(varies),
            text_atoms: used.atoms.iter().map(|a| a.text).collect(),
            code_atoms: used.atoms.iter().map(|a| a.code).collect(),
            interned: Arc::new(manifest.texts.clone()),
            calendar: manifest.columns.calendar.clone(),
            files: manifest.inputs.iter().map(|i| (i.url.clone(), i.bytes, i.rows)).collect(),
            remarks: manifest.remarks.clone(),
            surveyor: Surveyor::Here,
        }
    }
}

/// Returns the panels of a store with the counts of its manifest: enough for a plan, without a shard being read.
///
/// # Errors
/// Those of [`StoredShards::new`].
pub fn counted(store: PanelStore, all: &[CheckedSpec]) -> Result<(Arc<StoredShards>, Vec<Panel>)> {
    let shards = Arc::new(StoredShards::new(store, all)?);
    let panel = |specification| Panel { census: shards.census(), ..shards.panel(specification, true) };
    let panels = (0..all.len()).map(panel).collect();
    Ok((shards, panels))
}

impl StoredShards {
    /// Tells for each field of the manifest if a read with these needs includes its columns.
    pub fn takes(&self, needs: Needs) -> Vec<bool> {
        let mut out = vec![false; self.store.manifest.fields.len()];
        for (slot, &field) in self.fields.iter().enumerate() {
            out[field] |= self.wants(slot, needs);
        }
        out
    }

    /// Tells if a read with these needs includes most bytes of a shard. Then all of it is read at once: half the
    /// requests, and no wait for the footer.
    pub fn takes_most(&self, needs: Needs) -> bool {
        let manifest = &self.store.manifest;
        let all: u64 = manifest.fields.iter().map(|field| field.bytes).sum();
        let wanted = manifest.fields.iter().zip(self.takes(needs)).filter(|(_, taken)| *taken);
        let taken: u64 = wanted.map(|(field, _)| field.bytes).sum();
        4 * taken >= 3 * (all + manifest.id_bytes)
    }

    fn wants(&self, slot: usize, needs: Needs) -> bool {
        self.missing[slot]
            || match self.roles[slot] {
                FieldKind::Outcome => needs.outcomes,
                FieldKind::Cluster { .. } => needs.clusters,
                _ => true,
            }
    }
}
