//! The input of the user: arguments, run files, and their checks.

pub(crate) mod argv;
pub(crate) mod csv_args;
pub(crate) mod doctor_args;
pub(crate) mod inputs;
pub(crate) mod named;
pub(crate) mod names;
pub(crate) mod picture_args;
pub(crate) mod plan_args;
pub(crate) mod pool;
pub(crate) mod prepare_args;
pub(crate) mod record_args;
pub(crate) mod refusal;
pub(crate) mod request;
pub(crate) mod robustness_args;
pub(crate) mod run_args;
pub(crate) mod run_file;
pub(crate) mod spec;
pub(crate) mod specs;
pub(crate) mod step_args;
pub(crate) mod table_args;
pub(crate) mod values;
pub(crate) mod view_args;
pub(crate) mod workers;

use std::ffi::OsString;

use clap::{Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use stagger_simulate::SimulateArgs;

use self::csv_args::CsvArgs;
use self::doctor_args::DoctorArgs;
use self::picture_args::{PlotArgs, ReportArgs};
use self::plan_args::PlanArgs;
use self::prepare_args::PrepareArgs;
use self::record_args::RecordArgs;
use self::refusal::Refusal;
use self::robustness_args::{PretrendsArgs, SensitivityArgs};
use self::run_args::{RunArgs, WindowArgs};
use self::table_args::TableArgs;
use self::values::{boolean, number};
use self::view_args::{DemoArgs, WatchArgs};
use self::workers::{CancelArgs, JanitorArgs, ListArgs, ResumeArgs};

const EXAMPLES: &str = "\
Examples:
  stagger run examples/mpdta.parquet --yname lemp --tname year --idname countyreal \\
      --gname first.treat --xformla \"~ lpop\" --out result
  stagger agg result --type dynamic --balance-e 1
  stagger describe panel.parquet";

const RUN_EXAMPLES: &str = "\
Names are R's and Python's: --est_method is --est-method, --boot is --bstrap, --nboot --biters,
--alpha --alp, --cluster --clustervars, --random_state --seed. A flag alone means true (--json);
its value may follow (--bstrap false).

Examples:
  stagger run examples/mpdta.parquet --yname lemp --tname year --idname countyreal \\
      --gname first.treat --xformla \"~ lpop\"
  stagger run 'panel/*.parquet' --yname y --tname t --idname id --gname g --cluster state --out result
  stagger run panel.csv --yname y --tname t --idname id --gname g --bstrap false --json > result.json
  stagger run panel.parquet --yname y --tname t --idname id --gname g --pname eligible
  stagger run survey.parquet --yname y --tname t --gname g --panel false
  stagger run study.toml --est-method reg     # the same names in a file; flags win

A run file, with paths relative to it:
  data = \"panel.parquet\"
  yname = \"lemp\"
  tname = \"year\"
  idname = \"countyreal\"
  gname = \"first.treat\"
  xformla = \"~ lpop\"

Several specifications share the passes over the data: each [[spec]] table lies over these keys.
--json prints one line each with its name as \"spec\", --out DIR saves each in DIR/NAME.
  [[spec]]
  name = \"weighting\"
  est_method = \"ipw\"
  [[spec]]
  name = \"not-yet\"
  control_group = \"notyettreated\"";

const AGG_EXAMPLES: &str = "\
Examples:
  stagger agg result --type dynamic --balance-e 1
  stagger agg result --type dynamic --average 0..2 --pre-test -4..-2
  stagger agg result --type group --difference 2007,2006 # between two cohorts
  stagger agg result --type dynamic --vcov-out vcov.csv  # the covariance of the event study
  stagger agg result/result.json --type calendar --json";

const SENSITIVITY_EXAMPLES: &str = "\
The result is one of a run with --base-period universal. Smoothness with M = 0 allows for linear trends.

Examples:
  stagger sensitivity result                                 # each effect, Mbar 0.5 to 2
  stagger sensitivity result --average 0..3 --mbar 0.25,0.5,0.75,1 --out sensitivity.svg
  stagger sensitivity result --type smoothness --m 0,0.01,0.02 --event-time 0
  stagger sensitivity --estimates estimates.csv --vcov vcov.csv --json";

const PRETRENDS_EXAMPLES: &str = "\
The result is one of a run with --base-period universal. The pre-test looks at each estimate before treatment by itself.

Examples:
  stagger pretrends result                                   # trends found with 50% and 80%
  stagger pretrends result --slope 0.01,0.02 --out pretrends.svg
  stagger pretrends --estimates study.json --power 0.9 --json";

const TABLE_EXAMPLES: &str = "\
Examples:
  stagger table results                                  # all results of a run file with [[spec]] tables
  stagger table DR=result Regression=other --rows simple,-2,0..3 --stars
  stagger table results --below interval --out table.tex # booktabs
  stagger table results --format csv > table.csv         # with z and p";

const PLOT_EXAMPLES: &str = "\
Examples:
  stagger plot result                                   # in the terminal
  stagger plot result --out figure1.svg                 # or .png
  stagger plot result --kind gt --out cells.png --width 1600
  stagger plot reg=results/reg results/ipw results/dr --out compared.svg
  stagger plot result --kind overlap                    # of a run with --diagnostics";

const REPORT_EXAMPLES: &str = "\
Examples:
  stagger report result --out report.html               # one file, with its pictures
  stagger report result --out report.tex                # booktabs; pictures beside it as PNG
  stagger report result --out report.md
  stagger report result --out tables                    # a folder: CSV";

const PREPARE_EXAMPLES: &str = "\
A store holds units side by side, in shards of some thousand: every specification over its columns reads
it in any order of memory, and gives the bits of a run on the files themselves. A preparation that was
stopped goes on where it was when it is started again.

Examples:
  stagger prepare 'panel/*.parquet' --yname y --tname t --idname id --gname g --xformla \"~ x1 + x2\" --out store
  stagger prepare s3://bucket/panel/ --yname y,z --tname t --idname id --gname g --out s3://bucket/store --memory-limit 4GB
  stagger prepare study.toml --out store        # the columns of all [[spec]] tables
  stagger prepare store --verify
  stagger run store --xformla \"~ x1\"";

const PLAN_EXAMPLES: &str = "\
The arguments are those of run, on files or a prepared store. Nothing is read but a store's manifest, or the
footers and the period and cohort columns of files; nothing is written, and nothing is asked of Lambda.
Memory is an upper bound: a task that would not fit is refused by name, with status 2.

Examples:
  stagger plan store --xformla \"~ x1 + x2\"
  stagger plan study.toml --backend lambda --worker-memory 3008MB
  stagger plan 'panel/*.parquet' --yname y --tname t --idname id --gname g --memory-limit 8GB --json
  stagger plan store --prices eu-central-1.toml";

const RESUME_EXAMPLES: &str = "\
Nothing that was done is done again. A run has one controller at a time: if another one holds it, this one
says who, and takes it with --take-over.

Examples:
  stagger resume 20261121-103012-kqzt --out result
  stagger resume 20261121-103012-kqzt --max-cost 5";

const WATCH_EXAMPLES: &str = "\
A run under way is followed until it ends, wherever its controller is; one that is over is played from its journal:
space pauses, left and right seek, + and - change the speed. Off a terminal each stage and notable event is a line.

Examples:
  stagger watch 20261121-103012-kqzt
  stagger watch 20261121-103012-kqzt --json > events.jsonl
  stagger watch result                        # a result that was saved with --out
  stagger watch result --picture run.svg --at 0.5 --size 160x45";

const DEMO_EXAMPLES: &str = "\
Examples:
  stagger demo                                # a recorded run with faults; ? lists the keys
  stagger demo --live                         # a small panel, estimated on this machine now
  stagger demo --measure                      # how long frames take";

const DESCRIBE_EXAMPLES: &str = "\
Examples:
  stagger describe panel.parquet
  stagger describe panel.parquet --tname year --idname countyreal --gname first.treat --yname lemp";

const PANEL_EXAMPLES: &str = "\
Steps are taken in the order of the flags; run, prepare, plan and describe take the same ones.

Examples:
  stagger panel sales.tsv --let 'year = year(as.Date(day, \"%m%d%Y\"))' \\
      --lookup 'laws.csv by state' --collapse 'y = sum(dose * mme), law = first(law)' --by 'county, year' --out panel.parquet
  stagger panel wide.dta --reshape-long 'lemp lpop' --reshape-j year --treatname treated --idname county --tname year";

/// Staggered difference-in-differences on Parquet panels: ATT(g,t) with R's numbers
#[derive(Debug, Parser)]
#[command(name = "stagger", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) action: Action,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Estimate ATT(g,t), bands and aggregations from a panel
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunArgs>),
    /// Make a panel store, which runs on any machine read shard by shard
    #[command(after_help = PREPARE_EXAMPLES)]
    Prepare(Box<PrepareArgs>),
    /// Tell what a run will take before it starts: cells, tasks, memory, requests, seconds, dollars
    #[command(after_help = PLAN_EXAMPLES)]
    Plan(Box<PlanArgs>),
    /// Go on with a run on workers where it was stopped
    #[command(after_help = RESUME_EXAMPLES)]
    Resume(Box<ResumeArgs>),
    /// Watch a run from another terminal, or show again one that is over
    #[command(after_help = WATCH_EXAMPLES)]
    Watch(WatchArgs),
    /// Stop a run on workers, wherever its controller is
    Cancel(CancelArgs),
    /// List runs on workers: state, progress, cost
    List(ListArgs),
    /// End what controllers that are gone have left: their runs' state, containers that wait for them
    Janitor(JanitorArgs),
    /// Aggregate a saved result, without the data
    #[command(after_help = AGG_EXAMPLES)]
    Agg(AggArgs),
    /// Show how large violations of parallel trends have to be to overturn an event study
    #[command(after_help = SENSITIVITY_EXAMPLES)]
    Sensitivity(SensitivityArgs),
    /// Show which trends the pre-test of an event study finds, and how far off estimates are that pass it
    #[command(after_help = PRETRENDS_EXAMPLES)]
    Pretrends(PretrendsArgs),
    /// Put several results side by side in one table: text, Markdown, LaTeX, HTML or CSV
    #[command(after_help = TABLE_EXAMPLES)]
    Table(TableArgs),
    /// Draw a saved result: event study, ATT(g,t), overlap, balance; in the terminal, or as SVG or PNG
    #[command(after_help = PLOT_EXAMPLES)]
    Plot(PlotArgs),
    /// Write a report on a saved result: HTML, Markdown, LaTeX or CSV tables
    #[command(after_help = REPORT_EXAMPLES)]
    Report(ReportArgs),
    /// Show what an input looks like: columns, cohorts, periods, balance, missing values
    #[command(after_help = DESCRIBE_EXAMPLES)]
    Describe(DescribeArgs),
    /// Make a panel of records: filter, derive, look up, collapse, reshape; show it, and write it
    #[command(after_help = PANEL_EXAMPLES)]
    Panel(PanelArgs),
    /// Check that runs on AWS Lambda would work: credentials, bucket, functions, quota
    Doctor(DoctorArgs),
    /// Show the dashboard: a recorded run of 1,000 workers, without an account
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(DemoArgs),
    /// Write a synthetic staggered panel with known effects
    Simulate(SimulateArgs),
}

/// Arguments of `stagger agg`.
#[derive(Args, Clone, Debug)]
pub(crate) struct AggArgs {
    /// Folder that `stagger run --out` wrote, or the result.json in it
    #[arg(value_name = "RESULT")]
    pub(crate) result: String,
    /// simple, dynamic (or eventstudy), group or calendar
    #[arg(long = "type", value_name = "TYPE", default_value = "group", help_heading = "Aggregation")]
    pub(crate) kind: String,
    #[command(flatten)]
    pub(crate) window: WindowArgs,
    /// Event times of the overall effect, of dynamic [default: all from 0 on]
    #[arg(long, value_name = "FIRST..LAST", allow_hyphen_values = true, help_heading = "Aggregation")]
    pub(crate) average: Option<String>,
    /// The difference of two estimates, with its standard error: two event times, groups or periods
    #[arg(
        long,
        value_name = "A,B",
        value_delimiter = ',',
        allow_hyphen_values = true,
        help_heading = "Tests"
    )]
    pub(crate) difference: Option<Vec<String>>,
    /// Wald test that all ATT(g,t) of these event times are zero
    #[arg(long, value_name = "FIRST..LAST", allow_hyphen_values = true, help_heading = "Tests")]
    pub(crate) pre_test: Option<String>,
    /// Simultaneous confidence bands [default: as in the run]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean, help_heading = "Inference")]
    pub(crate) cband: Option<bool>,
    /// Significance level [default: as in the run]
    #[arg(long, alias = "alpha", value_name = "LEVEL", value_parser = number, allow_negative_numbers = true, help_heading = "Inference")]
    pub(crate) alp: Option<f64>,
    /// Print one line of JSON
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean, help_heading = "Output")]
    pub(crate) json: Option<bool>,
    /// Show the covariance of the estimates, clustered as their standard errors are
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean, help_heading = "Output")]
    pub(crate) vcov: Option<bool>,
    /// Write the covariance as CSV: a row and a column for each event time, group or period
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) vcov_out: Option<String>,
    /// Replace a file that another program wrote
    #[arg(long, help_heading = "Output")]
    pub(crate) force: bool,
}

/// Arguments of `stagger panel`: those of `describe`, and where the panel goes.
#[derive(Args, Clone, Debug)]
pub(crate) struct PanelArgs {
    #[command(flatten)]
    pub(crate) describe: DescribeArgs,
    /// Write the panel to this Parquet file
    #[arg(long, short = 'o', value_name = "FILE", help_heading = "Output")]
    pub(crate) out: Option<String>,
    /// Let --out replace a file that another program wrote
    #[arg(long, help_heading = "Output")]
    pub(crate) force: bool,
}

/// Arguments of `stagger describe`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DescribeArgs {
    /// Parquet, CSV, JSON, Arrow, Avro, Stata, R, Excel (also .gz, .zst), Delta tables: files, folders, globs, @LIST or - for standard input
    #[arg(value_name = "INPUT", required = true)]
    pub(crate) inputs: Vec<String>,
    /// Period
    #[arg(long, value_name = "COLUMN", help_heading = "Data")]
    pub(crate) tname: Option<String>,
    /// Unit
    #[arg(long, value_name = "COLUMN", help_heading = "Data")]
    pub(crate) idname: Option<String>,
    /// First treated period
    #[arg(long, value_name = "COLUMN", help_heading = "Data")]
    pub(crate) gname: Option<String>,
    /// Outcome
    #[arg(long, value_name = "COLUMN", help_heading = "Data")]
    pub(crate) yname: Option<String>,
    /// Sampling weights
    #[arg(long, value_name = "COLUMN", help_heading = "Data")]
    pub(crate) weightsname: Option<String>,
    #[command(flatten)]
    pub(crate) csv: CsvArgs,
    #[command(flatten)]
    pub(crate) records: RecordArgs,
    /// Print one line of JSON
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = boolean, help_heading = "Output")]
    pub(crate) json: Option<bool>,
}

/// The command line as clap knows it.
pub(crate) fn command() -> Command {
    Cli::command()
}

/// Reads the words after the program's name.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Cli, Refusal> {
    let mut command = command();
    command.build();
    // A name that is not UTF-8 can't be a column; a path that is not is shown with its bytes replaced, and not found.
    let words = words.into_iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let words = argv::normalise(words, &command);
    let known = |word: &&String| command.find_subcommand(word.as_str()).is_some();
    let subcommand = words.first().filter(known).cloned();
    command
        .try_get_matches_from(std::iter::once("stagger".to_owned()).chain(words))
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(|error| Refusal::new(error, subcommand.as_deref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Cli, Refusal> {
        parse(line.split(' ').map(OsString::from))
    }

    fn run(line: &str) -> RunArgs {
        match parsed(line).unwrap().action {
            Action::Run(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn clap_accepts_its_own_definition() {
        command().debug_assert();
    }

    #[test]
    fn booleans_and_inputs_stay_apart() {
        let args = run("run --cband p.parquet --bstrap false q.parquet --panel=TRUE --json");
        assert_eq!(args.data, ["p.parquet", "q.parquet"]);
        assert_eq!(args.inference.cband, Some(true));
        assert_eq!(args.inference.bstrap, Some(false));
        assert_eq!(args.columns.panel, Some(true));
        assert_eq!(args.output.json, Some(true));
    }

    #[test]
    fn aliases_and_snake_case() {
        let args = run(
            "run p --boot F --nboot 500 --alpha 0.1 --random_state 9 --cluster a,b --cluster c --est_method reg \
             --boot_type multiplier --diagnostics --spec x --spec y",
        );
        assert_eq!(args.inference.boot_type.as_deref(), Some("multiplier"));
        assert_eq!(args.estimator.diagnostics, Some(true));
        assert_eq!(args.chosen, ["x", "y"]);
        assert_eq!(args.inference.bstrap, Some(false));
        assert_eq!(args.inference.biters, Some(500));
        assert_eq!(args.inference.alp, Some(0.1));
        assert_eq!(args.inference.seed, Some(9));
        assert_eq!(
            args.inference.clustervars.as_deref(),
            Some(&["a".to_owned(), "b".into(), "c".into()][..])
        );
        assert_eq!(args.estimator.est_method.as_deref(), Some("reg"));
    }

    #[test]
    fn negative_event_times() {
        let args = run("run p --min-e -3 --max_e=Inf --balance-e 1 --na-rm");
        assert_eq!(args.window.min_e, Some(-3.0));
        assert_eq!(args.window.max_e, Some(f64::INFINITY));
        assert_eq!(args.window.na_rm, Some(true));
    }

    #[test]
    fn every_argument_of_the_design_is_a_flag_and_a_key() {
        let design = "yname tname idname gname pname xformla tunit weightsname clustervars est_method control_group anticipation \
                      base_period panel allow_unbalanced_panel fix_weights diagnostics bstrap biters cband alp seed multiplier \
                      boot_type min_e max_e balance_e na_rm n_partitions max_cohorts progress_bar monitor_interval backend device";
        let command = command();
        let run = command.find_subcommand("run").unwrap();
        for name in design.split_whitespace() {
            assert!(RunArgs::keys().any(|key| key == name), "{name} is no key");
            let flag = name.replace('_', "-");
            assert!(
                run.get_arguments().any(|argument| argument.get_long() == Some(&flag)),
                "{flag} is no flag"
            );
        }
    }

    #[test]
    fn mistakes_become_an_error_and_a_hint() {
        let all = [
            "run p --est-methd dr",
            "rum p",
            "forecast p",
            "run p --bstrap=maybe",
            "run p --biters -5",
            "run p --alp five",
            "agg",
            "run p --yname",
            "run p --alp 0.1 --alpha 0.2",
        ]
        .map(|line| match parsed(line).expect_err(line) {
            Refusal::Invalid(failure) => failure.to_string(),
            Refusal::Help(help) => panic!("{help}"),
        })
        .join("");
        insta::assert_snapshot!(all, @"
        error: unexpected argument '--est-methd' found
        hint: did you mean --est-method?
        error: unrecognized subcommand 'rum'
        hint: did you mean run?
        error: unrecognized subcommand 'forecast'
        hint: the commands are run, prepare, plan, resume, watch, cancel, list, agg, plot, report, describe, doctor, demo and simulate; `stagger --help` tells more
        error: invalid value 'maybe' for '--bstrap[=<BOOL>]': expected true or false
        hint: `stagger run --help` lists what there is
        error: invalid value '-5' for '--biters <DRAWS>': expected a whole number that is not negative
        hint: `stagger run --help` lists what there is
        error: invalid value 'five' for '--alp <LEVEL>': expected a number
        hint: `stagger run --help` lists what there is
        error: the following required arguments were not provided: <RESULT>
        hint: `stagger agg --help` lists what there is
        error: a value is required for '--yname <COLUMN>' but none was supplied
        hint: `stagger run --help` lists what there is
        error: the argument '--alp <LEVEL>' cannot be used multiple times
        hint: `stagger run --help` lists what there is
        ");
    }
}
