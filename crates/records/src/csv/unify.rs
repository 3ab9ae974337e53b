//! One type for the codes of several CSV files: a column that files would read in different ways is text in all of
//! them.

use stagger_model::csv_options::{Role, Selection};

use super::column::Kind;
use crate::file::{Content, SourceFile};

/// Turns columns of codes into text in all files, if the files would read them in different ways.
pub(crate) fn unify(files: &mut [SourceFile], selection: &Selection) {
    for (name, role) in selection.columns.iter().filter(|(_, role)| **role != Role::Number) {
        let mut kinds: Vec<(Kind, bool)> = Vec::new();
        for file in files.iter() {
            let Content::Csv(csv) = &file.content else { continue };
            let Some(column) = csv.layout.column(name) else { continue };
            if column.kind != Kind::Nothing && !kinds.contains(&(column.kind, column.pointed)) {
                kinds.push((column.kind, column.pointed));
            }
        }
        if !alike(&kinds, *role) || kinds == [(Kind::Text, false)] {
            files.iter_mut().for_each(|file| make_text(file, name));
        }
    }
}

/// Returns `true` if files with these types of a column read its codes in the same way.
fn alike(kinds: &[(Kind, bool)], role: Role) -> bool {
    let plain = |&(kind, pointed): &(Kind, bool)| match kind {
        Kind::Integer | Kind::Unsigned => true,
        Kind::Float => role == Role::Level && !pointed,
        _ => false,
    };
    let unsigned = kinds.iter().any(|(kind, _)| *kind == Kind::Unsigned);
    let float = kinds.iter().any(|(kind, _)| *kind == Kind::Float);
    kinds.len() <= 1 || (kinds.iter().all(plain) && !(unsigned && float))
}

fn make_text(file: &mut SourceFile, name: &str) {
    let Content::Csv(csv) = &mut file.content else { return };
    csv.layout.columns.iter_mut().filter(|column| column.name == name).for_each(|column| {
        column.kind = Kind::Text;
        column.bounds.clear();
    });
    file.schema = std::sync::Arc::new(csv.layout.schema());
}
