//! Third step of loading: rows become columns. Atoms of the formula are evaluated, missing values marked, constants
//! stored once, rows counted.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use stagger_estimator::columns::AlignedVec;
use stagger_model::error::{Result, StaggerError};
use stagger_model::parallel;
use stagger_model::spec_check::CheckedSpec;

use super::order::UnitOrder;
use super::place::PlacedRows;
use crate::build::{Builder, RawShard};
use crate::columns::Columns;
use crate::fields::SpecFields;
use crate::gaps::InputRemarks;
use crate::panel::{ColumnFacts, Panel, PanelCounts, PanelSource, Shards};
use crate::shard::{PeriodBits, Segment};
use crate::slot::{MISSING, UNSET, decode};
use crate::slots::{FieldRole, SlotBuffer, SlotField, SlotLayout};
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
    let PlacedRows { slots, buffers, interned, .. } = placed;
    let periods = order.row_periods;
    let buffers: Vec<Mutex<SlotBuffer>> = buffers.into_iter().map(Mutex::new).collect();
    let raw = parallel::map(threads, buffers.len(), |shard| {
        let buffer = std::mem::take(&mut *buffers[shard].lock().unwrap_or_else(|e| e.into_inner()));
        Ok(Mutex::new(Some(transpose(
            &buffer,
            &slots,
            &order.shards[shard].segments,
            order.shards[shard].rows,
            periods,
        ))))
    })?;
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

fn transpose(
    buffer: &SlotBuffer,
    slots: &SlotLayout,
    segments: &[Segment],
    rows: usize,
    periods: usize,
) -> RawShard {
    let padding = rows - segments.iter().map(|s| s.units).sum::<usize>();
    let mut columns: Vec<AlignedVec> = (0..slots.stride).map(|_| AlignedVec::zeros(rows)).collect();
    let mut empty = vec![0usize; slots.stride];
    for tile in (0..rows).step_by(TILE) {
        let end = (tile + TILE).min(rows);
        for (slot, column) in columns.iter_mut().enumerate() {
            let mut none = 0;
            for (row, value) in (tile..end).zip(&mut column[tile..end]) {
                let held = buffer[row * slots.stride + slot].load(Ordering::Relaxed);
                none += usize::from(held == UNSET || held == MISSING);
                *value = decode(held);
            }
            empty[slot] += none;
        }
    }
    let gaps: Vec<bool> = empty.iter().map(|&none| none > padding).collect();
    let absent = gaps[..periods].contains(&true).then(|| {
        let mut bits = PeriodBits::new(rows, periods);
        for row in 0..rows {
            for period in 0..periods {
                if buffer[row * slots.stride + period].load(Ordering::Relaxed) == UNSET {
                    bits.set(row, period);
                }
            }
        }
        bits
    });
    let varies = slots
        .fields
        .iter()
        .map(|field| field.by_period && field_varies(field, &columns, rows, periods))
        .collect();
    RawShard { columns, gaps, absent, varies }
}

/// Tells if some unit has two different values (missing ones aside).
fn field_varies(field: &SlotField, columns: &[AlignedVec], rows: usize, periods: usize) -> bool {
    if field.kind == FieldRole::Outcome {
        return true;
    }
    let columns = &columns[field.offset..field.offset + periods];
    (0..rows).any(|row| {
        let mut values = columns.iter().map(|c| c[row]).filter(|v| !v.is_nan());
        values.next().is_some_and(|first| values.any(|v| v.to_bits() != first.to_bits()))
    })
}
