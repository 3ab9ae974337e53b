//! Rates of the cloud and of the connection to it, in one of the three ends of a forecast.

use super::rates;

/// Rates of everything that a run on AWS Lambda waits for. Their sources are in `rates.rs`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CloudRates {
    /// Storage, as functions use it.
    pub storage: StorageRates,
    /// Functions.
    pub functions: FunctionRates,
    /// The controller, and its connection.
    pub controller: ControllerRates,
    /// Attempts of tasks.
    pub attempts: AttemptRates,
}

/// Rates of storage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StorageRates {
    /// Bytes a second between a function and storage.
    pub bandwidth: f64,
    /// Seconds to the first byte of a read.
    pub latency: f64,
    /// Seconds until a write is answered, its bytes aside.
    pub write: f64,
    /// Reads a second that storage answers.
    pub gets: f64,
    /// Writes a second that storage answers.
    pub puts: f64,
}

/// Rates of functions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FunctionRates {
    /// Seconds of an invocation around its handler.
    pub invoke: f64,
    /// Seconds until a new environment runs.
    pub cold: f64,
    /// Seconds of a cold start that are billed.
    pub cold_billed: f64,
    /// Environments that a function has at once.
    pub at_once: f64,
    /// Environments that follow each second.
    pub ramp: f64,
    /// Seconds of a whole vCPU for a nanosecond of the measured machine.
    pub nanosecond: f64,
}

/// Rates of the controller.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ControllerRates {
    /// Invocations a second that it starts.
    pub invocations: f64,
    /// Bytes a second on its connection.
    pub bandwidth: f64,
    /// Seconds that it solves between two stages.
    pub solve: f64,
}

/// Rates of attempts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttemptRates {
    /// Attempts per task.
    pub per_task: f64,
    /// The share of attempts that are stragglers.
    pub stragglers: f64,
}

impl CloudRates {
    /// Returns the rates of an end: 0 low, 1 likely, 2 high seconds.
    pub fn of(end: usize) -> Self {
        let end = end.min(2);
        let [gets, puts] = rates::PARTITION.map(|rate| rate * rates::PARTITIONS[end]);
        Self {
            storage: StorageRates {
                bandwidth: rates::NETWORK[end],
                latency: rates::LATENCY[end],
                write: rates::WRITE[end],
                gets,
                puts,
            },
            functions: FunctionRates {
                invoke: rates::INVOCATION_OVERHEAD[end],
                cold: rates::COLD_START[end],
                cold_billed: rates::COLD_START_BILLED,
                at_once: rates::ENVIRONMENTS_AT_ONCE,
                ramp: rates::ENVIRONMENT_RAMP,
                nanosecond: 1e-9 * rates::CPU_SPREAD[end] * rates::VCPU_FACTOR,
            },
            controller: ControllerRates {
                invocations: rates::INVOCATIONS[end],
                bandwidth: rates::CONTROLLER[end],
                solve: rates::SOLVE,
            },
            attempts: AttemptRates {
                per_task: rates::ATTEMPTS_PER_TASK[end],
                stragglers: rates::STRAGGLERS[end],
            },
        }
    }
}
