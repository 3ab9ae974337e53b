//! Third step of loading: rows become columns. Atoms of the formula are evaluated, missing values marked, constants
//! stored once, rows counted.

use std::sync::{Arc, Mutex};

use stagger_estimator::columns::AlignedVec;
use stagger_model::error::{Result, StaggerError};
use stagger_model::parallel;
use stagger_model::spec_check::CheckedSpec;

use super::order::{ShardOrder, UnitOrder};
use super::place::PlacedRows;
use crate::build::{Builder, RawShard};
use crate::columns::Columns;
use crate::fields::SpecFields;
use crate::gaps::InputRemarks;
use crate::panel::{ColumnFacts, Panel, PanelCounts, PanelSource, Shards};
use crate::shard::{PeriodBits, Segment};
use crate::slot::{MISSING, UNSET, decode};
use crate::slots::{FieldRole, SlotField, SlotLayout, SlotMemory};
use crate::strata::Census;
use crate::survey::Surveyor;

/// Number of rows transposed at a time; their slots stay in the first-level cache.
const TILE: usize = 64;

/// Builds the panels of all specifications from the placed rows.
pub(super) fn finish(
    columns: &Columns,
    all: &[CheckedSpec],
    order: UnitOrder,
    placed: PlacedRows,
    threads: usize,
) -> Result<Vec<Panel>> {
    let PlacedRows { slots, memory, interned, .. } = placed;
    let periods = order.row_periods;
    let raw = columns_of_shards(memory, &slots, &order, threads)?;
    // Clusters that vary were refused before.
    let varies: Vec<bool> = (0..slots.fields.len())
        .map(|f| {
            raw.iter()
                .any(|r| r.lock().unwrap_or_else(|e| e.into_inner()).as_ref().is_some_and(|r| r.varies[f]))
        })
        .collect();
    let uses: Vec<SpecFields> =
        all.iter().map(|wanted| SpecFields::of(columns, wanted, &slots)).collect::<Result<_>>()?;
    let shards = parallel::map(threads, raw.len(), |shard| {
        let taken = raw[shard].lock().unwrap_or_else(|e| e.into_inner()).take();
        let Some(raw) = taken else { return Err(StaggerError::failed("a shard was taken twice")) };
        let order = &order.shards[shard];
        let builder =
            Builder { slots: &slots, varies: &varies, periods, segments: &order.segments, rows: order.rows };
        Ok(builder.build(raw, &uses, Arc::new(order.keys.clone())))
    })?;
    let mut panels: Vec<Panel> = uses.iter().map(|used| empty_panel(&order, used)).collect();
    let interned = Arc::new(interned);
    for built in shards {
        for (panel, shard) in panels.iter_mut().zip(built) {
            panel.add_shard(shard.count(order.periods.len()), shard.shard);
        }
    }
    for panel in &mut panels {
        panel.detect_variation();
        panel.columns.interned = Arc::clone(&interned);
    }
    Ok(panels)
}

/// Turns the rows of all shards into columns, in the memory that the rows are in.
fn columns_of_shards(
    mut memory: SlotMemory,
    slots: &SlotLayout,
    order: &UnitOrder,
    threads: usize,
) -> Result<Vec<Mutex<Option<RawShard>>>> {
    let own: Vec<Mutex<&mut [f64]>> = memory.shards_mut().into_iter().map(Mutex::new).collect();
    let found = parallel::for_each(threads, own.len(), Transposer::default, |transposer, shard| {
        let mut memory = own[shard].lock().unwrap_or_else(|e| e.into_inner());
        let ShardOrder { segments, rows, .. } = &order.shards[shard];
        let notes = transposer.transpose(&mut memory, slots, segments, *rows, order.row_periods);
        transposer.done.push((shard, notes));
        Ok(())
    })?;
    drop(own);
    let mut notes: Vec<(usize, ShardNotes)> = found.into_iter().flat_map(|own| own.done).collect();
    notes.sort_unstable_by_key(|(shard, _)| *shard);
    let (memory, starts) = memory.into_memory();
    let raw = |(shard, ShardNotes { gaps, absent, varies }): (usize, ShardNotes)| {
        let rows = order.shards[shard].rows;
        let column = |slot: usize| {
            let start = starts[shard] + slot * rows;
            AlignedVec::part(&memory, start..start + rows)
        };
        let columns = (0..slots.stride).map(column).collect();
        Mutex::new(Some(RawShard { columns, gaps, absent, varies }))
    };
    Ok(notes.into_iter().map(raw).collect())
}

fn empty_panel(order: &UnitOrder, used: &SpecFields) -> Panel {
    Panel {
        counts: PanelCounts {
            units: order.units,
            input_rows: 0,
            keyless_rows: order.keyless_rows,
            cohortless_rows: order.cohortless_rows,
            census: Census::new(order.strata.len(), order.periods.len()),
        },
        columns: ColumnFacts {
            atoms_vary: false,
            weights_vary: false,
            text_atoms: used.atoms.iter().map(|a| a.text).collect(),
            code_atoms: used.atoms.iter().map(|a| a.code).collect(),
            interned: Arc::default(),
        },
        source: PanelSource { files: Vec::new(), remarks: InputRemarks::default() },
        rows: order.rows,
        shards: Shards::Memory(Vec::with_capacity(order.shards.len())),
        periods: order.periods.clone(),
        strata: order.strata.clone(),
        calendar: None,
        surveyor: Surveyor::Local,
    }
}

/// What is found out about a shard while its rows become columns; the fields are those of [`RawShard`].
struct ShardNotes {
    gaps: Vec<bool>,
    absent: Option<PeriodBits>,
    varies: Vec<bool>,
}

/// Turns the rows of shards into columns, in the memory that the rows are in.
#[derive(Default)]
struct Transposer {
    rows: Vec<f64>,
    done: Vec<(usize, ShardNotes)>,
}

impl Transposer {
    fn transpose(
        &mut self,
        memory: &mut [f64],
        slots: &SlotLayout,
        segments: &[Segment],
        rows: usize,
        periods: usize,
    ) -> ShardNotes {
        self.rows.clear();
        self.rows.extend_from_slice(memory);
        let stride = slots.stride;
        let padding = rows - segments.iter().map(|s| s.units).sum::<usize>();
        let mut empty = vec![0usize; stride];
        for tile in (0..rows).step_by(TILE) {
            let end = (tile + TILE).min(rows);
            for (slot, empty) in empty.iter_mut().enumerate() {
                let column = &mut memory[slot * rows + tile..slot * rows + end];
                for (row, value) in self.rows[tile * stride..].chunks(stride).zip(column) {
                    let held = row[slot].to_bits();
                    *empty += usize::from(held == UNSET || held == MISSING);
                    *value = decode(held);
                }
            }
        }
        for column in memory.chunks_mut(rows.max(1)) {
            zero_padding(column, segments);
        }
        let gaps: Vec<bool> = empty.iter().map(|&none| none > padding).collect();
        let absent = gaps[..periods].contains(&true).then(|| self.absent(stride, rows, periods));
        let varies = slots
            .fields
            .iter()
            .map(|field| field.by_period && field_varies(field, memory, rows, periods))
            .collect();
        ShardNotes { gaps, absent, varies }
    }

    /// Returns the units × periods without a row.
    fn absent(&self, stride: usize, rows: usize, periods: usize) -> PeriodBits {
        let mut bits = PeriodBits::new(rows, periods);
        for (row, slots) in self.rows.chunks(stride).enumerate() {
            for (period, slot) in slots[..periods].iter().enumerate() {
                if slot.to_bits() == UNSET {
                    bits.set(row, period);
                }
            }
        }
        bits
    }
}

/// Sets the rows of a column that belong to no unit to 0.
fn zero_padding(column: &mut [f64], segments: &[Segment]) {
    let mut last = 0;
    for segment in segments {
        column[last..segment.start].fill(0.0);
        last = segment.start + segment.units;
    }
    column[last..].fill(0.0);
}

/// Tells if some unit has two different values (missing ones aside).
fn field_varies(field: &SlotField, memory: &[f64], rows: usize, periods: usize) -> bool {
    if field.kind == FieldRole::Outcome {
        return true;
    }
    let columns = &memory[field.offset * rows..(field.offset + periods) * rows];
    (0..rows).any(|row| {
        let mut values = columns.chunks(rows).map(|c| c[row]).filter(|v| !v.is_nan());
        values.next().is_some_and(|first| values.any(|v| v.to_bits() != first.to_bits()))
    })
}
