//! `stagger sensitivity` and `stagger pretrends`: what is asked of an event study after it was estimated.

use std::path::{Path, PathBuf};

use stagger_estimation::robustness::{
    EffectChoice, TrendChoice, event_study, pretrends, sensitivity, study_error,
};
use stagger_estimator::aggregate::AggregateOptions;
use stagger_estimator::sensitivity::{
    Direction, EventStudy, Method, Restriction, RestrictionKind, SensitivityOptions,
};
use stagger_model::failure::Failure;
use stagger_model::parallel::available_cores;
use stagger_model::spec::DEFAULT_SEED;
use stagger_pictures::{Figure, MARK};
use stagger_report::event_study_file::EventStudyTable;
use stagger_report::load::load_result;
use stagger_report::overwrite::{OverwriteRules, Replaceable};
use stagger_report::pictures::files::{PictureFormat, write};
use stagger_report::pictures::{pretrends as pretrends_figure, sensitivity as sensitivity_figure};
use stagger_report::sensitivity::{pretrends_report, sensitivity_report};
use stagger_report::stdout::{print, print_coloured, print_json};

use super::plot::in_terminal;
use crate::cli::robustness_args::{AnswerArgs, PretrendsArgs, SensitivityArgs, StudyArgs};
use crate::cli::spec::{Window, level};
use crate::cli::values::span;

/// The reference period of event studies that do not name theirs.
const REFERENCE: f64 = -1.0;
/// The level where nothing else is said.
const LEVEL: f64 = 0.05;
/// Powers of a pre-test that are asked for most.
const POWERS: [f64; 2] = [0.5, 0.8];

/// Computes and prints robust intervals.
pub(crate) fn sensitivity_command(args: &SensitivityArgs) -> Result<(), Failure> {
    let restriction = restriction(args)?;
    let sizes = sizes(args, restriction.kind)?;
    let choice = effects(args)?;
    let method = method(args)?.unwrap_or_else(|| Method::of(restriction));
    let alp = level(args.alp)?;
    let out = Out::check(&args.answer, &args.study)?;
    let (study, known) = read_study(&args.study)?;
    let options = SensitivityOptions {
        restriction,
        method,
        alp: alp.unwrap_or(known),
        seed: args.seed.unwrap_or(DEFAULT_SEED),
    };
    let result = sensitivity(&study, &options, sizes, &choice, available_cores())?;
    let json = args.answer.json.unwrap_or(false);
    out.show(&sensitivity_figure(&result), || match json {
        true => print_json(&result),
        false => print(&sensitivity_report(&result)),
    })
}

/// Computes and prints the power of a pre-test.
pub(crate) fn pretrends_command(args: &PretrendsArgs) -> Result<(), Failure> {
    let trends: Vec<TrendChoice> = match (&args.slope, &args.power) {
        (Some(_), Some(_)) => {
            return Err(Failure::input("both --power and --slope name trends").hint("leave out one of them"));
        }
        (Some(slopes), None) => slopes.iter().copied().map(TrendChoice::Slope).collect(),
        (None, powers) => {
            powers.as_deref().unwrap_or(&POWERS).iter().copied().map(TrendChoice::Power).collect()
        }
    };
    let alp = level(args.alp)?;
    let out = Out::check(&args.answer, &args.study)?;
    let (study, known) = read_study(&args.study)?;
    let result = pretrends(&study, alp.unwrap_or(known), &trends)?;
    let json = args.answer.json.unwrap_or(false);
    out.show(&pretrends_figure(&result), || match json {
        true => print_json(&result),
        false => print(&pretrends_report(&result)),
    })
}

/// The event study of a result or of files, and its significance level.
fn read_study(args: &StudyArgs) -> Result<(EventStudy, f64), Failure> {
    let window = Window::new(&args.window)?;
    match (&args.result, &args.estimates) {
        (Some(result), None) => {
            let unused = [("--vcov", args.vcov.is_some()), ("--reference", args.reference.is_some())];
            if let Some((flag, _)) = unused.iter().find(|(_, given)| *given) {
                return Err(Failure::input(format!("{flag} is for --estimates, and a result has its own"))
                    .hint(format!("leave out {flag}")));
            }
            let (_, saved) = load_result(Path::new(result))?;
            Ok((event_study(&saved, &AggregateOptions::from(window))?, saved.result.alp))
        }
        (None, Some(estimates)) => {
            if window.balance_e.is_some() || window.na_rm {
                return Err(Failure::input("--balance-e and --na-rm need the cells of a saved result")
                    .hint("leave them out with --estimates"));
            }
            let table = EventStudyTable::read(Path::new(estimates), args.vcov.as_deref().map(Path::new))?
                .within(window.min_e, window.max_e);
            let reference = args.reference.unwrap_or(REFERENCE);
            let study = EventStudy::new(&table.event_time, &table.estimate, &table.covariance, reference);
            Ok((study.map_err(|error| study_error(&error))?, LEVEL))
        }
        (Some(_), Some(_)) => {
            Err(Failure::input("both a result and --estimates are given").hint("leave out one of them"))
        }
        (None, None) => Err(Failure::input("no event study is given")
            .hint("give the folder that `stagger run --out` wrote, or --estimates FILE.csv --vcov FILE.csv")),
    }
}

fn restriction(args: &SensitivityArgs) -> Result<Restriction, Failure> {
    let kind = match args.kind.as_str() {
        "relative-magnitude" | "relative_magnitude" | "relative-magnitudes" | "rm" => {
            RestrictionKind::RelativeMagnitude
        }
        "smoothness" | "sd" => RestrictionKind::Smoothness,
        other => {
            return Err(Failure::input(format!(
                "type must be \"relative-magnitude\" or \"smoothness\"; received \"{other}\""
            )));
        }
    };
    let bias = direction("bias", args.bias.as_deref(), ["positive", "negative"])?;
    let monotone = direction("monotone", args.monotone.as_deref(), ["increasing", "decreasing"])?;
    Ok(Restriction { kind, bias, monotone })
}

fn direction(name: &str, given: Option<&str>, [up, down]: [&str; 2]) -> Result<Option<Direction>, Failure> {
    match given {
        None => Ok(None),
        Some(word) if word == up => Ok(Some(Direction::Up)),
        Some(word) if word == down => Ok(Some(Direction::Down)),
        Some(other) => {
            Err(Failure::input(format!("{name} must be either \"{up}\" or \"{down}\"; received \"{other}\"")))
        }
    }
}

/// The sizes of the kind; those of the other kind would mean something else.
fn sizes(args: &SensitivityArgs, kind: RestrictionKind) -> Result<Option<&[f64]>, Failure> {
    let (own, other, flags) = match kind {
        RestrictionKind::RelativeMagnitude => (&args.mbar, &args.m, ["--mbar", "--m"]),
        RestrictionKind::Smoothness => (&args.m, &args.mbar, ["--m", "--mbar"]),
    };
    if other.is_some() {
        return Err(Failure::input(format!("{} is not a size of --type {}", flags[1], args.kind))
            .hint(format!("give {}, or the other --type", flags[0])));
    }
    match own.as_deref().and_then(|all| all.iter().find(|size| !(**size >= 0.0 && size.is_finite()))) {
        Some(size) => {
            Err(Failure::input(format!("{} must be finite and not negative; received {size}", flags[0])))
        }
        None => Ok(own.as_deref()),
    }
}

fn effects(args: &SensitivityArgs) -> Result<EffectChoice, Failure> {
    match (&args.event_time, &args.average) {
        (Some(_), Some(_)) => {
            Err(Failure::input("both --event-time and --average name effects").hint("leave out one of them"))
        }
        (Some(times), None) => Ok(EffectChoice::EventTimes(times.clone())),
        (None, Some(text)) => {
            let (first, last) =
                span(text).map_err(|reason| Failure::input(format!("--average {text}: {reason}")))?;
            Ok(EffectChoice::Average(first, last))
        }
        (None, None) => Ok(EffectChoice::Each),
    }
}

fn method(args: &SensitivityArgs) -> Result<Option<Method>, Failure> {
    let Some(text) = args.method.as_deref().map(str::to_lowercase) else { return Ok(None) };
    let found = Method::NAMES.iter().find(|(name, _)| *name == text);
    found.map(|(_, method)| Some(*method)).ok_or_else(|| {
        let names: Vec<&str> = Method::NAMES.iter().map(|(name, _)| *name).collect();
        Failure::input(format!("method must be one of {}; received \"{text}\"", names.join(", ")))
    })
}

/// Where the picture goes.
struct Out<'a> {
    file: Option<(PathBuf, PictureFormat)>,
    overwrite: OverwriteRules,
    args: &'a AnswerArgs,
}

impl<'a> Out<'a> {
    /// Tries the place of the picture before anything is computed.
    fn check(args: &'a AnswerArgs, study: &StudyArgs) -> Result<Self, Failure> {
        let inputs: Vec<&String> =
            [&study.result, &study.estimates, &study.vcov].into_iter().flatten().collect();
        let overwrite = OverwriteRules::new("--out", args.force, &inputs);
        let path = args.out.as_ref().map(PathBuf::from);
        let file = path.map(|path| PictureFormat::of(&path).map(|form| (path, form))).transpose()?;
        if let Some((path, _)) = &file {
            overwrite.check(path, Replaceable::Marked(MARK))?;
        }
        Ok(Self { file, overwrite, args })
    }

    fn show(&self, figure: &Figure, answer: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
        let mut figure = figure.clone();
        if let Some(title) = &self.args.title {
            figure.title.clone_from(title);
        }
        if let Some((path, form)) = &self.file {
            let size = (self.args.width.map(|w| w as f64), self.args.height.map(|h| h as f64));
            write(path, &form.bytes(&figure, size)?, &self.overwrite)?;
        }
        answer()?;
        if self.args.plot.unwrap_or(false) {
            print_coloured(&in_terminal(&figure, (self.args.width, self.args.height), None))?;
        }
        Ok(())
    }
}
