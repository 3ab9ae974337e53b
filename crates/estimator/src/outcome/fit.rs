//! Weighted least squares of every period's outcome in a control set, with R's guard (FORMULAS §2.4.3).

use faer::Mat;
use serde::{Deserialize, Serialize};

use super::{GramPartial, GramSums};
use crate::inference::rcond_1norm;
use crate::linear::{self, Standardization};

/// R's `.Machine$double.eps`.
const EPS: f64 = f64::EPSILON;

/// Coefficients of all periods on the controls of one regression.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OutcomeFit {
    /// (XᵀWX)⁻¹ over the controls, on the standardised scale.
    #[serde(with = "crate::matrix")]
    pub inverse: Mat<f64>,
    /// `k × periods`: coefficients of each period's outcome (relative to the first period's).
    #[serde(with = "crate::matrix")]
    pub beta: Mat<f64>,
}

/// Sum of the keys of several strata in one frame; `keys` are their positions in the partial.
pub fn group_sums(gram: &GramPartial, keys: impl IntoIterator<Item = usize>) -> Option<GramSums> {
    gram.sum_of(keys)
}

/// Fits a regression on the columns that are `kept` (`None`: all); others have coefficient 0.
///
/// # Errors
/// The reason as a phrase: a singular design, by R's `rcond(X'X)` on the raw scale below machine epsilon, or by a pivot of
/// the scaled system that vanishes.
pub fn fit_outcome(
    strata: &GramSums,
    regressors: usize,
    standardization: &Standardization,
    kept: Option<&[bool]>,
) -> Result<OutcomeFit, &'static str> {
    let (n, k) = (strata.shape.columns, regressors);
    let unweighted = linear::leading(&strata.unweighted, n, k);
    let weighted = linear::leading(&strata.weighted, n, k);
    let columns: Vec<usize> = (0..k).filter(|&j| kept.is_none_or(|kept| kept[j])).collect();
    let scales = standardization.select(&columns);
    for gram in [&unweighted, &weighted] {
        let gram = linear::select(gram, k, &columns);
        if rcond_1norm(&scales.raw_gram(&gram, columns.len())) < EPS {
            return Err("singular covariates among the controls");
        }
    }
    linear::inverse_of_kept_columns(&unweighted, k, kept).ok_or("collinear covariates among the controls")?;
    let inverse = linear::inverse_of_kept_columns(&weighted, k, kept)
        .ok_or("collinear covariates among the controls")?;
    let periods = strata.shape.periods;
    let outcomes = Mat::from_fn(k, periods, |j, t| strata.outcomes[j * periods + t]);
    let beta = &inverse * outcomes;
    Ok(OutcomeFit { inverse, beta })
}

impl OutcomeFit {
    /// Coefficients of Y_time − Y_base.
    pub fn difference(&self, time: usize, base: usize) -> Vec<f64> {
        (0..self.beta.nrows()).map(|j| self.beta[(j, time)] - self.beta[(j, base)]).collect()
    }
}
