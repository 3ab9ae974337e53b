//! Evaluation of a tree over a batch.

use arrow_array::{RecordBatch, StringArray};
use stagger_model::error::closest_names;

use super::error::{ExpressionError, Found};
use super::parse::{Node, NodeKind};
use super::values::Values;
use super::{arithmetic, compare, functions};

/// Evaluates a node: a value for each row, or one for all.
pub(super) fn evaluate(node: &Node, batch: &RecordBatch) -> Found<Values> {
    match &node.kind {
        NodeKind::Number(value) => Ok(Values::Number(vec![*value])),
        NodeKind::Integer(value) => Ok(Values::Integer(vec![Some(*value)])),
        NodeKind::Text(text) => Ok(Values::Text(StringArray::from(vec![text.as_str()]))),
        NodeKind::Logical(value) => Ok(Values::Logical(vec![Some(*value)])),
        NodeKind::Missing => Ok(Values::Missing(1)),
        NodeKind::Column(name) => column(node, name, batch),
        NodeKind::Unary(operator, operand) => {
            let values = evaluate(operand, batch)?;
            match *operator {
                "!" => arithmetic::not(operand, &values),
                _ => arithmetic::negative(operand, values),
            }
        }
        NodeKind::Binary(operator, left, right) => {
            let (a, b) = (evaluate(left, batch)?, evaluate(right, batch)?);
            match *operator {
                "+" | "-" | "*" | "/" | "^" | "%%" | "%/%" => {
                    arithmetic::binary(node, operator, (left, a), (right, b))
                }
                "&" | "&&" | "|" | "||" => arithmetic::logical(operator, (left, &a), (right, &b)),
                "%in%" => compare::is_in(node, &a, &b),
                _ => compare::compare(node, operator, &a, &b),
            }
        }
        NodeKind::Call(name, arguments) => functions::call(node, name, arguments, batch),
    }
}

fn column(node: &Node, name: &str, batch: &RecordBatch) -> Found<Values> {
    let Some(array) = batch.column_by_name(name) else {
        let schema = batch.schema();
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let near = closest_names(name, names.iter().copied());
        let hint = match near.first() {
            Some(near) => format!("did you mean `{near}`? texts stand in quotes"),
            None => format!("the columns are {}", names.join(", ")),
        };
        return Err(ExpressionError::new(node.position, node.length, format!("there is no column `{name}`"))
            .hint(hint));
    };
    Values::of(array).ok_or_else(|| {
        let message =
            format!("column `{name}` has type {}, with which nothing can be computed", array.data_type());
        ExpressionError::new(node.position, node.length, message)
    })
}

/// Returns the number of rows of two operands, of which one value stands for all rows.
pub(super) fn rows(a: usize, b: usize) -> usize {
    if a == 1 { b } else { a }
}

/// Returns the values of an operand in each row: the only one, or its own.
pub(super) fn at<T: Clone>(values: &[T], row: usize) -> T {
    if values.len() == 1 { values[0].clone() } else { values[row].clone() }
}

/// Returns the error for an operand of a wrong type.
pub(super) fn wrong_type(node: &Node, wanted: &str, found: &Values) -> ExpressionError {
    let error = ExpressionError::new(
        node.position,
        node.length,
        format!("{wanted} are expected here, not {}", found.kind()),
    );
    match (wanted, found) {
        ("numbers", Values::Text(_)) => error.hint("as.numeric() makes numbers of text"),
        ("text", Values::Integer(_) | Values::Number(_)) => {
            error.hint("as.character() makes text of numbers")
        }
        ("dates", Values::Text(_)) => error.hint("as.Date() makes dates of text: as.Date(x, \"%m/%d/%Y\")"),
        _ => error,
    }
}
