//! The messages of a queue, and the replies that workers write beside the run's objects.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use stagger_protocol::messages::{Answer, Invocation};

/// One attempt at a task, for any worker at the queue.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskMessage {
    /// The task.
    pub invocation: Invocation,
    /// The mark of the controller that waits for the answer.
    pub mark: String,
    /// The number of the message among that controller's.
    pub number: u64,
    /// Seconds since 1970 after which no controller waits for it any more.
    pub until: f64,
}

impl TaskMessage {
    /// Returns the key, below the run, of the sign that a worker has taken the message. The worker writes it again
    /// while it lives.
    pub fn taken_key(&self) -> String {
        format!("{}.taken", message_key(&self.mark, self.number))
    }

    /// Returns the key, below the run, of the answer, which is created once.
    pub fn answer_key(&self) -> String {
        format!("{}.answer", message_key(&self.mark, self.number))
    }

    /// Returns the key, below the run, of the sign that the controller waits for no message any more.
    pub fn over_key(&self) -> String {
        controller_over_key(&self.mark)
    }
}

/// Returns the prefix of all signs and answers for a controller.
pub fn message_prefix(mark: &str) -> String {
    format!("queue/{mark}/")
}

/// Returns the common start of the keys of a message's sign and answer.
pub fn message_key(mark: &str, number: u64) -> String {
    format!("{}{number:08}", message_prefix(mark))
}

/// Returns the key of the sign that a controller waits for no message any more.
pub fn controller_over_key(mark: &str) -> String {
    format!("{}over", message_prefix(mark))
}

/// Returns the number of the message that a key belongs to, and whether it is the answer's key.
pub fn parse_key(key: &str) -> Option<(u64, bool)> {
    let name = key.rsplit('/').next()?;
    let (number, kind) = name.split_once('.')?;
    Some((number.parse().ok()?, kind == "answer"))
}

/// A worker's sign of life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Heartbeat {
    /// The name of the worker.
    pub(super) worker: String,
    /// The number of times that it has written the sign.
    pub(super) beats: u64,
}

/// A worker's answer to a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerReply {
    /// The answer to the task.
    pub answer: Answer,
    /// The name of the worker.
    pub worker: String,
    /// Seconds that the task took.
    pub seconds: f64,
    /// Tasks that the worker's process does at a time.
    pub at_once: u32,
    /// The most memory that its process had, bytes.
    pub peak_memory: u64,
    /// The most bytes of its device's memory that were in use so far; absent on a processor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_memory: Option<u64>,
}

impl WorkerReply {
    /// Encodes the reply as JSON.
    pub fn encode(&self) -> Bytes {
        // Numbers, texts and lists of them: serde_json can't fail.
        serde_json::to_vec(self).unwrap_or_default().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_say_what_they_are_about() {
        assert_eq!(parse_key(&format!("{}.answer", message_key("m", 12))), Some((12, true)));
        assert_eq!(parse_key(&format!("{}.taken", message_key("m", 12))), Some((12, false)));
        assert_eq!(parse_key(&controller_over_key("m")), None);
    }
}
