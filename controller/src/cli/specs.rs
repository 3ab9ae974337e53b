//! Several specifications in one run file: their names, which of them are wanted, and what they lie over.

use std::path::Path;

use stagger_model::error::closest_names;
use stagger_model::failure::Failure;
use toml::{Table, Value};

use super::named::{NamedArgs, arguments};
use super::names::canonical;
use super::run_args::RunArgs;

/// Label of a specification.
const NAME: &str = "name";

/// Reads the `[[spec]]` tables of a run file. A single one may hold any key, of several only what they may differ in.
pub(super) fn read(mut tables: Vec<Table>, path: &Path) -> Result<Vec<NamedArgs>, Failure> {
    let several = tables.len() > 1;
    let file = path.display().to_string();
    let names = names(&mut tables, &file)?;
    if several {
        distinct(&names, &file)?;
    }
    let read = |(name, table): (String, Table)| {
        let place = if several { format!("{file}, [[spec]] {name}") } else { file.clone() };
        if several {
            usable(&name, &file)?;
            common_keys(&table, &place)?;
        }
        Ok(NamedArgs { name: Some(name), args: arguments(&table, &place)? })
    };
    names.into_iter().zip(tables).map(read).collect()
}

/// Takes the names out of the tables; the second table without one is `spec2`.
fn names(tables: &mut [Table], file: &str) -> Result<Vec<String>, Failure> {
    let name = |(i, table): (usize, &mut Table)| match table.remove(NAME) {
        None => Ok(format!("spec{}", i + 1)),
        Some(Value::String(name)) => Ok(name),
        Some(_) => {
            Err(Failure::input(format!("{file}: name of [[spec]] {} must be a text in quotes", i + 1)))
        }
    };
    tables.iter_mut().enumerate().map(name).collect()
}

/// Refuses two names for one folder.
fn distinct(names: &[String], file: &str) -> Result<(), Failure> {
    for (i, name) in names.iter().enumerate() {
        // Some file systems take upper and lower case for the same.
        let same = |other: &String| other.to_lowercase() == name.to_lowercase();
        if let Some(earlier) = names[..i].iter().position(same) {
            return Err(Failure::input(format!(
                "{file}: [[spec]] {} and {} have the same name: {} and {name}",
                earlier + 1,
                i + 1,
                names[earlier]
            ))
            .hint("give each its own name; upper and lower case count as the same"));
        }
    }
    Ok(())
}

/// A name is a folder's name with `--out`, and stands at the head of lines.
fn usable(name: &str, file: &str) -> Result<(), Failure> {
    let barred = |letter: char| letter.is_control() || "/\\:*?\"<>|".contains(letter);
    if name.trim() == name && !name.is_empty() && !name.starts_with('.') && !name.chars().any(barred) {
        return Ok(());
    }
    Err(Failure::input(format!("{file}: a [[spec]] can't have the name {name:?}, which fits no folder"))
        .hint("use letters, digits, blanks, - and _"))
}

/// Refuses keys that hold for the whole run.
fn common_keys(table: &Table, place: &str) -> Result<(), Failure> {
    let own = |key: &&String| RunArgs::specification_keys().any(|own| own == canonical(key));
    let known = |key: &&String| RunArgs::keys().any(|known| known == canonical(key));
    match table.keys().find(|key| known(key) && !own(key)) {
        None => Ok(()),
        Some(key) => Err(Failure::input(format!("{place}: {key} holds for all specifications"))
            .hint(format!("write {key} above the first [[spec]]"))),
    }
}

/// Lays the flags over every specification that is wanted, and these over the common keys.
pub(super) fn merge_flags(
    flags: &RunArgs,
    common: &RunArgs,
    specs: Vec<NamedArgs>,
) -> Result<Vec<NamedArgs>, Failure> {
    let several = specs.len() > 1;
    wanted(&flags.chosen, &specs)?;
    let specs =
        if specs.is_empty() { vec![NamedArgs { name: None, args: RunArgs::default() }] } else { specs };
    let chosen = |name: &Option<String>| {
        flags.chosen.is_empty() || name.as_ref().is_some_and(|name| flags.chosen.contains(name))
    };
    let laid = specs.into_iter().filter(|spec| chosen(&spec.name)).map(|spec| NamedArgs {
        name: spec.name.filter(|_| several),
        args: flags.clone().over(spec.args).over(common.clone()),
    });
    Ok(laid.collect())
}

/// Refuses a `--spec` that the file does not have.
fn wanted(chosen: &[String], specs: &[NamedArgs]) -> Result<(), Failure> {
    let names: Vec<&str> = specs.iter().filter_map(|spec| spec.name.as_deref()).collect();
    let Some(missing) = chosen.iter().find(|name| !names.contains(&name.as_str())) else {
        return Ok(());
    };
    if names.is_empty() {
        return Err(Failure::input(format!("--spec {missing} is given, but no [[spec]] table"))
            .hint("--spec chooses among the [[spec]] tables of a run file"));
    }
    let near =
        closest_names(missing, names.iter().copied()).first().map(|near| format!("did you mean {near}?"));
    Err(Failure::input(format!("there is no [[spec]] named {missing}"))
        .maybe_hint(near)
        .hint(format!("the specifications are {}", names.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::run_file::parse;

    const STUDY: &str = "yname = 'a'\nalp = 0.05\nthreads = 2\n";

    fn laid(text: &str, flags: RunArgs) -> Result<Vec<NamedArgs>, String> {
        parse(&format!("{STUDY}{text}"), Path::new("study.toml"))
            .and_then(|file| merge_flags(&flags, &file.common, file.specs))
            .map_err(|failure| failure.to_string())
    }

    fn names(specs: &[NamedArgs]) -> Vec<&str> {
        specs.iter().filter_map(|spec| spec.name.as_deref()).collect()
    }

    fn choosing(chosen: &[&str]) -> RunArgs {
        RunArgs { chosen: chosen.iter().map(|name| (*name).to_owned()).collect(), ..RunArgs::default() }
    }

    #[test]
    fn each_lies_over_the_common_keys_and_flags_over_all() {
        let mut flags = RunArgs::default();
        flags.inference.seed = Some(7);
        let text = "seed = 3\n[[spec]]\nname = 'wide'\nalpha = 0.1\n[[spec]]\nmin-e = -1\nseed = 4\n";
        let specs = laid(text, flags).unwrap();
        assert_eq!(names(&specs), ["wide", "spec2"]);
        let alps: Vec<Option<f64>> = specs.iter().map(|spec| spec.args.inference.alp).collect();
        assert_eq!(alps, [Some(0.1), Some(0.05)]);
        assert_eq!(specs[1].args.window.min_e, Some(-1.0));
        for spec in &specs {
            assert_eq!(spec.args.columns.yname.as_deref(), Some("a"));
            assert_eq!((spec.args.inference.seed, spec.args.running.threads), (Some(7), Some(2)));
        }
    }

    #[test]
    fn some_are_chosen_by_name() {
        let text = "[[spec]]\nname = 'a'\n[[spec]]\n[[spec]]\nname = 'c'\n";
        assert_eq!(names(&laid(text, choosing(&["c", "a"])).unwrap()), ["a", "c"]);
        // One of several keeps its name, so that its line and its folder are those of the whole run.
        assert_eq!(names(&laid(text, choosing(&["spec2"])).unwrap()), ["spec2"]);
        assert!(names(&laid("[[spec]]\nname = 'only'", choosing(&["only"])).unwrap()).is_empty());
    }

    #[test]
    fn refusals_name_the_specification() {
        let all = [
            "[[spec]]\n[[spec]]\nname = 'wide'\nthreads = 3",
            "[[spec]]\nname = 'wide'\ndata = 'p.parquet'\n[[spec]]",
            "[[spec]]\nname = 'wide'\nbiter = 3\n[[spec]]",
            "[[spec]]\nname = 'wide'\nnboot = -3\n[[spec]]",
            "[[spec]]\nname = 'wide'\n[[spec]]\nname = 'Wide'",
            "[[spec]]\nname = 'spec2'\n[[spec]]",
            "[[spec]]\nname = '../wide'\n[[spec]]",
            "[[spec]]\nname = ''\n[[spec]]",
            "[[spec]]\nname = 3\n[[spec]]",
        ]
        .map(|text| laid(text, RunArgs::default()).expect_err(text))
        .join("");
        insta::assert_snapshot!(all, @r#"
        error: study.toml, [[spec]] wide: threads holds for all specifications
        hint: write threads above the first [[spec]]
        error: study.toml, [[spec]] wide: data holds for all specifications
        hint: write data above the first [[spec]]
        error: study.toml, [[spec]] wide: unknown key biter
        hint: did you mean biters?
        error: study.toml, [[spec]] wide: nboot must be a whole number that is not negative, not -3
        error: study.toml: [[spec]] 1 and 2 have the same name: wide and Wide
        hint: give each its own name; upper and lower case count as the same
        error: study.toml: [[spec]] 1 and 2 have the same name: spec2 and spec2
        hint: give each its own name; upper and lower case count as the same
        error: study.toml: a [[spec]] can't have the name "../wide", which fits no folder
        hint: use letters, digits, blanks, - and _
        error: study.toml: a [[spec]] can't have the name "", which fits no folder
        hint: use letters, digits, blanks, - and _
        error: study.toml: name of [[spec]] 1 must be a text in quotes
        "#);
    }

    #[test]
    fn unknown_choices_are_refused_with_the_names() {
        let text = "[[spec]]\nname = 'wide'\n[[spec]]\n";
        let all = [
            laid(text, choosing(&["wide", "wild"])),
            laid(text, choosing(&["q"])),
            laid("", choosing(&["wide"])),
        ]
        .map(|refused| refused.expect_err("refused"))
        .join("");
        insta::assert_snapshot!(all, @"
        error: there is no [[spec]] named wild
        hint: did you mean wide?
        hint: the specifications are wide, spec2
        error: there is no [[spec]] named q
        hint: the specifications are wide, spec2
        error: --spec wide is given, but no [[spec]] table
        hint: --spec chooses among the [[spec]] tables of a run file
        ");
    }
}
