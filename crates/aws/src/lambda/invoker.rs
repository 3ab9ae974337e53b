//! One attempt, one synchronous invocation.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_lambda::operation::invoke::InvokeOutput;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::LogType;
use aws_smithy_types::base64;
use futures::future::try_join_all;
use stagger_coordinator::{InvocationOutcome, Invoker};
use stagger_forecast::Prices;
use stagger_model::cost::UnitPrices;
use stagger_model::error::{FailureClass, StaggerError};
use stagger_model::failure::Failure;
use stagger_protocol::messages::{Answer, Invocation, TaskFailure};
use stagger_schedule::Function;
use stagger_storage::runtime;
use tokio::task::JoinSet;

use super::client::{Clients, raise_open_files};
use super::functions::{FunctionSettings, rates, read_settings, sort_by_memory};
use super::reply::Reply;
use crate::lambda::service_error::Call;

/// The time that an answer is waited for beyond the attempt's limit. A function that Lambda ends at its timeout has had up to ten
/// seconds for its start before, and its answer has a way to go; were the controller to give up first, the bill would be lost with
/// the answer.
const MARGIN: Duration = Duration::from_secs(30);

/// Invocations at a time that there is to be room for, if the system allows; an account has a tenth of them at first.
const MOST: u64 = 10_000;

/// Functions on AWS Lambda, invoked one task at a time.
#[derive(Debug)]
pub struct LambdaInvoker {
    shared: Arc<Shared>,
    rates: UnitPrices,
}

/// The state that invocations under way share.
#[derive(Debug)]
struct Shared {
    clients: Clients,
    functions: Vec<FunctionSettings>,
    margin: Duration,
}

impl LambdaInvoker {
    /// The functions of these names, with the credentials, region and endpoint of the environment. Blocks.
    ///
    /// # Errors
    /// A function that does not exist, may not be looked at, is not active, or is of another architecture than the others; prices
    /// without one for their architecture; no credentials.
    pub fn open(names: &[String], prices: &Prices) -> Result<Self, Failure> {
        raise_open_files(MOST);
        let runtime = runtime().map_err(StaggerError::from)?;
        runtime.block_on(async { Self::connect(Clients::of_environment().await, names, prices).await })
    }

    /// Connects to the functions through these clients.
    pub async fn connect(clients: Clients, names: &[String], prices: &Prices) -> Result<Self, Failure> {
        let (_, client) = clients.get().await;
        let asked = names.iter().map(|name| read_settings(&client, clients.region(), name));
        let found = try_join_all(asked).await.map_err(refused)?;
        found.iter().try_for_each(FunctionSettings::check)?;
        let functions = sort_by_memory(found)?;
        let rates = rates(&functions[0].architecture, prices)?;
        Ok(Self { shared: Arc::new(Shared { clients, functions, margin: MARGIN }), rates })
    }

    /// Returns the settings of the functions, by ascending memory.
    #[cfg(test)]
    pub(super) fn settings(&self) -> &[FunctionSettings] {
        &self.shared.functions
    }

    /// With another patience.
    #[cfg(test)]
    pub(super) fn with_margin(self, margin: Duration) -> Self {
        let Shared { clients, functions, .. } = Arc::into_inner(self.shared).unwrap();
        Self { shared: Arc::new(Shared { clients, functions, margin }), ..self }
    }
}

/// A function that can't be looked at, as the error that ends the command.
fn refused(failure: TaskFailure) -> Failure {
    Failure::failed(failure.message).maybe_hint(failure.hint)
}

#[async_trait]
impl Invoker for LambdaInvoker {
    fn name(&self) -> &str {
        "lambda"
    }

    fn functions(&self) -> Vec<Function> {
        self.shared.functions.iter().map(FunctionSettings::function).collect()
    }

    fn prices(&self) -> UnitPrices {
        self.rates
    }

    async fn invoke(&self, function: usize, invocation: Invocation, limit: Duration) -> InvocationOutcome {
        // On the runtime's own threads: the handshakes of a thousand connections would hold up the caller's loop. Dropped with the
        // set when the caller no longer waits.
        let mut task = JoinSet::new();
        let shared = Arc::clone(&self.shared);
        task.spawn(async move { shared.invoke(function, &invocation, limit).await });
        match task.join_next().await {
            Some(Ok(invoked)) => invoked,
            Some(Err(error)) => failed(lost(format!("the invocation's thread ended: {error}"))),
            None => failed(lost("the invocation was not started".to_owned())),
        }
    }
}

fn lost(message: String) -> TaskFailure {
    TaskFailure::new(FailureClass::Lost, message)
}

fn failed(failure: TaskFailure) -> InvocationOutcome {
    InvocationOutcome { answer: Answer::Failed(failure), billed: None }
}

impl Shared {
    async fn invoke(&self, function: usize, invocation: &Invocation, limit: Duration) -> InvocationOutcome {
        let Some(function) = self.functions.get(function) else {
            return failed(TaskFailure::new(
                FailureClass::Permanent,
                format!("there is no function {function}"),
            ));
        };
        let payload = match serde_json::to_vec(invocation) {
            Ok(payload) => payload,
            Err(error) => return failed(TaskFailure::new(FailureClass::Permanent, error.to_string())),
        };
        let (generation, client) = self.clients.get().await;
        let call =
            client.invoke().function_name(&function.name).log_type(LogType::Tail).payload(Blob::new(payload));
        let patience = limit.saturating_add(self.margin);
        let sent = match tokio::time::timeout(patience, call.send()).await {
            Ok(sent) => sent,
            Err(_) => {
                let text = format!("function `{}`: no answer after {} s", function.name, patience.as_secs());
                return failed(lost(text));
            }
        };
        let out = match sent {
            Ok(out) => out,
            Err(error) => {
                let resource = &function.arn;
                let call = Call { action: "lambda:InvokeFunction", resource, region: self.clients.region() };
                let failure = call.explain(&error);
                if failure.class == FailureClass::Credentials {
                    self.clients.renew(generation).await;
                }
                return failed(failure);
            }
        };
        read_answer(&function.name, &out)
    }
}

/// Returns the answer of a function that was reached, with its cost.
pub fn read_answer(function: &str, out: &InvokeOutput) -> InvocationOutcome {
    let log = out.log_result().and_then(|tail| base64::decode(tail).ok()).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let payload = out.payload().map(Blob::as_ref).unwrap_or_default();
    Reply { function, error: out.function_error(), payload, log: &log }.read()
}
