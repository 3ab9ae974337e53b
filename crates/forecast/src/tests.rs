//! Forecasts against runs and against what is known of made-up panels.

use std::path::Path;

use stagger_estimation::local::{RunInput, RunOptions, run_sharing};
use stagger_panel::panel_store::{Manifest, PanelStore};
use stagger_panel::prepare::{PrepareOptions, prepare};
use stagger_storage::Storage;
use stagger_test_support::manifests::PreparedPanel;
use stagger_test_support::panels::Panel;
use stagger_test_support::runs;

use super::*;

fn spec() -> RunSpec {
    RunSpec { xformla: Some("~ x1".into()), biters: 20, ..runs::spec("y", "time", "id", "group") }
}

/// Units treated in 3, in 4 or never, as a file.
fn write(folder: &Path, units: usize, periods: usize) -> String {
    Panel { units, periods, ..Panel::default() }.write(folder, "panel").display().to_string()
}

fn options(memory: Option<u64>, rounds: Option<usize>) -> ForecastOptions {
    ForecastOptions {
        backends: vec![Backend::Threads],
        threads: Some(1),
        memory_limit: memory,
        rounds,
        ..ForecastOptions::new(Prices::built_in().unwrap())
    }
}

/// The threads' forecast, whether or not it fits.
fn threads(known: &PanelFacts, spec: &RunSpec, options: &ForecastOptions) -> BackendForecast {
    let wanted = [CheckedSpec::new(None, spec.clone()).unwrap()];
    threads::forecast_threads(&plan(known, &wanted, options, &mut Vec::new()).unwrap())
}

#[test]
fn bytes_and_requests_are_those_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = [write(folder.path(), 280_000, 4)];
    let storage = Storage::open(&folder.path().join("store").display().to_string()).unwrap();
    prepare(
        &inputs,
        &[CheckedSpec::new(None, spec()).unwrap()],
        &storage,
        &PrepareOptions::default(),
        &|_| {},
    )
    .unwrap();
    // All in memory, some of it, nothing of it; with draws and without.
    for (memory, bstrap) in [(1 << 30, true), (20_000_000, true), (1, true), (1, false)] {
        let storage = Storage::open(&storage.url()).unwrap();
        let spec = RunSpec { bstrap, cband: bstrap, ..spec() };
        let store = PanelStore::open(storage.clone()).unwrap();
        let known = PanelFacts { store: store.clone(), files: None, notes: Vec::new() };
        let wanted = [CheckedSpec::new(None, spec.clone()).unwrap()];
        let run = RunOptions { threads: Some(1), memory_limit: Some(memory), ..RunOptions::default() };
        let output = run_sharing(&RunInput::Store(Box::new(store)), &wanted, &run, &|_| {}).unwrap();
        let rounds =
            output.outputs[0].facts.stages.iter().filter(|stage| stage.stage == "propensity").count();
        let total = threads(&known, &spec, &options(Some(memory), Some(rounds))).total;
        let (read, gets) = (storage.stats().bytes_read as f64, storage.stats().gets as f64);
        let close = |forecast: u64, measured: f64| (forecast as f64 / measured - 1.0).abs() < 0.05;
        assert!(close(total.bytes_read.likely, read), "{memory} {bstrap}: {total:?}, measured {read}");
        assert!(close(total.gets.likely, gets), "{memory} {bstrap}: {total:?}, measured {gets}");
        eprintln!(
            "{memory} {bstrap}: {} of {read} bytes, {} of {gets} reads, {rounds} rounds",
            total.bytes_read.likely, total.gets.likely
        );
    }
}

#[test]
fn files_are_counted_as_their_store_counts_them() {
    let folder = tempfile::tempdir().unwrap();
    let inputs = [write(folder.path(), 30_000, 5)];
    let storage = Storage::open(&folder.path().join("store").display().to_string()).unwrap();
    let made = prepare(
        &inputs,
        &[CheckedSpec::new(None, spec()).unwrap()],
        &storage,
        &PrepareOptions::default(),
        &|_| {},
    )
    .unwrap();
    let own = spec();
    let known = PanelFacts::from_inputs(&inputs, &[(None, &own)], 1).unwrap();
    let (guess, true_one) = (known.manifest(), &made.manifest);
    assert_eq!(guess.strata, true_one.strata);
    assert_eq!((guess.units, guess.input_rows, &guess.periods), (30_000, 150_000, &true_one.periods));
    assert_eq!(guess.shards.len(), true_one.shards.len());
    let varies = |m: &Manifest| m.fields.iter().map(|f| f.varies).collect::<Vec<_>>();
    assert_eq!(varies(guess), varies(true_one));
    let ratio = guess.total_bytes() as f64 / true_one.total_bytes() as f64;
    assert!(
        (0.9..1.15).contains(&ratio),
        "{} bytes are forecast, {} are",
        guess.total_bytes(),
        true_one.total_bytes()
    );
}

fn billion() -> Manifest {
    PreparedPanel::billion().manifest()
}

fn lambda(known: &PanelFacts, change: impl Fn(&mut ForecastOptions)) -> Result<BackendForecast> {
    let mut options = ForecastOptions { backends: vec![Backend::Lambda], ..options(None, None) };
    change(&mut options);
    let own = spec();
    forecast_panel(known, &[(None, &own)], &options).map(|f| f.backends.into_iter().next().unwrap())
}

#[test]
fn a_billion_rows_cost_cents_on_lambda() {
    // As many shards as this many units have.
    let mut manifest = billion();
    manifest.shards.truncate(stagger_panel::load::shard_count(manifest.units));
    let planned = lambda(&PanelFacts::synthetic(manifest, None), |_| {}).unwrap();
    // PLATFORM §3: at most $0.10 and 10 s from a prepared store, for six scans with 1,000 draws.
    let (seconds, dollars) = (planned.total.seconds, planned.total.dollars);
    assert!(dollars.likely < 0.1 && dollars.likely > 0.005, "{dollars:?}");
    assert!(seconds.likely < 60.0, "{seconds:?}");
    assert!(dollars.low <= dollars.likely && dollars.likely <= dollars.high);
    assert!(seconds.low <= seconds.likely && seconds.likely <= seconds.high);
}

#[test]
fn many_mappers_and_partitions_are_shuffled_in_two_stages() {
    let files = InputFiles {
        count: 1000,
        chunks: vec![1_000_000; 1000],
        bytes: 30_000_000_000,
        key_bytes: 10_000_000_000,
        largest_chunk: 30_000_000,
        together: false,
        text_ids: false,
        direct: None,
    };
    let planned = lambda(&PanelFacts::synthetic(billion(), Some(files)), |_| {}).unwrap();
    let shuffle = planned.shuffle.clone().unwrap();
    assert_eq!(shuffle.stages, 2, "{shuffle:?}");
    assert!(shuffle.two_stages < shuffle.one_stage);
    let names: Vec<&str> = planned.stages.iter().map(|s| s.stage.as_str()).collect();
    assert_eq!(names[..3], ["scatter", "combine", "gather"]);
    // Requests of the stages are those by which the number of stages was chosen, and some heads and reports.
    let dollars: u64 = planned.stages[..3].iter().map(|s| s.amounts.gets.likely).sum();
    assert!(dollars as f64 * 0.4e-6 < 1.5 * shuffle.two_stages + 0.02, "{dollars} reads, {shuffle:?}");
}

#[test]
fn a_task_that_does_not_fit_is_refused_by_stage_and_shard() {
    let mut manifest = billion();
    manifest.shards[5000].units *= 40;
    let error =
        lambda(&PanelFacts::synthetic(manifest, None), |o| o.worker_memory = 128 * LAMBDA_MB).unwrap_err();
    assert!(error.is_input());
    let text = error.to_string();
    for part in ["stage ", "shard 5000", "135 MB", "128 MB of Lambda"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(error.hint().unwrap().contains("--worker-memory"), "{error:?}");
}

#[test]
fn both_backends_are_refused_only_together() {
    let known = PanelFacts::synthetic(billion(), None);
    let own = spec();
    let all = ForecastOptions {
        backends: vec![Backend::Threads, Backend::Lambda],
        memory_limit: Some(1 << 20),
        ..options(None, None)
    };
    let planned = forecast_panel(&known, &[(None, &own)], &all).unwrap();
    assert!(planned.backends[0].refused.is_some() && planned.backends[1].refused.is_none());
    let none = ForecastOptions { worker_memory: 1 << 20, ..all };
    assert!(forecast_panel(&known, &[(None, &own)], &none).is_err());
}

#[test]
fn more_rounds_and_slower_networks_cost_more_and_more_memory_nothing() {
    let known = PanelFacts::synthetic(billion(), None);
    let base = lambda(&known, |_| {}).unwrap().total;
    let rounds = lambda(&known, |o| o.rounds = Some(6)).unwrap().total;
    assert!(rounds.dollars.likely > base.dollars.likely && rounds.gets.likely > base.gets.likely);
    let larger = lambda(&known, |o| o.worker_memory = 10_240 * LAMBDA_MB).unwrap().total;
    assert!(larger.gb_seconds.likely > 4.0 * base.gb_seconds.likely);
    let fewer = lambda(&known, |o| o.concurrency = 10).unwrap().total;
    assert!(fewer.seconds.likely > 4.0 * base.seconds.likely, "{fewer:?} {base:?}");
}
