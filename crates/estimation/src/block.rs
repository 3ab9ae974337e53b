//! Blocks of a shard in the form that kernels read: design, weights and outcomes of one frame.

use stagger_estimator::block::{Block, multiply, standardize, subtract};
use stagger_estimator::columns::{Columns, padded};
use stagger_estimator::comparison::{Frame, RowModel};
use stagger_estimator::formula::Factor;
use stagger_estimator::subset_sums::BLOCK;
use stagger_panel::shard::{Segment, Shard};

use crate::plan::{Plan, ShareWeight};

/// Work space for one block of at most `BLOCK` units.
pub struct BlockBuffer {
    design: Columns,
    outcomes: Columns,
    /// Four columns: mask of used units, mask of used rows in the frame, weights, product of the parts of a design
    /// column.
    rows: Columns,
    padded: usize,
    units: usize,
    start: usize,
}

const UNITS: usize = 0;
const USED: usize = 1;
const WEIGHTS: usize = 2;
const PRODUCT: usize = 3;
/// Column of the outcome in blocks of levels; the column before it holds zeros.
const LEVEL: usize = 1;

impl BlockBuffer {
    /// Allocates the columns for the design and outcomes of a plan.
    pub fn new(plan: &Plan) -> Self {
        Self {
            design: Columns::zeros(BLOCK, plan.design_column_count()),
            outcomes: Columns::zeros(BLOCK, plan.outcome_column_count()),
            rows: Columns::zeros(BLOCK, 4),
            padded: 0,
            units: 0,
            start: 0,
        }
    }

    /// Starts a block: the units of a segment from row `start` on, at most `BLOCK`. Sets the mask of used units.
    pub fn start_block(&mut self, plan: &Plan, shard: &Shard, segment: &Segment, start: usize) {
        self.units = (segment.start + segment.units - start).min(BLOCK);
        self.padded = padded(self.units);
        self.start = start;
        let used = self.rows.col_mut(UNITS);
        used.fill(0.0);
        used[..self.units].fill(1.0);
        if shard.incomplete.is_some() {
            for (unit, flag) in used[..self.units].iter_mut().enumerate() {
                *flag = f64::from(plan.sample.mask.uses_unit(shard, segment, start + unit));
            }
        }
    }

    /// Number of units in the block, without padding.
    pub fn units(&self) -> usize {
        self.units
    }

    /// Number of rows in the block: its units, padded to whole lanes.
    pub fn rows(&self) -> usize {
        self.padded
    }

    /// Mask of used units: 1 for units that are used, else 0; one value for each row.
    pub fn used_units(&self) -> &[f64] {
        &self.rows.col(UNITS)[..self.padded]
    }

    /// Writes the weight of every unit in its cohort's share (FORMULAS §6) to the first [`rows`](Self::rows) values of
    /// `out`.
    pub fn write_share_weights(&self, plan: &Plan, shard: &Shard, segment: &Segment, out: &mut [f64]) {
        let units = self.used_units();
        let Some(weights) = &shard.weights else {
            out[..units.len()].copy_from_slice(units);
            return;
        };
        let values = |period: usize| &weights.at(period)[self.start..self.start + self.padded];
        if plan.weights.share_weight == ShareWeight::FirstPeriod {
            multiply(values(plan.sample.periods[0]), units, &mut out[..units.len()]);
            return plan.scale_weights(&mut out[..units.len()]);
        }
        out[self.units..units.len()].fill(0.0);
        for (unit, share) in out[..self.units].iter_mut().enumerate() {
            let observed =
                plan.sample.periods.iter().filter(|&&p| shard.is_observed(segment, self.start + unit, p));
            let mut own = observed.map(|&p| values(p)[unit] * plan.weights.weight_factor);
            *share = match plan.weights.share_weight {
                ShareWeight::FirstRow => own.next().unwrap_or(0.0),
                _ => {
                    let (rows, sum) = own.fold((0.0, 0.0), |(rows, sum), w| (rows + 1.0, sum + w));
                    if rows > 0.0 { sum / rows } else { 0.0 }
                }
            } * units[unit];
        }
    }

    /// Loads the outcomes of the kept periods minus that of the first one, where the row model is differences;
    /// otherwise does nothing.
    pub fn load_differences(&mut self, plan: &Plan, shard: &Shard, segment: &Segment) {
        let (rows, start) = (self.padded, self.start);
        let (RowModel::Differences, Some(&first)) = (plan.model, plan.sample.periods.first()) else { return };
        let base = &shard.outcomes_in(segment, first)[start..start + rows];
        for (column, &period) in plan.sample.periods.iter().enumerate().skip(1) {
            let source = &shard.outcomes_in(segment, period)[start..start + rows];
            subtract(source, base, &mut self.outcomes.col_mut(column)[..rows]);
        }
    }

    /// Loads the rows, weights, design and, in levels, outcomes of a frame.
    pub fn load_frame(&mut self, plan: &Plan, shard: &Shard, segment: &Segment, frame: &Frame) {
        let (rows, start) = (self.padded, self.start);
        let units = self.rows.col(UNITS)[..rows].to_vec();
        let used = self.frame_rows(plan, shard, segment, frame, units);
        if let Some(weights) = &shard.weights {
            let source = &weights.at(plan.sample.periods[frame.w_period])[start..start + rows];
            let out = &mut self.rows.col_mut(WEIGHTS)[..rows];
            multiply(source, &used, out);
            plan.scale_weights(out);
        }
        if let Some(period) = frame.rows {
            let source = &shard.outcomes_in(segment, plan.sample.periods[period])[start..start + rows];
            let out = &mut self.outcomes.col_mut(LEVEL)[..rows];
            standardize(source, &used, plan.regression.outcome_center, 1.0, out);
        }
        self.load_design(plan, shard, frame, &used);
        self.rows.col_mut(USED)[..rows].copy_from_slice(&used);
    }

    /// Mask of the units whose row the frame uses.
    fn frame_rows(
        &self,
        plan: &Plan,
        shard: &Shard,
        segment: &Segment,
        frame: &Frame,
        mut used: Vec<f64>,
    ) -> Vec<f64> {
        if let (Some(rows), true) = (frame.rows, masks_rows(shard, segment, frame)) {
            let needed = [rows, if frame.needs_weight_row { frame.w_period } else { rows }];
            for (unit, flag) in used[..self.units].iter_mut().enumerate() {
                let there = needed
                    .iter()
                    .all(|&q| shard.is_observed(segment, self.start + unit, plan.sample.periods[q]));
                *flag *= f64::from(there);
            }
        }
        used
    }

    fn load_design(&mut self, plan: &Plan, shard: &Shard, frame: &Frame, used: &[f64]) {
        let (rows, start) = (self.padded, self.start);
        let period = plan.sample.periods[frame.x_period];
        let scales = &plan.regression.standardization;
        for (index, column) in plan.regression.design.columns.iter().enumerate() {
            let (center, inverse) = (scales.center[index], 1.0 / scales.scale[index]);
            match column.parts.as_slice() {
                [] => self.design.col_mut(index)[..rows].copy_from_slice(used),
                [Factor::Numeric(atom)] => {
                    let values = &shard.atoms[*atom].at(period)[start..start + rows];
                    standardize(values, used, center, inverse, &mut self.design.col_mut(index)[..rows]);
                }
                parts => {
                    let product = &mut self.rows.col_mut(PRODUCT)[..rows];
                    product.fill(1.0);
                    for part in parts {
                        multiply_part(part, shard, period, start, product);
                    }
                    standardize(product, used, center, inverse, &mut self.design.col_mut(index)[..rows]);
                }
            }
        }
        if scales.intercept.is_none() {
            self.design.col_mut(plan.regressor_count())[..rows].copy_from_slice(used);
        }
    }

    /// The block in the frame that was loaded last.
    pub fn block(&self, plan: &Plan) -> Block<'_> {
        let rows = self.padded;
        Block {
            design: self.design.view(rows, self.design.count()),
            regressors: plan.regressor_count(),
            ones: plan.ones_column(),
            weights: &self.rows.col(if plan.weights.weighted { WEIGHTS } else { USED })[..rows],
            used: &self.rows.col(USED)[..rows],
            outcomes: self.outcomes.view(rows, self.outcomes.count()),
        }
    }
}

/// Tells if a frame may leave out rows of units that are used.
pub fn masks_rows(shard: &Shard, segment: &Segment, frame: &Frame) -> bool {
    frame.rows.is_some() && shard.incomplete.is_some() && segment.period.is_none()
}

fn multiply_part(part: &Factor, shard: &Shard, period: usize, start: usize, product: &mut [f64]) {
    match part {
        Factor::Numeric(atom) => {
            let values = &shard.atoms[*atom].at(period)[start..];
            product.iter_mut().zip(values).for_each(|(p, v)| *p *= v);
        }
        Factor::Level { atom, level } => {
            let codes = &shard.atoms[*atom].at(period)[start..];
            let level = *level as f64;
            product.iter_mut().zip(codes).for_each(|(p, c)| *p *= f64::from(*c == level));
        }
    }
}
