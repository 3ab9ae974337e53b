//! Reads Parquet files and writes them again by the parquet crate, nothing else: what `stagger prepare` is measured against.
//!
//! `cargo run --release -p stagger-tests --example bare_rewrite -- OUT THREADS none|zstd FILE…`

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let mut args = std::env::args().skip(1);
    let out = PathBuf::from(args.next().ok_or("no folder to write to")?);
    let threads: usize = args.next().ok_or("no number of threads")?.parse()?;
    let compression = match args.next().as_deref() {
        Some("none") => Compression::UNCOMPRESSED,
        Some("zstd") => Compression::ZSTD(ZstdLevel::default()),
        other => return Err(format!("compression must be none or zstd, not {other:?}").into()),
    };
    let files: Vec<PathBuf> = args.map(PathBuf::from).collect();
    std::fs::create_dir_all(&out)?;
    let begin = Instant::now();
    let (next, rows) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || -> Outcome<()> {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            rows.fetch_add(rewrite(file, &out, compression)?, Ordering::Relaxed);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        all.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|p| std::panic::resume_unwind(p)))
    })?;
    let (rows, seconds) = (rows.into_inner(), begin.elapsed().as_secs_f64());
    println!("{rows} rows in {seconds:.2} s: {:.2} million rows/s", rows as f64 / seconds / 1e6);
    Ok(())
}

fn rewrite(file: &Path, out: &Path, compression: Compression) -> Outcome<usize> {
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(File::open(file)?)?.with_batch_size(8192).build()?;
    let properties = WriterProperties::builder().set_compression(compression).build();
    let target = File::create(out.join(file.file_name().ok_or("a file has a name")?))?;
    let mut writer =
        ArrowWriter::try_new(target, arrow_array::RecordBatchReader::schema(&reader), Some(properties))?;
    let mut rows = 0;
    for batch in reader {
        let batch = batch?;
        rows += batch.num_rows();
        writer.write(&batch)?;
    }
    writer.close()?.file_metadata().num_rows();
    Ok(rows)
}
