//! Writes the numeric columns of some shards in several encodings and reads them back on one thread: what the store's
//! encoding was chosen by (docs/decisions/0011).
//!
//! `cargo run --release -p stagger-tests --example shard_encodings -- SHARD.parquet…`

use std::error::Error;
use std::fs::File;
use std::time::Instant;

use arrow_array::RecordBatch;
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Passes over all shards, of which the fastest counts.
const PASSES: usize = 5;

fn main() -> Outcome<()> {
    let shards: Vec<RecordBatch> =
        std::env::args().skip(1).map(|path| read(File::open(path)?)).collect::<Outcome<_>>()?;
    let plain = || {
        WriterProperties::builder()
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None)
            .set_data_page_row_count_limit(usize::MAX)
    };
    let zstd = |level| Compression::ZSTD(ZstdLevel::try_new(level).unwrap_or_default());
    let split = |builder: WriterPropertiesBuilder| builder.set_encoding(Encoding::BYTE_STREAM_SPLIT);
    let ways = [
        ("plain", plain()),
        ("dictionary", plain().set_dictionary_enabled(true)),
        ("plain + lz4", plain().set_compression(Compression::LZ4_RAW)),
        ("plain + zstd 1", plain().set_compression(zstd(1))),
        ("plain + zstd 6", plain().set_compression(zstd(6))),
        ("byte stream split", split(plain())),
        ("byte stream split + lz4", split(plain()).set_compression(Compression::LZ4_RAW)),
        ("byte stream split + zstd 1", split(plain()).set_compression(zstd(1))),
    ];
    let rows: usize = shards.iter().map(RecordBatch::num_rows).sum();
    let columns = shards.first().map_or(0, RecordBatch::num_columns);
    println!("{} shards, {rows} rows of {columns} columns", shards.len());
    println!("{:<28} {:>8} {:>12} {:>12}", "encoding", "MB", "write MB/s", "read MB/s");
    for (name, builder) in ways {
        let properties = builder.build();
        let begin = Instant::now();
        let files: Vec<Bytes> = shards.iter().map(|s| write(s, &properties)).collect::<Outcome<_>>()?;
        let written = begin.elapsed().as_secs_f64();
        let mut fastest = f64::INFINITY;
        for _ in 0..PASSES {
            let begin = Instant::now();
            for file in &files {
                read(file.clone())?;
            }
            fastest = fastest.min(begin.elapsed().as_secs_f64());
        }
        let (raw, size) =
            (8.0 * (rows * columns) as f64 / 1e6, files.iter().map(Bytes::len).sum::<usize>() as f64 / 1e6);
        println!("{name:<28} {size:>8.1} {:>12.0} {:>12.0}", raw / written, raw / fastest);
    }
    Ok(())
}

fn read(file: impl parquet::file::reader::ChunkReader + 'static) -> Outcome<RecordBatch> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file)?;
    let rows = builder.metadata().file_metadata().num_rows() as usize;
    let mut reader = builder.with_batch_size(rows.max(1)).build()?;
    Ok(reader.next().ok_or("a shard has rows")??)
}

fn write(shard: &RecordBatch, properties: &WriterProperties) -> Outcome<Bytes> {
    let mut writer = ArrowWriter::try_new(Vec::new(), shard.schema(), Some(properties.clone()))?;
    writer.write(shard)?;
    Ok(Bytes::from(writer.into_inner()?))
}
