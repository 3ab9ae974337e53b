//! The partials of one subtree for every specification that shares the pass, as one object.

use bytes::Bytes;
use stagger_estimation::kernel::KernelKind;
use stagger_estimation::partial::Partial;
use stagger_model::error::{Result, StaggerError};
use stagger_model::reduction::Merge;
use stagger_storage::StoreErrorKind;

const MAGIC: &[u8; 16] = b"stagger bundle 2";

/// The kinds of kernel that made partials: one, or several where they were added from sums of different kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelKinds(u64);

impl KernelKinds {
    /// Returns the set of one kind.
    pub fn of(kind: KernelKind) -> Self {
        Self(match kind {
            KernelKind::Cpu => 1,
            KernelKind::Cuda => 2,
        })
    }

    /// Returns the union of two sets.
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns whether two results of one task must have the same bytes: both were made by the same kind alone.
    fn fixes_bits(self, other: Self) -> bool {
        self == other && self.0.count_ones() == 1
    }
}

/// Partials of one subtree, one per share of the stage.
#[derive(Clone, Debug, PartialEq)]
pub struct PartialBundle {
    /// The kinds of kernel that made them.
    pub kinds: KernelKinds,
    /// The partials, in the order of the stage's shares.
    pub partials: Vec<Partial>,
}

impl Merge for PartialBundle {
    fn merge(&mut self, next: &Self) {
        self.kinds = self.kinds.union(next.kinds);
        self.partials.iter_mut().zip(&next.partials).for_each(|(own, next)| own.merge(next));
    }
}

impl PartialBundle {
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
            StaggerError::failed("damaged partials: they end too soon")
                .with_storage_kind(StoreErrorKind::Corrupt)
        })?;
        let decode =
            |part: &&[u8]| Partial::decode(part).map_err(|e| e.with_storage_kind(StoreErrorKind::Corrupt));
        Ok(Self { kinds, partials: parts.iter().map(decode).collect::<Result<_>>()? })
    }
}

fn parts(bytes: &[u8]) -> Option<(KernelKinds, Vec<&[u8]>)> {
    fn word(bytes: &mut &[u8]) -> Option<u64> {
        let (word, rest) = bytes.split_first_chunk::<8>()?;
        *bytes = rest;
        Some(u64::from_le_bytes(*word))
    }
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let kinds = KernelKinds(word(&mut rest)?);
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
pub fn is_intact(bytes: &[u8]) -> bool {
    if bytes.starts_with(MAGIC) {
        return PartialBundle::decode(bytes).is_ok();
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// Returns whether two whole results of one task contradict each other. Kinds of kernel round differently, so a
/// result of either may stay.
pub fn contradicts(known: &[u8], own: &[u8]) -> bool {
    let kinds = |bytes| parts(bytes).map(|(kinds, _)| kinds);
    match (kinds(known), kinds(own)) {
        (Some(known), Some(own)) => known.fixes_bits(own),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use stagger_panel::survey::Counts;

    use super::*;

    fn bytes(kinds: &[KernelKind]) -> Bytes {
        let kinds =
            kinds.iter().map(|&kind| KernelKinds::of(kind)).fold(KernelKinds::default(), KernelKinds::union);
        PartialBundle { kinds, partials: vec![Partial::Survey(Counts::Clusters(None))] }.encode()
    }

    #[test]
    fn only_results_of_one_kind_must_be_the_same_bytes() {
        let (cpu, cuda, both) = (
            bytes(&[KernelKind::Cpu]),
            bytes(&[KernelKind::Cuda]),
            bytes(&[KernelKind::Cpu, KernelKind::Cuda]),
        );
        assert!(contradicts(&cpu, &cpu) && contradicts(&cuda, &cuda));
        assert!(!contradicts(&cpu, &cuda) && !contradicts(&both, &cuda) && !contradicts(&both, &both));
        assert!(contradicts(b"{}", &cpu), "what a preparation wrote is always bound");
    }

    #[test]
    fn sums_remember_all_kinds_that_made_them() {
        let mut sum = PartialBundle::decode(&bytes(&[KernelKind::Cpu])).unwrap();
        sum.merge(&PartialBundle::decode(&bytes(&[KernelKind::Cuda])).unwrap());
        assert_eq!(sum.kinds, KernelKinds::of(KernelKind::Cpu).union(KernelKinds::of(KernelKind::Cuda)));
    }
}
