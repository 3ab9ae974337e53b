//! Codes of several CSV files: what is one spelling in one part and another in the next is read as text in all.

use super::column::Kind;
use super::options::{Role, Selection};
use crate::input::file::{Content, SourceFile};

/// Makes columns of codes that files would read differently text in all of them.
pub(in crate::input) fn unify(files: &mut [SourceFile], selection: &Selection) {
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

/// Whether files with these kinds of a column read its codes alike.
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
