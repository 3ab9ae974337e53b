//! `--out DIR`: the result for programs and people, and what `agg` needs later.
//!
//! | file | what |
//! |---|---|
//! | `result.json` | the object of `--json` with the covariance of the extended columns, shares, periods, specification |
//! | `att_gt.csv`, `att_gt.parquet` | ATT(g,t) |
//! | `aggte_TYPE.csv` | one for each kind of aggregation |
//! | `aggte_dynamic_vcov.csv` | the covariance of the event study |
//! | `covariance.parquet` | that covariance, where there are more than 500 columns |
//! | `draws.parquet` | bootstrap draws, one column an extended column, or one row a number (`draws`) |
//! | `event_study.svg`, `att_gt.svg` | pictures: effects by event time, ATT(g,t) by cohort |
//! | `events.jsonl` | what happened when (docs/events.md) |
//! | `run.json` | version, specification, inputs and their fingerprint, counts, timings |
//! | `checksums.json` | a checksum of each of the others (`checksums`) |

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use serde::Serialize;
use stagger_model::event_log::EVENTS_FILE;
use stagger_model::facts::{RunFacts, RunOutput};
use stagger_model::failure::Failure;
use stagger_model::result::{AGGREGATION_TYPES, SavedResult};
use stagger_model::spec::RunSpec;
use stagger_pictures::Figure;

use super::covariance::{self, COVARIANCE};
use super::draws::{self, DRAWS};
use super::folder::{RESULT, StagedOutput, StagedResult};
use super::pictures::files::natural_svg;
use super::pictures::{NamedAggregation, cells_figure, event_study};
use super::tabular::{aggregation_csv, as_io, cells_csv, cells_parquet, covariance_csv};

/// File of ATT(g,t).
pub const CELLS_CSV: &str = "att_gt.csv";
const CELLS_PARQUET: &str = "att_gt.parquet";
const EVENT_STUDY: &str = "event_study.svg";
const CELLS_SVG: &str = "att_gt.svg";
/// File of how the run went.
pub const RUN: &str = "run.json";

/// `run.json`: how the result came about. Unlike the result it holds paths, times and a version.
#[derive(Serialize)]
struct RunRecord<'a> {
    version: &'static str,
    spec: &'a RunSpec,
    facts: &'a RunFacts,
    /// Seconds that the other files of the result took.
    output_seconds: f64,
}

/// Writes the files of the results, a folder each, and puts them in place when all are complete.
///
/// # Errors
/// Those of the file system; nothing is in place then.
pub fn save(folder: StagedOutput, outputs: &[RunOutput], events: &[u8]) -> Result<(), Failure> {
    if folder.parts().len() != outputs.len() {
        return Err(Failure::failed(format!(
            "{} results for {} folders",
            outputs.len(),
            folder.parts().len()
        )));
    }
    for (part, output) in folder.parts().iter().zip(outputs) {
        write_all(part, output, events)?;
    }
    folder.commit()
}

fn write_all(folder: &StagedResult, output: &RunOutput, events: &[u8]) -> Result<(), Failure> {
    let begin = Instant::now();
    // The draws of thousands of cells take as long as everything else.
    std::thread::scope(|scope| {
        let draws = scope.spawn(|| write_draws(folder, output));
        write_estimates(folder, output, events)?;
        draws.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    let record = RunRecord {
        version: env!("CARGO_PKG_VERSION"),
        spec: &output.saved.extended.spec,
        facts: &output.facts,
        output_seconds: begin.elapsed().as_secs_f64(),
    };
    write_text(folder, RUN, |out| json(out, &record, true))
}

fn write_draws(folder: &StagedResult, output: &RunOutput) -> Result<(), Failure> {
    let Some(own) = &output.draws else { return Ok(()) };
    folder.write(DRAWS, |file| {
        draws::write(&output.saved, own, file).map_err(|error| as_io(Path::new(DRAWS), error))
    })
}

fn write_estimates(folder: &StagedResult, output: &RunOutput, events: &[u8]) -> Result<(), Failure> {
    let result = &output.saved.result;
    write_text(folder, CELLS_CSV, |out| cells_csv(&result.att_gt, out))?;
    for (kind, aggte) in &result.aggte {
        write_text(folder, &aggregation_file(kind), |out| aggregation_csv(aggte, out))?;
        if !aggte.vcov_egt.is_empty() {
            write_text(folder, &covariance_file(kind), |out| covariance_csv(aggte, out))?;
        }
    }
    write_pictures(folder, &output.saved)?;
    write_text(folder, RESULT, |out| json(out, &output.saved, false))?;
    folder.write(CELLS_PARQUET, |file| {
        cells_parquet(&result.att_gt, file).map_err(|error| as_io(Path::new(CELLS_PARQUET), error))
    })?;
    write_text(folder, EVENTS_FILE, |out| out.write_all(events))?;
    if output.saved.extended.has_separate_covariance() {
        folder.write(COVARIANCE, |file| {
            covariance::write(&output.saved, file).map_err(|error| as_io(Path::new(COVARIANCE), error))
        })?;
    }
    Ok(())
}

fn write_pictures(folder: &StagedResult, saved: &SavedResult) -> Result<(), Failure> {
    let write = |name: &str, figure: &Figure| {
        write_text(folder, name, |out| out.write_all(natural_svg(figure).as_bytes()))
    };
    if let Some(aggte) = saved.result.aggte.get("dynamic") {
        write(EVENT_STUDY, &event_study(&[NamedAggregation { name: String::new(), saved, aggte }]))?;
    }
    write(CELLS_SVG, &cells_figure(saved))
}

/// Returns the file name of an aggregation: `aggte_dynamic.csv`.
pub fn aggregation_file(kind: &str) -> String {
    format!("aggte_{kind}.csv")
}

/// Returns the file name of an aggregation's covariance: `aggte_dynamic_vcov.csv`.
pub fn covariance_file(kind: &str) -> String {
    format!("aggte_{kind}_vcov.csv")
}

/// Returns true if a file is one of a result's, which the next result replaces or removes.
pub fn is_result_file(name: &str) -> bool {
    [RESULT, CELLS_CSV, CELLS_PARQUET, COVARIANCE, DRAWS, RUN, EVENTS_FILE, EVENT_STUDY, CELLS_SVG]
        .contains(&name)
        || AGGREGATION_TYPES
            .iter()
            .any(|kind| aggregation_file(kind) == name || covariance_file(kind) == name)
}

fn write_text(
    folder: &StagedResult,
    name: &str,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Failure> {
    folder.write(name, |file| {
        let mut out = BufWriter::new(file);
        write(&mut out)?;
        out.into_inner().map_err(io::IntoInnerError::into_error)
    })
}

fn json(out: &mut dyn Write, value: &impl Serialize, pretty: bool) -> io::Result<()> {
    if pretty {
        serde_json::to_writer_pretty(&mut *out, value)?;
    } else {
        serde_json::to_writer(&mut *out, value)?;
    }
    writeln!(out)
}
