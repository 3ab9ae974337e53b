//! The stages that fit nuisances, as programs for a device: `Gram`, `Propensity`, `Moments`.

use stagger_estimation::kernel::expanded;
use stagger_estimation::kernel::expanded::ExpandedFrame;
use stagger_estimation::partial::Partial;
use stagger_estimation::passes::LogitPart;
use stagger_estimation::plan::Plan;
use stagger_estimator::moments::{MomentsPartial, MomentsShape};
use stagger_estimator::outcome::GramPartial;
use stagger_estimator::propensity::PropensityPartial;
use stagger_panel::strata::NeededColumns;

use super::batch::{DeviceStage, SumShape};
use super::memory::ResidentShard;
use super::program::{Fold, Matrix, Program, ScoreKind, Scores};
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
}

impl PropensityStage<'_> {
    fn values(&self) -> usize {
        let k = self.logits.plan.regressor_count();
        k + k * k + 1
    }
}

impl DeviceStage for PropensityStage<'_> {
    fn shape(&self) -> SumShape {
        let logits = self.logits.betas.len();
        SumShape { sums: logits * self.values(), maxima: logits * 3 }
    }

    fn needs(&self) -> NeededColumns {
        NeededColumns::default()
    }

    fn program(&self) -> Program {
        Program::new(self.logits.plan.regressor_count(), ScoreKind::Logit)
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
        });
    }

    fn partial(&self, mut sums: Vec<f64>) -> Partial {
        let extremes = sums.split_off(self.shape().sums);
        Partial::Propensity(PropensityPartial {
            regressors: self.logits.plan.regressor_count(),
            sums,
            extremes,
        })
    }
}

/// The stage of odds-weighted cross products of the controls, with Hessians at the end.
pub(super) struct MomentsStage<'a> {
    /// The logits.
    pub(super) logits: PassLogits<'a>,
}

impl MomentsStage<'_> {
    fn sizes(&self) -> MomentsShape {
        let plan = self.logits.plan;
        MomentsShape {
            columns: plan.design_column_count(),
            regressors: plan.regressor_count(),
            periods: plan.outcome_column_count(),
        }
    }

    fn values(&self) -> usize {
        let MomentsShape { columns, regressors, periods } = self.sizes();
        regressors * regressors + columns * columns + columns * periods + 2
    }
}

impl DeviceStage for MomentsStage<'_> {
    fn shape(&self) -> SumShape {
        SumShape { sums: self.logits.plan.comparisons.slots.len() * self.values(), maxima: 0 }
    }

    fn needs(&self) -> NeededColumns {
        NeededColumns { outcomes: true, ..NeededColumns::default() }
    }

    fn program(&self) -> Program {
        Program::new(self.logits.plan.regressor_count(), ScoreKind::Odds)
    }

    fn add(&self, program: &mut Program, shard: &ResidentShard, sums: usize) {
        let plan = self.logits.plan;
        let (k, n, len) = (plan.regressor_count(), plan.design_column_count(), self.values());
        self.logits.visit(program, shard, |program, columns, part, beta| {
            let slot = plan.comparisons.first_slot(part.logit) + part.side;
            let at = sums + slot * len;
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
            program.fold(at, Fold::dense(totals, 1, 2, Word::Sums(at + len - 2), 2));
        });
    }

    fn partial(&self, sums: Vec<f64>) -> Partial {
        Partial::Moments(MomentsPartial { shape: self.sizes(), sums })
    }
}
