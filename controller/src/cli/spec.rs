//! From arguments to a specification: what is missing, what is out of range, and R's defaults for the rest.

use stagger_estimator::aggregate::{AggregateKind, AggregateOptions};
use stagger_estimator::options::{BasePeriod, ControlGroup, DrawScale, EstMethod, FixWeights, Multiplier};
use stagger_model::failure::Failure;
use stagger_model::spec::{MissingCohort, RunSpec, TimeUnit};

use super::run_args::{DataArgs, EstimatorArgs, InferenceArgs, RunArgs, WindowArgs};
use super::step_args::{COHORT, StepColumns};

/// The cells that the aggregations use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    /// The least event time; minus infinity for no bound.
    pub(crate) min_e: f64,
    /// The greatest event time; infinity for no bound.
    pub(crate) max_e: f64,
    /// The event time up to which groups must be observed.
    pub(crate) balance_e: Option<f64>,
    /// Cells without an estimate are left out.
    pub(crate) na_rm: bool,
}

impl Window {
    /// R's defaults for what is not given.
    pub(crate) fn new(args: &WindowArgs) -> Result<Self, Failure> {
        let window = Self {
            min_e: args.min_e.unwrap_or(f64::NEG_INFINITY),
            max_e: args.max_e.unwrap_or(f64::INFINITY),
            balance_e: args.balance_e,
            na_rm: args.na_rm.unwrap_or(false),
        };
        if window.min_e > window.max_e {
            return Err(Failure::input(format!(
                "--min-e is {} and --max-e {}: no event time lies between",
                window.min_e, window.max_e
            )));
        }
        if window.balance_e.is_some_and(|e| !e.is_finite()) {
            return Err(Failure::input("--balance-e must be finite"));
        }
        Ok(window)
    }

    /// Refuses limits that a type of aggregation has no use for.
    pub(crate) fn check(&self, kind: &str) -> Result<(), Failure> {
        let Ok(kind) = kind.parse::<AggregateKind>() else { return Ok(()) };
        let given = [
            ("min_e", self.min_e.is_finite()),
            ("max_e", self.max_e.is_finite()),
            ("balance_e", self.balance_e.is_some()),
        ];
        let unused = given.iter().filter(|(limit, given)| *given && !kind.limits().contains(limit));
        let flag = |limit: &str| format!("--{}", limit.replace('_', "-"));
        let unused: Vec<String> = unused.map(|(limit, _)| flag(limit)).collect();
        if unused.is_empty() {
            return Ok(());
        }
        let takes: Vec<String> = kind.limits().iter().map(|limit| flag(limit)).collect();
        let takes = if takes.is_empty() { "no window".to_owned() } else { takes.join(", ") };
        Err(Failure::input(format!(
            "the {kind} aggregation takes {takes}; {} has no effect on it",
            unused.join(", ")
        ))
        .hint(format!(
            "leave out {}; --type dynamic takes --min-e, --max-e and --balance-e",
            unused.join(", ")
        )))
    }

    /// Returns a note about bounds that apply to some types of aggregation only, if any does.
    pub(crate) fn note(&self) -> Option<String> {
        let given = [
            self.min_e.is_finite().then_some("--min-e to dynamic"),
            self.max_e.is_finite().then_some("--max-e to simple, group and dynamic"),
            self.balance_e.map(|_| "--balance-e to dynamic"),
        ];
        let applied: Vec<&str> = given.into_iter().flatten().collect();
        (!applied.is_empty())
            .then(|| format!("of the aggregations, {} applies; calendar has no window", applied.join(", ")))
    }

    /// Returns true for R's default window, with which the run itself aggregates.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self { min_e: f64::NEG_INFINITY, max_e: f64::INFINITY, balance_e: None, na_rm: false }
    }
}

impl From<Window> for AggregateOptions {
    fn from(window: Window) -> Self {
        Self {
            min_e: window.min_e,
            max_e: window.max_e,
            balance_e: window.balance_e,
            na_rm: window.na_rm,
            average: None,
        }
    }
}

/// Checks what is to be estimated.
pub(super) fn specification(args: &RunArgs) -> Result<RunSpec, Failure> {
    let (columns, estimator, inference) = (&args.columns, &args.estimator, &args.inference);
    let default = defaults(columns);
    let panel = columns.panel.unwrap_or(default.panel);
    boot_type(inference)?;
    let window = Window::new(&args.window)?;
    Ok(RunSpec {
        min_e: Some(window.min_e).filter(|e| e.is_finite()),
        max_e: Some(window.max_e).filter(|e| e.is_finite()),
        balance_e: window.balance_e,
        na_rm: window.na_rm,
        missing_cohort: missing_cohort(columns)?.unwrap_or(default.missing_cohort),
        yname: required("yname", "outcome", &columns.yname)?,
        tname: required("tname", "period", &columns.tname)?,
        gname: required("gname", "first treated period", &cohort_column(args))?,
        idname: unit_column(columns, panel)?,
        tunit: tunit(columns)?,
        xformla: non_empty(&columns.xformla),
        weightsname: non_empty(&columns.weightsname),
        clustervars: clusters(inference, columns),
        est_method: est_method(estimator)?.unwrap_or(default.est_method),
        control_group: control_group(estimator)?.unwrap_or(default.control_group),
        anticipation: anticipation(estimator, &default)?,
        base_period: base_period(estimator)?.unwrap_or(default.base_period),
        fix_weights: fix_weights(estimator)?,
        panel,
        allow_unbalanced_panel: columns.allow_unbalanced_panel.unwrap_or(default.allow_unbalanced_panel),
        bstrap: inference.bstrap.unwrap_or(default.bstrap),
        biters: draws(inference)?.unwrap_or(default.biters),
        cband: inference.cband.unwrap_or(default.cband),
        alp: level(inference.alp)?.unwrap_or(default.alp),
        seed: inference.seed.unwrap_or(default.seed),
        multiplier: multiplier(inference)?.unwrap_or(default.multiplier),
        scale: scale(inference)?.unwrap_or(default.scale),
        cluster_factor: inference.cluster_factor.unwrap_or(default.cluster_factor),
        diagnostics: estimator.diagnostics.unwrap_or(default.diagnostics),
        pname: default.pname,
        csv: args.csv.options()?,
        records: args.records.options(&step_columns(args))?,
    })
}

/// The column of the cohort; the name of the one that steps make, if none is given.
pub(crate) fn cohort_column(args: &RunArgs) -> Option<String> {
    let made = args.records.steps.makes_cohort().then(|| COHORT.to_owned());
    non_empty(&args.columns.gname).or(made)
}

fn step_columns(args: &RunArgs) -> StepColumns {
    let columns = &args.columns;
    StepColumns {
        idname: non_empty(&columns.idname),
        tname: non_empty(&columns.tname),
        gname: cohort_column(args),
    }
}

/// R's defaults: those of `did`, or of `triplediff` with an eligibility column.
fn defaults(columns: &DataArgs) -> RunSpec {
    match non_empty(&columns.pname) {
        None => RunSpec::default(),
        pname => RunSpec {
            pname,
            base_period: BasePeriod::Universal,
            bstrap: false,
            cband: false,
            ..RunSpec::default()
        },
    }
}

/// An argument that is given; an empty text takes back what a run file gives.
pub(super) fn non_empty(argument: &Option<String>) -> Option<String> {
    argument.clone().filter(|text| !text.trim().is_empty())
}

fn required(name: &str, meaning: &str, argument: &Option<String>) -> Result<String, Failure> {
    non_empty(argument).ok_or_else(|| {
        Failure::input(format!("argument \"{name}\" is missing"))
            .hint(format!("name the {meaning} column: --{name} COLUMN"))
    })
}

/// The unit's column; none where every row is its own unit.
fn unit_column(columns: &DataArgs, panel: bool) -> Result<String, Failure> {
    if !panel {
        return Ok(String::new());
    }
    non_empty(&columns.idname).ok_or_else(|| {
        Failure::input("argument \"idname\" is missing: it is required when panel is true")
            .hint("name the unit column: --idname COLUMN, or set --panel false for repeated cross sections")
    })
}

fn clusters(inference: &InferenceArgs, columns: &DataArgs) -> Vec<String> {
    let sections = columns.panel == Some(false);
    let id = non_empty(&columns.idname).filter(|_| sections);
    let mut columns: Vec<String> = Vec::new();
    for column in inference.clustervars.iter().flatten() {
        // In cross sections the unit's column is no cluster either: R leaves it out there too.
        if !column.is_empty() && !columns.contains(column) && Some(column) != id.as_ref() {
            columns.push(column.clone());
        }
    }
    columns
}

/// The value of an argument that takes one of a few words; `what` names the words in R's manner.
fn word<T: Copy>(
    name: &str,
    argument: &Option<String>,
    what: &str,
    words: &[(&str, T)],
) -> Result<Option<T>, Failure> {
    let Some(text) = non_empty(argument) else {
        return Ok(None);
    };
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => Ok(Some(*value)),
        None => Err(Failure::input(format!("{name} must be {what}; received \"{text}\""))),
    }
}

fn missing_cohort(columns: &DataArgs) -> Result<Option<MissingCohort>, Failure> {
    let words = [("never", MissingCohort::Never), ("drop", MissingCohort::Drop)];
    word("missing_cohort", &columns.missing_cohort, "either \"never\" or \"drop\"", &words)
}

/// The unit of periods that are dates.
fn tunit(args: &DataArgs) -> Result<Option<TimeUnit>, Failure> {
    let words = TimeUnit::ALL.map(|unit| (unit.name(), unit));
    word("tunit", &args.tunit, "one of \"year\", \"quarter\", \"month\", \"week\", or \"day\"", &words)
}

fn est_method(args: &EstimatorArgs) -> Result<Option<EstMethod>, Failure> {
    let words = [("dr", EstMethod::Dr), ("ipw", EstMethod::Ipw), ("reg", EstMethod::Reg)];
    word("est_method", &args.est_method, "one of \"dr\", \"ipw\", or \"reg\"", &words)
}

fn control_group(args: &EstimatorArgs) -> Result<Option<ControlGroup>, Failure> {
    let words =
        [("nevertreated", ControlGroup::NeverTreated), ("notyettreated", ControlGroup::NotYetTreated)];
    word("control_group", &args.control_group, "either \"nevertreated\" or \"notyettreated\"", &words)
}

fn base_period(args: &EstimatorArgs) -> Result<Option<BasePeriod>, Failure> {
    let words = [("varying", BasePeriod::Varying), ("universal", BasePeriod::Universal)];
    word("base_period", &args.base_period, "either \"varying\" or \"universal\"", &words)
}

fn fix_weights(args: &EstimatorArgs) -> Result<Option<FixWeights>, Failure> {
    let words = [
        ("base_period", FixWeights::BasePeriod),
        ("first_period", FixWeights::FirstPeriod),
        ("varying", FixWeights::Varying),
    ];
    word("fix_weights", &args.fix_weights, "one of \"base_period\", \"first_period\", or \"varying\"", &words)
}

fn multiplier(args: &InferenceArgs) -> Result<Option<Multiplier>, Failure> {
    let words = [("mammen", Multiplier::Mammen), ("rademacher", Multiplier::Rademacher)];
    word("multiplier", &args.multiplier, "either \"mammen\" or \"rademacher\"", &words)
}

fn scale(args: &InferenceArgs) -> Result<Option<DrawScale>, Failure> {
    let words = [("auto", DrawScale::Auto), ("iqr", DrawScale::Iqr)];
    word("scale", &args.scale, "either \"auto\" or \"iqr\"", &words)
}

fn boot_type(args: &InferenceArgs) -> Result<(), Failure> {
    let words = [("multiplier", true), ("weighted", false)];
    match word("boot_type", &args.boot_type, "either \"multiplier\" or \"weighted\"", &words)? {
        Some(false) => {
            Err(Failure::input("boot_type = weighted re-estimates every draw and is not supported")
                .hint("--boot-type multiplier, the default, is"))
        }
        _ => Ok(()),
    }
}

fn anticipation(args: &EstimatorArgs, default: &RunSpec) -> Result<f64, Failure> {
    let periods = args.anticipation.unwrap_or(default.anticipation);
    if !(periods >= 0.0 && periods.is_finite() && periods == periods.trunc()) {
        return Err(Failure::input(format!(
            "anticipation must be a non-negative whole number; received {periods}"
        )));
    }
    if let (Some(pname), true) = (&default.pname, periods > 0.0) {
        return Err(Failure::input(format!(
            "triple differences have no anticipation, as in R's triplediff; received anticipation {periods} with pname {pname}"
        ))
        .hint("leave out --anticipation, or --pname"));
    }
    Ok(periods)
}

/// A significance level inside (0, 1).
pub(crate) fn level(alp: Option<f64>) -> Result<Option<f64>, Failure> {
    match alp {
        Some(alp) if !(alp > 0.0 && alp < 1.0) => {
            Err(Failure::input(format!("alp must be between 0 and 1; received {alp}"))
                .hint("0.05 gives 95% bands"))
        }
        other => Ok(other),
    }
}

fn draws(args: &InferenceArgs) -> Result<Option<usize>, Failure> {
    match args.biters {
        Some(0) => Err(Failure::input("biters must be at least 1; received 0")
            .hint("--bstrap false gives analytic standard errors")),
        Some(draws) => usize::try_from(draws)
            .map(Some)
            .map_err(|_| Failure::input(format!("biters is too large: {draws}"))),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::run_file::parse;
    use crate::cli::specs::merge_flags;

    const STUDY: &str = "yname = 'lemp'\ntname = 'year'\nidname = 'county'\ngname = 'g'\n";

    fn checked(text: &str) -> Result<RunSpec, Failure> {
        let file = parse(text, Path::new("study.toml"))?;
        specification(&merge_flags(&RunArgs::default(), &file.common, file.specs)?.remove(0).args)
    }

    fn spec(more: &str) -> RunSpec {
        checked(&format!("{STUDY}{more}")).unwrap()
    }

    fn refused(more: &str) -> String {
        checked(&format!("{STUDY}{more}")).expect_err(more).to_string()
    }

    fn counties() -> RunSpec {
        RunSpec {
            yname: "lemp".into(),
            tname: "year".into(),
            idname: "county".into(),
            gname: "g".into(),
            ..RunSpec::default()
        }
    }

    #[test]
    fn defaults_are_rs() {
        assert_eq!(spec(""), counties());
        assert_eq!(spec("boot_type = 'multiplier'"), counties());
    }

    #[test]
    fn triple_differences_have_the_defaults_of_triplediff() {
        let eligible = RunSpec { pname: Some("p".into()), ..counties() };
        let plain =
            RunSpec { base_period: BasePeriod::Universal, bstrap: false, cband: false, ..eligible.clone() };
        assert_eq!(spec("pname = 'p'"), plain);
        assert_eq!(spec("pname = 'p'\nanticipation = 0"), plain);
        assert_eq!(spec("pname = 'p'\nbase_period = 'varying'\nboot = true\ncband = true"), eligible);
        assert_eq!(spec("pname = ''"), counties());
    }

    #[test]
    fn all_settings_arrive() {
        let spec = spec(
            "xformla = '~ lpop'\nweightsname = 'w'\nclustervars = ['state', 'county', 'state']\nest_method = 'ipw'\n\
             control_group = 'notyettreated'\nanticipation = 1\nbase_period = 'universal'\nfix_weights = 'first_period'\n\
             allow_unbalanced_panel = true\nbstrap = false\nbiters = 50\ncband = false\nalp = 0.1\nseed = 7\n\
             multiplier = 'mammen'\nscale = 'iqr'\ncluster_factor = true\ndiagnostics = true",
        );
        assert_eq!(spec.xformla.as_deref(), Some("~ lpop"));
        assert_eq!(spec.clustervars, ["state", "county"]);
        assert_eq!(spec.est_method, EstMethod::Ipw);
        assert_eq!(spec.control_group, ControlGroup::NotYetTreated);
        assert_eq!(spec.anticipation, 1.0);
        assert_eq!(spec.base_period, BasePeriod::Universal);
        assert_eq!(spec.fix_weights, Some(FixWeights::FirstPeriod));
        assert_eq!((spec.multiplier, spec.scale), (Multiplier::Mammen, DrawScale::Iqr));
        assert!(spec.cluster_factor);
        assert!(spec.allow_unbalanced_panel && spec.diagnostics && !spec.bstrap && !spec.cband);
        assert_eq!((spec.biters, spec.alp, spec.seed), (50, 0.1, 7));
    }

    #[test]
    fn refusals_have_rs_meaning() {
        let all = [
            "est_method = 'aipw'",
            "control_group = 'never'",
            "base_period = 'fixed'",
            "fix_weights = 'last'",
            "multiplier = 'normal'",
            "scale = 'sd'",
            "anticipation = -1",
            "anticipation = 0.5",
            "alp = 1.5",
            "biters = 0",
            "pname = 'eligible'\nanticipation = 1",
            "boot_type = 'weighted'",
            "boot_type = 'wild'",
        ]
        .map(refused)
        .join("");
        insta::assert_snapshot!(all, @r#"
        error: est_method must be one of "dr", "ipw", or "reg"; received "aipw"
        error: control_group must be either "nevertreated" or "notyettreated"; received "never"
        error: base_period must be either "varying" or "universal"; received "fixed"
        error: fix_weights must be one of "base_period", "first_period", or "varying"; received "last"
        error: multiplier must be either "mammen" or "rademacher"; received "normal"
        error: scale must be either "auto" or "iqr"; received "sd"
        error: anticipation must be a non-negative whole number; received -1
        error: anticipation must be a non-negative whole number; received 0.5
        error: alp must be between 0 and 1; received 1.5
        hint: 0.05 gives 95% bands
        error: biters must be at least 1; received 0
        hint: --bstrap false gives analytic standard errors
        error: triple differences have no anticipation, as in R's triplediff; received anticipation 1 with pname eligible
        hint: leave out --anticipation, or --pname
        error: boot_type = weighted re-estimates every draw and is not supported
        hint: --boot-type multiplier, the default, is
        error: boot_type must be either "multiplier" or "weighted"; received "wild"
        "#);
    }

    #[test]
    fn missing_arguments_are_named() {
        let without = |name: &str| {
            let kept: Vec<&str> = STUDY.lines().filter(|line| !line.starts_with(name)).collect();
            checked(&kept.join("\n")).expect_err(name).to_string()
        };
        let all = ["yname", "tname", "gname", "idname"].map(without).join("");
        insta::assert_snapshot!(all, @r#"
        error: argument "yname" is missing
        hint: name the outcome column: --yname COLUMN
        error: argument "tname" is missing
        hint: name the period column: --tname COLUMN
        error: argument "gname" is missing
        hint: name the first treated period column: --gname COLUMN
        error: argument "idname" is missing: it is required when panel is true
        hint: name the unit column: --idname COLUMN, or set --panel false for repeated cross sections
        "#);
    }

    #[test]
    fn cross_sections_have_no_unit() {
        let without = STUDY.replace("idname = 'county'", "panel = false");
        for found in [checked(&without).unwrap(), spec("panel = false\npname = 'p'\nfix_weights = 'varying'")]
        {
            assert!(!found.panel && found.idname.is_empty());
        }
    }
}
