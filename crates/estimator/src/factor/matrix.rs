//! V between some of the extended columns, column by column.

use std::ops::Range;

use faer::Mat;

use super::covariance::{Factor, FactorSpace};

/// Coefficients of some extended columns by group.
#[derive(Debug)]
pub struct Entered<'a> {
    columns: &'a [usize],
    /// By group: the places of the columns that it enters, ascending, each with the end of its entries.
    places: Vec<Vec<(usize, usize)>>,
    /// By group: positions of features with their coefficients, one column after the other.
    entries: Vec<Vec<(u32, f64)>>,
}

impl<'a> Entered<'a> {
    /// Gathers the coefficients of `columns`.
    pub fn new(factor: &Factor, columns: &'a [usize]) -> Self {
        let groups = factor.groups.len();
        let mut out = Self { columns, places: vec![Vec::new(); groups], entries: vec![Vec::new(); groups] };
        for (place, &column) in columns.iter().enumerate() {
            factor.visit_terms(column, |group, position, coefficient| {
                let entries = &mut out.entries[group];
                entries.push((position as u32, coefficient));
                match out.places[group].last_mut() {
                    Some(last) if last.0 == place => last.1 = entries.len(),
                    _ => out.places[group].push((place, entries.len())),
                }
            });
        }
        out
    }

    /// Returns the upper triangle's entries of some columns of V: rows 0 to j of column j, one column after the other.
    pub fn columns(&self, factor: &Factor, range: Range<usize>) -> Vec<f64> {
        let mut space = FactorSpace::new(factor);
        let mut products = FactorSpace::new(factor);
        let mut out = Vec::new();
        for place in range {
            let first = out.len();
            out.resize(first + place + 1, 0.0);
            let variance = factor.quadratic(&[(self.columns[place], 1.0)], &mut space);
            factor.moments_with(self.columns[place], &mut space, &mut products);
            self.add_products(&products, &mut out[first..]);
            out[first..].iter_mut().for_each(|entry| *entry /= factor.divisor);
            out[first + place] = variance;
        }
        out
    }

    /// Adds the products of all columns with the one whose moments with the features are given.
    fn add_products(&self, products: &FactorSpace, out: &mut [f64]) {
        for &group in products.groups() {
            let own = products.of(group);
            let mut first = 0;
            for &(place, end) in &self.places[group] {
                if place >= out.len() {
                    break;
                }
                let entries = &self.entries[group][first..end];
                out[place] += entries.iter().map(|&(at, c)| c * own[at as usize]).sum::<f64>();
                first = end;
            }
        }
    }
}

/// Returns the symmetric matrix of columns of its upper triangle, which come in several parts.
pub fn symmetric_of(size: usize, parts: &[Vec<f64>]) -> Mat<f64> {
    let mut out = Mat::zeros(size, size);
    let mut entries = parts.iter().flatten();
    for j in 0..size {
        for (i, entry) in (0..=j).zip(&mut entries) {
            out[(i, j)] = *entry;
            out[(j, i)] = *entry;
        }
    }
    out
}
