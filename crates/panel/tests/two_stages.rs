//! The second stage of a shuffle and putting units together first change requests and memory, not a byte of the store.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use stagger_model::spec::RunSpec;
use stagger_model::spec_check::CheckedSpec;
use stagger_panel::prepare::{PrepareOptions, prepare};
use stagger_storage::{MemoryStore, Storage};

const UNITS: i64 = 3000;
const PERIODS: i64 = 5;

/// Rows by unit or by period; some cells missing, one covariate varying for some units only.
fn write(path: &Path, by_unit: bool, rows_of_a_group: usize) {
    let mut rows: Vec<(i64, i64)> = (0..UNITS).flat_map(|id| (1..=PERIODS).map(move |t| (id, t))).collect();
    if !by_unit {
        rows.sort_by_key(|&(id, t)| (t, (id * 7919) % UNITS));
    }
    rows.retain(|&(id, t)| (id + t) % 97 != 0);
    let column = |value: &dyn Fn(i64, i64) -> Option<f64>| -> ArrayRef {
        Arc::new(rows.iter().map(|&(id, t)| value(id, t)).collect::<Float64Array>())
    };
    let ids: ArrayRef = Arc::new(rows.iter().map(|&(id, _)| Some(id - 50)).collect::<Int64Array>());
    let text = |id: i64| (id % 11 > 0).then(|| format!("r{}", id % 5));
    let region: ArrayRef = Arc::new(rows.iter().map(|&(id, _)| text(id)).collect::<StringArray>());
    let batch = RecordBatch::try_from_iter([
        ("id", ids),
        ("t", column(&|_, t| Some(t as f64))),
        ("g", column(&|id, _| Some(if id % 3 == 0 { 0.0 } else { (id % 4 + 2) as f64 }))),
        ("y", column(&|id, t| (id % 53 > 0 || t > 1).then_some((id * t) as f64 * 0.37))),
        ("x", column(&|id, t| Some(if id % 400 == 0 { t as f64 } else { (id % 17) as f64 }))),
        ("region", region),
    ])
    .expect("a batch");
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(rows_of_a_group)).build();
    let file = File::create(path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
}

fn shards(path: &Path, options: &PrepareOptions) -> (BTreeMap<String, Vec<u8>>, Vec<String>) {
    let storage = Storage::new(Arc::new(MemoryStore::default()));
    let spec = RunSpec {
        yname: "y".into(),
        tname: "t".into(),
        idname: "id".into(),
        gname: "g".into(),
        xformla: Some("~ x + region".into()),
        ..RunSpec::default()
    };
    let input = [path.display().to_string()];
    let made = prepare(
        &input,
        &[CheckedSpec::new(None, spec.clone()).expect("a specification")],
        &storage,
        options,
        &|_| {},
    )
    .expect("a store");
    let stages = made.stages.into_iter().map(|stage| stage.stage).collect();
    let objects = storage.list("").expect("a list");
    assert!(objects.iter().all(|o| !o.key.starts_with("_prepare/")), "nothing is left of the way");
    let shard = objects.into_iter().filter(|o| o.key.starts_with("shards/"));
    let read = |key: &str| storage.get(key, None).expect("a shard").0.to_vec();
    (shard.map(|o| (o.key.clone(), read(&o.key))).collect(), stages)
}

#[test]
fn every_way_gives_the_same_shards() {
    let folder = tempfile::tempdir().expect("a folder");
    let (by_unit, by_period) = (folder.path().join("units.parquet"), folder.path().join("periods.parquet"));
    write(&by_unit, true, 600);
    write(&by_period, false, 600);
    let (expected, stages) = shards(&by_unit, &PrepareOptions::default());
    assert_eq!(stages, ["scatter", "gather"]);
    for path in [&by_unit, &by_period] {
        for partitions in [1, 8, 32] {
            for combine in [None, Some((2, 3)), Some((1, 1)), Some((100, 100))] {
                let options = PrepareOptions {
                    threads: Some(2),
                    partitions: Some(partitions),
                    combine,
                    ..PrepareOptions::default()
                };
                let (found, stages) = shards(path, &options);
                assert_eq!(stages.len(), if combine.is_some() { 3 } else { 2 }, "{stages:?}");
                assert!(found == expected, "{}, {partitions} partitions, {combine:?}", path.display());
            }
        }
    }
}
