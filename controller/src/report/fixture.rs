//! Results for tests: R's own numbers for the minimum-wage panel, from the golden cases.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::Value;
use stagger_engine::result::{Aggte, AttGt, Dropped, ExtendedResult, Num, RunResult, SavedResult, WaldTest};
use stagger_engine::spec::{BasePeriod, RunSpec};
use stagger_estimator::symmetric::Symmetric;

const NORMAL: f64 = 1.959_963_984_540_05;

/// Doubly robust with covariates and simultaneous bands.
pub(crate) fn bootstrap() -> SavedResult {
    let spec = RunSpec { xformla: Some("~ lpop".into()), biters: 5000, ..mpdta_spec() };
    saved("att_boot_mpdta_s1", spec)
}

/// Without covariates and bootstrap, universal base period.
pub(crate) fn universal() -> SavedResult {
    let spec = RunSpec { bstrap: false, cband: false, base_period: BasePeriod::Universal, ..mpdta_spec() };
    saved("mpdta_dr_nt_uni_a0_x0", spec)
}

/// A run with clusters, drops, warnings and a cell that can't be estimated.
pub(crate) fn troubled() -> SavedResult {
    let mut saved = bootstrap();
    let spec = &mut saved.extended.spec;
    spec.clustervars = vec!["countyreal".into(), "state".into()];
    spec.weightsname = Some("weight".into());
    saved.extended.clusters = Some(29);
    let result = &mut saved.result;
    result.wald = None;
    for numbers in
        [&mut result.att_gt.att, &mut result.att_gt.se, &mut result.att_gt.lci, &mut result.att_gt.uci]
    {
        numbers[3] = Num::NA;
    }
    result.aggte.clear();
    result.dropped = Dropped {
        rows: 1012,
        units: 3,
        reasons: BTreeMap::from([
            ("missing values in lemp".to_owned(), 1002),
            ("units not seen in every period".to_owned(), 10),
        ]),
        missing: Vec::new(),
    };
    result.warnings = vec![
        "ATT(2004, 2007) can't be estimated: overlap condition violated (largest fitted propensity score 0.9995, limit 0.999)"
            .to_owned(),
    ];
    saved
}

/// Triple differences of repeated cross sections; the numbers are those of [`universal`].
pub(crate) fn triple() -> SavedResult {
    let mut saved = universal();
    let spec = &mut saved.extended.spec;
    (spec.pname, spec.panel, spec.idname) = (Some("low.wage".into()), false, String::new());
    spec.weightsname = Some("weight".into());
    let result = &mut saved.result;
    (result.estimator, result.wald) = ("ddd".into(), None);
    result.dropped = Dropped {
        rows: 2,
        units: 2,
        reasons: BTreeMap::from([("missing values in lemp".to_owned(), 2)]),
        missing: Vec::new(),
    };
    saved
}

fn mpdta_spec() -> RunSpec {
    RunSpec {
        yname: "lemp".into(),
        tname: "year".into(),
        idname: "countyreal".into(),
        gname: "first.treat".into(),
        ..RunSpec::default()
    }
}

fn saved(case: &str, spec: RunSpec) -> SavedResult {
    let golden = golden(case);
    let result = &golden["result"];
    let (group, time) = (numbers(&result["groups"]), numbers(&result["times"]));
    let (att, se) = (numbers(&result["att"]), numbers(&result["se"]));
    let crit = number(&result["crit"]);
    let cells = att.len();
    let extended = 1 + 3 + cells;
    let default = |golden: &&Value| golden["args"].as_object().is_some_and(|args| args.len() == 1);
    let aggte = golden["agg"].as_array().unwrap().iter().filter(default).map(aggregation);
    SavedResult {
        extended: ExtendedResult {
            reference: se.iter().map(|se| spec.base_period == BasePeriod::Universal && se.is_na()).collect(),
            spec,
            periods: numbers(&result["tlist"]),
            calendar: None,
            groups: numbers(&result["glist"]),
            shares: vec![0.04, 0.08, 0.262],
            clusters: None,
            covariance: Symmetric::from_fn(extended, |i, j| f64::from(u8::from(i == j))),
            cohort_units: vec![
                (Num(2004.0), 20),
                (Num(2006.0), 40),
                (Num(2007.0), 131),
                (Num(f64::INFINITY), 309),
            ],
        },
        result: RunResult {
            estimator: "att_gt".into(),
            time_unit: None,
            n: 500,
            alp: 0.05,
            crit,
            cband: crit.0 > NORMAL,
            vcov: vec![vec![Num(1.0); cells]; cells],
            wald: Some(WaldTest {
                stat: number(&result["wald"]),
                df: result["wald_q"].as_u64().unwrap(),
                p: number(&result["wald_p"]),
            }),
            aggte: aggte.map(|aggte| (aggte.kind.clone(), aggte)).collect(),
            dropped: Dropped::default(),
            warnings: Vec::new(),
            diagnostics: None,
            wald_reason: None,
            not_aggregated: BTreeMap::new(),
            att_gt: AttGt {
                post: group.iter().zip(&time).map(|(g, t)| g.0 <= t.0).collect(),
                lci: band(&att, &se, -crit.0),
                uci: band(&att, &se, crit.0),
                group,
                time,
                att,
                se,
                ..AttGt::default()
            },
        },
    }
}

fn aggregation(golden: &Value) -> Aggte {
    let (att, se) = (number(&golden["overall_att"]), number(&golden["overall_se"]));
    let (att_egt, se_egt) = (numbers(&golden["att_egt"]), numbers(&golden["se_egt"]));
    let crit = golden["crit"].as_f64();
    Aggte {
        kind: golden["args"]["type"].as_str().unwrap().to_owned(),
        min_e: None,
        max_e: None,
        balance_e: None,
        na_rm: false,
        overall_att: att,
        overall_se: se,
        overall_lci: Num(att.0 - NORMAL * se.0),
        overall_uci: Num(att.0 + NORMAL * se.0),
        egt_label: Vec::new(),
        egt: numbers(&golden["egt"]),
        lci_egt: band(&att_egt, &se_egt, -crit.unwrap_or(NORMAL)),
        uci_egt: band(&att_egt, &se_egt, crit.unwrap_or(NORMAL)),
        att_egt,
        se_egt,
        crit: crit.map(Num),
        cband: crit.is_some_and(|crit| crit > NORMAL),
        ..Aggte::default()
    }
}

fn band(att: &[Num], se: &[Num], crit: f64) -> Vec<Num> {
    att.iter().zip(se).map(|(att, se)| Num(att.0 + crit * se.0)).collect()
}

fn golden(case: &str) -> Value {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/golden/mpdta.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|golden| golden["case"] == case)
        .unwrap()
}

fn number(value: &Value) -> Num {
    Num(value.as_f64().unwrap_or(f64::NAN))
}

fn numbers(value: &Value) -> Vec<Num> {
    value.as_array().map(|values| values.iter().map(number).collect()).unwrap_or_default()
}
