//! A queue that delivers at least once.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use stagger_protocol::messages::TaskFailure;

/// The result of a request to a queue.
pub type QueueResult<T> = Result<T, TaskFailure>;

/// A message that was received. It stays hidden from other receivers for a while, and is there again unless it is
/// deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// The text that was sent.
    pub body: String,
    /// The queue's name for this delivery.
    pub receipt: String,
    /// The number of times that the message was delivered, this one included.
    pub times: u32,
}

/// A queue of messages in no particular order. Errors have a class, by which the caller decides whether to try again.
#[async_trait]
pub trait Queue: Debug + Send + Sync {
    /// Returns the address of the queue, for messages to people.
    fn name(&self) -> String;

    /// Adds a message.
    ///
    /// # Errors
    /// A queue that is not there, may not be used or does not answer.
    async fn send(&self, body: &str) -> QueueResult<()>;

    /// Receives a message, which is hidden from other receivers for `hidden` from now on; waits for one up to `wait`.
    ///
    /// # Errors
    /// As [`Queue::send`].
    async fn receive(&self, wait: Duration, hidden: Duration) -> QueueResult<Option<ReceivedMessage>>;

    /// Hides a message for `hidden` from now on; zero makes it visible again.
    ///
    /// # Errors
    /// As [`Queue::send`]; a receipt that is too old.
    async fn change_visibility(&self, receipt: &str, hidden: Duration) -> QueueResult<()>;

    /// Removes a message for good.
    ///
    /// # Errors
    /// As [`Queue::send`].
    async fn delete(&self, receipt: &str) -> QueueResult<()>;
}
