//! Nested columns by path: the field `b` of a struct `a` is the column `a.b`.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, make_array};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use stagger_model::csv_options::ColumnSelection;
use stagger_model::error::{Result, StaggerError};

/// The columns of a selection in a nested schema.
pub(super) struct Flattened {
    /// The columns, by path.
    pub(super) schema: SchemaRef,
    /// The places of each column: that of the outermost field, then those inside.
    places: Vec<Vec<usize>>,
}

impl Flattened {
    pub(super) fn new(nested: &Schema, selection: &ColumnSelection) -> Self {
        let (mut fields, mut places) = (Vec::new(), Vec::new());
        walk(nested.fields(), "", &mut Vec::new(), &mut |field, path, place| {
            if selection.role(path).is_some() && is_writable(field.data_type()) {
                fields.push(Field::new(path, field.data_type().clone(), true));
                places.push(place.to_vec());
            }
        });
        Self { schema: Arc::new(Schema::new(fields)), places }
    }

    /// Returns the columns of a batch.
    pub(super) fn batch(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let column = |place: &Vec<usize>| find(batch, place);
        let columns: Option<Vec<ArrayRef>> = self.places.iter().map(column).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns =
            columns.ok_or_else(|| StaggerError::input("a batch has other columns than its file"))?;
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| StaggerError::input(format!("a batch does not fit its file: {error}")))
    }
}

/// Returns the names of all columns of a nested schema, by path.
pub(super) fn paths(nested: &Schema) -> Vec<String> {
    let mut names = Vec::new();
    walk(nested.fields(), "", &mut Vec::new(), &mut |_, path, _| names.push(path.to_owned()));
    names
}

/// Calls `each` with every field that is no struct, its path and its places.
fn walk(
    fields: &arrow_schema::Fields,
    before: &str,
    place: &mut Vec<usize>,
    each: &mut impl FnMut(&Field, &str, &[usize]),
) {
    for (at, field) in fields.iter().enumerate() {
        let path = format!("{before}{}", field.name());
        place.push(at);
        match field.data_type() {
            DataType::Struct(inner) => walk(inner, &format!("{path}."), place, each),
            _ => each(field, &path, place),
        }
        place.pop();
    }
}

/// Returns the column at a place; a value is missing where a struct around it is.
fn find(batch: &RecordBatch, place: &[usize]) -> Option<ArrayRef> {
    let (first, inside) = place.split_first()?;
    let mut array = Arc::clone(batch.columns().get(*first)?);
    let mut outer: Option<NullBuffer> = None;
    for at in inside {
        outer = NullBuffer::union(outer.as_ref(), array.nulls());
        let inner = Arc::clone(array.as_struct_opt()?.columns().get(*at)?);
        array = inner;
    }
    let Some(outer) = outer else { return Some(array) };
    let nulls = NullBuffer::union(Some(&outer), array.nulls());
    let data = array.to_data().into_builder().nulls(nulls).build().ok()?;
    Some(make_array(data))
}

/// Returns `false` for types that Parquet has no place for.
fn is_writable(data_type: &DataType) -> bool {
    !matches!(
        data_type,
        DataType::Union(_, _)
            | DataType::RunEndEncoded(_, _)
            | DataType::Interval(_)
            | DataType::ListView(_)
            | DataType::LargeListView(_)
    )
}
