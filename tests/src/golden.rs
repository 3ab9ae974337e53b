//! The reference cases: what R was given, what it answered, and what a test has to do with each.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::tables::{is_balanced, read_parquet};

/// One reference case: one line of `fixtures/golden/*.jsonl`.
#[derive(Clone, Debug)]
pub struct Case {
    /// `FILE:CASE`.
    pub name: String,
    /// `att_gt`, `ddd`, `honest` or another of R's functions.
    pub estimator: String,
    /// The panel.
    pub data: PathBuf,
    /// Arguments as R takes them.
    pub args: Map<String, Value>,
    /// `ok`, `error` or `extension`.
    pub status: String,
    /// R's message where it stopped.
    pub error: String,
    /// R's result.
    pub result: Value,
    /// R's aggregations: `args` and values.
    pub aggregations: Vec<Value>,
}

/// What a test does with a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Balanced panel, analytic standard errors.
    Analytic,
    /// The same with clusters.
    AnalyticClustered,
    /// The same with weights of a fixed period.
    FixedWeights,
    /// Balanced panel, multiplier bootstrap.
    Bootstrap,
    /// The same with clusters.
    BootstrapClustered,
    /// R refuses.
    Refused,
    /// R refuses, Stagger computes: two-way clusters.
    TwoWayClusters,
    /// Each row with its own weight.
    LaterVaryingWeights,
    /// `panel = FALSE`.
    LaterCrossSections,
    /// Units that miss periods and stay.
    LaterUnbalanced,
    /// Triple differences.
    LaterTripleDifferences,
    /// Sensitivity analysis.
    LaterSensitivity,
    /// Two-by-two estimators on their own.
    LaterTwoByTwo,
}

impl Kind {
    /// Belongs to a later issue: counted, and expected to be refused.
    pub fn is_later(self) -> bool {
        self >= Kind::LaterVaryingWeights
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Analytic => "analytic",
            Kind::AnalyticClustered => "analytic, clustered",
            Kind::FixedWeights => "analytic, fix_weights",
            Kind::Bootstrap => "bootstrap",
            Kind::BootstrapClustered => "bootstrap, clustered",
            Kind::Refused => "refused by R",
            Kind::TwoWayClusters => "two-way clusters (extension)",
            Kind::LaterVaryingWeights => "fix_weights = varying",
            Kind::LaterCrossSections => "repeated cross sections",
            Kind::LaterUnbalanced => "unbalanced panels",
            Kind::LaterTripleDifferences => "triple differences",
            Kind::LaterSensitivity => "sensitivity analysis",
            Kind::LaterTwoByTwo => "two-by-two estimators",
        })
    }
}

/// `tests/fixtures`.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// A panel of the fixtures.
pub fn data(name: &str) -> PathBuf {
    fixtures().join("data").join(format!("{name}.parquet"))
}

/// Every case of every file, in the order of file names and lines.
pub fn cases() -> Vec<Case> {
    let folder = fixtures().join("golden");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("can't list {}: {e}", folder.display()))
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .collect();
    files.sort();
    files.iter().flat_map(|file| cases_of(file)).collect()
}

/// One case by its name `FILE:CASE`.
pub fn case(name: &str) -> Case {
    let (file, _) = name.split_once(':').expect("a name FILE:CASE");
    let path = fixtures().join("golden").join(format!("{file}.jsonl"));
    let mut cases = cases_of(&path).into_iter();
    cases.find(|case| case.name == name).unwrap_or_else(|| panic!("no reference case {name}"))
}

fn cases_of(file: &Path) -> Vec<Case> {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("can't read {}: {e}", file.display()));
    let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    text.lines().filter(|line| !line.trim().is_empty()).map(|line| Case::parse(&stem, line)).collect()
}

impl Case {
    fn parse(file: &str, line: &str) -> Self {
        let mut value: Value = serde_json::from_str(line)
            .unwrap_or_else(|e| panic!("{file}.jsonl has a line that is no JSON: {e}"));
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        Case {
            name: format!("{file}:{}", text("case")),
            estimator: text("estimator"),
            data: fixtures().join("data").join(text("data")),
            status: text("status"),
            error: text("error"),
            args: value["args"].as_object().cloned().unwrap_or_default(),
            aggregations: value["agg"].as_array().cloned().unwrap_or_default(),
            result: value["result"].take(),
        }
    }

    /// A text argument.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.args.get(name).and_then(Value::as_str)
    }

    /// A boolean argument.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.args.get(name).and_then(Value::as_bool)
    }

    /// `est_method`, R's default where absent.
    pub fn est_method(&self) -> &str {
        self.text("est_method").unwrap_or("dr")
    }

    /// Whether the formula has more than the intercept.
    pub fn has_covariates(&self) -> bool {
        self.text("xformla").is_some_and(|formula| formula.replace(' ', "") != "~1")
    }

    /// Cluster variables beyond the unit.
    pub fn clusters(&self) -> Vec<String> {
        let id = self.text("idname").unwrap_or_default();
        strings(self.args.get("clustervars")).into_iter().filter(|name| name != id).collect()
    }

    /// Bootstrap draws; `None` with analytic standard errors.
    pub fn draws(&self) -> Option<f64> {
        let on = self.flag("bstrap").unwrap_or(true);
        on.then(|| self.args.get("biters").and_then(Value::as_f64).unwrap_or(1000.0))
    }

    /// The case as arguments of `stagger run`, R's names one to one.
    ///
    /// R's bootstrap has Rademacher weights. With few clusters their distribution, hence the interquartile range of
    /// the draws, differs from Mammen's by more than Monte-Carlo error, so bootstrap cases ask for them.
    pub fn options(&self) -> Vec<String> {
        let mut options = arguments(&self.args);
        if self.draws().is_some() {
            options.extend(["--multiplier".to_owned(), "rademacher".to_owned()]);
        }
        options
    }

    /// What a test does with the case.
    pub fn kind(&self, balance: &mut Balance) -> Kind {
        match self.estimator.as_str() {
            "att_gt" => {}
            "ddd" => return Kind::LaterTripleDifferences,
            "honest" => return Kind::LaterSensitivity,
            _ => return Kind::LaterTwoByTwo,
        }
        match self.status.as_str() {
            "error" => return Kind::Refused,
            "extension" => return Kind::TwoWayClusters,
            _ => {}
        }
        let (clustered, fix_weights) = (!self.clusters().is_empty(), self.text("fix_weights"));
        if self.flag("panel") == Some(false) {
            Kind::LaterCrossSections
        } else if self.flag("allow_unbalanced_panel") == Some(true) && !balance.of(self) {
            Kind::LaterUnbalanced
        } else if fix_weights == Some("varying") {
            Kind::LaterVaryingWeights
        } else if self.draws().is_some() {
            if clustered { Kind::BootstrapClustered } else { Kind::Bootstrap }
        } else if fix_weights.is_some() {
            Kind::FixedWeights
        } else if clustered {
            Kind::AnalyticClustered
        } else {
            Kind::Analytic
        }
    }

    /// The columns that the case uses. A name in the formula is taken for a column if the panel has it.
    fn columns(&self) -> Vec<String> {
        let mut columns: Vec<String> = ["yname", "gname", "weightsname"]
            .into_iter()
            .filter_map(|name| self.text(name).map(str::to_owned))
            .collect();
        columns.extend(self.clusters());
        let formula = self.text("xformla").unwrap_or_default();
        columns.extend(
            formula.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')).map(str::to_owned),
        );
        columns
    }
}

/// Which panels are balanced, each read once.
#[derive(Debug, Default)]
pub struct Balance(BTreeMap<(PathBuf, Vec<String>), bool>);

impl Balance {
    /// Whether every unit of the case's panel has every period once incomplete rows are dropped.
    pub fn of(&mut self, case: &Case) -> bool {
        let columns = case.columns();
        *self.0.entry((case.data.clone(), columns.clone())).or_insert_with(|| {
            let (id, time) =
                (case.text("idname").unwrap_or_default(), case.text("tname").unwrap_or_default());
            is_balanced(&read_parquet(&case.data), id, time, &columns)
        })
    }
}

/// R's arguments as flags: `est_method = "dr"` is `--est-method dr`, a vector is joined by commas.
pub fn arguments(args: &Map<String, Value>) -> Vec<String> {
    let mut flags = Vec::new();
    for (name, value) in args {
        flags.push(format!("--{}", name.replace('_', "-")));
        flags.push(match value {
            Value::String(text) => text.clone(),
            Value::Array(_) => strings(Some(value)).join(","),
            other => other.to_string(),
        });
    }
    flags
}

/// A string or a vector of strings.
fn strings(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_become_flags() {
        let args = serde_json::json!({"bstrap": false, "clustervars": ["id", "state"], "est_method": "dr", "min_e": -1});
        let flags = arguments(args.as_object().unwrap());
        assert_eq!(flags.join(" "), "--bstrap false --clustervars id,state --est-method dr --min-e -1");
    }

    #[test]
    fn balance_is_read_from_the_data() {
        let mut balance = Balance::default();
        let kind = |name: &str, balance: &mut Balance| case(name).kind(balance);
        assert_eq!(kind("mpdta:mpdta_dr_nt_uni_a0_x0", &mut balance), Kind::Analytic);
        assert_eq!(kind("panel_w:att_clus_two_dr", &mut balance), Kind::TwoWayClusters);
        assert_eq!(kind("panel_w:att_boot_nocband_dr", &mut balance), Kind::Bootstrap);
        assert_eq!(kind("panel_w:att_err_arg_gname", &mut balance), Kind::Refused);
    }
}
