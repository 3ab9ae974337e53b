//! From long rows in any order to wide shards in the canonical order (DESIGN §4), in two passes over the input.
//!
//! 1. `keys`: ids, periods and cohorts alone. They give the units, and with them the shard and position of every unit (`order`).
//! 2. `values`: outcomes, covariates, weights and clusters go straight to their final place, one row a unit (`place`).
//! 3. `finish`: each shard's rows become columns; what is missing is marked, what is constant in time is kept once.

mod finish;
mod keys;
mod order;
mod place;
mod slots;

use stagger_estimator::formula::Formula;

use crate::error::{EngineError, Result};
use crate::events::RunEvent;
use crate::input::{ColumnKind, Source, expand};
use crate::panel::Panel;
use crate::run::Progress;
use crate::spec::RunSpec;

/// Names of the columns a specification needs, by what they are for.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    pub(crate) id: String,
    pub(crate) time: String,
    pub(crate) group: String,
    pub(crate) outcome: String,
    /// Raw columns of the formula.
    pub(crate) covariates: Vec<Covariate>,
    pub(crate) weight: Option<String>,
    /// Cluster columns other than the unit.
    pub(crate) clusters: Vec<String>,
}

/// A raw column of the formula.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Covariate {
    pub(crate) name: String,
    pub(crate) text: bool,
}

impl Columns {
    fn resolve(spec: &RunSpec, formula: &Formula, source: &Source) -> Result<Self> {
        let number = |argument: &str, column: &str| match source.kind(argument, column)? {
            ColumnKind::Number => Ok(()),
            _ => Err(not_a_number(argument, column, source)),
        };
        source.kind("idname", &spec.idname)?;
        number("tname", &spec.tname)?;
        number("gname", &spec.gname)?;
        number("yname", &spec.yname)?;
        if let Some(weight) = &spec.weightsname {
            number("weightsname", weight)?;
        }
        let clusters: Vec<String> = spec.clustervars.iter().filter(|c| **c != spec.idname).cloned().collect();
        for (argument, column) in
            clusters.iter().map(|c| ("clustervars", c)).chain([("idname", &spec.idname)])
        {
            if source.kind(argument, column)? == ColumnKind::Other {
                return Err(not_a_number(argument, column, source));
            }
        }
        let covariates = formula
            .variables()
            .into_iter()
            .map(|name| match source.kind("xformla", &name)? {
                ColumnKind::Other => Err(not_a_number("xformla", &name, source)),
                kind => Ok(Covariate { name, text: kind == ColumnKind::Text }),
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            id: spec.idname.clone(),
            time: spec.tname.clone(),
            group: spec.gname.clone(),
            outcome: spec.yname.clone(),
            covariates,
            weight: spec.weightsname.clone(),
            clusters,
        })
    }
}

fn not_a_number(argument: &str, column: &str, source: &Source) -> EngineError {
    let name = source.type_name(column).unwrap_or_default();
    let hint = if name.starts_with("Date") || name.starts_with("Timestamp") {
        "convert dates to numbers first, for instance to the year or to months since a start"
    } else if argument == "idname" || argument == "clustervars" {
        "identifiers must be integers or text"
    } else {
        "it must be numeric"
    };
    EngineError::input(format!("{argument}: column `{column}` has type {name}, which can't be used here"))
        .with_hint(hint)
}

/// Reads a panel.
pub(crate) fn load(
    inputs: &[String],
    spec: &RunSpec,
    formula: &Formula,
    threads: usize,
    progress: &mut Progress<'_>,
) -> Result<Panel> {
    let mut needed: Vec<String> =
        [&spec.idname, &spec.tname, &spec.gname, &spec.yname].into_iter().cloned().collect();
    needed.extend(spec.clustervars.iter().chain(&spec.weightsname).cloned());
    needed.extend(formula.variables());
    let source = Source::open(expand(inputs)?, &needed)?;
    (progress.observer)(&RunEvent::InputFound {
        files: source.files().len(),
        rows: source.rows(),
        bytes: source.bytes(),
    });
    let columns = Columns::resolve(spec, formula, &source)?;
    if source.rows() == 0 {
        return Err(
            EngineError::input("the input has no rows").with_hint("check that the files hold the panel")
        );
    }
    let chunks = source.chunks().len();
    let keys = progress.stage("units", chunks, |_| keys::scan(&source, &columns, threads))?;
    let order = progress.stage("order", 1, |_| order::order(&keys, threads))?;
    let placed =
        progress.stage("values", chunks, |_| place::place(&source, &columns, &keys, &order, threads))?;
    drop(keys);
    let mut panel =
        progress.stage("columns", 1, |_| finish::finish(&columns, formula, order, placed, threads))?;
    panel.files = source.files();
    panel.input_rows = source.rows();
    Ok(panel)
}
