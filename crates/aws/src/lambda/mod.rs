//! AWS Lambda as the place where tasks are done: how a task reaches a function, and what becomes of each way in which it may not
//! come back.
//!
//! - `invoker`: one attempt, one synchronous invocation. `functions`: which functions there are, and whether they will do.
//! - `reply`: what a function that was reached says. `report`: Lambda's own REPORT line. `service_error`: the errors of the service itself.
//! - `client`: credentials, region, endpoint, connections. `resolve`: the endpoint's addresses, looked up once for all connections.

mod client;
mod functions;
mod invoker;
mod reply;
mod report;
mod resolve;
#[cfg(test)]
pub mod scripted;
mod service_error;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use client::https;
pub use client::{Clients, raise_open_files};
pub use functions::{FunctionSettings, read_settings};
pub use invoker::{LambdaInvoker, read_answer};
pub use service_error::{Call, NO_CREDENTIALS, causes, no_credentials};
