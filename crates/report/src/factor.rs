//! The covariance of thousands of cells in `covariance.parquet`, as the factor that it is: one row a number.
//!
//! | `part` | `a` | `b` | `c` | `value` |
//! |---|---|---|---|---|
//! | `feature` | layout | position | feature | |
//! | `previous` | layout | position of an outcome | position of the outcome of the period before | |
//! | `base` | layout | position of an outcome | position of the feature that its pivot multiplies | |
//! | `group` | group of units | layout | | number of units or clusters |
//! | `pivot` | group | position | | the pivot |
//! | `moment` | group | position | position, no larger | sum of products of changes less pivots |
//! | `link` | group | group, larger | features of `b` × position in `a` + position in `b` | the same between groups |
//! | `set` | set of groups | first group | group after the last | |
//! | `term` | extended column | set | feature | coefficient |
//! | `divisor` | | | | what the moments are divided by |

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, UInt32Type};
use arrow_array::{Array, ArrayRef, Float64Array, RecordBatch, StringArray, UInt32Array};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use stagger_estimator::factor::{Factor, GroupMoments, Link, Term};
use stagger_estimator::symmetric::Symmetric;
use stagger_model::failure::Failure;

use super::doubles::ResultColumns;

/// Rows in one batch.
const BATCH: usize = 1 << 16;

/// Names of the columns.
pub(super) const COLUMNS: [&str; 5] = ["part", "a", "b", "c", "value"];

/// One number.
#[derive(Clone, Copy)]
struct Row<'a> {
    part: &'a str,
    at: [u32; 3],
    value: f64,
}

/// Calls `each` for every number of a factor, in the order in which it is read.
fn visit<E>(factor: &Factor, mut each: impl FnMut(Row<'_>) -> Result<(), E>) -> Result<(), E> {
    let mut row = |part, at, value| each(Row { part, at, value });
    row("divisor", [0; 3], factor.divisor)?;
    for (a, layout) in (0..).zip(&factor.layouts) {
        (0..).zip(&layout.ids).try_for_each(|(b, id)| row("feature", [a, b, *id], 0.0))?;
        for (part, links) in [("previous", &layout.previous), ("base", &layout.base)] {
            let own = (0..).zip(links).filter_map(|(b, link)| Some((b, (*link)?)));
            own.into_iter().try_for_each(|(b, c)| row(part, [a, b, c], 0.0))?;
        }
    }
    for (a, group) in (0..).zip(&factor.groups) {
        row("group", [a, group.layout as u32, 0], group.units as f64)?;
        (0..).zip(&group.pivots).try_for_each(|(b, pivot)| row("pivot", [a, b, 0], *pivot))?;
        let size = group.moments.size() as u32;
        let places = (0..size).flat_map(|i| (0..=i).map(move |j| (i, j)));
        places.zip(group.moments.triangle()).try_for_each(|((i, j), m)| row("moment", [a, i, j], *m))?;
    }
    for link in &factor.links {
        let (a, b) = (link.a as u32, link.b as u32);
        (0..).zip(&link.moments).try_for_each(|(c, m)| row("link", [a, b, c], *m))?;
    }
    for (a, set) in (0..).zip(&factor.sets) {
        set.iter().try_for_each(|range| row("set", [a, range.start, range.end], 0.0))?;
    }
    for (a, terms) in (0..).zip(&factor.columns) {
        for term in terms {
            let mut own = term.coefficients.iter();
            own.try_for_each(|(feature, value)| row("term", [a, term.set, *feature], *value))?;
        }
    }
    Ok(())
}

/// Writes a factor.
///
/// # Errors
/// Those of the file system.
pub(super) fn write(factor: &Factor, file: File, properties: WriterProperties) -> Result<File, ParquetError> {
    let types = [DataType::Utf8, DataType::UInt32, DataType::UInt32, DataType::UInt32, DataType::Float64];
    let fields = COLUMNS.iter().zip(types).map(|(name, kind)| Field::new(*name, kind, false));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<Field>>()));
    let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))?;
    let mut rows = Rows::default();
    visit(factor, |row| {
        rows.push(row);
        if rows.values.len() < BATCH { Ok(()) } else { writer.write(&rows.take(&schema)?) }
    })?;
    writer.write(&rows.take(&schema)?)?;
    writer.into_inner()
}

/// Rows that wait to be written.
#[derive(Default)]
struct Rows {
    parts: Vec<String>,
    places: [Vec<u32>; 3],
    values: Vec<f64>,
}

impl Rows {
    fn push(&mut self, row: Row<'_>) {
        self.parts.push(row.part.to_owned());
        self.places.iter_mut().zip(row.at).for_each(|(list, at)| list.push(at));
        self.values.push(row.value);
    }

    fn take(&mut self, schema: &Arc<Schema>) -> Result<RecordBatch, ParquetError> {
        let Self { parts, places: [a, b, c], values } = std::mem::take(self);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(parts)),
            Arc::new(UInt32Array::from(a)),
            Arc::new(UInt32Array::from(b)),
            Arc::new(UInt32Array::from(c)),
            Arc::new(Float64Array::from(values)),
        ];
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }
}

/// Reads the factor of `columns` extended columns.
///
/// # Errors
/// A file that is damaged.
pub(super) fn read(found: &ResultColumns, columns: usize) -> Result<Factor, Failure> {
    let mut builder = Builder { most: found.rows() + 1, ..Builder::default() };
    builder.factor.columns = vec![Vec::new(); columns];
    found.read_batches(|batch| builder.add(batch))?;
    let factor = builder.factor;
    factor.check().map_err(|reason| found.damaged(&reason))?;
    Ok(factor)
}

/// A factor as far as it has been read.
#[derive(Default)]
struct Builder {
    factor: Factor,
    /// Entries of the triangle of the last group so far.
    triangle: Vec<f64>,
    /// Most layouts and sets that a file of so many rows can have: no list is longer than what was read.
    most: usize,
}

impl Builder {
    fn add(&mut self, batch: &RecordBatch) -> Result<(), String> {
        let wrong = || "its columns are not those of a covariance".to_owned();
        let [part, a, b, c, value] = batch.columns() else { return Err(wrong()) };
        if batch.columns().iter().any(|column| column.null_count() > 0) {
            return Err(wrong());
        }
        let parts = part.as_string_opt::<i32>().ok_or_else(wrong)?;
        let list = |column: &ArrayRef| column.as_primitive_opt::<UInt32Type>().cloned().ok_or_else(wrong);
        let (a, b, c) = (list(a)?, list(b)?, list(c)?);
        let values = value.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?;
        for row in 0..batch.num_rows() {
            let at = [a.value(row), b.value(row), c.value(row)];
            let own = Row { part: parts.value(row), at, value: values.value(row) };
            self.take(own).ok_or_else(|| format!("`{}` {at:?} is out of place", own.part))?;
        }
        Ok(())
    }

    /// Takes the next number; `None` where it can't follow the ones before.
    fn take(&mut self, Row { part, at: [a, b, c], value }: Row<'_>) -> Option<()> {
        let factor = &mut self.factor;
        match part {
            "divisor" => factor.divisor = value,
            "feature" => {
                let layout = last(&mut factor.layouts, a, self.most)?;
                layout.ids.push(c);
                layout.previous.push(None);
                layout.base.push(None);
            }
            "previous" => *last(&mut factor.layouts, a, self.most)?.previous.get_mut(b as usize)? = Some(c),
            "base" => *last(&mut factor.layouts, a, self.most)?.base.get_mut(b as usize)? = Some(c),
            "group" => {
                factor.layouts.get(b as usize)?;
                (factor.groups.len() == a as usize && value >= 0.0).then_some(())?;
                factor.groups.push(GroupMoments {
                    layout: b as usize,
                    units: value as u64,
                    pivots: Vec::new(),
                    moments: Symmetric::default(),
                });
                self.triangle.clear();
            }
            "pivot" => {
                let pivots = &mut factor.groups.last_mut()?.pivots;
                (pivots.len() == b as usize).then(|| pivots.push(value))?;
            }
            "moment" => {
                self.triangle.push(value);
                let group = factor.groups.last_mut()?;
                let size = group.pivots.len();
                ((b as usize) < size && c <= b).then_some(())?;
                if self.triangle.len() == size * (size + 1) / 2 {
                    group.moments = Symmetric::from_triangle(size, std::mem::take(&mut self.triangle))?;
                }
            }
            "link" => take_link(&mut factor.links, (a as usize, b as usize), value),
            "set" => last(&mut factor.sets, a, self.most)?.push(Range { start: b, end: c }),
            "term" => {
                let terms = factor.columns.get_mut(a as usize)?;
                if terms.last().is_none_or(|term| term.set != b) {
                    terms.push(Term { set: b, coefficients: Vec::new() });
                }
                terms.last_mut()?.coefficients.push((c, value));
            }
            _ => return None,
        }
        Some(())
    }
}

fn take_link(links: &mut Vec<Link>, (a, b): (usize, usize), value: f64) {
    if links.last().is_none_or(|link| (link.a, link.b) != (a, b)) {
        links.push(Link { a, b, moments: Vec::new() });
    }
    links.iter_mut().next_back().into_iter().for_each(|link| link.moments.push(value));
}

/// The last entry of a list, which must be number `at`. Entries before it that have no row are empty.
fn last<T: Default>(list: &mut Vec<T>, at: u32, most: usize) -> Option<&mut T> {
    let at = at as usize;
    if at >= list.len() && at < most {
        list.resize_with(at + 1, T::default);
    }
    (at + 1 == list.len()).then(|| list.last_mut())?
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use stagger_estimator::factor::FeatureLayout;
    use stagger_test_support::results;

    use super::super::covariance;
    use super::*;

    /// Two groups with a layout each and a cluster in common; two columns.
    fn factor() -> Factor {
        let layout = |ids: Vec<u32>, previous, base| FeatureLayout { ids, previous, base };
        let group = |layout: usize, features: usize| GroupMoments {
            layout,
            units: 7 + features as u64,
            pivots: (0..features).map(|at| at as f64 / 3.0).collect(),
            moments: Symmetric::from_fn(features, |i, j| (10 * i + j) as f64 + 0.1),
        };
        let term = |set, coefficients: &[(u32, f64)]| Term { set, coefficients: coefficients.to_vec() };
        Factor {
            layouts: vec![
                layout(vec![0, 2, 3], vec![None, None, Some(1)], vec![None, Some(0), Some(0)]),
                layout(vec![0, 1], vec![None; 2], vec![None; 2]),
            ],
            groups: vec![group(0, 3), group(1, 2)],
            links: vec![Link { a: 0, b: 1, moments: (0..6).map(f64::from).collect() }],
            sets: vec![vec![0..2], vec![1..2]],
            columns: vec![
                vec![term(0, &[(0, 1.0)])],
                vec![term(1, &[(0, 0.5), (1, -2.0)]), term(0, &[(3, 4.0)])],
            ],
            divisor: 41.0,
            variances: Vec::new(),
        }
    }

    fn written(factor: &Factor, path: &Path) -> ResultColumns {
        let saved = results::bootstrap();
        let run = parquet::file::metadata::KeyValue::new(
            super::super::tabular::RUN_KEY.to_owned(),
            super::super::tabular::fingerprint(&saved),
        );
        let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![run])).build();
        write(factor, File::create(path).unwrap(), properties).unwrap();
        ResultColumns::open(path, File::open(path).unwrap(), &saved).unwrap()
    }

    #[test]
    fn a_factor_is_the_same_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(covariance::COVARIANCE);
        assert_eq!(read(&written(&factor(), &path), 2).unwrap(), factor());
    }

    #[test]
    fn what_does_not_fit_together_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(covariance::COVARIANCE);
        let refused = |change: &dyn Fn(&mut Factor), columns: usize| {
            let mut factor = factor();
            change(&mut factor);
            read(&written(&factor, &path), columns).unwrap_err().to_string()
        };
        for (change, reason) in [
            (
                Box::new(|f: &mut Factor| f.divisor = 0.0) as Box<dyn Fn(&mut Factor)>,
                "a divisor that is not positive",
            ),
            (Box::new(|f| f.sets[0][0].end = 9), "groups that are not there"),
            (Box::new(|f| f.columns[0][0].set = 5), "a set that is not there"),
            (Box::new(|f| f.links[0].moments.truncate(5)), "moments between groups of another size"),
            (Box::new(|f| f.layouts[0].previous[1] = Some(2)), "features that refer to later ones"),
            (Box::new(|f| f.groups[0].layout = 7), "is out of place"),
            (Box::new(|f| f.groups[0].layout = 1), "a group's moments of another size"),
        ] {
            let told = refused(&change, 2);
            assert!(
                told.contains("covariance.parquet is damaged") && told.contains(reason),
                "{reason}: {told}"
            );
        }
        assert!(refused(&|_| (), 1).contains("is out of place"), "a column too many");
    }
}
