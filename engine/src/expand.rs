//! Blocks of a shard as the kernels want them: design, weights and outcomes of one frame.

use stagger_estimator::block::{Block, multiply, standardize, subtract};
use stagger_estimator::columns::{Columns, padded};
use stagger_estimator::comparison::Frame;
use stagger_estimator::formula::Part;
use stagger_estimator::subset_sums::BLOCK;

use crate::plan::Plan;
use crate::shard::{Segment, Shard};

/// Work space for one block.
pub(crate) struct BlockSpace {
    design: Columns,
    outcomes: Columns,
    /// Used mask, weights, product of the parts of a design column.
    rows: Columns,
    padded: usize,
    units: usize,
}

const USED: usize = 0;
const WEIGHTS: usize = 1;
const PRODUCT: usize = 2;

impl BlockSpace {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            design: Columns::zeros(BLOCK, plan.design_columns()),
            outcomes: Columns::zeros(BLOCK, plan.periods.len()),
            rows: Columns::zeros(BLOCK, 3),
            padded: 0,
            units: 0,
        }
    }

    /// Takes the units of a segment from row `start` on; sets the mask of used units.
    pub(crate) fn begin(&mut self, plan: &Plan, shard: &Shard, segment: &Segment, start: usize) {
        self.units = (segment.start + segment.units - start).min(BLOCK);
        self.padded = padded(self.units);
        let used = self.rows.col_mut(USED);
        used.fill(0.0);
        used[..self.units].fill(1.0);
        if shard.incomplete.is_some() {
            for (unit, flag) in used[..self.units].iter_mut().enumerate() {
                *flag = f64::from(plan.mask.complete(shard, start + unit));
            }
        }
    }

    /// Units of the block, padding aside.
    pub(crate) fn units(&self) -> usize {
        self.units
    }

    /// Units of the block, padded to whole lanes.
    pub(crate) fn rows(&self) -> usize {
        self.padded
    }

    /// 1 for units that are used, else 0.
    pub(crate) fn used(&self) -> &[f64] {
        &self.rows.col(USED)[..self.padded]
    }

    /// Weight of every unit in a period of the sample; 0 for units that are not used.
    pub(crate) fn weights_at(&mut self, plan: &Plan, shard: &Shard, start: usize, period: usize) -> &[f64] {
        let rows = self.padded;
        match &shard.weights {
            None => &self.rows.col(USED)[..rows],
            Some(weights) => {
                let source = &weights.at(plan.periods[period])[start..start + rows];
                let used = self.rows.col(USED)[..rows].to_vec();
                multiply(source, &used, &mut self.rows.col_mut(WEIGHTS)[..rows]);
                &self.rows.col(WEIGHTS)[..rows]
            }
        }
    }

    /// Outcomes of the kept periods less the first one's.
    pub(crate) fn load_outcomes(&mut self, plan: &Plan, shard: &Shard, start: usize) {
        let rows = self.padded;
        let Some(&first) = plan.periods.first() else { return };
        let base = &shard.outcomes[first][start..start + rows];
        for (column, &period) in plan.periods.iter().enumerate().skip(1) {
            let source = &shard.outcomes[period][start..start + rows];
            subtract(source, base, &mut self.outcomes.col_mut(column)[..rows]);
        }
    }

    /// Design and weights of a frame.
    pub(crate) fn load_frame(&mut self, plan: &Plan, shard: &Shard, start: usize, frame: Frame) {
        let rows = self.padded;
        self.weights_at(plan, shard, start, frame.w_period);
        let used = self.rows.col(USED)[..rows].to_vec();
        let period = plan.periods[frame.x_period];
        let scales = &plan.standardization;
        for (index, column) in plan.design.columns.iter().enumerate() {
            let (center, inverse) = (scales.center[index], 1.0 / scales.scale[index]);
            let target = index;
            match column.parts.as_slice() {
                [] => self.design.col_mut(target)[..rows].copy_from_slice(&used),
                [Part::Numeric(atom)] => {
                    let values = &shard.atoms[*atom].at(period)[start..start + rows];
                    standardize(values, &used, center, inverse, &mut self.design.col_mut(target)[..rows]);
                }
                parts => {
                    let product = &mut self.rows.col_mut(PRODUCT)[..rows];
                    product.fill(1.0);
                    for part in parts {
                        multiply_part(part, shard, period, start, product);
                    }
                    standardize(product, &used, center, inverse, &mut self.design.col_mut(target)[..rows]);
                }
            }
        }
        if scales.intercept.is_none() {
            self.design.col_mut(plan.regressors())[..rows].copy_from_slice(&used);
        }
    }

    /// The block in the frame loaded last.
    pub(crate) fn block(&self, plan: &Plan) -> Block<'_> {
        let rows = self.padded;
        Block {
            design: self.design.view(rows, self.design.count()),
            regressors: plan.regressors(),
            ones: plan.ones(),
            weights: &self.rows.col(if plan.weighted { WEIGHTS } else { USED })[..rows],
            used: &self.rows.col(USED)[..rows],
            outcomes: self.outcomes.view(rows, self.outcomes.count()),
        }
    }
}

fn multiply_part(part: &Part, shard: &Shard, period: usize, start: usize, product: &mut [f64]) {
    match part {
        Part::Numeric(atom) => {
            let values = &shard.atoms[*atom].at(period)[start..];
            product.iter_mut().zip(values).for_each(|(p, v)| *p *= v);
        }
        Part::Level { atom, level } => {
            let codes = &shard.atoms[*atom].at(period)[start..];
            let level = *level as f64;
            product.iter_mut().zip(codes).for_each(|(p, c)| *p *= f64::from(*c == level));
        }
    }
}
