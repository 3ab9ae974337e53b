//! The partials of one subtree for every specification that shares the pass, as one object.

use bytes::Bytes;
use stagger_estimation::kernel::Kind;
use stagger_estimation::partial::Partial;
use stagger_model::error::{EngineError, Result};
use stagger_model::reduction::Merge;
use stagger_storage::StoreErrorKind;

const MAGIC: &[u8; 16] = b"stagger bundle 2";

/// The kinds of kernel that made partials: one, or several where they were added from sums of different kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds(u64);

impl Kinds {
    /// Returns the set of one kind.
    pub fn of(kind: Kind) -> Self {
        Self(match kind {
            Kind::Cpu => 1,
            Kind::Cuda => 2,
        })
    }

    /// Returns the union of two sets.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether two results of one task must have the same bytes: both were made by the same kind alone.
    fn binds(self, other: Self) -> bool {
        self == other && self.0.count_ones() == 1
    }
}

/// Partials of one subtree, one per share of the stage.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// The kinds of kernel that made them.
    pub kinds: Kinds,
    /// The partials, in the order of the stage's shares.
    pub partials: Vec<Partial>,
}

impl Merge for Bundle {
    fn merge(&mut self, next: &Self) {
        self.kinds = self.kinds.and(next.kinds);
        self.partials.iter_mut().zip(&next.partials).for_each(|(own, next)| own.merge(next));
    }
}

impl Bundle {
    /// Encodes the bundle: a 16-byte tag, the kinds, the number of partials, and each partial after its length (all
    /// words little-endian `u64`).
    pub fn encode(&self) -> Bytes {
        let parts: Vec<Vec<u8>> = self.partials.iter().map(Partial::encode).collect();
        let mut out = Vec::with_capacity(32 + parts.iter().map(|p| p.len() + 8).sum::<usize>());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&self.kinds.0.to_le_bytes());
        out.extend_from_slice(&(parts.len() as u64).to_le_bytes());
        for part in parts {
            out.extend_from_slice(&(part.len() as u64).to_le_bytes());
            out.extend_from_slice(&part);
        }
        out.into()
    }

    /// Decodes a bundle.
    ///
    /// # Errors
    /// Bytes that are no bundle, or a damaged one.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let (kinds, parts) = parts(bytes).ok_or_else(|| {
            EngineError::failed("damaged partials: they end too soon").with_storage(StoreErrorKind::Corrupt)
        })?;
        let decode =
            |part: &&[u8]| Partial::decode(part).map_err(|e| e.with_storage(StoreErrorKind::Corrupt));
        Ok(Self { kinds, partials: parts.iter().map(decode).collect::<Result<_>>()? })
    }
}

fn parts(bytes: &[u8]) -> Option<(Kinds, Vec<&[u8]>)> {
    fn word(bytes: &mut &[u8]) -> Option<u64> {
        let (word, rest) = bytes.split_first_chunk::<8>()?;
        *bytes = rest;
        Some(u64::from_le_bytes(*word))
    }
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let kinds = Kinds(word(&mut rest)?);
    let count = word(&mut rest)?;
    let mut out = Vec::new();
    for _ in 0..count {
        let length = usize::try_from(word(&mut rest)?).ok()?;
        let (part, after) = rest.split_at_checked(length)?;
        out.push(part);
        rest = after;
    }
    rest.is_empty().then_some((kinds, out))
}

/// Returns whether an earlier attempt's object can be used: a bundle whose checksums fit, or the JSON that a
/// preparation wrote.
pub fn is_whole(bytes: &[u8]) -> bool {
    if bytes.starts_with(MAGIC) {
        return Bundle::decode(bytes).is_ok();
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// Returns whether two whole results of one task contradict each other. Kinds of kernel round differently, so a
/// result of either may stay.
pub fn contradict(known: &[u8], own: &[u8]) -> bool {
    let kinds = |bytes| parts(bytes).map(|(kinds, _)| kinds);
    match (kinds(known), kinds(own)) {
        (Some(known), Some(own)) => known.binds(own),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use stagger_panel::survey::Counts;

    use super::*;

    fn bytes(kinds: &[Kind]) -> Bytes {
        let kinds = kinds.iter().map(|&kind| Kinds::of(kind)).fold(Kinds::default(), Kinds::and);
        Bundle { kinds, partials: vec![Partial::Survey(Counts::Clusters(None))] }.encode()
    }

    #[test]
    fn only_results_of_one_kind_must_be_the_same_bytes() {
        let (cpu, cuda, both) = (bytes(&[Kind::Cpu]), bytes(&[Kind::Cuda]), bytes(&[Kind::Cpu, Kind::Cuda]));
        assert!(contradict(&cpu, &cpu) && contradict(&cuda, &cuda));
        assert!(!contradict(&cpu, &cuda) && !contradict(&both, &cuda) && !contradict(&both, &both));
        assert!(contradict(b"{}", &cpu), "what a preparation wrote is always bound");
    }

    #[test]
    fn sums_remember_all_kinds_that_made_them() {
        let mut sum = Bundle::decode(&bytes(&[Kind::Cpu])).unwrap();
        sum.merge(&Bundle::decode(&bytes(&[Kind::Cuda])).unwrap());
        assert_eq!(sum.kinds, Kinds::of(Kind::Cpu).and(Kinds::of(Kind::Cuda)));
    }
}
