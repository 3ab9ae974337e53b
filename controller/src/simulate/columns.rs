//! From positions to Arrow columns to encoded row groups.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int32Array, Int64Array, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression as Codec, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;

use super::layout::{Order, RowGroup};
use super::model::{Model, Unit, WEIGHT_UNIT};
use super::truth::Tally;
use super::{Compression, IdType, Layout, SimulateArgs};

/// The columns of the panel; nothing is ever missing.
pub(super) fn schema(args: &SimulateArgs) -> SchemaRef {
    let id = match args.id_type {
        IdType::Int => DataType::Int64,
        IdType::String => DataType::Utf8,
    };
    let covariates = (1..=args.covariates).map(|p| (format!("x{p}"), DataType::Float64));
    let columns =
        [("id", id), ("time", DataType::Int32), ("group", DataType::Int32), ("y", DataType::Float64)]
            .map(|(name, kind)| (name.to_owned(), kind))
            .into_iter()
            .chain(covariates)
            .chain([("cluster".to_owned(), DataType::Int32), ("weight".to_owned(), DataType::Float64)]);
    Arc::new(Schema::new(columns.map(|(name, kind)| Field::new(name, kind, false)).collect::<Vec<_>>()))
}

/// How the columns are encoded: dictionaries only where values repeat within a row group.
pub(super) fn properties(args: &SimulateArgs) -> Result<WriterProperties, ParquetError> {
    let codec = match args.compression {
        Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(1)?),
        Compression::Snappy => Codec::SNAPPY,
        Compression::None => Codec::UNCOMPRESSED,
    };
    let together = args.layout == Layout::Sorted;
    let covariates =
        (1..=args.covariates).map(|p| (format!("x{p}"), together && !args.time_varying_covariates));
    Ok([("id".to_owned(), together), ("y".to_owned(), false)]
        .into_iter()
        .chain(covariates)
        .fold(WriterProperties::builder().set_compression(codec), |properties, (name, repeats)| {
            properties.set_column_dictionary_enabled(ColumnPath::from(name), repeats)
        })
        .build())
}

/// A row group ready to be appended to its file.
pub(super) struct Encoded {
    pub(super) columns: Vec<ArrowColumnChunk>,
    /// The units whose first row is in this row group.
    pub(super) tally: Tally,
}

/// What a thread needs to make row groups.
pub(super) struct Maker<'a> {
    pub(super) args: &'a SimulateArgs,
    pub(super) model: &'a Model,
    pub(super) order: &'a Order,
    pub(super) schema: SchemaRef,
    pub(super) writers: &'a ArrowRowGroupWriterFactory,
}

impl Maker<'_> {
    /// Draws and encodes a row group.
    pub(super) fn encode(&self, row_group: &RowGroup) -> Result<Encoded, ParquetError> {
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
        Ok(Encoded { columns, tally })
    }

    /// Draws the rows of a row group; a unit is drawn once for a run of its rows.
    fn draw(&self, row_group: &RowGroup, tally: &mut Tally) -> Vec<ArrayRef> {
        let rows = (row_group.rows.end - row_group.rows.start) as usize;
        let mut ids = Ids::new(self.args.id_type, rows);
        let (mut time, mut group, mut cluster) =
            (Vec::with_capacity(rows), Vec::with_capacity(rows), Vec::with_capacity(rows));
        let (mut outcome, mut weight) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
        let mut covariates = vec![Vec::with_capacity(rows); self.args.covariates as usize];
        let mut unit = Unit::default();
        for position in row_group.rows.clone() {
            let (index, period) = self.order.locate(position);
            if unit.id != index + 1 {
                self.model.draw(index + 1, &mut unit);
            }
            if period == 0 {
                tally.count(&unit);
            }
            ids.push(unit.id);
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
        [ids.finish(), int(time), int(group), float(outcome)]
            .into_iter()
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
