//! Partials: mergeable results of tasks, with a versioned encoding and a checksum.

mod encoding;

use stagger_estimator::diagnostics::OverlapPartial;
use stagger_estimator::factor::FeatureSums;
use stagger_estimator::influence::{ClusterPartial, InfluencePartial};
use stagger_estimator::moments::MomentsPartial;
use stagger_estimator::outcome::GramPartial;
use stagger_estimator::propensity::{PropensityPartial, StartRows};
use stagger_model::error::{Result, StaggerError};
use stagger_model::reduction::Merge;
use stagger_panel::survey::Counts;
use xxhash_rust::xxh3::xxh3_64;

use self::encoding::{Reader, Writer, damaged};

/// Sums of the `Influence` stage: over units, and by cluster for each cluster variable.
#[derive(Clone, Debug, PartialEq)]
pub struct InfluenceSums {
    /// ΨᵀΨ and the bootstrap draws, over units (FORMULAS §4, §5).
    pub units: InfluencePartial,
    /// Sums by cluster, one partial for each cluster variable.
    pub clusters: Vec<ClusterPartial>,
}

/// Sums of the `Features` stage.
#[derive(Clone, Debug, PartialEq)]
pub struct FeaturePartial {
    /// Cross products of design and outcomes; `None` in the slices of clusters after the first.
    pub gram: Option<GramPartial>,
    /// Moments, totals and draws of the features, over units.
    pub sums: FeatureSums,
    /// By group of units: sums of the features by cluster; empty without clusters.
    pub clusters: Vec<ClusterPartial>,
}

impl FeaturePartial {
    fn merge(&mut self, other: &Self) {
        match (&mut self.gram, &other.gram) {
            (Some(own), Some(other)) => own.merge(other),
            (own, other) => debug_assert_eq!(own.is_some(), other.is_some(), "partials of two slices"),
        }
        self.sums.merge(&other.sums);
        self.clusters.iter_mut().zip(&other.clusters).for_each(|(a, b)| a.merge(b));
    }
}

/// Sums of the `Starts` stage.
#[derive(Clone, Debug, PartialEq)]
pub struct StartPartial {
    /// Cross products of design and outcomes.
    pub gram: GramPartial,
    /// Rows of a sample, in the order of shards.
    pub rows: StartRows,
}

/// Sums of the `Closing` stage.
#[derive(Clone, Debug, PartialEq)]
pub struct ClosingPartial {
    /// Those of a round, with third derivatives.
    pub logits: PropensityPartial,
    /// Odds-weighted cross products, with their derivatives.
    pub moments: MomentsPartial,
}

/// Sums of the `Omega` stage: products of [1, estimates] of every cell that combines several estimates (FORMULAS §7.3).
#[derive(Clone, Debug, PartialEq)]
pub struct OmegaSums {
    /// Number of estimates in each cell.
    pub sizes: Vec<usize>,
    /// By cell: the sums of the k estimates' influence values, then their k × k products, row-major.
    pub sums: Vec<f64>,
}

impl OmegaSums {
    /// Returns zero sums for cells with these estimates.
    pub fn new(cells: &[Vec<usize>]) -> Self {
        let sizes: Vec<usize> = cells.iter().map(Vec::len).collect();
        let sums = vec![0.0; sizes.iter().map(|k| k + k * k).sum()];
        Self { sizes, sums }
    }

    fn start(&self, cell: usize) -> usize {
        self.sizes[..cell].iter().map(|k| k + k * k).sum()
    }

    /// Adds `value` to the sum of an estimate's influence values.
    pub fn add_sum(&mut self, cell: usize, estimate: usize, value: f64) {
        let at = self.start(cell) + estimate;
        self.sums[at] += value;
    }

    /// Adds `value` to the sum of the products of estimates `a` and `b`.
    pub fn add_product(&mut self, cell: usize, a: usize, b: usize, value: f64) {
        let size = self.sizes[cell];
        let at = self.start(cell) + size + a * size + b;
        self.sums[at] += value;
    }

    /// Returns Ω of a cell, k × k, row-major: the covariance of its estimates' influence values over `n` units,
    /// centred, with n − 1 (FORMULAS §7.3).
    pub fn covariance(&self, cell: usize, n: f64) -> Vec<f64> {
        let (start, size) = (self.start(cell), self.sizes[cell]);
        let (sums, products) = self.sums[start..start + size + size * size].split_at(size);
        let entry =
            |(at, product): (usize, &f64)| (product - sums[at / size] * sums[at % size] / n) / (n - 1.0);
        products.iter().enumerate().map(entry).collect()
    }

    /// Adds the sums of another part of the data.
    pub fn merge(&mut self, other: &Self) {
        self.sums.iter_mut().zip(&other.sums).for_each(|(a, b)| *a += b);
    }
}

/// Result of a task for a subtree of shards; one variant for each stage.
#[derive(Clone, Debug, PartialEq)]
pub enum Partial {
    /// Cross products of design and outcomes, by stratum and frame.
    Gram(GramPartial),
    /// The same with rows of a sample.
    Starts(StartPartial),
    /// The same with the moments and draws of the features.
    Features(FeaturePartial),
    /// Gradient, Hessian and deviance of one round of all active logits (FORMULAS §3.1).
    Propensity(PropensityPartial),
    /// A round of the logits and the moments at its coefficients.
    Closing(ClosingPartial),
    /// Odds-weighted cross products, by side of a comparison.
    Moments(MomentsPartial),
    /// Sums over influence values.
    Influence(InfluenceSums),
    /// Sums for the covariances of estimates by control cohort.
    Omega(OmegaSums),
    /// Distribution of propensity scores, by comparison.
    Overlap(OverlapPartial),
    /// Counts over the panel, taken before there is a plan.
    Survey(Counts),
}

impl Merge for Partial {
    /// Adds the partial of the sibling subtree. Both belong to one stage, so that their shapes agree.
    fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Partial::Gram(a), Partial::Gram(b)) => a.merge(b),
            (Partial::Features(a), Partial::Features(b)) => a.merge(b),
            (Partial::Propensity(a), Partial::Propensity(b)) => a.merge(b),
            (Partial::Moments(a), Partial::Moments(b)) => a.merge(b),
            (Partial::Starts(a), Partial::Starts(b)) => {
                a.gram.merge(&b.gram);
                a.rows.merge(&b.rows);
            }
            (Partial::Closing(a), Partial::Closing(b)) => {
                a.logits.merge(&b.logits);
                a.moments.merge(&b.moments);
            }
            (Partial::Omega(a), Partial::Omega(b)) => a.merge(b),
            (Partial::Overlap(a), Partial::Overlap(b)) => a.merge(b),
            (Partial::Survey(a), Partial::Survey(b)) => Merge::merge(a, b),
            (Partial::Influence(a), Partial::Influence(b)) => {
                a.units.merge(&b.units);
                a.clusters.iter_mut().zip(&b.clusters).for_each(|(a, b)| a.merge(b));
            }
            _ => debug_assert!(false, "partials of two stages"),
        }
    }
}

impl Partial {
    /// Encodes the partial: magic, version, kind, fields as little-endian 64-bit words (rows of a sample 32), XXH3-64 of all bytes
    /// before.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer(Vec::new());
        out.0.extend_from_slice(MAGIC);
        out.count(VERSION);
        self.encode_sums(&mut out);
        let sum = xxh3_64(&out.0);
        out.0.extend_from_slice(&sum.to_le_bytes());
        out.0
    }

    fn encode_sums(&self, out: &mut Writer) {
        match self {
            Partial::Gram(p) => {
                out.count(0);
                out.gram(p);
            }
            Partial::Features(p) => {
                out.count(7);
                out.features(p);
            }
            Partial::Propensity(p) => {
                out.count(1);
                out.propensity(p);
            }
            Partial::Moments(p) => {
                out.count(2);
                out.moments(p);
            }
            Partial::Starts(p) => {
                out.count(8);
                out.gram(&p.gram);
                out.start_rows(&p.rows);
            }
            Partial::Closing(p) => {
                out.count(9);
                out.propensity(&p.logits);
                out.moments(&p.moments);
            }
            Partial::Influence(p) => {
                out.count(3);
                out.count(p.units.columns);
                out.count(p.units.draws);
                out.floats(&p.units.cross);
                out.floats(&p.units.bit_sums);
                out.count(p.clusters.len());
                p.clusters.iter().for_each(|clusters| out.clusters(clusters));
            }
            Partial::Omega(p) => {
                out.count(4);
                let sizes: Vec<u64> = p.sizes.iter().map(|&size| size as u64).collect();
                out.words(&sizes);
                out.floats(&p.sums);
            }
            Partial::Overlap(p) => {
                out.count(5);
                out.floats(&p.sums);
                out.floats(&p.extremes);
            }
            Partial::Survey(counts) => {
                out.count(6);
                // Counts are integers and a few floats: their serialization can't fail.
                out.0.extend_from_slice(&postcard::to_stdvec(counts).unwrap_or_default());
            }
        }
    }

    /// Decodes a partial.
    ///
    /// # Errors
    /// Bytes other than those that [`Partial::encode`] of this version writes.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let (body, sum) = bytes.split_last_chunk::<8>().ok_or_else(|| damaged("too short"))?;
        if xxh3_64(body) != u64::from_le_bytes(*sum) {
            return Err(damaged("the checksum does not match"));
        }
        let mut reader = Reader(body.strip_prefix(MAGIC).ok_or_else(|| damaged("no partial"))?);
        let version = reader.count()?;
        if version != VERSION {
            return Err(StaggerError::failed(format!(
                "partial has version {version}, this program reads {VERSION}"
            ))
            .with_hint("use one version of the program for the whole run"));
        }
        let partial = match reader.count()? {
            0 => Partial::Gram(reader.gram()?),
            7 => Partial::Features(reader.features()?),
            1 => Partial::Propensity(reader.propensity()?),
            2 => Partial::Moments(reader.moments()?),
            8 => Partial::Starts(StartPartial { gram: reader.gram()?, rows: reader.start_rows()? }),
            9 => {
                Partial::Closing(ClosingPartial { logits: reader.propensity()?, moments: reader.moments()? })
            }
            3 => Partial::Influence(reader.influence()?),
            4 => Partial::Omega(reader.omega()?),
            6 => {
                let (counts, rest) =
                    postcard::take_from_bytes(reader.0).map_err(|e| damaged(&e.to_string()))?;
                reader.0 = rest;
                Partial::Survey(counts)
            }
            5 => Partial::Overlap(OverlapPartial { sums: reader.floats()?, extremes: reader.floats()? }),
            kind => return Err(damaged(&format!("unknown kind {kind}"))),
        };
        if reader.0.is_empty() { Ok(partial) } else { Err(damaged("bytes after the end")) }
    }
}

const MAGIC: &[u8] = b"stagger partial\n";
const VERSION: usize = 3;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stagger_estimator::factor::GroupSums;
    use stagger_estimator::moments::MomentsShape;
    use stagger_estimator::outcome::GramShape;
    use stagger_estimator::symmetric::Symmetric;

    use super::*;

    fn group(values: &[f64]) -> GroupSums {
        let n = values.len();
        GroupSums {
            units: u64::from(n > 0),
            pivots: values.to_vec(),
            bases: vec![0; n],
            moments: Symmetric::from_fn(n, |i, j| (i + j) as f64),
            totals: values.to_vec(),
            bit_sums: values.repeat(3),
        }
    }

    fn gram(values: &[f64]) -> GramPartial {
        GramPartial { shape: GramShape { columns: 2, periods: 3, weighted: true }, sums: values.to_vec() }
    }

    fn logits(values: &[f64]) -> PropensityPartial {
        PropensityPartial { regressors: 2, curved: true, sums: values.to_vec(), extremes: values.to_vec() }
    }

    fn moments(values: &[f64]) -> MomentsPartial {
        let shape = MomentsShape { columns: 2, regressors: 2, periods: 1, sloped: true };
        MomentsPartial { shape, sums: values.to_vec(), extremes: values.to_vec() }
    }

    fn sample(values: &[f64], keys: &[u64]) -> Vec<Partial> {
        let n = values.len();
        vec![
            Partial::Gram(gram(values)),
            Partial::Propensity(logits(values)),
            Partial::Moments(moments(values)),
            Partial::Closing(ClosingPartial { logits: logits(values), moments: moments(values) }),
            Partial::Starts(StartPartial {
                gram: gram(values),
                rows: StartRows { regressors: 1, keys: vec![vec![0.5; 2 * n], Vec::new()] },
            }),
            Partial::Influence(InfluenceSums {
                units: InfluencePartial { columns: 1, draws: n, cross: vec![1.0], bit_sums: values.to_vec() },
                clusters: vec![ClusterPartial {
                    columns: 1,
                    keys: keys.to_vec(),
                    sums: vec![0.5; keys.len()],
                }],
            }),
            Partial::Omega(OmegaSums { sizes: vec![n, 0], sums: vec![0.25; n * n + n] }),
            Partial::Features(FeaturePartial {
                gram: Some(GramPartial {
                    shape: GramShape { columns: 1, periods: 2, weighted: false },
                    sums: values.to_vec(),
                }),
                sums: FeatureSums { groups: vec![GroupSums::default(), group(values)] },
                clusters: vec![ClusterPartial::new(2, keys.to_vec())],
            }),
            Partial::Overlap(OverlapPartial { sums: values.to_vec(), extremes: vec![0.5; n] }),
            Partial::Survey(Counts::Levels(keys.iter().copied().collect())),
            Partial::Survey(Counts::Clusters(None)),
        ]
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(values in prop::collection::vec(-1e9..1e9f64, 0..20), keys in prop::collection::btree_set(any::<u64>(), 0..9)) {
            let keys: Vec<u64> = keys.into_iter().collect();
            for partial in sample(&values, &keys) {
                prop_assert_eq!(Partial::decode(&partial.encode()).unwrap(), partial);
            }
        }

        #[test]
        fn no_bytes_make_the_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0usize..11) {
            let _ = Partial::decode(&bytes);
            // The same with a right checksum, so that the fields are reached.
            let mut body = MAGIC.to_vec();
            body.extend_from_slice(&(VERSION as u64).to_le_bytes());
            body.extend_from_slice(&(kind as u64).to_le_bytes());
            body.extend_from_slice(&bytes);
            let sum = xxh3_64(&body);
            body.extend_from_slice(&sum.to_le_bytes());
            let _ = Partial::decode(&body);
        }

        #[test]
        fn every_flipped_bit_is_noticed(at in any::<prop::sample::Index>(), bit in 0u8..8) {
            let mut bytes = sample(&[1.0, 2.0], &[3])[3].encode();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(Partial::decode(&bytes).is_err());
        }
    }
}
