//! What an event asks for. Until the engine's worker exists: its whole runs, so that size and start are those of all its code.

use lambda_runtime::Diagnostic;
use serde::Deserialize;
use serde_json::{Value, json};
use stagger_engine::panel_store::PanelStore;
use stagger_engine::prepare::{PrepareOptions, prepare};
use stagger_engine::run::{RunOptions, run_all};
use stagger_engine::spec::RunSpec;
use stagger_engine::store::Storage;

/// An event.
#[derive(Debug, Deserialize)]
#[serde(tag = "operation", rename_all = "lowercase", deny_unknown_fields)]
enum Event {
    /// Which version answers.
    Ping {},
    /// What a panel store holds.
    Open { store: String },
    /// Makes a panel store.
    Prepare { inputs: Vec<String>, spec: Box<RunSpec>, out: String },
    /// Estimates.
    Run { inputs: Vec<String>, spec: Box<RunSpec> },
}

/// Why an invocation failed, as the caller sees it.
#[derive(Debug)]
pub(crate) struct Failure {
    /// For programs.
    pub(crate) kind: &'static str,
    /// For people.
    pub(crate) message: String,
}

impl Failure {
    /// The engine's thread did not come back.
    pub(crate) fn panicked(error: impl std::fmt::Display) -> Self {
        Self { kind: "Panic", message: error.to_string() }
    }

    fn engine(error: impl std::fmt::Display) -> Self {
        Self { kind: "Engine", message: error.to_string() }
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: failure.kind.to_owned(), error_message: failure.message }
    }
}

/// An event's operation, for the log.
pub(crate) fn operation(event: &Value) -> &str {
    event.get("operation").and_then(Value::as_str).unwrap_or("none")
}

/// Does what the event asks; blocks.
pub(crate) fn handle(event: Value) -> Result<Value, Failure> {
    let event = serde_json::from_value(event)
        .map_err(|e| Failure { kind: "Event", message: format!("the event can't be read: {e}") })?;
    match event {
        Event::Ping {} => Ok(json!({ "version": env!("CARGO_PKG_VERSION") })),
        Event::Open { store } => open(store),
        Event::Prepare { inputs, spec, out } => prepared(&inputs, &spec, &out),
        Event::Run { inputs, spec } => estimates(&inputs, &spec),
    }
}

fn open(store: String) -> Result<Value, Failure> {
    let found = PanelStore::of_input(&[store]).map_err(Failure::engine)?;
    answer(&found.map(|store| store.manifest))
}

fn prepared(inputs: &[String], spec: &RunSpec, out: &str) -> Result<Value, Failure> {
    let storage = Storage::open(out).map_err(Failure::engine)?;
    let made = prepare(inputs, &[(None, spec)], &storage, &PrepareOptions::default(), &|_| {})
        .map_err(Failure::engine)?;
    answer(&made.manifest)
}

fn estimates(inputs: &[String], spec: &RunSpec) -> Result<Value, Failure> {
    let made = run_all(inputs, &[(None, spec)], &RunOptions::default(), &|_| {}).map_err(Failure::engine)?;
    answer(&made.outputs.iter().map(|output| &output.saved).collect::<Vec<_>>())
}

fn answer(value: &impl serde::Serialize) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(Failure::engine)
}
