//! `Gram`: XᵀWX, XᵀX and XᵀWY of every (stratum, frame).

use serde::{Deserialize, Serialize};

use crate::block::Block;
use crate::columns::Columns;
use crate::cross_products::{add_cross, add_cross_symmetric, mirror, scale_columns};
use crate::subset_sums::BLOCK;

/// Sizes of the sums of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GramShape {
    /// Design columns, the ones column included.
    pub columns: usize,
    /// Periods.
    pub periods: usize,
    /// A weight column is given, so that the unweighted XᵀX is kept besides.
    pub weighted: bool,
}

impl GramShape {
    fn squares(&self) -> usize {
        self.columns * self.columns
    }

    /// Sums a key has.
    pub fn len(&self) -> usize {
        self.squares() * (1 + usize::from(self.weighted)) + self.columns * self.periods
    }

    /// Never: a design has at least one column.
    pub fn is_empty(&self) -> bool {
        self.columns == 0
    }
}

/// Sums of all keys, key after key; adding two partials adds the sums.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GramPartial {
    /// Sizes.
    pub shape: GramShape,
    /// `keys × shape.len()`.
    pub sums: Vec<f64>,
}

/// Work space of the kernel.
#[derive(Clone, Debug)]
pub struct GramWorkspace(Columns);

impl GramWorkspace {
    /// Space for blocks of `columns` design columns.
    pub fn new(columns: usize) -> Self {
        Self(Columns::zeros(BLOCK, columns))
    }
}

impl GramPartial {
    /// Zero sums for `keys` keys.
    pub fn new(keys: usize, shape: GramShape) -> Self {
        Self { shape, sums: vec![0.0; keys * shape.len()] }
    }

    /// Adds a block to the sums of `key`.
    pub fn add_block(&mut self, key: usize, block: &Block<'_>, space: &mut GramWorkspace) {
        let shape = self.shape;
        let sums = &mut self.sums[key * shape.len()..(key + 1) * shape.len()];
        let (squares, rest) = sums.split_at_mut(shape.squares());
        let (unweighted, outcomes) = rest.split_at_mut(if shape.weighted { shape.squares() } else { 0 });
        if shape.weighted {
            scale_columns(block.design, block.weights, &mut space.0);
            let scaled = space.0.view(block.design.rows(), shape.columns);
            add_cross_symmetric(scaled, block.design, squares);
            add_cross_symmetric(block.design, block.design, unweighted);
            add_cross(scaled, block.outcomes, outcomes);
        } else {
            add_cross_symmetric(block.design, block.design, squares);
            add_cross(block.design, block.outcomes, outcomes);
        }
    }

    /// Adds the sums of another part of the data.
    pub fn merge(&mut self, other: &Self) {
        add(&mut self.sums, &other.sums);
    }

    /// The sums of one key, triangles completed.
    pub fn key(&self, key: usize) -> GramSums {
        self.complete(self.own(key))
    }

    /// The sums of several keys, added in their order; none without a key.
    pub fn sum_of(&self, keys: impl IntoIterator<Item = usize>) -> Option<GramSums> {
        let mut keys = keys.into_iter();
        let mut total = self.own(keys.next()?).to_vec();
        keys.for_each(|key| add(&mut total, self.own(key)));
        Some(self.complete(&total))
    }

    fn own(&self, key: usize) -> &[f64] {
        &self.sums[key * self.shape.len()..(key + 1) * self.shape.len()]
    }

    fn complete(&self, sums: &[f64]) -> GramSums {
        let shape = self.shape;
        let mut weighted = sums[..shape.squares()].to_vec();
        mirror(&mut weighted, shape.columns);
        let mut unweighted = if shape.weighted {
            sums[shape.squares()..2 * shape.squares()].to_vec()
        } else {
            weighted.clone()
        };
        mirror(&mut unweighted, shape.columns);
        let outcomes = sums[shape.len() - shape.columns * shape.periods..].to_vec();
        GramSums { shape, weighted, unweighted, outcomes }
    }
}

/// Cross products of one key or of several added.
#[derive(Clone, Debug, PartialEq)]
pub struct GramSums {
    /// Sizes.
    pub shape: GramShape,
    /// XᵀWX, row by row.
    pub weighted: Vec<f64>,
    /// XᵀX, row by row.
    pub unweighted: Vec<f64>,
    /// XᵀWY: one row a design column, one column a period.
    pub outcomes: Vec<f64>,
}

impl GramSums {
    /// Adds the sums of another stratum.
    pub fn add(&mut self, other: &Self) {
        add(&mut self.weighted, &other.weighted);
        add(&mut self.unweighted, &other.unweighted);
        add(&mut self.outcomes, &other.outcomes);
    }

    /// Σ w x_j (Y_time − Y_base).
    pub fn outcome(&self, column: usize, time: usize, base: usize) -> f64 {
        let row = &self.outcomes[column * self.shape.periods..(column + 1) * self.shape.periods];
        row[time] - row[base]
    }
}

fn add(into: &mut [f64], from: &[f64]) {
    for (a, b) in into.iter_mut().zip(from) {
        *a += b;
    }
}
