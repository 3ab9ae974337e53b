//! `stagger doctor`: whether runs on AWS Lambda would work, and what to do where they would not. Nothing is left behind.

mod account;
mod bucket;
mod check;
mod functions;

use std::io::{self, IsTerminal};

use serde::Serialize;
use stagger_aws::lambda::{Clients, raise_open_files};
use stagger_model::error::StaggerError;
use stagger_model::failure::Failure;
use stagger_protocol::messages::VERSION;
use stagger_report::stdout::{print, print_json};
use stagger_storage::{check_environment, runtime};

use self::account::Watch;
use self::check::{Check, Status, failures, text};
use crate::cli::doctor_args::{DoctorArgs, DoctorRequest};

/// The object that `--json` prints.
#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    version: &'static str,
    checks: &'a [Check],
}

/// Prints the checks; one that failed is a failure of the command.
pub(crate) fn doctor(args: DoctorArgs) -> Result<(), Failure> {
    let request = DoctorRequest::new(args, |name| std::env::var(name).ok());
    check_environment().map_err(StaggerError::from)?;
    let runtime = runtime().map_err(StaggerError::from)?;
    let checks = runtime.block_on(examine(&request));
    let failed = failures(&checks);
    if request.json {
        print_json(&Report { ok: failed == 0, version: VERSION, checks: &checks })?;
    } else {
        print(&text(&checks, signs()))?;
    }
    match failed {
        0 => Ok(()),
        1 => Err(Failure::failed(format!("1 of {} checks failed", checks.len()))),
        _ => Err(Failure::failed(format!("{failed} of {} checks failed", checks.len()))),
    }
}

/// Returns true if more than ASCII may be shown.
fn signs() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

async fn examine(request: &DoctorRequest) -> Vec<Check> {
    let clients = Clients::of_environment().await;
    let region = clients.region();
    let shared = clients.shared_config().await;
    let who = account::credentials(&shared).await;
    let known = who.status != Status::Fail;
    let mut checks = vec![who, Check::ok("region", region)];
    checks.extend(endpoint());
    if known {
        let watch = Watch::default();
        let (_, client) = clients.get().await;
        let config = client
            .config()
            .to_builder()
            .interceptor(watch.clone())
            .timeout_config(account::request_timeouts());
        let client = aws_sdk_lambda::Client::from_conf(config.build());
        checks.push(bucket::bucket(request.bucket.as_deref()).await);
        checks.extend(functions::functions(&client, region, &request.functions, request.concurrency).await);
        checks.push(account::quota(&client, region, request.concurrency).await);
        checks.push(account::clock(&watch));
    } else {
        let all = ["bucket", "functions", "quota", "clock"];
        checks.extend(all.map(|check| Check::skipped(check, "needs credentials")));
    }
    checks.push(connections(request.concurrency));
    checks
}

/// Returns a check that names the endpoint of requests, if they do not go to AWS.
fn endpoint() -> Option<Check> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let named: Vec<String> = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_LAMBDA"]
        .into_iter()
        .filter_map(|name| Some(format!("{name}={}", set(name)?)))
        .collect();
    (!named.is_empty()).then(|| Check::ok("endpoint", format!("not AWS: {}", named.join(", "))))
}

/// Checks that the system allows this process a connection for each of `concurrency` invocations.
fn connections(concurrency: usize) -> Check {
    let room = raise_open_files(concurrency as u64);
    let detail = format!("room for {} at a time", room.min(1_000_000));
    match room >= concurrency as u64 {
        true => Check::ok("connections", detail),
        false => Check::warn(
            "connections",
            format!("{detail}; {concurrency} wanted"),
            "raise the limit on open files (ulimit -Hn), or use fewer: --concurrency",
        ),
    }
}
