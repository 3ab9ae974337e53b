//! A result against its reference case: which of R's numbers has which counterpart, and by what it is judged.

use faer::Mat;
use serde_json::{Value, json};
use stagger_estimator::inference::{tested_cells, wald_pretest};

use crate::compare::{Allowed, Differences, entries, floats, rows};
use crate::golden::Case;
use crate::tolerance;

/// The tolerances of a case.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    /// Of what is computed without draws.
    point: f64,
    /// Of standard errors.
    se: f64,
    /// Of simultaneous critical values.
    crit: f64,
    /// `triplediff` gives its simple aggregation no critical value.
    triple: bool,
    /// [`Case::has_wrong_group_se`].
    wrong_group_se: bool,
}

impl Judge {
    /// By method, covariates and draws.
    pub fn of(case: &Case) -> Self {
        let point = tolerance::relative(case.est_method(), case.has_covariates());
        let simultaneous = case.flag("cband").unwrap_or(true);
        Judge {
            point,
            se: case.draws().map_or(point, tolerance::bootstrap_se)
                * if case.has_two_humps() { 3.0 } else { 1.0 },
            crit: case
                .draws()
                .filter(|_| simultaneous)
                .map_or(tolerance::CLOSED_FORM, tolerance::bootstrap_crit),
            triple: case.estimator == "ddd",
            wrong_group_se: case.has_wrong_group_se(),
        }
    }

    /// Everything in the result that R has too, but the aggregations.
    pub fn result(&self, case: &Case, ours: &Value, differences: &mut Differences) {
        match case.estimator.as_str() {
            "att_gt" => {
                compare_cells(case, self, ours, differences);
                compare_covariance(case, self, ours, differences);
                compare_wald(case, self, ours, differences);
            }
            "ddd" if case.is_two_period() => compare_two_periods(case, self, ours, differences),
            "ddd" => compare_triple(case, self, ours, differences),
            _ => compare_one_cell(case, self, ours, differences),
        }
    }

    /// One aggregation.
    pub fn aggregation(&self, place: &str, ours: &Value, r: &Value, differences: &mut Differences) {
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
        if self.wrong_group_se && r["args"]["type"] == "group" {
            differences.leave_out("overall_se by group of triplediff as it is, which is wrong");
        } else {
            differences.number(
                place,
                "overall_se",
                number(&ours["overall_se"]),
                number(&r["overall_se"]),
                se,
            );
        }
        let crit = Allowed { relative: self.crit, scale: 0.0 };
        if !(self.triple && r["crit"].is_null()) {
            differences.number(place, "crit_egt", number(&ours["crit"]), number(&r["crit"]), crit);
        }
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
    let (wald, r) = (&ours["wald"], &without_window(case, ours));
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

/// R's pre-test, or that of its cells before the anticipation window, which R's release counts as pre-treatment: from R's ATTs
/// and its V, or ours where the reference has none (its diagonal is compared).
fn without_window(case: &Case, ours: &Value) -> Value {
    let r = &case.result;
    let anticipation = case.args.get("anticipation").and_then(Value::as_f64).unwrap_or(0.0);
    let given = case.amended && !r["wald"].is_null();
    if anticipation == 0.0 || given || (r["wald"].is_null() && ours["wald"].is_null()) {
        return r.clone();
    }
    let (groups, times) = (floats(&r["groups"]), floats(&r["times"]));
    let pre: Vec<bool> = groups.iter().zip(&times).map(|(g, t)| t + anticipation < *g).collect();
    let v = if rows(&r["V_analytical"]).is_empty() { &ours["vcov"] } else { &r["V_analytical"] };
    let v = rows(v);
    let n = r["n"].as_u64().unwrap_or(0);
    let att = floats(&r["att"]);
    let tested = tested_cells(&att, &floats(&r["se_analytic"]), &pre);
    let theta: Vec<f64> = tested.iter().map(|&cell| att[cell]).collect();
    let v = Mat::from_fn(tested.len(), tested.len(), |i, j| v[tested[i]][tested[j]]);
    let wald = wald_pretest(&theta, &v, n);
    wald.map_or(Value::Null, |w| json!({"wald": w.stat, "wald_q": w.df, "wald_p": w.p}))
}

/// `triplediff` of many periods: cells, their intervals, and the analytic standard errors without clusters.
fn compare_triple(case: &Case, judge: &Judge, ours: &Value, differences: &mut Differences) {
    let (r, cells, name) = (&case.result, &ours["att_gt"], &case.name);
    expect_triple(case, ours, differences);
    differences.vector(name, "group", &cells["group"], &r["groups"], 0.0, &[]);
    differences.vector(name, "time", &cells["time"], &r["times"], 0.0, &[]);
    differences.vector(name, "att", &cells["att"], &r["att"], judge.point, &scales(&r["se"]));
    differences.vector(name, "se", &cells["se"], &r["se"], judge.se, &[]);
    differences.vector(name, "n", &ours["n"], &r["n"], 0.0, &[]);
    compare_intervals(case, judge, ours, differences);
    compare_band(case, ours, differences);
    if case.clusters().is_empty() {
        // √(mean ψ²/n), without the centring and the n − 1 of cells with several control cohorts.
        let (v, n) = (rows(&ours["vcov"]), ours["n"].as_f64().unwrap_or(f64::NAN));
        let se: Value = v.iter().enumerate().map(|(i, row)| json!((row[i] / n).sqrt())).collect();
        differences.vector(name, "se_from_if", &se, &r["se_from_if"], judge.point, &[]);
    }
}

/// `triplediff` of two periods: one number, ours a single cell. Its standard error has the n − 1 of R's `sd`.
fn compare_two_periods(case: &Case, judge: &Judge, ours: &Value, differences: &mut Differences) {
    expect_triple(case, ours, differences);
    compare_one_cell(case, judge, ours, differences);
    differences.vector(&case.name, "n", &ours["n"], &case.result["if_len"], 0.0, &[]);
    compare_intervals(case, judge, ours, differences);
    compare_band(case, ours, differences);
}

fn expect_triple(case: &Case, ours: &Value, differences: &mut Differences) {
    if ours["estimator"] != "ddd" {
        differences.problem(&case.name, format!("the estimator is {}", ours["estimator"]));
    }
}

/// Results of one number. `DRDID`'s standard errors are √Σψ²/n as ours are; its intervals take 1.96 for the quantile.
fn compare_one_cell(case: &Case, judge: &Judge, ours: &Value, differences: &mut Differences) {
    let (r, cells) = (&case.result, &ours["att_gt"]);
    differences.vector(&case.name, "att", &cells["att"], &r["att"], judge.point, &scales(&r["se"]));
    differences.vector(&case.name, "se", &cells["se"], &r["se"], judge.se, &[]);
}

/// `triplediff` shows its critical value in its intervals alone. With draws only the critical values can be compared.
fn compare_intervals(case: &Case, judge: &Judge, ours: &Value, differences: &mut Differences) {
    let (r, cells, name) = (&case.result, &ours["att_gt"], &case.name);
    let (att, se, uci) = (floats(&r["att"]), floats(&r["se"]), floats(&r["uci"]));
    if case.draws().is_some() {
        let Some(i) = (0..se.len()).find(|&i| se[i].is_finite()) else { return };
        let crit = Some((uci[i] - att[i]) / se[i]);
        let allowed = Allowed { relative: judge.crit, scale: 0.0 };
        return differences.number(name, "crit", ours["crit"].as_f64(), crit, allowed);
    }
    // att ± 1.96·se: the errors of both, by a scale of three standard errors.
    let scales: Vec<f64> = att
        .iter()
        .zip(&se)
        .map(|(att, se)| att.abs() + 3.0 * se)
        .map(|s| if s.is_nan() { 0.0 } else { s })
        .collect();
    for end in ["lci", "uci"] {
        differences.vector(name, end, &cells[end], &r[end], judge.point, &scales);
    }
}
