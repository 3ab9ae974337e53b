//! clap's refusals in the words of all other errors: one `error:` line and `hint:` lines.

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};
use stagger_model::failure::Failure;

/// A command line that asks for help, or makes a mistake.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Help or the version, for stdout with status 0.
    Help(Error),
    /// Everything else.
    Invalid(Failure),
}

impl Refusal {
    /// Returns the answer to arguments of `stagger SUBCOMMAND` that clap did not accept.
    pub(crate) fn new(error: Error, subcommand: Option<&str>) -> Self {
        match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Self::Help(error),
            _ => Self::Invalid(mistake(&error, subcommand)),
        }
    }
}

fn mistake(error: &Error, subcommand: Option<&str>) -> Failure {
    let failure = Failure::input(message(error));
    match (suggestion(error), subcommand) {
        (Some(suggestion), _) => failure.hint(suggestion),
        (None, Some(subcommand)) => {
            failure.hint(format!("`stagger {subcommand} --help` lists what there is"))
        }
        (None, None) => failure.hint(
            "the commands are run, prepare, plan, resume, watch, cancel, list, agg, plot, report, describe, doctor, demo and simulate; `stagger --help` tells more",
        ),
    }
}

/// clap's first paragraph on one line: `error: …`, sometimes with a list below.
fn message(error: &Error) -> String {
    let text = error.render().to_string();
    let paragraph: Vec<&str> =
        text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
    let line = paragraph.join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

fn suggestion(error: &Error) -> Option<String> {
    let kinds = [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue];
    kinds.into_iter().find_map(|kind| match error.get(kind)? {
        ContextValue::String(one) => Some(format!("did you mean {one}?")),
        ContextValue::Strings(several) => several.first().map(|one| format!("did you mean {one}?")),
        _ => None,
    })
}
