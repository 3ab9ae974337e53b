//! The passes that a run will make over the shards, in order: the estimation's own sequence, with the rounds of the logits
//! and the clusters of a scenario.

use std::borrow::Cow;

use stagger_estimation::estimate::sequence::{
    ExpectedPass, Unknowns, closes_early, expected_passes, influence_passes,
};
use stagger_estimation::plan::Plan;
use stagger_estimation::stage::StageInput;
use stagger_panel::strata::NeededColumns;

use super::rates::{FEW_CLUSTERS, ROUNDS, SAMPLE_ROUNDS, STARTED_ROUNDS};
use super::size::{self, PassMemory};
use super::work;

/// A value of everything that is not known before a run, for one of the three ends of a forecast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scenario {
    /// Rounds of the logits over all shards: where they start from the mean score, and where on a sample; without the round that
    /// brings the moments.
    pub rounds: [usize; 2],
    /// Rounds on some of the shards, where they start from the mean score.
    pub sample_rounds: usize,
    /// The most distinct clusters.
    pub clusters: u64,
    /// The end whose rates are used: 0 low, 1 likely, 2 high.
    pub spread: usize,
}

impl Scenario {
    /// Returns the low, the likely and the high scenario; `rounds` where they are known.
    pub fn three(units: u64, rounds: Option<usize>) -> [Self; 3] {
        [0, 1, 2].map(|spread| Self {
            rounds: rounds.map_or([ROUNDS[spread], STARTED_ROUNDS[spread]], |rounds| [rounds; 2]),
            sample_rounds: SAMPLE_ROUNDS[spread],
            clusters: [1, FEW_CLUSTERS, u64::MAX][spread].min(units),
            spread,
        })
    }
}

/// One pass of one specification, or of several that share it.
#[derive(Clone, Debug)]
pub struct PlannedPass {
    /// The name of the stage; of several stages, joined as the run joins them.
    pub stage: Cow<'static, str>,
    /// Shards that it goes through.
    pub shards: usize,
    /// True if the shards are a sample, spread evenly.
    pub sample: bool,
    /// The columns that it reads of each shard.
    pub needs: NeededColumns,
    /// Nanoseconds of one core over all shards, reading aside.
    pub work: f64,
    /// Bytes of its sums and work space.
    pub size: PassMemory,
}

impl Scenario {
    fn unknowns(&self, started: bool) -> Unknowns {
        let Self { rounds, sample_rounds, clusters, .. } = *self;
        Unknowns { rounds: rounds[usize::from(started)], sample_rounds, clusters }
    }
}

impl PlannedPass {
    fn join(&mut self, other: Self) {
        self.needs = self.needs.or(other.needs);
        self.work += other.work;
        self.size = self.size.join(other.size);
        if self.stage != other.stage {
            self.stage = format!("{} + {}", self.stage, other.stage).into();
        }
    }
}

/// Returns the passes of a specification.
pub(crate) fn plan_passes(
    plan: &Plan,
    shards: usize,
    max_cells: Option<usize>,
    scenario: &Scenario,
) -> Vec<PlannedPass> {
    let of = |expected: ExpectedPass| {
        let ExpectedPass { stage, input, sample } = expected;
        let count = sample.map_or(shards, |count| count.next_power_of_two().min(shards));
        let work = work::pass_work(plan, &input);
        PlannedPass {
            stage: stage.into(),
            shards: count,
            sample: sample.is_some(),
            needs: input.needs(),
            work: if sample.is_some() { work * count as f64 / shards.max(1) as f64 } else { work },
            size: size::pass_memory(plan, &input),
        }
    };
    let unknowns = scenario.unknowns(closes_early(plan, shards));
    expected_passes(plan, shards, max_cells, &unknowns).into_iter().map(of).collect()
}

/// Returns the `Influence` pass of a specification that takes most memory: that over the first two sets of at most
/// `max_cells` cells.
pub(crate) fn widest_influence_pass(
    plan: &Plan,
    shards: usize,
    max_cells: Option<usize>,
    scenario: &Scenario,
) -> Option<PlannedPass> {
    let fixed = 1 + plan.targets.groups.len();
    let most = max_cells.map_or(usize::MAX, |cells| fixed.saturating_add(2 * cells));
    let columns: Vec<usize> = (0..plan.extended_column_count().min(most)).collect();
    let input = influence_passes(plan, None, scenario.clusters).into_iter().next()?;
    let StageInput::Influence { corrections, betas, draws, clusters, .. } = input else { return None };
    let input = StageInput::Influence { corrections, betas, columns, draws, clusters };
    let (needs, size) = (input.needs(), size::pass_memory(plan, &input));
    Some(PlannedPass { stage: input.stage().into(), shards, sample: false, needs, work: 0.0, size })
}

/// Joins the passes of several specifications, which make every pass together, as a run does; samples are
/// each one's own.
pub(crate) fn join_passes(all: Vec<Vec<PlannedPass>>) -> Vec<PlannedPass> {
    let mut queues: Vec<std::collections::VecDeque<PlannedPass>> = all.into_iter().map(Into::into).collect();
    let mut out = Vec::new();
    while queues.iter().any(|queue| !queue.is_empty()) {
        let mut together: Option<PlannedPass> = None;
        for queue in &mut queues {
            while queue.front().is_some_and(|pass| pass.sample) {
                out.extend(queue.pop_front());
            }
            if let Some(pass) = queue.pop_front() {
                match &mut together {
                    Some(known) => known.join(pass),
                    None => together = Some(pass),
                }
            }
        }
        out.extend(together);
    }
    out
}

/// Passes before the first stage that count quantities which the manifest does not hold.
pub struct CountingPasses {
    /// True if rows are counted: some row lacks a value, or there are weights.
    pub census: bool,
    /// True if units are counted: some row lacks a value.
    pub units: bool,
    /// Factors of all specifications, whose levels are looked for one after the other.
    pub factors: usize,
    /// Specifications with clusters, which are counted.
    pub clustered: usize,
}

impl CountingPasses {
    /// Returns the passes; the last ones use the shards that are kept in memory.
    pub fn passes(&self, shards: usize) -> Vec<PlannedPass> {
        let pass = |stage: &'static str, needs| PlannedPass {
            stage: stage.into(),
            shards,
            sample: false,
            needs,
            work: 0.0,
            size: PassMemory::default(),
        };
        let clusters = NeededColumns { clusters: true, ..NeededColumns::default() };
        let plain = |stage| pass(stage, NeededColumns::default());
        std::iter::repeat_n(plain("census"), usize::from(self.census))
            .chain(std::iter::repeat_n(plain("plan"), usize::from(self.units) + self.factors))
            .chain(std::iter::repeat_n(pass("clusters", clusters), self.clustered))
            .collect()
    }
}
