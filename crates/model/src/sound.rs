//! Checks of data that was saved and is read back: results, aggregations, events. They may have been changed by hand or
//! by a faulty disk. Parallel lists and counts are therefore checked here once, before anything uses them.

use std::fmt::Display;

use crate::events::{Estimated, RunEvent, SpecOutline, Summary, TaskDone};
use crate::result::{Aggte, AttGt, Diagnostics, LeftOutCells, Num, SavedResult, ScoreSummary};

/// The largest count or number of bytes; sums of such counts fit 64 bits.
const MOST: u64 = 1 << 53;
/// The latest time of a run, in seconds since 1970: the year 5138.
const LAST: f64 = 1e11;
/// The largest number of specifications of a run, and of tasks of a stage.
const MANY: usize = 1 << 24;
/// The numbers of quantiles and histogram bins of a summary of scores.
const SCORES: (usize, usize) = (9, 50);

/// The result of a check; the error says what is wrong.
pub type CheckResult = Result<(), String>;

/// Checks the length of a list.
fn length(name: &str, found: usize, expected: usize) -> CheckResult {
    if found == expected {
        return Ok(());
    }
    Err(format!("{name} has {found} entries, expected {expected}"))
}

/// Checks the length of a list that may be left out.
fn optional(name: &str, found: usize, expected: usize) -> CheckResult {
    if found == 0 { Ok(()) } else { length(name, found, expected) }
}

/// Checks a count or a number of bytes.
///
/// # Errors
/// More than anything is counted to, with its name and value.
pub fn count(name: &str, found: u64) -> CheckResult {
    if found <= MOST { Ok(()) } else { Err(impossible(name, found)) }
}

/// Returns the message for a value that is out of range.
fn impossible(name: &str, found: impl Display) -> String {
    format!("{name} is {found}, which can't be")
}

fn finite(name: &str, found: f64) -> CheckResult {
    if found.is_finite() { Ok(()) } else { Err(format!("{name} is no number")) }
}

/// Checks a significance level.
fn level(name: &str, found: f64) -> CheckResult {
    if found > 0.0 && found < 1.0 { Ok(()) } else { Err(format!("{name} is {found}, not between 0 and 1")) }
}

/// Checks a number of seconds or dollars.
fn amount(name: &str, found: f64) -> CheckResult {
    if (0.0..=LAST).contains(&found) { Ok(()) } else { Err(impossible(name, found)) }
}

fn ascending(name: &str, list: &[Num]) -> CheckResult {
    list.iter().try_for_each(|x| finite(name, x.0))?;
    if list.windows(2).all(|pair| pair[0].0 < pair[1].0) {
        Ok(())
    } else {
        Err(format!("{name} do not ascend"))
    }
}

fn no_negative(name: &str, list: &[Num]) -> CheckResult {
    match list.iter().find(|x| x.0 < 0.0) {
        Some(x) => Err(format!("{name} holds {}, which can't be", x.0)),
        None => Ok(()),
    }
}

/// Checks the lists of the cells' estimates.
///
/// # Errors
/// Names the first list of a wrong length, with both lengths.
pub fn check_cells(cells: &AttGt) -> CheckResult {
    let expected = cells.att.len();
    length("att_gt.group", cells.group.len(), expected)?;
    length("att_gt.time", cells.time.len(), expected)?;
    length("att_gt.post", cells.post.len(), expected)?;
    length("att_gt.se", cells.se.len(), expected)?;
    length("att_gt.lci", cells.lci.len(), expected)?;
    length("att_gt.uci", cells.uci.len(), expected)?;
    optional("att_gt.reason", cells.reason.len(), expected)?;
    optional("att_gt.se_reason", cells.se_reason.len(), expected)?;
    optional("att_gt.group_label", cells.group_label.len(), expected)?;
    optional("att_gt.time_label", cells.time_label.len(), expected)?;
    no_negative("att_gt.se", &cells.se)?;
    cells.group.iter().try_for_each(|x| finite("a group of att_gt", x.0))?;
    cells.time.iter().try_for_each(|x| finite("a time of att_gt", x.0))
}

/// Checks the lists of an aggregation.
///
/// # Errors
/// Those of [`check_cells`].
pub fn check_aggregation(own: &Aggte) -> CheckResult {
    let kind = &own.kind;
    if !["simple", "dynamic", "group", "calendar"].contains(&kind.as_str()) {
        return Err(format!("an aggregation has the unknown type {kind:?}"));
    }
    let (name, expected) = (|list: &str| format!("{list} of the aggregation \"{kind}\""), own.egt.len());
    length(&name("att_egt"), own.att_egt.len(), expected)?;
    length(&name("se_egt"), own.se_egt.len(), expected)?;
    length(&name("lci_egt"), own.lci_egt.len(), expected)?;
    length(&name("uci_egt"), own.uci_egt.len(), expected)?;
    optional(&name("reason_egt"), own.reason_egt.len(), expected)?;
    optional(&name("egt_label"), own.egt_label.len(), expected)?;
    if !own.vcov_egt.is_empty() {
        length(&name("vcov_egt"), own.vcov_egt.len(), expected)?;
        let row = name("a row of vcov_egt");
        own.vcov_egt.iter().try_for_each(|entries| length(&row, entries.len(), expected))?;
    }
    own.left_out.as_ref().map_or(Ok(()), lost)?;
    no_negative(&name("se_egt"), &own.se_egt)?;
    own.egt.iter().try_for_each(|x| finite(&name("an entry of egt"), x.0))
}

fn lost(own: &LeftOutCells) -> CheckResult {
    let expected = own.group.len();
    length("time of cells left out", own.time.len(), expected)?;
    length("reason of cells left out", own.reason.len(), expected)?;
    let counts = [own.post_cells, own.of_post_cells, own.units, own.of_units];
    counts.into_iter().try_for_each(|n| count("a count of cells left out", n))
}

/// Checks a saved result.
///
/// # Errors
/// Those of [`check_cells`], and impossible numbers.
pub fn check_result(saved: &SavedResult) -> CheckResult {
    let columns = 1 + saved.extended.groups.len() + saved.result.att_gt.att.len();
    length("extended.covariance", saved.extended.covariance.size(), columns)?;
    check_result_lists(saved)
}

/// Checks a saved result except its covariance, which may be in a file of its own.
///
/// # Errors
/// Those of [`check_result`].
pub fn check_result_lists(saved: &SavedResult) -> CheckResult {
    let (result, extended) = (&saved.result, &saved.extended);
    check_cells(&result.att_gt)?;
    let (count_of_cells, groups) = (result.att_gt.att.len(), extended.groups.len());
    length("extended.reference", extended.reference.len(), count_of_cells)?;
    length("extended.shares", extended.shares.len(), groups)?;
    ascending("extended.groups", &extended.groups)?;
    ascending("extended.periods", &extended.periods)?;
    if !result.vcov.is_empty() {
        length("vcov", result.vcov.len(), count_of_cells)?;
        result.vcov.iter().try_for_each(|row| length("a row of vcov", row.len(), count_of_cells))?;
    }
    for share in &extended.shares {
        amount("a share of extended.shares", *share)?;
    }
    for (key, own) in &result.aggte {
        check_aggregation(own)?;
        if *key != own.kind {
            return Err(format!("the aggregation {key:?} has type {:?}", own.kind));
        }
    }
    result.not_aggregated.values().filter_map(|own| own.lost.as_ref()).try_for_each(lost)?;
    numbers(saved)?;
    result.diagnostics.as_ref().map_or(Ok(()), diagnostics)
}

fn numbers(saved: &SavedResult) -> CheckResult {
    let (result, extended) = (&saved.result, &saved.extended);
    level("alp", result.alp)?;
    level("extended.spec.alp", extended.spec.alp)?;
    amount("extended.spec.anticipation", extended.spec.anticipation)?;
    if result.n == 0 {
        return Err(impossible("n", 0));
    }
    count("n", result.n)?;
    count("clusters", extended.clusters.unwrap_or(1))?;
    count("extended.spec.biters", extended.spec.biters as u64)?;
    if extended.clusters == Some(0) {
        return Err(impossible("clusters", 0));
    }
    let dropped = &result.dropped;
    count("dropped.rows", dropped.rows)?;
    count("dropped.units", dropped.units)?;
    dropped.reasons.values().try_for_each(|rows| count("a count of dropped.reasons", *rows))?;
    extended
        .cohort_units
        .iter()
        .try_for_each(|(_, units)| count("a count of extended.cohort_units", *units))?;
    result.wald.map_or(Ok(()), |wald| count("wald.df", wald.df))
}

fn diagnostics(own: &Diagnostics) -> CheckResult {
    for overlap in &own.overlap {
        finite("a group of diagnostics.overlap", overlap.group.0)?;
        finite("trimmed of diagnostics.overlap", overlap.trimmed)?;
        scores(&overlap.treated)?;
        scores(&overlap.untreated)?;
    }
    let balance = own.balance.iter();
    balance
        .flat_map(|balance| [balance.group, balance.time])
        .try_for_each(|x| finite("a group or time of diagnostics.balance", x.0))
}

fn scores(own: &ScoreSummary) -> CheckResult {
    length("quantiles of diagnostics.overlap", own.quantiles.len(), SCORES.0)?;
    length("histogram of diagnostics.overlap", own.histogram.len(), SCORES.1)?;
    count("n of diagnostics.overlap", own.n)?;
    own.histogram.iter().try_for_each(|bin| count("a bin of diagnostics.overlap", *bin))
}

/// Checks the time of an event, in seconds since 1970.
///
/// # Errors
/// A time at which no run can have been.
pub fn check_time(at: f64) -> CheckResult {
    if (0.0..=LAST).contains(&at) { Ok(()) } else { Err(format!("{at:e} is no time of a run")) }
}

/// Checks an event.
///
/// # Errors
/// Lists of wrong lengths, and impossible numbers.
pub fn check_event(own: &RunEvent) -> CheckResult {
    match own {
        RunEvent::InputFound { files, rows, bytes } => {
            count("files", *files as u64)?;
            count("rows", *rows)?;
            count("bytes", *bytes)
        }
        RunEvent::Planned { specs } => specs.iter().try_for_each(outline),
        RunEvent::StageStarted { number, tasks, .. } => {
            count("number", *number)?;
            few("tasks", *tasks)
        }
        RunEvent::Workers { concurrency, .. } => few("concurrency", *concurrency),
        RunEvent::Done(done) => task(done),
        RunEvent::Failed { took, .. } => amount("took", *took),
        RunEvent::StageDone { seconds, .. } => amount("seconds", *seconds),
        RunEvent::Logits { round, active, converged, failed, .. } => {
            [round, active, converged, failed].into_iter().try_for_each(|n| count("a count", *n as u64))
        }
        RunEvent::Estimated(found) => estimated(found),
        RunEvent::Summary(own) => summary(own),
        _ => Ok(()),
    }
}

/// Checks a number of tasks, specifications or cells.
fn few(name: &str, found: usize) -> CheckResult {
    if found <= MANY { Ok(()) } else { Err(impossible(name, found)) }
}

fn outline(own: &SpecOutline) -> CheckResult {
    let told = own.kind.len();
    few("cells", own.cells)?;
    length("group of an outline", own.group.len(), told)?;
    length("time of an outline", own.time.len(), told)?;
    optional("group_label of an outline", own.group_label.len(), told)?;
    optional("time_label of an outline", own.time_label.len(), told)?;
    if told > 0 {
        length("kind of an outline", told, own.cells)?;
    }
    count("units", own.units)?;
    count("draws", own.draws as u64)?;
    own.group.iter().chain(&own.time).try_for_each(|x| finite("a group or time of an outline", x.0))
}

fn task(own: &TaskDone) -> CheckResult {
    let seconds = [own.seconds.open, own.seconds.read, own.seconds.compute, own.seconds.write, own.took];
    seconds.into_iter().chain(own.billed).try_for_each(|x| amount("seconds", x))?;
    let counts =
        [own.rows, own.bytes_read, own.bytes, own.requests, own.throttles, own.peak_memory, own.cached];
    counts.into_iter().try_for_each(|n| count("a count", n))?;
    few("done", own.done)?;
    few("tasks", own.tasks)
}

fn estimated(own: &Estimated) -> CheckResult {
    level("alp", own.alp)?;
    check_cells(&own.att_gt)?;
    own.simple.iter().chain(&own.dynamic).try_for_each(check_aggregation)
}

/// Checks the summary of a run.
///
/// # Errors
/// Numbers that can't be.
pub fn summary(own: &Summary) -> CheckResult {
    [own.bytes_read, own.attempts, own.failures, own.throttled]
        .into_iter()
        .try_for_each(|n| count("a count", n))?;
    [own.done, own.tasks, own.under_way].into_iter().try_for_each(|n| few("a count of tasks", n))?;
    let cost = &own.cost;
    [cost.spent, cost.reserved, cost.refused]
        .into_iter()
        .chain(cost.cap)
        .try_for_each(|x| amount("a cost", x))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_counts_beyond_any_run_are_refused() {
        for at in [-1e300, 1e300, f64::NAN, f64::INFINITY, -1.0] {
            check_time(at).expect_err("no time");
        }
        assert_eq!(check_time(1.8e9), Ok(()));
        let done = |rows| RunEvent::Done(TaskDone { rows, ..TaskDone::default() });
        assert_eq!(check_event(&done(1 << 40)), Ok(()));
        check_event(&done(u64::MAX)).expect_err("no count");
        let outline = SpecOutline {
            cells: 2,
            kind: vec![crate::events::CellKind::Estimate; 2],
            ..SpecOutline::default()
        };
        let told = check_event(&RunEvent::Planned { specs: vec![outline] });
        assert_eq!(told, Err("group of an outline has 0 entries, expected 2".to_owned()));
    }

    #[test]
    fn lists_of_different_lengths_are_named_with_both() {
        let own = serde_json::json!({
            "type": "dynamic", "na_rm": false, "cband": true, "warnings": [],
            "overall_att": 1, "overall_se": 1, "overall_lci": 1, "overall_uci": 1,
            "egt": [0, 1, 2], "att_egt": [1, 1, 1], "se_egt": [1, 1], "lci_egt": [1, 1, 1], "uci_egt": [1, 1, 1],
        });
        let own: Aggte = serde_json::from_value(own).unwrap();
        let told = "se_egt of the aggregation \"dynamic\" has 2 entries, expected 3";
        assert_eq!(check_aggregation(&own), Err(told.to_owned()));
        let other = Aggte { kind: "odd".into(), ..own };
        assert_eq!(check_aggregation(&other), Err("an aggregation has the unknown type \"odd\"".to_owned()));
    }
}
