//! Misleading files: every one is an error that names the damage, and none takes memory out of proportion to its rows.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use stagger_model::error::StaggerError;

use super::*;

const ROWS: usize = 160;

/// Returns a panel of 160 rows with columns `id`, `y` and `name`.
fn panel(properties: WriterPropertiesBuilder) -> Vec<u8> {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(0..ROWS as i64))),
        ("y", Arc::new(Float64Array::from_iter_values((0..ROWS).map(|row| row as f64 * 0.37)))),
        ("name", Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("unit {row}"))))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn plain() -> WriterPropertiesBuilder {
    WriterProperties::builder().set_dictionary_enabled(false)
}

/// Returns the number of rows that are read of a file, or its damage.
fn rows(file: &[u8]) -> std::result::Result<usize, String> {
    let file = Bytes::copy_from_slice(file);
    let metadata = read_footer(&file).map_err(|damage| damage.to_string())?;
    let roots: Vec<usize> = (0..metadata.schema().fields().len()).collect();
    let mut found = 0;
    for row_group in 0..metadata.metadata().num_row_groups() {
        let rows = metadata.metadata().row_group(row_group).num_rows() as usize;
        let size = file.len() as u64;
        let request = RowRequest {
            metadata: &metadata,
            size,
            row_group,
            roots: &roots,
            rows: 0..rows,
            batch_rows: 64,
            repeating: &roots,
        };
        let broken = |damage: &Damage| StaggerError::input(damage.to_string());
        let count = |batch: &arrow_array::RecordBatch| {
            found += batch.num_rows();
            Ok(())
        };
        decode_rows(file.clone(), &request, broken, count).map_err(|error| error.to_string())?;
    }
    Ok(found)
}

/// Returns the range of the footer's bytes.
fn footer(file: &[u8]) -> std::ops::Range<usize> {
    let end = file.len() - 8;
    end - u32::from_le_bytes(file[end..end + 4].try_into().unwrap()) as usize..end
}

/// Replaces `old` by `new`, of the same length, in the footer of a file.
fn forge(file: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let range = footer(file);
    let places: Vec<usize> =
        range.clone().filter(|&at| at + old.len() <= range.end && &file[at..at + old.len()] == old).collect();
    assert!(!places.is_empty(), "no such bytes in the footer");
    let mut out = file.to_vec();
    for at in places {
        out[at..at + new.len()].copy_from_slice(new);
    }
    out
}

/// Encodes a number as Thrift does.
fn varint(value: i64) -> Vec<u8> {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    let mut out = Vec::new();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
    out
}

#[test]
fn sound_files_are_read_whatever_their_codec() {
    let zstd = Compression::ZSTD(ZstdLevel::default());
    for codec in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        zstd,
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
    ] {
        for properties in [plain(), WriterProperties::builder()] {
            assert_eq!(rows(&panel(properties.set_compression(codec))), Ok(ROWS), "{codec:?}");
        }
    }
}

#[test]
fn a_flipped_bit_of_a_page_is_told_with_its_column() {
    let values: Vec<u8> = (0..ROWS).flat_map(|row| (row as f64 * 0.37).to_le_bytes()).collect();
    let mut checksum = flate2::Crc::new();
    checksum.update(&values);
    let sound = page(0, &values, values.len() as i64, Some(checksum.sum()));
    assert_eq!(rows(&sound), Ok(ROWS));
    let at = sound.windows(8).position(|bytes| bytes == (100.0 * 0.37f64).to_le_bytes()).expect("the value");
    for bit in 0..64 {
        let mut damaged = sound.clone();
        damaged[at + bit / 8] ^= 1 << (bit % 8);
        assert_eq!(rows(&damaged), Err("column `y`: the checksum of a page does not fit".to_owned()));
    }
}

#[test]
fn counts_of_rows_that_do_not_fit_are_refused() {
    let sound = panel(plain());
    let of = |count: i64| rows(&forge(&sound, &varint(ROWS as i64), &varint(count)));
    // All counts of the footer agree, and the pages don't.
    assert_eq!(of(170), Err("column `id`: it has 10 rows less than its footer says".to_owned()));
    let fewer = of(150).expect_err("a page with more values than its column");
    assert!(fewer.contains("a page claims 160 values, its column has 150"), "{fewer}");
    assert!(of(-160).is_err());
}

#[test]
fn places_outside_of_the_file_are_refused() {
    let sound = panel(plain());
    let metadata = read_footer(&Bytes::from(sound.clone())).unwrap();
    let y = metadata.metadata().row_group(0).column(1);
    let start = varint(y.data_page_offset());
    for wrong in [-3000, 8000, 2] {
        let wrong = varint(wrong);
        if wrong.len() == start.len() {
            let told = rows(&forge(&sound, &start, &wrong)).expect_err("refused");
            assert!(told.starts_with("column `y`: ") || told.starts_with("column `id`: "), "{told}");
        }
    }
    for end in 0..sound.len() {
        rows(&sound[..end]).expect_err("cut");
    }
}

/// Returns a file of a column `y` with one page of 160 values: `stored` bytes by a codec, which claim `size` bytes.
fn page(codec_number: i64, stored: &[u8], size: i64, checksum: Option<u32>) -> Vec<u8> {
    let mut file = b"PAR1".to_vec();
    let mut page = vec![0x15, 0x00, 0x15];
    page.extend(varint(size));
    page.push(0x15);
    page.extend(varint(stored.len() as i64));
    if let Some(checksum) = checksum {
        page.push(0x15);
        page.extend(varint(i64::from(checksum as i32)));
    }
    page.extend([if checksum.is_some() { 0x1c } else { 0x2c }, 0x15]);
    page.extend(varint(ROWS as i64));
    page.extend([0x15, 0x00, 0x15, 0x06, 0x15, 0x06, 0x00, 0x00]);
    page.extend(stored);
    file.extend(&page);
    let (length, rows) = (varint(page.len() as i64), varint(ROWS as i64));
    let mut footer = vec![0x15, 0x02, 0x19, 0x2c];
    footer.extend([0x48, 1, b'm', 0x15, 0x02, 0x00]);
    footer.extend([0x15, 0x0a, 0x25, 0x00, 0x18, 1, b'y', 0x00]);
    footer.push(0x16);
    footer.extend(&rows);
    footer.extend([0x19, 0x1c, 0x19, 0x1c, 0x26, 0x08, 0x1c]);
    footer.extend([0x15, 0x0a, 0x19, 0x15, 0x00, 0x19, 0x18, 1, b'y', 0x15]);
    footer.extend(varint(codec_number));
    footer.push(0x16);
    footer.extend(&rows);
    for _ in 0..2 {
        footer.push(0x16);
        footer.extend(&length);
    }
    footer.extend([0x26, 0x08, 0x00, 0x00, 0x16]);
    footer.extend(&length);
    footer.push(0x16);
    footer.extend(&rows);
    footer.extend([0x00, 0x00]);
    let footer_length = footer.len() as u32;
    file.extend(footer);
    file.extend(footer_length.to_le_bytes());
    file.extend(b"PAR1");
    file
}

/// Returns compressed zeros.
fn zeros(codec: Compression, count: usize) -> Vec<u8> {
    use std::io::Write;
    let zeros = vec![0; count];
    match codec {
        Compression::GZIP(_) => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            out.write_all(&zeros).unwrap();
            out.finish().unwrap()
        }
        Compression::BROTLI(_) => {
            let mut out = Vec::new();
            brotli::CompressorWriter::new(&mut out, 4096, 9, 22).write_all(&zeros).unwrap();
            out
        }
        Compression::ZSTD(_) => zstd::bulk::compress(&zeros, 3).unwrap(),
        _ => {
            let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
            out.write_all(&zeros).unwrap();
            out.finish().unwrap()
        }
    }
}

#[test]
fn pages_that_are_longer_than_their_rows_or_than_they_say_are_refused_before_they_are_there() {
    let codecs = [
        (Compression::GZIP(GzipLevel::default()), 2),
        (Compression::BROTLI(BrotliLevel::default()), 4),
        (Compression::LZ4, 5),
        (Compression::ZSTD(ZstdLevel::default()), 6),
    ];
    let values = 8 * ROWS;
    for (codec, number) in codecs {
        assert_eq!(rows(&page(number, &zeros(codec, values), values as i64, None)), Ok(ROWS), "{codec:?}");
        let bomb = zeros(codec, 100 << 20);
        let told = rows(&page(number, &bomb, 100 << 20, None)).expect_err("says what it is");
        assert!(told.starts_with("column `y`: a page claims 104857600 bytes for 160 values"), "{told}");
        let told = rows(&page(number, &bomb, values as i64, None)).expect_err("says less");
        assert!(told.starts_with("column `y`: "), "{codec:?}: {told}");
    }
}
