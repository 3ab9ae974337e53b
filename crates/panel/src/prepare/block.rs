//! Objects of the shuffle: a mapper's object has a header of offsets, then a block of records for every partition
//! (DESIGN §4).
//!
//! ```text
//! "STGSCAT1" | length of the header, u64 | XXH3-64 of the header, u64 | header, JSON | blocks of partition 0 | of partition 1 | …
//! ```
//! A combiner's object has the same form with some of the partitions; each holds the blocks of several mappers.
//!
//! A block consists of columns: identifiers (64-bit integers; or lengths as u32, then UTF-8 bytes), strata (u16),
//! periods (u16, long records only), then every value column (u64 slots), each padded to 8 bytes. All numbers are
//! little-endian.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stagger_model::error::{Result, StaggerError};
use xxhash_rust::xxh3::xxh3_64;

use crate::gaps::Gaps;

const MAGIC: &[u8; 8] = b"STGSCAT1";
/// Number of bytes before the header's JSON.
pub(super) const PREAMBLE: usize = 24;

/// Header of an object: its partitions and mappers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectHeader {
    /// Number of the first partition in the object.
    pub first: usize,
    /// Headers of its mappers; a scatter object has one.
    pub members: Vec<MapperHeader>,
}

impl ObjectHeader {
    /// Returns the partitions whose blocks the object holds.
    pub fn partition_range(&self) -> Range<usize> {
        let count = self.members.first().map_or(0, |m| m.records.len());
        self.first..self.first + count
    }
}

/// Header of one mapper: the meaning of the codes in its records, and the lengths of its blocks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MapperHeader {
    /// Cohort (`None`: never treated) and eligibility, by stratum code.
    pub strata: Vec<(Option<f64>, bool)>,
    /// Periods, by code.
    pub periods: Vec<f64>,
    /// Texts, by code.
    pub texts: Vec<String>,
    /// True if identifiers are texts.
    pub text_ids: bool,
    /// By field of wide records: true if there is a value column for every period. `None` for long records, with one
    /// value column for each field.
    pub wide: Option<Vec<bool>>,
    /// Number of input rows with unit, period and eligibility.
    pub rows: u64,
    /// Number of input rows without one of them.
    pub keyless_rows: u64,
    /// Number of rows whose missing cohort was read as never treated.
    pub cohortless_rows: u64,
    /// Rows without a value, by column.
    #[serde(default, skip_serializing_if = "Gaps::is_empty")]
    pub gaps: Gaps,
    /// Number of records, by partition.
    pub records: Vec<u32>,
    /// Sum of the bytes of the blocks before each block, and of all blocks: partitions + 1 values.
    pub offsets: Vec<u64>,
    /// XXH3-64 of every block.
    pub checksums: Vec<u64>,
}

/// Identifiers of records.
#[derive(Clone, Debug)]
pub(super) enum RecordIds {
    /// Integers.
    Integers(Vec<i64>),
    /// Texts: their lengths in bytes, and the bytes one after the other.
    Texts {
        /// Length of each text in bytes.
        lengths: Vec<u32>,
        /// Bytes of all texts.
        bytes: Vec<u8>,
    },
}

/// Records of one partition, collected by a mapper.
#[derive(Clone, Debug)]
pub(super) struct BlockWriter {
    /// Identifiers.
    pub ids: RecordIds,
    /// Stratum codes.
    pub strata: Vec<u16>,
    /// Period codes; empty for wide records.
    pub periods: Vec<u16>,
    /// Value columns of slots.
    pub values: Vec<Vec<u64>>,
}

impl BlockWriter {
    /// Returns an empty block whose records have `columns` values, with room for `records` of them.
    pub(super) fn new(text_ids: bool, columns: usize, records: usize) -> Self {
        let ids = match text_ids {
            true => RecordIds::Texts { lengths: Vec::with_capacity(records), bytes: Vec::new() },
            false => RecordIds::Integers(Vec::with_capacity(records)),
        };
        Self {
            ids,
            strata: Vec::with_capacity(records),
            periods: Vec::new(),
            values: vec![Vec::with_capacity(records); columns],
        }
    }

    /// Returns the number of records so far.
    pub(super) fn len(&self) -> usize {
        self.strata.len()
    }

    fn bytes(&self) -> usize {
        let ids = match &self.ids {
            RecordIds::Integers(ids) => 8 * ids.len(),
            RecordIds::Texts { lengths, bytes } => {
                (4 * lengths.len()).next_multiple_of(8) + bytes.len().next_multiple_of(8)
            }
        };
        ids + (2 * self.strata.len()).next_multiple_of(8)
            + (2 * self.periods.len()).next_multiple_of(8)
            + self.values.iter().map(|v| 8 * v.len()).sum::<usize>()
    }

    fn append_to(self, out: &mut Vec<u8>) {
        match self.ids {
            RecordIds::Integers(ids) => extend(out, ids.iter().map(|v| v.to_le_bytes())),
            RecordIds::Texts { lengths, bytes } => {
                extend(out, lengths.iter().map(|v| v.to_le_bytes()));
                out.extend_from_slice(&bytes);
                pad(out);
            }
        }
        extend(out, self.strata.iter().map(|v| v.to_le_bytes()));
        extend(out, self.periods.iter().map(|v| v.to_le_bytes()));
        for column in self.values {
            extend(out, column.iter().map(|v| v.to_le_bytes()));
        }
    }
}

fn extend<const N: usize>(out: &mut Vec<u8>, values: impl Iterator<Item = [u8; N]>) {
    values.for_each(|value| out.extend_from_slice(&value));
    pad(out);
}

/// Blocks start at multiples of 8 after the header, and so do their columns.
fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(8), 0);
}

/// Encodes a mapper's object; `header` needs no records, offsets and checksums yet.
///
/// # Errors
/// A header that can't be serialized.
pub(super) fn encode_mapper_object(mut header: MapperHeader, blocks: Vec<BlockWriter>) -> Result<Bytes> {
    header.records = blocks.iter().map(|block| block.len() as u32).collect();
    header.offsets = vec![0];
    for block in &blocks {
        header.offsets.push(header.offsets.last().copied().unwrap_or_default() + block.bytes() as u64);
    }
    // The checksums are known last; room is left for the longest ones.
    header.checksums = vec![u64::MAX; blocks.len()];
    let mut contents = ObjectHeader { first: 0, members: vec![header] };
    let room = json(&contents)?.len().next_multiple_of(8);
    let data = contents.members.iter().flat_map(|m| m.offsets.last()).sum::<u64>() as usize;
    let mut out = Vec::with_capacity(PREAMBLE + room + data);
    out.resize(PREAMBLE + room, b' ');
    for (index, block) in blocks.into_iter().enumerate() {
        let start = out.len();
        block.append_to(&mut out);
        contents.members[0].checksums[index] = xxh3_64(&out[start..]);
    }
    write_header(&contents, room, &mut out)?;
    Ok(Bytes::from(out))
}

/// Encodes an object from its header and the bytes of its blocks, partition by partition; `bytes` is their total
/// number.
///
/// # Errors
/// A header that can't be serialized.
pub(super) fn encode_combined_object<'a>(
    contents: &ObjectHeader,
    data: impl Iterator<Item = &'a [u8]>,
    bytes: usize,
) -> Result<Bytes> {
    let room = json(contents)?.len().next_multiple_of(8);
    let mut out = Vec::with_capacity(PREAMBLE + room + bytes);
    out.resize(PREAMBLE + room, b' ');
    data.for_each(|block| out.extend_from_slice(block));
    write_header(contents, room, &mut out)?;
    Ok(Bytes::from(out))
}

fn json(contents: &ObjectHeader) -> Result<Vec<u8>> {
    serde_json::to_vec(contents)
        .map_err(|e| StaggerError::failed(format!("a scatter header can't be written: {e}")))
}

/// Writes the header over the blanks that were left for it; remaining blanks keep the blocks at multiples of 8.
fn write_header(contents: &ObjectHeader, room: usize, out: &mut [u8]) -> Result<()> {
    let json = json(contents)?;
    out[PREAMBLE..PREAMBLE + json.len()].copy_from_slice(&json);
    let checksum = xxh3_64(&out[PREAMBLE..PREAMBLE + room]);
    out[..8].copy_from_slice(MAGIC);
    out[8..16].copy_from_slice(&(room as u64).to_le_bytes());
    out[16..PREAMBLE].copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// Returns the length of the header's JSON, from the first [`PREAMBLE`] bytes of an object.
///
/// # Errors
/// Bytes that are not a scatter object's.
pub(super) fn header_length(bytes: &[u8], key: &str) -> Result<usize> {
    match (bytes.get(..8), bytes.get(8..16)) {
        (Some(magic), Some(length)) if magic == MAGIC => Ok(u64_at(length, 0) as usize),
        _ => Err(damage_error(key, "it is no scatter object")),
    }
}

/// Decodes the header of an object that starts with `bytes`.
///
/// # Errors
/// A header that is cut short or whose checksum does not fit.
pub(super) fn decode_header(bytes: &[u8], key: &str) -> Result<ObjectHeader> {
    let length = header_length(bytes, key)?;
    let json =
        bytes.get(PREAMBLE..PREAMBLE + length).ok_or_else(|| damage_error(key, "its header is cut short"))?;
    if xxh3_64(json) != u64_at(bytes, 16) {
        return Err(damage_error(key, "the checksum of its header does not fit"));
    }
    serde_json::from_slice(json).map_err(|e| damage_error(key, &e.to_string()))
}

/// Returns the error for an object that can't be used.
pub(super) fn damage_error(key: &str, why: &str) -> StaggerError {
    StaggerError::failed(format!("`{key}` can't be used: {why}"))
        .with_hint("remove the store's `_prepare` folder and prepare again")
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// Records of one partition from one mapper.
#[derive(Clone, Debug)]
pub(super) struct Block {
    bytes: Bytes,
    records: usize,
    ids: IdPlace,
    strata: usize,
    periods: usize,
    values: usize,
}

#[derive(Clone, Debug)]
enum IdPlace {
    Integers,
    /// Start of each text, and the end of the last one.
    Texts(Vec<usize>),
}

/// Identifier of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RecordId<'a> {
    /// An integer.
    Integer(i64),
    /// A text, as bytes.
    Text(&'a [u8]),
}

impl Block {
    /// Decodes the block of a partition.
    ///
    /// # Errors
    /// A checksum that does not fit.
    pub(super) fn decode(header: &MapperHeader, partition: usize, bytes: Bytes, key: &str) -> Result<Self> {
        if xxh3_64(&bytes) != header.checksums[partition] {
            return Err(damage_error(key, &format!("the checksum of its block {partition} does not fit")));
        }
        let records = header.records[partition] as usize;
        let (ids, strata) = if header.text_ids {
            let mut at = (4 * records).next_multiple_of(8);
            let mut starts = Vec::with_capacity(records + 1);
            for record in 0..records {
                starts.push(at);
                let mut length = [0; 4];
                length.copy_from_slice(&bytes[4 * record..4 * record + 4]);
                at += u32::from_le_bytes(length) as usize;
            }
            starts.push(at);
            (IdPlace::Texts(starts), at.next_multiple_of(8))
        } else {
            (IdPlace::Integers, 8 * records)
        };
        let codes = (2 * records).next_multiple_of(8);
        let periods = strata + codes;
        let values = periods + if header.wide.is_some() { 0 } else { codes };
        Ok(Self { bytes, records, ids, strata, periods, values })
    }

    /// Returns the number of records.
    pub(super) fn len(&self) -> usize {
        self.records
    }

    /// Returns the identifier of a record.
    #[inline]
    pub(super) fn id(&self, record: usize) -> RecordId<'_> {
        match &self.ids {
            IdPlace::Integers => RecordId::Integer(u64_at(&self.bytes, 8 * record) as i64),
            IdPlace::Texts(starts) => RecordId::Text(&self.bytes[starts[record]..starts[record + 1]]),
        }
    }

    #[inline]
    fn code(&self, start: usize, record: usize) -> u16 {
        u16::from_le_bytes([self.bytes[start + 2 * record], self.bytes[start + 2 * record + 1]])
    }

    /// Returns the stratum code of a record.
    #[inline]
    pub(super) fn stratum(&self, record: usize) -> u16 {
        self.code(self.strata, record)
    }

    /// Returns the period code of a record; long records only.
    #[inline]
    pub(super) fn period(&self, record: usize) -> u16 {
        self.code(self.periods, record)
    }

    /// Returns a value column.
    #[inline]
    pub(super) fn values(&self, column: usize) -> Slots<'_> {
        let start = self.values + 8 * self.records * column;
        Slots(&self.bytes[start..start + 8 * self.records])
    }
}

/// A value column: one slot for each record, as [`crate::slots`] encodes values.
#[derive(Clone, Copy)]
pub(super) struct Slots<'a>(&'a [u8]);

impl Slots<'_> {
    /// Returns the slot of a record.
    #[inline]
    pub(super) fn at(&self, record: usize) -> u64 {
        u64_at(self.0, 8 * record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: bool) -> BlockWriter {
        let mut out = BlockWriter::new(text, 2, 3);
        out.ids = match text {
            false => RecordIds::Integers(vec![-1, i64::MAX, 7]),
            true => RecordIds::Texts { lengths: vec![1, 0, 3], bytes: "aüx".as_bytes().to_vec() },
        };
        out.strata = vec![0, 1, 2];
        out.periods = vec![3, 4, 5];
        out.values = vec![vec![10, 11, 12], vec![20, 21, 22]];
        out
    }

    #[test]
    fn what_is_written_is_read() {
        for text in [false, true] {
            let header = MapperHeader { text_ids: text, ..MapperHeader::default() };
            let object = encode_mapper_object(header, vec![BlockWriter::new(text, 2, 0), block(text)])
                .expect("an object");
            let contents = decode_header(&object, "k").expect("a header");
            let length = header_length(&object, "k").expect("a length");
            let offset = |at: usize| PREAMBLE + length + contents.members[0].offsets[at] as usize;
            let bytes = object.slice(offset(1)..offset(2));
            let read = Block::decode(&contents.members[0], 1, bytes, "k").expect("a block");
            assert_eq!((read.len(), read.stratum(2), read.period(0)), (3, 2, 3));
            assert_eq!((read.values(0).at(1), read.values(1).at(2)), (11, 22));
            match text {
                false => assert_eq!(read.id(1), RecordId::Integer(i64::MAX)),
                true => assert_eq!(
                    (read.id(0), read.id(1), read.id(2)),
                    (RecordId::Text(b"a"), RecordId::Text(b""), RecordId::Text("üx".as_bytes()))
                ),
            }
        }
    }

    #[test]
    fn damage_is_seen() {
        let object = encode_mapper_object(MapperHeader::default(), vec![block(false)]).expect("an object");
        let contents = decode_header(&object, "k").expect("a header");
        let mut bytes = object.to_vec();
        *bytes.last_mut().expect("bytes") ^= 1;
        let length = header_length(&object, "k").expect("a length");
        let block = Bytes::from(bytes).slice(PREAMBLE + length..);
        let error = Block::decode(&contents.members[0], 0, block, "k").expect_err("damage");
        assert_eq!(error.to_string(), "`k` can't be used: the checksum of its block 0 does not fit");
        let mut bytes = object.to_vec();
        bytes[PREAMBLE + 2] ^= 1;
        assert!(decode_header(&bytes, "k").is_err() && decode_header(b"x", "k").is_err());
    }
}
