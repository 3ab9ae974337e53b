//! Columns of numbers as runs of equal values, straight from their dictionary pages.
//!
//! What is constant for a unit (its identifier, its cohort, most covariates) is stored as runs by every writer of
//! Parquet files, and sorted files have one run a unit. Expanded, a panel of a hundred periods would be compared a
//! hundred times where once is enough.

use std::sync::Arc;

use arrow_array::builder::PrimitiveBuilder;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, Int32Array, RunArray};
use arrow_schema::DataType;
use bytes::{Buf, Bytes};
use parquet::basic::{Encoding, Type};
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::ChunkReader;
use parquet::file::serialized_reader::SerializedPageReader;

use super::Damage;
use super::hybrid::Hybrid;
use super::pages::CheckedChunks;

/// Rows that a run must have on average for the column to be handed on as runs.
const WORTHWHILE: usize = 3;

/// A reader of one column chunk of numbers.
pub(super) struct RunColumn<R: ChunkReader> {
    name: String,
    /// Type of the arrays.
    kind: DataType,
    physical: Type,
    /// True if rows may have no value.
    optional: bool,
    pages: SerializedPageReader<CheckedChunks<R>>,
    /// Values of the dictionary, as bits.
    dictionary: Vec<u64>,
    page: DataPage,
    runs: Runs,
    /// True once values have turned out not to repeat: they are read without looking for runs.
    flat: bool,
}

/// The rest of a data page.
#[derive(Default)]
struct DataPage {
    rows: usize,
    /// Which rows have a value; `None` if all have.
    levels: Option<Hybrid>,
    values: Values,
}

enum Values {
    /// Indices into the dictionary.
    Indices(Hybrid),
    /// The values themselves.
    Plain(Bytes),
}

impl Default for Values {
    fn default() -> Self {
        Self::Plain(Bytes::new())
    }
}

/// Values with the ends of their runs.
#[derive(Default)]
struct Runs {
    values: Vec<Option<u64>>,
    ends: Vec<i32>,
}

impl Runs {
    /// Adds a value of `rows` rows; with `merge` to the last run, if it has the same.
    #[inline]
    fn push(&mut self, value: Option<u64>, rows: usize, merge: bool) {
        let end = self.ends.last().copied().unwrap_or(0) + rows as i32;
        match (self.ends.last_mut(), self.values.last()) {
            (Some(last), Some(known)) if merge && *known == value => *last = end,
            _ => {
                self.values.push(value);
                self.ends.push(end);
            }
        }
    }

    fn clear(&mut self) {
        self.values.clear();
        self.ends.clear();
    }
}

impl<R: ChunkReader + 'static> RunColumn<R> {
    /// Returns a reader of a column, if it is one of numbers with a dictionary: `leaf` is its position in the row group,
    /// `kind` its type.
    pub(super) fn open(
        bytes: &CheckedChunks<R>,
        group: &RowGroupMetaData,
        leaf: usize,
        kind: &DataType,
    ) -> Result<Option<Self>, Damage> {
        let column = group.column(leaf);
        let described = column.column_descr();
        let (physical, levels) = (described.physical_type(), described.max_def_level());
        let top = described.path().parts().len() == 1 && described.max_rep_level() == 0 && levels <= 1;
        let known = column.encodings().all(|encoding| match encoding {
            Encoding::PLAIN | Encoding::RLE | Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => true,
            // Levels of old writers; what is never missing has none.
            #[expect(deprecated)]
            Encoding::BIT_PACKED => levels == 0,
            _ => false,
        });
        if !top || !known || column.dictionary_page_offset().is_none() || !is_number(physical, kind) {
            return Ok(None);
        }
        let name = column.column_path().string();
        let rows = usize::try_from(group.num_rows()).unwrap_or(0);
        let pages = SerializedPageReader::new(Arc::new(bytes.clone()), column, rows, None)
            .map_err(|e| Damage { column: Some(name.clone()), ..Damage::of(&e) })?;
        Ok(Some(Self {
            name,
            kind: kind.clone(),
            physical,
            optional: levels == 1,
            pages,
            dictionary: Vec::new(),
            page: DataPage::default(),
            runs: Runs::default(),
            flat: false,
        }))
    }

    /// Reads the next `rows` rows: an array of runs if values repeat, else an array of values.
    ///
    /// # Errors
    /// Pages that are damaged, or fewer rows.
    pub(super) fn read(&mut self, rows: usize) -> Result<ArrayRef, Damage> {
        let mut runs = std::mem::take(&mut self.runs);
        runs.clear();
        let mut left = rows;
        while left > 0 {
            if self.page.rows == 0 {
                self.next_page()?;
                continue;
            }
            let own = left.min(self.page.rows);
            if self.page.read(own, &self.dictionary, self.physical, !self.flat, &mut runs).is_none() {
                return Err(self.damaged("the values of a page are damaged"));
            }
            self.page.rows -= own;
            left -= own;
        }
        let repeated = runs.values.len() * WORTHWHILE <= rows;
        self.flat = !repeated;
        let array = runs.array(&self.kind, repeated);
        self.runs = runs;
        array.ok_or_else(|| self.damaged("its values do not fit its type"))
    }

    /// Returns an error if there are more rows.
    pub(super) fn finish(&mut self) -> Result<(), Damage> {
        loop {
            if self.page.rows > 0 {
                return Err(self.damaged("it has more rows than its footer says"));
            }
            match self.pages.get_next_page() {
                Ok(None) => return Ok(()),
                Ok(Some(page)) => self.open_page(page)?,
                Err(error) => return Err(self.because(&error)),
            }
        }
    }

    fn damaged(&self, reason: &str) -> Damage {
        Damage::of_column(&self.name, reason)
    }

    fn because(&self, error: &parquet::errors::ParquetError) -> Damage {
        Damage { column: Some(self.name.clone()), ..Damage::of(error) }
    }

    fn next_page(&mut self) -> Result<(), Damage> {
        match self.pages.get_next_page() {
            Ok(Some(page)) => self.open_page(page),
            Ok(None) => Err(self.damaged("it has less rows than its footer says")),
            Err(error) => Err(self.because(&error)),
        }
    }

    fn open_page(&mut self, page: Page) -> Result<(), Damage> {
        let opened = match page {
            Page::DictionaryPage { buf, num_values, .. } => {
                let values = numbers(&buf, self.physical).take(num_values as usize).collect::<Vec<u64>>();
                let whole = values.len() == num_values as usize;
                self.dictionary = values;
                whole.then(DataPage::default)
            }
            Page::DataPage { buf, num_values, encoding, def_level_encoding, .. } => {
                self.first_version(buf, num_values as usize, encoding, def_level_encoding)
            }
            Page::DataPageV2 {
                mut buf,
                num_values,
                encoding,
                def_levels_byte_len,
                rep_levels_byte_len,
                ..
            } => {
                let levels = def_levels_byte_len as usize;
                let before = levels.checked_add(rep_levels_byte_len as usize);
                before.filter(|before| *before <= buf.len()).and_then(|_| {
                    buf.advance(rep_levels_byte_len as usize);
                    let levels = buf.split_to(levels);
                    self.data_page(num_values as usize, Some(levels), buf, encoding)
                })
            }
        };
        self.page = opened.ok_or_else(|| self.damaged("a page is damaged"))?;
        Ok(())
    }

    /// Opens a page whose levels stand before its values, after their length.
    fn first_version(
        &self,
        mut buf: Bytes,
        rows: usize,
        encoding: Encoding,
        levels: Encoding,
    ) -> Option<DataPage> {
        if !self.optional {
            return self.data_page(rows, None, buf, encoding);
        }
        if levels != Encoding::RLE {
            return None;
        }
        let length = usize::try_from(buf.try_get_u32_le().ok()?).ok()?;
        if length > buf.len() {
            return None;
        }
        let levels = buf.split_to(length);
        self.data_page(rows, Some(levels), buf, encoding)
    }

    fn data_page(
        &self,
        rows: usize,
        levels: Option<Bytes>,
        mut values: Bytes,
        encoding: Encoding,
    ) -> Option<DataPage> {
        let levels = match levels {
            Some(levels) if self.optional => Some(Hybrid::new(levels, 1)?),
            _ => None,
        };
        let values = match encoding {
            Encoding::PLAIN => Values::Plain(values),
            // A page without any value has no width either.
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY if values.is_empty() => Values::default(),
            Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY => {
                let width = values.get_u8();
                Values::Indices(Hybrid::new(values, u32::from(width))?)
            }
            _ => return None,
        };
        Some(DataPage { rows, levels, values })
    }
}

impl DataPage {
    /// Appends the next `rows` rows to `out`; `None` if the page is damaged.
    fn read(
        &mut self,
        rows: usize,
        dictionary: &[u64],
        physical: Type,
        merge: bool,
        out: &mut Runs,
    ) -> Option<()> {
        let values = &mut self.values;
        match &mut self.levels {
            None => values.read(rows, dictionary, physical, merge, out),
            Some(levels) => levels.take(rows, |level, rows| match level {
                0 => {
                    out.push(None, rows, merge);
                    Some(())
                }
                1 => values.read(rows, dictionary, physical, merge, out),
                _ => None,
            }),
        }
    }
}

impl Values {
    #[inline]
    fn read(
        &mut self,
        rows: usize,
        dictionary: &[u64],
        physical: Type,
        merge: bool,
        out: &mut Runs,
    ) -> Option<()> {
        match self {
            Self::Indices(indices) => indices.take(rows, |index, rows| {
                out.push(Some(*dictionary.get(index as usize)?), rows, merge);
                Some(())
            }),
            Self::Plain(bytes) => {
                let size = rows.checked_mul(width(physical))?;
                if size > bytes.len() {
                    return None;
                }
                let own = bytes.split_to(size);
                numbers(&own, physical).for_each(|value| out.push(Some(value), 1, merge));
                Some(())
            }
        }
    }
}

impl Runs {
    /// Returns the values as an array of a type: of runs, or with each value as often as its run is long.
    fn array(&self, kind: &DataType, repeated: bool) -> Option<ArrayRef> {
        macro_rules! of {
            ($type:ty, $convert:expr) => {
                self.typed::<$type>(repeated, $convert)
            };
        }
        match kind {
            DataType::Int8 => of!(Int8Type, |bits| bits as i8),
            DataType::Int16 => of!(Int16Type, |bits| bits as i16),
            DataType::Int32 => of!(Int32Type, |bits| bits as i32),
            DataType::Int64 => of!(Int64Type, |bits| bits as i64),
            DataType::UInt8 => of!(UInt8Type, |bits| bits as u8),
            DataType::UInt16 => of!(UInt16Type, |bits| bits as u16),
            DataType::UInt32 => of!(UInt32Type, |bits| bits as u32),
            DataType::UInt64 => of!(UInt64Type, |bits| bits),
            DataType::Float32 => of!(Float32Type, |bits| f32::from_bits(bits as u32)),
            DataType::Float64 => of!(Float64Type, f64::from_bits),
            _ => None,
        }
    }

    fn typed<T: ArrowPrimitiveType>(
        &self,
        repeated: bool,
        convert: impl Fn(u64) -> T::Native,
    ) -> Option<ArrayRef> {
        let rows = self.ends.last().map_or(0, |end| *end as usize);
        let mut values =
            PrimitiveBuilder::<T>::with_capacity(if repeated { self.values.len() } else { rows });
        let mut start = 0;
        for (value, &end) in self.values.iter().zip(&self.ends) {
            let times = if repeated { 1 } else { (end - start) as usize };
            start = end;
            match value {
                Some(bits) => values.append_value_n(convert(*bits), times),
                None => values.append_nulls(times),
            }
        }
        if !repeated {
            return Some(Arc::new(values.finish()));
        }
        let ends = Int32Array::from(self.ends.clone());
        Some(Arc::new(RunArray::try_new(&ends, &values.finish()).ok()?))
    }
}

/// Tells if values of a physical type are numbers of an arrow type as they stand.
fn is_number(physical: Type, kind: &DataType) -> bool {
    use DataType::{Float32, Float64, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    match physical {
        Type::INT32 => matches!(kind, Int8 | Int16 | Int32 | UInt8 | UInt16 | UInt32),
        Type::INT64 => matches!(kind, Int64 | UInt64),
        Type::FLOAT => *kind == Float32,
        Type::DOUBLE => *kind == Float64,
        _ => false,
    }
}

/// Returns the bytes of a number.
fn width(physical: Type) -> usize {
    if matches!(physical, Type::INT32 | Type::FLOAT) { 4 } else { 8 }
}

/// Returns the bits of the numbers in plain encoding; those of 32 bits in the lower half.
fn numbers(bytes: &[u8], physical: Type) -> impl Iterator<Item = u64> {
    let width = width(physical);
    bytes
        .chunks_exact(width)
        .map(|value| value.iter().rev().fold(0, |bits, byte| (bits << 8) | u64::from(*byte)))
}
