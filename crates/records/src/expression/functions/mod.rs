//! The functions of expressions, named as in R (dates as in the package lubridate).

mod choose;
mod dates;
mod numbers;
mod text;

use arrow_array::RecordBatch;
use stagger_model::error::closest_names;

use super::error::{ExpressionError, Found};
use super::evaluate::evaluate;
use super::parse::Node;
use super::values::Values;

/// A function's implementation.
type Implementation = fn(&Call<'_>) -> Found<Values>;

/// All functions: the name, the names of the arguments in order, the number of those that must be given, and the
/// implementation. `...` stands for any number of arguments.
const ALL: &[(&str, &[&str], usize, Implementation)] = &[
    ("abs", &["x"], 1, numbers::abs),
    ("as.character", &["x"], 1, text::as_character),
    ("as.Date", &["x", "format"], 1, dates::as_date),
    ("as.integer", &["x"], 1, numbers::as_integer),
    ("as.logical", &["x"], 1, numbers::as_logical),
    ("as.numeric", &["x"], 1, numbers::as_numeric),
    ("c", &["..."], 1, choose::combine),
    ("ceiling", &["x"], 1, numbers::ceiling),
    ("coalesce", &["..."], 1, choose::coalesce),
    ("cut", &["x", "breaks", "labels", "right", "include.lowest"], 2, choose::cut),
    ("day", &["x"], 1, dates::day),
    ("endsWith", &["x", "suffix"], 2, text::ends_with),
    ("exp", &["x"], 1, numbers::exp),
    ("floor", &["x"], 1, numbers::floor),
    ("grepl", &["pattern", "x", "ignore.case", "fixed"], 2, text::grepl),
    ("ifelse", &["test", "yes", "no"], 3, choose::if_else),
    ("is.na", &["x"], 1, choose::is_na),
    ("log", &["x", "base"], 1, numbers::log),
    ("log10", &["x"], 1, numbers::log10),
    ("log1p", &["x"], 1, numbers::log1p),
    ("log2", &["x"], 1, numbers::log2),
    ("month", &["x"], 1, dates::month),
    ("nchar", &["x"], 1, text::nchar),
    ("paste", &["...", "sep"], 1, text::paste),
    ("paste0", &["..."], 1, text::paste0),
    ("pmax", &["...", "na.rm"], 1, choose::pmax),
    ("pmin", &["...", "na.rm"], 1, choose::pmin),
    ("quarter", &["x"], 1, dates::quarter),
    ("round", &["x", "digits"], 1, numbers::round),
    ("sprintf", &["fmt", "..."], 1, text::sprintf),
    ("sqrt", &["x"], 1, numbers::sqrt),
    ("startsWith", &["x", "prefix"], 2, text::starts_with),
    ("substr", &["x", "start", "stop"], 3, text::substr),
    ("tolower", &["x"], 1, text::to_lower),
    ("toupper", &["x"], 1, text::to_upper),
    ("trimws", &["x"], 1, text::trim),
    ("trunc", &["x"], 1, numbers::trunc),
    ("week", &["x"], 1, dates::week),
    ("year", &["x"], 1, dates::year),
];

/// Functions whose arguments are text: cells of text files keep their spelling for them.
const OF_TEXT: [&str; 13] = [
    "as.Date",
    "as.character",
    "endsWith",
    "grepl",
    "nchar",
    "paste",
    "paste0",
    "sprintf",
    "startsWith",
    "substr",
    "tolower",
    "toupper",
    "trimws",
];

pub(super) fn takes_text(name: &str) -> bool {
    OF_TEXT.contains(&name)
}

/// Returns `true` if a function's value is text, so that what it is compared with is text, too.
pub(super) fn gives_text(name: &str) -> bool {
    ["as.character", "paste", "paste0", "sprintf", "substr", "tolower", "toupper", "trimws"].contains(&name)
}

/// A call with its evaluated arguments.
pub(super) struct Call<'a> {
    pub(super) node: &'a Node,
    /// The arguments by name, in the order of the function's own list.
    named: Vec<(&'static str, &'a Node, Values)>,
    /// The arguments that stand for `...`.
    pub(super) rest: Vec<(&'a Node, Values)>,
}

impl Call<'_> {
    /// Returns an argument that must be there.
    pub(super) fn get(&self, name: &str) -> (&Node, &Values) {
        self.optional(name).unwrap_or((self.node, &Values::Missing(1)))
    }

    pub(super) fn optional(&self, name: &str) -> Option<(&Node, &Values)> {
        self.named.iter().find(|(own, ..)| *own == name).map(|(_, node, values)| (*node, values))
    }

    /// Returns an argument that is `TRUE` or `FALSE` for all rows.
    pub(super) fn flag(&self, name: &str, default: bool) -> Found<bool> {
        let Some((node, values)) = self.optional(name) else { return Ok(default) };
        match values {
            Values::Logical(values) if values.len() == 1 && values[0].is_some() => {
                Ok(values[0] == Some(true))
            }
            _ => {
                Err(ExpressionError::new(node.position, node.length, format!("{name} must be TRUE or FALSE")))
            }
        }
    }

    /// Returns an argument that is one text for all rows.
    pub(super) fn constant_text(&self, name: &str) -> Found<Option<String>> {
        use arrow_array::Array;
        let Some((node, values)) = self.optional(name) else { return Ok(None) };
        match values {
            Values::Text(texts) if texts.len() == 1 && texts.is_valid(0) => {
                Ok(Some(texts.value(0).to_owned()))
            }
            _ => Err(ExpressionError::new(
                node.position,
                node.length,
                format!("{name} must be one text in quotes"),
            )),
        }
    }

    pub(super) fn error(&self, message: impl Into<String>) -> ExpressionError {
        ExpressionError::new(self.node.position, self.node.length, message)
    }
}

/// Returns values as text, for tests.
#[cfg(test)]
pub(super) fn shown(values: &Values) -> Vec<Option<String>> {
    text::texts(values).iter().map(|text| text.map(str::to_owned)).collect()
}

/// Evaluates a call.
pub(super) fn call(
    node: &Node,
    name: &str,
    arguments: &[(Option<String>, Node)],
    batch: &RecordBatch,
) -> Found<Values> {
    let Some((name, parameters, least, run)) = ALL.iter().find(|(own, ..)| *own == name) else {
        return Err(unknown(node, name));
    };
    let mut call = Call { node, named: Vec::new(), rest: Vec::new() };
    let mut places = parameters.iter().filter(|own| **own != "...");
    let open = parameters.contains(&"...");
    for (given, argument) in arguments {
        let values = evaluate(argument, batch)?;
        let own = match given {
            Some(given) => parameters.iter().find(|own| *own == given).copied(),
            None if open && parameters[0] == "..." => None,
            None => places.next().copied(),
        };
        match (own, given) {
            (Some(own), _) if call.named.iter().any(|(known, ..)| *known == own) => {
                return Err(call.error(format!("the argument {own} of {name}() is given twice")));
            }
            (Some(own), _) => call.named.push((own, argument, values)),
            (None, None) if open => call.rest.push((argument, values)),
            (None, Some(given)) => {
                let message = format!("{name}() has no argument {given}");
                return Err(ExpressionError::new(argument.position, argument.length, message)
                    .hint(format!("its arguments are {}", parameters.join(", "))));
            }
            (None, None) => {
                let message = format!("{name}() has {} arguments at most", parameters.len());
                return Err(ExpressionError::new(argument.position, argument.length, message));
            }
        }
    }
    if call.named.len() + call.rest.len() < *least {
        let noun = if *least == 1 { "argument" } else { "arguments" };
        return Err(call.error(format!("{name}() needs {least} {noun}: {}", parameters[..*least].join(", "))));
    }
    run(&call)
}

fn unknown(node: &Node, name: &str) -> ExpressionError {
    let length = name.chars().count();
    let error = ExpressionError::new(node.position, length, format!("there is no function {name}()"));
    let names = ALL.iter().map(|(own, ..)| *own);
    match closest_names(name, names.clone()).first() {
        Some(near) => error.hint(format!("did you mean {near}()?")),
        None => error.hint(format!("the functions are {}", names.collect::<Vec<_>>().join(", "))),
    }
}
