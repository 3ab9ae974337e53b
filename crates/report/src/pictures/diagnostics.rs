//! Charts of overlap and balance; none where the run was not asked for diagnostics.

use std::collections::BTreeMap;

use stagger_model::result;
use stagger_model::result::SavedResult;
use stagger_pictures::Figure;
use stagger_pictures::charts::{self, Balance, Covariate, MOST_SCORES, Overlap, Score};

use crate::diagnostics::{against, greatest_control};
use crate::text::label;

/// Propensity scores; `None` without any.
pub fn overlap(saved: &SavedResult) -> Option<Figure> {
    let all = &saved.result.diagnostics.as_ref()?.overlap;
    if all.is_empty() {
        return None;
    }
    let mut chosen: Vec<&result::Overlap> = all.iter().collect();
    // Where there are too many, those with the least overlap; in the result's order.
    if chosen.len() > MOST_SCORES {
        chosen.sort_by(|a, b| greatest_control(b).total_cmp(&greatest_control(a)));
    }
    Some(charts::overlap(&Overlap {
        title: "Propensity scores of treated and controls".to_owned(),
        scores: chosen.into_iter().map(score).collect(),
        notes: Vec::new(),
    }))
}

fn score(o: &result::Overlap) -> Score {
    let of = match (o.period, o.pooled) {
        (Some(own), Some([time, base])) => {
            format!(", {} of {} and {}", label(own), label(time), label(base))
        }
        _ => String::new(),
    };
    Score {
        name: format!(
            "Cohort {} vs {}{of}",
            label(o.group),
            against(&o.controls).replace("never", "never treated")
        ),
        treated: o.treated.histogram.clone(),
        controls: o.untreated.histogram.clone(),
    }
}

/// Standardised mean differences; `None` without covariates.
pub fn balance(saved: &SavedResult) -> Option<Figure> {
    let all = &saved.result.diagnostics.as_ref()?.balance;
    let mut covariates: Vec<Covariate> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for difference in all.iter().flat_map(|comparison| &comparison.covariates) {
        let place = *places.entry(&difference.name).or_insert_with(|| {
            covariates.push(Covariate { name: difference.name.clone(), ..Covariate::default() });
            covariates.len() - 1
        });
        covariates[place].before.push(difference.before.0);
        covariates[place].after.push(difference.after.0);
    }
    if covariates.is_empty() {
        return None;
    }
    let several = if all.len() > 1 {
        vec![format!("Large signs: the largest difference over {} comparisons.", all.len())]
    } else {
        Vec::new()
    };
    Some(charts::balance(&Balance {
        title: "Balance of covariates between treated and controls".to_owned(),
        covariates,
        notes: several,
    }))
}
