//! The fields of partials as bytes.

use stagger_estimator::factor::{FeatureSums, GroupSums};
use stagger_estimator::influence::{ClusterPartial, InfluencePartial};
use stagger_estimator::moments::{MomentsPartial, MomentsShape};
use stagger_estimator::outcome::{GramPartial, GramShape};
use stagger_estimator::propensity::{PropensityPartial, StartRows};
use stagger_estimator::symmetric::Symmetric;
use stagger_model::error::{Result, StaggerError};

use super::{FeaturePartial, InfluenceSums, OmegaSums};

/// Returns the error for bytes that are no partial.
pub(super) fn damaged(why: &str) -> StaggerError {
    StaggerError::failed(format!("damaged partial: {why}"))
}

/// Writes fields, little-endian.
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn count(&mut self, value: usize) {
        self.0.extend_from_slice(&(value as u64).to_le_bytes());
    }

    pub(super) fn gram(&mut self, gram: &GramPartial) {
        self.count(gram.shape.columns);
        self.count(gram.shape.periods);
        self.count(usize::from(gram.shape.weighted));
        self.floats(&gram.sums);
    }

    pub(super) fn propensity(&mut self, logits: &PropensityPartial) {
        self.count(logits.regressors);
        self.count(usize::from(logits.curved));
        self.floats(&logits.sums);
        self.floats(&logits.extremes);
    }

    pub(super) fn moments(&mut self, moments: &MomentsPartial) {
        let MomentsShape { columns, regressors, periods, sloped } = moments.shape;
        [columns, regressors, periods, usize::from(sloped)].into_iter().for_each(|size| self.count(size));
        self.floats(&moments.sums);
        self.floats(&moments.extremes);
    }

    pub(super) fn start_rows(&mut self, rows: &StartRows) {
        self.count(rows.regressors);
        self.count(rows.keys.len());
        for key in &rows.keys {
            self.count(key.len());
            key.iter().for_each(|value| self.0.extend_from_slice(&value.to_le_bytes()));
        }
    }

    pub(super) fn features(&mut self, features: &FeaturePartial) {
        self.count(features.gram.iter().len());
        features.gram.iter().for_each(|gram| self.gram(gram));
        self.count(features.sums.groups.len());
        features.sums.groups.iter().for_each(|group| self.group(group));
        self.count(features.clusters.len());
        features.clusters.iter().for_each(|clusters| self.clusters(clusters));
    }

    pub(super) fn group(&mut self, group: &GroupSums) {
        self.0.extend_from_slice(&group.units.to_le_bytes());
        self.floats(&group.pivots);
        self.words(&group.bases);
        self.floats(group.moments.triangle());
        self.floats(&group.totals);
        self.floats(&group.bit_sums);
    }

    pub(super) fn clusters(&mut self, clusters: &ClusterPartial) {
        self.count(clusters.columns);
        self.words(&clusters.keys);
        self.floats(&clusters.sums);
    }

    pub(super) fn floats(&mut self, values: &[f64]) {
        self.count(values.len());
        values.iter().for_each(|v| self.0.extend_from_slice(&v.to_le_bytes()));
    }

    pub(super) fn words(&mut self, values: &[u64]) {
        self.count(values.len());
        values.iter().for_each(|v| self.0.extend_from_slice(&v.to_le_bytes()));
    }
}

/// Reads fields, and trusts no length.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    pub(super) fn word(&mut self) -> Result<[u8; 8]> {
        let (word, rest) = self.0.split_first_chunk::<8>().ok_or_else(|| damaged("it ends too soon"))?;
        self.0 = rest;
        Ok(*word)
    }

    pub(super) fn count(&mut self) -> Result<usize> {
        Ok(u64::from_le_bytes(self.word()?) as usize)
    }

    pub(super) fn words(&mut self) -> Result<Vec<u64>> {
        let count = self.count()?;
        let bytes =
            count.checked_mul(8).filter(|&b| b <= self.0.len()).ok_or_else(|| damaged("it ends too soon"))?;
        let (body, rest) = self.0.split_at(bytes);
        self.0 = rest;
        let (words, _) = body.as_chunks::<8>();
        Ok(words.iter().map(|w| u64::from_le_bytes(*w)).collect())
    }

    pub(super) fn floats(&mut self) -> Result<Vec<f64>> {
        Ok(self.words()?.into_iter().map(f64::from_bits).collect())
    }

    pub(super) fn propensity(&mut self) -> Result<PropensityPartial> {
        let (regressors, curved) = (self.count()?, self.count()? == 1);
        Ok(PropensityPartial { regressors, curved, sums: self.floats()?, extremes: self.floats()? })
    }

    pub(super) fn moments(&mut self) -> Result<MomentsPartial> {
        let (columns, regressors, periods) = (self.count()?, self.count()?, self.count()?);
        let shape = MomentsShape { columns, regressors, periods, sloped: self.count()? == 1 };
        Ok(MomentsPartial { shape, sums: self.floats()?, extremes: self.floats()? })
    }

    pub(super) fn start_rows(&mut self) -> Result<StartRows> {
        let (regressors, keys) = (self.count()?, self.count()?);
        let keys = (0..keys).map(|_| self.singles()).collect::<Result<Vec<_>>>()?;
        let each = regressors.checked_add(1).ok_or_else(|| damaged("rows of the wrong size"))?;
        match keys.iter().all(|key| key.len() % each == 0) {
            true => Ok(StartRows { regressors, keys }),
            false => Err(damaged("rows of the wrong size")),
        }
    }

    pub(super) fn singles(&mut self) -> Result<Vec<f32>> {
        let count = self.count()?;
        let bytes =
            count.checked_mul(4).filter(|&b| b <= self.0.len()).ok_or_else(|| damaged("it ends too soon"))?;
        let (body, rest) = self.0.split_at(bytes);
        self.0 = rest;
        let (values, _) = body.as_chunks::<4>();
        Ok(values.iter().map(|value| f32::from_le_bytes(*value)).collect())
    }

    pub(super) fn omega(&mut self) -> Result<OmegaSums> {
        let sizes: Vec<usize> = self.words()?.into_iter().map(|size| size as usize).collect();
        let sums = self.floats()?;
        let length = |size: &usize| size.checked_mul(*size)?.checked_add(*size);
        let expected = sizes.iter().try_fold(0usize, |total, size| total.checked_add(length(size)?));
        if expected != Some(sums.len()) {
            return Err(damaged("covariances of the wrong size"));
        }
        Ok(OmegaSums { sizes, sums })
    }

    pub(super) fn gram(&mut self) -> Result<GramPartial> {
        let (columns, periods) = (self.count()?, self.count()?);
        let shape = GramShape { columns, periods, weighted: self.count()? == 1 };
        Ok(GramPartial { shape, sums: self.floats()? })
    }

    pub(super) fn features(&mut self) -> Result<FeaturePartial> {
        let gram = if self.count()? == 1 { Some(self.gram()?) } else { None };
        let groups = self.count()?;
        let groups = (0..groups).map(|_| self.group()).collect::<Result<Vec<GroupSums>>>()?;
        let count = self.count()?;
        let clusters = (0..count).map(|_| self.clusters()).collect::<Result<_>>()?;
        Ok(FeaturePartial { gram, sums: FeatureSums { groups }, clusters })
    }

    pub(super) fn group(&mut self) -> Result<GroupSums> {
        let units = u64::from_le_bytes(self.word()?);
        let (pivots, bases, moments) = (self.floats()?, self.words()?, self.floats()?);
        let (totals, bit_sums) = (self.floats()?, self.floats()?);
        let wrong = || damaged("moments of the wrong size");
        let moments = Symmetric::from_triangle(pivots.len(), moments).ok_or_else(wrong)?;
        let draws = bit_sums.len().checked_div(pivots.len()).unwrap_or(0);
        let group = GroupSums { units, pivots, bases, moments, totals, bit_sums };
        if group.fits(group.pivots.len(), draws) { Ok(group) } else { Err(wrong()) }
    }

    pub(super) fn clusters(&mut self) -> Result<ClusterPartial> {
        let partial = ClusterPartial { columns: self.count()?, keys: self.words()?, sums: self.floats()? };
        match partial.keys.len().checked_mul(partial.columns) == Some(partial.sums.len()) {
            true => Ok(partial),
            false => Err(damaged("cluster sums of the wrong size")),
        }
    }

    pub(super) fn influence(&mut self) -> Result<InfluenceSums> {
        let (columns, draws) = (self.count()?, self.count()?);
        let (cross, bit_sums) = (self.floats()?, self.floats()?);
        let fits = |rows: usize, values: &[f64]| rows.checked_mul(columns) == Some(values.len());
        if !fits(columns, &cross) || !fits(draws, &bit_sums) {
            return Err(damaged("sums of the wrong size"));
        }
        let units = InfluencePartial { columns, draws, cross, bit_sums };
        let ways = self.count()?;
        let clusters = (0..ways).map(|_| self.clusters()).collect::<Result<_>>()?;
        Ok(InfluenceSums { units, clusters })
    }
}
