//! Mutated Parquet and CSV files, stores and journals come to an error or to a result: no panic, no hang, no memory beyond a bound.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    StructArray,
};
use arrow_schema::{DataType, Field};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, Encoding, GzipLevel, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use stagger_coordinator::journal;
use stagger_coordinator::journal::{ControllerId, Journal, Takeover};
use stagger_estimation::local::{RunOptions, run};
use stagger_model::events::{RunEvent, Summary};
use stagger_model::spec::RunSpec;
use stagger_model::spec_check::CheckedSpec;
use stagger_panel::describe::{DescribeColumns, describe};
use stagger_panel::panel_store::{Manifest, keys};
use stagger_panel::prepare::{PrepareOptions, prepare};
use stagger_records::prepared::MANIFEST;
use stagger_storage::{Condition, MemoryStore, Storage, runtime};
use stagger_test_support::fuzz::{Bounded, Target, fuzz, fuzz_within, scratch};
use stagger_test_support::runs;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

#[global_allocator]
static ALLOCATOR: Bounded = Bounded;

const UNITS: usize = 12;
const PERIODS: usize = 4;

fn spec() -> RunSpec {
    RunSpec {
        xformla: Some("~ x".into()),
        est_method: stagger_estimator::options::EstMethod::Reg,
        bstrap: false,
        ..runs::spec("y", "time", "id", "group")
    }
}

/// Twelve units in four periods: six never treated, which are just enough to be controls, and two cohorts.
fn columns() -> Vec<(&'static str, ArrayRef)> {
    let rows = || (0..UNITS * PERIODS).map(|row| (row / PERIODS, row % PERIODS));
    let group = |unit: usize| [0, 0, 2002, 2003][unit % 4];
    let number = |a: usize, b: usize| ((a * 37 + b * 11) % 17) as f64 * 0.31;
    vec![
        ("id", Arc::new(Int64Array::from_iter_values(rows().map(|(unit, _)| unit as i64 + 1)))),
        ("time", Arc::new(Int32Array::from_iter_values(rows().map(|(_, period)| 2001 + period as i32)))),
        ("group", Arc::new(Int32Array::from_iter_values(rows().map(|(unit, _)| group(unit))))),
        ("y", Arc::new(Float64Array::from_iter_values(rows().map(|(unit, period)| number(unit, period))))),
        ("x", Arc::new(Float64Array::from_iter_values(rows().map(|(unit, _)| number(unit, 5))))),
    ]
}

fn with(columns: Vec<(&'static str, ArrayRef)>, name: &str, new: ArrayRef) -> Vec<(&'static str, ArrayRef)> {
    columns
        .into_iter()
        .map(|(own, array)| (own, if own == name { Arc::clone(&new) } else { array }))
        .collect()
}

fn text_ids() -> ArrayRef {
    Arc::new(StringArray::from_iter_values((0..UNITS * PERIODS).map(|row| format!("unit {}", row / PERIODS))))
}

fn parquet(columns: Vec<(&'static str, ArrayRef)>, properties: WriterPropertiesBuilder) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let properties = properties.set_max_row_group_row_count(Some(32)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).expect("a writer");
    writer.write(&batch).expect("rows");
    writer.into_inner().expect("a file")
}

/// Describes the file, or estimates on it; by turns, as each is most of what the other does.
fn read_table(path: &str, bytes: &[u8]) -> bool {
    std::fs::write(path, bytes).expect("a file in memory");
    let inputs = [path.to_owned()];
    if bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)).is_multiple_of(4) {
        describe(&inputs, &DescribeColumns::default()).is_ok()
    } else {
        let options = RunOptions { threads: Some(1), ..RunOptions::default() };
        run(&inputs, &spec(), &options, &|_| {}).is_ok()
    }
}

fn table(name: &'static str, ending: &str, sound: Vec<u8>) -> Target {
    let path = scratch(name).join(format!("panel.{ending}")).display().to_string();
    Target::new(name, sound, move |bytes| read_table(&path, bytes))
}

fn snappy() -> Target {
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
    table("snappy", "parquet", parquet(with(columns(), "id", text_ids()), properties))
}

fn plain() -> Target {
    let properties = WriterProperties::builder().set_dictionary_enabled(false);
    table("plain", "parquet", parquet(with(columns(), "id", text_ids()), properties))
}

fn gzip_delta() -> Target {
    let properties = WriterProperties::builder()
        .set_compression(Compression::GZIP(GzipLevel::default()))
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_dictionary_enabled(false)
        .set_column_encoding("id".into(), Encoding::DELTA_BYTE_ARRAY)
        .set_column_encoding("time".into(), Encoding::DELTA_BINARY_PACKED)
        .set_column_encoding("y".into(), Encoding::BYTE_STREAM_SPLIT);
    table("gzip-delta", "parquet", parquet(with(columns(), "id", text_ids()), properties))
}

fn brotli() -> Target {
    let properties = WriterProperties::builder().set_compression(Compression::BROTLI(BrotliLevel::default()));
    table("brotli", "parquet", parquet(columns(), properties))
}

fn lz4_delta() -> Target {
    let properties = WriterProperties::builder()
        .set_compression(Compression::LZ4)
        .set_dictionary_enabled(false)
        .set_column_encoding("id".into(), Encoding::DELTA_LENGTH_BYTE_ARRAY);
    table("lz4-delta", "parquet", parquet(with(columns(), "id", text_ids()), properties))
}

fn zstd_nested() -> Target {
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
    let rows = UNITS * PERIODS;
    let cents = Decimal128Array::from_iter_values((0..rows).map(|row| (row as i128 * 7_919) % 1_000));
    let some = Float64Array::from_iter((0..rows).map(|row| (row != 9).then_some(row as f64)));
    let flags: ArrayRef = Arc::new(BooleanArray::from_iter((0..rows).map(|row| Some(row % 2 == 0))));
    let nested = StructArray::from(vec![(Arc::new(Field::new("flag", DataType::Boolean, true)), flags)]);
    let mut all = with(columns(), "y", Arc::new(cents.with_precision_and_scale(9, 2).expect("a decimal")));
    all = with(all, "x", Arc::new(some));
    all.push(("nested", Arc::new(nested)));
    table("zstd-nested", "parquet", parquet(all, properties))
}

fn text(separator: &str) -> Vec<u8> {
    let mut out = ["id", "time", "group", "y", "x"].join(separator) + "\n";
    for row in 0..UNITS * PERIODS {
        let (unit, period) = (row / PERIODS, row % PERIODS);
        let group = [0, 0, 2002, 2003][unit % 4];
        let y = ((unit * 37 + period * 11) % 17) as f64 * 0.31;
        let cells = [
            unit.to_string(),
            (2001 + period).to_string(),
            group.to_string(),
            format!("{y:.2}"),
            "NA".into(),
        ];
        out += &(cells[..4].join(separator) + separator + &format!("{}\n", unit % 5));
    }
    out.into_bytes()
}

fn csv() -> Target {
    table("csv", "csv", text(","))
}

fn tsv() -> Target {
    table("tsv", "tsv", text("\t"))
}

/// A prepared store: its folder, manifest and the bytes of its shard.
fn store(name: &'static str) -> (PathBuf, Vec<u8>, Vec<u8>) {
    let folder = scratch(name);
    let input = folder.join("panel.parquet");
    let all = with(columns(), "id", text_ids());
    std::fs::write(&input, parquet(all, WriterProperties::builder())).expect("a panel");
    let place = folder.join("store");
    let _ = std::fs::remove_dir_all(&place);
    let storage = Storage::open(&place.display().to_string()).expect("a folder");
    let options = PrepareOptions { threads: Some(1), ..PrepareOptions::default() };
    let inputs = [input.display().to_string()];
    prepare(
        &inputs,
        &[CheckedSpec::new(None, spec()).expect("a specification")],
        &storage,
        &options,
        &|_| {},
    )
    .expect("a store");
    let manifest = std::fs::read(place.join(MANIFEST)).expect("a manifest");
    let shard = std::fs::read(place.join(keys::shard(0))).expect("a shard");
    (place, manifest, shard)
}

fn read_store(place: &std::path::Path) -> bool {
    let options = RunOptions { threads: Some(1), ..RunOptions::default() };
    run(&[place.display().to_string()], &spec(), &options, &|_| {}).is_ok()
}

/// A manifest whose checksum fits again, where it still is one.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let manifest = serde_json::from_slice::<serde_json::Value>(bytes).ok();
    let manifest =
        manifest.and_then(|mut value| serde_json::from_value::<Manifest>(value["manifest"].take()).ok());
    manifest.and_then(|manifest| manifest.encode().ok()).unwrap_or_else(|| bytes.to_vec())
}

fn manifest() -> Target {
    let (place, manifest, _) = store("manifest");
    let read = move |bytes: &[u8]| {
        std::fs::write(place.join(MANIFEST), bytes).expect("a manifest");
        read_store(&place)
    };
    let target = Target::new("manifest", manifest, read);
    Target { mend: Box::new(|bytes| sealed(&bytes)), ..target }
}

/// A shard and a manifest whose checksums fit, whatever was changed.
fn shard() -> Target {
    let (place, manifest, sound) = store("shard");
    let known = Manifest::decode(&manifest, "store").expect("a manifest");
    let columns = columns_of(&sound);
    let original = sound.clone();
    let mend = move |mut bytes: Vec<u8>| {
        for range in &columns {
            let Some(own) = bytes.get(range.clone()) else { continue };
            let (old, new) = (hex(&original[range.clone()]), hex(own));
            if let Some(at) = bytes.windows(16).position(|window| window == old.as_bytes()) {
                bytes[at..at + 16].copy_from_slice(new.as_bytes());
            }
        }
        bytes
    };
    let read = move |bytes: &[u8]| {
        let mut manifest = known.clone();
        let entry = &mut manifest.shards[0];
        entry.bytes = bytes.len() as u64;
        entry.footer = entry.footer.min(entry.bytes);
        entry.checksum = format!("{:032x}", xxh3_128(bytes));
        let footer = &bytes[bytes.len() - entry.footer as usize..];
        entry.footer_checksum = format!("{:032x}", xxh3_128(footer));
        let manifest = manifest.encode().expect("a manifest");
        std::fs::write(place.join(MANIFEST), manifest).expect("a manifest");
        std::fs::write(place.join(keys::shard(0)), bytes).expect("a shard");
        read_store(&place)
    };
    Target { mend: Box::new(mend), ..Target::new("shard", sound, read) }
}

fn hex(bytes: &[u8]) -> String {
    format!("{:016x}", xxh3_64(bytes))
}

/// Where the columns of a file are.
fn columns_of(file: &[u8]) -> Vec<std::ops::Range<usize>> {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    let reader = SerializedFileReader::new(Bytes::copy_from_slice(file)).expect("a Parquet file");
    let group = reader.metadata().row_group(0);
    group
        .columns()
        .iter()
        .map(|column| column.byte_range())
        .map(|(a, b)| a as usize..(a + b) as usize)
        .collect()
}

fn journal_entry() -> Target {
    let runtime = runtime().expect("a runtime");
    let storage = Storage::new(Arc::new(MemoryStore::new()));
    let writer = || ControllerId { host: "here".into(), pid: 1, mark: "a".into() };
    runtime.block_on(async {
        let opened = Journal::open(storage.clone(), writer(), 1.8e9, Takeover::Force).await;
        let (mut journal, _) = opened.expect("a journal");
        let events = [
            RunEvent::StageStarted { number: 1, stage: "gram".into(), tasks: 8, object: None },
            RunEvent::Done(stagger_model::events::TaskDone { rows: 100, took: 0.5, ..Default::default() }),
            RunEvent::StageDone { number: 1, stage: "gram".into(), seconds: 2.5 },
        ];
        events.into_iter().for_each(|event| journal.record(1.8e9, event));
        journal.flush(1.8e9 + 1.0, Summary::default()).await.expect("an entry");
    });
    let (sound, _) = storage.get("journal/00000002.json", None).expect("an entry");
    let read = move |bytes: &[u8]| {
        let key = "journal/00000002.json";
        storage.put(key, Bytes::copy_from_slice(bytes), Condition::Always).expect("an entry");
        let all = runtime.block_on(journal::read_entries(&storage)).is_ok();
        runtime.block_on(journal::read_last_entry(&storage)).is_ok() && all
    };
    Target::new("journal", sound.to_vec(), read)
}

#[test]
fn mutated_files_are_refused_or_read() {
    let targets: [fn() -> Target; 11] =
        [snappy, plain, gzip_delta, brotli, lz4_delta, zstd_nested, csv, tsv, manifest, shard, journal_entry];
    fuzz("mutated_files_are_refused_or_read", &targets);
}

fn panics() -> Target {
    Target::new("planted-panic", b"sound".to_vec(), |bytes| {
        assert!(bytes.len() < 12, "planted");
        true
    })
}

fn hangs() -> Target {
    let read = |bytes: &[u8]| {
        while bytes.len() > 12 {
            std::hint::black_box(bytes);
        }
        true
    };
    Target::new("planted-hang", b"sound".to_vec(), read)
}

fn swells() -> Target {
    let read = |bytes: &[u8]| {
        if bytes.len() > 12 {
            std::hint::black_box(vec![1u8; 200 << 20]);
        }
        true
    };
    Target::new("planted-memory", b"sound".to_vec(), read)
}

fn overflows() -> Target {
    fn deeper(left: usize) -> usize {
        if left == 0 { 0 } else { 1 + std::hint::black_box(deeper(left - 1)) }
    }
    let read = |bytes: &[u8]| {
        if bytes.len() > 12 {
            std::hint::black_box(deeper(usize::MAX));
        }
        true
    };
    Target::new("planted-overflow", b"sound".to_vec(), read)
}

/// Faults of every kind are planted, and each must be found: a test that finds none says nothing.
#[test]
fn planted_faults_are_found() {
    let targets: [fn() -> Target; 4] = [panics, hangs, swells, overflows];
    let faults = fuzz_within("planted_faults_are_found", &targets, Duration::from_millis(500));
    if std::env::var_os("STAGGER_FUZZ_CHILD").is_some() {
        return;
    }
    for (name, said) in [
        ("planted-panic", "planted"),
        ("planted-hang", "no end within"),
        ("planted-memory", "memory beyond the bound"),
        ("planted-overflow", "overflow"),
    ] {
        let found = faults.iter().find(|fault| fault.starts_with(name));
        let found = found.unwrap_or_else(|| panic!("{name} was not found: {faults:?}"));
        assert!(found.contains(said) && found.contains(&format!("STAGGER_FUZZ_ONLY={name}:")), "{found}");
    }
}
