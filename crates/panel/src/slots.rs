//! Row-major buffers of slots, which hold values before they become columns.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use stagger_estimator::columns::AlignedVec;

use crate::columns::Columns;
use crate::slot::UNSET;

/// Content of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldRole {
    /// An outcome.
    Outcome,
    /// A covariate; with `text` true the code of an interned text, else a number.
    Covariate {
        /// True for a text.
        text: bool,
    },
    /// A sampling weight.
    Weight,
    /// The key of a cluster variable, the `dimension`th of its specification.
    Cluster {
        /// Position among the specification's cluster variables.
        dimension: usize,
    },
}

/// One variable in the row of a unit.
#[derive(Debug)]
pub struct SlotField {
    /// Name of its column.
    pub name: String,
    /// Content.
    pub kind: FieldRole,
    /// Position of its first slot in the row.
    pub offset: usize,
    /// True if the field has one slot for each period, else it has a single slot.
    pub by_period: bool,
    /// Set when a field with a single slot was found to vary, or to be missing somewhere.
    pub varies: AtomicBool,
}

/// The fields in the row of a unit.
#[derive(Debug)]
pub struct SlotLayout {
    /// The fields: outcomes, covariates, weights, clusters.
    pub fields: Vec<SlotField>,
    /// Number of slots in a row.
    pub stride: usize,
}

impl SlotLayout {
    /// Lays out the fields; those for which `by_period(index)` is true, and outcomes, get one slot for each period.
    pub fn new(columns: &Columns, periods: usize, by_period: &dyn Fn(usize) -> bool) -> Self {
        let outcomes = columns.outcomes.iter().map(|y| (y.clone(), FieldRole::Outcome));
        let covariates =
            columns.covariates.iter().map(|c| (c.name.clone(), FieldRole::Covariate { text: c.text }));
        let weights = columns.weights.iter().map(|w| (w.clone(), FieldRole::Weight));
        let clusters = columns
            .clusters
            .iter()
            .map(|(name, dimension)| (name.clone(), FieldRole::Cluster { dimension: *dimension }));
        let mut stride = 0;
        let fields = outcomes
            .chain(covariates)
            .chain(weights)
            .chain(clusters)
            .enumerate()
            .map(|(index, (name, kind))| {
                let by_period = kind == FieldRole::Outcome || by_period(index);
                let offset = stride;
                stride += if by_period { periods } else { 1 };
                SlotField { name, kind, offset, by_period, varies: AtomicBool::new(false) }
            })
            .collect();
        Self { fields, stride }
    }

    /// Tells if a column has one slot for each period in one of its roles.
    pub fn by_period(&self, name: &str) -> bool {
        self.fields.iter().any(|f| f.by_period && f.name == name)
    }

    /// Tells if a field with a single slot was found to vary.
    pub fn any_field_varies(&self) -> bool {
        self.fields.iter().any(|f| f.varies.load(Ordering::Relaxed))
    }
}

/// The slots of all shards, in one piece of memory in which columns later take the place of slots. A shard's slots are
/// row-major: rows × stride.
#[derive(Debug)]
pub struct SlotMemory {
    values: AlignedVec,
    /// Index of the first slot of each shard, and the number of all slots.
    starts: Vec<usize>,
}

impl SlotMemory {
    /// Allocates slots that are not set for shards of these numbers of rows, each a whole number of lanes.
    pub fn new(rows: impl Iterator<Item = usize>, stride: usize) -> Self {
        let mut starts = vec![0];
        let mut slots = 0;
        for rows in rows {
            slots += rows * stride;
            starts.push(slots);
        }
        // Fresh memory from the system is all zero, as slots are that are not set.
        const { assert!(UNSET == 0) };
        Self { values: AlignedVec::zeros(slots), starts }
    }

    /// Returns the slots of each shard, for threads to write to.
    pub fn shards(&mut self) -> Vec<&[AtomicU64]> {
        let values: &mut [f64] = &mut self.values;
        // SAFETY: both types have 8 bytes, aligned to 8 on the targets with 64-bit atomics, and every pattern of bits is
        // a value of both. The exclusive borrow outlives the slots, so nothing else reaches the memory.
        #[allow(unsafe_code)]
        let slots: &[AtomicU64] =
            unsafe { std::slice::from_raw_parts(values.as_mut_ptr().cast::<AtomicU64>(), values.len()) };
        self.starts.windows(2).map(|ends| &slots[ends[0]..ends[1]]).collect()
    }

    /// Returns the memory of each shard, as numbers with the bits of the slots.
    pub fn shards_mut(&mut self) -> Vec<&mut [f64]> {
        let mut rest: &mut [f64] = &mut self.values;
        let mut out = Vec::with_capacity(self.starts.len());
        for ends in self.starts.windows(2) {
            let (own, later) = rest.split_at_mut(ends[1] - ends[0]);
            out.push(own);
            rest = later;
        }
        out
    }

    /// Returns the memory, and the index of the first value of each shard.
    pub fn into_memory(self) -> (Arc<AlignedVec>, Vec<usize>) {
        (Arc::new(self.values), self.starts)
    }
}

#[cfg(test)]
mod tests {
    use crate::slot::{MISSING, UNSET, decode, encode};

    #[test]
    fn no_value_reads_as_unset_or_missing() {
        for value in [0.0, -0.0, 1.5, f64::MIN_POSITIVE, f64::MAX] {
            assert!(encode(value) != UNSET && encode(value) != MISSING);
            assert_eq!(decode(encode(value)), value);
        }
        assert_eq!(encode(f64::NAN), MISSING);
        assert_eq!(encode(f64::INFINITY), MISSING);
        assert!(decode(MISSING).is_nan() && decode(UNSET).is_nan());
    }
}
