//! From the steps of a specification to the panel that they make.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use stagger_model::csv_options::{ColumnRole, ColumnSelection};
use stagger_model::error::{Result, StaggerError};
use stagger_model::record_options::{RecordOptions, Step};
use stagger_storage::{disk, local_etag};
use xxhash_rust::xxh3::xxh3_128;

use super::collapse::{Collapse, parse_aggregates};
use super::dedupe::Dedupe;
use super::derive::Derive;
use super::fill::Fill;
use super::filter::Filter;
use super::lookup::{LookupStep, open_table};
use super::reshape::Reshape;
use super::table::Table;
use super::treatment::Treatment;
use super::{RowStep, StepCount, StepReport, TableStep, new_batch};
use crate::bad_lines::BadLines;
use crate::expression::{Expression, split_arguments};
use crate::file::{Content, SourceFile};
use crate::files::InputPath;
use crate::format::Format;
use crate::formats::{TableWriter, footer};
use crate::source::{InputFileInfo, Made, Source};
use crate::spool::{Spool, spool_error};

/// A step that was parsed.
struct Parsed {
    /// The step as it was given.
    text: String,
    action: Action,
}

enum Action {
    Row(Box<dyn RowStep>),
    Table(Box<dyn TableStep>),
}

/// A panel that steps have made.
#[derive(Clone)]
pub(crate) struct MadePanel {
    pub(crate) spool: Spool,
    meta: ArrowReaderMetadata,
    made: Made,
}

/// A panel that was made, with what it was made of.
struct Known {
    /// The inputs, the options of CSV files and the steps.
    key: String,
    selection: ColumnSelection,
    panel: MadePanel,
}

/// The panel that was made last. A command looks at its input more than once, and the steps are taken once.
static LAST: Mutex<Option<Known>> = Mutex::new(None);

/// Takes the steps of a selection, and opens the panel that they make.
///
/// # Errors
/// Steps that can't be parsed, columns and types that do not fit, a step that leaves no row, and those of reading.
pub(crate) fn make_panel(inputs: Vec<InputPath>, selection: &ColumnSelection) -> Result<Source> {
    let panel = made_panel(inputs, selection)?;
    Source::of_panel(&panel.spool, panel.meta, panel.made)
}

/// Takes the steps of a selection, and writes the panel that they make to a Parquet file, which appears once it is
/// complete. Returns its size in bytes.
///
/// # Errors
/// Those of opening the panel, and a file that can't be written.
pub fn write_panel(inputs: Vec<InputPath>, selection: &ColumnSelection, path: &Path) -> Result<u64> {
    let panel = made_panel(inputs, selection)?;
    let failed =
        |error: std::io::Error| StaggerError::failed(format!("can't write `{}`: {error}", path.display()));
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let partial = path.with_file_name(disk::random_name(&format!(".{name}."), ".partial"));
    let copied = File::create(&partial).and_then(|mut file| {
        std::io::copy(&mut panel.spool.reader(), &mut file)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)
    });
    if copied.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    copied.map_err(failed)?;
    Ok(panel.spool.bytes())
}

/// Takes the steps of a selection, unless they were taken last.
pub(crate) fn made_panel(inputs: Vec<InputPath>, selection: &ColumnSelection) -> Result<MadePanel> {
    let identities = inputs.iter().map(identity).collect::<Result<Vec<_>>>()?;
    let key = format!("{identities:?} {:?} {:?}", selection.csv, selection.records);
    let mut last = LAST.lock().unwrap_or_else(|error| error.into_inner());
    if let Some(known) = last.as_ref()
        && known.key == key
        && covers(&known.selection, selection)
    {
        return Ok(known.panel.clone());
    }
    let panel = make(inputs, selection)?;
    *last = Some(Known { key, selection: selection.clone(), panel: panel.clone() });
    Ok(panel)
}

/// Returns `true` if a selection has all columns of another one, for the same uses.
fn covers(known: &ColumnSelection, wanted: &ColumnSelection) -> bool {
    (known.all || !wanted.all) && wanted.columns.iter().all(|(name, role)| known.role(name) == Some(*role))
}

/// Returns the name of an input and what changes with its bytes.
fn identity(input: &InputPath) -> Result<(String, String)> {
    let etag = match (&input.remote, &input.copy) {
        (Some(remote), _) => remote.head()?.etag,
        (None, Some((_, digest))) => digest.clone(),
        (None, None) => std::fs::metadata(&input.path).map(|meta| local_etag(&meta)).unwrap_or_default(),
    };
    Ok((input.name(), etag))
}

fn make(inputs: Vec<InputPath>, selection: &ColumnSelection) -> Result<MadePanel> {
    let steps =
        selection.records.steps.iter().map(|step| parse(step, selection)).collect::<Result<Vec<Parsed>>>()?;
    let raw = raw_selection(selection)?;
    let source = Source::select(inputs, &raw)?;
    let mut columns = match raw.all {
        true => source.column_names(),
        false => raw.columns.into_keys().collect(),
    };
    // The step that asks for a column that no file has says where.
    columns.retain(|column| source.type_name(column).is_some());
    if columns.is_empty() {
        columns.extend(source.column_names().into_iter().next());
    }
    let mut made = Made { inputs: source.file_infos(), notes: source.notes(), ..Made::default() };
    let name = panel_name(&made.inputs, steps.len());
    let mut table = Table::new(source, columns)?;
    let mut texts: Vec<String> = Vec::new();
    for step in steps {
        match step.action {
            Action::Row(row) => {
                table.push(row)?;
                texts.push(step.text);
            }
            Action::Table(action) => {
                let (spool, mut report) = take_step(action.as_ref(), &table, &step.text)?;
                finish_rows(&table, &mut texts, &mut made.steps);
                report.rows_in =
                    made.steps.last().map_or_else(|| table.source().rows(), |step| step.rows_out);
                made.steps.push(report);
                nothing_left(&made.steps)?;
                let meta = footer(&spool)?;
                let names = meta.schema().fields().iter().map(|field| field.name().clone()).collect();
                let source =
                    Source::of_panel(&spool, meta, Made { inputs: made.inputs.clone(), ..Made::default() })?;
                table = Table::new(source, names)?;
            }
        }
    }
    let spool = write_selected(&table, selection)?;
    finish_rows(&table, &mut texts, &mut made.steps);
    nothing_left(&made.steps)?;
    let meta = footer(&spool)?;
    made.name = name;
    Ok(MadePanel { spool, meta, made })
}

/// Returns the name of the panel for messages.
fn panel_name(inputs: &[InputFileInfo], steps: usize) -> String {
    let first = inputs.first().map(|input| input.url.as_str()).unwrap_or_default();
    let noun = if steps == 1 { "step" } else { "steps" };
    match inputs.len() {
        0 | 1 => format!("{first}, after {steps} {noun}"),
        files => format!("{first} and {} more, after {steps} {noun}", files - 1),
    }
}

/// Takes the reports of the row steps of a table that was read.
fn finish_rows(table: &Table, texts: &mut Vec<String>, reports: &mut Vec<StepReport>) {
    reports.extend(
        table.counts().zip(texts.drain(..)).map(|(count, text): (&StepCount, String)| count.report(&text)),
    );
}

/// Refuses steps of which one leaves no row.
fn nothing_left(reports: &[StepReport]) -> Result<()> {
    match reports.iter().find(|report| report.rows_in > 0 && report.rows_out == 0) {
        None => Ok(()),
        Some(report) => Err(StaggerError::input(format!(
            "the step `{}` leaves none of {} rows",
            report.step, report.rows_in
        ))
        .with_hint("stagger panel with the steps before it shows the rows that it sees")),
    }
}

/// Takes a step that needs all rows; writes its table.
fn take_step(step: &dyn TableStep, table: &Table, text: &str) -> Result<(Spool, StepReport)> {
    let file = Spool::create().map_err(|error| spool_error(&error))?;
    let mut writer = TableWriter::new(file, &step.schema(table.schema())?)?;
    let mut rows_out = 0;
    let notes = step.apply(table, &mut |batch| {
        rows_out += batch.num_rows() as u64;
        writer.write(batch)
    })?;
    Ok((writer.finish()?, StepReport { step: text.to_owned(), rows_in: 0, rows_out, notes }))
}

/// Writes the columns of a table that a selection wants.
fn write_selected(table: &Table, selection: &ColumnSelection) -> Result<Spool> {
    let fields = table.schema().fields().iter().enumerate();
    let wanted: Vec<usize> =
        fields.filter(|(_, field)| selection.role(field.name()).is_some()).map(|(place, _)| place).collect();
    let failed =
        |error: arrow_schema::ArrowError| StaggerError::failed(format!("columns of a panel: {error}"));
    let schema: SchemaRef = Arc::new(Schema::project(table.schema(), &wanted).map_err(failed)?);
    let file = Spool::create().map_err(|error| spool_error(&error))?;
    let mut writer = TableWriter::new(file, &schema)?;
    table.in_order(&mut |batch: &RecordBatch| {
        let columns = wanted.iter().map(|place| Arc::clone(batch.column(*place))).collect();
        writer.write(&new_batch(schema.clone(), columns, batch.num_rows())?)
    })?;
    writer.finish()
}

/// Returns the columns of the records that the steps and the selection behind them need.
fn raw_selection(selection: &ColumnSelection) -> Result<ColumnSelection> {
    let records = RecordOptions { steps: Vec::new(), ..selection.records.clone() };
    let mut raw = ColumnSelection { records, ..selection.clone() };
    for step in selection.records.steps.iter().rev() {
        need(step, &mut raw)?;
    }
    Ok(raw)
}

/// Changes the columns that are needed behind a step to those that are needed before it.
fn need(step: &Step, raw: &mut ColumnSelection) -> Result<()> {
    let mut used: BTreeMap<String, ColumnRole> = BTreeMap::new();
    match step {
        Step::Where(text) => Expression::parse(text)?.add_columns(&mut used),
        Step::Let(text) => {
            for (name, expression) in assignments("let", text)?.into_iter().rev() {
                raw.columns.remove(&name);
                used.remove(&name);
                expression.add_columns(&mut used);
            }
        }
        Step::Lookup(lookup) => {
            let keys = list_pairs("lookup", &lookup.by)?;
            for name in open_table(lookup, raw)?.column_names() {
                if !keys.iter().any(|(_, key)| *key == name) {
                    raw.columns.remove(&name);
                }
            }
            used.extend(keys.into_iter().map(|(own, _)| (own, ColumnRole::Key)));
        }
        Step::Collapse { values, by } => {
            raw.columns.clear();
            raw.all = false;
            parse_aggregates(values)?.iter().for_each(|aggregate| aggregate.add_columns(&mut used));
            used.extend(list("by", by)?.into_iter().map(|name| (name, ColumnRole::Key)));
        }
        Step::ReshapeLong { stubs, column } => {
            // The columns of the stubs are known once the records are opened.
            stubs.iter().chain([column]).for_each(|name| {
                raw.columns.remove(name);
            });
            raw.all = true;
        }
        Step::Treatment(names) => {
            raw.columns.remove(&names.cohort);
            used.insert(names.column.clone(), ColumnRole::Number);
            used.insert(names.time.clone(), ColumnRole::Number);
            used.insert(names.id.clone(), ColumnRole::Key);
        }
        Step::Dedupe { by, .. } => {
            used.extend(list("dedupe", by)?.into_iter().map(|name| (name, ColumnRole::Key)))
        }
        Step::Fill { values, id, time } => {
            used.extend(assignments("fill", values)?.into_iter().map(|(name, _)| (name, ColumnRole::Number)));
            used.insert(time.clone(), ColumnRole::Number);
            used.insert(id.clone(), ColumnRole::Key);
        }
    }
    used.into_iter().for_each(|(name, role)| raw.add(&name, role));
    Ok(())
}

fn parse(step: &Step, selection: &ColumnSelection) -> Result<Parsed> {
    let row = |text: String, step: Box<dyn RowStep>| Parsed { text, action: Action::Row(step) };
    let table = |text: String, step: Box<dyn TableStep>| Parsed { text, action: Action::Table(step) };
    Ok(match step {
        Step::Where(text) => {
            let condition = Expression::parse(text).map_err(|error| error.in_context("where"))?;
            row(format!("where {text}"), Box::new(Filter::new(condition)))
        }
        Step::Let(text) => row(format!("let {text}"), Box::new(Derive::new(assignments("let", text)?))),
        Step::Lookup(lookup) => {
            let how = if lookup.inner { ", inner" } else { "" };
            let text = format!("lookup {} by {}{how}", lookup.table, lookup.by);
            row(text, Box::new(LookupStep::new(lookup, selection)?))
        }
        Step::Collapse { values, by } => {
            let step = Collapse::new(parse_aggregates(values)?, list("by", by)?);
            table(format!("collapse {values} by {by}"), Box::new(step))
        }
        Step::ReshapeLong { stubs, column } => {
            let text = format!("reshape-long {} by {column}", stubs.join(" "));
            row(text, Box::new(Reshape::new(stubs.clone(), column.clone())))
        }
        Step::Treatment(names) => {
            let how = if names.absorbing { " absorbing" } else { "" };
            let text = format!("treatname {}{how}: {}", names.column, names.cohort);
            table(text, Box::new(Treatment::new(names.clone())))
        }
        Step::Dedupe { by, keep } => {
            let text = format!("dedupe {by}, keep {}", format!("{keep:?}").to_lowercase());
            table(text, Box::new(Dedupe::new(list("dedupe", by)?, *keep)))
        }
        Step::Fill { values, id, time } => {
            let step = Fill::new(assignments("fill", values)?, id.clone(), time.clone());
            table(format!("fill {values}"), Box::new(step))
        }
    })
}

/// Parses `name = expression, name = expression`.
pub(super) fn assignments(step: &str, text: &str) -> Result<Vec<(String, Expression)>> {
    let parts = split_arguments(text).map_err(|error| error.in_text(text).in_context(step))?;
    let own = |(name, node)| match name {
        Some(name) => Ok((name, Expression::part(text, &node))),
        None => {
            Err(StaggerError::input(format!("{step}: `{text}` does not say which column gets the value"))
                .with_hint(format!("write NAME = EXPRESSION: --{step} 'year = year(date)'")))
        }
    };
    parts.into_iter().map(own).collect()
}

/// Parses the names of columns, separated by commas.
pub(super) fn list(step: &str, text: &str) -> Result<Vec<String>> {
    use crate::expression::NodeKind;
    let parts = split_arguments(text).map_err(|error| error.in_text(text).in_context(step))?;
    let own = |(name, node): (Option<String>, crate::expression::Node)| match (name, node.kind) {
        (None, NodeKind::Column(name)) => Ok(name),
        _ => Err(StaggerError::input(format!("{step}: `{text}` is no list of columns")).with_hint(
            "write their names with commas between them; names with blanks stand between backticks",
        )),
    };
    parts.into_iter().map(own).collect()
}

/// Parses the keys of a lookup: the column of the records, and that of the table.
pub(super) fn list_pairs(step: &str, text: &str) -> Result<Vec<(String, String)>> {
    use crate::expression::NodeKind;
    let parts = split_arguments(text).map_err(|error| error.in_text(text).in_context(step))?;
    let own = |(name, node): (Option<String>, crate::expression::Node)| {
        match (name, node.kind) {
        (None, NodeKind::Column(key)) => Ok((key.clone(), key)),
        (Some(own), NodeKind::Column(key)) => Ok((own, key)),
        _ => Err(StaggerError::input(format!("{step}: `{text}` is no list of keys"))
            .with_hint("write the names of columns with commas between them; state = st looks the records' state up in the table's st")),
    }
    };
    parts.into_iter().map(own).collect()
}

impl Source {
    /// Opens a panel that steps have made.
    pub(super) fn of_panel(spool: &Spool, meta: ArrowReaderMetadata, made: Made) -> Result<Self> {
        let bytes = made.inputs.iter().map(|input| input.bytes).sum();
        let all: String =
            made.inputs.iter().map(|input| format!("{} {}\n", input.url, input.fingerprint)).collect();
        let input = InputPath {
            path: PathBuf::from(&made.name),
            hive: Vec::new(),
            remote: None,
            format: Format::Parquet,
            copy: None,
            logged: false,
        };
        let file = SourceFile {
            input,
            schema: Arc::clone(meta.schema()),
            content: Content::Parquet(meta),
            bytes,
            fingerprint: format!("{:032x}", xxh3_128(all.as_bytes())),
            decoded: Some(spool.clone()),
            bad: BadLines::default(),
        };
        Ok(Self::of_files(vec![file], Some(made)))
    }
}
