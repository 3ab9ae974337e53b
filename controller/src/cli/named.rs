//! The arguments of one specification, as a table of a run file gives them.

use stagger_model::error::closest_names;
use stagger_model::failure::Failure;
use toml::Table;

use super::names::canonical;
use super::run_args::RunArgs;

/// Key of the tables of a run file that hold specifications.
pub(super) const SPECS: &str = "spec";

/// Arguments of one specification.
#[derive(Debug)]
pub(crate) struct NamedArgs {
    /// The name, where the run file has several; the result carries it.
    pub(crate) name: Option<String>,
    /// The arguments.
    pub(crate) args: RunArgs,
}

/// Arguments of a table; `place` names it in messages.
pub(super) fn arguments(table: &Table, place: &str) -> Result<RunArgs, Failure> {
    let mut args = RunArgs::default();
    let mut seen: Vec<(String, &str)> = Vec::new();
    for (key, value) in table {
        let name = canonical(key);
        if let Some((_, other)) = seen.iter().find(|(earlier, _)| *earlier == name) {
            return Err(Failure::input(format!("{place}: {other} and {key} are the same argument, {name}")));
        }
        match args.set(&name, value) {
            Some(Ok(())) => seen.push((name, key)),
            Some(Err(reason)) => return Err(Failure::input(format!("{place}: {key} {reason}"))),
            None => return Err(unknown(key, place)),
        }
    }
    Ok(args)
}

fn unknown(key: &str, place: &str) -> Failure {
    let failure = Failure::input(format!("{place}: unknown key {key}"));
    match closest_names(&canonical(key), RunArgs::keys().chain([SPECS])).first() {
        Some(near) => failure.hint(format!("did you mean {near}?")),
        None => failure.hint("`stagger run --help` lists all keys"),
    }
}
