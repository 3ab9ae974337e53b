//! Simulated panels with a known structure, from a seed.

use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;

use crate::tables::{floats, ints, numbers, rows, table, with_column, with_values};

/// SplitMix64: small, fast, and the same on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A stream of its own for every seed.
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66_D1CE_5EED)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform on [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Near enough standard normal: the sum of twelve uniforms, centred.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.uniform()).sum::<f64>() - 6.0
    }

    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.uniform() * n as f64) as usize
    }

    /// A random order of `0..n` (Fisher & Yates).
    pub fn order(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        for i in (1..n).rev() {
            order.swap(i, self.below(i + 1));
        }
        order
    }
}

/// What a panel looks like. Its columns are `id time group y x1 x2 xt w cluster industry`.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Units.
    pub units: usize,
    /// Periods, 1 … `periods`.
    pub periods: usize,
    /// First treated periods; 0 is never treated. Units take them in turn.
    pub cohorts: Vec<i64>,
    /// Clusters.
    pub clusters: usize,
    /// Seed.
    pub seed: u64,
}

impl Default for Panel {
    /// 120 units over 5 periods, treated in 3, in 4 or never.
    fn default() -> Self {
        Self { units: 120, periods: 5, cohorts: vec![0, 3, 4], clusters: 20, seed: 1 }
    }
}

#[derive(Default)]
struct Columns {
    id: Vec<i64>,
    time: Vec<i64>,
    group: Vec<i64>,
    y: Vec<f64>,
    x1: Vec<f64>,
    x2: Vec<f64>,
    xt: Vec<f64>,
    w: Vec<f64>,
    cluster: Vec<i64>,
    industry: Vec<i64>,
}

impl Panel {
    /// The panel's rows, by unit and then by period.
    ///
    /// Outcomes have unit and cluster-by-period effects, trends in `x1`, and effects that grow with exposure.
    /// `x1` and `x2` are constant in time, `xt` is not; `w` is a sampling weight, constant in time.
    pub fn simulate(&self) -> RecordBatch {
        let mut random = Random::new(self.seed);
        let shocks: Vec<f64> = (0..self.clusters * self.periods).map(|_| 0.3 * random.normal()).collect();
        let mut columns = Columns::default();
        for unit in 0..self.units {
            self.push_unit(&mut columns, unit, &shocks, &mut random);
        }
        let c = columns;
        table(vec![
            ("id", ints(c.id)),
            ("time", ints(c.time)),
            ("group", ints(c.group)),
            ("y", floats(c.y)),
            ("x1", floats(c.x1)),
            ("x2", floats(c.x2)),
            ("xt", floats(c.xt)),
            ("w", floats(c.w)),
            ("cluster", ints(c.cluster)),
            ("industry", ints(c.industry)),
        ])
    }

    fn push_unit(&self, c: &mut Columns, unit: usize, shocks: &[f64], random: &mut Random) {
        let group = self.cohorts[unit % self.cohorts.len()];
        let cluster = random.below(self.clusters);
        let industry = random.below(7);
        let x1 = random.normal() + if group == 0 { 0.0 } else { 0.3 };
        let x2 = f64::from(random.uniform() < 0.4);
        let w = 0.5 + random.uniform();
        let level = random.normal();
        for period in 1..=self.periods as i64 {
            let exposure = if group > 0 && period >= group { (period - group + 1) as f64 } else { 0.0 };
            let shock = shocks[cluster * self.periods + period as usize - 1];
            let trend = period as f64 * (0.2 + 0.1 * x1 - 0.05 * x2);
            c.id.push(unit as i64 + 1);
            c.time.push(period);
            c.group.push(group);
            c.y.push(level + trend + shock + 0.5 * exposure + 0.7 * random.normal());
            c.x1.push(x1);
            c.x2.push(x2);
            c.xt.push(0.5 * x1 + 0.1 * period as f64 + random.normal());
            c.w.push(w);
            c.cluster.push(cluster as i64 + 1);
            c.industry.push(industry as i64 + 1);
        }
    }

    /// The panel with a column `eligible` (0 or 1, constant within a unit) that splits every cohort in halves, and a
    /// trend of the eligible.
    pub fn simulate_triple(&self) -> RecordBatch {
        let panel = self.simulate();
        let (ids, times) = (numbers(&panel, "id"), numbers(&panel, "time"));
        let eligible: Vec<i64> =
            ids.iter().map(|id| (*id as i64 - 1) / self.cohorts.len() as i64 % 2).collect();
        let panel = with_values(&panel, "y", |row, y| y + 0.2 * eligible[row] as f64 * times[row]);
        with_column(&panel, "eligible", ints(eligible))
    }

    /// Writes the panel as `NAME.parquet` in `folder`.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        let path = folder.join(format!("{name}.parquet"));
        crate::tables::write_parquet(&path, &self.simulate());
        path
    }
}

/// The table without about one row in `every`, at random: units miss periods, and some are gone.
pub fn ragged(table: &RecordBatch, every: usize, seed: u64) -> RecordBatch {
    let mut random = Random::new(seed);
    let kept: Vec<usize> = (0..table.num_rows()).filter(|_| random.below(every) > 0).collect();
    rows(table, kept)
}

/// The options that name the columns of a simulated panel.
pub const COLUMNS: &str = "--yname y --tname time --idname id --gname group";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::is_balanced;

    #[test]
    fn a_seed_fixes_the_panel() {
        assert_eq!(Panel::default().simulate(), Panel::default().simulate());
        assert_ne!(Panel::default().simulate(), Panel { seed: 2, ..Panel::default() }.simulate());
    }

    #[test]
    fn panels_are_balanced() {
        let panel = Panel::default().simulate();
        assert_eq!(panel.num_rows(), 600);
        assert!(is_balanced(&panel, "id", "time", &["y".to_owned()]));
    }

    #[test]
    fn eligibility_splits_every_cohort() {
        let panel = Panel::default().simulate_triple();
        let (eligible, groups) = (numbers(&panel, "eligible"), numbers(&panel, "group"));
        for cohort in [0.0, 3.0, 4.0] {
            let rows = || (0..groups.len()).filter(|&row| groups[row] == cohort);
            assert_eq!(rows().count(), 2 * rows().filter(|&row| eligible[row] == 1.0).count());
        }
    }

    #[test]
    fn ragged_panels_are_unbalanced() {
        let panel = ragged(&Panel::default().simulate(), 6, 1);
        assert!((460..540).contains(&panel.num_rows()), "{} of 600 rows", panel.num_rows());
        assert!(!is_balanced(&panel, "id", "time", &[]));
    }

    #[test]
    fn normals_have_mean_zero_and_variance_one() {
        let mut random = Random::new(3);
        let draws: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|z| z * z).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "mean {mean}, variance {variance}");
    }

    #[test]
    fn an_order_is_a_permutation() {
        let mut order = Random::new(4).order(100);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn groups_stay_with_their_units() {
        let panel = Panel::default().simulate();
        let (ids, groups) = (numbers(&panel, "id"), numbers(&panel, "group"));
        assert!(ids.windows(2).zip(groups.windows(2)).all(|(id, g)| id[0] != id[1] || g[0] == g[1]));
    }
}
