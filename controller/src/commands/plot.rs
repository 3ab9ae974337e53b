//! `stagger plot`: pictures of a saved result, in the terminal or as files.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use stagger_estimation::aggregate::{InferenceOverrides, aggregate_saved};
use stagger_estimator::aggregate::AggregateOptions;
use stagger_model::event_log::EVENTS_FILE;
use stagger_model::failure::Failure;
use stagger_model::result::{Aggte, SavedResult};
use stagger_pictures::terminal::{self, Colours};
use stagger_pictures::{Figure, MARK, MOST_PIXELS, charts};
use stagger_report::load::{load, load_result};
use stagger_report::overwrite::{OverwriteRules, Replaceable as Replaced};
use stagger_report::pictures::files::PictureFormat;
use stagger_report::pictures::{
    Kind, NamedAggregation, balance, by_cohort, by_period, cells_figure, event_study, events, files, overlap,
};
use stagger_report::stdout::print_coloured;

use crate::cli::picture_args::PlotArgs;
use crate::cli::spec::Window;

/// Pixels below which nothing can be read.
const LEAST_PIXELS: usize = 100;
/// Columns, and lines, of the smallest and the largest picture in a terminal.
const LEAST_CELLS: usize = 5;
const MOST_CELLS: usize = 1000;
/// A terminal's width where it does not tell.
const COLUMNS: usize = 80;

/// Draws pictures of saved results.
pub(crate) fn plot(args: &PlotArgs) -> Result<(), Failure> {
    let kind = kind(&args.kind)?;
    let form = args.out.as_deref().map(|out| PictureFormat::of(Path::new(out))).transpose()?;
    check(args, kind)?;
    let overwrite = overwrite(args);
    if let Some(out) = &args.out {
        overwrite.check(Path::new(out), Replaced::Marked(MARK))?;
    }
    let window = Window::new(&args.window)?;
    check_window(window, kind)?;
    let mut figure = match kind {
        Kind::EventStudy => study(&args.results, window)?,
        kind => one(Path::new(&args.results[0]), kind, window)?,
    };
    if let Some(title) = &args.title {
        figure.title.clone_from(title);
    }
    match (&args.out, form) {
        (Some(out), Some(form)) => {
            let size = (args.width.map(|width| width as f64), args.height.map(|height| height as f64));
            files::write(Path::new(out), &form.bytes(&figure, size)?, &overwrite)
        }
        _ => print_coloured(&in_terminal(&figure, (args.width, args.height), args.ascii)),
    }
}

/// Returns the rules for a file that is there already.
fn overwrite(args: &PlotArgs) -> OverwriteRules {
    let inputs: Vec<PathBuf> = args.results.iter().map(|text| Given::new(text).path).collect();
    OverwriteRules::new("--out", args.force, &inputs)
}

fn kind(text: &str) -> Result<Kind, Failure> {
    Kind::named(text).ok_or_else(|| {
        let names: Vec<&str> = Kind::NAMES.iter().map(|(name, _)| *name).collect();
        Failure::input(format!("no kind of picture is called \"{text}\""))
            .hint(format!("the kinds are {}", names.join(", ")))
    })
}

fn check(args: &PlotArgs, kind: Kind) -> Result<(), Failure> {
    if args.results.len() > 1 && kind != Kind::EventStudy {
        return Err(Failure::input(format!(
            "--kind {} shows one result, and {} are given",
            kind.name(),
            args.results.len()
        ))
        .hint("several results fit in one event study; plot the others one by one"));
    }
    check_size(args)
}

/// Pixels of a file; columns and lines of a terminal.
fn check_size(args: &PlotArgs) -> Result<(), Failure> {
    let (range, what) = match args.out {
        Some(_) => (LEAST_PIXELS..=MOST_PIXELS as usize, "a picture has {} pixels"),
        None => (LEAST_CELLS..=MOST_CELLS, "a picture in the terminal has {} columns or lines"),
    };
    for (name, size) in [("width", args.width), ("height", args.height)] {
        if let Some(size) = size.filter(|size| !range.contains(size)) {
            let bounds = format!("{} to {}", range.start(), range.end());
            return Err(Failure::input(format!("--{name} {size}: {}", what.replace("{}", &bounds))));
        }
    }
    Ok(())
}

/// A result as it is given: `NAME=RESULT`, or a path alone.
pub(super) struct Given {
    pub(super) name: Option<String>,
    pub(super) path: PathBuf,
}

impl Given {
    pub(super) fn new(text: &str) -> Self {
        match text.split_once('=') {
            // A path may hold the sign.
            Some((name, path)) if !name.is_empty() && !Path::new(text).exists() => {
                Self { name: Some(name.to_owned()), path: path.into() }
            }
            _ => Self { name: None, path: text.into() },
        }
    }

    /// A label for each, by the last parts of their paths if those differ.
    pub(super) fn labels(all: &[Self]) -> Vec<String> {
        let names: Vec<String> = all.iter().map(|given| given.label(false)).collect();
        let mut sorted = names.clone();
        sorted.sort();
        sorted.dedup();
        if sorted.len() == names.len() { names } else { all.iter().map(|given| given.label(true)).collect() }
    }

    /// The folder's name, or the whole path.
    fn label(&self, whole: bool) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let folder = if self.path.is_file() { self.path.parent().unwrap_or(&self.path) } else { &self.path };
        let last = folder.file_name().filter(|_| !whole).map(|name| name.to_string_lossy().into_owned());
        last.unwrap_or_else(|| folder.display().to_string())
    }
}

/// Refuses a window for pictures that show none of it.
fn check_window(window: Window, kind: Kind) -> Result<(), Failure> {
    match kind {
        Kind::EventStudy => window.check("dynamic"),
        Kind::Group => window.check("group"),
        Kind::Calendar => window.check("calendar"),
        _ if window.is_default() => Ok(()),
        _ => Err(Failure::input(format!(
            "--kind {} shows no aggregation, so that it has no window",
            kind.name()
        ))
        .hint("leave out --min-e, --max-e, --balance-e and --na-rm; --kind event-study takes them")),
    }
}

/// One event study of all results.
fn study(results: &[String], window: Window) -> Result<Figure, Failure> {
    let given: Vec<Given> = results.iter().map(|text| Given::new(text)).collect();
    let loaded = given
        .iter()
        .map(|given| aggregated(&given.path, "dynamic", window))
        .collect::<Result<Vec<(SavedResult, Aggte)>, Failure>>()?;
    let names = Given::labels(&given);
    let named: Vec<NamedAggregation<'_>> = loaded
        .iter()
        .zip(names)
        .map(|((saved, aggte), name)| NamedAggregation { name, saved, aggte })
        .collect();
    Ok(event_study(&named))
}

/// A result and one of its aggregations: that of the run, or over another window from the draws.
fn aggregated(path: &Path, kind: &str, window: Window) -> Result<(SavedResult, Aggte), Failure> {
    if window.is_default() {
        let (file, mut saved) = load_result(path)?;
        return match saved.result.aggte.remove(kind) {
            Some(aggte) => Ok((saved, aggte)),
            None => Err(without_aggregation(&file, &saved, kind)),
        };
    }
    let loaded = load(path)?;
    let options = AggregateOptions::from(window);
    let aggte = aggregate_saved(
        &loaded.saved,
        loaded.draws.as_ref(),
        kind,
        &options,
        &InferenceOverrides::default(),
    )?;
    Ok((loaded.saved, aggte))
}

/// Returns the failure that says why a result has no such aggregation.
fn without_aggregation(file: &Path, saved: &SavedResult, kind: &str) -> Failure {
    let known = saved.result.not_aggregated.get(kind);
    let why = known.map(|known| format!(": {}", known.reason)).unwrap_or_default();
    Failure::input(format!("{} has no {kind} aggregation{why}", file.display()))
        .maybe_hint(known.and_then(|known| known.hint.clone()))
        .hint("--kind gt shows the cells that it has")
}

/// A chart of one result.
fn one(path: &Path, kind: Kind, window: Window) -> Result<Figure, Failure> {
    match kind {
        Kind::Group => aggregated(path, "group", window).map(|(saved, aggte)| by_cohort(&saved, &aggte)),
        Kind::Calendar => {
            aggregated(path, "calendar", window).map(|(saved, aggte)| by_period(&saved, &aggte))
        }
        Kind::Timeline => timeline(path),
        kind => {
            let (file, saved) = load_result(path)?;
            let figure = match kind {
                Kind::Overlap => overlap(&saved),
                Kind::Balance => balance(&saved),
                _ => Some(cells_figure(&saved)),
            };
            figure.ok_or_else(|| without_data(&file, &saved, kind))
        }
    }
}

fn without_data(file: &Path, saved: &SavedResult, kind: Kind) -> Failure {
    let failure = Failure::input(format!("{} holds nothing to plot as {}", file.display(), kind.name()));
    match (&saved.result.diagnostics, kind) {
        (None, _) => failure.hint("run it again with --diagnostics"),
        (Some(_), Kind::Overlap) => {
            failure.hint("there are propensity scores with covariates and --est-method dr or ipw")
        }
        (Some(_), _) => failure.hint("there is balance to show of runs with covariates"),
    }
}

fn timeline(path: &Path) -> Result<Figure, Failure> {
    let (file, _) = load_result(path)?;
    let folder = file.parent().unwrap_or(Path::new("."));
    let timeline = events::read_timeline(folder)?.ok_or_else(|| {
        Failure::input(format!("{} holds no {EVENTS_FILE}, the log of the run", folder.display()))
            .hint("runs on workers leave it beside their result: run it again with --out")
    })?;
    if timeline.spans.is_empty() {
        return Err(Failure::input(format!("{} tells of no task", folder.join(EVENTS_FILE).display())));
    }
    Ok(charts::timeline(&timeline))
}

/// The figure in characters, with colours where standard output is a terminal that wants them.
pub(super) fn in_terminal(
    figure: &Figure,
    (width, height): (Option<usize>, Option<usize>),
    ascii: Option<bool>,
) -> String {
    let watched = io::stdout().is_terminal();
    let size = terminal_size().filter(|_| watched);
    let width = width.or(size.map(|(width, _)| width)).unwrap_or(COLUMNS);
    let options = terminal::Options {
        width,
        // Small multiples are as high as they need to be.
        height: height.or(size.map(|(_, height)| height.max(12) - 1).filter(|_| figure.panels.len() == 1)),
        ascii: ascii.unwrap_or_else(|| watched && !speaks_unicode()),
    };
    let colours = if watched { colours() } else { Colours::None };
    terminal::draw(figure, &options).to_text(colours)
}

fn terminal_size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some((usize::from(size.ws_col), usize::from(size.ws_row)))
}

fn set(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn colours() -> Colours {
    if set("NO_COLOR").is_some() || set("TERM").is_some_and(|term| term == "dumb") {
        return Colours::None;
    }
    match set("COLORTERM").as_deref() {
        Some("truecolor" | "24bit") => Colours::True,
        _ => Colours::Indexed,
    }
}

fn speaks_unicode() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    // A machine without a locale is a container, whose terminal is elsewhere.
    locale.is_none_or(|locale| {
        let locale = locale.to_lowercase();
        locale.contains("utf") || locale.starts_with("c.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_their_other_names() {
        for (name, expected) in Kind::NAMES {
            assert_eq!(kind(name), Ok(expected));
            assert_eq!(expected.name(), name);
        }
        assert_eq!(kind("dynamic"), Ok(Kind::EventStudy));
        insta::assert_snapshot!(kind("pie").expect_err("refused").to_string(), @r#"
        error: no kind of picture is called "pie"
        hint: the kinds are event-study, gt, group, calendar, overlap, balance, timeline
        "#);
    }

    #[test]
    fn names_of_results() {
        let label = |text: &str| Given::new(text).label(false);
        assert_eq!(label("regression=results/reg"), "regression");
        assert_eq!(label("results/reg"), "reg");
        assert_eq!(Given::new("results/reg").label(true), "results/reg");
    }
}
