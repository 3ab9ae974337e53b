//! The cells that each aggregate is taken over (FORMULAS §6).

use std::collections::HashMap;

use super::{AggregateError, AggregateInput, AggregateKind, AggregateOptions};

/// Event times closer than this are one: labels such as 2000.1 make t − g inexact.
const SAME_EVENT_TIME: f64 = 1e-9;

/// The cells that are left to choose from.
pub(super) struct Window<'a> {
    pub(super) input: &'a AggregateInput<'a>,
    /// Cells with an ATT, ascending.
    pub(super) kept: &'a [usize],
}

impl Window<'_> {
    /// Post-treatment cells g ≤ t with pos(t) ≤ pos(g) + max_e; pos is the rank in the sorted union of T and groups.
    pub(super) fn post(&self, max_e: f64) -> Vec<usize> {
        let scale = self.scale();
        let position = |label: f64| scale.iter().filter(|x| **x < label).count() as f64;
        let (group, time) = (self.input.group, self.input.time);
        let inside = |&k: &usize| group[k] <= time[k] && position(time[k]) <= position(group[k]) + max_e;
        self.kept.iter().copied().filter(inside).collect()
    }

    /// Positions of the groups with a post-treatment cell, and those cells.
    pub(super) fn groups(&self, max_e: f64) -> (Vec<usize>, Vec<Vec<usize>>) {
        let post = self.post(max_e);
        let mut by_label: HashMap<u64, Vec<usize>> = HashMap::new();
        for k in post {
            by_label.entry((self.input.group[k] + 0.0).to_bits()).or_default().push(k);
        }
        let mut of = |label: f64| by_label.remove(&(label + 0.0).to_bits()).unwrap_or_default();
        let sets = self.input.groups.iter().map(|&label| of(label)).enumerate();
        sets.filter(|(_, cells)| !cells.is_empty()).unzip()
    }

    /// Event times in the window, ascending, and the cells of each.
    pub(super) fn event_times(&self, options: &AggregateOptions) -> (Vec<f64>, Vec<Vec<usize>>) {
        let (balanced, low, high) = self.balance(options.balance_e);
        let mut egt: Vec<f64> = balanced.iter().map(|&k| self.event_time(k)).collect();
        let near = self.near();
        egt.retain(|&e| {
            let inside = |low: f64, high: f64, near: f64| e >= low - near && e <= high + near;
            inside(low, high, near) && inside(options.min_e, options.max_e, near)
        });
        egt.sort_by(f64::total_cmp);
        egt.dedup_by(|next, kept| *next - *kept <= SAME_EVENT_TIME);
        let mut sets = vec![Vec::new(); egt.len()];
        for k in balanced {
            let own = self.event_time(k);
            let first = egt.partition_point(|e| own - e > SAME_EVENT_TIME);
            let near = egt[first..].iter().take_while(|e| (own - **e).abs() <= SAME_EVENT_TIME).count();
            sets[first..first + near].iter_mut().for_each(|set| set.push(k));
        }
        (egt, sets)
    }

    /// Periods with a post-treatment cell, ascending, and those cells.
    pub(super) fn calendar(&self) -> (Vec<f64>, Vec<Vec<usize>>) {
        let post = self.post(f64::INFINITY);
        let mut periods: Vec<f64> = post.iter().map(|&k| self.input.time[k]).collect();
        periods.sort_by(f64::total_cmp);
        periods.dedup();
        let at = |t: f64| post.iter().copied().filter(|&k| self.input.time[k] == t).collect();
        let sets = periods.iter().map(|&t| at(t)).collect();
        (periods, sets)
    }

    /// The cells that an aggregation is taken over, ascending within each of its parts.
    pub(super) fn cells(&self, kind: AggregateKind, options: &AggregateOptions) -> Vec<usize> {
        match kind {
            AggregateKind::Simple | AggregateKind::Group => self.post(options.max_e),
            AggregateKind::Dynamic => self.event_times(options).1.concat(),
            AggregateKind::Calendar => self.post(f64::INFINITY),
        }
    }

    pub(super) fn empty(&self, kind: AggregateKind, options: &AggregateOptions) -> AggregateError {
        let times = self.input.time.iter().zip(self.input.group).map(|(t, g)| t - g);
        let within =
            times.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), e| (low.min(e), high.max(e)));
        AggregateError::EmptyWindow { kind, cells: self.kept.len(), options: options.applied(kind), within }
    }

    /// Cells of the groups seen q periods after treatment, and the event times that all of them have:
    /// [q − t_max + t_min, q].
    fn balance(&self, balance_e: Option<f64>) -> (Vec<usize>, f64, f64) {
        let Some(q) = balance_e else {
            return (self.kept.to_vec(), f64::NEG_INFINITY, f64::INFINITY);
        };
        let last = self.kept.iter().map(|&k| self.input.time[k]).fold(f64::NEG_INFINITY, f64::max);
        let first = self.scale().first().copied().unwrap_or(f64::NAN);
        let seen = |&k: &usize| last - self.input.group[k] >= q - self.near();
        (self.kept.iter().copied().filter(seen).collect(), q - last + first, q)
    }

    /// Distance within which a limit means an event time: limits such as 0.33 are written for fractions such as 1/3.
    fn near(&self) -> f64 {
        let scale = self.scale();
        let step = scale.windows(2).map(|two| two[1] - two[0]).fold(f64::INFINITY, f64::min);
        if step < 1.0 { SAME_EVENT_TIME.max(1e-2 * step) } else { SAME_EVENT_TIME }
    }

    fn event_time(&self, cell: usize) -> f64 {
        self.input.time[cell] - self.input.group[cell]
    }

    /// Sorted union of the sample's periods and the estimated groups.
    fn scale(&self) -> Vec<f64> {
        let mut scale: Vec<f64> = self.input.periods.iter().chain(self.input.groups).copied().collect();
        scale.sort_by(f64::total_cmp);
        scale.dedup();
        scale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: [f64; 2] = [3.0, 6.0];
    const PERIODS: [f64; 4] = [1.0, 2.0, 5.0, 8.0];
    const GROUP: [f64; 6] = [3.0, 3.0, 3.0, 6.0, 6.0, 6.0];
    const TIME: [f64; 6] = [2.0, 5.0, 8.0, 2.0, 5.0, 8.0];

    fn input() -> AggregateInput<'static> {
        let (shares, att) = (&[0.2, 0.3], &[0.0; 6]);
        AggregateInput { group: &GROUP, time: &TIME, att, groups: &GROUPS, shares, periods: &PERIODS }
    }

    const ALL: [usize; 6] = [0, 1, 2, 3, 4, 5];

    #[test]
    fn simple_and_group_count_positions_not_years() {
        let input = input();
        let window = Window { input: &input, kept: &ALL };
        // union: 1 2 3 5 6 8, so 5 is one position after 3 and 8 one after 6
        assert_eq!(window.post(f64::INFINITY), [1, 2, 5]);
        assert_eq!(window.post(1.0), [1, 5]);
        assert_eq!(window.groups(0.0), (vec![], vec![]));
        assert_eq!(window.groups(3.0), (vec![0, 1], vec![vec![1, 2], vec![5]]));
    }

    #[test]
    fn dynamic_counts_years() {
        let input = input();
        let window = Window { input: &input, kept: &ALL };
        let options = AggregateOptions { max_e: 2.0, ..Default::default() };
        let (egt, sets) = window.event_times(&options);
        assert_eq!(egt, [-4.0, -1.0, 2.0]);
        assert_eq!(sets, [vec![3], vec![0, 4], vec![1, 5]]);
    }

    #[test]
    fn balancing_keeps_groups_seen_long_enough() {
        let input = input();
        let window = Window { input: &input, kept: &ALL };
        let at = |q| window.event_times(&AggregateOptions { balance_e: Some(q), ..Default::default() });
        assert_eq!(at(5.0), (vec![-1.0, 2.0, 5.0], vec![vec![0], vec![1], vec![2]]));
        assert_eq!(at(2.0).0, [-4.0, -1.0, 2.0]);
        assert!(at(9.0).0.is_empty());
    }

    #[test]
    fn limits_are_written_with_a_few_digits() {
        let third = 1.0 / 3.0;
        let (group, time) = ([third; 3], [0.0, third, 2.0 * third]);
        let periods = [0.0, third, 2.0 * third];
        let input =
            AggregateInput { group: &group, time: &time, groups: &[third], periods: &periods, ..input() };
        let window = Window { input: &input, kept: &[0, 1, 2] };
        let options = AggregateOptions { min_e: -0.333, max_e: 0.333, ..Default::default() };
        assert_eq!(window.event_times(&options).0.len(), 3);
        let narrow = AggregateOptions { min_e: -0.3, max_e: 0.3, ..Default::default() };
        assert_eq!(window.event_times(&narrow).0.len(), 1);
    }

    #[test]
    fn inexact_event_times_are_merged() {
        let (group, time) = ([2000.1, 2000.3], [2000.4, 2000.6]);
        let (groups, periods) = (group, [2000.0, 2000.4, 2000.6]);
        let (shares, att) = (&[0.5, 0.5], &[0.0; 2]);
        let input =
            AggregateInput { group: &group, time: &time, att, groups: &groups, shares, periods: &periods };
        let (egt, sets) = Window { input: &input, kept: &[0, 1] }.event_times(&AggregateOptions::default());
        assert_eq!((egt.len(), sets[0].len()), (1, 2));
    }

    #[test]
    fn calendar_starts_with_the_first_treated_period() {
        let input = input();
        let (periods, sets) = Window { input: &input, kept: &ALL }.calendar();
        assert_eq!(periods, [5.0, 8.0]);
        assert_eq!(sets, [vec![1], vec![2, 5]]);
    }
}
