//! `Influence` as a program for a device: Ψ of a batch in scratch memory, ΨᵀΨ, multiplier bits, draws.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use stagger_estimation::kernel::expanded;
use stagger_estimation::kernel::expanded::{ExpandedSegment, InfluenceColumns};
use stagger_estimation::partial::{InfluenceSums, Partial};
use stagger_estimation::passes::SegmentPart;
use stagger_estimation::plan::Plan;
use stagger_estimator::cross_products::mirror;
use stagger_estimator::influence::{InfluencePartial, Role};
use stagger_estimator::multipliers::{Bits, Domain};
use stagger_panel::shard::Segment;
use stagger_panel::strata::NeededColumns;

use super::batch::{DeviceStage, SumShape};
use super::memory::ResidentShard;
use super::program::{BitSource, Fold, Matrix, Program, ScoreKind, Scores};
use super::stages::FrameColumns;
use super::table::Word;

/// Draws per word of multiplier bits.
const WORD_DRAWS: usize = 64;

/// The columns of Ψ that the units of a stratum and period enter, and their parts, column by column.
type Entered = (Vec<(usize, Role)>, Vec<SegmentPart>);

/// A stratum and, in cross sections, a period: they decide which columns a segment's units enter.
type StratumPeriod = (usize, Option<usize>);

/// The stage of ΨᵀΨ and draws over units.
pub(super) struct InfluenceStage<'a> {
    plan: &'a Plan,
    columns: InfluenceColumns<'a>,
    draws: usize,
    /// Columns by stratum and period: the same for every shard, and costly where there are many cells.
    entered: RefCell<HashMap<StratumPeriod, Rc<Entered>>>,
}

/// Descriptors that parts of a segment share: frames by number, scores by frame, logit and arm.
#[derive(Default)]
struct Shared {
    frames: HashMap<usize, FrameColumns>,
    scores: HashMap<(usize, usize, bool), Matrix>,
}

impl<'a> InfluenceStage<'a> {
    /// Returns the stage for some extended columns and `draws` draws.
    pub(super) fn new(plan: &'a Plan, columns: InfluenceColumns<'a>, draws: usize) -> Self {
        Self { plan, columns, draws, entered: RefCell::default() }
    }

    fn entered(&self, segment: &Segment) -> Rc<Entered> {
        let mut known = self.entered.borrow_mut();
        let found = known.entry((segment.stratum, segment.period)).or_insert_with(|| {
            let (roles, mut parts) = expanded::segment_influence(self.plan, segment, self.columns);
            // A column's parts follow each other, in the order in which they are added.
            parts.sort_by_key(|part| part.place);
            Rc::new((roles, parts))
        });
        Rc::clone(found)
    }

    fn width(&self) -> usize {
        self.columns.columns.len()
    }

    fn segment(&self, program: &mut Program, shard: &ResidentShard, own: &ExpandedSegment, sums: usize) {
        let entered = self.entered(&own.segment);
        let (roles, parts) = &*entered;
        if roles.is_empty() {
            return;
        }
        let mut shared = Shared::default();
        let mut rest = parts.as_slice();
        for (place, (_, role)) in roles.iter().enumerate() {
            let (same, next) = rest.split_at(rest.partition_point(|part| part.place == place));
            rest = next;
            let count = same.iter().filter(|part| self.part(program, shard, own, part, &mut shared)).count();
            let source = match role {
                Role::Ones => Word::Address(shard.design.at(own.units_at)),
                Role::Share => Word::Address(shard.design.at(own.shares_at)),
                Role::Estimate => Word::Null,
            };
            program.psi_column(source, count);
        }
        let psi = program.psi(roles.len(), own.rows);
        let columns: Vec<usize> = roles.iter().map(|(column, _)| *column).collect();
        let places = program.constant_places(&columns);
        let products = program.cross((psi, psi), Word::Null, own.rows, true);
        let (count, width) = (roles.len(), self.width());
        let fold = Fold::dense(products, count, count, Word::Sums(sums), width);
        program.fold(sums, Fold { upper: true, places: [places; 2], ..fold });
        if let (true, Some(keys)) = (self.draws > 0, &shard.keys) {
            self.bootstrap(program, own, Word::Address(keys.at(own.segment.start)), (psi, places), sums);
        }
    }

    /// Describes a part and returns true, or false if the segment has none.
    fn part(
        &self,
        program: &mut Program,
        shard: &ResidentShard,
        segment: &ExpandedSegment,
        own: &SegmentPart,
        shared: &mut Shared,
    ) -> bool {
        let (plan, k) = (self.plan, self.plan.regressor_count());
        let side = &plan.comparisons.comparisons[own.part.comparison].sides[own.part.side];
        let frames = &shard.expansion.frames[segment.frames.clone()];
        let (Some(frame), Some(correction)) = (
            frames.iter().find(|frame| frame.frame == own.frame),
            &self.columns.corrections[own.part.comparison],
        ) else {
            return false;
        };
        let columns =
            *shared.frames.entry(own.frame).or_insert_with(|| FrameColumns::new(program, plan, shard, frame));
        let treated = own.part.treated;
        let arm = &correction.arms[own.part.side][usize::from(!treated)];
        let beta = own.logit.and_then(|l| Some((l, self.columns.betas[l].as_deref()?)));
        let scores = beta.map(|(logit, beta)| {
            *shared.scores.entry((own.frame, logit, treated)).or_insert_with(|| {
                let beta = program.constant_floats(beta);
                let (frame, rows) = (columns.index, columns.rows);
                program.scores(Scores { frame, rows, beta, treated, unweighted: false }).0
            })
        });
        let arms = program.named_floats([own.part.comparison, own.part.side, usize::from(treated)], || {
            let vectors = [&arm.beta, &arm.u, &arm.q, &arm.v].into_iter();
            // Empty vectors are zero.
            vectors.flat_map(|v| (0..k).map(|j| v.get(j).copied().unwrap_or(0.0))).collect()
        });
        program.psi_part([
            Word::Count(columns.index),
            Word::Flag(treated),
            scores.map_or(Word::Null, |scores| scores.at),
            Word::Count(side.time),
            Word::Count(side.base),
            arms,
            Word::Float(arm.gain),
            Word::Float(arm.shift),
        ]);
        true
    }

    fn bootstrap(
        &self,
        program: &mut Program,
        own: &ExpandedSegment,
        keys: Word,
        (psi, places): (Matrix, Word),
        sums: usize,
    ) {
        let width = self.width();
        let drawn = program.draws(psi, keys, own.segment.units);
        for first in (0..self.draws).step_by(WORD_DRAWS) {
            let mut from = drawn;
            from.at = drawn.at.after(first * psi.count);
            let rows = WORD_DRAWS.min(self.draws - first);
            let to = sums + width * width + first * width;
            let fold = Fold::dense(from, rows, psi.count, Word::Sums(to), width);
            program.fold(to, Fold { places: [Word::Null, places], ..fold });
        }
    }
}

impl DeviceStage for InfluenceStage<'_> {
    fn shape(&self) -> SumShape {
        SumShape { sums: self.width() * (self.width() + self.draws), maxima: 0 }
    }

    fn needs(&self) -> NeededColumns {
        NeededColumns { outcomes: true, keys: self.draws > 0, clusters: false }
    }

    fn program(&self) -> Program {
        let bits = Bits::new(self.plan.inference.seed, Domain::Unit, self.plan.inference.multiplier);
        let (base, probability) = bits.parameters();
        let bits = BitSource { base, probability, blocks: self.draws.div_ceil(WORD_DRAWS) };
        Program::new(self.plan.regressor_count(), ScoreKind::Odds).with_bits(bits)
    }

    fn add(&self, program: &mut Program, shard: &ResidentShard, sums: usize) {
        for own in &shard.expansion.segments {
            self.segment(program, shard, own, sums);
        }
    }

    fn partial(&self, mut cross: Vec<f64>) -> Partial {
        let (columns, draws) = (self.width(), self.draws);
        let bit_sums = cross.split_off(columns * columns);
        mirror(&mut cross, columns);
        Partial::Influence(InfluenceSums {
            units: InfluencePartial { columns, draws, cross, bit_sums },
            clusters: Vec::new(),
        })
    }
}
