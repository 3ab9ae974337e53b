//! Overlap of the propensity scores: their distribution among treated and controls, as mergeable counts.

use serde::{Deserialize, Serialize};

use crate::block::Block;
use crate::columns::{Columns, View};
use crate::dispatch::multiversion;
use crate::lanes::LANES;
use crate::moments::{TRIM, score_rows};
use crate::propensity::linear_index;
use crate::subset_sums::BLOCK;

/// Bins of the index η = ln(p/(1 − p)), from which quantiles are read.
const INDEX_BINS: usize = 1024;
/// Width of a bin of the index; the outer bins take what lies beyond ±12.8.
const INDEX_WIDTH: f64 = 0.025;
/// Bins of the score itself, for a histogram.
pub const SCORE_BINS: usize = 50;
/// Count, trimmed, Σw, Σw², then the bins.
const HEAD: usize = 4;
const GROUP: usize = HEAD + INDEX_BINS + SCORE_BINS;

/// Scores of the rows of every slot (a logit and a frame), treated and controls apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OverlapPartial {
    /// `slots × 2 × (count, trimmed, Σw, Σw², bins)`; treated first.
    pub sums: Vec<f64>,
    /// `slots × 2 × 2`: minus the smallest and the largest index.
    pub extremes: Vec<f64>,
}

/// Scores of one group of a slot.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// Rows.
    pub count: f64,
    /// Rows that weigh nothing, as their score is 0.995 or more.
    pub trimmed: f64,
    /// (Σw)²/Σw² of the weights by which rows enter: sampling weights of the treated, odds weights of the controls.
    pub effective: f64,
    /// Smallest and largest score.
    pub range: [f64; 2],
    /// Rows by score, [`SCORE_BINS`] bins of equal width over 0 to 1.
    pub histogram: Vec<f64>,
    index_bins: Vec<f64>,
}

/// Work space of the kernel.
#[derive(Clone, Debug)]
pub struct OverlapSpace {
    scores: Columns,
    index: Columns,
}

impl Default for OverlapSpace {
    fn default() -> Self {
        Self { scores: Columns::zeros(BLOCK, 3), index: Columns::zeros(BLOCK, 1) }
    }
}

impl OverlapPartial {
    /// Zero counts.
    pub fn new(slots: usize) -> Self {
        Self { sums: vec![0.0; slots * 2 * GROUP], extremes: vec![f64::NEG_INFINITY; slots * 4] }
    }

    /// Adds the counts of another part of the data.
    pub fn merge(&mut self, other: &Self) {
        self.sums.iter_mut().zip(&other.sums).for_each(|(a, b)| *a += b);
        self.extremes.iter_mut().zip(&other.extremes).for_each(|(a, b)| *a = a.max(*b));
    }

    /// Adds a block of treated or controls to a slot at the logit's final coefficients.
    pub fn add_block(
        &mut self,
        slot: usize,
        block: &Block<'_>,
        treated: bool,
        beta: &[f64],
        space: &mut OverlapSpace,
    ) {
        let (k, rows) = (block.regressors, block.design.rows());
        let design = View::new(block.design.col_span(k), block.design.stride(), rows, k);
        score_rows(design, beta, block.weights, block.used, treated, &mut space.scores);
        index_rows(design, beta, &mut space.index.col_mut(0)[..rows]);
        let group = slot * 2 + usize::from(!treated);
        let sums = &mut self.sums[group * GROUP..(group + 1) * GROUP];
        let extremes = &mut self.extremes[group * 2..group * 2 + 2];
        for row in (0..rows).filter(|&row| block.used[row] > 0.0) {
            let (p, index) = (space.scores.col(0)[row], space.index.col(0)[row]);
            let weight = if treated { block.weights[row] } else { space.scores.col(1)[row] };
            sums[0] += 1.0;
            sums[1] += f64::from(!treated && p >= TRIM);
            sums[2] += weight;
            sums[3] += weight * weight;
            sums[HEAD + index_bin(index)] += 1.0;
            let bin = ((p * SCORE_BINS as f64) as usize).min(SCORE_BINS - 1);
            sums[HEAD + INDEX_BINS + bin] += 1.0;
            extremes[0] = extremes[0].max(-index);
            extremes[1] = extremes[1].max(index);
        }
    }

    /// The scores of one group of a slot.
    pub fn scores(&self, slot: usize, treated: bool) -> Scores {
        let group = slot * 2 + usize::from(!treated);
        let sums = &self.sums[group * GROUP..(group + 1) * GROUP];
        let extremes = &self.extremes[group * 2..group * 2 + 2];
        Scores {
            count: sums[0],
            trimmed: sums[1],
            effective: sums[2] * sums[2] / sums[3],
            range: [score_of(-extremes[0]), score_of(extremes[1])],
            histogram: sums[HEAD + INDEX_BINS..].to_vec(),
            index_bins: sums[HEAD..HEAD + INDEX_BINS].to_vec(),
        }
    }
}

impl Scores {
    /// A quantile of the score, exact to a relative 1.3 % of p(1 − p)-odds: the middle of its bin of the index, within the range.
    pub fn quantile(&self, level: f64) -> f64 {
        let wanted = (level * self.count).ceil().max(1.0);
        let mut below = 0.0;
        for (bin, count) in self.index_bins.iter().enumerate() {
            below += count;
            if below >= wanted {
                let middle = (bin as f64 + 0.5 - INDEX_BINS as f64 / 2.0) * INDEX_WIDTH;
                return score_of(middle).clamp(self.range[0], self.range[1]);
            }
        }
        f64::NAN
    }
}

fn index_bin(index: f64) -> usize {
    let bin = (index / INDEX_WIDTH).floor() + INDEX_BINS as f64 / 2.0;
    bin.clamp(0.0, INDEX_BINS as f64 - 1.0) as usize
}

fn score_of(index: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-index))
}

multiversion! {
    fn index_rows(design: View<'_>, beta: &[f64], out: &mut [f64]) {
        for row in (0..out.len()).step_by(LANES) {
            linear_index(&design, beta, row).store(out, row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows with the index `values` and weight 1, of a design with an intercept alone.
    fn counted(parts: &[(&[f64], bool)]) -> OverlapPartial {
        let mut out = OverlapPartial::new(1);
        for (values, treated) in parts {
            let rows = crate::columns::padded(values.len());
            let mut design = Columns::zeros(BLOCK, 1);
            design.col_mut(0)[..values.len()].copy_from_slice(values);
            let mut used = vec![0.0; rows];
            used[..values.len()].fill(1.0);
            let block = Block {
                design: design.view(rows, 1),
                regressors: 1,
                ones: 0,
                weights: &used,
                used: &used,
                outcomes: design.view(rows, 0),
            };
            out.add_block(0, &block, *treated, &[1.0], &mut OverlapSpace::default());
        }
        out
    }

    #[test]
    fn quantiles_ranges_and_trimming() {
        let values: Vec<f64> = (0..200).map(|i| -4.0 + f64::from(i) * 0.05).collect();
        let partial = counted(&[(&values, false), (&values[..100], true)]);
        let controls = partial.scores(0, false);
        assert_eq!(controls.count, 200.0);
        // η ≥ ln(0.995/0.005) = 5.293 is trimmed: 5.3, 5.35, … 5.95.
        assert_eq!(controls.trimmed, 14.0);
        assert_eq!(partial.scores(0, true).trimmed, 0.0);
        assert!((controls.range[0] - score_of(-4.0)).abs() < 1e-12);
        let median = values[99];
        let found = controls.quantile(0.5);
        assert!((libm::log(found / (1.0 - found)) - median).abs() <= INDEX_WIDTH, "{found}");
        assert_eq!(controls.histogram.iter().sum::<f64>(), 200.0);
        assert_eq!(partial.scores(0, true).effective, 100.0);
    }

    #[test]
    fn merging_is_counting_together() {
        let values: Vec<f64> = (0..100).map(|i| -3.0 + f64::from(i) * 0.07).collect();
        let mut halves = counted(&[(&values[..50], false)]);
        halves.merge(&counted(&[(&values[50..], false)]));
        let whole = counted(&[(&values, false)]);
        assert_eq!(
            (halves.scores(0, false).index_bins, halves.extremes),
            (whole.scores(0, false).index_bins, whole.extremes)
        );
    }
}
