//! R's numbers: every reference case of `did`, `triplediff` and `DRDID`, through the command line.
//!
//! Where R stops and Stagger computes, and for estimators that Stagger does not have, cases are counted and not
//! compared here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value};
use stagger_tests::cli::{self, note, path_str};
use stagger_tests::compare::{Differences, entries, floats};
use stagger_tests::golden::{Balance, Case, Kind, arguments, cases};
use stagger_tests::judge::Judge;

/// What is to be found in `fixtures/golden`. A change here is a change of what is tested.
const EXPECTED: [(Kind, usize); 23] = [
    (Kind::Analytic, 293),
    (Kind::AnalyticClustered, 12),
    (Kind::FixedWeights, 18),
    (Kind::Bootstrap, 10),
    (Kind::BootstrapClustered, 6),
    (Kind::Refused, 9),
    (Kind::TwoWayClusters, 2),
    (Kind::VaryingWeights, 7),
    (Kind::CrossSections, 93),
    (Kind::CrossSectionsClustered, 9),
    (Kind::CrossSectionsBootstrap, 9),
    (Kind::Unbalanced, 58),
    (Kind::UnbalancedClustered, 7),
    (Kind::UnbalancedBootstrap, 9),
    (Kind::TwoPeriodTriple, 78),
    (Kind::TwoPeriodTripleBootstrap, 27),
    (Kind::Triple, 296),
    (Kind::TripleClustered, 13),
    (Kind::TripleBootstrap, 12),
    (Kind::TripleExtension, 13),
    (Kind::TwoByTwo, 8),
    (Kind::OtherTwoByTwo, 6),
    (Kind::Sensitivity, 7),
];

#[test]
fn every_case_has_its_kind() {
    let mut found: BTreeMap<Kind, usize> = EXPECTED.iter().map(|(kind, _)| (*kind, 0)).collect();
    for (kind, _) in cases_by_kind() {
        *found.entry(kind).or_default() += 1;
    }
    let mut text = "reference cases by kind".to_owned();
    for (kind, count) in &found {
        let treatment = match kind {
            Kind::Refused => "refused with exit 2, naming the same trouble",
            Kind::TwoWayClusters => "compared by property (inference.rs)",
            Kind::TripleExtension => "runs; compared by property (kinds.rs)",
            Kind::OtherTwoByTwo => "another estimator: not compared",
            Kind::Sensitivity => "compared in estimator::sensitivity",
            _ => "compared",
        };
        text += &format!("\n  {kind:<30} {count:>4}  {treatment}");
    }
    note(&text);
    assert_eq!(found.into_iter().collect::<Vec<_>>(), EXPECTED, "the reference cases changed");
}

#[test]
fn analytic_cases_equal_r() {
    compare_kinds("analytic", &[Kind::Analytic, Kind::AnalyticClustered, Kind::FixedWeights]);
}

#[test]
fn bootstrap_cases_equal_r_within_monte_carlo_error() {
    compare_kinds("bootstrap", &[Kind::Bootstrap, Kind::BootstrapClustered]);
}

#[test]
fn varying_weights_equal_r() {
    compare_kinds("fix_weights = varying", &[Kind::VaryingWeights]);
}

#[test]
fn cross_sections_equal_r() {
    compare_kinds("cross sections", &[Kind::CrossSections, Kind::CrossSectionsClustered]);
    compare_kinds("cross sections, bootstrap", &[Kind::CrossSectionsBootstrap]);
}

#[test]
fn unbalanced_panels_equal_r() {
    compare_kinds("unbalanced", &[Kind::Unbalanced, Kind::UnbalancedClustered]);
    compare_kinds("unbalanced, bootstrap", &[Kind::UnbalancedBootstrap]);
}

#[test]
fn triple_differences_of_two_periods_equal_r() {
    compare_kinds("ddd, two periods", &[Kind::TwoPeriodTriple]);
    compare_kinds("ddd, two periods, bootstrap", &[Kind::TwoPeriodTripleBootstrap]);
}

#[test]
fn triple_differences_equal_r() {
    compare_kinds("ddd", &[Kind::Triple, Kind::TripleClustered]);
    compare_kinds("ddd, bootstrap", &[Kind::TripleBootstrap]);
}

#[test]
fn treatment_dummies_equal_r() {
    compare_kinds("two-by-two", &[Kind::TwoByTwo]);
}

/// Cases at which R stops by a defect: they run, and their numbers are finite.
#[test]
fn extensions_of_triple_differences_run() {
    let chosen = cases_of(&[Kind::TripleExtension]);
    let differences = over_threads(&chosen, |case, differences| {
        let Some(ours) = result_of(case, &run_arguments(case), differences) else { return };
        let (att, se) = (entries(&ours["att_gt"]["att"]), floats(&ours["att_gt"]["se"]));
        let base = |i: usize| att[i] == Some(0.0) && se[i].is_nan();
        if att.is_empty() || !(0..att.len()).all(|i| base(i) || (att[i].is_some() && se[i] > 0.0)) {
            differences.problem(&case.name, format!("a cell is not estimated: {}", ours["att_gt"]));
        }
    });
    differences.assert_none();
}

#[test]
fn what_r_refuses_is_refused_by_name() {
    let mut differences = Differences::default();
    for (_, case) in cases_by_kind().into_iter().filter(|(kind, _)| *kind == Kind::Refused) {
        let output = cli::run(&run_arguments(&case));
        expect_refusal(&case, &output, &mut differences);
        let message = output.stderr.to_lowercase().replace('-', "_");
        for word in trouble(&case) {
            if !message.contains(word) {
                differences
                    .problem(&case.name, format!("the message lacks `{word}`: {}", output.stderr.trim()));
            }
        }
    }
    differences.assert_none();
}

/// The words by which a message names the trouble that R had.
fn trouble(case: &Case) -> &'static [&'static str] {
    match case.name.rsplit_once("att_").map(|(_, name)| name) {
        Some("err_arg_anticipation") => &["anticipation", "_1"],
        Some("err_arg_base_period") => &["base_period", "fixed", "varying", "universal"],
        Some("err_arg_control_group") => &["control_group", "never", "nevertreated", "notyettreated"],
        Some("err_arg_est_method") => &["est_method", "aipw", "dr", "ipw", "reg"],
        Some("err_arg_gname") => &["gname"],
        Some("err_arg_idname") => &["idname"],
        Some("err_arg_xformla") => &["zzz"],
        Some("err_arg_yname") => &["yname", "zzz"],
        Some("formula14") => &["bs"],
        _ => panic!("{}: say which words its message must have; R says: {}", case.name, case.error),
    }
}

fn expect_refusal(case: &Case, output: &cli::Output, differences: &mut Differences) {
    if output.code != Some(2) || !output.stderr.starts_with("error: ") || !output.stdout.is_empty() {
        let text =
            format!("expected exit 2 and an error alone, got {:?}: {}", output.code, output.stderr.trim());
        differences.problem(&case.name, text);
    }
}

fn cases_by_kind() -> Vec<(Kind, Case)> {
    let mut balance = Balance::default();
    cases().into_iter().map(|case| (case.kind(&mut balance), case)).collect()
}

fn cases_of(kinds: &[Kind]) -> Vec<Case> {
    cases_by_kind().into_iter().filter(|(kind, _)| kinds.contains(kind)).map(|(_, case)| case).collect()
}

/// The result object, or a note that there is none.
fn result_of(case: &Case, args: &[String], differences: &mut Differences) -> Option<Value> {
    let output = cli::run(args);
    if output.code != Some(0) {
        differences.problem(&case.name, format!("exit {:?}: {}", output.code, output.stderr.trim()));
        return None;
    }
    Some(output.json())
}

fn run_arguments(case: &Case) -> Vec<String> {
    let mut args = vec!["run".to_owned(), path_str(&case.data).to_owned()];
    // `inffunc` asks R's object to keep what it computed.
    let given: Map<String, Value> = case
        .args
        .iter()
        .filter(|(name, _)| *name != "inffunc")
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    args.extend(Case { args: given, ..case.clone() }.options());
    args.extend(["--threads", "1", "--json"].map(str::to_owned));
    args
}

#[track_caller]
fn compare_kinds(label: &str, kinds: &[Kind]) {
    let chosen = cases_of(kinds);
    let differences = over_threads(&chosen, compare_case);
    let (cases, numbers) = (chosen.len(), differences.numbers);
    note(&format!(
        "{label}: {cases} cases, {numbers} numbers compared with R\n{}",
        differences.closest_calls()
    ));
    differences.assert_none();
}

/// Runs `work` on every case, over as many threads as there are cores.
fn over_threads(cases: &[Case], work: impl Fn(&Case, &mut Differences) + Sync) -> Differences {
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Differences::default()));
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut differences = Differences::default();
                    work(case, &mut differences);
                    all.lock().expect("no worker panics while it merges").merge(differences);
                }
            });
        }
    });
    let mut differences = all.into_inner().expect("no worker panics while it merges");
    differences.problems.sort();
    differences
}

fn compare_case(case: &Case, differences: &mut Differences) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let saved = folder.path().join("result");
    let mut args = run_arguments(case);
    args.extend(["--out".to_owned(), path_str(&saved).to_owned()]);
    let Some(ours) = result_of(case, &args, differences) else { return };
    let judge = Judge::of(case);
    judge.result(case, &ours, differences);
    compare_aggregations(case, &judge, &ours, &saved, differences);
}

fn compare_aggregations(
    case: &Case,
    judge: &Judge,
    ours: &Value,
    saved: &Path,
    differences: &mut Differences,
) {
    for aggregation in &case.aggregations {
        let options = aggregation["args"].as_object().cloned().unwrap_or_default();
        // `triplediff` says `eventstudy`.
        let kind = match options.get("type").and_then(Value::as_str).unwrap_or_default() {
            "eventstudy" => "dynamic",
            kind => kind,
        };
        let place = format!("{} {}", case.name, arguments(&options).join(" "));
        if options.len() == 1 {
            judge.aggregation(&place, &ours["aggte"][kind], aggregation, differences);
            continue;
        }
        let mut args = vec!["agg".to_owned(), path_str(saved).to_owned()];
        args.extend(arguments(&options));
        args.push("--json".to_owned());
        let output = cli::run(&args);
        match output.code {
            Some(0) => judge.aggregation(&place, &output.json(), aggregation, differences),
            code => differences.problem(&place, format!("exit {code:?}: {}", output.stderr.trim())),
        }
    }
}
