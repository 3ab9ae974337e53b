//! The features that influence functions are linear in, where they are fewer than the cells.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};
use stagger_estimator::comparison::{ComparisonSide, RowModel};
use stagger_estimator::factor::{Feature, FeatureLayout};
use stagger_estimator::sample::CohortRole;
use stagger_panel::shard::Segment;
use stagger_panel::strata::RowKind;

use super::{Plan, ShareWeight};

/// The features of every group of units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFeatures {
    /// All features; an identifier is an index into them.
    pub features: Vec<Feature>,
    /// Distinct layouts.
    pub layouts: Vec<FeatureLayout>,
    /// By group: its layout; empty where no unit is used. Groups are strata, or in cross sections strata by period.
    pub groups: Vec<usize>,
    /// Number of strata.
    strata: usize,
    /// In cross sections: the kept periods, as indices into the panel's.
    periods: Vec<usize>,
}

impl PlannedFeatures {
    /// Returns the group of a segment's units; `None` if its period is not kept.
    pub fn group(&self, segment: &Segment) -> Option<usize> {
        let Some(own) = segment.period else { return Some(segment.stratum) };
        let place = self.periods.iter().position(|&period| period == own)?;
        Some(place * self.strata + segment.stratum)
    }

    /// Returns the stratum of a group.
    pub fn stratum(&self, group: usize) -> usize {
        group % self.strata.max(1)
    }

    /// Returns the layout of a group.
    pub fn layout(&self, group: usize) -> &FeatureLayout {
        &self.layouts[self.groups[group]]
    }

    /// Returns the layouts of all groups, in their order.
    pub fn group_layouts(&self) -> impl ExactSizeIterator<Item = &FeatureLayout> {
        self.groups.iter().map(|&layout| &self.layouts[layout])
    }

    /// Returns the groups of some strata (ascending), as ascending ranges. In cross sections `period` is the position of the one
    /// that is meant; `None` for all.
    pub fn ranges(&self, strata: &[usize], period: Option<usize>) -> Vec<Range<u32>> {
        let blocks = match period {
            Some(place) if !self.periods.is_empty() => place..place + 1,
            _ => 0..self.periods.len().max(1),
        };
        let mut out: Vec<Range<u32>> = Vec::new();
        for group in blocks.flat_map(|block| strata.iter().map(move |s| block * self.strata + s)) {
            let group = group as u32;
            match out.last_mut() {
                Some(last) if last.end == group => last.end += 1,
                _ => out.push(group..group + 1),
            }
        }
        out
    }
}

/// Returns the features of a plan whose sums cost less than those of its cells; `None` where there is no such set.
///
/// A propensity score makes influence nonlinear, and two-way clusters need the eigenvalues of the whole covariance: there the
/// columns themselves are summed.
pub(super) fn plan_features(plan: &Plan) -> Option<PlannedFeatures> {
    if !plan.comparisons.logits.is_empty() || plan.inference.cluster_variables > 1 {
        return None;
    }
    let found = Collector::new(plan).collect();
    let draws = plan.inference.draws as f64;
    let cost = |width: f64| width * (width + draws / DRAWS_PER_PRODUCT);
    let (mut features, mut columns) = (0.0, 0.0);
    for (stratum, entered) in entered_columns(plan).into_iter().enumerate() {
        let units = plan.sample.units[stratum] as f64;
        let blocks = found.periods.len().max(1);
        let widest = (0..blocks).map(|block| found.layout(block * found.strata + stratum).len()).max();
        features += units * cost(widest.unwrap_or(0) as f64);
        columns += units * cost(entered);
    }
    (features <= columns).then_some(found)
}

/// Products that take the time of a draw.
const DRAWS_PER_PRODUCT: f64 = 4.0;

/// Returns for each stratum the number of extended columns that a unit enters.
fn entered_columns(plan: &Plan) -> Vec<f64> {
    let mut cells = vec![0.0; plan.sample.units.len()];
    let mut by_set = vec![0.0; plan.comparisons.sets.len()];
    for comparison in &plan.comparisons.comparisons {
        cells[comparison.treated] += 1.0;
        by_set[comparison.controls] += 1.0;
    }
    for (set, count) in plan.comparisons.sets.iter().zip(by_set) {
        set.iter().for_each(|&stratum| cells[stratum] += count);
    }
    // A row of a cross section enters the cells of its own period alone: about two of them a period.
    let share = match plan.sample.rows {
        RowKind::Observation => (2.0 / plan.sample.periods.len().max(2) as f64).min(1.0),
        RowKind::Unit => 1.0,
    };
    // With the column of ones and the cohort's share.
    cells.iter().map(|cells| 2.0 + share * cells).collect()
}

/// What a stratum is in the comparisons of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Uses {
    treated: bool,
    control: bool,
}

/// Collects the features of all strata.
struct Collector<'a> {
    plan: &'a Plan,
    /// By frame: the columns of outcomes that comparisons look at.
    columns: Vec<BTreeSet<usize>>,
    /// By stratum, then frame.
    uses: Vec<Vec<Uses>>,
    /// Without weights a product of ones is the unit itself.
    plain: bool,
}

impl<'a> Collector<'a> {
    fn new(plan: &'a Plan) -> Self {
        let frames = plan.comparisons.frames.len();
        let mut columns = vec![BTreeSet::new(); frames];
        let mut uses = vec![vec![Uses::default(); frames]; plan.sample.units.len()];
        let mut seen = HashSet::new();
        let sides =
            plan.comparisons.comparisons.iter().flat_map(|c| c.sides.iter().map(move |side| (c, side)));
        for (comparison, &ComparisonSide { frame, time, base, .. }) in sides {
            // Column 0 holds zeros.
            columns[frame].extend([time, base].into_iter().filter(|column| *column > 0));
            uses[comparison.treated][frame].treated = true;
            if seen.insert((comparison.controls, frame)) {
                plan.comparisons.sets[comparison.controls]
                    .iter()
                    .for_each(|&stratum| uses[stratum][frame].control = true);
            }
        }
        let complete = plan.model == RowModel::Differences || plan.sample.rows == RowKind::Observation;
        Self { plan, columns, uses, plain: complete && !plan.weights.weighted }
    }

    fn collect(&self) -> PlannedFeatures {
        let plan = self.plan;
        let periods = match plan.sample.rows {
            RowKind::Observation => plan.sample.periods.clone(),
            RowKind::Unit => Vec::new(),
        };
        let strata = plan.sample.units.len();
        let blocks = periods.len().max(1);
        let own: Vec<BTreeSet<Ordered>> = (0..blocks * strata)
            .map(|group| {
                let period = (!periods.is_empty()).then_some(group / strata);
                self.of_stratum(group % strata, period)
            })
            .collect();
        let all: BTreeSet<Ordered> = own.iter().flatten().copied().collect();
        let features: Vec<Feature> = all.iter().map(|ordered| ordered.feature).collect();
        let ids: HashMap<Feature, u32> = features.iter().copied().zip(0..).collect();
        let (mut layouts, mut known) = (Vec::new(), HashMap::new());
        let groups = own
            .iter()
            .map(|own| {
                let list: Vec<u32> = own.iter().map(|ordered| ids[&ordered.feature]).collect();
                *known.entry(list).or_insert_with_key(|list| {
                    layouts.push(self.layout(list, &features));
                    layouts.len() - 1
                })
            })
            .collect();
        PlannedFeatures { features, layouts, groups, strata, periods }
    }

    /// Features of a stratum's units; in cross sections of its rows in the period at position `period`.
    fn of_stratum(&self, stratum: usize, period: Option<usize>) -> BTreeSet<Ordered> {
        let plan = self.plan;
        let mut out = BTreeSet::new();
        if plan.sample.mask.roles[stratum] == CohortRole::Dropped {
            return out;
        }
        out.insert(self.ordered(Feature::Unit));
        let cohort = plan.sample.strata[stratum].cohort;
        if plan.sample.mask.roles[stratum] == CohortRole::Estimated && plan.targets.groups.contains(&cohort) {
            out.insert(self.ordered(Feature::Share));
        }
        for (frame, uses) in self.uses[stratum].iter().enumerate() {
            let enters = match (period, plan.comparisons.frames[frame].rows) {
                (Some(own), Some(rows)) => own == rows,
                _ => true,
            };
            if enters && (uses.treated || uses.control) {
                self.of_frame(frame, *uses, &mut out);
            }
        }
        out
    }

    fn of_frame(&self, frame: usize, uses: Uses, out: &mut BTreeSet<Ordered>) {
        let (ones, count) = (self.plan.ones_column(), self.plan.regressor_count());
        // The treated are weighted by a constant, the controls by a combination of the regressors.
        let controls = if uses.control { 0..count } else { 0..0 };
        let rows: BTreeSet<usize> = controls.clone().chain([ones]).collect();
        for &design in &rows {
            out.insert(self.ordered(Feature::product(frame, design, ones)));
            out.extend(
                self.columns[frame]
                    .iter()
                    .map(|&column| self.ordered(Feature::Outcome { frame, design, column })),
            );
        }
        let pairs = controls.clone().flat_map(|a| controls.clone().map(move |b| (a, b)));
        out.extend(pairs.map(|(a, b)| self.ordered(Feature::product(frame, a, b))));
        out.extend((0..count).map(|a| self.ordered(Feature::product(frame, a, ones))));
    }

    /// Replaces a feature by the one that has the same values, and places it in the order of the layouts.
    fn ordered(&self, feature: Feature) -> Ordered {
        let feature = canonical(self.plan, self.plain, feature);
        let place = match feature {
            Feature::Unit => (0, 0, 0, 0),
            Feature::Share => (1, 0, 0, 0),
            Feature::Design { frame, a, b } => (2, frame, a, b),
            // Levels follow each other by the period of their rows, differences in their frame.
            Feature::Outcome { frame, design, column } => {
                (3, design, self.plan.comparisons.frames[frame].rows.unwrap_or(frame), column)
            }
        };
        Ordered { place, feature }
    }

    fn layout(&self, ids: &[u32], features: &[Feature]) -> FeatureLayout {
        let own: Vec<Feature> = ids.iter().map(|&id| features[id as usize]).collect();
        let position = |wanted: Feature| own.iter().position(|f| *f == wanted).map(|at| at as u32);
        let base = |feature: &Feature| match *feature {
            Feature::Outcome { frame, design, .. } => {
                let alone = Feature::product(frame, design, self.plan.ones_column());
                position(canonical(self.plan, self.plain, alone))
            }
            _ => None,
        };
        let previous = |at: usize| match (at.checked_sub(1).map(|before| own[before]), own[at]) {
            (
                Some(Feature::Outcome { frame: f, design: a, .. }),
                Feature::Outcome { frame: g, design: b, .. },
            ) => {
                let follows = a == b && (f == g || self.plan.model != RowModel::Differences);
                follows.then_some(at as u32 - 1)
            }
            _ => None,
        };
        FeatureLayout {
            ids: ids.to_vec(),
            previous: (0..own.len()).map(previous).collect(),
            base: own.iter().map(base).collect(),
        }
    }
}

/// A feature with its place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Ordered {
    place: (usize, usize, usize, usize),
    feature: Feature,
}

impl Plan {
    /// Returns the feature that stands for all that have its values: without weights the share and the product of ones are the
    /// unit itself, and with weights that are constant in time the share is the product of ones.
    pub fn canonical_feature(&self, feature: Feature) -> Feature {
        let complete = self.model == RowModel::Differences || self.sample.rows == RowKind::Observation;
        canonical(self, complete && !self.weights.weighted, feature)
    }
}

fn canonical(plan: &Plan, plain: bool, feature: Feature) -> Feature {
    let ones = plan.ones_column();
    let unit = |feature: Feature| matches!(feature, Feature::Design { a, b, .. } if a == ones && b == ones);
    match feature {
        Feature::Share if plain => Feature::Unit,
        Feature::Design { .. } if plain && unit(feature) => Feature::Unit,
        Feature::Share if plan.model == RowModel::Differences => share_of_units(plan).unwrap_or(feature),
        _ => feature,
    }
}

/// The weight of a unit in a frame, where it is its weight in the share of its cohort.
fn share_of_units(plan: &Plan) -> Option<Feature> {
    let first = |frame: &stagger_estimator::comparison::Frame| frame.w_period == 0;
    let same = plan.weights.share_weight == ShareWeight::FirstPeriod
        && plan.comparisons.frames.len() == 1
        && plan.comparisons.frames.iter().all(first);
    same.then(|| Feature::product(0, plan.ones_column(), plan.ones_column()))
}
