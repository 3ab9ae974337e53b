//! The panels of docs/scale.md: counts and bytes as `stagger simulate` and `stagger prepare` make them, scaled.

use stagger_forecast::{InputFiles, PanelFacts};
use stagger_model::spec::RunSpec;
use stagger_panel::load::shard_count;
use stagger_panel::panel_store::Manifest;
use stagger_test_support::manifests::{PreparedPanel, ShardSize};
use stagger_test_support::runs;

/// Periods of every scenario.
const PERIODS: u64 = 10;
/// Covariates, constant in time.
const COVARIATES: usize = 4;
/// Rows of a row group, as `stagger simulate` writes them.
const GROUP: usize = 131_072;
/// Bytes of an identifier in a shard. Measured: 3,495,800 bytes for a million units; they grow with the range of the ids.
const ID: f64 = 3.5;
/// Bytes of a shard's footer. Measured: 2,701.
const FOOTER: u64 = 2_701;

/// How raw files lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raw {
    /// One file a period, units in no order: no file has two rows of a unit.
    ByPeriod,
    /// The rows of a unit together.
    ById,
}

impl Raw {
    /// Bytes a row of id, period, cohort, outcome and four covariates, zstd. Measured: 4.53 GB for 10⁸ rows (`/tmp/big/panel`), 125.5 MB
    /// for 10⁷.
    pub fn row(self) -> f64 {
        match self {
            Self::ByPeriod => 45.3,
            Self::ById => 12.55,
        }
    }
}

/// A run that is simulated.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Letter of docs/scale.md.
    pub name: &'static str,
    /// In words.
    pub title: &'static str,
    /// The panel.
    pub known: PanelFacts,
    /// Rows of it.
    pub rows: u64,
    /// Workers at a time.
    pub concurrency: usize,
    /// Seconds and dollars that it should not pass.
    pub target: (f64, f64),
    /// Likely seconds and dollars of version 0.1.0, which walked to the maximum of the logits pass by pass and shuffled with requests for
    /// headers.
    pub before: (f64, f64),
}

impl Scenario {
    fn new(
        (name, title): (&'static str, &'static str),
        rows: u64,
        raw: Option<Raw>,
        [target, before]: [(f64, f64); 2],
    ) -> Self {
        let manifest = manifest(rows / PERIODS);
        let known = PanelFacts::synthetic(manifest, raw.map(|raw| files(rows, raw)));
        Self { name, title, known, rows, concurrency: 1000, target, before }
    }
}

/// The four of docs/scale.md, the second in two layouts.
pub fn scenarios() -> Vec<Scenario> {
    let of = Scenario::new;
    let billion = 1_000_000_000;
    vec![
        of(("a", "10⁹ rows, prepared"), billion, None, [(9.0, 0.06), (17.2, 0.073)]),
        of(
            ("b", "10⁹ rows, raw files by period"),
            billion,
            Some(Raw::ByPeriod),
            [(28.0, 0.22), (73.0, 0.294)],
        ),
        of(
            ("b′", "10⁹ rows, raw files sorted by unit"),
            billion,
            Some(Raw::ById),
            [(22.0, 0.18), (45.9, 0.213)],
        ),
        of(("c", "10¹⁰ rows, prepared"), 10 * billion, None, [(20.0, 0.22), (36.8, 0.322)]),
        of(("d", "10¹¹ rows, prepared"), 100 * billion, None, [(100.0, 2.00), (169.6, 3.044)]),
    ]
}

fn covariates() -> Vec<String> {
    (1..=COVARIATES).map(|i| format!("x{i}")).collect()
}

/// Doubly robust, never-treated controls, 1,000 draws: 72 cells.
pub fn spec() -> RunSpec {
    let formula = format!("~ {}", covariates().join(" + "));
    RunSpec { xformla: Some(formula), ..runs::spec("y", "time", "id", "group") }
}

/// Eight cohorts and a tenth that is never treated.
fn manifest(units: u64) -> Manifest {
    let shards = shard_count(units);
    let units_of = |cohort: Option<u64>| if cohort.is_some() { units * 9 / 80 } else { units / 10 };
    let mut panel = PreparedPanel {
        keys: ["id", "time", "group"],
        periods: PERIODS,
        cohorts: (3..=10).map(Some).chain([None]).map(|cohort| (cohort, units_of(cohort))).collect(),
        covariates: covariates(),
        id_bytes: (ID * units as f64) as u64,
        shards,
        shard: ShardSize { units: units / shards as u64, bytes: 0, footer: FOOTER },
    };
    let bytes = panel.fields().iter().map(|(_, bytes)| bytes).sum::<u64>() + panel.id_bytes;
    panel.shard.bytes = bytes / shards as u64 + FOOTER;
    panel.manifest()
}

fn files(rows: u64, raw: Raw) -> InputFiles {
    let groups = rows.div_ceil(GROUP as u64) as usize;
    let of = |bytes: f64| (bytes * rows as f64) as u64;
    InputFiles {
        count: 100,
        chunks: vec![GROUP; groups],
        bytes: of(raw.row()),
        key_bytes: of(raw.row() / 4.0),
        largest_chunk: (raw.row() * GROUP as f64) as u64,
        together: raw == Raw::ById,
        text_ids: false,
        direct: None,
    }
}
