//! Second stage of a shuffle with many mappers and partitions: a combiner puts the blocks of some mappers for some
//! partitions into one object, so that gather tasks make fewer and larger reads (PLATFORM §1.2).

use std::ops::Range;

use bytes::Bytes;
use stagger_model::error::{Result, StaggerError};
use stagger_model::parallel;
use stagger_storage::Storage;

use super::block::{MapperHeader, ObjectHeader, encode_combined_object};
use super::handout::ObjectReport;
use super::steps::readers;

/// Mappers and partitions of one combiner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CombineTask {
    /// Indices of the mappers whose objects it reads.
    pub mappers: Range<usize>,
    /// Partitions whose blocks it copies.
    pub partitions: Range<usize>,
}

/// Returns the combiners: each takes `cut.0` mappers and `cut.1` partitions.
pub(super) fn plan_combiners(mappers: usize, partitions: usize, cut: (usize, usize)) -> Vec<CombineTask> {
    let runs = |count: usize, each: usize| {
        (0..count.div_ceil(each)).map(move |run| run * each..((run + 1) * each).min(count))
    };
    let (by_mapper, by_partition) = (cut.0.max(1), cut.1.max(1));
    runs(mappers, by_mapper)
        .flat_map(|own| {
            runs(partitions, by_partition)
                .map(move |partitions| CombineTask { mappers: own.clone(), partitions })
        })
        .collect()
}

/// Builds a combiner's object from the objects of all mappers.
///
/// # Errors
/// Objects that can't be read.
pub(super) fn combine_blocks(storage: &Storage, all: &[ObjectReport], task: &CombineTask) -> Result<Bytes> {
    let mut members = Vec::with_capacity(task.mappers.len());
    let mut parts: Vec<(Bytes, Vec<u64>)> = Vec::with_capacity(task.mappers.len());
    let own = all.get(task.mappers.clone()).ok_or_else(|| {
        let (wanted, found) = (task.mappers.end, all.len());
        StaggerError::failed(format!("there are objects of {found} mappers, and {wanted} are combined"))
    })?;
    let read = parallel::map(readers(storage), own.len(), |index| {
        let range = own[index].byte_range(task.partitions.clone());
        Ok(storage.get_ranges(&own[index].key, None, std::slice::from_ref(&range))?)
    })?;
    for (object, mut bytes) in own.iter().zip(read) {
        let first = object.contents.first;
        for member in &object.contents.members {
            let member = restrict(member, task.partitions.start - first..task.partitions.end - first);
            parts.push((bytes.pop().unwrap_or_default(), member.offsets.clone()));
            members.push(member);
        }
    }
    let size = parts.iter().map(|(bytes, _)| bytes.len()).sum();
    let data = (0..task.partitions.len()).flat_map(|partition| {
        parts
            .iter()
            .map(move |(bytes, offsets)| &bytes[offsets[partition] as usize..offsets[partition + 1] as usize])
    });
    encode_combined_object(&ObjectHeader { first: task.partitions.start, members }, data, size)
}

/// Restricts a mapper's header to some of its partitions.
fn restrict(header: &MapperHeader, partitions: Range<usize>) -> MapperHeader {
    let base = header.offsets[partitions.start];
    MapperHeader {
        offsets: header.offsets[partitions.start..=partitions.end]
            .iter()
            .map(|offset| offset - base)
            .collect(),
        records: header.records[partitions.clone()].to_vec(),
        checksums: header.checksums[partitions].to_vec(),
        ..header.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_combined_once() {
        let tasks = plan_combiners(5, 8, (2, 3));
        assert_eq!(tasks.len(), 3 * 3);
        let blocks: usize = tasks.iter().map(|t| t.mappers.len() * t.partitions.len()).sum();
        assert_eq!(blocks, 5 * 8);
    }
}
