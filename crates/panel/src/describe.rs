//! Description of an input before any fit: columns, periods, cohorts × periods, balance, missing values, weights.

use std::path::Path;

use arrow_array::{Array, ArrayRef};
use serde::Serialize;
use stagger_model::calendar::TimeUnit;
use stagger_model::csv_options::{ColumnRole, ColumnSelection, CsvOptions};
use stagger_model::error::{Result, StaggerError};
use stagger_model::parallel;
use stagger_model::progress::StageProgress;
use stagger_model::record_options::RecordOptions;
use stagger_model::result::Num;
use stagger_model::spec::RunSpec;
use stagger_model::spec_check::CheckedSpec;
use stagger_records::{Source, StepReport, list_input_files, with_f64, with_texts, write_panel};

use crate::load;
use crate::panel::Panel;

/// Names of the columns by their role; a role without a name is not examined.
#[derive(Clone, Debug, Default)]
pub struct DescribeColumns {
    /// Period column.
    pub tname: Option<String>,
    /// Unit column.
    pub idname: Option<String>,
    /// Cohort column.
    pub gname: Option<String>,
    /// Outcome column.
    pub yname: Option<String>,
    /// Weight column.
    pub weightsname: Option<String>,
    /// Settings of CSV files: separator, quotes, missing values.
    pub csv: CsvOptions,
    /// The options of records of every format.
    pub records: RecordOptions,
}

/// One column of the input.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColumnDescription {
    /// Name.
    pub name: String,
    /// Type, as the file has it.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Rows without a value; for numbers, NaN and infinities too.
    pub missing: u64,
    /// Smallest number; `None` for other types.
    pub min: Option<Num>,
    /// Largest number.
    pub max: Option<Num>,
    /// Mean of the numbers.
    pub mean: Option<Num>,
}

/// Counts of one cohort.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CohortDescription {
    /// First treated period; `null` for never treated.
    pub group: Num,
    /// The cohort's label in the data, where periods are dates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Units with a complete row.
    pub units: u64,
    /// Complete rows, one count for each period.
    pub rows: Vec<u64>,
}

/// The panel that the columns of unit, period and cohort form.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PanelDescription {
    /// Number of units.
    pub units: u64,
    /// Periods, ascending.
    pub periods: Vec<Num>,
    /// Unit of the periods, where they are dates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_unit: Option<TimeUnit>,
    /// Labels of the periods in the data, where periods are dates; empty otherwise.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub period_label: Vec<String>,
    /// Cohorts, ascending; never treated last.
    pub cohorts: Vec<CohortDescription>,
    /// True if every unit has a row in every period.
    pub balanced: bool,
    /// Number of rows that are missing from a balanced panel of these units.
    pub absent_rows: u64,
    /// Number of rows without a value in the outcome or weight.
    pub incomplete_rows: u64,
    /// Number of rows without unit, period or, for triple differences, eligibility.
    pub keyless_rows: u64,
    /// True if weights vary within units; `None` without weights.
    pub weights_vary: Option<bool>,
}

/// Result of [`describe`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Description {
    /// Number of files.
    pub files: usize,
    /// Rows of all files.
    pub rows: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The steps that made the rows of the records.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepReport>,
    /// Columns, in the order of the first file.
    pub columns: Vec<ColumnDescription>,
    /// The panel, where unit, period and cohort columns are named.
    pub panel: Option<PanelDescription>,
}

impl DescribeColumns {
    /// All columns; those with a role are read as their role demands.
    fn selection(&self) -> ColumnSelection {
        let mut out = ColumnSelection::of(&[]);
        out.csv.clone_from(&self.csv);
        out.records.clone_from(&self.records);
        self.idname.iter().for_each(|name| out.add(name, ColumnRole::Key));
        let numbers = [&self.tname, &self.gname, &self.yname, &self.weightsname];
        numbers.into_iter().flatten().for_each(|name| out.add(name, ColumnRole::Number));
        out
    }
}

/// Describes an input: every column of its files and, where unit, period and cohort are named, the panel.
///
/// # Errors
/// Files that can't be read, and columns that are missing or of a type that their role does not allow.
pub fn describe(inputs: &[String], columns: &DescribeColumns) -> Result<Description> {
    let source = Source::select(list_input_files(inputs)?, &columns.selection())?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let asked = [
        ("tname", &columns.tname),
        ("idname", &columns.idname),
        ("gname", &columns.gname),
        ("yname", &columns.yname),
        ("weightsname", &columns.weightsname),
    ];
    for (argument, column) in asked {
        if let Some(column) = column {
            source.require_column(argument, column)?;
        }
    }
    let names = source.column_names();
    // Text files are read line by line whichever columns are needed, so that one pass reads all of them; of other files
    // each column is read by itself.
    let together = if source.has_csv() { names.len().max(1) } else { 1 };
    let groups: Vec<&[String]> = names.chunks(together).collect();
    let described = parallel::map(threads, groups.len(), |group| describe_columns(&source, groups[group]))?;
    let described = described.into_iter().flatten().collect();
    let panel = match (&columns.idname, &columns.tname, &columns.gname) {
        (Some(id), Some(time), Some(group)) => {
            Some(describe_panel(inputs, columns, [id, time, group], threads)?)
        }
        _ => None,
    };
    Ok(Description {
        files: source.file_sizes().len(),
        rows: source.rows(),
        bytes: source.bytes(),
        steps: source.steps().to_vec(),
        columns: described,
        panel,
    })
}

/// The first rows of an input, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FirstRows {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows; `None` for missing values.
    pub rows: Vec<Vec<Option<String>>>,
}

/// Returns the first `most` rows of an input, behind its steps.
///
/// # Errors
/// Those of [`describe`].
pub fn first_rows(inputs: &[String], columns: &DescribeColumns, most: usize) -> Result<FirstRows> {
    let source = Source::select(list_input_files(inputs)?, &columns.selection())?;
    let mut out = FirstRows { columns: source.column_names(), rows: Vec::new() };
    let Some(chunk) = source.chunks().first() else { return Ok(out) };
    source.read_rows(chunk, 0..most, &out.columns, |_, arrays| {
        let start = out.rows.len();
        let rows = arrays.first().map_or(0, Array::len);
        out.rows.resize_with(start + rows, Vec::new);
        for array in arrays {
            let shown = with_texts(array, |texts| {
                Ok(texts.into_iter().map(|text| text.map(str::to_owned)).collect())
            });
            // A list has no form in a line.
            let shown: Vec<Option<String>> = shown.unwrap_or_else(|_| vec![Some("…".to_owned()); rows]);
            out.rows[start..].iter_mut().zip(shown).for_each(|(row, text)| row.push(text));
        }
        Ok(())
    })?;
    Ok(out)
}

/// Writes an input, behind its steps, to a Parquet file, and returns its size in bytes.
///
/// # Errors
/// Those of [`describe`], and a file that can't be written.
pub fn write(inputs: &[String], columns: &DescribeColumns, path: &Path) -> Result<u64> {
    write_panel(list_input_files(inputs)?, &columns.selection(), path)
}

/// Running counts and sums of one column.
struct Tally<'a> {
    name: &'a str,
    is_number: bool,
    missing: u64,
    count: u64,
    sum: f64,
    least: f64,
    largest: f64,
}

impl<'a> Tally<'a> {
    fn new(source: &Source, name: &'a str) -> Self {
        let is_number = source.require_number("input", name).is_ok();
        let (least, largest) = (f64::INFINITY, f64::NEG_INFINITY);
        Self { name, is_number, missing: 0, count: 0, sum: 0.0, least, largest }
    }

    fn add(&mut self, array: &ArrayRef, scratch: &mut Vec<f64>) -> Result<()> {
        if !self.is_number {
            self.missing += array.logical_null_count() as u64;
            return Ok(());
        }
        with_f64(array, self.name, scratch, |values| {
            for value in values.iter().filter(|v| v.is_finite()) {
                self.count += 1;
                self.sum += value;
                self.least = self.least.min(*value);
                self.largest = self.largest.max(*value);
            }
            self.missing += values.iter().filter(|v| !v.is_finite()).count() as u64;
            Ok(())
        })
    }

    fn finish(self, source: &Source) -> ColumnDescription {
        let number = |value: f64| (self.count > 0).then_some(Num(value));
        ColumnDescription {
            name: self.name.to_owned(),
            data_type: source.type_name(self.name).unwrap_or_default(),
            missing: self.missing,
            min: number(self.least),
            max: number(self.largest),
            mean: number(self.sum / self.count as f64),
        }
    }
}

/// Describes several columns in one pass over the input.
fn describe_columns(source: &Source, names: &[String]) -> Result<Vec<ColumnDescription>> {
    let mut tallies: Vec<Tally<'_>> = names.iter().map(|name| Tally::new(source, name)).collect();
    let mut scratch = Vec::new();
    for chunk in source.chunks() {
        let (own, others): (Vec<_>, Vec<_>) =
            tallies.iter_mut().partition(|tally| source.chunk_has_column(chunk, tally.name));
        others.into_iter().for_each(|tally| tally.missing += chunk.rows as u64);
        let mut own = own;
        let wanted: Vec<String> = own.iter().map(|tally| tally.name.to_owned()).collect();
        if wanted.is_empty() {
            continue;
        }
        source.read(chunk, &wanted, |_, arrays| {
            let mut columns = own.iter_mut().zip(arrays);
            columns.try_for_each(|(tally, array)| tally.add(array, &mut scratch))
        })?;
    }
    Ok(tallies.into_iter().map(|tally| tally.finish(source)).collect())
}

fn describe_panel(
    inputs: &[String],
    columns: &DescribeColumns,
    [id, time, group]: [&String; 3],
    threads: usize,
) -> Result<PanelDescription> {
    let spec = RunSpec {
        idname: id.clone(),
        tname: time.clone(),
        gname: group.clone(),
        // Without an outcome the period column stands in: it has no missing values of its own.
        yname: columns.yname.clone().unwrap_or_else(|| time.clone()),
        weightsname: columns.weightsname.clone(),
        csv: columns.csv.clone(),
        records: columns.records.clone(),
        ..RunSpec::default()
    };
    let mut silent = StageProgress::new(&|_| {});
    let panel = load::load(inputs, &CheckedSpec::new(None, spec)?, threads, &mut silent)?;
    if panel.shard_count() == 0 {
        return Err(StaggerError::failed("the panel has no shard"));
    }
    Ok(summarize(&panel, columns.weightsname.is_some()))
}

fn summarize(panel: &Panel, weighted: bool) -> PanelDescription {
    let (periods, calendar) = (panel.periods.len(), panel.calendar.as_ref());
    let cohorts = panel
        .strata
        .iter()
        .enumerate()
        .map(|(cohort, stratum)| CohortDescription {
            group: Num(stratum.cohort),
            label: calendar.filter(|_| stratum.cohort.is_finite()).map(|c| c.label(stratum.cohort)),
            units: panel.counts.census.units[cohort],
            rows: panel.counts.census.complete[cohort * periods..(cohort + 1) * periods].to_vec(),
        })
        .collect();
    let present: u64 = panel.counts.census.present.iter().sum();
    let complete: u64 = panel.counts.census.complete.iter().sum();
    let absent_rows = panel.counts.units * periods as u64 - present;
    PanelDescription {
        units: panel.counts.units,
        periods: panel.periods.iter().copied().map(Num).collect(),
        time_unit: calendar.map(|calendar| calendar.unit),
        period_label: match calendar {
            Some(calendar) => panel.periods.iter().map(|&period| calendar.label(period)).collect(),
            None => Vec::new(),
        },
        cohorts,
        balanced: absent_rows == 0,
        absent_rows,
        incomplete_rows: present - complete,
        keyless_rows: panel.counts.keyless_rows,
        weights_vary: weighted.then_some(panel.columns.weights_vary),
    }
}
