//! What is estimated: small panels, prepared once a process, and the bits that every run must end with.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use stagger_estimation::local::{RunOptions, run};
use stagger_estimator::options::{ControlGroup, EstMethod};
use stagger_model::spec::RunSpec;
use stagger_model::spec_check::CheckedSpec;
use stagger_panel::panel_store::{Manifest, PanelStore, keys};
use stagger_panel::prepare::{PrepareOptions, prepare};
use stagger_records::prepared::MANIFEST;
use stagger_storage::{Condition, MemoryStore, ObjectStore, Storage};
use stagger_test_support::panels::Panel;
use stagger_test_support::runs;
use stagger_test_support::tables::write_parquet;
use tempfile::TempDir;

use super::store::ROOT;

/// Units of a panel of 16 shards.
const UNITS: usize = 33_000;
/// Units of a panel that every run prepares for itself: 4 shards.
const RAW_UNITS: usize = 9_000;
/// Where prepared panels are.
const PLACE: &str = "panel/";

/// What a run is asked for.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) inputs: Vec<String>,
    pub(super) specs: Vec<(Option<String>, RunSpec)>,
    /// The input is a file that has to be prepared first.
    pub(super) is_raw: bool,
    pub(super) shards: usize,
    /// Results, as JSON, of a run on the threads of one process.
    pub(super) expected: Vec<String>,
    objects: Arc<Objects>,
    others: Arc<Objects>,
}

type Objects = BTreeMap<String, Bytes>;

impl Case {
    /// Key of a shard, of those that there are.
    pub(super) fn shard(&self, index: usize) -> String {
        keys::shard(index % self.shards)
    }

    /// Puts the prepared panel into a store.
    pub(super) fn copy_to(&self, store: &MemoryStore) {
        for (key, bytes) in self.objects.iter() {
            let key = format!("{PLACE}{key}");
            let put = store.put(&key, bytes.clone(), Condition::Always);
            futures::executor::block_on(put).expect("a store in memory");
        }
    }

    /// The objects of a panel of other outcomes; with `disguised` under the first one's fingerprint.
    pub(super) fn replacement(&self, disguised: bool) -> Vec<(String, Bytes)> {
        let mut out: Vec<(String, Bytes)> =
            self.others.iter().map(|(key, bytes)| (format!("{PLACE}{key}"), bytes.clone())).collect();
        if disguised {
            let manifest = |objects: &Objects| {
                Manifest::decode(&objects[MANIFEST], PLACE).expect("the manifest of a store")
            };
            let fingerprint = manifest(&self.objects).fingerprint;
            let manifest = Manifest { fingerprint, ..manifest(&self.others) };
            let bytes = manifest.encode().expect("a manifest");
            out.retain(|(key, _)| !key.ends_with(MANIFEST));
            out.push((format!("{PLACE}{}", MANIFEST), bytes.into()));
        }
        out
    }
}

/// All cases, made by the first who asks.
pub(super) fn cases() -> &'static [Arc<Case>] {
    static CASES: OnceLock<(TempDir, Vec<Arc<Case>>)> = OnceLock::new();
    let (_, cases) = CASES.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cases = make(folder.path());
        (folder, cases)
    });
    cases
}

fn spec() -> RunSpec {
    RunSpec { biters: 20, ..runs::spec("y", "time", "id", "group") }
}

fn named(specs: Vec<RunSpec>) -> Vec<(Option<String>, RunSpec)> {
    match specs.len() {
        1 => specs.into_iter().map(|spec| (None, spec)).collect(),
        _ => specs.into_iter().enumerate().map(|(i, spec)| (Some(format!("spec-{i}")), spec)).collect(),
    }
}

fn panel(units: usize, seed: u64) -> Panel {
    Panel { units, periods: 4, cohorts: vec![0, 3, 4], clusters: 40, seed }
}

fn make(folder: &Path) -> Vec<Arc<Case>> {
    let x = || Some("~ x1".to_owned());
    let plain = || spec();
    let logit = || RunSpec { xformla: x(), ..spec() };
    let regression = || RunSpec {
        xformla: x(),
        est_method: EstMethod::Reg,
        control_group: ControlGroup::NotYetTreated,
        ..spec()
    };
    let clusters = || RunSpec { clustervars: vec!["cluster".into()], ..spec() };
    let weights = || RunSpec { weightsname: Some("w".into()), bstrap: false, cband: false, ..spec() };
    let groups = [
        ("no covariates", vec![plain()]),
        ("logit", vec![logit()]),
        ("regression", vec![regression()]),
        ("clusters", vec![clusters()]),
        ("weights", vec![weights()]),
        ("two specifications", vec![plain(), logit()]),
    ];
    let all: Vec<RunSpec> = groups.iter().flat_map(|(_, specs)| specs.iter().cloned()).collect();
    let double = Place::new(folder, "double", false, &all);
    let triple_spec = RunSpec { pname: Some("eligible".into()), ..spec() };
    let triple = Place::new(folder, "triple", true, std::slice::from_ref(&triple_spec));
    let mut cases: Vec<Arc<Case>> =
        groups.into_iter().map(|(name, specs)| Arc::new(double.case(name, specs))).collect();
    cases.push(Arc::new(triple.case("triple differences", vec![triple_spec])));
    let file = folder.join("raw.parquet");
    write_parquet(&file, &panel(RAW_UNITS, 5).simulate());
    cases.push(Arc::new(raw(&file, logit())));
    cases
}

/// A panel that is prepared, and another one that may take its place.
struct Place {
    url: String,
    objects: Arc<Objects>,
    others: Arc<Objects>,
}

impl Place {
    fn new(folder: &Path, name: &str, triple: bool, specs: &[RunSpec]) -> Self {
        let store = |seed: u64| {
            let panel = panel(UNITS, seed);
            let file = folder.join(format!("{name}-{seed}.parquet"));
            write_parquet(&file, &if triple { panel.simulate_triple() } else { panel.simulate() });
            let place = folder.join(format!("{name}-{seed}"));
            let storage = Storage::open(&place.display().to_string()).expect("a folder");
            let specs: Vec<(Option<&str>, &RunSpec)> = specs.iter().map(|spec| (None, spec)).collect();
            let inputs = [file.display().to_string()];
            prepare(
                &inputs,
                &CheckedSpec::check_all(&specs).expect("specifications"),
                &storage,
                &PrepareOptions::default(),
                &|_| {},
            )
            .expect("a store");
            let read = |info: stagger_storage::ObjectInfo| {
                let (bytes, _) = storage.get(&info.key, None).expect("an object");
                (info.key, bytes)
            };
            (place, Arc::new(storage.list("").expect("objects").into_iter().map(read).collect()))
        };
        let (place, objects) = store(1);
        let (_, others) = store(2);
        Self { url: place.display().to_string(), objects, others }
    }

    fn case(&self, name: &'static str, specs: Vec<RunSpec>) -> Case {
        let store = PanelStore::open(Storage::open(&self.url).expect("a folder")).expect("a store");
        Case {
            name,
            inputs: vec![format!("{ROOT}{}", PLACE.trim_end_matches('/'))],
            expected: specs.iter().map(|spec| direct(&self.url, spec)).collect(),
            specs: named(specs),
            is_raw: false,
            shards: store.manifest.shards.len(),
            objects: Arc::clone(&self.objects),
            others: Arc::clone(&self.others),
        }
    }
}

fn raw(file: &Path, spec: RunSpec) -> Case {
    let input = file.display().to_string();
    Case {
        name: "from a file",
        expected: vec![direct(&input, &spec)],
        inputs: vec![input],
        specs: named(vec![spec]),
        is_raw: true,
        shards: 4,
        objects: Arc::default(),
        others: Arc::default(),
    }
}

/// What a run on the threads of one process says.
fn direct(input: &str, spec: &RunSpec) -> String {
    let output = run(&[input.to_owned()], spec, &RunOptions::default(), &|_| {}).expect("a result");
    serde_json::to_string(&output.saved.result).expect("JSON")
}
