//! What goes through the queue, and what is answered beside the run.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::worker::protocol::{Answer, Invocation};

/// One attempt at a task, for whoever takes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The task.
    pub invocation: Invocation,
    /// The controller that waits for the answer.
    pub mark: String,
    /// Number of the message among that controller's.
    pub number: u64,
    /// Seconds since 1970 after which nobody waits for it, whatever became of its controller.
    pub until: f64,
}

impl Message {
    /// Key below the run of the sign that a worker has taken it; written again while the worker lives.
    pub fn taken(&self) -> String {
        format!("{}.taken", key(&self.mark, self.number))
    }

    /// Key below the run of the answer; created once.
    pub fn answer(&self) -> String {
        format!("{}.answer", key(&self.mark, self.number))
    }

    /// Key below the run of the sign that its controller waits for nothing any more.
    pub fn over(&self) -> String {
        over(&self.mark)
    }
}

/// Below this lie all signs and answers for a controller.
pub(super) fn prefix(mark: &str) -> String {
    format!("queue/{mark}/")
}

pub(super) fn key(mark: &str, number: u64) -> String {
    format!("{}{number:08}", prefix(mark))
}

pub(super) fn over(mark: &str) -> String {
    format!("{}over", prefix(mark))
}

/// Number of the message that a key is about, and whether it is the answer.
pub(super) fn about(key: &str) -> Option<(u64, bool)> {
    let name = key.rsplit('/').next()?;
    let (number, kind) = name.split_once('.')?;
    Some((number.parse().ok()?, kind == "answer"))
}

/// A worker's sign of life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Taken {
    /// Which worker.
    pub(super) worker: String,
    /// How often it has said so.
    pub(super) beats: u64,
}

/// A worker's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// What came of the task.
    pub answer: Answer,
    /// Which worker.
    pub worker: String,
    /// Seconds that the task took it.
    pub seconds: f64,
    /// Tasks that it does at a time.
    pub at_once: u32,
    /// Most memory that its process had, bytes.
    pub peak_memory: u64,
    /// Bytes of its device's memory in use, at most so far; none on a processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_memory: Option<u64>,
}

impl Reply {
    pub(super) fn encode(&self) -> Bytes {
        // Numbers, texts and lists of them: serde_json has no reason to refuse.
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_say_what_they_are_about() {
        assert_eq!(about(&format!("{}.answer", key("m", 12))), Some((12, true)));
        assert_eq!(about(&format!("{}.taken", key("m", 12))), Some((12, false)));
        assert_eq!(about(&over("m")), None);
    }
}
