//! The factor: moments of the features by group, and the extended columns as combinations of features.

use std::ops::Range;

use faer::Mat;
use serde::{Deserialize, Serialize};

use super::layout::FeatureLayout;
use super::matrix::{Entered, symmetric_of};
use crate::symmetric::Symmetric;

/// Moments of one group of units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupMoments {
    /// Index of its layout.
    pub layout: usize,
    /// Number of its units, or clusters: no less than the rank of its moments.
    pub units: u64,
    /// By feature: the constant that is subtracted from its change.
    pub pivots: Vec<f64>,
    /// Products of the changes less the pivots, features × features.
    pub moments: Symmetric,
}

impl GroupMoments {
    /// Moments of no unit.
    pub fn empty(layout: usize, features: usize) -> Self {
        let moments = Symmetric::from_fn(features, |_, _| 0.0);
        Self { layout, units: 0, pivots: vec![0.0; features], moments }
    }
}

/// Moments between two groups, over the clusters that have units of both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Index of a group.
    pub a: usize,
    /// Index of the other one, larger.
    pub b: usize,
    /// Features of `a` × features of `b`, row-major.
    pub moments: Vec<f64>,
}

/// Equal coefficients of the units of several groups in one extended column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Term {
    /// Index of the set of groups.
    pub set: u32,
    /// Features, ascending, each with its coefficient.
    pub coefficients: Vec<(u32, f64)>,
}

/// The covariance ΨᵀΨ/n of the extended columns as a factor: Ψ is linear in features, whose moments are known by group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Factor {
    /// Distinct layouts of the groups.
    pub layouts: Vec<FeatureLayout>,
    /// Groups of units.
    pub groups: Vec<GroupMoments>,
    /// Moments between groups; none without clusters.
    pub links: Vec<Link>,
    /// Distinct sets of groups, as ascending ranges.
    pub sets: Vec<Vec<Range<u32>>>,
    /// By extended column: its terms. The sets of two terms of a column may overlap.
    pub columns: Vec<Vec<Term>>,
    /// The moments are divided by it.
    pub divisor: f64,
    /// By extended column: its variance, where they have been computed; else empty.
    #[serde(skip)]
    pub variances: Vec<f64>,
}

/// A combination of extended columns: columns with coefficients.
type Combination<'a> = &'a [(usize, f64)];

/// Work space: coefficients of all features of all groups.
#[derive(Clone, Debug, Default)]
pub struct FactorSpace {
    values: Vec<f64>,
    /// By group: its first feature in `values`; the total at the end.
    first: Vec<usize>,
    touched: Vec<bool>,
    /// Touched groups, in the order of their first touch; sorted before they are used.
    groups: Vec<usize>,
}

impl FactorSpace {
    /// Space for a factor.
    pub fn new(factor: &Factor) -> Self {
        let mut first = vec![0];
        for group in &factor.groups {
            first.push(first.last().copied().unwrap_or(0) + factor.layouts[group.layout].len());
        }
        let all = first.last().copied().unwrap_or(0);
        let touched = vec![false; factor.groups.len()];
        Self { values: vec![0.0; all], first, touched, groups: Vec::new() }
    }

    fn clear(&mut self) {
        for group in self.groups.drain(..) {
            self.values[self.first[group]..self.first[group + 1]].fill(0.0);
            self.touched[group] = false;
        }
    }

    /// The groups that are touched, ascending.
    pub(super) fn groups(&self) -> &[usize] {
        &self.groups
    }

    fn touch(&mut self, group: usize) -> &mut [f64] {
        if !self.touched[group] {
            self.touched[group] = true;
            self.groups.push(group);
        }
        &mut self.values[self.first[group]..self.first[group + 1]]
    }

    pub(super) fn of(&self, group: usize) -> &[f64] {
        &self.values[self.first[group]..self.first[group + 1]]
    }
}

impl Factor {
    /// Number of extended columns.
    pub fn size(&self) -> usize {
        self.columns.len()
    }

    fn layout(&self, group: usize) -> &FeatureLayout {
        &self.layouts[self.groups[group].layout]
    }

    /// Calls `each(group, position of the feature, coefficient)` for everything that an extended column consists of.
    pub fn visit_terms(&self, column: usize, mut each: impl FnMut(usize, usize, f64)) {
        let mut positions: Vec<Option<usize>> = Vec::new();
        for term in &self.columns[column] {
            let mut known = None;
            for group in self.sets[term.set as usize].iter().flat_map(|range| range.start..range.end) {
                let group = group as usize;
                let index = self.groups[group].layout;
                if known.replace(index) != Some(index) {
                    let layout = &self.layouts[index];
                    positions.clear();
                    positions.extend(term.coefficients.iter().map(|(id, _)| layout.position(*id)));
                }
                for (position, (_, coefficient)) in positions.iter().zip(&term.coefficients) {
                    if let Some(position) = position {
                        each(group, *position, *coefficient);
                    }
                }
            }
        }
    }

    /// Gathers the coefficients of the changes in a combination of extended columns.
    fn gather(&self, map: &[(usize, f64)], space: &mut FactorSpace) {
        space.clear();
        let FactorSpace { values, first, touched, groups } = space;
        for &(column, weight) in map.iter().filter(|(column, _)| *column < self.size()) {
            self.visit_terms(column, |group, position, coefficient| {
                if !touched[group] {
                    touched[group] = true;
                    groups.push(group);
                }
                values[first[group] + position] += weight * coefficient;
            });
        }
        groups.sort_unstable();
        for &group in groups.iter() {
            let own = &mut values[first[group]..first[group + 1]];
            self.layout(group).to_changes(&self.groups[group].pivots, own);
        }
    }

    /// l'Vl of a combination l of extended columns: columns with coefficients. Columns beyond the last are ignored.
    pub fn quadratic(&self, map: &[(usize, f64)], space: &mut FactorSpace) -> f64 {
        if let ([(column, weight)], Some(variance)) = (map, map.first().and_then(|m| self.variances.get(m.0)))
        {
            debug_assert!(*column < self.size());
            return weight * weight * variance;
        }
        self.gather(map, space);
        let own: f64 = space.groups.iter().map(|&g| quadratic(&self.groups[g].moments, space.of(g))).sum();
        let between = self.links.iter().filter(|link| space.touched[link.a] && space.touched[link.b]);
        let between: f64 = between.map(|link| bilinear(link, space.of(link.a), space.of(link.b))).sum();
        (own + 2.0 * between) / self.divisor
    }

    /// Computes the moments of an extended column with every feature of the groups that it has to do with: `out` has what the
    /// coefficients of another column multiply.
    pub(super) fn moments_with(&self, column: usize, space: &mut FactorSpace, out: &mut FactorSpace) {
        self.gather(&[(column, 1.0)], space);
        out.clear();
        for &group in space.groups() {
            times(&self.groups[group].moments, space.of(group), out.touch(group));
        }
        for link in &self.links {
            if space.touched[link.b] {
                add_times(link, space.of(link.b), out.touch(link.a));
            }
            if space.touched[link.a] {
                add_times_transposed(link, space.of(link.a), out.touch(link.b));
            }
        }
        out.groups.sort_unstable();
        for at in 0..out.groups.len() {
            let group = out.groups[at];
            let own = &mut out.values[out.first[group]..out.first[group + 1]];
            self.layout(group).of_features(&self.groups[group].pivots, own);
        }
    }

    /// a'Vb of two combinations of extended columns.
    pub fn product(
        &self,
        (a, b): (Combination<'_>, Combination<'_>),
        [left, right]: &mut [FactorSpace; 2],
    ) -> f64 {
        self.gather(a, left);
        self.gather(b, right);
        let own = left.groups.iter().filter(|&&group| right.touched[group]);
        let own: f64 = own.map(|&g| product(&self.groups[g].moments, left.of(g), right.of(g))).sum();
        let across = |link: &Link| {
            let one = |x: &FactorSpace, y: &FactorSpace| match x.touched[link.a] && y.touched[link.b] {
                true => bilinear(link, x.of(link.a), y.of(link.b)),
                false => 0.0,
            };
            one(left, right) + one(right, left)
        };
        (own + self.links.iter().map(across).sum::<f64>()) / self.divisor
    }

    /// V between some extended columns. The diagonal has the bits of [`Factor::quadratic`].
    pub fn matrix(&self, columns: &[usize]) -> Mat<f64> {
        let entered = Entered::new(self, columns);
        let parts = vec![entered.columns(self, 0..columns.len())];
        symmetric_of(columns.len(), &parts)
    }

    /// An upper bound on the rank of V between some extended columns: a group adds no more than its units, its features and
    /// the columns that it enters.
    pub fn rank_bound(&self, columns: &[usize]) -> u64 {
        let mut entered = vec![0u64; self.groups.len()];
        let mut last = vec![usize::MAX; self.groups.len()];
        for (at, &column) in columns.iter().enumerate() {
            self.visit_terms(column, |group, _, _| {
                entered[group] += u64::from(last[group] != at);
                last[group] = at;
            });
        }
        let of = |(group, entered): (usize, &u64)| {
            (*entered).min(self.groups[group].units).min(self.layout(group).len() as u64)
        };
        entered.iter().enumerate().map(of).sum::<u64>().min(columns.len() as u64)
    }

    /// Checks that all parts fit together, as those of a file may not.
    ///
    /// # Errors
    /// What does not fit, as a phrase.
    pub fn check(&self) -> Result<(), String> {
        let layouts = self.layouts.iter().all(FeatureLayout::is_sound);
        let group = |group: &GroupMoments| {
            let count = self.layouts.get(group.layout).map(FeatureLayout::len);
            count == Some(group.pivots.len()) && count == Some(group.moments.size())
        };
        let groups = self.groups.len();
        let features = |index: usize| self.groups.get(index).map_or(0, |own| own.pivots.len());
        let link = |link: &Link| {
            link.a < link.b && link.b < groups && link.moments.len() == features(link.a) * features(link.b)
        };
        let set = |set: &Vec<Range<u32>>| {
            set.iter().all(|range| range.start <= range.end && range.end as usize <= groups)
        };
        let term = |term: &Term| (term.set as usize) < self.sets.len();
        let checks = [
            (layouts, "features that refer to later ones"),
            (self.groups.iter().all(group), "a group's moments of another size than its features"),
            (self.links.iter().all(link), "moments between groups of another size"),
            (self.sets.iter().all(set), "a set of groups that are not there"),
            (self.columns.iter().flatten().all(term), "a column of a set that is not there"),
            (self.divisor.is_finite() && self.divisor > 0.0, "a divisor that is not positive"),
        ];
        match checks.iter().find(|(holds, _)| !holds) {
            Some((_, reason)) => Err((*reason).to_owned()),
            None => Ok(()),
        }
    }
}

/// v'Mv; most entries of v are zero.
fn quadratic(moments: &Symmetric, v: &[f64]) -> f64 {
    let triangle = moments.triangle();
    let mut sum = 0.0;
    for (i, x) in v.iter().enumerate().filter(|(_, x)| **x != 0.0) {
        let row = &triangle[i * (i + 1) / 2..i * (i + 1) / 2 + i + 1];
        let before: f64 = row[..i].iter().zip(v).map(|(m, y)| m * y).sum();
        sum += x * (2.0 * before + row[i] * x);
    }
    sum
}

/// out = Mv; most entries of v are zero.
fn times(moments: &Symmetric, v: &[f64], out: &mut [f64]) {
    for (i, x) in v.iter().enumerate().filter(|(_, x)| **x != 0.0) {
        out.iter_mut().enumerate().for_each(|(j, sum)| *sum += moments.get(i, j) * x);
    }
}

/// Adds the moments of group `a` with a combination v in group `b`.
fn add_times(link: &Link, v: &[f64], out: &mut [f64]) {
    let rows = link.moments.chunks_exact(v.len().max(1));
    for (sum, row) in out.iter_mut().zip(rows) {
        *sum += row.iter().zip(v).map(|(m, x)| m * x).sum::<f64>();
    }
}

/// Adds the moments of group `b` with a combination v in group `a`.
fn add_times_transposed(link: &Link, v: &[f64], out: &mut [f64]) {
    let rows = link.moments.chunks_exact(out.len().max(1));
    for (x, row) in v.iter().zip(rows).filter(|(x, _)| **x != 0.0) {
        out.iter_mut().zip(row).for_each(|(sum, m)| *sum += m * x);
    }
}

/// a'Mb.
fn product(moments: &Symmetric, a: &[f64], b: &[f64]) -> f64 {
    let mut sum = 0.0;
    for (i, x) in a.iter().enumerate().filter(|(_, x)| **x != 0.0) {
        sum += x * b.iter().enumerate().map(|(j, y)| moments.get(i, j) * y).sum::<f64>();
    }
    sum
}

fn bilinear(link: &Link, a: &[f64], b: &[f64]) -> f64 {
    let rows = link.moments.chunks_exact(b.len().max(1));
    a.iter()
        .zip(rows)
        .filter(|(x, _)| **x != 0.0)
        .map(|(x, row)| x * row.iter().zip(b).map(|(m, y)| m * y).sum::<f64>())
        .sum()
}
