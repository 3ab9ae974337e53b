//! The course of the run, from `run.json`, as far as it tells.

use serde_json::Value;
use stagger_model::numbers::{counted, grouped};

use super::model::{Block, Table};

/// The section on the run; none without its facts.
pub(super) fn section(blocks: &mut Vec<Block>, run: Option<&Value>) {
    let Some(facts) = run.and_then(|run| run.get("facts")) else {
        return;
    };
    blocks.push(Block::Heading("Run".to_owned()));
    let mut lines = Vec::new();
    if let Some(version) = run.and_then(|run| run.get("version")).and_then(Value::as_str) {
        lines.push(format!("Stagger {version}"));
    }
    lines.extend(input(facts));
    let count = |key: &str| facts.get(key).and_then(Value::as_u64);
    if let (Some(shards), Some(threads)) = (count("shards"), count("threads")) {
        lines.push(format!("{} on {}", counted(shards, "shard"), counted(threads, "thread")));
    }
    if let Some(seconds) = facts.get("seconds").and_then(Value::as_f64) {
        lines.push(format!("{} in all", duration(seconds)));
    }
    lines.extend(facts.get("workers").into_iter().flat_map(workers));
    blocks.push(Block::List(lines));
    if let Some(table) = stages(facts) {
        blocks.push(Block::Table(table));
    }
}

fn input(facts: &Value) -> Option<String> {
    let inputs = facts.get("inputs")?.as_array()?;
    let rows = facts.get("rows").and_then(Value::as_u64).unwrap_or(0);
    let units = facts.get("units").and_then(Value::as_u64).unwrap_or(0);
    let mut text = match inputs.as_slice() {
        [] => "Input".to_owned(),
        // A report is handed on: where the file lay concerns nobody.
        [one] => format!("Input: {}", name(one)),
        [first, .., last] => {
            format!("Input: {} ({} to {})", counted(inputs.len() as u64, "file"), name(first), name(last))
        }
    };
    text += &format!(", {}, {}", counted(rows, "row"), counted(units, "unit"));
    Some(text)
}

fn name(input: &Value) -> String {
    let path = input.get("path").and_then(Value::as_str).unwrap_or_default();
    path.rsplit('/').next().unwrap_or(path).to_owned()
}

fn workers(workers: &Value) -> Vec<String> {
    let count = |key: &str| workers.get(key).and_then(Value::as_u64).unwrap_or(0);
    let backend = workers.get("backend").and_then(Value::as_str).unwrap_or("workers");
    let dollars = workers.get("dollars").and_then(Value::as_f64).unwrap_or(0.0);
    let mut out = vec![format!(
        "Workers ({backend}): {}, {} of which failed and were done again; {} read; ${dollars:.4}",
        counted(count("attempts"), "attempt"),
        grouped(count("failures")),
        bytes(count("bytes_read")),
    )];
    let more =
        [(count("throttled"), "turned away, as too many ran"), (count("backups"), "backups of slow ones")];
    let told = more.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{} {what}", grouped(*n)));
    let peak = count("peak_memory");
    let memory = (peak > 0).then(|| format!("peak memory of a worker {}", bytes(peak)));
    let line = told.chain(memory).collect::<Vec<_>>().join("; ");
    if !line.is_empty() {
        out.push(line);
    }
    out
}

fn bytes(count: u64) -> String {
    let units = [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")];
    match units.into_iter().find(|(unit, _)| count as f64 >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", count as f64 / unit),
        None => counted(count, "byte"),
    }
}

fn duration(seconds: f64) -> String {
    if seconds >= 120.0 {
        format!("{:.0} min {:.0} s", (seconds / 60.0).floor(), seconds % 60.0)
    } else if seconds >= 1.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{:.0} ms", 1000.0 * seconds)
    }
}

fn stages(facts: &Value) -> Option<Table> {
    let stages = facts.get("stages")?.as_array().filter(|stages| !stages.is_empty())?;
    let row = |stage: &Value| {
        let name = stage.get("stage").and_then(Value::as_str).unwrap_or_default().to_owned();
        let tasks = stage.get("tasks").and_then(Value::as_u64).unwrap_or(0);
        let seconds = stage.get("seconds").and_then(Value::as_f64).unwrap_or(0.0);
        vec![name, grouped(tasks), format!("{seconds:.3}")]
    };
    Some(Table {
        caption: "Stages of the run.".to_owned(),
        headings: ["Stage", "Tasks", "Seconds"].map(str::to_owned).to_vec(),
        left: 1,
        rows: stages.iter().map(row).collect(),
        note: String::new(),
    })
}
