//! Fields of the placed rows that a specification reads, and the way from fields to atoms of its formula.

use std::collections::BTreeSet;

use stagger_estimator::formula::{Atom, Expr, Formula};
use stagger_model::error::{Result, StaggerError};
use stagger_model::spec_check::CheckedSpec;

use super::slots::{FieldRole, SlotLayout};
use crate::columns::Columns;

/// The way from fields to one atom of the formula.
#[derive(Debug)]
pub struct AtomSource {
    /// Indices of the fields it reads.
    pub fields: Vec<usize>,
    /// Expression over those fields with their column names; `None` if the atom is the field itself.
    pub expression: Option<(Expr, Vec<String>)>,
    /// True if the values are codes of interned texts.
    pub text: bool,
    /// True if those texts are numbers of too many digits for a double.
    pub code: bool,
}

/// Indices of the fields that one specification reads.
#[derive(Debug)]
pub struct SpecFields {
    /// Field of the outcome.
    pub outcome: usize,
    /// The atoms of the formula, in its order.
    pub atoms: Vec<AtomSource>,
    /// Field of the weight.
    pub weight: Option<usize>,
    /// Fields of the cluster variables beyond the unit, in the specification's order.
    pub clusters: Vec<usize>,
}

impl SpecFields {
    /// Finds the fields of a specification among the slots.
    ///
    /// # Errors
    /// A text column in an expression of the formula, and columns without a field (a defect).
    pub fn of(columns: &Columns, wanted: &CheckedSpec, slots: &SlotLayout) -> Result<Self> {
        let find = |name: &str, fits: &dyn Fn(FieldRole) -> bool| {
            slots
                .fields
                .iter()
                .position(|f| f.name == name && fits(f.kind))
                .ok_or_else(|| StaggerError::failed(format!("no column `{name}`")))
        };
        let is_weight = |kind: FieldRole| kind == FieldRole::Weight;
        let weight = wanted.spec.weightsname.as_ref().map(|name| find(name, &is_weight)).transpose()?;
        let cluster = |(dimension, name): (usize, &String)| {
            find(name, &|kind| kind == FieldRole::Cluster { dimension })
        };
        Ok(Self {
            outcome: find(&wanted.spec.yname, &|kind| kind == FieldRole::Outcome)?,
            atoms: atom_plans(columns, &wanted.formula, &|name, text| {
                find(name, &|kind| kind == FieldRole::Covariate { text })
            })?,
            weight,
            clusters: wanted.clusters().iter().enumerate().map(cluster).collect::<Result<_>>()?,
        })
    }

    /// Returns the fields whose missing values make a row incomplete.
    pub fn required_fields(&self) -> BTreeSet<usize> {
        let atoms = self.atoms.iter().flat_map(|a| a.fields.iter().copied());
        atoms.chain([self.outcome]).chain(self.weight).chain(self.clusters.iter().copied()).collect()
    }
}

/// Function from the name of a variable to its field; the flag asks for texts.
type FindField<'a> = &'a dyn Fn(&str, bool) -> Result<usize>;

fn atom_plans(columns: &Columns, formula: &Formula, field_of: FindField<'_>) -> Result<Vec<AtomSource>> {
    formula
        .atoms()
        .iter()
        .map(|atom| match atom {
            Atom::Factor(name) => levels(columns, name, true, field_of),
            Atom::Numeric(expression) => match expression.is_plain_column() {
                Some(name) => levels(columns, name, false, field_of),
                None => computed(columns, expression, field_of),
            },
        })
        .collect()
}

/// An atom that is a column by itself. A column whose numbers have too many digits has two fields if it is used as a
/// factor and as a number.
fn levels(columns: &Columns, name: &str, factor: bool, field_of: FindField<'_>) -> Result<AtomSource> {
    let mut known = columns.covariates.iter().filter(|c| c.name == name);
    let wanted = columns.covariates.iter().find(|c| c.name == name && c.code == factor);
    let (text, code) = wanted.or_else(|| known.next()).map_or((false, false), |c| (c.text, c.code));
    Ok(AtomSource { fields: vec![field_of(name, text)?], expression: None, text, code })
}

fn computed(columns: &Columns, expression: &Expr, field_of: FindField<'_>) -> Result<AtomSource> {
    let is_number = |name: &str| columns.covariates.iter().any(|c| c.name == name && !c.text);
    let names: Vec<String> = expression.columns().into_iter().map(str::to_owned).collect();
    if let Some(name) = names.iter().find(|name| !is_number(name)) {
        return Err(StaggerError::input(format!("xformla computes with `{name}`, which is text"))
            .with_hint(format!("use `{name}` alone or factor({name})")));
    }
    let fields = names.iter().map(|name| field_of(name, false)).collect::<Result<_>>()?;
    Ok(AtomSource { fields, expression: Some((expression.clone(), names)), text: false, code: false })
}
