//! R `did`'s numbers: every reference case of a balanced panel, through the command line.
//!
//! Cases that belong to later issues are counted, and must be refused: a wrong number would be worse than none.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Map, Value, json};
use stagger_tests::cli::{self, note, path_str};
use stagger_tests::compare::{Allowed, Differences, entries, floats, rows};
use stagger_tests::golden::{Balance, Case, Kind, arguments, cases};
use stagger_tests::tolerance;

/// What is to be found in `fixtures/golden`. A change here is a change of what is tested.
const EXPECTED: [(Kind, usize); 13] = [
    (Kind::Analytic, 293),
    (Kind::AnalyticClustered, 12),
    (Kind::FixedWeights, 18),
    (Kind::Bootstrap, 10),
    (Kind::BootstrapClustered, 6),
    (Kind::Refused, 9),
    (Kind::TwoWayClusters, 2),
    (Kind::LaterVaryingWeights, 7),
    (Kind::LaterCrossSections, 111),
    (Kind::LaterUnbalanced, 74),
    (Kind::LaterTripleDifferences, 439),
    (Kind::LaterSensitivity, 7),
    (Kind::LaterTwoByTwo, 14),
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
            kind if kind.is_later() => "later issue: refused",
            _ => "compared",
        };
        text += &format!("\n  {kind:<28} {count:>4}  {treatment}");
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

#[test]
fn later_cases_are_refused() {
    let later = |kind: Kind| kind.is_later() && !matches!(kind, Kind::LaterSensitivity | Kind::LaterTwoByTwo);
    let chosen: Vec<Case> =
        cases_by_kind().into_iter().filter(|(kind, _)| later(*kind)).map(|(_, case)| case).collect();
    let differences = over_threads(&chosen, |case, differences| {
        expect_refusal(case, &cli::run(&run_arguments(case)), differences);
    });
    differences.assert_none();
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
    let chosen: Vec<Case> =
        cases_by_kind().into_iter().filter(|(kind, _)| kinds.contains(kind)).map(|(_, case)| case).collect();
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
    let output = cli::run(&args);
    if output.code != Some(0) {
        return differences.problem(&case.name, format!("exit {:?}: {}", output.code, output.stderr.trim()));
    }
    let ours = output.json();
    let judge = Judge::of(case);
    compare_cells(case, &judge, &ours, differences);
    compare_covariance(case, &judge, &ours, differences);
    compare_wald(case, &judge, &ours, differences);
    for aggregation in &case.aggregations {
        let options = aggregation["args"].as_object().cloned().unwrap_or_default();
        let kind = options.get("type").and_then(Value::as_str).unwrap_or_default();
        let place = format!("{} {}", case.name, arguments(&options).join(" "));
        if options.len() == 1 {
            judge.aggregation(&place, &ours["aggte"][kind], aggregation, differences);
            continue;
        }
        let mut args = vec!["agg".to_owned(), path_str(&saved).to_owned()];
        args.extend(arguments(&options));
        args.push("--json".to_owned());
        let output = cli::run(&args);
        match output.code {
            Some(0) => judge.aggregation(&place, &output.json(), aggregation, differences),
            code => differences.problem(&place, format!("exit {code:?}: {}", output.stderr.trim())),
        }
    }
}

/// The tolerances of a case.
struct Judge {
    /// Of what is computed without draws.
    point: f64,
    /// Of standard errors.
    se: f64,
    /// Of simultaneous critical values.
    crit: f64,
}

impl Judge {
    fn of(case: &Case) -> Self {
        let point = tolerance::relative(case.est_method(), case.has_covariates());
        let simultaneous = case.flag("cband").unwrap_or(true);
        Judge {
            point,
            se: case.draws().map_or(point, tolerance::bootstrap_se),
            crit: case
                .draws()
                .filter(|_| simultaneous)
                .map_or(tolerance::CLOSED_FORM, tolerance::bootstrap_crit),
        }
    }

    fn aggregation(&self, place: &str, ours: &Value, r: &Value, differences: &mut Differences) {
        if ours.is_null() {
            return differences.problem(place, "is missing");
        }
        let overall_se = r["overall_se"].as_f64().unwrap_or(0.0);
        let point = Allowed { relative: self.point, scale: overall_se };
        let number = |value: &Value| value.as_f64();
        differences.number(
            place,
            "overall_att",
            number(&ours["overall_att"]),
            number(&r["overall_att"]),
            point,
        );
        let se = Allowed { relative: self.se, scale: 0.0 };
        differences.number(place, "overall_se", number(&ours["overall_se"]), number(&r["overall_se"]), se);
        let crit = Allowed { relative: self.crit, scale: 0.0 };
        differences.number(place, "crit_egt", number(&ours["crit"]), number(&r["crit"]), crit);
        let scales = scales(&r["se_egt"]);
        differences.vector(place, "egt", &ours["egt"], &r["egt"], 0.0, &[]);
        differences.vector(place, "att_egt", &ours["att_egt"], &r["att_egt"], self.point, &scales);
        differences.vector(place, "se_egt", &ours["se_egt"], &r["se_egt"], self.se, &[]);
    }
}

/// Standard errors as scales; `NA` gives none.
fn scales(se: &Value) -> Vec<f64> {
    entries(se).into_iter().map(|se| se.unwrap_or(0.0)).collect()
}

fn compare_cells(case: &Case, judge: &Judge, ours: &Value, differences: &mut Differences) {
    let (r, cells) = (&case.result, &ours["att_gt"]);
    differences.vector(&case.name, "group", &cells["group"], &r["groups"], 0.0, &[]);
    differences.vector(&case.name, "time", &cells["time"], &r["times"], 0.0, &[]);
    differences.vector(&case.name, "att", &cells["att"], &r["att"], judge.point, &scales(&r["se"]));
    differences.vector(&case.name, "se", &cells["se"], &r["se"], judge.se, &[]);
    differences.vector(&case.name, "n", &ours["n"], &r["n"], 0.0, &[]);
    differences.vector(&case.name, "alp", &ours["alp"], &r["alp"], 0.0, &[]);
    differences.vector(&case.name, "crit", &ours["crit"], &r["crit"], judge.crit, &[]);
    compare_band(case, ours, differences);
}

/// The band is `att ± crit·se`, and `post` is `group <= time`.
fn compare_band(case: &Case, ours: &Value, differences: &mut Differences) {
    let cells = &ours["att_gt"];
    let crit = ours["crit"].as_f64().unwrap_or(f64::NAN);
    let end = |sign: f64| -> Value {
        floats(&cells["att"])
            .iter()
            .zip(floats(&cells["se"]))
            .map(|(att, se)| json!(att + sign * crit * se))
            .collect()
    };
    let scales = scales(&cells["se"]);
    differences.vector(&case.name, "lci", &cells["lci"], &end(-1.0), 1e-13, &scales);
    differences.vector(&case.name, "uci", &cells["uci"], &end(1.0), 1e-13, &scales);
    let post: Value =
        floats(&cells["group"]).iter().zip(floats(&cells["time"])).map(|(g, t)| json!(*g <= t)).collect();
    if cells["post"] != post {
        differences.problem(&case.name, "post is not group <= time");
    }
}

/// R's V ignores clusters when the bootstrap is on; ours does not.
fn compare_covariance(case: &Case, judge: &Judge, ours: &Value, differences: &mut Differences) {
    if case.draws().is_some() && !case.clusters().is_empty() {
        return;
    }
    let (v, n) = (rows(&ours["vcov"]), ours["n"].as_f64().unwrap_or(f64::NAN));
    let se: Value = v.iter().enumerate().map(|(i, row)| json!((row[i] / n).sqrt())).collect();
    differences.vector(&case.name, "se_analytic", &se, &case.result["se_analytic"], judge.point, &[]);
    let reference = rows(&case.result["V_analytical"]);
    if reference.is_empty() {
        return;
    }
    if v.len() != reference.len() {
        return differences
            .problem(&case.name, format!("vcov has {} rows, R has {}", v.len(), reference.len()));
    }
    for (i, row) in reference.iter().enumerate() {
        for (j, &value) in row.iter().enumerate() {
            let scale = (reference[i][i] * reference[j][j]).sqrt();
            let allowed = Allowed { relative: judge.point, scale };
            differences.number(
                &format!("{}[{i},{j}]", case.name),
                "vcov",
                v[i].get(j).copied(),
                Some(value),
                allowed,
            );
        }
    }
}

fn compare_wald(case: &Case, judge: &Judge, ours: &Value, differences: &mut Differences) {
    let (wald, r) = (&ours["wald"], &case.result);
    let relative = tolerance::WALD_FACTOR * judge.point;
    let stat = r["wald"].as_f64();
    differences.number(&case.name, "wald", wald["stat"].as_f64(), stat, Allowed { relative, scale: 0.0 });
    if let Some(stat) = stat {
        differences.vector(&case.name, "wald_df", &wald["df"], &r["wald_q"], 0.0, &[]);
        // The density of χ² is below 1/2, so p moves by at most half of what the statistic may move by.
        let scale = (0.5 * stat).max(1.0);
        let allowed = Allowed { relative, scale };
        differences.number(&case.name, "wald_p", wald["p"].as_f64(), r["wald_p"].as_f64(), allowed);
    }
}
