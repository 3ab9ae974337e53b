//! A queue in memory, for tests: on any clock, with messages that become visible again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use stagger_storage::Clock;

use super::queue::{Queue, QueueResult, ReceivedMessage};

/// The time between two checks of a receiver that waits.
const LOOK: Duration = Duration::from_millis(100);

/// A queue in memory. Clones are the same queue.
#[derive(Clone, Debug)]
pub struct MemoryQueue {
    held: Arc<Mutex<Held>>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug, Default)]
struct Held {
    messages: VecDeque<Entry>,
    receipts: u64,
}

#[derive(Debug)]
struct Entry {
    body: String,
    hidden_until: Duration,
    receipt: u64,
    times: u32,
}

impl MemoryQueue {
    /// Returns an empty queue.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { held: Arc::default(), clock }
    }

    /// Returns the same queue seen by a user with another clock.
    #[must_use]
    pub fn with_clock(&self, clock: Arc<dyn Clock>) -> Self {
        Self { held: Arc::clone(&self.held), clock }
    }

    /// Returns the number of messages that were not deleted.
    pub fn len(&self) -> usize {
        self.lock().messages.len()
    }

    /// Returns whether the queue has no message.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, hidden: Duration) -> Option<ReceivedMessage> {
        let now = self.clock.now();
        let mut held = self.lock();
        held.receipts += 1;
        let receipt = held.receipts;
        let entry = held.messages.iter_mut().find(|entry| entry.hidden_until <= now)?;
        entry.hidden_until = now + hidden;
        entry.receipt = receipt;
        entry.times += 1;
        Some(ReceivedMessage { body: entry.body.clone(), receipt: receipt.to_string(), times: entry.times })
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    async fn send(&self, body: &str) -> QueueResult<()> {
        let entry = Entry { body: body.to_owned(), hidden_until: Duration::ZERO, receipt: 0, times: 0 };
        self.lock().messages.push_back(entry);
        Ok(())
    }

    async fn receive(&self, wait: Duration, hidden: Duration) -> QueueResult<Option<ReceivedMessage>> {
        let until = self.clock.now() + wait;
        loop {
            if let Some(delivery) = self.take(hidden) {
                return Ok(Some(delivery));
            }
            let left = until.saturating_sub(self.clock.now());
            if left.is_zero() {
                return Ok(None);
            }
            self.clock.sleep(LOOK.min(left)).await;
        }
    }

    async fn change_visibility(&self, receipt: &str, hidden: Duration) -> QueueResult<()> {
        let now = self.clock.now();
        let mut held = self.lock();
        let own = held.messages.iter_mut().find(|entry| entry.receipt.to_string() == receipt);
        if let Some(entry) = own {
            entry.hidden_until = now + hidden;
        }
        Ok(())
    }

    async fn delete(&self, receipt: &str) -> QueueResult<()> {
        self.lock().messages.retain(|entry| entry.receipt.to_string() != receipt);
        Ok(())
    }
}
