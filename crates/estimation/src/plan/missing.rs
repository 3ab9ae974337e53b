//! Messages about missing values, and about covariates that vary in time.

use stagger_estimator::comparison::RowModel;
use stagger_estimator::formula::{Atom, Formula};
use stagger_model::result::{MissingValues, RowPlace};
use stagger_model::spec::RunSpec;
use stagger_panel::gaps::Gap;
use stagger_panel::panel::Panel;

/// Finds the missing values of a specification, by column: outcome, covariates, weights, clusters, eligibility, unit,
/// period.
pub(super) fn located(panel: &Panel, spec: &RunSpec, formula: &Formula) -> Vec<MissingValues> {
    let mut columns: Vec<String> = vec![spec.yname.clone()];
    columns.extend(formula.variables());
    columns.extend(spec.weightsname.iter().chain(&spec.clustervars).chain(&spec.pname).cloned());
    columns.extend([&spec.idname, &spec.tname].into_iter().filter(|name| !name.is_empty()).cloned());
    let mut out: Vec<MissingValues> = Vec::new();
    for column in columns {
        if let Some(gap) = panel.source.remarks.gaps.get(&column)
            && !out.iter().any(|known| known.column == column)
        {
            out.push(located_in(panel, column, &gap));
        }
    }
    for (atom, &[rows, infinite]) in formula.atoms().iter().zip(&panel.counts.census.computed) {
        if let (Atom::Numeric(expression), true) = (atom, rows > 0) {
            let column = expression.to_string();
            let gap = panel.source.remarks.gaps.get(&column).unwrap_or(Gap { rows, infinite, first: None });
            out.push(located_in(panel, column, &gap));
        }
    }
    out
}

fn located_in(panel: &Panel, column: String, gap: &Gap) -> MissingValues {
    let place = |(file, row): (usize, u64)| {
        let file = panel.source.files.get(file).map(|(name, _, _)| name.clone()).unwrap_or_default();
        RowPlace { file, row }
    };
    MissingValues { column, rows: gap.rows, infinite: gap.infinite, first: gap.first.map(place) }
}

/// Words the missing values as the end of a sentence, beginning with a colon; empty if there are none.
pub(super) fn sentence(missing: &[MissingValues]) -> String {
    let one = |values: &MissingValues| {
        let MissingValues { column, rows, infinite, first } = values;
        let kind = match (*infinite, *rows) {
            (0, _) => String::new(),
            (infinite, rows) if infinite == rows => " infinite".to_owned(),
            (infinite, _) => format!(" ({infinite} of them infinite)"),
        };
        let place = first.as_ref().map(|at| format!(", the first in row {} of `{}`", at.row, at.file));
        format!("{rows}{kind} in `{column}`{}", place.unwrap_or_default())
    };
    let parts: Vec<String> = missing.iter().map(one).collect();
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join("; ")) }
}

/// Returns the note that covariates vary in time, and which value counts, where rows are differences between two
/// periods.
pub(super) fn variation(panel: &Panel, formula: &Formula, model: RowModel) -> Option<String> {
    if !panel.columns.atoms_vary || model == RowModel::Levels {
        return None;
    }
    let varies = panel.varying_atoms();
    let label = |atom: &Atom| match atom {
        Atom::Factor(name) => format!("`{name}`"),
        Atom::Numeric(expression) => format!("`{expression}`"),
    };
    let names = formula.atoms().iter().zip(&varies).filter(|(_, varies)| **varies);
    let names: Vec<String> = names.map(|(atom, _)| label(atom)).collect();
    let names =
        if names.is_empty() { "covariates vary".to_owned() } else { format!("{} vary", names.join(", ")) };
    let names = if names.matches('`').count() == 2 { names.replace(" vary", " varies") } else { names };
    Some(format!("{names} in time: every cell takes the value of the earlier of its two periods"))
}
