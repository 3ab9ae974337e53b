//! Symmetric matrices of which one triangle is kept: the covariance of thousands of cells takes half the memory.

use std::fmt;

use faer::Mat;
use serde::de::{Error, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A symmetric matrix of `size × size` doubles.
///
/// For people (JSON) it is a list of rows, with `null` for what is not finite; elsewhere its size and its lower triangle.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Symmetric {
    size: usize,
    /// The lower triangle, row by row.
    values: Vec<f64>,
}

impl Symmetric {
    /// The matrix of the entries `of(i, j)`, which is asked for `j <= i` alone.
    pub fn from_fn(size: usize, mut of: impl FnMut(usize, usize) -> f64) -> Self {
        let mut values = Vec::with_capacity(size * (size + 1) / 2);
        for i in 0..size {
            values.extend((0..=i).map(|j| of(i, j)));
        }
        Self { size, values }
    }

    /// The matrix of a lower triangle, row by row; none where that is no triangle of this size.
    pub fn from_triangle(size: usize, values: Vec<f64>) -> Option<Self> {
        (values.len() == size * (size + 1) / 2).then_some(Self { size, values })
    }

    /// The matrix of full rows, of which those of the lower triangle count.
    pub fn from_rows(rows: &[Vec<f64>]) -> Self {
        Self::from_fn(rows.len(), |i, j| rows[i].get(j).copied().unwrap_or(f64::NAN))
    }

    /// Rows, and columns.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Returns true if there is no entry.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// The entry in row `i` and column `j`.
    ///
    /// # Panics
    /// Beyond the size.
    pub fn get(&self, i: usize, j: usize) -> f64 {
        self.values[place(i, j)]
    }

    /// Sets the entries in row `i`, column `j` and the other way round.
    ///
    /// # Panics
    /// Beyond the size.
    pub fn set(&mut self, i: usize, j: usize, value: f64) {
        self.values[place(i, j)] = value;
    }

    /// Every entry divided by `divisor`.
    #[must_use]
    pub fn divided(mut self, divisor: f64) -> Self {
        self.values.iter_mut().for_each(|value| *value /= divisor);
        self
    }

    /// Adds another matrix of the same size.
    pub fn add(&mut self, other: &Self) {
        self.values.iter_mut().zip(&other.values).for_each(|(a, b)| *a += b);
    }

    /// The lower triangle, row by row.
    pub fn triangle(&self) -> &[f64] {
        &self.values
    }

    /// Row `i`, whole.
    pub fn row(&self, i: usize) -> impl Iterator<Item = f64> + '_ {
        (0..self.size).map(move |j| self.get(i, j))
    }

    /// Both triangles.
    pub fn to_mat(&self) -> Mat<f64> {
        Mat::from_fn(self.size, self.size, |i, j| self.get(i, j))
    }

    /// The lower triangle of a square matrix.
    pub fn from_mat(matrix: &Mat<f64>) -> Self {
        Self::from_fn(matrix.nrows().min(matrix.ncols()), |i, j| matrix[(i, j)])
    }
}

/// Returns the index of an entry in the triangle.
fn place(i: usize, j: usize) -> usize {
    let (row, column) = (i.max(j), i.min(j));
    row * (row + 1) / 2 + column
}

impl Serialize for Symmetric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return (self.size, &self.values).serialize(serializer);
        }
        let mut rows = serializer.serialize_seq(Some(self.size))?;
        for i in 0..self.size {
            rows.serialize_element(&self.row(i).collect::<Vec<f64>>())?;
        }
        rows.end()
    }
}

impl<'de> Deserialize<'de> for Symmetric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return deserializer.deserialize_seq(Rows);
        }
        let (size, values) = <(usize, Vec<f64>)>::deserialize(deserializer)?;
        Self::from_triangle(size, values).ok_or_else(|| D::Error::custom("a triangle of another size"))
    }
}

/// Reads full rows, one at a time.
struct Rows;

impl<'de> Visitor<'de> for Rows {
    type Value = Symmetric;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the rows of a symmetric matrix")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<Symmetric, A::Error> {
        let mut out = Symmetric::default();
        let mut width: Option<usize> = None;
        while let Some(row) = rows.next_element::<Vec<Option<f64>>>()? {
            let wanted = *width.get_or_insert(row.len());
            if row.len() != wanted {
                let (at, found) = (out.size, row.len());
                return Err(A::Error::custom(format!("row {at} has {found} entries, row 0 has {wanted}")));
            }
            if out.size == wanted {
                return Err(A::Error::custom(format!("more rows than the {wanted} entries of a row")));
            }
            out.values.extend(row[..=out.size].iter().map(|value| value.unwrap_or(f64::NAN)));
            out.size += 1;
        }
        match width {
            Some(width) if width != out.size => {
                Err(A::Error::custom(format!("{} rows of {width} entries", out.size)))
            }
            _ => Ok(out),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Symmetric {
        Symmetric::from_fn(3, |i, j| (10 * i + j) as f64)
    }

    #[test]
    fn both_triangles_are_one() {
        let mut matrix = small();
        assert_eq!((matrix.get(2, 1), matrix.get(1, 2)), (21.0, 21.0));
        matrix.set(0, 2, 5.0);
        assert_eq!(matrix.row(2).collect::<Vec<_>>(), [5.0, 21.0, 22.0]);
        assert_eq!(Symmetric::from_mat(&matrix.to_mat()), matrix);
        assert_eq!(matrix.divided(2.0).triangle(), [0.0, 5.0, 5.5, 2.5, 10.5, 11.0]);
        assert_eq!(Symmetric::from_triangle(3, vec![0.0; 5]), None);
    }

    #[test]
    fn text_has_full_rows_and_null_for_what_is_missing() {
        let mut matrix = small();
        matrix.set(1, 1, f64::NAN);
        let text = serde_json::to_string(&matrix).unwrap();
        assert_eq!(text, "[[0.0,10.0,20.0],[10.0,null,21.0],[20.0,21.0,22.0]]");
        let back: Symmetric = serde_json::from_str(&text).unwrap();
        assert!(back.get(1, 1).is_nan() && back.get(0, 2) == 20.0 && back.size() == 3);
        let bytes = postcard::to_stdvec(&small()).unwrap();
        assert_eq!(postcard::from_bytes::<Symmetric>(&bytes).unwrap(), small());
    }

    #[test]
    fn what_is_not_square_is_refused() {
        for (text, reason) in [
            ("[[1,2],[2]]", "row 1 has 1 entries, row 0 has 2"),
            ("[[1,2]]", "1 rows of 2 entries"),
            ("[[1],[2]]", "more rows than the 1 entries of a row"),
        ] {
            let error = serde_json::from_str::<Symmetric>(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert!(serde_json::from_str::<Symmetric>("[]").unwrap().is_empty());
    }
}
