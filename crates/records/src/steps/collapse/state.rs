//! Functions over the rows of a group: what they keep, how two parts of a group are joined, and their value.

use std::collections::HashSet;

use stagger_model::exact_sum::ExactSum;

use crate::expression::Values;
use crate::steps::keys::Keys;

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Sum,
    Mean,
    WeightedMean,
    Deviation,
    Min,
    Max,
    First,
    Any,
    All,
    Count,
    Distinct,
}

impl Function {
    /// All functions by R's names.
    pub(super) const ALL: [(&'static str, Self); 11] = [
        ("sum", Self::Sum),
        ("mean", Self::Mean),
        ("weighted.mean", Self::WeightedMean),
        ("sd", Self::Deviation),
        ("min", Self::Min),
        ("max", Self::Max),
        ("first", Self::First),
        ("any", Self::Any),
        ("all", Self::All),
        ("n", Self::Count),
        ("n_distinct", Self::Distinct),
    ];

    /// Returns the number of arguments.
    pub(super) fn arguments(self) -> usize {
        match self {
            Self::Count => 0,
            Self::WeightedMean => 2,
            _ => 1,
        }
    }
}

/// The arguments of a function in the rows of a batch.
pub(super) enum Column {
    None,
    Whole(Vec<Option<i64>>),
    Numbers(Vec<f64>),
    Weighted(Vec<f64>, Vec<f64>),
    Logical(Vec<Option<bool>>),
    /// Values of any type as bytes that sort, and those that are missing.
    Bytes(Keys, Vec<bool>),
}

impl Column {
    pub(super) fn missing(values: &Values) -> Vec<bool> {
        values.missing()
    }
}

/// What a function keeps of a group.
#[derive(Clone, Debug)]
pub(super) enum State {
    Count(u64),
    Whole {
        total: i128,
        count: u64,
        missing: u64,
    },
    Sum {
        total: ExactSum,
        count: u64,
        missing: u64,
    },
    Weighted {
        total: ExactSum,
        weight: ExactSum,
        missing: u64,
    },
    Deviation {
        total: ExactSum,
        squares: ExactSum,
        count: u64,
        missing: u64,
    },
    Logical {
        yes: bool,
        no: bool,
        missing: u64,
    },
    /// The smallest and the largest value.
    Extremes {
        least: Option<Box<[u8]>>,
        most: Option<Box<[u8]>>,
        missing: u64,
    },
    Distinct(HashSet<Box<[u8]>>),
}

impl State {
    pub(super) fn new(function: Function, column: &Column) -> Self {
        let missing = 0;
        match (function, column) {
            (Function::Count, _) => Self::Count(0),
            (Function::Distinct, _) => Self::Distinct(HashSet::new()),
            (Function::Min | Function::Max | Function::First, _) => {
                Self::Extremes { least: None, most: None, missing }
            }
            (Function::Any | Function::All, _) => Self::Logical { yes: false, no: false, missing },
            (Function::WeightedMean, _) => {
                Self::Weighted { total: ExactSum::default(), weight: ExactSum::default(), missing }
            }
            (Function::Deviation, _) => Self::Deviation {
                total: ExactSum::default(),
                squares: ExactSum::default(),
                count: 0,
                missing,
            },
            (_, Column::Whole(_)) => Self::Whole { total: 0, count: 0, missing },
            _ => Self::Sum { total: ExactSum::default(), count: 0, missing },
        }
    }

    /// Adds a row; returns the number of bytes by which the state has grown.
    pub(super) fn add(&mut self, column: &Column, row: usize) -> usize {
        match (self, column) {
            (Self::Count(count), _) => *count += 1,
            (Self::Whole { total, count, missing }, Column::Whole(values)) => match values[row] {
                Some(value) => (*total, *count) = (*total + i128::from(value), *count + 1),
                None => *missing += 1,
            },
            (Self::Sum { total, count, missing }, Column::Numbers(values)) => match values[row] {
                value if value.is_nan() => *missing += 1,
                value => {
                    total.add(value);
                    *count += 1;
                }
            },
            (Self::Deviation { total, squares, count, missing }, Column::Numbers(values)) => {
                match values[row] {
                    value if value.is_nan() => *missing += 1,
                    value => {
                        total.add(value);
                        squares.add_product(value, value);
                        *count += 1;
                    }
                }
            }
            (Self::Weighted { total, weight, missing }, Column::Weighted(values, weights)) => {
                match (values[row], weights[row]) {
                    (value, own) if value.is_nan() || own.is_nan() => *missing += 1,
                    (value, own) => {
                        total.add_product(value, own);
                        weight.add(own);
                    }
                }
            }
            (Self::Logical { yes, no, missing }, Column::Logical(values)) => match values[row] {
                Some(true) => *yes = true,
                Some(false) => *no = true,
                None => *missing += 1,
            },
            (Self::Extremes { least, most, missing }, Column::Bytes(keys, absent)) => {
                if absent[row] {
                    *missing += 1;
                } else {
                    widen(least, most, keys.get(row));
                }
            }
            (Self::Distinct(all), Column::Bytes(keys, _)) => {
                let key = keys.get(row);
                if !all.contains(key) {
                    all.insert(key.into());
                    return key.len() + ENTRY;
                }
            }
            _ => {}
        }
        0
    }

    /// Joins another part of the same group.
    pub(super) fn merge(&mut self, other: Self) {
        match (self, other) {
            (Self::Count(count), Self::Count(more)) => *count += more,
            (Self::Whole { total, count, missing }, Self::Whole { total: t, count: c, missing: m }) => {
                (*total, *count, *missing) = (*total + t, *count + c, *missing + m);
            }
            (Self::Sum { total, count, missing }, Self::Sum { total: t, count: c, missing: m }) => {
                total.merge(&t);
                (*count, *missing) = (*count + c, *missing + m);
            }
            (
                Self::Deviation { total, squares, count, missing },
                Self::Deviation { total: t, squares: s, count: c, missing: m },
            ) => {
                total.merge(&t);
                squares.merge(&s);
                (*count, *missing) = (*count + c, *missing + m);
            }
            (
                Self::Weighted { total, weight, missing },
                Self::Weighted { total: t, weight: w, missing: m },
            ) => {
                total.merge(&t);
                weight.merge(&w);
                *missing += m;
            }
            (Self::Logical { yes, no, missing }, Self::Logical { yes: y, no: n, missing: m }) => {
                (*yes, *no, *missing) = (*yes | y, *no | n, *missing + m);
            }
            (Self::Extremes { least, most, missing }, Self::Extremes { least: l, most: h, missing: m }) => {
                [l, h].into_iter().flatten().for_each(|value| widen(least, most, &value));
                *missing += m;
            }
            (Self::Distinct(all), Self::Distinct(more)) => all.extend(more),
            _ => {}
        }
    }
}

/// The bytes of an entry of a set beside its key.
const ENTRY: usize = 48;

fn widen(least: &mut Option<Box<[u8]>>, most: &mut Option<Box<[u8]>>, value: &[u8]) {
    if least.as_deref().is_none_or(|known| value < known) {
        *least = Some(value.into());
    }
    if most.as_deref().is_none_or(|known| value > known) {
        *most = Some(value.into());
    }
}
