//! A run on workers has the bits of the run on the threads of one process, and goes on where it was stopped.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use stagger_coordinator::journal::{ControllerId, Takeover};
use stagger_coordinator::{
    CloudOptions, CloudOutput, InvocationOutcome, Invoker, RunRequest, Settings, ThreadInvoker, resume, start,
};
use stagger_estimation::local::{RunOptions, run};
use stagger_forecast::Prefer;
use stagger_model::cost::UnitPrices;
use stagger_model::events::RunState;
use stagger_model::signal::Signal;
use stagger_model::spec::RunSpec;
use stagger_protocol::messages::{Invocation, VERSION};
use stagger_schedule::{Function, Policy};
use stagger_test_support::runs;

fn inputs() -> [String; 1] {
    [stagger_test_support::mpdta().display().to_string()]
}

fn spec() -> RunSpec {
    RunSpec { xformla: Some("~ lpop".into()), biters: 100, ..runs::mpdta_spec() }
}

fn request(folder: &Path, specs: Vec<(Option<String>, RunSpec)>) -> RunRequest {
    runs::request(VERSION, &inputs(), &specs, &folder.join("panels").display().to_string())
}

fn options() -> CloudOptions {
    CloudOptions {
        concurrency: 4,
        n_partitions: None,
        max_cohorts: None,
        prefer: Prefer::Time,
        max_cost: None,
        threads: Some(2),
        heavy: stagger_forecast::heavy::HeavyRule::Never,
        policy: Policy::default(),
        writer: ControllerId { host: "test".into(), pid: std::process::id(), mark: "a".into() },
        takeover: Takeover::IfGone,
    }
}

fn json(output: &CloudOutput) -> Vec<String> {
    output.outputs.iter().map(|(saved, _)| serde_json::to_string(&saved.result).unwrap()).collect()
}

fn direct(spec: &RunSpec) -> String {
    let output = run(&inputs(), spec, &RunOptions::default(), &|_| {}).unwrap();
    serde_json::to_string(&output.saved.result).unwrap()
}

#[test]
fn workers_bring_the_bits_of_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs").display().to_string();
    let specs = vec![
        (Some("a".to_owned()), spec()),
        (Some("b".to_owned()), RunSpec { xformla: None, ..spec() }),
        (Some("c".to_owned()), RunSpec { bstrap: false, cband: false, ..spec() }),
    ];
    let expected: Vec<String> = specs.iter().map(|(_, spec)| direct(spec)).collect();
    let settings = Settings::new(Arc::new(ThreadInvoker::new(2, 1 << 30)));
    let output = start(&runs, "one", &request(folder.path(), specs), &settings, &options(), &|_| {}).unwrap();
    assert_eq!(json(&output), expected);
    assert_eq!(output.summary.state, RunState::Finished);
    let limited = CloudOptions { max_cohorts: Some(3), n_partitions: Some(1), ..options() };
    let again = request(folder.path(), vec![(None, spec())]);
    let output = start(&runs, "two", &again, &settings, &limited, &|_| {}).unwrap();
    assert_eq!(json(&output), [direct(&spec())]);
    let error = start(&runs, "two", &again, &settings, &limited, &|_| {}).unwrap_err();
    assert!(error.to_string().contains("there is a run `two`"), "{error}");
}

/// Stops the run after so many invocations.
#[derive(Debug)]
struct Stopping {
    inner: ThreadInvoker,
    left: AtomicUsize,
    signal: Signal,
}

#[async_trait]
impl Invoker for Stopping {
    fn name(&self) -> &str {
        "stopping"
    }

    fn functions(&self) -> Vec<Function> {
        self.inner.functions()
    }

    fn prices(&self) -> UnitPrices {
        UnitPrices::FREE
    }

    async fn invoke(&self, function: usize, invocation: Invocation, limit: Duration) -> InvocationOutcome {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.signal.stop();
        }
        self.inner.invoke(function, invocation, limit).await
    }
}

#[test]
fn a_run_that_was_stopped_anywhere_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs").display().to_string();
    let expected = direct(&spec());
    let mut stopped = 0;
    for moment in 1..=12 {
        let name = format!("run-{moment}");
        let mut settings = Settings::new(Arc::new(ThreadInvoker::new(2, 1 << 30)));
        let signal = settings.signal.clone();
        settings.invoker = Arc::new(Stopping {
            inner: ThreadInvoker::new(2, 1 << 30),
            left: AtomicUsize::new(moment),
            signal,
        });
        let request = RunRequest {
            stores: folder.path().join(format!("panels-{moment}")).display().to_string(),
            ..request(folder.path(), vec![(None, spec())])
        };
        let output = match start(&runs, &name, &request, &settings, &options(), &|_| {}) {
            Ok(output) => output,
            Err(error) => {
                stopped += 1;
                assert!(error.to_string().starts_with("cancelled"), "{error}");
                let settings = Settings::new(Arc::new(ThreadInvoker::new(2, 1 << 30)));
                let (known, output) = resume(&runs, &name, &settings, &options(), &|_| {}).unwrap();
                assert_eq!(known, request);
                output
            }
        };
        assert_eq!(json(&output), std::slice::from_ref(&expected), "stopped at invocation {moment}");
    }
    assert!(stopped >= 6, "{stopped} runs were stopped");
}
