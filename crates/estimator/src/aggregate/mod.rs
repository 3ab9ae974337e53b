//! Aggregates of ATT(g,t): simple, dynamic (event study), group and calendar (FORMULAS §6).
//!
//! An aggregate is linear in the extended columns [ones, w·1{G=g} per group, ψ per cell], so its standard error, draws
//! and bands follow from the sums of those columns without returning to the data.

mod error;
mod linear;
#[cfg(test)]
pub(crate) mod mpdta;
mod windows;

use std::fmt;
use std::str::FromStr;

use linear::Weights;

use serde::{Deserialize, Serialize};
use windows::Window;

pub use error::AggregateError;
pub use linear::{Estimand, LinearMap};

/// The input of an aggregation: one entry per cell, and the groups' shares.
#[derive(Clone, Copy, Debug)]
pub struct AggregateInput<'a> {
    /// Group g of each cell.
    pub group: &'a [f64],
    /// Period t of each cell.
    pub time: &'a [f64],
    /// ATT(g,t) of each cell; NaN = NA.
    pub att: &'a [f64],
    /// Estimated groups, ascending.
    pub groups: &'a [f64],
    /// p_g of each group: mean over all n units of w_i 1{G_i = g}, never treated included in n.
    pub shares: &'a [f64],
    /// Periods T of the sample.
    pub periods: &'a [f64],
}

/// The parameter that summarises the cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AggregateKind {
    /// All post-treatment cells, weighted by group size.
    Simple,
    /// By time since treatment e = t − g.
    #[serde(alias = "eventstudy")]
    Dynamic,
    /// By treated group.
    Group,
    /// By calendar period.
    Calendar,
}

impl AggregateKind {
    /// All kinds, in the order of R's documentation.
    pub const ALL: [Self; 4] = [Self::Simple, Self::Dynamic, Self::Group, Self::Calendar];

    /// The limits that it has a use for, under R's names (FORMULAS §6).
    pub fn limits(self) -> &'static [&'static str] {
        match self {
            Self::Simple | Self::Group => &["max_e"],
            Self::Dynamic => &["min_e", "max_e", "balance_e"],
            Self::Calendar => &[],
        }
    }
}

impl fmt::Display for AggregateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Simple => "simple",
            Self::Dynamic => "dynamic",
            Self::Group => "group",
            Self::Calendar => "calendar",
        })
    }
}

impl FromStr for AggregateKind {
    type Err = AggregateError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "eventstudy" => Ok(Self::Dynamic),
            _ => Self::ALL
                .into_iter()
                .find(|kind| kind.to_string() == text)
                .ok_or_else(|| AggregateError::UnknownKind { given: text.to_owned() }),
        }
    }
}

/// Windows and NA handling, under R's names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AggregateOptions {
    /// Lowest event time kept (dynamic only).
    pub min_e: f64,
    /// Highest event time kept: calendar distance in dynamic, *positions* in simple and group, ignored in calendar.
    pub max_e: f64,
    /// Keep groups seen for this many periods after treatment, at event times they all have (dynamic only).
    pub balance_e: Option<f64>,
    /// Leave out NA cells, where they are an error otherwise.
    pub na_rm: bool,
    /// First and last event time of the overall effect (dynamic only); from 0 on if there is none.
    pub average: Option<(f64, f64)>,
}

impl Default for AggregateOptions {
    fn default() -> Self {
        Self { min_e: f64::NEG_INFINITY, max_e: f64::INFINITY, balance_e: None, na_rm: false, average: None }
    }
}

impl AggregateOptions {
    /// Those that a kind has a use for; the others are R's defaults.
    pub fn applied(&self, kind: AggregateKind) -> Self {
        let uses = |limit: &str| kind.limits().contains(&limit);
        let default = Self::default();
        Self {
            min_e: if uses("min_e") { self.min_e } else { default.min_e },
            max_e: if uses("max_e") { self.max_e } else { default.max_e },
            balance_e: self.balance_e.filter(|_| uses("balance_e")),
            na_rm: self.na_rm,
            average: self.average.filter(|_| kind == AggregateKind::Dynamic),
        }
    }
}

/// An aggregate: one overall number, and one per event time, group or period.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// The kind of aggregation.
    pub kind: AggregateKind,
    /// The overall parameter; its ATT is NaN where no event time e ≥ 0 is in the window.
    pub overall: Estimand,
    /// Event times, groups or periods, ascending; empty for simple.
    pub egt: Vec<f64>,
    /// The parameter at each of `egt`.
    pub by: Vec<Estimand>,
}

/// Aggregate the cells (FORMULAS §6).
pub fn aggregate(
    input: &AggregateInput<'_>,
    kind: AggregateKind,
    options: &AggregateOptions,
) -> Result<Aggregate, AggregateError> {
    let weights = Weights::new(input)?;
    let kept = kept_cells(input, kind, options)?;
    let window = Window { input, kept: &kept };
    let (overall, egt, by) = match kind {
        AggregateKind::Simple => (simple(&weights, &window, options)?, Vec::new(), Vec::new()),
        AggregateKind::Group => by_group(&weights, &window, options)?,
        AggregateKind::Dynamic => dynamic(&weights, &window, options)?,
        AggregateKind::Calendar => calendar(&weights, &window)?,
    };
    Ok(Aggregate { kind, overall, egt, by })
}

/// Estimand overall, labels, estimands by label.
type Parts = (Estimand, Vec<f64>, Vec<Estimand>);

/// The cells that an aggregation is taken over, NA or not.
///
/// # Errors
/// A cell whose group has no share, and input whose parts do not fit together.
pub fn cells_in_window(
    input: &AggregateInput<'_>,
    kind: AggregateKind,
    options: &AggregateOptions,
) -> Result<Vec<usize>, AggregateError> {
    Weights::new(input)?;
    let all: Vec<usize> = (0..input.att.len()).collect();
    Ok(Window { input, kept: &all }.cells(kind, options))
}

/// All cells, or with `na_rm` those with an ATT; without it an NA cell in the window is an error, one outside is none.
fn kept_cells(
    input: &AggregateInput<'_>,
    kind: AggregateKind,
    options: &AggregateOptions,
) -> Result<Vec<usize>, AggregateError> {
    let all: Vec<usize> = (0..input.att.len()).collect();
    let needed = Window { input, kept: &all }.cells(kind, options);
    let missing: Vec<usize> = needed.iter().copied().filter(|&k| input.att[k].is_nan()).collect();
    if missing.is_empty() && !needed.is_empty() {
        return Ok(all.into_iter().filter(|&k| !options.na_rm || !input.att[k].is_nan()).collect());
    }
    match options.na_rm {
        _ if needed.is_empty() => Ok(all),
        false => Err(AggregateError::MissingCells { missing, cells: needed.len() }),
        true if missing.len() == needed.len() => {
            Err(AggregateError::AllMissing { kind, cells: needed.len() })
        }
        true => Ok(all.into_iter().filter(|&k| !input.att[k].is_nan()).collect()),
    }
}

fn simple(
    weights: &Weights<'_>,
    window: &Window<'_>,
    options: &AggregateOptions,
) -> Result<Estimand, AggregateError> {
    let cells = window.post(options.max_e);
    match cells.is_empty() {
        true => Err(window.empty(AggregateKind::Simple, options)),
        false => Ok(weights.by_share(&cells)),
    }
}

/// Plain means over a group's post-treatment cells; the overall mean weights groups by share (FORMULAS §6 "group").
fn by_group(
    weights: &Weights<'_>,
    window: &Window<'_>,
    options: &AggregateOptions,
) -> Result<Parts, AggregateError> {
    let (positions, sets) = window.groups(options.max_e);
    if positions.is_empty() {
        return Err(window.empty(AggregateKind::Group, options));
    }
    let by: Vec<Estimand> = sets.iter().map(|cells| weights.plain(cells)).collect();
    let overall = weights.over_groups(&positions, &by);
    Ok((overall, positions.iter().map(|&g| window.input.groups[g]).collect(), by))
}

/// Share-weighted means by event time; the overall one is the plain mean over e ≥ 0, or over chosen event times (FORMULAS §6 "dynamic").
fn dynamic(
    weights: &Weights<'_>,
    window: &Window<'_>,
    options: &AggregateOptions,
) -> Result<Parts, AggregateError> {
    let (egt, sets) = window.event_times(options);
    if egt.is_empty() {
        return Err(window.empty(AggregateKind::Dynamic, options));
    }
    let by: Vec<Estimand> = sets.iter().map(|cells| weights.by_share(cells)).collect();
    let (first, last) = options.average.unwrap_or((0.0, f64::INFINITY));
    let chosen =
        egt.iter().zip(&by).filter(|(e, _)| (first..=last).contains(*e)).map(|(_, estimand)| estimand);
    Ok((weights.mean_of(chosen), egt, by))
}

/// Share-weighted means by period; the overall one is their plain mean (FORMULAS §6 "calendar").
fn calendar(weights: &Weights<'_>, window: &Window<'_>) -> Result<Parts, AggregateError> {
    let (periods, sets) = window.calendar();
    if periods.is_empty() {
        return Err(window.empty(AggregateKind::Calendar, &AggregateOptions::default()));
    }
    let by: Vec<Estimand> = sets.iter().map(|cells| weights.by_share(cells)).collect();
    Ok((weights.mean_of(by.iter()), periods, by))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(kind: AggregateKind, options: AggregateOptions) -> Aggregate {
        aggregate(&mpdta::input(), kind, &options).unwrap()
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() <= 1e-11 * expected.abs().max(1e-3), "{found} vs {expected}");
    }

    #[test]
    fn every_kind_agrees_with_r() {
        for golden in mpdta::AGGREGATES {
            let found = at(golden.kind, golden.options);
            close(found.overall.att, golden.overall.0);
            assert_eq!(found.egt, golden.egt);
            found.by.iter().zip(golden.by).for_each(|(f, g)| close(f.att, g.0));
        }
    }

    #[test]
    fn names_are_rs_and_eventstudy_is_an_alias() {
        for kind in AggregateKind::ALL {
            assert_eq!(kind.to_string().parse::<AggregateKind>().unwrap(), kind);
        }
        assert_eq!("eventstudy".parse::<AggregateKind>().unwrap(), AggregateKind::Dynamic);
        let error = "Group".parse::<AggregateKind>().unwrap_err();
        assert!(error.to_string().contains("Group") && error.hint().unwrap().contains("calendar"));
    }

    #[test]
    fn missing_cells_are_an_error_unless_removed() {
        let mut att = mpdta::ATT;
        att[2] = f64::NAN; // ATT(2004, 2006)
        let input = AggregateInput { att: &att, ..mpdta::input() };
        let na_rm = AggregateOptions { na_rm: true, ..Default::default() };
        for kind in AggregateKind::ALL {
            let error = aggregate(&input, kind, &AggregateOptions::default()).unwrap_err();
            let cells = if kind == AggregateKind::Dynamic { 12 } else { 7 };
            assert_eq!(error, AggregateError::MissingCells { missing: vec![2], cells });
            let found = aggregate(&input, kind, &na_rm).unwrap();
            assert!(found.overall.att.is_finite() && found.overall.map.cells[2] == 0.0);
        }
        let event = aggregate(&input, AggregateKind::Dynamic, &na_rm).unwrap();
        assert_eq!(event.egt, [-3.0, -2.0, -1.0, 0.0, 1.0, 3.0]);
        let group = aggregate(&input, AggregateKind::Group, &na_rm).unwrap();
        close(group.by[0].att, (att[0] + att[1] + att[3]) / 3.0);
    }

    #[test]
    fn groups_without_post_cells_leave_and_nothing_left_is_an_error() {
        let mut att = mpdta::ATT;
        att[11] = f64::NAN; // the only post cell of 2007
        let input = AggregateInput { att: &att, ..mpdta::input() };
        let na_rm = AggregateOptions { na_rm: true, ..Default::default() };
        assert_eq!(aggregate(&input, AggregateKind::Group, &na_rm).unwrap().egt, [2004.0, 2006.0]);
        let all_na = AggregateInput { att: &[f64::NAN; 12], ..input };
        for kind in AggregateKind::ALL {
            let cells = if kind == AggregateKind::Dynamic { 12 } else { 7 };
            assert_eq!(
                aggregate(&all_na, kind, &na_rm).unwrap_err(),
                AggregateError::AllMissing { kind, cells }
            );
        }
        let nothing = AggregateOptions { min_e: 8.0, ..Default::default() };
        assert!(aggregate(&mpdta::input(), AggregateKind::Dynamic, &nothing).is_err());
        let never = AggregateOptions { max_e: -1.0, ..Default::default() };
        assert!(aggregate(&mpdta::input(), AggregateKind::Group, &never).is_err());
    }

    #[test]
    fn a_window_before_treatment_has_no_overall_number() {
        let options = AggregateOptions { max_e: -1.0, ..Default::default() };
        let found = at(AggregateKind::Dynamic, options);
        assert_eq!(found.egt, [-3.0, -2.0, -1.0]);
        assert!(found.overall.att.is_nan() && found.overall.map.dense().iter().all(|c| *c == 0.0));
    }

    #[test]
    fn a_window_without_the_missing_cells_does_not_need_them() {
        let mut att = mpdta::ATT;
        att[2] = f64::NAN; // ATT(2004, 2006), event time 2
        let input = AggregateInput { att: &att, ..mpdta::input() };
        let near = AggregateOptions { max_e: 1.0, ..Default::default() };
        for kind in [AggregateKind::Simple, AggregateKind::Group, AggregateKind::Dynamic] {
            let whole = at(kind, near);
            let found = aggregate(&input, kind, &near).unwrap();
            assert_eq!((found.overall.att, found.egt.len()), (whole.overall.att, whole.egt.len()), "{kind}");
        }
        assert!(aggregate(&input, AggregateKind::Calendar, &near).is_err(), "calendar has no window");
        let before = AggregateOptions { max_e: -1.0, ..Default::default() };
        assert!(aggregate(&input, AggregateKind::Dynamic, &before).is_ok());
    }

    #[test]
    fn limits_without_a_use_are_not_applied() {
        let all = AggregateOptions {
            min_e: 0.0,
            max_e: 2.0,
            balance_e: Some(1.0),
            na_rm: true,
            average: Some((0.0, 1.0)),
        };
        let plain = AggregateOptions { na_rm: true, ..Default::default() };
        assert_eq!(all.applied(AggregateKind::Dynamic), all);
        assert_eq!(all.applied(AggregateKind::Calendar), plain);
        for kind in [AggregateKind::Simple, AggregateKind::Group] {
            assert_eq!(all.applied(kind), AggregateOptions { max_e: 2.0, ..plain });
        }
    }

    #[test]
    fn uneven_input_is_an_error() {
        let input = AggregateInput { time: &mpdta::TIME[1..], ..mpdta::input() };
        assert!(matches!(
            aggregate(&input, AggregateKind::Simple, &AggregateOptions::default()),
            Err(AggregateError::Shape { .. })
        ));
        let input = AggregateInput { groups: &[2004.0, 2006.0, 2010.0], ..mpdta::input() };
        assert!(matches!(
            aggregate(&input, AggregateKind::Simple, &AggregateOptions::default()),
            Err(AggregateError::UnknownGroup { group: 2007.0, groups: 3 })
        ));
    }
}
