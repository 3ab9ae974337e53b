//! Clients of AWS: Lambda functions as an invoker, jobs of AWS Batch, messages to Amazon SNS.

pub mod containers;
pub mod lambda;
pub mod notify;
