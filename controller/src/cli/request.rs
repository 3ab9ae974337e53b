//! From arguments to a request: the specifications, and how and where the run goes.

use std::path::PathBuf;
use std::time::Duration;

use stagger_aws::notify::check_topic;
use stagger_estimation::local::RunOptions;
use stagger_model::failure::Failure;
use stagger_model::spec::{MissingCohort, RunSpec};
use stagger_panel::panel_store::PanelStore;
use stagger_storage::open::is_on_s3;

use super::named::NamedArgs;
use super::run_args::{DataArgs, RunArgs, RunningArgs};
use super::spec::{Window, non_empty, specification};
use super::workers::{WorkersRequest, new_run_name};
use crate::listen::DisplayOptions;
use crate::stamp::{Placeholders, fill_placeholders};
use crate::unattended::{check_destination, is_remote};

/// Fewer draws than this give standard errors and bands of little worth.
const FEW_DRAWS: u64 = 100;
/// A day in seconds; a longer monitor interval is a slip.
const DAY: f64 = 86_400.0;

/// Everything `stagger run` needs.
#[derive(Debug)]
pub(crate) struct RunRequest {
    /// Files, folders or globs.
    pub(crate) inputs: Vec<String>,
    /// The specifications, at least one.
    pub(crate) specs: Vec<Specification>,
    /// The options of the estimation.
    pub(crate) options: RunOptions,
    /// The run on workers, if it is one.
    pub(crate) workers: Option<WorkersRequest>,
    /// Folder of the saved result on this machine.
    pub(crate) out: Option<PathBuf>,
    /// The address on S3 that the result is sent to instead.
    pub(crate) upload: Option<String>,
    /// Topic that is told how it ended.
    pub(crate) notify: Option<String>,
    /// Results are printed as JSON.
    pub(crate) json: bool,
    /// Nothing is said but errors.
    pub(crate) quiet: bool,
    /// The time by phase is told at the end.
    pub(crate) timings: bool,
    /// The choice of what is shown while the run is under way.
    pub(crate) how: DisplayOptions,
}

/// One specification with its name and its notes.
#[derive(Debug)]
pub(crate) struct Specification {
    /// The name, where the run file has several.
    pub(crate) name: Option<String>,
    /// The specification.
    pub(crate) spec: RunSpec,
    /// Lines to say before the run starts.
    pub(crate) notes: Vec<String>,
}

impl RunRequest {
    /// Checks the arguments; `resolve` has laid them over the run file.
    pub(crate) fn new(mut named: Vec<NamedArgs>) -> Result<Self, Failure> {
        // Input, output and running are the same for all.
        let shared = match named.first() {
            Some(NamedArgs { args, .. }) if !args.data.is_empty() => args.clone(),
            _ => {
                return Err(Failure::input("no input is given").hint(
                    "stagger run panel.parquet --yname Y --tname T --idname ID --gname G, or stagger run study.toml",
                ));
            }
        };
        let workers = WorkersRequest::of(&shared.running, &shared.containers)?;
        if let Some(store) = PanelStore::open_input(&shared.data)? {
            let elsewhere = workers.as_ref().is_some_and(|workers| workers.on.is_remote());
            if elsewhere && !is_on_s3(&store.url()) {
                return Err(Failure::input(format!("workers can't read the store `{}`", store.url()))
                    .hint("prepare it on S3: --out s3://BUCKET/panels/NAME"));
            }
            named.iter_mut().for_each(|named| fill(&mut named.args.columns, &store));
        }
        let monitor = shared.progress.monitor_interval.map(interval).transpose()?;
        let how = shared.output.display_options(shared.progress.progress_bar, monitor, &shared.data);
        let quiet = shared.output.quiet.unwrap_or(false);
        let name = workers.as_ref().map_or_else(new_run_name, |workers| workers.name.clone());
        let (out, upload) = output_place(non_empty(&shared.output.out), &name)?;
        let notify = non_empty(&shared.output.notify);
        notify.as_deref().map(check_topic).transpose()?;
        Ok(Self {
            specs: named.into_iter().map(Specification::new).collect::<Result<_, _>>()?,
            inputs: shared.data,
            options: running(&shared.running)?,
            workers,
            out,
            upload,
            notify,
            json: shared.output.json.unwrap_or(false),
            quiet,
            timings: shared.progress.timings.unwrap_or(false),
            how,
        })
    }
}

/// Returns the place of a saved result: a folder, or an address on S3.
pub(crate) fn output_place(
    out: Option<String>,
    run: &str,
) -> Result<(Option<PathBuf>, Option<String>), Failure> {
    let Some(out) = out else { return Ok((None, None)) };
    let out = fill_placeholders("out", &out, &Placeholders::now().of(run))?;
    if !is_remote(&out) {
        return Ok((Some(PathBuf::from(out)), None));
    }
    check_destination(&out)?;
    Ok((None, Some(out)))
}

impl Specification {
    fn new(named: NamedArgs) -> Result<Self, Failure> {
        let NamedArgs { name, args } = named;
        let checked = specification(&args).and_then(|spec| Ok((spec, Window::new(&args.window)?)));
        match checked {
            Ok((spec, window)) => {
                let mut notes = notes(&args, &spec);
                notes.extend(window.note());
                Ok(Self { notes, name, spec })
            }
            Err(failure) => Err(match name {
                Some(name) => failure.in_context(&format!("[[spec]] {name}")),
                None => failure,
            }),
        }
    }
}

/// Names of columns that a prepared store knows and the person has left out.
fn fill(columns: &mut DataArgs, store: &PanelStore) {
    let keys = &store.manifest.columns;
    let give = |own: &mut Option<String>, known: &str| {
        if own.is_none() && !known.is_empty() {
            *own = Some(known.to_owned());
        }
    };
    if !store.manifest.cross_sections {
        give(&mut columns.idname, &keys.id);
    }
    give(&mut columns.tname, &keys.time);
    give(&mut columns.gname, &keys.group);
    give(&mut columns.pname, keys.eligibility.as_deref().unwrap_or_default());
    if keys.missing_cohort == MissingCohort::Drop {
        give(&mut columns.missing_cohort, "drop");
    }
    columns.panel = columns.panel.or(Some(!store.manifest.cross_sections));
    let mut outcomes = store.manifest.fields.iter().filter(|field| field.outcome);
    if let (Some(only), None) = (outcomes.next(), outcomes.next()) {
        give(&mut columns.yname, &only.name);
    }
}

fn running(args: &RunningArgs) -> Result<RunOptions, Failure> {
    Ok(RunOptions {
        threads: args.threads,
        n_partitions: args.n_partitions,
        max_cohorts: args.max_cohorts,
        memory_limit: args.memory_limit,
        stores: args.store_dir.clone(),
        check_memory: Some(stagger_forecast::check_memory),
    })
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
    if !spec.panel && non_empty(&args.columns.idname).is_some() {
        notes.push("idname is ignored: in repeated cross sections every row is its own unit".to_owned());
    }
    notes
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::run_file::parse;
    use crate::cli::specs::merge_flags;

    const STUDY: &str =
        "data = '/panel.parquet'\nyname = 'lemp'\ntname = 'year'\nidname = 'county'\ngname = 'g'\n";

    fn request(more: &str) -> Result<RunRequest, Failure> {
        let file = parse(&format!("{STUDY}{more}"), Path::new("study.toml"))?;
        RunRequest::new(merge_flags(&RunArgs::default(), &file.common, file.specs)?)
    }

    fn refused(more: &str) -> String {
        request(more).expect_err(more).to_string()
    }

    fn notes(more: &str) -> String {
        request(more).unwrap().specs.remove(0).notes.join("\n")
    }

    #[test]
    fn plain_requests() {
        let request = request("").unwrap();
        let [spec] = request.specs.as_slice() else { panic!("{:?}", request.specs) };
        assert!(spec.spec.min_e.is_none() && spec.name.is_none() && spec.notes.is_empty());
        assert!(request.how.line && !request.json && request.out.is_none());
    }

    #[test]
    fn several_specifications() {
        let text = "out = 'r'\njson = true\n[[spec]]\nname = 'ddd'\npname = 'p'\n[[spec]]\nname = 'late'\nmin_e = 1\n";
        let request = request(text).unwrap();
        let [ddd, late] = request.specs.as_slice() else { panic!("{:?}", request.specs) };
        assert_eq!((ddd.name.as_deref(), late.name.as_deref()), (Some("ddd"), Some("late")));
        assert!(!ddd.spec.bstrap && late.spec.bstrap && late.spec.pname.is_none());
        assert_eq!((ddd.spec.min_e, late.spec.min_e), (None, Some(1.0)));
        assert!(request.json && request.out.is_some());
    }

    #[test]
    fn refusals() {
        let all = [
            "backend = 'lambda'\nfunction = 'f'\nrun_dir = '/here'",
            "backend = 'queue'",
            "backend = 'dask'",
            "backend = 'lambda'\nfunction = 'f'\nrun_dir = 's3://b/runs'\nmax_cost = -1",
            "backend = 'lambda'\nfunction = 'f'\nrun_dir = 's3://b/runs'\nprefer = 'speed'",
            "run_dir = 'runs'\nrun_name = 'a/b'",
            "run_name = 'mine'",
            "device = 'cuda'",
            "monitor_interval = 0",
            "min_e = 2\nmax_e = 1",
            "[[spec]]\n[[spec]]\nname = 'wide'\nalp = 2",
        ]
        .map(refused)
        .join("");
        let none =
            RunRequest::new(merge_flags(&RunArgs::default(), &RunArgs::default(), Vec::new()).unwrap());
        let all = all + &none.expect_err("no input").to_string();
        insta::assert_snapshot!(all, @r#"
        error: run_dir must be on S3 for workers to reach it; received "/here"
        hint: --run-dir s3://BUCKET/runs, or STAGGER_BUCKET=BUCKET
        error: no queue is named to run on
        hint: --queue URL, or STAGGER_QUEUE; `infra/deploy --jobs` makes one and prints it
        error: backend must be "threads", "lambda", "queue" or "both"; received "dask"
        error: max_cost must be an amount of dollars; received -1
        error: prefer must be "time" or "cost"; received "speed"
        error: run_name must be at most 100 letters, digits, -, _ and ., not begin with - or ., and not be names or panels; received "a/b"
        error: run_name is for runs on workers, and this is none
        hint: --backend lambda runs on AWS; --run-dir DIR keeps a journal of a run on threads
        error: device "cuda" is for containers behind a queue
        hint: --backend queue --device cuda, with `gpu-worker --device cuda` at the queue
        error: monitor_interval must be a positive number of seconds; received 0
        error: --min-e is 2 and --max-e 1: no event time lies between
        error: [[spec]] wide: alp must be between 0 and 1; received 2
        hint: 0.05 gives 95% bands
        error: no input is given
        hint: stagger run panel.parquet --yname Y --tname T --idname ID --gname G, or stagger run study.toml
        "#);
    }

    #[test]
    fn notes_tell_what_has_no_effect() {
        let all =
            ["bstrap = false\ncband = true", "biters = 20", "panel = false", "pname = 'p'\ncband = true", ""]
                .map(notes)
                .join("\n");
        insta::assert_snapshot!(all, @"
        cband needs bstrap: without it the bands are pointwise
        biters is 20: standard errors and bands from so few draws are unreliable
        idname is ignored: in repeated cross sections every row is its own unit
        cband needs bstrap: without it the bands are pointwise
        ");
    }
}
