//! One type for the codes of several CSV files: a column that files would read in different ways is text in all of
//! them.

use stagger_model::csv_options::{ColumnRole, ColumnSelection};

use super::column::CsvType;
use crate::file::{Content, SourceFile};

/// Turns columns of codes into text in all files, if the files would read them in different ways.
pub(crate) fn unify_code_types(files: &mut [SourceFile], selection: &ColumnSelection) {
    for (name, role) in selection.columns.iter().filter(|(_, role)| **role != ColumnRole::Number) {
        let mut kinds: Vec<(CsvType, bool)> = Vec::new();
        for file in files.iter() {
            let Content::Csv(csv) = &file.content else { continue };
            let Some(column) = csv.layout.column(name) else { continue };
            if column.kind != CsvType::Nothing && !kinds.contains(&(column.kind, column.pointed)) {
                kinds.push((column.kind, column.pointed));
            }
        }
        if !alike(&kinds, *role) || kinds == [(CsvType::Text, false)] {
            files.iter_mut().for_each(|file| make_text(file, name));
        }
    }
}

/// Returns `true` if files with these types of a column read its codes in the same way.
fn alike(kinds: &[(CsvType, bool)], role: ColumnRole) -> bool {
    let plain = |&(kind, pointed): &(CsvType, bool)| match kind {
        CsvType::Integer | CsvType::Unsigned => true,
        CsvType::Float => role == ColumnRole::Level && !pointed,
        _ => false,
    };
    let unsigned = kinds.iter().any(|(kind, _)| *kind == CsvType::Unsigned);
    let float = kinds.iter().any(|(kind, _)| *kind == CsvType::Float);
    kinds.len() <= 1 || (kinds.iter().all(plain) && !(unsigned && float))
}

fn make_text(file: &mut SourceFile, name: &str) {
    let Content::Csv(csv) = &mut file.content else { return };
    csv.layout.columns.iter_mut().filter(|column| column.name == name).for_each(|column| {
        column.kind = CsvType::Text;
        column.bounds.clear();
    });
    file.schema = std::sync::Arc::new(csv.layout.schema());
}
