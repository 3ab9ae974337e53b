//! Panel store: shards of wide rows as Parquet files in the canonical order, and a manifest (DESIGN §4, docs/guide).

mod check;
pub mod fields;
pub mod keys;
mod manifest;
pub mod read;
mod verify;
pub mod write;

use stagger_model::error::{Result, StaggerError};
use stagger_model::spec::{MissingCohort, RunSpec, TimeUnit};
use stagger_storage::open::is_on_s3;
use stagger_storage::{Storage, StoreErrorKind};

pub use manifest::{FORMAT, Field, FieldKind, InputEntry, KeyColumns, Manifest, ShardEntry, StratumEntry};
pub use verify::Verification;

/// A complete panel store.
#[derive(Clone, Debug)]
pub struct PanelStore {
    storage: Storage,
    /// Description of its shards.
    pub manifest: Manifest,
}

impl PanelStore {
    /// Returns the manifest in a storage, if there is one.
    ///
    /// # Errors
    /// A manifest that can't be used, and storage that fails.
    pub fn find_manifest(storage: &Storage) -> Result<Option<Manifest>> {
        match storage.get(stagger_records::prepared::MANIFEST, None) {
            Ok((bytes, _)) => Manifest::decode(&bytes, &storage.url()).map(Some),
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a store.
    ///
    /// # Errors
    /// A storage without a manifest, and a manifest that can't be used.
    pub fn open(storage: Storage) -> Result<Self> {
        match Self::find_manifest(&storage)? {
            Some(manifest) => Ok(Self { storage, manifest }),
            None => Err(StaggerError::input(format!("`{}` is no panel store: it has no manifest", storage.url()))
                .with_hint("`stagger prepare INPUT … --out STORE` makes one; a preparation that was stopped goes on where it was")),
        }
    }

    /// Opens the store that an input names: a folder or an `s3://` prefix with a manifest in it; `None` for other
    /// inputs.
    ///
    /// # Errors
    /// A manifest that can't be used, an unfinished store, and storage that fails.
    pub fn open_input(inputs: &[String]) -> Result<Option<Self>> {
        let [input] = inputs else { return Ok(None) };
        let names_files = input.contains(['*', '?', '[']) || input.ends_with(".parquet");
        let is_folder = is_on_s3(input) || std::path::Path::new(input).is_dir();
        if names_files || !is_folder {
            return Ok(None);
        }
        Self::in_place(Storage::open(input)?)
    }

    /// Does the same with `open` as the way to open a storage, which allows other kinds of storage.
    pub fn open_address(input: &str, open: &dyn Fn(&str) -> Result<Storage>) -> Result<Option<Self>> {
        let is_folder = input.contains("://") || std::path::Path::new(input).is_dir();
        if input.contains(['*', '?', '[']) || input.ends_with(".parquet") || !is_folder {
            return Ok(None);
        }
        Self::in_place(open(input)?)
    }

    fn in_place(storage: Storage) -> Result<Option<Self>> {
        if let Some(manifest) = Self::find_manifest(&storage)? {
            return Ok(Some(Self { storage, manifest }));
        }
        // The shards are Parquet files: read as a folder of input files they would give wrong results.
        match storage.head(keys::IN_PROGRESS) {
            Ok(_) => Err(StaggerError::input(format!("the store `{}` is not finished", storage.url()))
                .with_hint("give the `stagger prepare` command again; it goes on where it was stopped")),
            Err(error) if error.kind == StoreErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns a store whose manifest is known already, or made up.
    pub fn with_manifest(storage: Storage, manifest: Manifest) -> Self {
        Self { storage, manifest }
    }

    /// Returns the digest that names the content: two stores of the same inputs and columns are equal byte for byte.
    pub fn fingerprint(&self) -> &str {
        &self.manifest.fingerprint
    }

    /// Returns the address.
    pub fn url(&self) -> String {
        self.storage.url()
    }

    /// Returns the storage that holds it.
    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Completes a specification with the columns that the store knows.
    ///
    /// # Errors
    /// Columns and settings that differ from those of the preparation, by name.
    pub fn complete_spec(&self, spec: &RunSpec) -> Result<RunSpec> {
        let mut out = spec.clone();
        let columns = &self.manifest.columns;
        for (argument, own, known) in [
            ("idname", &mut out.idname, &columns.id),
            ("tname", &mut out.tname, &columns.time),
            ("gname", &mut out.gname, &columns.group),
        ] {
            if own.is_empty() {
                own.clone_from(known);
            } else if own != known && !(argument == "idname" && self.manifest.cross_sections) {
                return Err(self.prepared_with(argument, own, known));
            }
        }
        if out.yname.is_empty() {
            let mut outcomes = self.manifest.fields.iter().filter(|f| f.outcome);
            if let (Some(only), None) = (outcomes.next(), outcomes.next()) {
                out.yname.clone_from(&only.name);
            }
        }
        if out.pname != columns.eligibility {
            let name = |column: &Option<String>| column.clone().unwrap_or_else(|| "none".into());
            return Err(self.prepared_with("pname", &name(&out.pname), &name(&columns.eligibility)));
        }
        let unit = columns.calendar.as_ref().map(|calendar| calendar.unit);
        if let (Some(asked), true) = (out.tunit, out.tunit != unit) {
            let known = unit.map_or("none", TimeUnit::name);
            return Err(self.prepared_with("tunit", asked.name(), known));
        }
        if out.missing_cohort != columns.missing_cohort {
            let word = |rule: MissingCohort| if rule == MissingCohort::Drop { "drop" } else { "never" };
            let (own, known) = (word(out.missing_cohort), word(columns.missing_cohort));
            return Err(self.prepared_with("missing_cohort", own, known));
        }
        if out.panel == self.manifest.cross_sections {
            return Err(self.prepared_with("panel", &out.panel.to_string(), &(!out.panel).to_string()));
        }
        Ok(out)
    }

    fn prepared_with(&self, argument: &str, own: &str, known: &str) -> StaggerError {
        StaggerError::input(format!(
            "{argument} is {own}, but the store `{}` was prepared with {argument} {known}",
            self.url()
        ))
        .with_hint("the order of units and the strata depend on it: prepare another store")
    }

    /// Returns the index of a variable that a specification names.
    ///
    /// # Errors
    /// A variable that the store does not have.
    pub fn field_index(&self, argument: &str, name: &str, kind: FieldKind) -> Result<usize> {
        self.manifest.field_index(name, kind).ok_or_else(|| {
            let fits = |f: &&Field| (f.kind == FieldKind::Cluster) == (kind == FieldKind::Cluster);
            let all: Vec<&str> = self.manifest.fields.iter().filter(fits).map(|f| f.name.as_str()).collect();
            let list = if all.is_empty() { "none".to_owned() } else { all.join(", ") };
            StaggerError::input(format!(
                "{argument}: the store `{}` was prepared without `{name}`",
                self.url()
            ))
            .with_hint(format!("it has {list}; prepare a store with this column too"))
        })
    }
}
