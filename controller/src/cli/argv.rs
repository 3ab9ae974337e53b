//! The command line before clap reads it: `--snake_case`, and booleans whose value stands apart.
//!
//! clap can either take the next word as a flag's value or not, whatever the word is. Here the rule depends on the word:
//! `--cband false` sets a value, `--cband panel.parquet` does not. So a boolean's value is joined to it beforehand.

use clap::{Arg, Command};

use super::values::boolean_word;

/// Rewrites the words after the program's name for `command`.
pub(crate) fn normalise(words: Vec<String>, command: &Command) -> Vec<String> {
    let mut command = command;
    let mut rewritten: Vec<String> = Vec::with_capacity(words.len());
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            rewritten.push(word);
            rewritten.extend(words);
            break;
        }
        if !word.starts_with('-') {
            command = command.find_subcommand(&word).unwrap_or(command);
            rewritten.push(word);
            continue;
        }
        let mut word = kebab(&word);
        if is_boolean(command, &word)
            && let Some(value) = words.next_if(|next| boolean_word(next).is_some())
        {
            word = format!("{word}={value}");
        }
        rewritten.push(word);
    }
    rewritten
}

/// `--est_method=a_b` as `--est-method=a_b`.
fn kebab(word: &str) -> String {
    match word.split_once('=') {
        _ if !word.starts_with("--") => word.to_owned(),
        Some((name, value)) => format!("{}={value}", name.replace('_', "-")),
        None => word.replace('_', "-"),
    }
}

/// Returns true if the word names a boolean of the command, without a value yet.
fn is_boolean(command: &Command, word: &str) -> bool {
    command.get_arguments().filter(|argument| takes_optional_value(argument)).any(|argument| {
        match word.strip_prefix("--") {
            Some(name) => {
                argument.get_long() == Some(name)
                    || argument.get_all_aliases().is_some_and(|aliases| aliases.contains(&name))
            }
            None => argument.get_short().is_some_and(|short| word == format!("-{short}")),
        }
    })
}

fn takes_optional_value(argument: &Arg) -> bool {
    argument.is_require_equals_set() && argument.get_num_args().is_some_and(|range| range.min_values() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    fn normalised(line: &str) -> String {
        let mut built = command();
        built.build();
        normalise(line.split(' ').map(str::to_owned).collect(), &built).join(" ")
    }

    #[test]
    fn a_boolean_takes_only_a_boolean() {
        for (given, expected) in [
            ("run --bstrap false p.parquet", "run --bstrap=false p.parquet"),
            ("run --cband p.parquet", "run --cband p.parquet"),
            ("run --boot F --json T", "run --boot=F --json=T"),
            ("run --bstrap=false true", "run --bstrap=false true"),
            ("run -q true x", "run -q=true x"),
            ("run --bstrap false false", "run --bstrap=false false"),
            ("run p.parquet --na_rm TRUE", "run p.parquet --na-rm=TRUE"),
        ] {
            assert_eq!(normalised(given), expected);
        }
    }

    #[test]
    fn snake_case_names_but_not_values() {
        for (given, expected) in [
            ("run --est_method dr --xformla=~a_b", "run --est-method dr --xformla=~a_b"),
            ("run --random_state 3", "run --random-state 3"),
            ("run -- --a_b --cband false", "run -- --a_b --cband false"),
            ("run --yname true", "run --yname true"),
        ] {
            assert_eq!(normalised(given), expected);
        }
    }
}
