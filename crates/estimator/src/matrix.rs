//! A dense matrix as it is stored: rows, columns, values row by row. For fields with `#[serde(with = "crate::matrix")]`.

use faer::Mat;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) fn serialize<S: Serializer>(matrix: &Mat<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    let (rows, columns) = (matrix.nrows(), matrix.ncols());
    let values: Vec<f64> = (0..rows * columns).map(|i| matrix[(i / columns, i % columns)]).collect();
    (rows, columns, values).serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Mat<f64>, D::Error> {
    let (rows, columns, values) = <(usize, usize, Vec<f64>)>::deserialize(deserializer)?;
    if rows.checked_mul(columns) != Some(values.len()) {
        return Err(D::Error::custom("a matrix of another size"));
    }
    Ok(Mat::from_fn(rows, columns, |i, j| values[i * columns + j]))
}
