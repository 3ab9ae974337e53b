//! Checks of the functions: there, active, alike, invocable, and of this version.

use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{InvocationType, LogType};
use stagger_aws::lambda::{Call, FunctionSettings, read_answer, read_settings};
use stagger_model::events::ObjectRef;
use stagger_protocol::messages::{Answer, Invocation, PROTOCOL, TaskFailure, VERSION, Work};

use super::check::{Check, Status};

const DEPLOY: &str = "deploy the worker of this version: `function/build`, then `infra/deploy`";

/// The checks of all functions.
pub(super) async fn functions(
    client: &Client,
    region: &str,
    names: &[String],
    concurrency: usize,
) -> Vec<Check> {
    if names.is_empty() {
        return vec![Check::fail(
            "functions",
            "none is named",
            "--function NAME[,NAME …], or STAGGER_FUNCTION; `infra/deploy` makes them and prints their names",
        )];
    }
    let mut checks = Vec::new();
    let mut all = Vec::new();
    for name in names {
        match read_settings(client, region, name).await {
            Err(failure) => checks.push(Check::refused(&format!("function {name}"), failure)),
            Ok(found) => {
                let reserved = reserved(client, name).await;
                checks.push(settings(&found, reserved, concurrency));
                if found.is_active() && reserved != Reserved::Of(0) {
                    checks.push(version(client, region, &found).await);
                }
                all.push(found);
            }
        }
    }
    checks.extend(alike(&all));
    checks
}

/// Concurrency that a function has for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reserved {
    Of(i32),
    None,
    /// Those who only run Stagger need not have this right.
    Unknown,
}

async fn reserved(client: &Client, name: &str) -> Reserved {
    match client.get_function_concurrency().function_name(name).send().await {
        Ok(found) => found.reserved_concurrent_executions().map_or(Reserved::None, Reserved::Of),
        Err(_) => Reserved::Unknown,
    }
}

fn settings(found: &FunctionSettings, reserved: Reserved, concurrency: usize) -> Check {
    let check = format!("function {}", found.name);
    let detail = format!(
        "{}, {}, {} MB, {} s, {}",
        found.state,
        found.architecture,
        found.memory_mb,
        found.timeout.as_secs(),
        match reserved {
            Reserved::Of(count) => format!("{count} reserved invocations at a time"),
            Reserved::None => "no reserved concurrency".to_owned(),
            Reserved::Unknown => "reserved concurrency unknown".to_owned(),
        }
    );
    if !found.is_active() {
        let reason = if found.reason.is_empty() { String::new() } else { format!(" ({})", found.reason) };
        return Check::fail(
            &check,
            detail + &reason,
            "wait if it is Pending; otherwise `infra/deploy` it again",
        );
    }
    match reserved {
        Reserved::Of(0) => Check::fail(
            &check,
            detail,
            "it is switched off: give it reserved concurrency, or none (`infra/deploy`)",
        ),
        Reserved::Of(count) if (count as usize) < concurrency => Check::warn(
            &check,
            detail,
            format!(
                "a run uses what there is: --concurrency {count}, or `infra/deploy --set ReservedConcurrency={concurrency}`"
            ),
        ),
        _ => Check::ok(&check, detail),
    }
}

/// Checks that a function may be invoked and is of this version: a task of no protocol is refused by every worker, with its own
/// version in the refusal.
async fn version(client: &Client, region: &str, function: &FunctionSettings) -> Check {
    let check = format!("invoke {}", function.name);
    let call = Call { action: "lambda:InvokeFunction", resource: &function.arn, region };
    let dry = client.invoke().function_name(&function.name).invocation_type(InvocationType::DryRun);
    if let Err(error) = dry.send().await {
        return Check::refused(&check, call.explain(&error));
    }
    let payload = match serde_json::to_vec(&no_task()) {
        Ok(payload) => payload,
        Err(error) => return Check::new(&check, Status::Fail, error.to_string()),
    };
    let invoke = client.invoke().function_name(&function.name).log_type(LogType::Tail);
    match invoke.payload(Blob::new(payload)).send().await {
        Err(error) => Check::refused(&check, call.explain(&error)),
        Ok(out) => judged(&check, read_answer(&function.name, &out).answer),
    }
}

fn judged(check: &str, answer: Answer) -> Check {
    let failure = match answer {
        Answer::Failed(failure) => failure,
        Answer::Done(_) => {
            TaskFailure::new(stagger_model::error::FailureClass::Permanent, "it did a task of protocol 0")
        }
    };
    match worker_version(&failure.message) {
        Some((version, protocol)) if version == VERSION && protocol == PROTOCOL => {
            Check::ok(check, format!("version {version}, as this program"))
        }
        Some((version, protocol)) => Check::fail(
            check,
            format!(
                "its worker is version {version} (protocol {protocol}), this program {VERSION} (protocol {PROTOCOL})"
            ),
            DEPLOY,
        ),
        None => Check::fail(
            check,
            format!("no version is told: {}", failure.message),
            failure.hint.as_deref().unwrap_or(DEPLOY),
        ),
    }
}

/// The version and protocol in `…, the worker version 0.1.0 (protocol 1)`.
fn worker_version(message: &str) -> Option<(&str, u32)> {
    let rest = message.split("the worker version ").nth(1)?;
    let (version, rest) = rest.split_once(" (protocol ")?;
    Some((version, rest.split(')').next()?.parse().ok()?))
}

fn no_task() -> Invocation {
    Invocation {
        protocol: 0,
        version: VERSION.to_owned(),
        run: String::new(),
        stage: ObjectRef { key: String::new(), checksum: String::new() },
        work: Work::Scatter(0),
        look: false,
        seconds: 1,
        kind: None,
    }
}

/// A run refuses functions of several architectures.
fn alike(all: &[FunctionSettings]) -> Option<Check> {
    let first = all.first()?;
    let other = all.iter().find(|one| one.architecture != first.architecture)?;
    Some(Check::fail(
        "architecture",
        format!("`{}` is {}, but `{}` is {}", other.name, other.architecture, first.name, first.architecture),
        "use functions of one architecture: a result could depend on where its tasks ran",
    ))
}

#[cfg(test)]
mod tests {
    use stagger_worker::{Worker, WorkerOptions};

    use super::*;

    #[test]
    fn this_worker_tells_its_version() {
        let answer = Worker::new(WorkerOptions::with_memory(None)).handle(&no_task());
        let check = judged("invoke f", answer);
        assert_eq!((check.status, check.detail), (Status::Ok, format!("version {VERSION}, as this program")));
    }

    #[test]
    fn other_versions_and_other_functions_fail() {
        let check = |message: &str| {
            let class = stagger_model::error::FailureClass::Permanent;
            judged("invoke f", Answer::Failed(TaskFailure::new(class, message)))
        };
        let old = check("the controller is version 1 (protocol 0), the worker version 0.0.9 (protocol 1)");
        assert_eq!(old.status, Status::Fail);
        assert!(old.detail.contains("version 0.0.9 (protocol 1)"), "{}", old.detail);
        let strange = check("its answer is no worker's: {}");
        assert_eq!((strange.status, strange.hint.as_deref()), (Status::Fail, Some(DEPLOY)));
    }
}
