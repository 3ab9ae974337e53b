//! Consistency of a manifest with itself and with its shards. Indices of one are used in the other, and a checksum does
//! not show who wrote them.

use parquet::arrow::arrow_reader::ArrowReaderMetadata;

use super::manifest::{FieldKind, Manifest, StratumEntry};
use super::write::{SegmentDescription, ShardDescription};

/// Largest number of bytes or units in a store; sums of such numbers still fit 64 bits.
const MOST: u64 = 1 << 50;
/// Largest number of rows in a shard: positions in it have 32 bits.
const MOST_ROWS: u64 = i32::MAX as u64;

type Checked<T> = Result<T, String>;

/// Checks that a manifest agrees with itself.
pub(super) fn manifest(own: &Manifest) -> Checked<()> {
    ascending("periods", &own.periods, |a, b| a < b && a.is_finite() && b.is_finite())?;
    if own.periods.iter().any(|period| !period.is_finite()) {
        return Err("a period is no number".into());
    }
    ascending("texts", &own.texts, |a, b| a < b)?;
    ascending("strata", &own.strata, |a, b| {
        (a.stratum().cohort, a.eligible) < (b.stratum().cohort, b.eligible)
    })?;
    own.strata.iter().try_for_each(|entry| stratum(own, entry))?;
    fields(own)?;
    shards(own)?;
    let counts = [
        ("input_rows", own.input_rows),
        ("keyless_rows", own.keyless_rows),
        ("cohortless_rows", own.cohortless_rows),
        ("id_bytes", own.id_bytes),
    ];
    counts.into_iter().try_for_each(|(name, count)| bounded(name, count))?;
    for input in &own.inputs {
        bounded("bytes of an input", input.bytes)?;
        bounded("rows of an input", input.rows)?;
    }
    let rows = sum(own.strata.iter().flat_map(|s| &s.rows).copied())?;
    same("rows of its strata, and rows without keys", rows + own.keyless_rows, own.input_rows)?;
    same("units of its strata", sum(own.strata.iter().map(|s| s.units))?, own.units)
}

fn ascending<T>(name: &str, list: &[T], before: impl Fn(&T, &T) -> bool) -> Checked<()> {
    match list.windows(2).all(|pair| before(&pair[0], &pair[1])) {
        true => Ok(()),
        false => Err(format!("its {name} do not ascend")),
    }
}

fn bounded(name: &str, count: u64) -> Checked<()> {
    if count <= MOST { Ok(()) } else { Err(format!("{name} is {count}, which can't be")) }
}

fn sum(counts: impl Iterator<Item = u64>) -> Checked<u64> {
    let total = counts.fold(0u64, u64::saturating_add);
    bounded("a sum", total).map(|()| total)
}

fn same(what: &str, found: u64, told: u64) -> Checked<()> {
    if found == told { Ok(()) } else { Err(format!("{what}: {found}, but it says {told}")) }
}

fn stratum(own: &Manifest, entry: &StratumEntry) -> Checked<()> {
    let name = match entry.cohort {
        Some(cohort) if !cohort.is_finite() => return Err("a cohort is no number".into()),
        Some(cohort) => format!("the stratum of cohort {cohort}"),
        None => "the never treated stratum".to_owned(),
    };
    if entry.rows.len() != own.periods.len() {
        let (found, periods) = (entry.rows.len(), own.periods.len());
        return Err(format!("{name} has rows for {found} periods, there are {periods}"));
    }
    if own.cross_sections {
        return same(&format!("rows of {name}"), sum(entry.rows.iter().copied())?, entry.units);
    }
    match entry.rows.iter().find(|rows| **rows > entry.units || (!own.unbalanced && **rows < entry.units)) {
        Some(rows) => Err(format!("{name} has {rows} rows in a period, and {} units", entry.units)),
        None => Ok(()),
    }
}

fn fields(own: &Manifest) -> Checked<()> {
    for (index, field) in own.fields.iter().enumerate() {
        bounded("bytes of a column", field.bytes)?;
        if own.field_index(&field.name, field.kind) != Some(index) {
            return Err(format!("it has column `{}` twice", field.name));
        }
        if field.outcome && field.kind != FieldKind::Number {
            return Err(format!("the outcome `{}` is no number", field.name));
        }
    }
    Ok(())
}

fn shards(own: &Manifest) -> Checked<()> {
    if !own.shards.len().is_power_of_two() {
        return Err(format!("it has {} shards, which is no power of two", own.shards.len()));
    }
    for (index, shard) in own.shards.iter().enumerate() {
        if shard.footer > shard.bytes || shard.bytes > MOST || shard.units > MOST_ROWS {
            let (units, footer, bytes) = (shard.units, shard.footer, shard.bytes);
            return Err(format!("shard {index} has {units} units and a footer of {footer} in {bytes} bytes"));
        }
    }
    same("units of its shards", sum(own.shards.iter().map(|s| s.units))?, own.units)
}

/// Checks that a shard's description of itself agrees with the manifest; returns its number of rows.
pub(super) fn rows(
    own: &Manifest,
    index: usize,
    metadata: &ArrowReaderMetadata,
    note: &ShardDescription,
) -> Checked<usize> {
    let (fields, columns) = (metadata.schema().fields().len(), metadata.parquet_schema().num_columns());
    if fields != columns || note.columns.len() != columns {
        let sums = note.columns.len();
        return Err(format!("it has {fields} columns, {columns} of them with values, and {sums} checksums"));
    }
    let groups = metadata.metadata().row_groups();
    if groups.len() > 1 {
        return Err(format!("it has {} row groups in place of one", groups.len()));
    }
    let rows = groups.first().map_or(0, |group| group.num_rows().unsigned_abs());
    same("rows", rows, own.shards[index].units)?;
    same("units of its strata", sum(note.segments.iter().map(|s| s.units as u64))?, rows)?;
    note.segments.iter().try_for_each(|segment| segment_of(own, segment))?;
    ascending("strata", &note.segments, |a, b| (a.stratum, a.period) < (b.stratum, b.period))?;
    usize::try_from(rows).map_err(|_| format!("it has {rows} rows"))
}

fn segment_of(own: &Manifest, segment: &SegmentDescription) -> Checked<()> {
    let (stratum, strata) = (segment.stratum, own.strata.len());
    if stratum >= strata {
        return Err(format!("it has units of stratum {stratum}, the manifest has {strata} strata from 0"));
    }
    match (segment.period, own.cross_sections) {
        (Some(period), true) if period < own.periods.len() => Ok(()),
        (None, false) => Ok(()),
        (Some(period), true) => {
            let periods = own.periods.len();
            Err(format!("it has rows of period {period}, the manifest has {periods} periods from 0"))
        }
        _ => {
            Err("a panel's shard has units of all periods, one of cross sections has rows of one each".into())
        }
    }
}
