//! From positions to Arrow columns to encoded row groups.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, Float64Array, Int32Array, Int64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression as Codec, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use super::args::{Compression, IdType, Layout, SimulateArgs};
use super::layout::{RowGroup, RowOrder};
use super::model::{Model, Unit, WEIGHT_UNIT};
use super::truth::Tally;

/// The text in the metadata of every panel file that says who made it: a program that finds it there may replace the file.
pub const MARK: &str = "made by stagger; the next one of this name replaces it";

/// The columns of the panel; rows may be missing, values never are.
pub(super) fn schema(args: &SimulateArgs) -> SchemaRef {
    let id = match args.id_type {
        IdType::Int => DataType::Int64,
        IdType::String => DataType::Utf8,
    };
    let covariates = (1..=args.covariates).map(|p| (format!("x{p}"), DataType::Float64));
    let id = (!args.cross_sections).then_some(("id", id));
    let partition = args.eligible_share.map(|_| ("partition", DataType::Int32));
    let columns = id
        .into_iter()
        .chain([("time", DataType::Int32), ("group", DataType::Int32)])
        .chain(partition)
        .chain([("y", DataType::Float64)])
        .map(|(name, kind)| (name.to_owned(), kind))
        .chain(covariates)
        .chain([("cluster".to_owned(), DataType::Int32), ("weight".to_owned(), DataType::Float64)]);
    Arc::new(Schema::new(columns.map(|(name, kind)| Field::new(name, kind, false)).collect::<Vec<_>>()))
}

/// Returns the encoding of the columns: dictionaries only where values repeat within a row group.
pub(super) fn properties(args: &SimulateArgs) -> Result<WriterProperties, ParquetError> {
    let codec = match args.compression {
        Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(1)?),
        Compression::Snappy => Codec::SNAPPY,
        Compression::None => Codec::UNCOMPRESSED,
    };
    let together = args.layout == Layout::Sorted && !args.cross_sections;
    let covariates =
        (1..=args.covariates).map(|p| (format!("x{p}"), together && !args.time_varying_covariates));
    Ok([("id".to_owned(), together), ("y".to_owned(), false)]
        .into_iter()
        .chain(covariates)
        .fold(marked().set_compression(codec), |properties, (name, repeats)| {
            properties.set_column_dictionary_enabled(ColumnPath::from(name), repeats)
        })
        .build())
}

/// Properties of a file that says who made it, so that the next panel of its name may replace it.
fn marked() -> WriterPropertiesBuilder {
    let mark = KeyValue::new("stagger".to_owned(), MARK.to_owned());
    WriterProperties::builder().set_key_value_metadata(Some(vec![mark]))
}

/// A row group ready to be appended to its file.
pub(super) struct EncodedRowGroup {
    pub(super) columns: Vec<ArrowColumnChunk>,
    /// Rows, without those that are missing.
    pub(super) rows: u64,
    /// The units whose first row is in this row group.
    pub(super) tally: Tally,
}

/// The maker of row groups that threads share.
pub(super) struct RowGroupEncoder<'a> {
    pub(super) args: &'a SimulateArgs,
    pub(super) model: &'a Model,
    pub(super) order: &'a RowOrder,
    pub(super) schema: SchemaRef,
    pub(super) writers: &'a ArrowRowGroupWriterFactory,
}

impl RowGroupEncoder<'_> {
    /// Draws and encodes a row group.
    pub(super) fn encode(&self, row_group: &RowGroup) -> Result<EncodedRowGroup, ParquetError> {
        let mut tally = Tally::default();
        let arrays = self.draw(row_group, &mut tally);
        let mut columns = Vec::with_capacity(arrays.len());
        let writers = self.writers.create_column_writers(0)?;
        for ((field, array), mut writer) in self.schema.fields().iter().zip(&arrays).zip(writers) {
            for leaf in compute_leaves(field, array)? {
                writer.write(&leaf)?;
            }
            columns.push(writer.close()?);
        }
        let rows = arrays.first().map_or(0, |array| array.len()) as u64;
        Ok(EncodedRowGroup { columns, rows, tally })
    }

    /// Draws the rows of a row group; a unit is drawn once for a run of its rows.
    fn draw(&self, row_group: &RowGroup, tally: &mut Tally) -> Vec<ArrayRef> {
        let rows = (row_group.rows.end - row_group.rows.start) as usize;
        let (mut time, mut group, mut cluster) =
            (Vec::with_capacity(rows), Vec::with_capacity(rows), Vec::with_capacity(rows));
        let mut ids = (!self.args.cross_sections).then(|| Ids::new(self.args.id_type, rows));
        let mut partition = self.args.eligible_share.map(|_| Vec::with_capacity(rows));
        let (mut outcome, mut weight) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        let mut covariates = vec![Vec::with_capacity(rows); self.args.covariates as usize];
        let mut unit = Unit::default();
        for position in row_group.rows.clone() {
            let (index, period) = self.order.locate(position);
            let id = self.model.id(index, period);
            if self.model.is_missing(id, period) {
                continue;
            }
            if unit.id != id {
                self.model.draw(id, &mut unit);
            }
            if self.model.is_first_row(id, period) {
                tally.count(&unit);
            }
            ids.iter_mut().for_each(|ids| ids.push(id));
            partition.iter_mut().for_each(|values| values.push(i32::from(unit.eligible)));
            time.push(self.model.time(period));
            group.push(self.model.group(unit.cohort));
            outcome.push(self.model.outcome(&unit, period));
            for (p, values) in covariates.iter_mut().enumerate() {
                values.push(self.model.covariate(&unit, p, period));
            }
            cluster.push(unit.cluster);
            weight.push(f64::from(unit.weight) * WEIGHT_UNIT);
        }
        let float = |values: Vec<f64>| Arc::new(Float64Array::from(values)) as ArrayRef;
        let int = |values: Vec<i32>| Arc::new(Int32Array::from(values)) as ArrayRef;
        ids.map(Ids::finish)
            .into_iter()
            .chain([int(time), int(group)])
            .chain(partition.map(int))
            .chain([float(outcome)])
            .chain(covariates.into_iter().map(float))
            .chain([int(cluster), float(weight)])
            .collect()
    }
}

/// The id column being built.
enum Ids {
    Int(Vec<i64>),
    String(StringBuilder),
}

impl Ids {
    fn new(kind: IdType, rows: usize) -> Self {
        match kind {
            IdType::Int => Self::Int(Vec::with_capacity(rows)),
            IdType::String => Self::String(StringBuilder::with_capacity(rows, rows * 11)),
        }
    }

    fn push(&mut self, id: u64) {
        match self {
            Self::Int(ids) => ids.push(id as i64),
            // `u` and at least ten digits, so that the order of strings is that of numbers.
            Self::String(ids) => ids.append_value(format!("u{id:010}")),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Int(ids) => Arc::new(Int64Array::from(ids)),
            Self::String(mut ids) => Arc::new(ids.finish()),
        }
    }
}
