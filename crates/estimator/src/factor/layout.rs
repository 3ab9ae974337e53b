//! Features of a group of units and their order.

use serde::{Deserialize, Serialize};

/// A column of the data of which influence functions are linear combinations. All but the first two are multiplied by the
/// unit's weight in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Feature {
    /// 1 for every used unit.
    Unit,
    /// The unit's weight in the share of its cohort (FORMULAS §6).
    Share,
    /// The product of two design columns in a frame, `a <= b`.
    Design {
        /// Index of the frame.
        frame: usize,
        /// Index of a design column.
        a: usize,
        /// Index of the other one.
        b: usize,
    },
    /// The product of a design column and an outcome in a frame.
    Outcome {
        /// Index of the frame.
        frame: usize,
        /// Index of the design column.
        design: usize,
        /// Column of the outcome in a block.
        column: usize,
    },
}

impl Feature {
    /// The product of two design columns, in whichever order they are given.
    pub fn product(frame: usize, a: usize, b: usize) -> Self {
        Self::Design { frame, a: a.min(b), b: a.max(b) }
    }

    /// The frame that has to be loaded for it; `None` for those of the unit itself.
    pub fn frame(self) -> Option<usize> {
        match self {
            Self::Unit | Self::Share => None,
            Self::Design { frame, .. } | Self::Outcome { frame, .. } => Some(frame),
        }
    }
}

/// The features of a group of units, in the order of a list that all groups share.
///
/// Positions count the group's own features.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureLayout {
    /// Identifiers of the features, ascending: indices into the shared list.
    pub ids: Vec<u32>,
    /// By feature: the position of the one whose change it continues, the outcome of the period before; always smaller.
    pub previous: Vec<Option<u32>>,
    /// By feature: the position of the feature that its pivot multiplies, for an outcome the design column alone.
    pub base: Vec<Option<u32>>,
}

impl FeatureLayout {
    /// Number of features.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns true if there is no feature.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Position of a feature.
    pub fn position(&self, id: u32) -> Option<usize> {
        self.ids.binary_search(&id).ok()
    }

    /// Turns coefficients of the features into coefficients of their changes less the pivots.
    ///
    /// A feature is the sum of the changes up to it, each with its pivot times the base.
    pub(super) fn to_changes(&self, pivots: &[f64], coefficients: &mut [f64]) {
        for at in (0..self.len()).rev() {
            let own = coefficients[at];
            if own == 0.0 {
                continue;
            }
            if let Some(previous) = self.previous[at] {
                coefficients[previous as usize] += own;
            }
            if let Some(base) = self.base[at] {
                coefficients[base as usize] += own * pivots[at];
            }
        }
    }

    /// Turns moments with the changes less the pivots into moments with the features.
    pub(super) fn of_features(&self, pivots: &[f64], moments: &mut [f64]) {
        for at in 0..self.len() {
            if let Some(base) = self.base[at] {
                moments[at] += pivots[at] * moments[base as usize];
            }
            if let Some(previous) = self.previous[at] {
                moments[at] += moments[previous as usize];
            }
        }
    }

    /// Returns true if positions refer to earlier features, as the sums need it; false for data that somebody has changed.
    pub fn is_sound(&self) -> bool {
        let count = self.len();
        let earlier = |links: &[Option<u32>]| {
            links.iter().enumerate().all(|(at, link)| link.is_none_or(|link| (link as usize) < at))
        };
        let plain = |base: u32| {
            let base = base as usize;
            self.previous[base].is_none() && self.base[base].is_none()
        };
        self.previous.len() == count
            && self.base.len() == count
            && self.ids.windows(2).all(|pair| pair[0] < pair[1])
            && earlier(&self.previous)
            && earlier(&self.base)
            && self.base.iter().flatten().all(|&base| plain(base))
    }
}
