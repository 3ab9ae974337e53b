//! The cells of a specification: what each is, then its estimate.

use stagger_model::events::{CellKind, Estimated, SpecOutline};
use stagger_model::result::Num;

/// The state of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CellState {
    /// No stage has begun that goes into it.
    Pending,
    /// Its sums are being added.
    Running,
    /// It is estimated; its standard error comes later.
    PointEstimate {
        /// ATT(g,t).
        att: f64,
    },
    /// It has its interval.
    Done {
        /// ATT(g,t).
        att: f64,
        /// The standard error.
        se: f64,
        /// The lower end of the interval.
        lower: f64,
        /// The upper end of the interval.
        upper: f64,
    },
    /// It could not be estimated.
    Failed,
    /// The base period: zero by definition.
    Reference,
    /// It has no control units.
    NoControls,
}

impl CellState {
    /// −1, 0 or 1: the sign of an effect whose band leaves out zero.
    pub fn significance(self) -> Option<i8> {
        match self {
            Self::Done { lower, .. } if lower > 0.0 => Some(1),
            Self::Done { upper, .. } if upper < 0.0 => Some(-1),
            Self::Done { .. } => Some(0),
            _ => None,
        }
    }

    /// The estimate, if there is one.
    pub fn att(self) -> Option<f64> {
        match self {
            Self::PointEstimate { att } | Self::Done { att, .. } => Some(att),
            _ => None,
        }
    }
}

/// The view of one specification.
#[derive(Clone, Debug, Default)]
pub struct SpecView {
    /// The cells of the specification.
    pub outline: SpecOutline,
    /// The state of each cell of the outline.
    pub cells: Vec<CellState>,
    /// For each round of the propensity scores its number, and the logits that are still active, have converged and have failed.
    pub logits: Vec<[usize; 4]>,
    /// The estimates, once they are known.
    pub estimated: Option<Box<Estimated>>,
}

impl SpecView {
    pub(super) fn new(outline: &SpecOutline) -> Self {
        let state = |kind: &CellKind| match kind {
            CellKind::Estimate => CellState::Pending,
            CellKind::Reference => CellState::Reference,
            CellKind::NoControls => CellState::NoControls,
        };
        Self { cells: outline.kind.iter().map(state).collect(), outline: outline.clone(), ..Self::default() }
    }

    /// A stage begins: every cell takes part in it.
    pub(super) fn begin(&mut self) {
        self.cells.iter_mut().filter(|cell| **cell == CellState::Pending).for_each(|cell| {
            *cell = CellState::Running;
        });
    }

    pub(super) fn set_point_estimates(&mut self, att: &[Num]) {
        for (cell, att) in self.cells.iter_mut().zip(att) {
            *cell = match *cell {
                CellState::Reference | CellState::NoControls => *cell,
                _ if att.is_na() => CellState::Failed,
                _ => CellState::PointEstimate { att: att.0 },
            };
        }
    }

    pub(super) fn set_estimates(&mut self, found: &Estimated) {
        let cells = &found.att_gt;
        for (index, cell) in self.cells.iter_mut().enumerate() {
            let value = |of: &[Num]| of.get(index).map_or(f64::NAN, |x| x.0);
            let (att, se) = (value(&cells.att), value(&cells.se));
            *cell = match *cell {
                CellState::Reference | CellState::NoControls => *cell,
                _ if att.is_nan() => CellState::Failed,
                _ => CellState::Done { att, se, lower: value(&cells.lci), upper: value(&cells.uci) },
            };
        }
        self.estimated = Some(Box::new(found.clone()));
    }

    /// First treated periods, ascending, and periods, ascending: the axes of the grid.
    pub fn axes(&self) -> (Vec<f64>, Vec<f64>) {
        let ascending = |values: &[Num]| {
            let mut out: Vec<f64> = values.iter().map(|x| x.0).collect();
            out.sort_by(f64::total_cmp);
            out.dedup();
            out
        };
        (ascending(&self.outline.group), ascending(&self.outline.time))
    }

    /// The cell of a cohort and a period, by its place in the outline.
    pub fn cell(&self, group: f64, time: f64) -> Option<usize> {
        let places = self.outline.group.iter().zip(&self.outline.time);
        places.into_iter().position(|(g, t)| g.0 == group && t.0 == time)
    }
}
