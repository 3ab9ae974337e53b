//! The settings of functions: memory, timeout, architecture, state.

use std::time::Duration;

use aws_sdk_lambda::Client;
use aws_sdk_lambda::operation::get_function_configuration::GetFunctionConfigurationOutput;
use stagger_forecast::Prices;
use stagger_model::cost::UnitPrices;
use stagger_model::failure::Failure;
use stagger_protocol::messages::TaskFailure;
use stagger_schedule::Function;

use crate::lambda::service_error::Call;

/// The settings of a function, as Lambda gives them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSettings {
    /// The function as the user names it: a name, with or without a qualifier, or an ARN.
    pub name: String,
    /// The ARN, as a policy must name it.
    pub arn: String,
    /// The memory in Lambda's megabytes of 2^20 bytes.
    pub memory_mb: u32,
    /// The time after which Lambda ends an invocation.
    pub timeout: Duration,
    /// `arm64` or `x86_64`.
    pub architecture: String,
    /// `Active`, or why not.
    pub state: String,
    /// Lambda's reason for a state other than that.
    pub reason: String,
}

/// Asks for a function's settings.
pub async fn read_settings(
    client: &Client,
    region: &str,
    name: &str,
) -> Result<FunctionSettings, TaskFailure> {
    let call = Call { action: "lambda:GetFunctionConfiguration", resource: name, region };
    let found = client.get_function_configuration().function_name(name).send().await;
    found.map(|found| FunctionSettings::new(name, &found)).map_err(|error| call.explain(&error))
}

impl FunctionSettings {
    fn new(name: &str, found: &GetFunctionConfigurationOutput) -> Self {
        let seconds = found.timeout().and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            name: name.to_owned(),
            arn: found.function_arn().unwrap_or(name).to_owned(),
            // Lambda's own defaults, which an answer that leaves them out means.
            memory_mb: found.memory_size().and_then(|mb| u32::try_from(mb).ok()).unwrap_or(128),
            timeout: Duration::from_secs(seconds.unwrap_or(3)),
            architecture: found.architectures().first().map_or("x86_64", |first| first.as_str()).to_owned(),
            // Old functions have no state: they were active before there were states.
            state: found.state().map_or("Active", |state| state.as_str()).to_owned(),
            reason: found.state_reason().unwrap_or_default().trim_end_matches('.').to_owned(),
        }
    }

    /// Returns true if the function can be invoked now. After weeks without an invocation a function is `Inactive`; the next one wakes it.
    pub fn is_active(&self) -> bool {
        matches!(self.state.as_str(), "Active" | "Inactive")
    }

    /// Refuses a function that can't be invoked.
    pub fn check(&self) -> Result<(), Failure> {
        if self.is_active() {
            return Ok(());
        }
        let reason = if self.reason.is_empty() { String::new() } else { format!(" ({})", self.reason) };
        let failure =
            Failure::input(format!("function `{}` is {}, not Active{reason}", self.name, self.state));
        Err(failure.hint(match self.state.as_str() {
            "Pending" => "it is being deployed: try again in a minute",
            _ => "`infra/deploy` it again",
        }))
    }

    /// As the state machine knows it.
    pub(super) fn function(&self) -> Function {
        Function { timeout: self.timeout, ..Function::lambda(&self.name, self.memory_mb) }
    }
}

/// In the order in which tasks that need more climb them. The same function twice is once.
pub(super) fn sort_by_memory(mut all: Vec<FunctionSettings>) -> Result<Vec<FunctionSettings>, Failure> {
    let mut seen: Vec<String> = Vec::new();
    all.retain(|one| {
        let new = !seen.contains(&one.arn);
        seen.push(one.arn.clone());
        new
    });
    all.sort_by_key(|one| one.memory_mb);
    let Some(first) = all.first() else {
        return Err(Failure::input("no function is named to run on"));
    };
    // The last bits of a sum may be others, and so may be the result of a task that moves to a larger function.
    match all.iter().find(|one| one.architecture != first.architecture) {
        None => Ok(all),
        Some(other) => Err(Failure::input(format!(
            "function `{}` is {}, but `{}` is {}",
            other.name, other.architecture, first.name, first.architecture
        ))
        .hint("use functions of one architecture: a result could depend on where its tasks ran")),
    }
}

/// Returns the prices in dollars of functions of this architecture and of the requests that they send.
///
/// # Errors
/// An architecture that the list of prices does not have.
pub(super) fn rates(architecture: &str, prices: &Prices) -> Result<UnitPrices, Failure> {
    let gb_second = match architecture {
        "arm64" => Some(prices.gb_second),
        _ => prices.x86_gb_second,
    };
    let gb_second = gb_second.ok_or_else(|| {
        Failure::input(format!(
            "prices: lambda.x86_gb_second is missing, and the functions are {architecture}"
        ))
        .hint("crates/forecast/prices/us-east-1.toml of the repository shows every key with its unit")
    })?;
    Ok(UnitPrices { gb_second, invocation: prices.invocation, get: prices.get, put: prices.put })
}
