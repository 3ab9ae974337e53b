//! Functions and a pool beside them as one invoker, whose last function is the pool.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use stagger_model::cost::Rates;
use stagger_protocol::messages::{Invocation, TaskFailure};
use stagger_schedule::Function;

use crate::{Invoked, Invoker, Taken};

/// Functions and a pool as one invoker.
#[derive(Debug)]
pub struct Routed {
    functions: Arc<dyn Invoker>,
    pool: Arc<dyn Invoker>,
}

impl Routed {
    /// Returns an invoker of these functions, and of this pool for heavy tasks.
    pub fn new(functions: Arc<dyn Invoker>, pool: Arc<dyn Invoker>) -> Self {
        Self { functions, pool }
    }
}

#[async_trait]
impl Invoker for Routed {
    fn name(&self) -> &str {
        "both"
    }

    fn functions(&self) -> Vec<Function> {
        let mut all = self.functions.functions();
        all.extend(self.pool.functions());
        all
    }

    fn rates(&self) -> Rates {
        self.functions.rates()
    }

    async fn invoke(&self, function: usize, invocation: Invocation, limit: Duration) -> Invoked {
        if function < self.functions.functions().len() {
            self.functions.invoke(function, invocation, limit).await
        } else {
            self.pool.invoke(0, invocation, limit).await
        }
    }

    async fn invoke_told(
        &self,
        function: usize,
        invocation: Invocation,
        limit: Duration,
        taken: &Taken,
    ) -> Invoked {
        if function < self.functions.functions().len() {
            self.functions.invoke_told(function, invocation, limit, taken).await
        } else {
            self.pool.invoke_told(0, invocation, limit, taken).await
        }
    }

    async fn begin(&self, run: &str) -> Result<(), TaskFailure> {
        self.functions.begin(run).await?;
        self.pool.begin(run).await
    }

    async fn end(&self) {
        self.functions.end().await;
        self.pool.end().await;
    }
}
