//! The keys of all objects of a run, which are built here and nowhere else. Where there are many objects they lie
//! under two hexadecimal digits of a hash, so that requests spread over S3's partitions of a bucket (PLATFORM §2.3).

use stagger_model::reduction::{ColumnPair, TreeNode};
use xxhash_rust::xxh3::xxh3_64;

use crate::messages::Work;

/// The description of the run: request, versions, store. It is written once, first.
pub const RUN: &str = "run.json";

/// The prefix of the entries of the journal.
pub const JOURNAL: &str = "journal/";

/// Returns the key of an entry of the journal, numbered from 1.
pub fn entry(number: u64) -> String {
    format!("{JOURNAL}{number:08}.json")
}

/// Returns the number of an entry from its key; `None` for any other key.
pub fn entry_number(key: &str) -> Option<u64> {
    key.strip_prefix(JOURNAL)?.strip_suffix(".json")?.parse().ok()
}

/// Returns the key of an object that tasks have in common, by the checksum of its bytes.
pub fn shared_object(checksum: &str) -> String {
    format!("common/{checksum}")
}

/// Returns the key of the estimations' state between two passes, by the checksum of its bytes.
pub fn state(checksum: &str) -> String {
    format!("state/{checksum}")
}

/// The prefix of the results of all tasks of all stages.
pub const RESULTS: &str = "results/";

/// Returns the key of a task's result; `stage` is the checksum of the stage's common object. The sum over a subtree
/// has one key, whichever task makes it.
pub fn result(stage: &str, work: &Work) -> String {
    let name = match work {
        Work::Shards { node, part: Some(ColumnPair { sets, a, b }) } => {
            format!("{}-{sets}.{a}.{b}", subtree(node))
        }
        Work::Shards { node, part: None } | Work::Reduce { node, .. } => subtree(node),
        Work::Scatter(task) => format!("scatter-{task}"),
        Work::Combine(task) => format!("combine-{task}"),
        Work::Gather(task) => format!("gather-{task}"),
        Work::Scan(task) => format!("scan-{task}"),
        Work::Rows(task) => format!("rows-{task}"),
    };
    let spread = xxh3_64(format!("{stage}{name}").as_bytes()) & 0xff;
    format!("{RESULTS}{spread:02x}/{stage}-{name}")
}

fn subtree(node: &TreeNode) -> String {
    format!("{}.{}", node.level, node.index)
}
