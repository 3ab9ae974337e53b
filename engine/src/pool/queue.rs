//! A queue that delivers at least once.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::worker::protocol::TaskFailure;

/// What comes of asking a queue.
pub type QueueResult<T> = Result<T, TaskFailure>;

/// A message that was received: it stays hidden from others for a while, and is there again unless it is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// What was sent.
    pub body: String,
    /// Names this delivery to the queue.
    pub receipt: String,
    /// How many times it was delivered, this one included.
    pub times: u32,
}

/// Messages in no particular order. Errors have a class: whoever asks decides whether to ask again.
#[async_trait]
pub trait Queue: Debug + Send + Sync {
    /// Where it is, for messages.
    fn name(&self) -> String;

    /// Adds a message.
    ///
    /// # Errors
    /// A queue that is not there, may not be used or does not answer.
    async fn send(&self, body: &str) -> QueueResult<()>;

    /// A message, which is hidden from others for `hidden` from now on; waits for one up to `wait`.
    ///
    /// # Errors
    /// As [`Queue::send`].
    async fn receive(&self, wait: Duration, hidden: Duration) -> QueueResult<Option<Delivery>>;

    /// Hides a message for `hidden` from now on; zero gives it back.
    ///
    /// # Errors
    /// As [`Queue::send`]; a receipt that is too old.
    async fn hide(&self, receipt: &str, hidden: Duration) -> QueueResult<()>;

    /// Removes a message for good.
    ///
    /// # Errors
    /// As [`Queue::send`].
    async fn delete(&self, receipt: &str) -> QueueResult<()>;
}
