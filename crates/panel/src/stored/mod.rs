//! Panels of a prepared store: shards are read when they are needed, or all of them at once where memory allows.

mod shard;

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use stagger_estimator::formula::Atom;
use stagger_model::error::{Result, StaggerError, name_specifications};
use stagger_model::spec_check::CheckedSpec;
use stagger_storage::Storage;

use crate::columns::{Columns, Covariate, insert};
use crate::fields::SpecFields;
use crate::panel_store::{self, Manifest, PanelStore};
use crate::recode::{LevelCodes, encode_levels};
use crate::shard::Shard;
use crate::slots::{FieldRole, SlotLayout};
use crate::strata::{Census, NeededColumns};
use crate::survey::{Counts, Survey};

/// Bytes of memory for tasks, partials and draws, reserved before shards are kept in memory.
const BESIDE: u64 = 128 << 20;
/// Share of the rest that columns of kept shards may take; allocations are rounded up.
const KEPT: f64 = 0.65;

/// Returns the number of bytes that kept shards may take under a memory limit of `memory` bytes.
pub fn shard_cache_bytes(memory: u64) -> u64 {
    (memory.saturating_sub(BESIDE) as f64 * KEPT) as u64
}

/// The shards of a store as several specifications see them.
#[derive(Debug)]
pub struct StoredShards {
    /// The store.
    pub store: PanelStore,
    columns: Columns,
    /// The fields that each specification uses.
    pub uses: Vec<SpecFields>,
    /// By field of the slots: its index among the store's fields.
    fields: Vec<usize>,
    /// By field of the slots: its content.
    roles: Vec<FieldRole>,
    /// By field: true if it varies in time in some shard.
    pub varies: Vec<bool>,
    /// By field: true if some existing row lacks it.
    missing: Vec<bool>,
    /// Code of each text in the store.
    texts: HashMap<String, u32>,
    /// By specification: the levels of its factors, once they are known.
    recodes: Vec<OnceLock<LevelCodes>>,
    /// Shards that stay in memory after they were read: the first ones.
    pub kept: Vec<OnceLock<Arc<Vec<Shard>>>>,
}

impl StoredShards {
    /// Resolves the columns of the specifications in a store.
    ///
    /// # Errors
    /// Columns that the store does not have, or not in the form that a specification needs.
    pub fn new(store: PanelStore, all: &[CheckedSpec]) -> Result<Self> {
        let columns = columns_of(&store, all)?;
        let slots = SlotLayout::new(&columns, 1, &|_| false);
        let manifest = &store.manifest;
        let fields = slots
            .fields
            .iter()
            .map(|field| {
                kinds_of(field.kind)
                    .iter()
                    .find_map(|&kind| manifest.field_index(&field.name, kind))
                    .ok_or_else(|| StaggerError::failed(format!("no column `{}` in the store", field.name)))
            })
            .collect::<Result<Vec<usize>>>()?;
        let uses = all
            .iter()
            .map(|wanted| {
                SpecFields::of(&columns, wanted, &slots).map_err(|e| name_specifications(e, &[wanted.name()]))
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
    pub fn shard_count(&self) -> usize {
        self.store.manifest.shards.len()
    }

    /// Returns the mean number of bytes that one shard takes in memory, for all specifications.
    pub fn mean_shard_bytes(&self) -> u64 {
        self.shard_bytes() / self.shard_count().max(1) as u64
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
    pub fn level_codes(&self, specification: usize) -> LevelCodes {
        self.recodes[specification].get().cloned().unwrap_or_default()
    }

    /// Tells if every row that a specification reads has all its values.
    pub fn has_no_gaps(&self, specification: usize) -> bool {
        let used = &self.uses[specification];
        !self.store.manifest.unbalanced
            && used.atoms.iter().all(|atom| atom.expression.is_none())
            && used.required_fields().iter().all(|&field| !self.missing[field])
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
    pub fn drops_same_rows(&self, a: usize, b: usize) -> bool {
        let gaps = |specification: usize| {
            let used = &self.uses[specification];
            let fields: Vec<usize> =
                used.required_fields().into_iter().filter(|&f| self.missing[f]).collect();
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
    pub fn count_shard(&self, index: usize, specification: usize, survey: &Survey) -> Result<Counts> {
        let manifest = &self.store.manifest;
        let built = self.build(index, survey.needs())?;
        let own = &built[specification];
        Ok(match survey {
            Survey::Census => {
                let mut census = Census::new(manifest.strata.len(), manifest.periods.len());
                census.merge(&own.count(manifest.periods.len()));
                Counts::Census(census)
            }
            other => other.count_shard(&own.shard, manifest.strata.len()),
        })
    }

    /// Sets the levels of a specification's factors; only the first call has an effect.
    pub fn set_level_codes(&self, specification: usize, recodes: LevelCodes) {
        // A specification is planned once.
        let _ = self.recodes[specification].set(recodes);
    }

    /// Returns the number of bytes that all shards take in memory, for all specifications.
    pub fn shard_bytes(&self) -> u64 {
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
    pub fn load_shard(&self, index: usize, needs: NeededColumns) -> Result<Arc<Vec<Shard>>> {
        let Some(kept) = self.kept.get(index).filter(|_| self.recodes.iter().all(|r| r.get().is_some()))
        else {
            return self.read(index, needs).map(Arc::new);
        };
        if let Some(shards) = kept.get() {
            return Ok(Arc::clone(shards));
        }
        let shards = Arc::new(self.read(index, NeededColumns::ALL)?);
        Ok(Arc::clone(kept.get_or_init(|| shards)))
    }

    fn read(&self, index: usize, needs: NeededColumns) -> Result<Vec<Shard>> {
        let built = self.build(index, needs)?;
        let shards = built.into_iter().zip(&self.recodes).map(|(built, recodes)| {
            let mut shard = built.shard;
            if let Some(recodes) = recodes.get() {
                encode_levels(&mut shard, recodes);
            }
            shard
        });
        Ok(shards.collect())
    }
}

/// Kinds of a store's fields that a field of the slots can be read from.
fn kinds_of(kind: FieldRole) -> &'static [panel_store::FieldKind] {
    use panel_store::FieldKind::{Cluster, Code, Number, Text};
    match kind {
        FieldRole::Covariate { text: true } => &[Text, Code],
        FieldRole::Cluster { .. } => &[Cluster],
        FieldRole::Outcome | FieldRole::Covariate { text: false } | FieldRole::Weight => &[Number],
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
        let named = |e: StaggerError| name_specifications(e, &[wanted.name()]);
        let yname = &wanted.spec.yname;
        let outcome = store.field_index("yname", yname, Number).map_err(named)?;
        if !store.manifest.fields[outcome].outcome {
            return Err(named(
                StaggerError::input(format!(
                    "yname: the store `{}` was prepared with `{yname}`, but not as an outcome",
                    store.url()
                ))
                .with_hint("prepare a store with it among the outcomes"),
            ));
        }
        insert(&mut out.outcomes, yname.clone());
        if let Some(weight) = &wanted.spec.weightsname {
            store.field_index("weightsname", weight, Number).map_err(named)?;
            insert(&mut out.weights, weight.clone());
        }
        for atom in wanted.formula.atoms() {
            for covariate in covariates(store, atom).map_err(named)? {
                insert(&mut out.covariates, covariate);
            }
        }
        for (dimension, cluster) in wanted.clusters().into_iter().enumerate() {
            store.field_index("clustervars", &cluster, Cluster).map_err(named)?;
            insert(&mut out.clusters, (cluster, dimension));
        }
    }
    Ok(out)
}

/// Returns the variables of an atom as the store has them.
fn covariates(store: &PanelStore, atom: &Atom) -> Result<Vec<Covariate>> {
    use panel_store::FieldKind::{Code, Number, Text};
    let has = |name: &str, kind| store.manifest.field_index(name, kind).is_some();
    let of = |name: &str| {
        let text = has(name, Text);
        if !text {
            store.field_index("xformla", name, Number)?;
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

impl StoredShards {
    /// Tells for each field of the manifest if a read with these needs includes its columns.
    pub fn reads_fields(&self, needs: NeededColumns) -> Vec<bool> {
        let mut out = vec![false; self.store.manifest.fields.len()];
        for (slot, &field) in self.fields.iter().enumerate() {
            out[field] |= self.wants(slot, needs);
        }
        out
    }

    /// Tells if a read with these needs includes most bytes of a shard. Then all of it is read at once: half the
    /// requests, and no wait for the footer.
    pub fn reads_most_bytes(&self, needs: NeededColumns) -> bool {
        let manifest = &self.store.manifest;
        let all: u64 = manifest.fields.iter().map(|field| field.bytes).sum();
        let wanted = manifest.fields.iter().zip(self.reads_fields(needs)).filter(|(_, taken)| *taken);
        let taken: u64 = wanted.map(|(field, _)| field.bytes).sum();
        4 * taken >= 3 * (all + manifest.id_bytes)
    }

    fn wants(&self, slot: usize, needs: NeededColumns) -> bool {
        self.missing[slot]
            || match self.roles[slot] {
                FieldRole::Outcome => needs.outcomes,
                FieldRole::Cluster { .. } => needs.clusters,
                _ => true,
            }
    }
}
