//! From arguments to a request: what is missing, what is out of range, and R's defaults for the rest.

use std::path::PathBuf;
use std::time::Duration;

use stagger_engine::run::RunOptions;
use stagger_engine::spec::{BasePeriod, ControlGroup, EstMethod, FixWeights, Multiplier, RunSpec};

use super::run_args::{DataArgs, EstimatorArgs, InferenceArgs, RunArgs, RunningArgs, WindowArgs};
use crate::failure::Failure;

/// Fewer draws than this give standard errors and bands of little worth.
const FEW_DRAWS: u64 = 100;
/// Days in seconds; a longer monitor interval is a slip.
const DAY: f64 = 86_400.0;

/// Everything `stagger run` needs.
#[derive(Debug)]
pub(crate) struct RunRequest {
    /// Files, folders or globs.
    pub(crate) inputs: Vec<String>,
    pub(crate) spec: RunSpec,
    pub(crate) options: RunOptions,
    pub(crate) window: Window,
    /// Folder of the saved result.
    pub(crate) out: Option<PathBuf>,
    pub(crate) json: bool,
    pub(crate) quiet: bool,
    /// Whether a progress line may be drawn where stderr is a terminal.
    pub(crate) progress: bool,
    pub(crate) monitor: Option<Duration>,
    /// What to tell before the run starts.
    pub(crate) notes: Vec<String>,
}

/// Which cells the aggregations use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Window {
    pub(crate) min_e: f64,
    pub(crate) max_e: f64,
    pub(crate) balance_e: Option<f64>,
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
                "min_e is {} and max_e {}: no event time lies between",
                window.min_e, window.max_e
            )));
        }
        if window.balance_e.is_some_and(|e| !e.is_finite()) {
            return Err(Failure::input("balance_e must be finite"));
        }
        Ok(window)
    }

    /// Whether it is R's default window, with which the run itself aggregates.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self { min_e: f64::NEG_INFINITY, max_e: f64::INFINITY, balance_e: None, na_rm: false }
    }
}

impl RunRequest {
    /// Checks the arguments; `resolve` has laid them over the run file.
    pub(crate) fn new(args: RunArgs) -> Result<Self, Failure> {
        if args.data.is_empty() {
            return Err(Failure::input("no input is given")
                .hint("stagger run panel.parquet --yname Y --tname T --idname ID --gname G, or stagger run study.toml"));
        }
        let spec = specification(&args.columns, &args.estimator, &args.inference)?;
        let options = running(&args.running)?;
        let plain = args.output.plain.unwrap_or(false);
        let quiet = args.output.quiet.unwrap_or(false);
        Ok(Self {
            notes: notes(&args, &spec),
            inputs: args.data,
            spec,
            options,
            window: Window::new(&args.window)?,
            out: args.output.out.map(PathBuf::from),
            json: args.output.json.unwrap_or(false),
            quiet,
            progress: args.running.progress_bar.unwrap_or(true) && !plain && !quiet,
            monitor: args.running.monitor_interval.map(interval).transpose()?,
        })
    }
}

fn specification(
    columns: &DataArgs,
    estimator: &EstimatorArgs,
    inference: &InferenceArgs,
) -> Result<RunSpec, Failure> {
    let default = RunSpec::default();
    let panel = columns.panel.unwrap_or(default.panel);
    Ok(RunSpec {
        yname: required("yname", "outcome", &columns.yname)?,
        tname: required("tname", "period", &columns.tname)?,
        gname: required("gname", "first treated period", &columns.gname)?,
        idname: unit_column(columns, panel)?,
        pname: given(&columns.pname),
        xformla: given(&columns.xformla),
        weightsname: given(&columns.weightsname),
        clustervars: clusters(inference),
        est_method: est_method(estimator)?.unwrap_or(default.est_method),
        control_group: control_group(estimator)?.unwrap_or(default.control_group),
        anticipation: anticipation(estimator)?.unwrap_or(default.anticipation),
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
        diagnostics: default.diagnostics,
    })
}

/// An argument that is given; an empty text takes back what a run file gives.
fn given(argument: &Option<String>) -> Option<String> {
    argument.clone().filter(|text| !text.trim().is_empty())
}

fn required(name: &str, meaning: &str, argument: &Option<String>) -> Result<String, Failure> {
    given(argument).ok_or_else(|| {
        Failure::input(format!("argument \"{name}\" is missing"))
            .hint(format!("name the {meaning} column: --{name} COLUMN"))
    })
}

fn unit_column(columns: &DataArgs, panel: bool) -> Result<String, Failure> {
    match given(&columns.idname) {
        Some(idname) => Ok(idname),
        None if !panel => Ok(String::new()),
        None => Err(Failure::input("argument \"idname\" is missing: it is required when panel is true")
            .hint("name the unit column: --idname COLUMN, or set --panel false for repeated cross sections")),
    }
}

fn clusters(inference: &InferenceArgs) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for column in inference.clustervars.iter().flatten() {
        if !column.is_empty() && !columns.contains(column) {
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
    let Some(text) = given(argument) else {
        return Ok(None);
    };
    match words.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => Ok(Some(*value)),
        None => Err(Failure::input(format!("{name} must be {what}; received \"{text}\""))),
    }
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

fn anticipation(args: &EstimatorArgs) -> Result<Option<f64>, Failure> {
    match args.anticipation {
        Some(periods) if !(periods >= 0.0 && periods.is_finite() && periods == periods.trunc()) => Err(
            Failure::input(format!("anticipation must be a non-negative whole number; received {periods}")),
        ),
        other => Ok(other),
    }
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

fn running(args: &RunningArgs) -> Result<RunOptions, Failure> {
    one_for_now("backend", &args.backend, "threads", &["lambda", "queue"])?;
    one_for_now("device", &args.device, "cpu", &["cuda"])?;
    Ok(RunOptions { threads: args.threads, n_partitions: args.n_partitions, max_cohorts: args.max_cohorts })
}

/// Refuses by name the values of later versions.
fn one_for_now(name: &str, argument: &Option<String>, only: &str, later: &[&str]) -> Result<(), Failure> {
    match given(argument).as_deref() {
        None => Ok(()),
        Some(value) if value == only => Ok(()),
        Some(value) if later.contains(&value) => {
            Err(Failure::input(format!("{name} \"{value}\" comes with a later version"))
                .hint(format!("this version has \"{only}\"")))
        }
        Some(value) => Err(Failure::input(format!("{name} must be \"{only}\"; received \"{value}\""))),
    }
}

fn interval(seconds: f64) -> Result<Duration, Failure> {
    if seconds > 0.0 && seconds <= DAY {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(Failure::input(format!("monitor_interval must be a positive number of seconds; received {seconds}")))
}

fn notes(args: &RunArgs, spec: &RunSpec) -> Vec<String> {
    let mut notes = Vec::new();
    if spec.bstrap && (spec.biters as u64) < FEW_DRAWS {
        notes.push(format!(
            "biters is {}: standard errors and bands from so few draws are unreliable",
            spec.biters
        ));
    }
    if !spec.bstrap && args.inference.cband == Some(true) {
        notes.push("cband needs bstrap: without it the bands are pointwise".to_owned());
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::run_file::parse;
    use std::path::Path;

    const STUDY: &str =
        "data = '/panel.parquet'\nyname = 'lemp'\ntname = 'year'\nidname = 'county'\ngname = 'g'\n";

    fn request(more: &str) -> Result<RunRequest, Failure> {
        RunRequest::new(parse(&format!("{STUDY}{more}"), Path::new("study.toml"))?)
    }

    fn refused(more: &str) -> String {
        request(more).expect_err(more).to_string()
    }

    #[test]
    fn defaults_are_rs() {
        let request = request("").unwrap();
        let expected = RunSpec {
            yname: "lemp".into(),
            tname: "year".into(),
            idname: "county".into(),
            gname: "g".into(),
            ..RunSpec::default()
        };
        assert_eq!(request.spec, expected);
        assert!(request.window.is_default());
        assert!(request.progress && !request.json && request.notes.is_empty());
    }

    #[test]
    fn all_settings_arrive() {
        let spec = request(
            "xformla = '~ lpop'\nweightsname = 'w'\nclustervars = ['state', 'county', 'state']\nest_method = 'ipw'\n\
             control_group = 'notyettreated'\nanticipation = 1\nbase_period = 'universal'\nfix_weights = 'first_period'\n\
             allow_unbalanced_panel = true\nbstrap = false\nbiters = 50\ncband = false\nalp = 0.1\nseed = 7\n\
             multiplier = 'rademacher'",
        )
        .unwrap()
        .spec;
        assert_eq!(spec.xformla.as_deref(), Some("~ lpop"));
        assert_eq!(spec.clustervars, ["state", "county"]);
        assert_eq!(spec.est_method, EstMethod::Ipw);
        assert_eq!(spec.control_group, ControlGroup::NotYetTreated);
        assert_eq!(spec.anticipation, 1.0);
        assert_eq!(spec.base_period, BasePeriod::Universal);
        assert_eq!(spec.fix_weights, Some(FixWeights::FirstPeriod));
        assert_eq!(spec.multiplier, Multiplier::Rademacher);
        assert!(spec.allow_unbalanced_panel && !spec.bstrap && !spec.cband);
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
            "anticipation = -1",
            "anticipation = 0.5",
            "alp = 1.5",
            "biters = 0",
            "pname = 'eligible'",
            "backend = 'lambda'",
            "backend = 'dask'",
            "device = 'cuda'",
            "monitor_interval = 0",
            "min_e = 2\nmax_e = 1",
        ]
        .map(refused)
        .join("");
        insta::assert_snapshot!(all, @r#"
        error: est_method must be one of "dr", "ipw", or "reg"; received "aipw"
        error: control_group must be either "nevertreated" or "notyettreated"; received "never"
        error: base_period must be either "varying" or "universal"; received "fixed"
        error: fix_weights must be one of "base_period", "first_period", or "varying"; received "last"
        error: multiplier must be either "mammen" or "rademacher"; received "normal"
        error: anticipation must be a non-negative whole number; received -1
        error: anticipation must be a non-negative whole number; received 0.5
        error: alp must be between 0 and 1; received 1.5
        hint: 0.05 gives 95% bands
        error: biters must be at least 1; received 0
        hint: --bstrap false gives analytic standard errors
        error: triple differences (pname) are not supported yet
        error: backend "lambda" comes with a later version
        hint: this version has "threads"
        error: backend must be "threads"; received "dask"
        error: device "cuda" comes with a later version
        hint: this version has "cpu"
        error: monitor_interval must be a positive number of seconds; received 0
        error: min_e is 2 and max_e 1: no event time lies between
        "#);
    }

    #[test]
    fn missing_arguments_are_named() {
        let without = |name: &str| {
            let kept: Vec<&str> = STUDY.lines().filter(|line| !line.starts_with(name)).collect();
            let args = parse(&kept.join("\n"), Path::new("study.toml")).unwrap();
            RunRequest::new(args).expect_err(name).to_string()
        };
        let all = ["data", "yname", "tname", "gname", "idname"].map(without).join("");
        insta::assert_snapshot!(all, @r#"
        error: no input is given
        hint: stagger run panel.parquet --yname Y --tname T --idname ID --gname G, or stagger run study.toml
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
    fn cross_sections_need_no_unit() {
        let text = STUDY.replace("idname = 'county'", "panel = false");
        let request = RunRequest::new(parse(&text, Path::new("study.toml")).unwrap()).unwrap();
        assert!(!request.spec.panel && request.spec.idname.is_empty());
    }

    #[test]
    fn notes_tell_what_has_no_effect() {
        assert_eq!(request("bstrap = false\ncband = true").unwrap().notes.len(), 1);
        assert_eq!(request("biters = 20").unwrap().notes.len(), 1);
    }
}
