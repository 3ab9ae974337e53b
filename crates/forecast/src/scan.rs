//! Files that are not prepared: one read of period, cohort and eligibility counts the rows by stratum and period.
//! From these counts and the footers the manifest of the store that they would be prepared to is estimated.

use std::collections::HashMap;

use stagger_estimation::local::estimate_direct_memory;
use stagger_model::error::{Result, StaggerError};
use stagger_model::parallel;
use stagger_model::spec::RunSpec;
use stagger_model::spec_check::CheckedSpec;
use stagger_panel::gaps::InputRemarks;
use stagger_panel::load::seen::{SeenPeriods, SeenStrata, key_columns, name_file, with_keys};
use stagger_panel::load::{distinct_periods, period_codes};
use stagger_panel::panel_store::fields::StoreField;
use stagger_panel::panel_store::{FORMAT, Field, FieldKind, Manifest, ShardEntry, StratumEntry};
use stagger_panel::prepare::{
    PreparationInput, cross_section_shard_count, panel_shard_count, units_together,
};
use stagger_panel::strata::{Stratum, distinct_strata, stratum_codes};
use stagger_records::with_key_column;
use stagger_storage::open::is_on_s3;

use super::known::{InputFiles, PanelFacts};
use super::rates::{FOOTER, FOOTER_COLUMN};

/// Rows of a row group that are searched for variables that vary in time.
const LOOKED_AT: usize = 8192;
/// Row groups that are searched, spread evenly.
const LOOKS: usize = 4;

/// Counts the rows of files.
pub(super) fn count_files(
    inputs: &[String],
    specs: &[(Option<&str>, &RunSpec)],
    threads: usize,
) -> Result<PanelFacts> {
    let wanted = CheckedSpec::check_all(specs)?;
    let order = PreparationInput::new(inputs, &wanted)?;
    let counts = Counts::read(&order, threads)?;
    let (varies, mut notes) = variation(&order)?;
    let local = !inputs.iter().any(|input| is_on_s3(input));
    let direct = local.then(|| estimate_direct_memory(&order.source, &wanted));
    let files = files(&order, direct)?;
    let manifest = manifest(&order, &files, counts, &varies);
    notes.push(
        "units, and bytes of the store, are estimates: counts are from period and cohort, which were read once; \
         missing values are not known"
            .to_owned(),
    );
    Ok(PanelFacts { notes, ..PanelFacts::synthetic(manifest, Some(files)) })
}

/// Rows by stratum and period.
struct Counts {
    strata: Vec<Stratum>,
    periods: Vec<f64>,
    /// `strata × periods`.
    rows: Vec<u64>,
    keyless: u64,
    cohortless: u64,
}

/// Bits of a row's period, cohort and eligibility.
type Key = (u64, u64, u64);
/// A thread's codes of a stratum and a period.
type Codes = (u16, u16);

/// The counts of one thread; rows by its own codes.
#[derive(Default)]
struct ThreadCounts {
    strata: SeenStrata,
    periods: SeenPeriods,
    rows: HashMap<Codes, u64>,
    keyless: u64,
    scratch: [Vec<f64>; 3],
}

impl ThreadCounts {
    fn add(&mut self, times: &[f64], groups: &[f64], eligible: &[f64]) -> Result<()> {
        // Rows of a unit follow each other, and mostly differ in their period alone.
        let mut last: Option<(Key, Codes)> = None;
        for ((&time, &group), &eligible) in times.iter().zip(groups).zip(eligible) {
            if !time.is_finite() || eligible.is_nan() {
                self.keyless += 1;
                continue;
            }
            self.strata.cohortless_rows += u64::from(group.is_nan());
            let key = (time.to_bits(), group.to_bits(), eligible.to_bits());
            let codes = match last {
                Some((known, codes)) if known == key => codes,
                _ => (self.strata.code(group, eligible)?, self.periods.code(time)?),
            };
            last = Some((key, codes));
            *self.rows.entry(codes).or_default() += 1;
        }
        Ok(())
    }
}

impl Counts {
    fn read(order: &PreparationInput, threads: usize) -> Result<Self> {
        let (source, names) = (&order.source, key_columns(&order.columns));
        let workers =
            parallel::for_each(threads, source.chunks().len(), ThreadCounts::default, |own, index| {
                let chunk = &source.chunks()[index];
                source.read(chunk, &names, |row, arrays| {
                    let mut scratch = std::mem::take(&mut own.scratch);
                    let read = with_keys(
                        &order.columns,
                        arrays,
                        &names,
                        chunk.first_row + row as u64,
                        &mut scratch,
                        |times, groups, eligible| own.add(times, groups, eligible),
                    );
                    own.scratch = scratch;
                    read.map_err(|e| name_file(e, &source.path_of(chunk)))
                })
            })?;
        Self::merge(&workers)
    }

    fn merge(workers: &[ThreadCounts]) -> Result<Self> {
        let strata = distinct_strata(workers.iter().flat_map(|w| w.strata.list.iter().copied()));
        let periods = distinct_periods(workers.iter().flat_map(|w| w.periods.list.iter().copied()));
        if periods.is_empty() {
            return Err(StaggerError::input("no row has a period")
                .with_hint("name the period column: --tname COLUMN"));
        }
        let mut rows = vec![0; strata.len() * periods.len()];
        for worker in workers {
            let (of_stratum, of_period) =
                (stratum_codes(&worker.strata.list, &strata), period_codes(&worker.periods.list, &periods));
            for (&(stratum, period), count) in &worker.rows {
                let stratum = usize::from(of_stratum[usize::from(stratum)]);
                rows[stratum * periods.len() + usize::from(of_period[usize::from(period)])] += count;
            }
        }
        let (keyless, cohortless) =
            (workers.iter().map(|w| w.keyless).sum(), workers.iter().map(|w| w.strata.cohortless_rows).sum());
        Ok(Self { strata, periods, rows, keyless, cohortless })
    }
}

/// Returns for each variable whether some unit that was found in two places has two values, and the notes on it.
fn variation(order: &PreparationInput) -> Result<(Vec<bool>, Vec<String>)> {
    let mut varies = vec![false; order.fields.len()];
    let looked: Vec<usize> = (0..order.fields.len())
        .filter(|&f| !order.fields[f].outcome && order.fields[f].kind == FieldKind::Number)
        .collect();
    if order.cross_sections || looked.is_empty() {
        return Ok((varies, Vec::new()));
    }
    let mut names = vec![order.columns.id.clone()];
    names.extend(looked.iter().map(|&f| order.fields[f].name.clone()));
    let mut first: HashMap<u128, Vec<u64>> = HashMap::new();
    let (mut buffer, mut integers) = (Vec::new(), Vec::new());
    let kind = order.columns.kind(&order.columns.id);
    let chunks = order.source.chunks();
    let step = chunks.len().div_ceil(LOOKS).max(1);
    for chunk in chunks.iter().step_by(step) {
        order.source.read_rows(chunk, 0..LOOKED_AT.min(chunk.rows), &names, |_, arrays| {
            let mut values: Vec<Vec<u64>> = Vec::new();
            for (&f, array) in looked.iter().zip(&arrays[1..]) {
                order.columns.numbers(array, &order.fields[f].name, &mut Vec::new(), |own| {
                    values.push(own.iter().map(|v| v.to_bits()).collect());
                    Ok(())
                })?;
            }
            with_key_column(&arrays[0], &names[0], kind, &mut integers, |ids| {
                for row in 0..ids.len() {
                    let id = ids.hash(row, &mut buffer);
                    let own: Vec<u64> = values.iter().map(|column| column[row]).collect();
                    let known = first.entry(id).or_insert_with(|| own.clone());
                    for ((&f, a), b) in looked.iter().zip(known.iter()).zip(&own) {
                        varies[f] |= a != b && !f64::from_bits(*a).is_nan() && !f64::from_bits(*b).is_nan();
                    }
                }
                Ok(())
            })
        })?;
    }
    let note =
        "a variable is taken as constant in time unless the first rows of some row groups show otherwise";
    Ok((varies, vec![note.to_owned()]))
}

fn files(order: &PreparationInput, direct: Option<u64>) -> Result<InputFiles> {
    let (source, columns) = (&order.source, &order.columns);
    let mut keys = key_columns(columns);
    if !order.cross_sections {
        keys.push(columns.id.clone());
    }
    let mut all = keys.clone();
    all.extend(order.fields.iter().map(|f| f.name.clone()));
    all.sort_unstable();
    all.dedup();
    let bytes = |names: &[String]| source.chunks().iter().map(|c| source.column_bytes(c, names)).sum();
    Ok(InputFiles {
        count: source.file_sizes().len(),
        chunks: source.chunks().iter().map(|chunk| chunk.rows).collect(),
        bytes: bytes(&all),
        key_bytes: bytes(&keys),
        largest_chunk: source.chunks().iter().map(|c| source.column_bytes(c, &all)).max().unwrap_or(0),
        together: !order.cross_sections && units_together(source, &columns.id),
        text_ids: !order.cross_sections && columns.kind(&columns.id).is_text(),
        direct,
    })
}

/// Returns the manifest that the store of the files would have, as far as can be told.
fn manifest(order: &PreparationInput, files: &InputFiles, counts: Counts, varies: &[bool]) -> Manifest {
    let periods = counts.periods.len();
    let rows: u64 = counts.rows.iter().sum();
    let strata = strata(order, &counts);
    let units: u64 = strata.iter().map(|s| s.units).sum();
    let fields = fields(order, varies, rows, units);
    let count =
        if order.cross_sections { cross_section_shard_count(rows) } else { panel_shard_count(rows, periods) };
    let id_bytes = id_bytes(order, files, units);
    let shards = shards(&fields, (units, periods), id_bytes, count);
    Manifest {
        format: FORMAT,
        fingerprint: order.fingerprint.clone(),
        cross_sections: order.cross_sections,
        columns: order.keys.clone(),
        unbalanced: !order.cross_sections && rows < units * periods as u64,
        periods: counts.periods,
        strata,
        fields,
        texts: Vec::new(),
        units,
        input_rows: files.rows(),
        keyless_rows: counts.keyless,
        cohortless_rows: counts.cohortless,
        remarks: InputRemarks::default(),
        id_bytes,
        inputs: order.inputs(),
        shards,
    }
}

/// Returns the strata with their rows. A stratum of a panel has as many units as rows in its fullest period.
fn strata(order: &PreparationInput, counts: &Counts) -> Vec<StratumEntry> {
    let units = |rows: &[u64]| match order.cross_sections {
        true => rows.iter().sum(),
        false => rows.iter().copied().max().unwrap_or(0),
    };
    let rows = counts.rows.chunks(counts.periods.len());
    let entry = |(stratum, rows): (&Stratum, &[u64])| StratumEntry {
        cohort: stratum.cohort.is_finite().then_some(stratum.cohort),
        eligible: stratum.eligible,
        units: units(rows),
        rows: rows.to_vec(),
    };
    counts.strata.iter().zip(rows).map(entry).collect()
}

/// Returns the variables of the store.
fn fields(order: &PreparationInput, varies: &[bool], rows: u64, units: u64) -> Vec<Field> {
    let entry = |(field, &varies): (&StoreField, &bool)| Field {
        name: field.name.clone(),
        kind: field.kind,
        outcome: field.outcome,
        varies: varies || field.outcome,
        missing: false,
        bytes: field_bytes(order, field, if field.outcome || varies { rows } else { units }),
    };
    order.fields.iter().zip(varies).map(entry).collect()
}

/// Returns `count` shards of equal size, of all `units` over all `periods`.
fn shards(fields: &[Field], (units, periods): (u64, usize), id_bytes: u64, count: usize) -> Vec<ShardEntry> {
    let columns: usize =
        fields.iter().map(|f| if f.outcome || f.varies { periods } else { 1 }).sum::<usize>() + 2;
    let footer = FOOTER + FOOTER_COLUMN * columns as u64;
    let bytes = (fields.iter().map(|f| f.bytes).sum::<u64>() + id_bytes) / count as u64 + footer;
    let entry = |index: u64| ShardEntry {
        units: units * (index + 1) / count as u64 - units * index / count as u64,
        bytes,
        footer,
        checksum: String::new(),
        footer_checksum: String::new(),
    };
    (0..count as u64).map(entry).collect()
}

/// Returns the bytes of `values` values of a variable in the store: 8 each, or their bytes in the files where those
/// are fewer.
fn field_bytes(order: &PreparationInput, field: &StoreField, values: u64) -> u64 {
    let names = std::slice::from_ref(&field.name);
    let own: u64 = order.source.chunks().iter().map(|c| order.source.column_bytes(c, names)).sum();
    // Values that repeat within a unit are stored once per unit, after which nothing repeats any more.
    let rows = order.source.rows().max(1);
    if values >= rows || order.cross_sections { own.min(8 * values) } else { 8 * values }
}

/// Returns the bytes of the identifiers: as many bits as their range has, and a few more; rows are numbered.
fn id_bytes(order: &PreparationInput, files: &InputFiles, units: u64) -> u64 {
    let bounds = order.source.chunks().iter().map(|c| order.source.integer_bounds(c, &order.columns.id));
    let all: Option<Vec<(i128, i128)>> = bounds.collect();
    let range = all.and_then(|all| Some(all.iter().map(|b| b.1).max()? - all.iter().map(|b| b.0).min()?));
    let bits = match range {
        _ if order.cross_sections => 14.0,
        _ if files.text_ids => 96.0,
        Some(range) => libm::log2(range.max(1) as f64) + 4.0,
        None => 64.0,
    };
    (units as f64 * bits.min(if files.text_ids { 96.0 } else { 64.0 }) / 8.0) as u64
}
