//! Manifests of prepared stores that do not exist: forecasts and simulated runs read a manifest alone.

use serde::de::DeserializeOwned;
use serde_json::json;

use crate::read;

/// Version of the store's format.
const FORMAT: u32 = 1;

/// A balanced panel as `prepare` would have left it: all cohorts in all periods, outcome `y`, covariates that are constant in time.
#[derive(Clone, Debug)]
pub struct PreparedPanel {
    /// Columns of unit, period and cohort.
    pub keys: [&'static str; 3],
    /// Number of periods: 1 … `periods`.
    pub periods: u64,
    /// First treated period and units of each cohort; `None` is never treated.
    pub cohorts: Vec<(Option<u64>, u64)>,
    /// Covariates.
    pub covariates: Vec<String>,
    /// Bytes of the identifiers in all shards.
    pub id_bytes: u64,
    /// Number of shards, which are equal.
    pub shards: usize,
    /// The size of each.
    pub shard: ShardSize,
}

/// The size of one shard.
#[derive(Clone, Copy, Debug)]
pub struct ShardSize {
    /// Units.
    pub units: u64,
    /// Bytes, footer included.
    pub bytes: u64,
    /// Bytes of its footer.
    pub footer: u64,
}

impl PreparedPanel {
    /// A billion rows: 100 million units over ten periods, cohorts 4 to 7 and the never treated of the same size, one covariate `x1`.
    /// The columns are those of [`crate::panels::Panel`].
    pub fn billion() -> Self {
        let (units, shards) = (100_000_000, 8192);
        let cohorts = [Some(4), Some(5), Some(6), Some(7), None];
        Self {
            keys: ["id", "time", "group"],
            periods: 10,
            cohorts: cohorts.map(|cohort| (cohort, units / 5)).into(),
            covariates: vec!["x1".to_owned()],
            id_bytes: 5 * units,
            shards,
            shard: ShardSize { units: units.div_ceil(shards as u64), bytes: 1_140_000, footer: 2_500 },
        }
    }

    /// Number of units.
    pub fn units(&self) -> u64 {
        self.cohorts.iter().map(|(_, units)| units).sum()
    }

    /// Names and bytes of outcome and covariates, eight bytes a number.
    pub fn fields(&self) -> Vec<(&str, u64)> {
        let covariates = self.covariates.iter().map(|name| (name.as_str(), 8 * self.units()));
        std::iter::once(("y", 8 * self.units() * self.periods)).chain(covariates).collect()
    }

    /// The manifest.
    ///
    /// # Panics
    /// If `M` is no manifest of a panel store.
    #[track_caller]
    pub fn manifest<M: DeserializeOwned>(&self) -> M {
        let [id, time, group] = self.keys;
        let field = |(name, bytes): (&str, u64)| {
            let outcome = name == "y";
            json!({
                "name": name, "kind": "number", "outcome": outcome, "varies": outcome, "missing": false, "bytes": bytes
            })
        };
        let stratum = |&(cohort, units): &(Option<u64>, u64)| {
            let rows = vec![units; self.periods as usize];
            json!({ "cohort": cohort.map(|g| g as f64), "eligible": true, "units": units, "rows": rows })
        };
        let ShardSize { units, bytes, footer } = self.shard;
        let shard = json!({
            "units": units, "bytes": bytes, "footer": footer, "checksum": "", "footer_checksum": ""
        });
        read(json!({
            "format": FORMAT,
            "fingerprint": "",
            "cross_sections": false,
            "columns": { "id": id, "time": time, "group": group },
            "periods": (1..=self.periods).map(|t| t as f64).collect::<Vec<f64>>(),
            "strata": self.cohorts.iter().map(stratum).collect::<Vec<_>>(),
            "fields": self.fields().into_iter().map(field).collect::<Vec<_>>(),
            "texts": [],
            "units": self.units(),
            "input_rows": self.units() * self.periods,
            "keyless_rows": 0,
            "cohortless_rows": 0,
            "id_bytes": self.id_bytes,
            "unbalanced": false,
            "inputs": [],
            "shards": vec![shard; self.shards],
        }))
    }
}
