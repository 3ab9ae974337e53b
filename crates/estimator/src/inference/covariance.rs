//! The covariance of the extended columns: a matrix, or for thousands of cells a factor.

use faer::Mat;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::factor::{Factor, FactorSpace};
use crate::symmetric::Symmetric;

/// ΨᵀΨ/n, or SᵀS/n of cluster sums S; not centred; columns × columns.
///
/// For people (JSON) it is a list of rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Covariance {
    /// All entries.
    Dense(Symmetric),
    /// Moments of features, and the columns as combinations of them.
    Factored(Box<Factor>),
}

impl Default for Covariance {
    fn default() -> Self {
        Self::Dense(Symmetric::default())
    }
}

impl Covariance {
    /// Number of extended columns.
    pub fn size(&self) -> usize {
        match self {
            Self::Dense(matrix) => matrix.size(),
            Self::Factored(factor) => factor.size(),
        }
    }

    /// Returns true if there is no column.
    pub fn is_empty(&self) -> bool {
        self.size() == 0
    }

    /// Work space for [`Covariance::quadratic`].
    pub fn space(&self) -> FactorSpace {
        match self {
            Self::Dense(_) => FactorSpace::default(),
            Self::Factored(factor) => FactorSpace::new(factor),
        }
    }

    /// l'Vl of a combination l: columns, ascending, with coefficients. Those beyond the last column are ignored.
    pub fn quadratic(&self, map: &[(usize, f64)], space: &mut FactorSpace) -> f64 {
        let matrix = match self {
            Self::Dense(matrix) => matrix,
            Self::Factored(factor) => return factor.quadratic(map, space),
        };
        let used = &map[..map.partition_point(|&(column, _)| column < matrix.size())];
        let row = |i: usize| used.iter().map(|&(j, l)| l * matrix.get(i, j)).sum::<f64>();
        used.iter().map(|&(i, l)| l * row(i)).sum()
    }

    /// The entry in row `i` and column `j`.
    ///
    /// # Panics
    /// Beyond the size.
    pub fn get(&self, i: usize, j: usize) -> f64 {
        match self {
            Self::Dense(matrix) => matrix.get(i, j),
            Self::Factored(factor) => {
                let mut spaces = [FactorSpace::new(factor), FactorSpace::new(factor)];
                factor.product((&[(i, 1.0)], &[(j, 1.0)]), &mut spaces)
            }
        }
    }

    /// The diagonal: the variance of each column.
    pub fn diagonal(&self) -> Vec<f64> {
        let mut space = self.space();
        (0..self.size()).map(|column| self.quadratic(&[(column, 1.0)], &mut space)).collect()
    }

    /// l'Vm between combinations of columns: each ascending, with coefficients. The diagonal has the bits of
    /// [`Covariance::quadratic`]. Columns beyond the last are ignored.
    pub fn between(&self, maps: &[Vec<(usize, f64)>]) -> Mat<f64> {
        let mut spaces = [self.space(), self.space()];
        let mut lower = Mat::zeros(maps.len(), maps.len());
        for (i, map) in maps.iter().enumerate() {
            lower[(i, i)] = self.quadratic(map, &mut spaces[0]);
            for (j, other) in maps[..i].iter().enumerate() {
                lower[(i, j)] = self.bilinear(map, other, &mut spaces);
                lower[(j, i)] = lower[(i, j)];
            }
        }
        lower
    }

    fn bilinear(&self, l: &[(usize, f64)], m: &[(usize, f64)], spaces: &mut [FactorSpace; 2]) -> f64 {
        let matrix = match self {
            Self::Dense(matrix) => matrix,
            Self::Factored(factor) => return factor.product((l, m), spaces),
        };
        let used = |map: &'_ [(usize, f64)]| map.partition_point(|&(column, _)| column < matrix.size());
        let (l, m) = (&l[..used(l)], &m[..used(m)]);
        let row = |i: usize| m.iter().map(|&(j, c)| c * matrix.get(i, j)).sum::<f64>();
        l.iter().map(|&(i, c)| c * row(i)).sum()
    }

    /// The entries between some columns.
    pub fn matrix(&self, columns: &[usize]) -> Mat<f64> {
        match self {
            Self::Dense(matrix) => {
                Mat::from_fn(columns.len(), columns.len(), |i, j| matrix.get(columns[i], columns[j]))
            }
            Self::Factored(factor) => factor.matrix(columns),
        }
    }

    /// An upper bound on the rank between some columns.
    pub fn rank_bound(&self, columns: &[usize]) -> u64 {
        match self {
            Self::Dense(_) => columns.len() as u64,
            Self::Factored(factor) => factor.rank_bound(columns),
        }
    }

    /// All entries.
    pub fn to_symmetric(&self) -> Symmetric {
        match self {
            Self::Dense(matrix) => matrix.clone(),
            Self::Factored(factor) => {
                let all: Vec<usize> = (0..factor.size()).collect();
                Symmetric::from_mat(&factor.matrix(&all))
            }
        }
    }
}

/// The entries, as a program reads them.
#[derive(Serialize, Deserialize)]
enum Parts {
    Dense(Symmetric),
    Factored(Box<Factor>),
}

impl Serialize for Covariance {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            _ if serializer.is_human_readable() => self.to_symmetric().serialize(serializer),
            Self::Dense(matrix) => Parts::Dense(matrix.clone()).serialize(serializer),
            Self::Factored(factor) => Parts::Factored(factor.clone()).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Covariance {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return Symmetric::deserialize(deserializer).map(Self::Dense);
        }
        match Parts::deserialize(deserializer)? {
            Parts::Dense(matrix) => Ok(Self::Dense(matrix)),
            Parts::Factored(factor) => {
                factor.check().map_err(D::Error::custom)?;
                Ok(Self::Factored(factor))
            }
        }
    }
}
