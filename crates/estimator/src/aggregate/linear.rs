//! Weighted means of cells with their influence as a linear map (FORMULAS §6).

use super::{AggregateError, AggregateInput};

/// Coefficients of an influence function on the extended columns [ones, w·1{G=g} per group, ψ per cell].
///
/// The value at unit i is `Σ_k cells_k ψ_ik + Σ_g shares_g (w_i 1{G_i=g} − p_g)`; the constants are in `ones`.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearMap {
    /// `−Σ_g shares_g p_g`, the coefficient of the column of ones.
    pub ones: f64,
    /// One coefficient per estimated group.
    pub shares: Vec<f64>,
    /// One coefficient per cell, in the order of the input's cells.
    pub cells: Vec<f64>,
}

impl LinearMap {
    /// All coefficients in column order, length 1 + groups + cells.
    pub fn dense(&self) -> Vec<f64> {
        std::iter::once(self.ones)
            .chain(self.shares.iter().copied())
            .chain(self.cells.iter().copied())
            .collect()
    }

    fn zero(groups: usize, cells: usize) -> Self {
        Self { ones: 0.0, shares: vec![0.0; groups], cells: vec![0.0; cells] }
    }

    fn add(&mut self, factor: f64, other: &Self) {
        let accumulate = |into: &mut [f64], from: &[f64]| {
            into.iter_mut().zip(from).for_each(|(a, b)| *a += factor * b);
        };
        accumulate(&mut self.shares, &other.shares);
        accumulate(&mut self.cells, &other.cells);
    }
}

/// A number and its influence function.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimand {
    /// The estimate; NaN where there is none.
    pub att: f64,
    /// Its influence function.
    pub map: LinearMap,
}

/// Forms means over sets of cells of one input.
pub(super) struct Weights<'a> {
    input: &'a AggregateInput<'a>,
    /// Position of each cell's group among the groups.
    group_of: Vec<usize>,
}

impl<'a> Weights<'a> {
    pub(super) fn new(input: &'a AggregateInput<'a>) -> Result<Self, AggregateError> {
        let cells = [input.group.len(), input.time.len(), input.att.len()];
        let (groups, shares) = (input.groups.len(), input.shares.len());
        if cells.iter().any(|len| *len != cells[0]) || groups != shares {
            return Err(AggregateError::Shape { cells, groups, shares });
        }
        let position = |group: &f64| {
            let found = input.groups.iter().position(|g| g == group);
            found.ok_or(AggregateError::UnknownGroup { group: *group, groups })
        };
        let group_of = input.group.iter().map(position).collect::<Result<_, _>>()?;
        Ok(Self { input, group_of })
    }

    /// Σ p_k ATT_k / Σ p_k with the influence of the estimated p (`wif`); a group counts once per cell.
    ///
    /// Collected by group, `wif` is `Σ_g (w_i 1{G_i=g} − p_g) Σ_{k of g} (ATT_k − θ)/S`.
    pub(super) fn by_share(&self, cells: &[usize]) -> Estimand {
        let share = |k: usize| self.input.shares[self.group_of[k]];
        let total: f64 = cells.iter().map(|&k| share(k)).sum();
        let att = cells.iter().map(|&k| share(k) / total * self.input.att[k]).sum::<f64>();
        let mut map = self.zero();
        if !(total > 0.0 && att.is_finite()) {
            return Estimand { att: f64::NAN, map };
        }
        for &k in cells {
            map.cells[k] += share(k) / total;
            map.shares[self.group_of[k]] += (self.input.att[k] - att) / total;
        }
        self.centred(att, map)
    }

    /// The plain mean of cells, without `wif`.
    pub(super) fn plain(&self, cells: &[usize]) -> Estimand {
        let weight = 1.0 / cells.len() as f64;
        let att = cells.iter().map(|&k| self.input.att[k]).sum::<f64>() / cells.len() as f64;
        let mut map = self.zero();
        cells.iter().for_each(|&k| map.cells[k] += weight);
        Estimand { att, map }
    }

    /// Σ p_g θ_g / Σ p_g over groups, each once, with `wif`; `groups` are positions, one per estimand.
    pub(super) fn over_groups(&self, groups: &[usize], by: &[Estimand]) -> Estimand {
        let shares = self.input.shares;
        let total: f64 = groups.iter().map(|&g| shares[g]).sum();
        let att = groups.iter().zip(by).map(|(&g, theta)| shares[g] / total * theta.att).sum::<f64>();
        let mut map = self.zero();
        if !(total > 0.0 && att.is_finite()) {
            return Estimand { att: f64::NAN, map };
        }
        for (&g, theta) in groups.iter().zip(by) {
            map.add(shares[g] / total, &theta.map);
            map.shares[g] += (theta.att - att) / total;
        }
        self.centred(att, map)
    }

    /// The plain mean of estimands, influence included; NaN and a zero map if there are none.
    pub(super) fn mean_of<'e>(&self, by: impl Iterator<Item = &'e Estimand>) -> Estimand {
        let by: Vec<&Estimand> = by.collect();
        let mut map = self.zero();
        if by.is_empty() {
            return Estimand { att: f64::NAN, map };
        }
        let att = by.iter().map(|theta| theta.att).sum::<f64>() / by.len() as f64;
        by.iter().for_each(|theta| map.add(1.0 / by.len() as f64, &theta.map));
        self.centred(att, map)
    }

    fn zero(&self) -> LinearMap {
        LinearMap::zero(self.input.groups.len(), self.group_of.len())
    }

    fn centred(&self, att: f64, mut map: LinearMap) -> Estimand {
        map.ones = -map.shares.iter().zip(self.input.shares).map(|(c, p)| c * p).sum::<f64>();
        Estimand { att, map }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn input<'a>(att: &'a [f64], shares: &'a [f64]) -> AggregateInput<'a> {
        AggregateInput {
            group: &[2.0, 2.0, 3.0, 3.0],
            time: &[2.0, 3.0, 3.0, 4.0],
            att,
            groups: &[2.0, 3.0],
            shares,
            periods: &[1.0, 2.0, 3.0, 4.0],
        }
    }

    /// §6 term by term: the wif of unit with extended row (1, z) where z_g = w_i 1{G_i=g}.
    fn wif(att: &[f64], p: &[f64], theta_cells: &[usize], z: &[f64]) -> f64 {
        let group = [0, 0, 1, 1];
        let total: f64 = theta_cells.iter().map(|&k| p[group[k]]).sum();
        let c = |k: usize| z[group[k]] - p[group[k]];
        let all: f64 = theta_cells.iter().map(|&k| c(k)).sum();
        theta_cells.iter().map(|&k| att[k] * (c(k) / total - all * p[group[k]] / (total * total))).sum()
    }

    #[test]
    fn equal_effects_have_no_weight_influence() {
        let (att, shares) = ([0.5; 4], [0.2, 0.3]);
        let input = input(&att, &shares);
        let theta = Weights::new(&input).unwrap().by_share(&[0, 1, 2]);
        assert!((theta.att - 0.5).abs() < 1e-15);
        assert!(theta.map.shares.iter().chain([&theta.map.ones]).all(|c| c.abs() < 1e-15));
    }

    #[test]
    fn zero_shares_give_no_number() {
        let (att, shares) = ([0.5; 4], [0.0, 0.0]);
        let input = input(&att, &shares);
        let theta = Weights::new(&input).unwrap().by_share(&[0, 1]);
        assert!(theta.att.is_nan() && theta.map.dense() == [0.0; 7]);
    }

    proptest! {
        #[test]
        fn collected_weight_influence_is_the_formula(
            att in proptest::collection::vec(-5.0..5.0f64, 4),
            p in proptest::collection::vec(0.05..1.0f64, 2),
            z in proptest::collection::vec(0.0..3.0f64, 2),
            mask in 1usize..16,
        ) {
            let cells: Vec<usize> = (0..4).filter(|k| mask >> k & 1 == 1).collect();
            let input = input(&att, &p);
            let theta = Weights::new(&input).unwrap().by_share(&cells);
            let collected = theta.map.ones + z[0] * theta.map.shares[0] + z[1] * theta.map.shares[1];
            let expected = wif(&att, &p, &cells, &z);
            prop_assert!((collected - expected).abs() < 1e-10 * (1.0 + expected.abs() / p[0].min(p[1])));
            prop_assert!((theta.map.cells.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }
}
