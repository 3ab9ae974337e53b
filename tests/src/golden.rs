//! The reference cases: what R was given, what it answered, and what a test has to do with each.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use stagger_test_support::tables::{is_balanced, read_parquet};

/// One reference case: one line of `fixtures/golden/*.jsonl`.
#[derive(Clone, Debug)]
pub struct Case {
    /// `FILE:CASE`.
    pub name: String,
    /// `att_gt`, `ddd`, `honest`, or `drdid`, `ipwdid`, `ordid`.
    pub estimator: String,
    /// The panel.
    pub data: PathBuf,
    /// Arguments as R takes them.
    pub args: Map<String, Value>,
    /// What computed the result: a package and its version, and what was repaired in it.
    pub reference: String,
    /// `ok`, `error` or `extension`.
    pub status: String,
    /// Values follow a correction made upstream after the reference was built.
    pub amended: bool,
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
    /// Each row with its own weight (`fix_weights = "varying"`).
    VaryingWeights,
    /// `panel = FALSE`, analytic standard errors.
    CrossSections,
    /// The same with clusters.
    CrossSectionsClustered,
    /// The same, multiplier bootstrap with and without clusters.
    CrossSectionsBootstrap,
    /// Units that miss periods and stay, analytic standard errors.
    Unbalanced,
    /// The same with clusters.
    UnbalancedClustered,
    /// The same, multiplier bootstrap with and without clusters.
    UnbalancedBootstrap,
    /// Triple differences of two cohorts and two periods, analytic standard errors.
    TwoPeriodTriple,
    /// The same with draws; R draws for every cluster variable, asked to or not.
    TwoPeriodTripleBootstrap,
    /// Triple differences of many periods, analytic standard errors.
    Triple,
    /// The same with clusters.
    TripleClustered,
    /// The same, multiplier bootstrap with and without clusters.
    TripleBootstrap,
    /// R stops, Stagger computes: two-period unbalanced panels, clusters of cross sections without an id.
    TripleExtension,
    /// `DRDID`'s estimators that `did` calls, on two periods and a treatment dummy.
    TwoByTwo,
    /// `DRDID`'s other estimators, which neither `did` nor Stagger has.
    OtherTwoByTwo,
    /// Sensitivity analysis.
    Sensitivity,
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
            Kind::VaryingWeights => "fix_weights = varying",
            Kind::CrossSections => "cross sections",
            Kind::CrossSectionsClustered => "cross sections, clustered",
            Kind::CrossSectionsBootstrap => "cross sections, bootstrap",
            Kind::Unbalanced => "unbalanced",
            Kind::UnbalancedClustered => "unbalanced, clustered",
            Kind::UnbalancedBootstrap => "unbalanced, bootstrap",
            Kind::TwoPeriodTriple => "ddd, two periods",
            Kind::TwoPeriodTripleBootstrap => "ddd, two periods, bootstrap",
            Kind::Triple => "ddd",
            Kind::TripleClustered => "ddd, clustered",
            Kind::TripleBootstrap => "ddd, bootstrap",
            Kind::TripleExtension => "ddd (extension)",
            Kind::TwoByTwo => "two-by-two",
            Kind::OtherTwoByTwo => "two-by-two, other estimators",
            Kind::Sensitivity => "sensitivity analysis",
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
            reference: text("reference"),
            status: text("status"),
            amended: !text("amended").is_empty(),
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

    /// `est_method` as `did` names it, R's default where absent.
    pub fn est_method(&self) -> &str {
        match self.estimator.as_str() {
            "drdid" => "dr",
            "ipwdid" => "ipw",
            "ordid" => "reg",
            _ => self.text("est_method").unwrap_or("dr"),
        }
    }

    /// Whether the formula has more than the intercept.
    pub fn has_covariates(&self) -> bool {
        self.text("xformla").is_some_and(|formula| formula.replace(' ', "") != "~1")
    }

    /// Cluster variables beyond the unit.
    pub fn clusters(&self) -> Vec<String> {
        let id = self.text("idname").unwrap_or_default();
        let given = ["clustervars", "cluster"].into_iter().flat_map(|name| strings(self.args.get(name)));
        given.filter(|name| name != id).collect()
    }

    /// Whether R's result is that of its two-period triple difference: one number, no cells.
    pub fn is_two_period(&self) -> bool {
        !self.result["subgroup"].is_null()
    }

    /// Whether R's overall standard error by groups is wrong: `triplediff`'s weight term takes the groups of the first
    /// cells for the list of groups (FORMULAS §7.3). The draws' cases come from the package as it is.
    pub fn has_wrong_group_se(&self) -> bool {
        self.estimator == "ddd" && !self.reference.contains("repaired")
    }

    /// Whether some aggregation's draws have two humps, as few clusters carry it: their interquartile range moves by a quarter
    /// from seed to seed (ours from 0.095 to 0.162 over six seeds, R's is 0.106 and the analytic value 0.121).
    pub fn has_two_humps(&self) -> bool {
        self.name.starts_with("mpdta_unbal:mpdtaunbboot_x0") && !self.clusters().is_empty()
    }

    /// Bootstrap draws of R; `None` with analytic standard errors.
    ///
    /// `att_gt` draws by default, `ddd` when asked; with clusters the two-period `ddd` draws 999 without being asked.
    pub fn draws(&self) -> Option<f64> {
        let number = |name: &str| self.args.get(name).and_then(Value::as_f64);
        match self.estimator.as_str() {
            "att_gt" => self.flag("bstrap").unwrap_or(true).then(|| number("biters").unwrap_or(1000.0)),
            "ddd" => {
                let on = self.flag("boot").unwrap_or(false);
                let forced = self.is_two_period() && !self.clusters().is_empty();
                (on || forced).then(|| number("nboot").unwrap_or(999.0))
            }
            _ => None,
        }
    }

    /// The case as arguments of `stagger run`, R's names one to one.
    ///
    /// R scales draws by their interquartile range always, so bootstrap cases ask for it.
    pub fn options(&self) -> Vec<String> {
        let mut options = match self.estimator.as_str() {
            "att_gt" | "ddd" => arguments(&self.args),
            _ => self.two_by_two_options(),
        };
        if self.draws().is_some() {
            options.extend(["--scale", "iqr"].map(str::to_owned));
        }
        options
    }

    /// `DRDID`'s arguments: the treatment dummy is read as a cohort of the second period.
    fn two_by_two_options(&self) -> Vec<String> {
        let mut options = Map::new();
        for (name, value) in &self.args {
            match name.as_str() {
                "treatname" => options.insert("gname".to_owned(), value.clone()),
                "est_method" => continue,
                _ => options.insert(name.clone(), value.clone()),
            };
        }
        options.insert("est_method".to_owned(), self.est_method().into());
        options.insert("bstrap".to_owned(), false.into());
        options.insert("base_period".to_owned(), "varying".into());
        arguments(&options)
    }

    /// What a test does with the case.
    pub fn kind(&self, balance: &mut Balance) -> Kind {
        match self.estimator.as_str() {
            "att_gt" => self.kind_of_att_gt(balance),
            "ddd" => self.kind_of_triple(),
            "honest" => Kind::Sensitivity,
            _ => self.kind_of_two_by_two(),
        }
    }

    fn kind_of_att_gt(&self, balance: &mut Balance) -> Kind {
        match self.status.as_str() {
            "error" => return Kind::Refused,
            "extension" => return Kind::TwoWayClusters,
            _ => {}
        }
        let kinds = |analytic, clustered, bootstrap| match (self.draws(), self.clusters().is_empty()) {
            (Some(_), _) => bootstrap,
            (None, true) => analytic,
            (None, false) => clustered,
        };
        let fix_weights = self.text("fix_weights");
        if self.flag("panel") == Some(false) {
            kinds(Kind::CrossSections, Kind::CrossSectionsClustered, Kind::CrossSectionsBootstrap)
        } else if self.flag("allow_unbalanced_panel") == Some(true) && !balance.of(self) {
            kinds(Kind::Unbalanced, Kind::UnbalancedClustered, Kind::UnbalancedBootstrap)
        } else if fix_weights == Some("varying") {
            Kind::VaryingWeights
        } else if self.draws().is_some() && !self.clusters().is_empty() {
            Kind::BootstrapClustered
        } else if fix_weights.is_some() && self.draws().is_none() {
            Kind::FixedWeights
        } else {
            kinds(Kind::Analytic, Kind::AnalyticClustered, Kind::Bootstrap)
        }
    }

    fn kind_of_triple(&self) -> Kind {
        if self.status == "extension" {
            return Kind::TripleExtension;
        }
        match (self.is_two_period(), self.draws().is_some(), self.clusters().is_empty()) {
            (true, false, _) => Kind::TwoPeriodTriple,
            (true, true, _) => Kind::TwoPeriodTripleBootstrap,
            (false, true, _) => Kind::TripleBootstrap,
            (false, false, true) => Kind::Triple,
            (false, false, false) => Kind::TripleClustered,
        }
    }

    /// `did` calls the traditional doubly robust, the normalised weighting and the regression estimators. `drdid`'s
    /// `trad` and `trad_local` are one number here, and on cross sections that of the locally efficient estimator.
    fn kind_of_two_by_two(&self) -> Kind {
        match (self.estimator.as_str(), self.text("est_method")) {
            ("drdid", Some("trad" | "trad_local")) | ("ipwdid", Some("std_ipw")) | ("ordid", None) => {
                Kind::TwoByTwo
            }
            _ => Kind::OtherTwoByTwo,
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
        assert_eq!(kind("nsw:drdid_nsw_rc_drdid_trad_local", &mut balance), Kind::TwoByTwo);
        assert_eq!(kind("nsw:drdid_nsw_p_ipwdid_ipw", &mut balance), Kind::OtherTwoByTwo);
        assert_eq!(kind("ddd_w:ddd_mp_clus_noboot", &mut balance), Kind::TripleClustered);
        // R was not asked to draw here, and drew.
        let forced = case("rddd2_dgp1:rddd2clus_dgp1_dr_x0");
        assert_eq!(
            (forced.kind(&mut balance), forced.draws()),
            (Kind::TwoPeriodTripleBootstrap, Some(999.0))
        );
    }

    #[test]
    fn treatment_dummies_are_cohorts() {
        let options = case("nsw:drdid_nsw_rc_drdid_trad").options().join(" ");
        for part in ["--gname experimental", "--est-method dr", "--panel false", "--bstrap false"] {
            assert!(options.contains(part), "{options} lacks {part}");
        }
        assert!(!options.contains("trad"), "{options}");
    }
}
