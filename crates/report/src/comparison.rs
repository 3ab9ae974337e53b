//! One table of several results: a column for each, chosen effects as rows, and below them what the specifications differ in.

use std::io::{self, Write};

use stagger_estimator::inference::pointwise_critical_value;
use stagger_estimator::options::BasePeriod;
use stagger_model::failure::Failure;
use stagger_model::numbers::{grouped, percent};
use stagger_model::result::{Aggte, Num, SavedResult};

use super::document::Table as DocumentTable;
use super::settings::{controls, covariates, method};
use super::tabular::{csv_number, csv_text};
use super::text::{Row, decimals, format_number, label, text_table};

/// Levels of one, two and three stars.
const STARS: [f64; 3] = [0.1, 0.05, 0.01];

/// A result with its name.
#[derive(Clone, Copy, Debug)]
pub struct NamedResult<'a> {
    /// The heading of its column.
    pub name: &'a str,
    /// The result.
    pub saved: &'a SavedResult,
}

/// An effect that is a row.
#[derive(Clone, Debug, PartialEq)]
pub enum RowChoice {
    /// The overall effect of an aggregation.
    Overall(&'static str),
    /// Every event time of the results.
    EventTimes,
    /// The effect at an event time.
    EventTime(f64),
    /// The mean over the event times from one to another, both included.
    Average(f64, f64),
}

/// The numbers below an estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Below {
    /// The standard error, in parentheses.
    StandardError,
    /// The confidence interval, or band where the result has one, in brackets.
    Interval,
    /// The z statistic, in parentheses.
    Z,
    /// The p-value of a normal test that the effect is zero, in parentheses.
    P,
}

/// The form of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct ComparisonOptions {
    /// The rows.
    pub rows: Vec<RowChoice>,
    /// The numbers below the estimates.
    pub below: Below,
    /// Stars at the usual levels.
    pub stars: bool,
    /// Decimals of the numbers; as many as the standard errors want if there are none.
    pub decimals: Option<usize>,
}

/// One number of the table with its uncertainty; NaN where there is none.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Effect {
    att: f64,
    se: f64,
    lci: f64,
    uci: f64,
}

impl Effect {
    const NONE: Self = Self { att: f64::NAN, se: f64::NAN, lci: f64::NAN, uci: f64::NAN };

    fn z(&self) -> f64 {
        self.att / self.se
    }

    fn p(&self) -> f64 {
        libm::erfc(self.z().abs() * std::f64::consts::FRAC_1_SQRT_2)
    }
}

/// Effects by row and result.
#[derive(Clone, Debug)]
pub struct Comparison<'a> {
    results: Vec<NamedResult<'a>>,
    options: ComparisonOptions,
    /// Label, and one effect for each result.
    rows: Vec<(String, Vec<Effect>)>,
}

impl<'a> Comparison<'a> {
    /// Looks up the effects.
    ///
    /// # Errors
    /// A row that no result has, and a mean over event times of a result without their covariance.
    pub fn new(results: &[NamedResult<'a>], options: ComparisonOptions) -> Result<Self, Failure> {
        let mut rows = Vec::new();
        for choice in &options.rows {
            match choice {
                RowChoice::EventTimes => {
                    for e in event_times(results) {
                        rows.push(row(results, &RowChoice::EventTime(e))?);
                    }
                }
                choice => rows.push(row(results, choice)?),
            }
        }
        if let Some((label, _)) = rows.iter().find(|(_, all)| all.iter().all(|own| own.att.is_nan())) {
            return Err(Failure::input(format!("no result has {label}")).hint(
                "rows are simple, group, dynamic, calendar, event-times, event times and FIRST..LAST",
            ));
        }
        Ok(Self { results: results.to_vec(), options, rows })
    }

    /// The table as text.
    pub fn text(&self) -> String {
        let table = self.table(false);
        let headings: Vec<&str> = table.headings.iter().map(String::as_str).collect();
        let mut text = text_table(&headings, 1, &table.rows);
        // A line between the effects and what they are made of.
        let width = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        let rule = format!(" {}\n", "-".repeat(width.saturating_sub(1)));
        let at = |line: usize| text.match_indices('\n').nth(line).map_or(text.len(), |(at, _)| at + 1);
        let (effects, heading) = (at(2 * self.rows.len()), at(0));
        text.insert_str(effects, &rule);
        text.insert_str(heading, &rule);
        text + &format!(" {}\n", table.note)
    }

    /// The table for documents.
    pub fn document(&self) -> DocumentTable {
        self.table(true)
    }

    fn table(&self, typeset: bool) -> DocumentTable {
        let names = self.results.iter().map(|own| own.name.to_owned());
        let effects = self.rows.iter().flat_map(|(label, effects)| self.lines(label, effects));
        let facts = self.facts();
        let minus = |cell: String| if typeset { cell.replace('-', "\u{2212}") } else { cell };
        let number = |row: Vec<String>| {
            row.into_iter().enumerate().map(|(i, cell)| if i > 0 { minus(cell) } else { cell }).collect()
        };
        DocumentTable {
            caption: "Effects by specification.".to_owned(),
            headings: std::iter::once(String::new()).chain(names).collect(),
            left: 1,
            rows: effects.map(number).chain(facts).collect(),
            note: self.note(),
        }
    }

    /// The estimates of a row, and what is below them.
    fn lines(&self, label: &str, effects: &[Effect]) -> [Vec<String>; 2] {
        let places = self.places();
        let estimate = |own: &Effect| match own.att.is_nan() {
            true => String::new(),
            false => format_number(own.att, places) + self.stars(own),
        };
        let below = |own: &Effect| match self.options.below {
            _ if own.att.is_nan() => String::new(),
            Below::StandardError => format!("({})", format_number(own.se, places)),
            Below::Interval => {
                format!("[{}, {}]", format_number(own.lci, places), format_number(own.uci, places))
            }
            Below::Z => format!("({})", format_number(own.z(), Some(2))),
            Below::P => format!("({})", format_number(own.p(), Some(4))),
        };
        let line = |first: &str, cell: &dyn Fn(&Effect) -> String| {
            std::iter::once(first.to_owned()).chain(effects.iter().map(cell)).collect()
        };
        [line(label, &estimate), line("", &below)]
    }

    fn stars(&self, own: &Effect) -> &'static str {
        let passed = STARS.iter().filter(|level| own.p() < **level).count();
        if self.options.stars { ["", "*", "**", "***"][passed] } else { "" }
    }

    /// Decimals of all numbers.
    fn places(&self) -> Option<usize> {
        let number =
            |own: &Effect| Row::new(Vec::new(), [Num(own.att), Num(own.se), Num(own.lci), Num(own.uci)]);
        let all: Vec<Row> = self.rows.iter().flat_map(|(_, effects)| effects.iter().map(number)).collect();
        self.options.decimals.or_else(|| decimals(&all))
    }

    /// What the specifications are, a row each; rows that would be empty are left out.
    fn facts(&self) -> Vec<Vec<String>> {
        let line = |name: &str, cell: &dyn Fn(&SavedResult) -> String| {
            std::iter::once(name.to_owned()).chain(self.results.iter().map(|own| cell(own.saved))).collect()
        };
        let noun = |own: &NamedResult<'_>| own.saved.extended.spec.panel;
        let units = if self.results.iter().all(noun) { "Units" } else { "Units or rows" };
        let lines: Vec<Vec<String>> = vec![
            line(units, &|own| grouped(own.result.n)),
            line("Clusters", &|own| own.extended.clusters.map(grouped).unwrap_or_default()),
            line("Outcome", &|own| own.extended.spec.yname.clone()),
            line("Method", &|own| method(&own.extended.spec).to_owned()),
            line("Controls", &|own| controls(&own.extended.spec).to_owned()),
            line("Covariates", &|own| covariates(&own.extended.spec).to_owned()),
            line("Weights", &|own| own.extended.spec.weightsname.clone().unwrap_or_default()),
            line("Base period", &|own| match own.extended.spec.base_period {
                BasePeriod::Varying => "varying".to_owned(),
                BasePeriod::Universal => "universal".to_owned(),
            }),
            line("Pre-test p", &|own| {
                own.result.wald.map(|test| format_number(test.p.0, Some(4))).unwrap_or_default()
            }),
        ];
        lines.into_iter().filter(|row| row[1..].iter().any(|cell| !cell.is_empty())).collect()
    }

    fn note(&self) -> String {
        let level = self.results.first().map_or_else(|| "95".to_owned(), |own| percent(own.saved.result.alp));
        let below = match self.options.below {
            Below::StandardError => "Standard errors in parentheses.".to_owned(),
            Below::Interval => format!("{level}% confidence intervals, or uniform bands, in brackets."),
            Below::Z => "z statistics in parentheses.".to_owned(),
            Below::P => "p-values in parentheses.".to_owned(),
        };
        let stars = if self.options.stars { " * p < 0.1, ** p < 0.05, *** p < 0.01." } else { "" };
        below + stars
    }

    /// Writes a line for each effect of each result, with all its numbers.
    ///
    /// # Errors
    /// Those of writing.
    pub fn csv(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "result,effect,att,se,lci,uci,z,p,n,clusters")?;
        for (label, effects) in &self.rows {
            for (own, effect) in self.results.iter().zip(effects) {
                let numbers = [effect.att, effect.se, effect.lci, effect.uci, effect.z(), effect.p()];
                let numbers = numbers.map(|x| csv_number(Num(x))).join(",");
                let clusters = own.saved.extended.clusters.map(|count| count.to_string()).unwrap_or_default();
                let (name, label) = (csv_text(own.name), csv_text(label));
                writeln!(out, "{name},{label},{numbers},{},{clusters}", own.saved.result.n)?;
            }
        }
        Ok(())
    }
}

/// All event times of all results, ascending.
fn event_times(results: &[NamedResult<'_>]) -> Vec<f64> {
    let dynamic = results.iter().filter_map(|own| own.saved.result.aggte.get("dynamic"));
    let mut all: Vec<f64> = dynamic.flat_map(|aggte| aggte.egt.iter().map(|e| e.0)).collect();
    all.sort_by(f64::total_cmp);
    all.dedup();
    all
}

fn row(results: &[NamedResult<'_>], choice: &RowChoice) -> Result<(String, Vec<Effect>), Failure> {
    let name = match choice {
        RowChoice::Overall("simple") => "ATT, all cells".to_owned(),
        RowChoice::Overall("group") => "ATT by cohort".to_owned(),
        RowChoice::Overall("dynamic") => "ATT by event time".to_owned(),
        RowChoice::Overall(_) => "ATT by period".to_owned(),
        RowChoice::EventTime(e) => format!("e = {}", label(Num(*e))),
        RowChoice::Average(from, to) => format!("mean of e = {}..{}", label(Num(*from)), label(Num(*to))),
        RowChoice::EventTimes => "event times".to_owned(),
    };
    let effects = results.iter().map(|own| effect(own, choice)).collect::<Result<Vec<Effect>, Failure>>()?;
    Ok((name, effects))
}

fn effect(own: &NamedResult<'_>, choice: &RowChoice) -> Result<Effect, Failure> {
    let aggte = |kind: &str| own.saved.result.aggte.get(kind);
    let found = match choice {
        RowChoice::Overall(kind) => aggte(kind).map(overall),
        RowChoice::EventTime(e) => aggte("dynamic").and_then(|aggte| at_event_time(aggte, *e)),
        RowChoice::Average(from, to) => match aggte("dynamic") {
            Some(aggte) => Some(mean(own, aggte, (*from, *to))?),
            None => None,
        },
        RowChoice::EventTimes => None,
    };
    Ok(found.unwrap_or(Effect::NONE))
}

fn overall(aggte: &Aggte) -> Effect {
    let numbers = [aggte.overall_att, aggte.overall_se, aggte.overall_lci, aggte.overall_uci];
    let [att, se, lci, uci] = numbers.map(|x| x.0);
    Effect { att, se, lci, uci }
}

fn at_event_time(aggte: &Aggte, e: f64) -> Option<Effect> {
    let at = aggte.egt.iter().position(|own| own.0 == e)?;
    let [att, se, lci, uci] =
        [aggte.att_egt[at], aggte.se_egt[at], aggte.lci_egt[at], aggte.uci_egt[at]].map(|x| x.0);
    Some(Effect { att, se, lci, uci })
}

/// The plain mean over event times, with the standard error of their covariance (FORMULAS §6).
fn mean(own: &NamedResult<'_>, aggte: &Aggte, (from, to): (f64, f64)) -> Result<Effect, Failure> {
    let chosen: Vec<usize> =
        (0..aggte.egt.len()).filter(|&i| (from..=to).contains(&aggte.egt[i].0)).collect();
    if chosen.is_empty() {
        return Ok(Effect::NONE);
    }
    if aggte.vcov_egt.is_empty() {
        return Err(Failure::input(format!(
            "{} has no covariance of its event study, which a mean over event times needs",
            own.name
        ))
        .hint("estimate it again with this version and --out"));
    }
    let count = chosen.len() as f64;
    let att = chosen.iter().map(|&i| aggte.att_egt[i].0).sum::<f64>() / count;
    let pairs = chosen.iter().flat_map(|&i| chosen.iter().map(move |&j| aggte.vcov_egt[i][j].0));
    let se = (pairs.sum::<f64>() / (count * count)).sqrt();
    let reach = pointwise_critical_value(own.saved.result.alp) * se;
    Ok(Effect { att, se, lci: att - reach, uci: att + reach })
}

#[cfg(test)]
mod tests {
    use stagger_test_support::results;

    use super::*;

    fn options(rows: Vec<RowChoice>, below: Below) -> ComparisonOptions {
        ComparisonOptions { rows, below, stars: true, decimals: None }
    }

    fn both() -> [SavedResult; 2] {
        [results::bootstrap(), results::universal()]
    }

    fn all_rows() -> Vec<RowChoice> {
        let overall = ["simple", "group"].map(RowChoice::Overall);
        overall.into_iter().chain([RowChoice::EventTimes]).collect()
    }

    #[test]
    fn text_of_two_results() {
        let [a, b] = &both();
        let results =
            [NamedResult { name: "varying", saved: a }, NamedResult { name: "universal", saved: b }];
        let table = Comparison::new(&results, options(all_rows(), Below::StandardError)).unwrap();
        insta::assert_snapshot!(table.text());
    }

    #[test]
    fn csv_has_all_numbers() {
        let [a, _] = &both();
        let results = [NamedResult { name: "a, b", saved: a }];
        let rows = vec![RowChoice::Overall("simple"), RowChoice::EventTime(2.0)];
        let table = Comparison::new(&results, options(rows, Below::P)).unwrap();
        let mut bytes = Vec::new();
        table.csv(&mut bytes).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let line = text.lines().nth(2).unwrap();
        let cells: Vec<&str> = line.split(',').skip(3).collect();
        let number = |i: usize| cells[i].parse::<f64>().unwrap();
        assert!(line.starts_with("\"a, b\",e = 2,"), "{line}");
        assert!((number(4) - number(0) / number(1)).abs() < 1e-12 && number(5) < 0.001, "{line}");
    }

    #[test]
    fn a_mean_needs_its_covariance_and_has_its_standard_error() {
        let [mut saved, _] = both();
        let rows = || options(vec![RowChoice::Average(0.0, 1.0)], Below::Interval);
        let refused = Comparison::new(&[NamedResult { name: "old", saved: &saved }], rows());
        assert!(refused.unwrap_err().to_string().contains("old has no covariance of its event study"));
        let aggte = saved.result.aggte.get_mut("dynamic").unwrap();
        let size = aggte.egt.len();
        aggte.vcov_egt =
            (0..size).map(|i| (0..size).map(|j| Num(if i == j { 4e-4 } else { 1e-4 })).collect()).collect();
        let table = Comparison::new(&[NamedResult { name: "new", saved: &saved }], rows()).unwrap();
        let expected = (2.0 * 4e-4 + 2.0 * 1e-4f64).sqrt() / 2.0;
        assert!((table.rows[0].1[0].se - expected).abs() < 1e-15);
    }

    #[test]
    fn rows_that_nobody_has_are_refused() {
        let [a, _] = &both();
        let results = [NamedResult { name: "a", saved: a }];
        let refused = Comparison::new(&results, options(vec![RowChoice::EventTime(99.0)], Below::Z));
        assert!(refused.unwrap_err().to_string().starts_with("error: no result has e = 99\nhint: "));
    }
}
