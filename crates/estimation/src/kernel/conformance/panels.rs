//! Panels in memory, generated from a seed, for the passes of the conformance suite.

use std::sync::Arc;

use stagger_estimator::columns::{AlignedVec, padded};
use stagger_estimator::formula::{self, Formula};
use stagger_estimator::lanes::LANES;
use stagger_estimator::options::{ControlGroup, EstMethod, FixWeights};
use stagger_model::spec::RunSpec;
use stagger_panel::gaps::InputRemarks;
use stagger_panel::panel::{ColumnFacts, Panel, PanelCounts, PanelSource, Shards};
use stagger_panel::shard::{PeriodBits, Segment, Shard, ShardColumn};
use stagger_panel::strata::{Census, RowKind, Stratum};
use stagger_panel::survey::Surveyor;

/// The rows of a panel and the form in which they enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Units that have a row in all periods.
    Balanced,
    /// The same with weights that change from period to period (row model: levels).
    VaryingWeights,
    /// Units without a row in some periods.
    Unbalanced,
    /// Repeated cross sections: rows without units, some of them missing.
    CrossSections,
    /// Triple differences: units, half of every cohort eligible.
    TripleDifference,
}

/// A panel and its specification.
#[derive(Clone, Debug)]
pub struct Case {
    /// Layout of the rows.
    pub layout: Layout,
    /// Number of units; in cross sections, number of rows in each period.
    pub units: usize,
    /// Number of covariates besides the intercept.
    pub covariates: usize,
    /// True for sampling weights.
    pub weighted: bool,
    /// True for covariates and weights that differ between periods: several frames.
    pub vary: bool,
    /// Estimator of a cell.
    pub method: EstMethod,
    /// Comparison group.
    pub controls: ControlGroup,
    /// Number of periods.
    pub periods: usize,
    /// First treated periods of the treated cohorts.
    pub cohorts: Vec<usize>,
    /// Share of the units that are never treated, between 0 and 1.
    pub untreated: f64,
    /// Number of shards, a power of two.
    pub shards: usize,
    /// Number of bootstrap draws; 0 for none.
    pub draws: usize,
}

impl Default for Case {
    /// 600 units over 5 periods, treated in period 3, in period 4 or never; 2 covariates; doubly robust.
    fn default() -> Self {
        Self {
            layout: Layout::Balanced,
            units: 600,
            covariates: 2,
            weighted: false,
            vary: false,
            method: EstMethod::Dr,
            controls: ControlGroup::NeverTreated,
            periods: 5,
            cohorts: vec![3, 4],
            untreated: 0.4,
            shards: 4,
            draws: 70,
        }
    }
}

/// SplitMix64 (Steele, Lea & Flood 2014).
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Noise of mean 0 and variance 1, bounded.
    fn noise(&mut self) -> f64 {
        (0..4).map(|_| self.uniform()).sum::<f64>() * 1.73 - 3.46
    }
}

impl Case {
    /// Returns the specification of the case; its column names belong to no file.
    pub fn spec(&self) -> RunSpec {
        let name = |wanted: bool, name: &str| wanted.then(|| name.to_owned());
        RunSpec {
            yname: "y".into(),
            tname: "t".into(),
            idname: if self.layout == Layout::CrossSections { String::new() } else { "id".into() },
            gname: "g".into(),
            pname: name(self.layout == Layout::TripleDifference, "p"),
            weightsname: name(self.weighted, "w"),
            est_method: self.method,
            control_group: self.controls,
            panel: self.layout != Layout::CrossSections,
            allow_unbalanced_panel: self.layout == Layout::Unbalanced,
            fix_weights: (self.layout == Layout::VaryingWeights).then_some(FixWeights::Varying),
            biters: self.draws,
            bstrap: self.draws > 0,
            cband: self.draws > 0,
            ..RunSpec::default()
        }
    }

    /// Returns the formula; its last term is a product if there are more than two covariates.
    ///
    /// # Errors
    /// None in practice: the formula is valid.
    pub fn formula(&self) -> Result<Formula, String> {
        let mut terms: Vec<String> = (1..=self.covariates).map(|n| format!("x{n}")).collect();
        if let (Some(last), true) = (terms.last_mut(), self.covariates > 2) {
            *last = "x1:x2".to_owned();
        }
        let text = if terms.is_empty() { "~ 1".to_owned() } else { format!("~ {}", terms.join(" + ")) };
        formula::parse(&text).map_err(|e| e.to_string())
    }

    fn strata(&self) -> Vec<Stratum> {
        let cohorts = self.cohorts.iter().map(|&c| c as f64).chain([f64::INFINITY]);
        let sides: &[bool] = if self.layout == Layout::TripleDifference { &[false, true] } else { &[true] };
        cohorts.flat_map(|cohort| sides.iter().map(move |&eligible| Stratum { cohort, eligible })).collect()
    }

    /// Generates the panel in memory.
    ///
    /// # Errors
    /// None in practice: the formula is valid.
    pub fn panel(&self) -> Result<Panel, String> {
        let strata = self.strata();
        let atoms = self.formula()?.atoms().len();
        let each = self.units.div_ceil(self.shards);
        let shards: Vec<Shard> = (0..self.shards)
            .map(|index| self.shard(atoms, each.min(self.units.saturating_sub(index * each)), index as u64))
            .collect();
        let mut census = Census::new(strata.len(), self.periods);
        shards.iter().for_each(|shard| count(shard, self.periods, &mut census));
        let rows = census.present.iter().sum();
        let cross = self.layout == Layout::CrossSections;
        Ok(Panel {
            counts: PanelCounts {
                units: if cross { rows } else { self.units as u64 },
                input_rows: rows,
                keyless_rows: 0,
                cohortless_rows: 0,
                census,
            },
            columns: ColumnFacts {
                atoms_vary: self.vary && !cross,
                weights_vary: self.vary && self.weighted && !cross,
                text_atoms: vec![false; atoms],
                code_atoms: vec![false; atoms],
                interned: Arc::default(),
            },
            source: PanelSource { files: Vec::new(), remarks: InputRemarks::default() },
            rows: if cross { RowKind::Observation } else { RowKind::Unit },
            shards: Shards::Memory(shards),
            periods: (1..=self.periods).map(|p| p as f64).collect(),
            strata,
            calendar: None,
            surveyor: Surveyor::Local,
        })
    }

    /// Generates a shard of `units` units with `atoms` covariates from `seed`.
    pub fn shard(&self, atoms: usize, units: usize, seed: u64) -> Shard {
        let mut random = Random(seed.wrapping_mul(0x5dee_ce66) ^ 0x1234_5678_9abc_def0);
        let segments = self.segments(units, &mut random);
        let rows = segments.last().map_or(0, |s| s.start + padded(s.units));
        let cross = self.layout == Layout::CrossSections;
        let own_periods = if cross { 1 } else { self.periods };
        let vary = self.vary && !cross;
        let covariates: Vec<ShardColumn> = (0..atoms)
            .map(|n| self.column(&segments, rows, vary, &mut random, |r| r.noise() * (1.0 + n as f64) + 0.5))
            .collect();
        let weights =
            self.weighted.then(|| self.column(&segments, rows, vary, &mut random, |r| 0.5 + r.uniform()));
        let mut outcomes = vec![AlignedVec::zeros(rows); own_periods];
        for segment in &segments {
            self.outcomes(segment, &covariates, &mut outcomes, &mut random);
        }
        let mut shard = Shard {
            segments,
            rows,
            keys: Arc::new((0..rows).map(|_| random.bits()).collect()),
            outcomes: outcomes.into_iter().map(Arc::new).collect(),
            atoms: covariates,
            weights,
            clusters: Vec::new(),
            incomplete: None,
        };
        if matches!(self.layout, Layout::Unbalanced | Layout::CrossSections) {
            spoil(&mut shard, own_periods, &mut random);
        }
        shard
    }

    /// Segments of a shard: its units by stratum, in uneven numbers; in cross sections by period as well.
    fn segments(&self, units: usize, random: &mut Random) -> Vec<Segment> {
        let cross = self.layout == Layout::CrossSections;
        let strata = self.strata().len();
        let never = strata / (self.cohorts.len() + 1);
        let mut counts = vec![0usize; strata];
        for unit in 0..units {
            let any = random.bits() as usize;
            // The never treated come last; the first units go to one stratum each, so that none is empty.
            let at = match random.uniform() < self.untreated {
                _ if unit < strata => unit,
                true => strata - 1 - any % never,
                false => any % (strata - never),
            };
            counts[at] += 1;
        }
        let (mut segments, mut start) = (Vec::new(), 0);
        for (stratum, &units) in counts.iter().enumerate().filter(|(_, units)| **units > 0) {
            for period in if cross { (0..self.periods).map(Some).collect() } else { vec![None] } {
                segments.push(Segment { stratum, period, start, units });
                start += padded(units);
            }
        }
        segments
    }

    fn column(
        &self,
        segments: &[Segment],
        rows: usize,
        vary: bool,
        random: &mut Random,
        mut value: impl FnMut(&mut Random) -> f64,
    ) -> ShardColumn {
        let mut one = |scale: f64| {
            let mut out = AlignedVec::zeros(rows);
            for segment in segments {
                for out in &mut out[segment.start..segment.start + segment.units] {
                    *out = value(random) + 0.05 * scale * segment.stratum as f64;
                }
            }
            Arc::new(out)
        };
        if vary {
            ShardColumn::ByPeriod((0..self.periods).map(|p| one(1.0 + p as f64)).collect())
        } else {
            ShardColumn::Constant(one(1.0))
        }
    }

    fn outcomes(
        &self,
        segment: &Segment,
        covariates: &[ShardColumn],
        out: &mut [AlignedVec],
        random: &mut Random,
    ) {
        let periods: Vec<usize> = segment.period.map_or((0..out.len()).collect(), |period| vec![period]);
        for row in segment.start..segment.start + segment.units {
            let level = 20.0 + 3.0 * random.noise();
            for (column, &period) in out.iter_mut().zip(&periods) {
                let slope = covariates.first().map_or(0.0, |x| x.at(0)[row]);
                let trend = period as f64 * (0.3 + 0.1 * slope + 0.02 * segment.stratum as f64);
                column[row] = level + trend + 0.5 * random.noise();
            }
        }
    }
}

/// Removes one row in twelve, at random.
fn spoil(shard: &mut Shard, periods: usize, random: &mut Random) {
    let mut bits = PeriodBits::new(shard.rows, periods);
    for segment in &shard.segments {
        for row in segment.start..segment.start + segment.units {
            for period in 0..periods {
                if random.bits().is_multiple_of(12) {
                    bits.set(row, period);
                    Arc::make_mut(&mut shard.outcomes[period])[row] = 0.0;
                }
            }
        }
    }
    shard.incomplete = Some(bits);
}

fn count(shard: &Shard, periods: usize, census: &mut Census) {
    for segment in &shard.segments {
        let own = segment.period.map_or(0..periods, |period| period..period + 1);
        for row in segment.start..segment.start + segment.units {
            let mut any = false;
            for period in own.clone().filter(|&period| shard.is_observed(segment, row, period)) {
                any = true;
                census.complete[segment.stratum * periods + period] += 1;
                census.present[segment.stratum * periods + period] += 1;
                let weight = shard.weights.as_ref().map_or(1.0, |w| w.at(period)[row]);
                census.add_weight(weight);
            }
            census.units[segment.stratum] += u64::from(any);
        }
    }
}

/// The layout of segments relies on padding to 8 lanes.
const _: () = assert!(LANES == 8);
