//! S3, Lambda, SQS, SNS and schedules on LocalStack. `localstack/test` runs each module in a process of its own.

mod doctor;
mod lambda;
mod queue;
mod storage;
mod stores;
mod unattended;
