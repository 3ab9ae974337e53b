//! The blocks of a shuffle, as one stage reports them and the next is told of them: the driver has every object's header in
//! the report of its task, and writes one table of all blocks. A task of the next stage reads its rows of the table and
//! then nothing but blocks: it asks for no sizes and for no headers (PLATFORM §1.2: two of three requests).
//!
//! ```text
//! "STGBLOC1" | length of the contents, u64 | XXH3-64 of the contents, u64 | contents, JSON | row of partition 0 | of partition 1 | …
//! ```
//! A row holds, for every object with blocks of its partition, where they begin (u64), then for each of the object's
//! mappers records, bytes and checksum of the block (u64 each); at its end its own XXH3-64. All numbers are
//! little-endian. As every partition has a block of every mapper, rows are of one length.

use std::ops::Range;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stagger_model::error::{Result, StaggerError};
use stagger_storage::{Condition, Storage};
use xxhash_rust::xxh3::xxh3_64;

use super::block::{MapperHeader, ObjectHeader, PREAMBLE, damage_error};

const MAGIC: &[u8; 8] = b"STGBLOC1";

/// Number of bytes, about, that a table has for each block.
pub const BLOCK_BYTES: u64 = 32;

/// Report of a mapper or a combiner about its object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectReport {
    /// Key of the object.
    pub key: String,
    /// Number of bytes before its first block.
    pub start: u64,
    /// Its partitions and mappers.
    pub contents: ObjectHeader,
}

impl ObjectReport {
    /// Returns the byte range of the blocks of some consecutive partitions.
    pub(super) fn byte_range(&self, partitions: Range<usize>) -> Range<u64> {
        let at = |partition: usize| {
            let offset = |member: &MapperHeader| member.offsets[partition - self.contents.first];
            self.start + self.contents.members.iter().map(offset).sum::<u64>()
        };
        at(partitions.start)..at(partitions.end)
    }

    fn holds(&self, partition: usize) -> bool {
        self.contents.partition_range().contains(&partition)
    }
}

/// Place of a table of blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockTable {
    /// Key of its object.
    pub key: String,
    /// Number of bytes before its first row.
    pub start: u64,
    /// Number of bytes of a row.
    pub row: u64,
}

/// What a table says of all partitions: one entry for each object, whose mappers have no blocks.
#[derive(Serialize, Deserialize)]
struct Contents {
    objects: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    key: String,
    partitions: Range<usize>,
    members: Vec<MapperHeader>,
}

impl BlockTable {
    /// Writes the table of the blocks in some objects, which hold `partitions` partitions.
    ///
    /// # Errors
    /// Storage that fails.
    pub(super) fn write(
        storage: &Storage,
        key: String,
        objects: &[ObjectReport],
        partitions: usize,
    ) -> Result<Self> {
        let json = serde_json::to_vec(&Contents { objects: objects.iter().map(entry).collect() })
            .map_err(|e| StaggerError::failed(format!("a table of blocks can't be written: {e}")))?;
        let mut out = Vec::with_capacity(PREAMBLE + json.len());
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&(json.len() as u64).to_le_bytes());
        out.extend_from_slice(&xxh3_64(&json).to_le_bytes());
        out.extend_from_slice(&json);
        let start = out.len() as u64;
        let mut row = 0;
        for partition in 0..partitions {
            let before = out.len();
            objects.iter().filter(|object| object.holds(partition)).for_each(|object| {
                append_blocks(object, partition, &mut out);
            });
            let sum = xxh3_64(&out[before..]);
            out.extend_from_slice(&sum.to_le_bytes());
            let own = (out.len() - before) as u64;
            if partition > 0 && own != row {
                return Err(StaggerError::failed(format!(
                    "`{key}` can't be written: partition {partition} has {own} bytes, those before have {row}"
                )));
            }
            row = own;
        }
        storage.put(&key, Bytes::from(out), Condition::Always)?;
        Ok(Self { key, start, row })
    }

    /// Reads which objects hold blocks of some consecutive partitions, and where.
    ///
    /// # Errors
    /// Storage that fails, and a table that is damaged.
    pub(super) fn read(&self, storage: &Storage, partitions: Range<usize>) -> Result<Vec<ObjectReport>> {
        let rows =
            self.start + partitions.start as u64 * self.row..self.start + partitions.end as u64 * self.row;
        let read = storage.get_ranges(&self.key, None, &[0..self.start, rows])?;
        let [contents, rows] = read.as_slice() else {
            return Err(damage_error(&self.key, "a part of it is missing"));
        };
        self.decode(contents, rows, partitions).map_err(|why| damage_error(&self.key, &why))
    }

    fn decode(
        &self,
        contents: &[u8],
        rows: &[u8],
        partitions: Range<usize>,
    ) -> std::result::Result<Vec<ObjectReport>, String> {
        let json = contents.get(PREAMBLE..).ok_or("it is too short")?;
        let mut preamble = Words(&contents[..PREAMBLE]);
        if preamble.next() != Some(u64::from_le_bytes(*MAGIC)) {
            return Err("it is no table of blocks".to_owned());
        }
        if preamble.next() != Some(json.len() as u64) || preamble.next() != Some(xxh3_64(json)) {
            return Err("the checksum of its contents does not fit".to_owned());
        }
        let all: Contents = serde_json::from_slice(json).map_err(|e| e.to_string())?;
        let own = |entry: &Entry| {
            entry.partitions.start.max(partitions.start)..entry.partitions.end.min(partitions.end)
        };
        let with = all.objects.into_iter().filter(|entry| !own(entry).is_empty());
        let mut objects: Vec<(Range<usize>, ObjectReport)> =
            with.map(|entry| (entry.partitions.clone(), entry.into_report(partitions.start))).collect();
        let length =
            usize::try_from(self.row).ok().filter(|row| *row >= 8).ok_or("its rows are too short")?;
        let mut found = rows.chunks(length);
        for partition in partitions {
            let row = found.next().filter(|row| row.len() == length).ok_or("a row is missing")?;
            let (row, sum) = row.split_at(length - 8);
            if Words(sum).next() != Some(xxh3_64(row)) {
                return Err(format!("the checksum of partition {partition} does not fit"));
            }
            let mut words = Words(row);
            for (_, object) in objects.iter_mut().filter(|(held, _)| held.contains(&partition)) {
                object.add_blocks(&mut words).ok_or("a row is too short")?;
            }
        }
        Ok(objects.into_iter().map(|(_, object)| object).collect())
    }
}

fn entry(object: &ObjectReport) -> Entry {
    let without = |member: &MapperHeader| MapperHeader {
        records: Vec::new(),
        offsets: Vec::new(),
        checksums: Vec::new(),
        ..member.clone()
    };
    Entry {
        key: object.key.clone(),
        partitions: object.contents.partition_range(),
        members: object.contents.members.iter().map(without).collect(),
    }
}

fn append_blocks(object: &ObjectReport, partition: usize, out: &mut Vec<u8>) {
    let local = partition - object.contents.first;
    let mut push = |word: u64| out.extend_from_slice(&word.to_le_bytes());
    push(object.byte_range(partition..partition).start);
    for member in &object.contents.members {
        push(u64::from(member.records[local]));
        push(member.offsets[local + 1] - member.offsets[local]);
        push(member.checksums[local]);
    }
}

impl Entry {
    /// Returns the report of an object before its blocks are known, from partition `first` on at the earliest.
    fn into_report(self, first: usize) -> ObjectReport {
        let members = self.members.into_iter().map(|member| MapperHeader { offsets: vec![0], ..member });
        let contents = ObjectHeader { first: self.partitions.start.max(first), members: members.collect() };
        ObjectReport { key: self.key, start: 0, contents }
    }
}

impl ObjectReport {
    /// Adds the blocks of the next partition; `None` if the row ends.
    fn add_blocks(&mut self, words: &mut Words<'_>) -> Option<()> {
        let start = words.next()?;
        if self.contents.members.iter().all(|member| member.records.is_empty()) {
            self.start = start;
        }
        for member in &mut self.contents.members {
            member.records.push(u32::try_from(words.next()?).ok()?);
            let before = member.offsets.last().copied().unwrap_or(0);
            member.offsets.push(before.checked_add(words.next()?)?);
            member.checksums.push(words.next()?);
        }
        Some(())
    }
}

/// Numbers of 64 bits, one after the other.
struct Words<'a>(&'a [u8]);

impl Iterator for Words<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let (word, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns objects of `groups` groups of mappers by `ranges` ranges of partitions, as combiners write them.
    fn objects(groups: usize, ranges: usize) -> Vec<ObjectReport> {
        let mut out = Vec::new();
        for group in 0..groups {
            for range in 0..ranges {
                let members = (0..2).map(|member| {
                    let size = |partition: usize| (8 * (1 + group + 3 * member + 5 * partition)) as u64;
                    let mut offsets = vec![0];
                    for partition in 4 * range..4 * range + 4 {
                        offsets.push(offsets.last().unwrap_or(&0) + size(partition));
                    }
                    MapperHeader {
                        periods: vec![group as f64],
                        records: (0..4).map(|local| local + 10 * range as u32).collect(),
                        checksums: (0..4).map(|local| local << 40 | group as u64).collect(),
                        offsets,
                        ..MapperHeader::default()
                    }
                });
                let contents = ObjectHeader { first: 4 * range, members: members.collect() };
                out.push(ObjectReport {
                    key: format!("{group}-{range}"),
                    start: 100 + group as u64,
                    contents,
                });
            }
        }
        out
    }

    fn storage() -> (tempfile::TempDir, Storage) {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = Storage::open(folder.path().to_str().expect("a path")).expect("a storage");
        (folder, storage)
    }

    #[test]
    fn a_task_reads_what_the_reports_say_of_its_partitions() {
        for (groups, ranges) in [(1, 1), (3, 1), (3, 4), (1, 4)] {
            let (_folder, storage) = storage();
            let all = objects(groups, ranges);
            let table = BlockTable::write(&storage, "table".into(), &all, 4 * ranges).expect("a table");
            for first in 0..4 * ranges {
                for end in first + 1..=4 * ranges {
                    let found = table.read(&storage, first..end).expect("rows");
                    let with = all.iter().filter(|o| (first..end).any(|partition| o.holds(partition)));
                    assert_eq!(found.len(), with.clone().count());
                    for (found, whole) in found.iter().zip(with) {
                        assert_eq!(found.key, whole.key);
                        let own = found.contents.partition_range();
                        assert!(own.start >= first && own.end <= end);
                        for partition in own.clone() {
                            let range = partition..partition + 1;
                            assert_eq!(found.byte_range(range.clone()), whole.byte_range(range));
                        }
                        for (found_member, member) in
                            found.contents.members.iter().zip(&whole.contents.members)
                        {
                            let local = own.start - whole.contents.first..own.end - whole.contents.first;
                            assert_eq!(found_member.records, member.records[local.clone()]);
                            assert_eq!(found_member.checksums, member.checksums[local]);
                            assert_eq!(found_member.periods, member.periods);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn any_flipped_bit_of_a_table_is_seen() {
        let (folder, storage) = storage();
        let table = BlockTable::write(&storage, "table".into(), &objects(2, 1), 4).expect("a table");
        let path = folder.path().join("table");
        let whole = std::fs::read(&path).expect("the table");
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            std::fs::write(&path, bytes).expect("a write");
            let error = table.read(&storage, 0..4).expect_err("damage").to_string();
            assert!(error.starts_with("`table` can't be used: "), "{error}");
        }
        std::fs::write(&path, &whole[..whole.len() - 1]).expect("a write");
        assert!(table.read(&storage, 0..4).is_err());
    }
}
