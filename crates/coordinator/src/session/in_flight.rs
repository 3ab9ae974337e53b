//! The attempts whose answers are waited for.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use stagger_model::events::RunEvent;
use stagger_protocol::messages::{Invocation, PROTOCOL, VERSION};
use stagger_schedule::NewAttempt;
use tracing::Instrument;

use super::Session;
use crate::invoker::{InvocationOutcome, TakenSignal};

/// An answer, and the attempt that it is to.
pub(super) struct Answered {
    pub(super) attempt: u64,
    pub(super) function: usize,
    pub(super) limit: Duration,
    /// Time when the attempt was started.
    pub(super) started: Duration,
    pub(super) invoked: InvocationOutcome,
}

/// The attempts whose answers are waited for.
#[derive(Default)]
pub(super) struct InFlight {
    attempts: FuturesUnordered<BoxFuture<'static, Answered>>,
    /// Attempts in a queue that no worker has taken as far as is known.
    queued: Vec<(u64, TakenSignal)>,
}

impl InFlight {
    pub(super) fn len(&self) -> usize {
        self.attempts.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.attempts.is_empty()
    }

    /// Returns the next answer; `None` where nothing is under way.
    pub(super) async fn next(&mut self) -> Option<Answered> {
        let answered = self.attempts.next().await?;
        self.queued.retain(|(queued, _)| *queued != answered.attempt);
        Some(answered)
    }

    /// Forgets the attempts that have left their queue, and names each of them.
    pub(super) fn drain_taken(&mut self, mut taken: impl FnMut(u64)) {
        self.queued.retain(|(attempt, sign)| {
            let is_taken = sign.is_raised();
            if is_taken {
                taken(*attempt);
            }
            !is_taken
        });
    }
}

impl Session<'_> {
    /// Starts an attempt at a task of the stage under way.
    pub(super) fn invoke(&mut self, new: NewAttempt) {
        let NewAttempt { attempt, work, number, function, limit, look, backup } = new;
        self.accounts.attempts += 1;
        let (name, queued) = {
            let own = &self.run.functions()[function];
            (own.name.clone(), own.is_pool())
        };
        let task = self.stage.task_name(&work);
        self.note(RunEvent::Invoked { attempt, task, number, function: name, backup });
        let Some(stage) = self.stage.object.clone() else { return };
        let invocation = Invocation {
            protocol: PROTOCOL,
            version: VERSION.to_owned(),
            run: self.objects.url(),
            stage,
            work,
            look,
            seconds: limit.as_secs().try_into().unwrap_or(u32::MAX),
            kind: self.settings.kind,
        };
        let invoker = Arc::clone(&self.settings.invoker);
        let (started, taken) = (self.settings.clock.now(), TakenSignal::default());
        if queued {
            self.in_flight.queued.push((attempt, taken.clone()));
        }
        let span = tracing::debug_span!("attempt", attempt, function);
        let answer = async move {
            let invoked = invoker.invoke_with_signal(function, invocation, limit, &taken).await;
            Answered { attempt, function, limit, started, invoked }
        };
        self.in_flight.attempts.push(answer.instrument(span).boxed());
    }
}
