//! Partials of one subtree for every specification that shares the pass, as one object.

use bytes::Bytes;

use crate::error::{EngineError, Result};
use crate::partial::Partial;
use crate::reduce::Merge;
use crate::store::StoreErrorKind;

const MAGIC: &[u8; 16] = b"stagger bundle 1";

/// Partials, one a share of the stage.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bundle(pub(crate) Vec<Partial>);

impl Merge for Bundle {
    fn merge(&mut self, next: &Self) {
        self.0.iter_mut().zip(&next.0).for_each(|(own, next)| own.merge(next));
    }
}

impl Bundle {
    pub(crate) fn encode(&self) -> Bytes {
        let parts: Vec<Vec<u8>> = self.0.iter().map(Partial::encode).collect();
        let mut out = Vec::with_capacity(24 + parts.iter().map(|p| p.len() + 8).sum::<usize>());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&(parts.len() as u64).to_le_bytes());
        for part in parts {
            out.extend_from_slice(&(part.len() as u64).to_le_bytes());
            out.extend_from_slice(&part);
        }
        out.into()
    }

    /// # Errors
    /// Bytes that are no bundle, or a damaged one.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let parts = parts(bytes).ok_or_else(|| {
            EngineError::failed("damaged partials: they end too soon").with_storage(StoreErrorKind::Corrupt)
        })?;
        let decode =
            |part: &&[u8]| Partial::decode(part).map_err(|e| e.with_storage(StoreErrorKind::Corrupt));
        Ok(Self(parts.iter().map(decode).collect::<Result<_>>()?))
    }
}

fn parts(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    fn word(bytes: &mut &[u8]) -> Option<usize> {
        let (word, rest) = bytes.split_first_chunk::<8>()?;
        *bytes = rest;
        usize::try_from(u64::from_le_bytes(*word)).ok()
    }
    let mut rest = bytes.strip_prefix(MAGIC)?;
    let count = word(&mut rest)?;
    let mut out = Vec::new();
    for _ in 0..count {
        let length = word(&mut rest)?;
        let (part, after) = rest.split_at_checked(length)?;
        out.push(part);
        rest = after;
    }
    rest.is_empty().then_some(out)
}

/// Whether an earlier attempt's object can be used: a bundle whose checksums fit, or what a preparation wrote, which is JSON.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    if bytes.starts_with(MAGIC) {
        return Bundle::decode(bytes).is_ok();
    }
    serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}
