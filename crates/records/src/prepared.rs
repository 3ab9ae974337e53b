//! Names by which a folder of Parquet files is recognised as a prepared panel store.

/// Key of the shard description in the file's metadata.
pub const DESCRIPTION_KEY: &str = "stagger.shard";

/// Manifest: schema, counts, shards. It is written last, so that an unfinished store has none.
pub const MANIFEST: &str = "manifest.json";
