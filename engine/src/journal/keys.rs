//! Every key of a run, built here and nowhere else. Objects that are many lie under two hexadecimal digits of a hash, so that
//! requests spread over S3's partitions of a bucket (AWS.md §2.3).

use xxhash_rust::xxh3::xxh3_64;

use crate::reduce::Node;
use crate::worker::protocol::{Part, Work};

/// What the run is: request, versions, store. Written once, first.
pub const RUN: &str = "run.json";

/// Entries of the journal.
pub const JOURNAL: &str = "journal/";

/// An entry of the journal, numbered from 1.
pub fn entry(number: u64) -> String {
    format!("{JOURNAL}{number:08}.json")
}

/// The number of an entry's key.
pub fn entry_number(key: &str) -> Option<u64> {
    key.strip_prefix(JOURNAL)?.strip_suffix(".json")?.parse().ok()
}

/// Something that tasks have in common, by the checksum of its bytes.
pub fn common(checksum: &str) -> String {
    format!("common/{checksum}")
}

/// The state of the estimations after so many stages.
pub fn state(checksum: &str) -> String {
    format!("state/{checksum}")
}

/// Results of tasks, of all stages.
pub const RESULTS: &str = "results/";

/// What a task writes. The sum over a subtree has one key, whoever adds it up.
pub fn result(stage: &str, work: &Work) -> String {
    let name = match work {
        Work::Shards { node, part: Some(Part { sets, a, b }) } => format!("{}-{sets}.{a}.{b}", subtree(node)),
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

fn subtree(node: &Node) -> String {
    format!("{}.{}", node.level, node.index)
}
