//! Specifications whose passes give the same sums.

use stagger_panel::panel::Panel;

use crate::estimate::steps::Estimation;
/// Among the estimations that need a pass, returns those whose sums differ, and for each estimation the position of the
/// one whose sums it shares. The same stage over the same strata, design and rows has the same sums whatever the
/// method.
pub fn shared_sums(
    estimations: &[Estimation],
    panels: &[Panel],
    wanted: &[usize],
) -> (Vec<usize>, Vec<usize>) {
    let mut distinct: Vec<usize> = Vec::new();
    let twin = |i: usize, distinct: &mut Vec<usize>| {
        let same = |&j: &usize| {
            let inputs = estimations[i].next_pass().zip(estimations[j].next_pass());
            inputs.is_some_and(|(a, b)| {
                a.input == b.input && estimations[i].plan().has_same_sums(estimations[j].plan(), &a.input)
            }) && panels[i].drops_same_rows(&panels[j])
        };
        distinct.iter().position(same).unwrap_or_else(|| {
            distinct.push(i);
            distinct.len() - 1
        })
    };
    let twins = wanted.iter().map(|&i| twin(i, &mut distinct)).collect();
    (distinct, twins)
}
