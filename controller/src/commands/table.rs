//! `stagger table`: several results in one table.

use std::fs;
use std::path::{Path, PathBuf};

use stagger_model::failure::Failure;
use stagger_model::result::{AGGREGATION_TYPES, SavedResult};
use stagger_pictures::MARK;
use stagger_report::comparison::{Below, Comparison, ComparisonOptions, NamedResult, RowChoice};
use stagger_report::document::{html_table, latex_table, markdown_table};
use stagger_report::folder::RESULT;
use stagger_report::load::load_result;
use stagger_report::overwrite::OverwriteRules;
use stagger_report::pictures::files::{write, write_table};
use stagger_report::stdout::print;

use super::plot::Given;
use crate::cli::table_args::TableArgs;
use crate::cli::values::{number, span};

/// Decimals beyond which a double has none.
const MOST_DECIMALS: u64 = 15;

/// The forms of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Markdown,
    Latex,
    Html,
    Csv,
}

impl Format {
    const NAMES: [(&'static str, &'static str, Self); 5] = [
        ("text", "txt", Self::Text),
        ("markdown", "md", Self::Markdown),
        ("latex", "tex", Self::Latex),
        ("html", "html", Self::Html),
        ("csv", "csv", Self::Csv),
    ];

    fn of(args: &TableArgs) -> Result<Self, Failure> {
        let known =
            |given: &str| Self::NAMES.iter().find(|(name, ending, _)| *name == given || *ending == given);
        if let Some(given) = &args.format {
            let names: Vec<&str> = Self::NAMES.iter().map(|(name, ..)| *name).collect();
            let found = known(given).map(|(.., format)| *format);
            return found.ok_or_else(|| {
                Failure::input(format!("format must be one of {}; received \"{given}\"", names.join(", ")))
            });
        }
        let Some(out) = &args.out else { return Ok(Self::Text) };
        let ending = Path::new(out).extension().map(|ending| ending.to_string_lossy().to_lowercase());
        known(ending.as_deref().unwrap_or_default()).map(|(.., format)| *format).ok_or_else(|| {
            Failure::input(format!("--out {out}: its name does not tell the form of the table"))
                .hint("give a name that ends in .txt, .md, .tex, .html or .csv, or --format")
        })
    }
}

/// Makes the table.
pub(crate) fn table(args: &TableArgs) -> Result<(), Failure> {
    let format = Format::of(args)?;
    let options = ComparisonOptions {
        rows: rows(args.rows.as_deref())?,
        below: below(&args.below)?,
        stars: args.stars.unwrap_or(false),
        decimals: args.decimals.map(|count| count.min(MOST_DECIMALS) as usize),
    };
    let given = given(&args.results);
    let loaded = given
        .iter()
        .map(|own| load_result(&own.path).map(|(_, saved)| saved))
        .collect::<Result<Vec<SavedResult>, Failure>>()?;
    let names = Given::labels(&given);
    let results: Vec<NamedResult<'_>> =
        names.iter().zip(&loaded).map(|(name, saved)| NamedResult { name, saved }).collect();
    let comparison = Comparison::new(&results, options)?;
    let bytes = written(&comparison, format, args.title.as_deref())?;
    let Some(out) = &args.out else { return print(&String::from_utf8_lossy(&bytes)) };
    let inputs: Vec<&PathBuf> = given.iter().map(|own| &own.path).collect();
    let overwrite = OverwriteRules::new("--out", args.force, &inputs);
    match format {
        Format::Csv => write_table(Path::new(out), &bytes, &overwrite),
        _ => write(Path::new(out), &bytes, &overwrite),
    }
}

/// The results as they are given, and all in a folder of several.
fn given(results: &[String]) -> Vec<Given> {
    let mut all = Vec::new();
    for own in results.iter().map(|text| Given::new(text)) {
        let inside = if own.name.is_none() { results_in(&own.path) } else { Vec::new() };
        if inside.is_empty() {
            all.push(own);
        } else {
            all.extend(inside.into_iter().map(|path| Given { name: None, path }));
        }
    }
    all
}

/// The results in the folders of a folder that is none itself.
fn results_in(folder: &Path) -> Vec<PathBuf> {
    if !folder.is_dir() || folder.join(RESULT).is_file() {
        return Vec::new();
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.join(RESULT).is_file()).collect();
    found.sort();
    found
}

fn rows(given: Option<&[String]>) -> Result<Vec<RowChoice>, Failure> {
    let Some(given) = given else {
        let overall = ["simple", "group"].map(RowChoice::Overall);
        return Ok(overall.into_iter().chain([RowChoice::EventTimes]).collect());
    };
    given.iter().map(|text| row(text.trim())).collect()
}

fn row(text: &str) -> Result<RowChoice, Failure> {
    if let Some(kind) = AGGREGATION_TYPES.into_iter().find(|kind| *kind == text) {
        return Ok(RowChoice::Overall(kind));
    }
    if text == "event-times" || text == "event_times" {
        return Ok(RowChoice::EventTimes);
    }
    if let Ok((first, last)) = span(text) {
        return Ok(RowChoice::Average(first, last));
    }
    number(text).map(RowChoice::EventTime).map_err(|_| {
        Failure::input(format!("rows has no \"{text}\""))
            .hint("rows are simple, group, dynamic, calendar, event-times, event times and FIRST..LAST")
    })
}

fn below(text: &str) -> Result<Below, Failure> {
    match text {
        "se" => Ok(Below::StandardError),
        "interval" | "ci" => Ok(Below::Interval),
        "z" => Ok(Below::Z),
        "p" => Ok(Below::P),
        other => {
            Err(Failure::input(format!("below must be one of se, interval, z, p; received \"{other}\"")))
        }
    }
}

fn written(comparison: &Comparison<'_>, format: Format, title: Option<&str>) -> Result<Vec<u8>, Failure> {
    let mut document = comparison.document();
    if let Some(title) = title {
        title.clone_into(&mut document.caption);
    }
    let marked =
        |text: String, before: &str, after: &str| format!("{text}{before}{MARK}{after}\n").into_bytes();
    Ok(match format {
        Format::Text => comparison.text().into_bytes(),
        Format::Markdown => marked(markdown_table(&document), "\n<!-- ", " -->"),
        Format::Latex => marked(latex_table(&document), "% ", ""),
        Format::Html => marked(html_table(&document), "<!-- ", " -->"),
        Format::Csv => {
            let mut bytes = Vec::new();
            comparison.csv(&mut bytes).map_err(|source| Failure::printing(&source))?;
            bytes
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_by_name_number_and_span() {
        let given: Vec<String> = ["simple", "-2", "0..3", "event-times"].map(str::to_owned).to_vec();
        let expected = [
            RowChoice::Overall("simple"),
            RowChoice::EventTime(-2.0),
            RowChoice::Average(0.0, 3.0),
            RowChoice::EventTimes,
        ];
        assert_eq!(rows(Some(&given)).unwrap(), expected);
        assert_eq!(rows(None).unwrap().len(), 3);
        assert!(row("weekly").unwrap_err().to_string().contains("rows has no \"weekly\""));
    }
}
