//! `stagger prepare`.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;
use stagger_model::events::RunEvent;
use stagger_model::failure::Failure;
use stagger_model::numbers::{counted, grouped};
use stagger_model::spec::RunSpec;
use stagger_model::spec_check::CheckedSpec;
use stagger_panel::panel_store::{Manifest, PanelStore, Verification};
use stagger_panel::prepare::{PrepareOptions, Prepared, prepare as make};
use stagger_report::stdout::{print, print_json, print_line_to_stderr};
use stagger_storage::Storage;

use crate::cli::prepare_args::{PrepareArgs, PrepareRequest};
use crate::cli::workers::WorkersRequest;
use crate::commands::workers;
use crate::interrupt;
use crate::listen::DisplayOptions;
use crate::listen::progress::{Progress, ProgressOptions, erase_line};

/// Makes a store, or checks one.
pub(crate) fn prepare(args: &PrepareArgs) -> Result<(), Failure> {
    if args.verify.unwrap_or(false) {
        return verify(args);
    }
    let request = PrepareRequest::new(args)?;
    interrupt::install();
    interrupt::set_resumable();
    refuse_foreign(&request.out)?;
    let storage = Storage::open(&request.out).map_err(stagger_model::error::StaggerError::from)?;
    let specs: Vec<(Option<&str>, &RunSpec)> =
        request.specs.iter().map(|(name, spec)| (name.as_deref(), spec)).collect();
    let options = PrepareOptions {
        threads: args.running.threads,
        memory_limit: args.running.memory_limit,
        partitions: args.running.n_partitions,
        ..PrepareOptions::default()
    };
    let begin = Instant::now();
    if let Some(workers) = &request.workers {
        let made = by_workers(args, &request, workers)?;
        return report(args, &made, &storage.url(), begin.elapsed());
    }
    let progress = Progress::start(show(args));
    let checked = CheckedSpec::check_all(&specs)?;
    let made = make(&request.inputs, &checked, &storage, &options, &|event| {
        progress.observe(event);
        if let (RunEvent::Note { text }, false) = (event, args.quiet.unwrap_or(false)) {
            erase_line();
            print_line_to_stderr(&format!("note: {text}"));
        }
    });
    progress.finish();
    report(args, &made?, &storage.url(), begin.elapsed())
}

/// Refuses a folder that holds something other than a store, or one that is being made.
fn refuse_foreign(out: &str) -> Result<(), Failure> {
    let folder = Path::new(out);
    if folder.exists() && !folder.is_dir() {
        return Err(Failure::input(format!("--out {out} is a file, not a folder")).hint("give a new folder"));
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let names: Vec<String> =
        names.filter(|name| !name.starts_with(".stagger-") && name != "lost+found").collect();
    let ours = ["manifest.json", "_prepare", "shards"];
    if names.is_empty() || names.iter().any(|name| ours.contains(&name.as_str())) {
        return Ok(());
    }
    Err(Failure::input(format!("--out {out} is not empty and holds no store, but {}", names[0]))
        .hint("give a new folder"))
}

fn by_workers(
    args: &PrepareArgs,
    request: &PrepareRequest,
    on: &WorkersRequest,
) -> Result<Prepared, Failure> {
    let ProgressOptions { line, monitor } = show(args);
    let watch =
        DisplayOptions { quiet: args.quiet.unwrap_or(false), line, monitor, ..DisplayOptions::default() };
    let how = (args.running.n_partitions, args.running.threads);
    workers::prepare(on, &request.inputs, request.specs.clone(), &request.out, how, &watch)
}

fn show(args: &PrepareArgs) -> ProgressOptions {
    let quiet = args.quiet.unwrap_or(false);
    ProgressOptions {
        line: args.running.progress_bar.unwrap_or(true) && !quiet,
        monitor: args.running.monitor_interval.filter(|seconds| *seconds > 0.0).map(Duration::from_secs_f64),
    }
}

/// The object that `--json` prints of a store that was made.
#[derive(Serialize)]
struct Made<'a> {
    store: &'a str,
    reused: bool,
    rows: u64,
    units: u64,
    shards: usize,
    bytes: u64,
    fingerprint: &'a str,
}

fn report(args: &PrepareArgs, made: &Prepared, url: &str, elapsed: Duration) -> Result<(), Failure> {
    let manifest = &made.manifest;
    if args.json.unwrap_or(false) {
        return print_json(&Made {
            store: url,
            reused: made.reused,
            rows: manifest.input_rows,
            units: manifest.units,
            shards: manifest.shards.len(),
            bytes: manifest.total_bytes(),
            fingerprint: &manifest.fingerprint,
        });
    }
    print(&summary(manifest, url))?;
    if !args.quiet.unwrap_or(false) {
        let line = match made.reused {
            true => "the store was there already, of the same inputs and columns".to_owned(),
            false => {
                let stages: Vec<String> =
                    made.stages.iter().map(|s| format!("{} {:.1} s", s.stage, s.seconds)).collect();
                let seconds = elapsed.as_secs_f64();
                match stages.is_empty() {
                    true => format!("prepared in {seconds:.1} s"),
                    false => format!("prepared in {seconds:.1} s: {}", stages.join(", ")),
                }
            }
        };
        print_line_to_stderr(&line);
    }
    Ok(())
}

fn summary(manifest: &Manifest, url: &str) -> String {
    let kind = if manifest.cross_sections { "row" } else { "unit" };
    let mut out = format!("store      {url}\n");
    out += &format!(
        "panel      {} of {}, {}, {}\n",
        counted(manifest.units, kind),
        counted(manifest.input_rows, "input row"),
        counted(manifest.periods.len() as u64, "period"),
        counted(manifest.shards.len() as u64, "shard"),
    );
    out += &format!("size       {} MB\n", grouped(manifest.total_bytes().div_ceil(1_000_000)));
    let names = |wanted: bool| -> String {
        let list: Vec<String> = manifest
            .fields
            .iter()
            .filter(|f| f.outcome == wanted)
            .map(|f| format!("{}{}", f.name, if f.varies && !f.outcome { " (varies in time)" } else { "" }))
            .collect();
        if list.is_empty() { "none".to_owned() } else { list.join(", ") }
    };
    out += &format!("outcomes   {}\n", names(true));
    out + &format!("others     {}\n", names(false))
}

fn verify(args: &PrepareArgs) -> Result<(), Failure> {
    let [place] = args.data.as_slice() else {
        return Err(Failure::input("--verify checks one store").hint("stagger prepare STORE --verify"));
    };
    let storage = Storage::open(place).map_err(stagger_model::error::StaggerError::from)?;
    let store = PanelStore::open(storage)?;
    let threads =
        args.running.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let found = store.verify(threads, &|| {})?;
    if args.json.unwrap_or(false) {
        print_json(&found)?;
    }
    outcome(&found, &store.url(), args.json.unwrap_or(false))
}

fn outcome(found: &Verification, url: &str, printed: bool) -> Result<(), Failure> {
    if found.damage.is_empty() && printed {
        return Ok(());
    }
    if found.damage.is_empty() {
        return print(&format!(
            "`{url}` is whole: {}, {} MB\n",
            counted(found.shards as u64, "shard"),
            grouped(found.bytes.div_ceil(1_000_000))
        ));
    }
    let mut list = found.damage.iter().take(20).cloned().collect::<Vec<_>>().join("; ");
    if found.damage.len() > 20 {
        list += &format!("; and {} more", found.damage.len() - 20);
    }
    Err(Failure::failed(format!("the store `{url}` is damaged: {list}"))
        .hint("remove it and prepare it again"))
}
