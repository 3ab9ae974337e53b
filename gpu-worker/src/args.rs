//! Arguments, and the environment variable that stands in for one.

use std::time::Duration;

use clap::{Parser, ValueEnum};
use stagger_model::sizes::parse_size;

/// The device that tasks are computed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Device {
    /// An NVIDIA GPU; what has no kernel there is done on the processor
    Cuda,
    /// The processor: the same bits as functions compute
    Cpu,
}

/// Does tasks of Stagger's runs from a queue until there is nothing to do
#[derive(Parser, Clone, Debug, PartialEq, Eq)]
#[command(name = "gpu-worker", version, about, max_term_width = 100)]
pub(crate) struct Args {
    /// URL of the queue [default: $STAGGER_QUEUE]
    #[arg(long, value_name = "URL")]
    pub(crate) queue: Option<String>,
    /// What tasks are computed on
    #[arg(long, value_enum, default_value = "cpu")]
    pub(crate) device: Device,
    /// Memory of the process, for example 8GB [default: three quarters of what is free]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) memory_limit: Option<u64>,
    /// Memory of the device that shards and sums may take [default: nine tenths of what is free]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) device_memory: Option<u64>,
    /// Tasks at a time [default: all cores; 2 on a GPU, so that one reads while the other computes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Seconds without a task after which the worker ends
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub(crate) idle: u64,
    /// Stay until then even if the run it worked for is over and the queue is empty
    #[arg(long)]
    pub(crate) stay: bool,
    /// Seconds for which a task is hidden from other workers without a sign of life from this one
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(3..=43_200))]
    pub(crate) hidden: u64,
}

/// Returns the URL of the queue, from the argument or else from the environment.
///
/// # Errors
/// Neither names a queue, or the name is no URL; the text is for a person.
pub(crate) fn queue_url(args: &Args, environment: Option<String>) -> Result<String, String> {
    let given = args.queue.clone().or(environment).map(|url| url.trim().to_owned());
    let url = given.filter(|url| !url.is_empty()).ok_or_else(|| {
        "no queue is named\nhint: --queue URL, or STAGGER_QUEUE; the output TaskQueueUrl of infra/stagger-jobs.yaml".to_owned()
    })?;
    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(url);
    }
    Err(format!(
        "queue must be the URL of an SQS queue; received `{url}`\nhint: https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"
    ))
}

impl Args {
    /// Returns the time without a task after which the worker ends.
    pub(crate) fn idle(&self) -> Duration {
        Duration::from_secs(self.idle)
    }

    /// Returns the number of tasks at a time.
    pub(crate) fn tasks_at_once(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        match (self.threads, self.device) {
            (Some(threads), _) => usize::from(threads),
            (None, Device::Cpu) => cores(),
            (None, Device::Cuda) => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(words: &[&str]) -> Args {
        Args::try_parse_from([&["gpu-worker"], words].concat()).unwrap()
    }

    #[test]
    fn the_queue_is_the_arguments_or_the_environments_and_a_url() {
        let own = args(&["--queue", "http://localhost:4566/1/q"]);
        assert_eq!(queue_url(&own, Some("https://other".to_owned())).unwrap(), "http://localhost:4566/1/q");
        assert_eq!(queue_url(&args(&[]), Some(" https://other ".to_owned())).unwrap(), "https://other");
        assert!(queue_url(&args(&[]), None).unwrap_err().contains("hint: --queue"));
        assert!(queue_url(&args(&["--queue", "tasks"]), None).unwrap_err().contains("received `tasks`"));
    }

    #[test]
    fn a_gpu_has_two_tasks_at_a_time_and_sizes_have_units() {
        assert_eq!(args(&["--device", "cuda"]).tasks_at_once(), 2);
        assert_eq!(args(&["--threads", "7"]).tasks_at_once(), 7);
        assert_eq!(args(&["--memory-limit", "1.5GiB"]).memory_limit, Some(1_610_612_736));
        for wrong in
            [["--memory-limit", "much"], ["--memory-limit", "-1GB"], ["--threads", "0"], ["--hidden", "1"]]
        {
            assert!(Args::try_parse_from([&["gpu-worker"], &wrong[..]].concat()).is_err(), "{wrong:?}");
        }
    }
}
