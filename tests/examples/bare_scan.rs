//! The yardstick of the benchmark table: decodes columns of a Parquet file with the parquet crate's record reader, on two
//! threads over the row groups, and does nothing with them.
//!
//! ```text
//! cargo run --release -p stagger-tests --example bare_scan -- panel.parquet id time group y x1 x2 x3 x4
//! ```

use std::error::Error;
use std::fs::File;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};

const THREADS: usize = 2;
const BATCH_ROWS: usize = 8192;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some((path, columns)) = args.split_first() else {
        eprintln!("usage: bare_scan PANEL.parquet [COLUMN]…");
        return ExitCode::from(2);
    };
    match scan(path, columns) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {path}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn scan(path: &str, columns: &[String]) -> Result<()> {
    let start = Instant::now();
    let meta = ArrowReaderMetadata::load(&File::open(path)?, ArrowReaderOptions::new())?;
    let names: Vec<&str> = meta.schema().fields().iter().map(|field| field.name().as_str()).collect();
    if let Some(missing) = columns.iter().find(|column| !names.contains(&column.as_str())) {
        return Err(format!("no column {missing}; there are {}", names.join(", ")).into());
    }
    let wanted = |name: &str| columns.is_empty() || columns.iter().any(|column| column == name);
    let roots: Vec<usize> = (0..names.len()).filter(|&i| wanted(names[i])).collect();
    let mask = ProjectionMask::roots(meta.parquet_schema(), roots.iter().copied());
    let next = AtomicUsize::new(0);
    let rows = std::thread::scope(|scope| {
        let work = || read_groups(path, &meta, &mask, &next);
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "a thread panicked")?)
            .sum::<Result<usize>>()
    })?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{rows} rows, {} columns, {} row groups: {seconds:.3} s",
        roots.len(),
        meta.metadata().num_row_groups()
    );
    Ok(())
}

/// Takes row groups until none is left; returns the rows decoded.
fn read_groups(
    path: &str,
    meta: &ArrowReaderMetadata,
    mask: &ProjectionMask,
    next: &AtomicUsize,
) -> Result<usize> {
    let mut rows = 0;
    loop {
        let group = next.fetch_add(1, Ordering::Relaxed);
        if group >= meta.metadata().num_row_groups() {
            return Ok(rows);
        }
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(File::open(path)?, meta.clone())
            .with_row_groups(vec![group])
            .with_projection(mask.clone())
            .with_batch_size(BATCH_ROWS)
            .build()?;
        for batch in reader {
            rows += std::hint::black_box(batch?).num_rows();
        }
    }
}
