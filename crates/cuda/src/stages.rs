//! The stages that fit nuisances, as programs for a device: `Gram`, `Propensity`, `Moments`.

use stagger_estimation::kernel::expanded;
use stagger_estimation::kernel::expanded::ExpandedFrame;
use stagger_estimation::partial::Partial;
use stagger_estimation::passes::LogitPart;
use stagger_estimation::plan::Plan;
use stagger_estimator::moments::{MomentsPartial, MomentsShape};
use stagger_estimator::outcome::GramPartial;
use stagger_estimator::propensity::{PropensityPartial, slope_shape};
use stagger_estimator::slopes::SlopeShape;
use stagger_panel::strata::NeededColumns;

use super::batch::{DeviceStage, SumShape};
use super::memory::ResidentShard;
use super::program::{Fold, Matrix, Program, ScoreKind, Scores, TileSums};
use super::table::Word;

/// The columns of a segment in a frame, on the device.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameColumns {
    /// The index of its descriptor.
    pub(super) index: usize,
    /// The number of rows.
    pub(super) rows: usize,
    /// The columns of the design.
    pub(super) design: Matrix,
    /// The weights of the rows.
    pub(super) weights: Word,
    /// Outcomes from the second on.
    pub(super) outcomes: Matrix,
}

impl FrameColumns {
    /// Describes a frame of a shard.
    pub(super) fn new(
        program: &mut Program,
        plan: &Plan,
        shard: &ResidentShard,
        own: &ExpandedFrame,
    ) -> Self {
        let place = |at: usize| Word::Address(shard.design.at(at));
        let outcomes = match &shard.outcomes {
            Some(outcomes) => Word::Address(outcomes.at(own.outcomes_at)),
            None => Word::Null,
        };
        let (design, weights, rows) = (place(own.design_at), place(own.weights_at), own.rows);
        let matrix = |at: Word, count: usize| Matrix { at, stride: rows, count };
        Self {
            index: program.frame(design, place(own.used_at), weights, outcomes, rows),
            rows,
            design: matrix(design, plan.design_column_count()),
            weights,
            outcomes: matrix(outcomes, plan.outcome_column_count() - 1),
        }
    }

    fn regressors(&self, plan: &Plan) -> Matrix {
        Matrix { count: plan.regressor_count(), ..self.design }
    }

    /// Adds products of the design with itself to `to`.
    fn products(&self, program: &mut Program, group: usize, weights: Word, to: Word) {
        let columns = self.design.count;
        let sums = program.cross((self.design, self.design), weights, self.rows, true);
        program.fold(group, Fold { upper: true, ..Fold::dense(sums, columns, columns, to, columns) });
    }

    /// Adds derivatives of products: those of each leading column are weighted by their own column of `weights`, which follow each
    /// other.
    fn slopes(&self, program: &mut Program, shape: SlopeShape, (group, weights, to): (usize, Word, usize)) {
        for lead in 0..shape.coefficients {
            let width = shape.width(lead);
            let (at, weights) = (to + shape.start(lead), weights.after(lead * self.rows));
            let design =
                Matrix { at: self.design.at.after(lead * self.design.stride), count: width, ..self.design };
            let rest = Self { design, ..*self };
            rest.products(program, group, weights, Word::Sums(at));
            if shape.outcomes > 0 {
                rest.outcome_products(program, group, weights, Word::Sums(at + width * width));
            }
        }
    }

    /// Adds products of the design with the outcomes to `to`.
    fn outcome_products(&self, program: &mut Program, group: usize, weights: Word, to: Word) {
        let (columns, outcomes) = (self.design.count, self.outcomes.count);
        if outcomes == 0 {
            return;
        }
        let sums = program.cross((self.design, self.outcomes), weights, self.rows, false);
        // The first outcome is zero everywhere, and so are its sums.
        program.fold(group, Fold::dense(sums, columns, outcomes, to.after(1), outcomes + 1));
    }
}

/// The stage of XᵀWX, XᵀX and XᵀWY of every (stratum, frame).
pub(super) struct GramStage<'a> {
    /// The plan.
    pub(super) plan: &'a Plan,
}

impl DeviceStage for GramStage<'_> {
    fn shape(&self) -> SumShape {
        SumShape { sums: self.plan.sums.gram_keys.len() * self.plan.gram_shape().len(), maxima: 0 }
    }

    fn needs(&self) -> NeededColumns {
        NeededColumns { outcomes: true, ..NeededColumns::default() }
    }

    fn program(&self) -> Program {
        Program::default()
    }

    fn add(&self, program: &mut Program, shard: &ResidentShard, sums: usize) {
        let (plan, shape) = (self.plan, self.plan.gram_shape());
        for own in &shard.expansion.frames {
            let Some(key) = plan.gram_key(own.stratum, own.frame) else { continue };
            let columns = FrameColumns::new(program, plan, shard, own);
            let at = sums + key * shape.len();
            let squares = shape.columns * shape.columns;
            let weights = if shape.weighted { columns.weights } else { Word::Null };
            columns.products(program, at, weights, Word::Sums(at));
            if shape.weighted {
                columns.products(program, at, Word::Null, Word::Sums(at + squares));
            }
            let outcomes = at + squares * (1 + usize::from(shape.weighted));
            columns.outcome_products(program, at, weights, Word::Sums(outcomes));
        }
    }

    fn partial(&self, sums: Vec<f64>) -> Partial {
        Partial::Gram(GramPartial { shape: self.plan.gram_shape(), sums })
    }
}

/// The logits of a pass, by stratum.
pub(super) struct PassLogits<'a> {
    plan: &'a Plan,
    betas: &'a [Option<Vec<f64>>],
    parts: Vec<Vec<(usize, LogitPart)>>,
}

impl<'a> PassLogits<'a> {
    /// Returns the logits of a plan at coefficients `betas`; `None` for a logit that takes no part.
    pub(super) fn new(plan: &'a Plan, betas: &'a [Option<Vec<f64>>]) -> Self {
        Self { plan, betas, parts: expanded::logits_by_stratum(plan, betas) }
    }

    /// Calls `each` for every (segment, frame, logit) of a shard.
    fn visit(
        &self,
        program: &mut Program,
        shard: &ResidentShard,
        mut each: impl FnMut(&mut Program, &FrameColumns, &LogitPart, Word),
    ) {
        for own in &shard.expansion.frames {
            let mut columns = None;
            for (_, part) in self.parts[own.stratum].iter().filter(|(frame, _)| *frame == own.frame) {
                let Some(beta) = &self.betas[part.logit] else { continue };
                let columns =
                    *columns.get_or_insert_with(|| FrameColumns::new(program, self.plan, shard, own));
                let beta = program.constant_floats(beta);
                each(program, &columns, part, beta);
            }
        }
    }
}

/// The stage of gradient, Hessian, deviance and extremes of the active logits.
pub(super) struct PropensityStage<'a> {
    /// The logits.
    pub(super) logits: PassLogits<'a>,
    /// True for third derivatives.
    pub(super) curved: bool,
    /// True if another pass over the same shards reads outcomes, so that shards go to the device with them.
    pub(super) with_outcomes: bool,
}

impl PropensityStage<'_> {
    fn values(&self) -> usize {
        PropensityPartial::len_of(self.logits.plan.regressor_count(), self.curved)
    }
}

impl DeviceStage for PropensityStage<'_> {
    fn shape(&self) -> SumShape {
        let logits = self.logits.betas.len();
        SumShape { sums: logits * self.values(), maxima: logits * 3 }
    }

    fn needs(&self) -> NeededColumns {
        NeededColumns { outcomes: self.with_outcomes, ..NeededColumns::default() }
    }

    fn program(&self) -> Program {
        let kind = if self.curved { ScoreKind::LogitSlopes } else { ScoreKind::Logit };
        Program::new(self.logits.plan.regressor_count(), kind)
    }

    fn add(&self, program: &mut Program, shard: &ResidentShard, sums: usize) {
        let plan = self.logits.plan;
        let (k, len, maxima) = (plan.regressor_count(), self.values(), sums + self.shape().sums);
        self.logits.visit(program, shard, |program, columns, part, beta| {
            let at = sums + part.logit * len;
            let unweighted = !plan.comparisons.logits[part.logit].weighted;
            let (frame, rows) = (columns.index, columns.rows);
            let scores = Scores { frame, rows, beta, treated: part.treated, unweighted };
            let (scores, totals) = program.scores(scores);
            let design = columns.regressors(plan);
            let residuals = Matrix { count: 1, ..scores };
            let gradient = program.cross((design, residuals), Word::Null, rows, false);
            program.fold(at, Fold::dense(gradient, k, 1, Word::Sums(at), 1));
            let hessian = program.cross((design, design), scores.at.after(rows), rows, true);
            let fold = Fold::dense(hessian, k, k, Word::Sums(at + k), k);
            program.fold(at, Fold { upper: true, ..fold });
            program.fold(at, Fold::dense(totals, 1, 1, Word::Sums(at + k + k * k), 1));
            let mut extremes = totals;
            extremes.at = totals.at.after(1);
            let fold = Fold::dense(extremes, 1, 3, Word::Sums(maxima + part.logit * 3), 3);
            program.fold(at, Fold { greatest: true, ..fold });
            if self.curved {
                let (shape, weights) = (slope_shape(k), scores.at.after(2 * rows));
                let own = FrameColumns { design, ..*columns };
                own.slopes(program, shape, (at, weights, at + k + k * k + 1));
            }
        });
    }

    fn partial(&self, mut sums: Vec<f64>) -> Partial {
        let extremes = sums.split_off(self.shape().sums);
        Partial::Propensity(PropensityPartial {
            regressors: self.logits.plan.regressor_count(),
            curved: self.curved,
            sums,
            extremes,
        })
    }
}

/// The stage of odds-weighted cross products of the controls, with Hessians at the end.
pub(super) struct MomentsStage<'a> {
    /// The logits.
    pub(super) logits: PassLogits<'a>,
    /// True for derivatives along the coefficients.
    pub(super) sloped: bool,
}

impl MomentsStage<'_> {
    fn sizes(&self) -> MomentsShape {
        self.logits.plan.moments_shape(self.sloped)
    }

    /// Adds the derivatives of a slot, whose sums start at word `at`; the weights of the odds' follow those of the Hessian's.
    fn add_slopes(
        &self,
        program: &mut Program,
        (columns, part): (&FrameColumns, &LogitPart),
        (at, weights): (usize, Word),
    ) {
        let (shape, rows) = (self.sizes(), columns.rows);
        let hessian = shape.hessian_slopes();
        let own = FrameColumns { design: columns.regressors(self.logits.plan), ..*columns };
        own.slopes(program, hessian, (at, weights, at + shape.plain_len()));
        if !part.treated {
            let weights = weights.after(shape.regressors * rows);
            columns.slopes(
                program,
                shape.odds_slopes(),
                (at, weights, at + shape.plain_len() + hessian.len()),
            );
        }
    }
}

impl DeviceStage for MomentsStage<'_> {
    fn shape(&self) -> SumShape {
        let slots = self.logits.plan.comparisons.slots.len();
        SumShape { sums: slots * self.sizes().len(), maxima: if self.sloped { slots * 3 } else { 0 } }
    }

    fn needs(&self) -> NeededColumns {
        NeededColumns { outcomes: true, ..NeededColumns::default() }
    }

    fn program(&self) -> Program {
        let kind = if self.sloped { ScoreKind::OddsSlopes } else { ScoreKind::Odds };
        Program::new(self.logits.plan.regressor_count(), kind)
    }

    fn add(&self, program: &mut Program, shard: &ResidentShard, sums: usize) {
        let plan = self.logits.plan;
        let (k, n, shape) = (plan.regressor_count(), plan.design_column_count(), self.sizes());
        let maxima = sums + self.shape().sums;
        self.logits.visit(program, shard, |program, columns, part, beta| {
            let slot = plan.comparisons.first_slot(part.logit) + part.side;
            let at = sums + slot * shape.len();
            let (frame, rows) = (columns.index, columns.rows);
            let scores = Scores { frame, rows, beta, treated: part.treated, unweighted: false };
            let (scores, totals) = program.scores(scores);
            let design = columns.regressors(plan);
            let hessian = program.cross((design, design), scores.at.after(2 * rows), rows, true);
            program.fold(at, Fold { upper: true, ..Fold::dense(hessian, k, k, Word::Sums(at), k) });
            if !part.treated {
                let odds = scores.at.after(rows);
                columns.products(program, at, odds, Word::Sums(at + k * k));
                columns.outcome_products(program, at, odds, Word::Sums(at + k * k + n * n));
            }
            program.fold(at, Fold::dense(totals, 1, 2, Word::Sums(at + shape.plain_len() - 2), 2));
            if self.sloped {
                let extremes = TileSums { at: totals.at.after(2), ..totals };
                let fold = Fold::dense(extremes, 1, 3, Word::Sums(maxima + slot * 3), 3);
                program.fold(at, Fold { greatest: true, ..fold });
                self.add_slopes(program, (columns, part), (at, scores.at.after(3 * rows)));
            }
        });
    }

    fn partial(&self, mut sums: Vec<f64>) -> Partial {
        let extremes = sums.split_off(self.shape().sums);
        Partial::Moments(MomentsPartial { shape: self.sizes(), sums, extremes })
    }
}
