//! Functions and a pool beside them as one invoker, whose last function is the pool.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use stagger_model::cost::UnitPrices;
use stagger_protocol::messages::{Invocation, TaskFailure};
use stagger_schedule::Function;

use crate::{InvocationOutcome, Invoker, TakenSignal};

/// Functions and a pool as one invoker.
#[derive(Debug)]
pub struct FunctionsAndPool {
    functions: Arc<dyn Invoker>,
    pool: Arc<dyn Invoker>,
}

impl FunctionsAndPool {
    /// Returns an invoker of these functions, and of this pool for heavy tasks.
    pub fn new(functions: Arc<dyn Invoker>, pool: Arc<dyn Invoker>) -> Self {
        Self { functions, pool }
    }
}

#[async_trait]
impl Invoker for FunctionsAndPool {
    fn name(&self) -> &str {
        "both"
    }

    fn functions(&self) -> Vec<Function> {
        let mut all = self.functions.functions();
        all.extend(self.pool.functions());
        all
    }

    fn prices(&self) -> UnitPrices {
        self.functions.prices()
    }

    async fn invoke(&self, function: usize, invocation: Invocation, limit: Duration) -> InvocationOutcome {
        if function < self.functions.functions().len() {
            self.functions.invoke(function, invocation, limit).await
        } else {
            self.pool.invoke(0, invocation, limit).await
        }
    }

    async fn invoke_with_signal(
        &self,
        function: usize,
        invocation: Invocation,
        limit: Duration,
        taken: &TakenSignal,
    ) -> InvocationOutcome {
        if function < self.functions.functions().len() {
            self.functions.invoke_with_signal(function, invocation, limit, taken).await
        } else {
            self.pool.invoke_with_signal(0, invocation, limit, taken).await
        }
    }

    async fn begin_run(&self, run: &str) -> Result<(), TaskFailure> {
        self.functions.begin_run(run).await?;
        self.pool.begin_run(run).await
    }

    async fn end_run(&self) {
        self.functions.end_run().await;
        self.pool.end_run().await;
    }
}
