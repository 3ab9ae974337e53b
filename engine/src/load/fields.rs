//! Which fields of the placed rows a specification reads, and how its atoms come from them.

use std::collections::BTreeSet;

use stagger_estimator::formula::{Atom, Expr, Formula};

use super::slots::{FieldKind, Slots};
use super::{Columns, Wanted};
use crate::error::{EngineError, Result};

/// How an atom of the formula comes from the fields.
#[derive(Debug)]
pub(crate) struct AtomPlan {
    /// Fields it reads.
    pub(crate) fields: Vec<usize>,
    /// Value from those fields' values; `None` for the field itself.
    pub(crate) expression: Option<(Expr, Vec<String>)>,
    pub(crate) text: bool,
}

/// The fields that one specification reads.
#[derive(Debug)]
pub(crate) struct FieldUse {
    pub(crate) outcome: usize,
    pub(crate) atoms: Vec<AtomPlan>,
    pub(crate) weight: Option<usize>,
    pub(crate) clusters: Vec<usize>,
}

impl FieldUse {
    pub(crate) fn of(columns: &Columns, wanted: &Wanted<'_>, slots: &Slots) -> Result<Self> {
        let find = |name: &str, fits: &dyn Fn(FieldKind) -> bool| {
            slots
                .fields
                .iter()
                .position(|f| f.name == name && fits(f.kind))
                .ok_or_else(|| EngineError::failed(format!("no column `{name}`")))
        };
        let is_weight = |kind: FieldKind| kind == FieldKind::Weight;
        let weight = wanted.spec.weightsname.as_ref().map(|name| find(name, &is_weight)).transpose()?;
        let cluster = |(dimension, name): (usize, &String)| {
            find(name, &|kind| kind == FieldKind::Cluster { dimension })
        };
        Ok(Self {
            outcome: find(&wanted.spec.yname, &|kind| kind == FieldKind::Outcome)?,
            atoms: atom_plans(columns, wanted.formula, &|name| {
                find(name, &|kind| matches!(kind, FieldKind::Covariate { .. }))
            })?,
            weight,
            clusters: wanted.clusters().iter().enumerate().map(cluster).collect::<Result<_>>()?,
        })
    }

    /// Fields whose missing values make a row incomplete.
    pub(crate) fn fields(&self) -> BTreeSet<usize> {
        let atoms = self.atoms.iter().flat_map(|a| a.fields.iter().copied());
        atoms.chain([self.outcome]).chain(self.weight).chain(self.clusters.iter().copied()).collect()
    }
}

fn atom_plans(
    columns: &Columns,
    formula: &Formula,
    field_of: &dyn Fn(&str) -> Result<usize>,
) -> Result<Vec<AtomPlan>> {
    let is_text = |name: &str| columns.covariates.iter().any(|c| c.name == name && c.text);
    formula
        .atoms()
        .iter()
        .map(|atom| match atom {
            Atom::Factor(name) => {
                Ok(AtomPlan { fields: vec![field_of(name)?], expression: None, text: is_text(name) })
            }
            Atom::Numeric(expression) => {
                if let Some(name) = expression.is_plain_column() {
                    return Ok(AtomPlan {
                        fields: vec![field_of(name)?],
                        expression: None,
                        text: is_text(name),
                    });
                }
                let names: Vec<String> = expression.columns().into_iter().map(str::to_owned).collect();
                if let Some(name) = names.iter().find(|n| is_text(n)) {
                    return Err(EngineError::input(format!("xformla computes with `{name}`, which is text"))
                        .with_hint(format!("use `{name}` alone or factor({name})")));
                }
                let fields = names.iter().map(|n| field_of(n)).collect::<Result<_>>()?;
                Ok(AtomPlan { fields, expression: Some((expression.clone(), names)), text: false })
            }
        })
        .collect()
}
