//! Codes of factor levels in the columns of a shard.

use std::collections::HashMap;
use std::sync::Arc;

use stagger_estimator::columns::AlignedVec;

use crate::shard::{Shard, ShardColumn};
/// Atoms that are factors, each with the index of every value's level, by the value's bits.
pub type LevelCodes = Vec<(usize, HashMap<u64, f64>)>;

/// Replaces the values of a shard's factors by the index of their level.
pub fn encode_levels(shard: &mut Shard, recodes: &LevelCodes) {
    recodes.iter().for_each(|(atom, codes)| recode_column(&mut shard.atoms[*atom], codes));
}

/// Replaces values by level indices. Values outside the sample have no level: they get one past the last, which matches
/// no design column.
fn recode_column(column: &mut ShardColumn, codes: &HashMap<u64, f64>) {
    let recode = |values: &mut Arc<AlignedVec>| {
        for value in Arc::make_mut(values).iter_mut() {
            *value = codes.get(&value.to_bits()).copied().unwrap_or(codes.len() as f64);
        }
    };
    match column {
        ShardColumn::Constant(values) => recode(values),
        ShardColumn::ByPeriod(periods) => periods.iter_mut().for_each(recode),
    }
}
