//! The columns of a collapsed table: parsing, types, and the values of groups.

use std::collections::BTreeMap;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, SchemaRef};
use stagger_model::csv_options::ColumnRole;
use stagger_model::error::{Result, StaggerError, closest_names};

use super::state::{Column, Function, State};
use crate::expression::{Expression, ExpressionError, Node, NodeKind, Values, no_rows, split_arguments};
use crate::steps::keys::{decode, encode};

/// A column that a function makes of each group.
pub(in crate::steps) struct Aggregate {
    pub(super) name: String,
    function: Function,
    arguments: Vec<Expression>,
    /// `true` leaves missing values out; otherwise they make the value missing.
    skip_missing: bool,
    text: String,
}

/// Parses `y = sum(x), n = n()`.
pub(in crate::steps) fn parse_aggregates(text: &str) -> Result<Vec<Aggregate>> {
    let failed = |error: ExpressionError| error.in_text(text).in_context("collapse");
    let parts = split_arguments(text).map_err(failed)?;
    parts.into_iter().map(|(name, node)| aggregate(text, name, &node).map_err(failed)).collect()
}

fn aggregate(
    text: &str,
    name: Option<String>,
    node: &Node,
) -> std::result::Result<Aggregate, ExpressionError> {
    let error = |message: String| ExpressionError::new(node.position, node.length, message);
    let Some(name) = name else {
        return Err(
            error("this has no name".to_owned()).hint("write NAME = FUNCTION(…), as in: y = sum(x), n = n()")
        );
    };
    let NodeKind::Call(function, given) = &node.kind else {
        return Err(
            error("a function over the rows of a group is expected here".to_owned()).hint(functions())
        );
    };
    let Some((_, kind)) = Function::ALL.iter().find(|(own, _)| own == function) else {
        let near = closest_names(function, Function::ALL.iter().map(|(own, _)| *own));
        let hint =
            near.first().map_or_else(functions, |near| format!("did you mean {near}()? {}", functions()));
        return Err(error(format!("{function}() is no function over the rows of a group")).hint(hint));
    };
    let mut skip_missing = false;
    let mut arguments = Vec::new();
    for (own, argument) in given {
        match (own.as_deref(), &argument.kind) {
            (Some("na.rm"), NodeKind::Logical(skip)) => skip_missing = *skip,
            (None | Some("x" | "w"), _) => arguments.push(Expression::part(text, argument)),
            (Some(own), _) => return Err(error(format!("{function}() has no argument {own}"))),
        }
    }
    if arguments.len() != kind.arguments() {
        let count = kind.arguments();
        return Err(error(format!(
            "{function}() takes {count} arguments beside na.rm, not {}",
            arguments.len()
        )));
    }
    Ok(Aggregate { name, function: *kind, arguments, skip_missing, text: text.to_owned() })
}

fn functions() -> String {
    let names: Vec<&str> = Function::ALL.iter().map(|(name, _)| *name).collect();
    format!("the functions are {}", names.join(", "))
}

impl Aggregate {
    /// Adds the columns of the arguments with the use of each.
    pub(in crate::steps) fn add_columns(&self, columns: &mut BTreeMap<String, ColumnRole>) {
        for argument in &self.arguments {
            let keeps = matches!(self.function, Function::First | Function::Distinct);
            match (&argument.root().kind, keeps) {
                // Codes keep their spelling, unless another argument computes with them.
                (NodeKind::Column(name), true) => {
                    columns.entry(name.clone()).or_insert(ColumnRole::Level);
                }
                _ => argument.add_columns(columns),
            }
        }
    }

    /// Evaluates the arguments in the rows of a batch.
    pub(super) fn column(&self, batch: &RecordBatch) -> Result<Column> {
        let evaluate =
            |at: usize| self.arguments[at].evaluate(batch).map_err(|error| error.in_context("collapse"));
        let numbers = |values: &Values| values.numbers().ok_or_else(|| self.wrong("numbers", values));
        Ok(match self.function {
            Function::Count => Column::None,
            Function::Sum => {
                let values = evaluate(0)?;
                match values.integers() {
                    Some(whole) => Column::Whole(whole),
                    None => Column::Numbers(numbers(&values)?),
                }
            }
            Function::Mean | Function::Deviation => Column::Numbers(numbers(&evaluate(0)?)?),
            Function::WeightedMean => Column::Weighted(numbers(&evaluate(0)?)?, numbers(&evaluate(1)?)?),
            Function::Any | Function::All => {
                let values = evaluate(0)?;
                Column::Logical(values.logicals().ok_or_else(|| self.wrong("logical values", &values))?)
            }
            Function::Min | Function::Max | Function::First | Function::Distinct => {
                let values = evaluate(0)?;
                let missing = Column::missing(&values);
                Column::Bytes(encode(&values.into_array())?, missing)
            }
        })
    }

    fn wrong(&self, wanted: &str, found: &Values) -> StaggerError {
        StaggerError::input(format!(
            "collapse: `{}` takes {wanted}, not {}: {}",
            self.name,
            found.kind(),
            self.text
        ))
        .with_hint("as.numeric() makes numbers of text")
    }

    pub(super) fn state(&self, column: &Column) -> State {
        State::new(self.function, column)
    }

    /// Returns the type of the column.
    pub(super) fn data_type(&self, schema: &SchemaRef) -> Result<DataType> {
        let empty = no_rows(schema);
        let column = self.column(&empty)?;
        Ok(match (self.function, column) {
            (Function::Count | Function::Distinct, _) | (Function::Sum, Column::Whole(_)) => DataType::Int64,
            (Function::Any | Function::All, _) => DataType::Boolean,
            (Function::Min | Function::Max | Function::First, _) => {
                self.arguments[0].array(&empty)?.data_type().clone()
            }
            _ => DataType::Float64,
        })
    }

    /// Returns the column's values of groups; `key` shows a group's key.
    pub(super) fn finish(
        &self,
        states: &[&State],
        data_type: &DataType,
        key: &dyn Fn(usize) -> String,
    ) -> Result<ArrayRef> {
        match (self.function, data_type) {
            (Function::Min | Function::Max | Function::First, _) => {
                self.finish_values(states, data_type, key)
            }
            (_, DataType::Boolean) => {
                Ok(Values::Logical(states.iter().map(|state| self.logical(state)).collect()).into_array())
            }
            (_, DataType::Int64) => {
                let whole = |(group, state): (usize, &&State)| self.whole(state, group, key);
                Ok(Values::Integer(states.iter().enumerate().map(whole).collect::<Result<_>>()?).into_array())
            }
            _ => Ok(Values::Number(states.iter().map(|state| self.number(state)).collect()).into_array()),
        }
    }

    /// Returns `true` if missing values make the value missing.
    fn is_lost(&self, missing: u64) -> bool {
        missing > 0 && !self.skip_missing
    }

    fn whole(&self, state: &State, group: usize, key: &dyn Fn(usize) -> String) -> Result<Option<i64>> {
        match state {
            State::Count(count) => Ok(Some(count.cast_signed())),
            State::Distinct(all) => Ok(Some(all.len() as i64)),
            State::Whole { missing, .. } if self.is_lost(*missing) => Ok(None),
            State::Whole { total, .. } => i64::try_from(*total).map(Some).map_err(|_| {
                StaggerError::input(format!(
                    "collapse: the sum `{}` of {} exceeds 64 bits: {total}",
                    self.name,
                    key(group)
                ))
                .with_hint("as.numeric() sums with decimals: sum(as.numeric(x))")
            }),
            _ => Ok(None),
        }
    }

    fn number(&self, state: &State) -> f64 {
        match state {
            State::Sum { missing, .. }
            | State::Weighted { missing, .. }
            | State::Deviation { missing, .. }
                if self.is_lost(*missing) =>
            {
                f64::NAN
            }
            State::Sum { total, count, .. } if self.function == Function::Mean => {
                total.value() / *count as f64
            }
            State::Sum { total, .. } => total.value(),
            State::Weighted { total, weight, .. } => total.value() / weight.value(),
            State::Deviation { total, squares, count, .. } if *count > 1 => {
                (total.squared_deviations(squares, *count) / (*count - 1) as f64).sqrt()
            }
            _ => f64::NAN,
        }
    }

    /// `any` and `all`, in which missing values decide nothing.
    fn logical(&self, state: &State) -> Option<bool> {
        let State::Logical { yes, no, missing } = state else { return None };
        let unknown = self.is_lost(*missing);
        match self.function {
            Function::Any if *yes => Some(true),
            Function::All if *no => Some(false),
            _ if unknown => None,
            other => Some(other == Function::All),
        }
    }

    fn finish_values(
        &self,
        states: &[&State],
        data_type: &DataType,
        key: &dyn Fn(usize) -> String,
    ) -> Result<ArrayRef> {
        let mut values: Vec<&[u8]> = Vec::with_capacity(states.len());
        for (group, state) in states.iter().enumerate() {
            let State::Extremes { least, most, missing } = state else { continue };
            if self.function == Function::First && least != most {
                return Err(self.several(least, most, data_type, &key(group)));
            }
            let value = if self.function == Function::Max { most } else { least };
            // Missing values do not hide the one value that a group has.
            let lost = self.is_lost(*missing) && self.function != Function::First;
            values.push(value.as_deref().filter(|_| !lost).unwrap_or(&[0]));
        }
        decode(data_type, &mut values)
    }

    fn several(
        &self,
        a: &Option<Box<[u8]>>,
        b: &Option<Box<[u8]>>,
        data_type: &DataType,
        key: &str,
    ) -> StaggerError {
        let show = |value: &Option<Box<[u8]>>| {
            let mut one = vec![value.as_deref().unwrap_or(&[0])];
            decode(data_type, &mut one)
                .map_or_else(|_| String::new(), |array| crate::steps::keys::show(&array, 0))
        };
        StaggerError::input(format!(
            "collapse: `{}` is first(…) of different values in {key}: `{}` and `{}`",
            self.name,
            show(a),
            show(b)
        ))
        .with_hint("min() or max() chooses one of them, mean() takes their mean")
    }
}
