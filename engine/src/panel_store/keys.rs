//! Every key of a panel store and of its making, built here and nowhere else.
//!
//! Objects that are many lie under two hexadecimal digits of a hash, so that requests spread over S3's partitions of a bucket.

use xxhash_rust::xxh3::xxh3_64;

/// What a store is: schema, counts, shards. Written last, so that a half-made store is none.
pub const MANIFEST: &str = "manifest.json";

/// Says that a store is under way, and of which inputs and columns; the first of two preparations writes it. Gone when the store is done.
pub const UNDER_WAY: &str = "_prepare/under-way.json";

/// Everything that is needed only while a store is made.
pub const WORK: &str = "_prepare/";

/// Shards.
pub const SHARDS: &str = "shards/";

fn spread(name: &str) -> String {
    format!("{:02x}", xxh3_64(name.as_bytes()) & 0xff)
}

/// A shard, a Parquet file.
pub fn shard(index: usize) -> String {
    let name = format!("{index:06}");
    format!("{SHARDS}{}/{name}.parquet", spread(&name))
}

/// The plan of a preparation of inputs and columns with this fingerprint.
pub fn plan(fingerprint: &str) -> String {
    format!("{WORK}{fingerprint}/plan.json")
}

/// What a mapper scattered; `plan` is the digest of the plan it belongs to.
pub fn scattered(plan: &str, mapper: usize) -> String {
    let name = format!("{mapper:06}");
    format!("{WORK}{plan}/scatter/{}/{name}", spread(&name))
}

/// Blocks of some mappers for some partitions, put together.
pub fn combined(plan: &str, combiner: usize) -> String {
    let name = format!("{combiner:06}");
    format!("{WORK}{plan}/combine/{}/{name}", spread(&name))
}

/// What a gather task made: the entries of its shards.
pub fn gathered(plan: &str, task: usize) -> String {
    let name = format!("{task:06}");
    format!("{WORK}{plan}/gather/{}/{name}.json", spread(&name))
}
