//! Keys of the objects of a panel store and of its preparation; no other module builds such keys.
//!
//! Objects that are numerous lie under two hexadecimal digits of a hash, so that requests spread over the partitions
//! that S3 makes of a bucket.

use xxhash_rust::xxh3::xxh3_64;

/// Mark of a preparation under way, with the fingerprint of its inputs and columns. The first of two preparations
/// writes it; it is removed when the store is complete.
pub const IN_PROGRESS: &str = "_prepare/under-way.json";

/// Prefix of all objects that only the preparation needs.
pub const TEMPORARY: &str = "_prepare/";

/// Prefix of the shards.
pub const SHARDS: &str = "shards/";

fn spread(name: &str) -> String {
    format!("{:02x}", xxh3_64(name.as_bytes()) & 0xff)
}

/// Returns the key of a shard, a Parquet file.
pub fn shard(index: usize) -> String {
    let name = format!("{index:06}");
    format!("{SHARDS}{}/{name}.parquet", spread(&name))
}

/// Returns the key of the shuffle plan of a preparation with this fingerprint of inputs and columns.
pub fn shuffle_plan(fingerprint: &str) -> String {
    format!("{TEMPORARY}{fingerprint}/plan.json")
}

/// Returns the key of a mapper's scatter object; `plan` is the digest of the shuffle plan.
pub fn scatter_object(plan: &str, mapper: usize) -> String {
    let name = format!("{mapper:06}");
    format!("{TEMPORARY}{plan}/scatter/{}/{name}", spread(&name))
}

/// Returns the key of a combiner's object: blocks of some mappers for some partitions.
pub fn combined_object(plan: &str, combiner: usize) -> String {
    let name = format!("{combiner:06}");
    format!("{TEMPORARY}{plan}/combine/{}/{name}", spread(&name))
}

/// Returns the key of the table of the blocks that a stage has written.
pub fn block_table(plan: &str, stage: &str) -> String {
    format!("{TEMPORARY}{plan}/blocks/{stage}")
}

/// Returns the key of a gather task's report: the entries of its shards.
pub fn gather_report(plan: &str, task: usize) -> String {
    let name = format!("{task:06}");
    format!("{TEMPORARY}{plan}/gather/{}/{name}.json", spread(&name))
}
