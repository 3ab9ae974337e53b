//! Saved results with R's own numbers for the minimum-wage panel, from the golden cases.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::{read, workspace};

/// The 0.975 quantile of the standard normal distribution.
const NORMAL: f64 = 1.959_963_984_540_05;

/// Doubly robust with covariates and simultaneous bands.
///
/// # Panics
/// If `S` is no saved result; so do all functions here.
#[track_caller]
pub fn bootstrap<S: DeserializeOwned>() -> S {
    read(bootstrap_json())
}

/// Without covariates and bootstrap, universal base period.
#[track_caller]
pub fn universal<S: DeserializeOwned>() -> S {
    read(universal_json())
}

/// A run with clusters, drops, warnings and a cell that can't be estimated.
#[track_caller]
pub fn troubled<S: DeserializeOwned>() -> S {
    let mut saved = bootstrap_json();
    let spec = &mut saved["extended"]["spec"];
    spec["clustervars"] = json!(["countyreal", "state"]);
    spec["weightsname"] = json!("weight");
    saved["extended"]["clusters"] = json!(29);
    saved["wald"] = Value::Null;
    for numbers in ["att", "se", "lci", "uci"] {
        saved["att_gt"][numbers][3] = Value::Null;
    }
    saved["aggte"] = json!({});
    let reasons = json!({ "missing values in lemp": 1002, "units not seen in every period": 10 });
    saved["dropped"] = json!({ "rows": 1012, "units": 3, "reasons": reasons });
    saved["warnings"] = json!([
        "ATT(2004, 2007) can't be estimated: overlap condition violated (largest fitted propensity score 0.9995, limit 0.999)"
    ]);
    read(saved)
}

/// Triple differences of repeated cross sections; the numbers are those of [`universal`].
#[track_caller]
pub fn triple<S: DeserializeOwned>() -> S {
    let mut saved = universal_json();
    let spec = &mut saved["extended"]["spec"];
    spec["pname"] = json!("low.wage");
    spec["panel"] = json!(false);
    spec["idname"] = json!("");
    spec["weightsname"] = json!("weight");
    saved["estimator"] = json!("ddd");
    saved["wald"] = Value::Null;
    saved["dropped"] = json!({ "rows": 2, "units": 2, "reasons": { "missing values in lemp": 2 } });
    read(saved)
}

fn bootstrap_json() -> Value {
    saved("att_boot_mpdta_s1", json!({ "xformla": "~ lpop", "biters": 5000 }))
}

fn universal_json() -> Value {
    saved("mpdta_dr_nt_uni_a0_x0", json!({ "bstrap": false, "cband": false, "base_period": "universal" }))
}

/// The saved result of a golden case; `arguments` are those that differ from the defaults.
fn saved(case: &str, arguments: Value) -> Value {
    let golden = golden(case);
    let result = &golden["result"];
    let mut spec: Map<String, Value> = crate::runs::mpdta_spec();
    spec.extend(arguments.as_object().cloned().unwrap_or_default());
    let universal = spec.get("base_period").is_some_and(|base| base == "universal");
    let (att, se) = (numbers(&result["att"]), numbers(&result["se"]));
    let (group, time) = (numbers(&result["groups"]), numbers(&result["times"]));
    let crit = number(&result["crit"]);
    let cells = att.len();
    let size = 1 + 3 + cells;
    let default = |golden: &&Value| golden["args"].as_object().is_some_and(|args| args.len() == 1);
    let aggte = golden["agg"].as_array().expect("aggregations").iter().filter(default);
    let identity = |i: usize| (0..size).map(|j| f64::from(u8::from(i == j))).collect::<Vec<f64>>();
    json!({
        "estimator": "att_gt",
        "n": 500,
        "alp": 0.05,
        "crit": crit,
        "cband": crit > NORMAL,
        "att_gt": {
            "post": group.iter().zip(&time).map(|(g, t)| g <= t).collect::<Vec<bool>>(),
            "lci": band(&att, &se, -crit),
            "uci": band(&att, &se, crit),
            "group": group,
            "time": time,
            "att": att,
            "se": se,
        },
        "vcov": vec![vec![1.0; cells]; cells],
        "wald": { "stat": result["wald"], "df": result["wald_q"], "p": result["wald_p"] },
        "aggte": aggte.map(aggregation).collect::<Map<String, Value>>(),
        "dropped": { "rows": 0, "units": 0, "reasons": {} },
        "warnings": [],
        "extended": {
            "reference": se.iter().map(|se| universal && se.is_nan()).collect::<Vec<bool>>(),
            "spec": spec,
            "periods": result["tlist"],
            "groups": result["glist"],
            "shares": [0.04, 0.08, 0.262],
            "covariance": (0..size).map(identity).collect::<Vec<_>>(),
            "cohort_units": [[2004, 20], [2006, 40], [2007, 131], [null, 309]],
        },
    })
}

/// The kind of an aggregation, and the aggregation.
fn aggregation(golden: &Value) -> (String, Value) {
    let kind = golden["args"]["type"].as_str().expect("a kind").to_owned();
    let (att, se) = (number(&golden["overall_att"]), number(&golden["overall_se"]));
    let (att_egt, se_egt) = (numbers(&golden["att_egt"]), numbers(&golden["se_egt"]));
    let crit = golden["crit"].as_f64();
    let aggte = json!({
        "type": kind,
        "na_rm": false,
        "overall_att": att,
        "overall_se": se,
        "overall_lci": att - NORMAL * se,
        "overall_uci": att + NORMAL * se,
        "egt": numbers(&golden["egt"]),
        "lci_egt": band(&att_egt, &se_egt, -crit.unwrap_or(NORMAL)),
        "uci_egt": band(&att_egt, &se_egt, crit.unwrap_or(NORMAL)),
        "att_egt": att_egt,
        "se_egt": se_egt,
        "crit": crit,
        "cband": crit.is_some_and(|crit| crit > NORMAL),
    });
    (kind, aggte)
}

fn band(att: &[f64], se: &[f64], crit: f64) -> Vec<f64> {
    att.iter().zip(se).map(|(att, se)| att + crit * se).collect()
}

fn golden(case: &str) -> Value {
    let path = workspace().join("tests/fixtures/golden/mpdta.jsonl");
    let text = std::fs::read_to_string(path).expect("the golden cases");
    let mut cases = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    cases.find(|golden| golden["case"] == case).expect("a golden case")
}

/// A number; NaN, which JSON shows as `null`, where R has `NA`.
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().map(|values| values.iter().map(number).collect()).unwrap_or_default()
}
