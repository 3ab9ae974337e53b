//! Rows of the row-major buffers that values are written to before they become columns.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Columns;

/// A NaN that no computation makes. Values are stored exclusive-or'ed with it, so that memory fresh from the system, all
/// zero, reads as "not set".
const MARK: u64 = 0xfff4_5354_4147_4752;
/// What a slot holds before anything is written.
pub(crate) const UNSET: u64 = 0;
/// What a slot holds for a missing value.
pub(crate) const MISSING: u64 = 0x7ff8_0000_0000_0000 ^ MARK;

/// A value as a slot holds it; NaN and infinities are missing, −0 is 0.
#[inline]
pub(crate) fn encode(value: f64) -> u64 {
    if value.is_finite() { (value + 0.0).to_bits() ^ MARK } else { MISSING }
}

/// The value of a slot; NaN if missing or not set.
#[inline]
pub(crate) fn decode(slot: u64) -> f64 {
    f64::from_bits(slot ^ MARK)
}

/// What a slot held, from its decoded value.
pub(crate) fn held(value: f64) -> u64 {
    value.to_bits() ^ MARK
}

/// What a field of a row holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldKind {
    Outcome,
    Covariate { text: bool },
    Weight,
    Cluster { dimension: usize },
}

/// One variable of the row of a unit.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: FieldKind,
    /// First slot.
    pub(crate) offset: usize,
    /// One slot a period; else one slot in all.
    pub(crate) by_period: bool,
    /// Set when a field taken for constant was found to vary, or to be missing somewhere.
    pub(crate) varies: AtomicBool,
}

/// Fields of a unit's row.
#[derive(Debug)]
pub(crate) struct Slots {
    pub(crate) fields: Vec<Field>,
    pub(crate) stride: usize,
}

impl Slots {
    /// Lays out the fields; those for which `by_period` says so get a slot a period.
    pub(crate) fn new(columns: &Columns, periods: usize, by_period: &dyn Fn(usize) -> bool) -> Self {
        let outcomes = columns.outcomes.iter().map(|y| (y.clone(), FieldKind::Outcome));
        let covariates =
            columns.covariates.iter().map(|c| (c.name.clone(), FieldKind::Covariate { text: c.text }));
        let weights = columns.weights.iter().map(|w| (w.clone(), FieldKind::Weight));
        let clusters = columns
            .clusters
            .iter()
            .map(|(name, dimension)| (name.clone(), FieldKind::Cluster { dimension: *dimension }));
        let mut stride = 0;
        let fields = outcomes
            .chain(covariates)
            .chain(weights)
            .chain(clusters)
            .enumerate()
            .map(|(index, (name, kind))| {
                let by_period = kind == FieldKind::Outcome || by_period(index);
                let offset = stride;
                stride += if by_period { periods } else { 1 };
                Field { name, kind, offset, by_period, varies: AtomicBool::new(false) }
            })
            .collect();
        Self { fields, stride }
    }

    /// Whether a field taken for constant turned out not to be.
    pub(crate) fn any_varies(&self) -> bool {
        self.fields.iter().any(|f| f.varies.load(Ordering::Relaxed))
    }
}

/// Row-major slots of one shard.
pub(crate) type Buffer = Vec<AtomicU64>;

/// A buffer of unset slots.
pub(crate) fn buffer(slots: usize) -> Buffer {
    (0..slots).map(|_| AtomicU64::new(UNSET)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
