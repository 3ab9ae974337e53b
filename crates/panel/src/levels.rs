//! Factor levels over the units that are used: a level that no used row has gets no design column (FORMULAS §1.9).

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use stagger_estimator::formula::{Atom, Formula};
use stagger_model::error::{Result, StaggerError};
use stagger_records::compare_decimals;

use crate::panel::{Panel, Shards};
use crate::recode::{LevelCodes, encode_levels};
use crate::sample_mask::SampleMask;
use crate::survey::{Counts, Survey};

/// Largest number of levels: a design with more could not be estimated in any cell.
const MOST_LEVELS: usize = 2_000;

/// Replaces the values of every factor by the index of their level; returns the number of levels by column name.
///
/// # Errors
/// More than `MOST_LEVELS` levels, numbers beyond 2^53 as levels, and shards that can't be read.
pub fn encode_factors(
    panel: &mut Panel,
    mask: &SampleMask,
    periods: &[usize],
    formula: &Formula,
    threads: usize,
) -> Result<HashMap<String, usize>> {
    let mut found = HashMap::new();
    let mut recodes: LevelCodes = Vec::new();
    for (index, atom) in formula.atoms().iter().enumerate() {
        let name = match atom {
            Atom::Factor(name) => name.clone(),
            Atom::Numeric(expression) if panel.columns.text_atoms[index] => {
                expression.is_plain_column().unwrap_or_default().to_owned()
            }
            Atom::Numeric(_) => continue,
        };
        let survey = Survey::Levels { mask: mask.clone(), periods: periods.to_vec(), atom: index };
        let Counts::Levels(values) = panel.survey(threads, &survey)? else {
            return Err(StaggerError::failed("levels were not counted"));
        };
        if values.len() > MOST_LEVELS {
            return Err(StaggerError::input(format!("factor `{name}` has {} levels", values.len()))
                .with_hint(format!("at most {MOST_LEVELS} are possible; is it meant to be numeric?")));
        }
        let texts = panel.columns.text_atoms[index].then(|| Arc::clone(&panel.columns.interned));
        if texts.is_none() {
            check_exact(&name, &values)?;
        }
        let levels = sorted_levels(values, texts, panel.columns.code_atoms[index]);
        found.insert(name, levels.len());
        let codes: HashMap<u64, f64> = levels.iter().enumerate().map(|(code, v)| (*v, code as f64)).collect();
        recodes.push((index, codes));
    }
    match &mut panel.shards {
        Shards::Memory(shards) => {
            for shard in shards {
                encode_levels(shard, &recodes);
            }
        }
        Shards::Stored { shards, specification } => shards.set_level_codes(*specification, recodes),
    }
    Ok(found)
}

/// Refuses numbers beyond 2^53, where several codes may have become one: a store keeps variables that were not prepared
/// as factors as doubles.
fn check_exact(name: &str, values: &BTreeSet<u64>) -> Result<()> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match values.iter().map(|bits| f64::from_bits(*bits)).find(|value| value.abs() > EXACT) {
        None => Ok(()),
        Some(value) => Err(StaggerError::input(format!(
            "factor `{name}` holds {value}, beyond 2^53, where codes that differ can be one number"
        ))
        .with_hint(format!(
            "store such codes as text; a store keeps all digits if it is prepared with --xformla \"~ factor({name})\""
        ))),
    }
}

/// Sorts levels: numbers ascending (those in `codes` too), texts by their bytes.
fn sorted_levels(values: BTreeSet<u64>, texts: Option<Arc<Vec<String>>>, codes: bool) -> Vec<u64> {
    let mut levels: Vec<u64> = values.into_iter().collect();
    match texts {
        Some(texts) => levels.sort_by(|a, b| {
            let text = |bits: &u64| texts.get(f64::from_bits(*bits) as usize).map_or("", String::as_str);
            if codes { compare_decimals(text(a), text(b)) } else { text(a).cmp(text(b)) }
        }),
        None => levels.sort_by(|a, b| f64::from_bits(*a).total_cmp(&f64::from_bits(*b))),
    }
    levels
}
