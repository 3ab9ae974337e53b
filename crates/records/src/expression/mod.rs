//! Expressions over the columns of records, in R's syntax: `status == "S" & year >= 2006`.
//!
//! An [`Expression`] is parsed once and evaluated batch by batch, column by column. Types are those of [`Values`];
//! operators and functions decide by types alone, so the evaluation of no rows finds every error of types.

mod arithmetic;
mod compare;
mod error;
mod evaluate;
mod functions;
mod parse;
mod token;
mod values;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::Schema;
use stagger_model::csv_options::ColumnRole;
use stagger_model::error::Result;

pub(crate) use error::ExpressionError;
use parse::parse;
pub(crate) use parse::{Node, NodeKind, split_arguments};
pub(crate) use values::{DAY, Values};

/// A parsed expression.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    text: String,
    root: Node,
}

impl Expression {
    /// Parses a text.
    ///
    /// # Errors
    /// The place and the fault, shown below the text.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let root = parse(text).map_err(|error| error.in_text(text))?;
        Ok(Self { text: text.to_owned(), root })
    }

    /// Returns a part of an expression of `text` as an expression by itself.
    pub(crate) fn part(text: &str, node: &Node) -> Self {
        Self { text: text.to_owned(), root: node.clone() }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn root(&self) -> &Node {
        &self.root
    }

    /// Adds the columns of the expression with the use of each, which decides how cells of text files are read: as
    /// numbers wherever they are numbers, unless the expression wants their spelling.
    pub(crate) fn add_columns(&self, columns: &mut BTreeMap<String, ColumnRole>) {
        collect(&self.root, ColumnRole::Number, columns);
    }

    /// Evaluates the rows of a batch.
    ///
    /// # Errors
    /// Unknown columns and functions, wrong types, integers that overflow; the place is shown below the text.
    pub(crate) fn evaluate(&self, batch: &RecordBatch) -> Result<Values> {
        let found = evaluate::evaluate(&self.root, batch).map_err(|error| error.in_text(&self.text))?;
        Ok(found.spread(batch.num_rows()))
    }

    /// Evaluates the rows of a batch as a column.
    ///
    /// # Errors
    /// Those of [`Expression::evaluate`].
    pub(crate) fn array(&self, batch: &RecordBatch) -> Result<ArrayRef> {
        Ok(self.evaluate(batch)?.into_array())
    }

    /// Evaluates a condition: for each row `true`, `false`, or missing.
    ///
    /// # Errors
    /// Those of [`Expression::evaluate`], and a value that is not logical.
    pub(crate) fn condition(&self, batch: &RecordBatch) -> Result<Vec<Option<bool>>> {
        match self.evaluate(batch)? {
            Values::Logical(rows) => Ok(rows),
            Values::Missing(rows) => Ok(vec![None; rows]),
            other => Err(ExpressionError::new(
                self.root.position,
                self.root.length,
                format!("a condition is TRUE or FALSE, not {}", other.kind()),
            )
            .hint("compare it with something, as in: x > 0")
            .in_text(&self.text)),
        }
    }
}

/// Returns a batch without rows.
pub(crate) fn no_rows(schema: &Schema) -> RecordBatch {
    RecordBatch::new_empty(schema.clone().into())
}

fn collect(node: &Node, role: ColumnRole, columns: &mut BTreeMap<String, ColumnRole>) {
    match &node.kind {
        NodeKind::Column(name) => {
            let known = columns.entry(name.clone()).or_insert(role);
            if role == ColumnRole::Number {
                *known = role;
            }
        }
        NodeKind::Unary(_, a) => collect(a, ColumnRole::Number, columns),
        NodeKind::Binary(_, a, b) => {
            let own = if a.is_text() || b.is_text() { ColumnRole::Level } else { ColumnRole::Number };
            collect(a, own, columns);
            collect(b, own, columns);
        }
        NodeKind::Call(name, arguments) => {
            let text =
                functions::takes_text(name) || arguments.iter().any(|(_, argument)| argument.is_text());
            let own = if text { ColumnRole::Level } else { ColumnRole::Number };
            arguments.iter().for_each(|(_, argument)| collect(argument, own, columns));
        }
        _ => {}
    }
}
