//! A bucket of its own for each test, behind a proxy.

use std::io;

use super::LocalStack;
use super::http::{Reply, request};
use crate::proxy::{FaultyProxy, Plan};

/// A new bucket of the shared LocalStack, behind a proxy.
#[derive(Debug)]
pub struct Bucket {
    /// Its name.
    pub name: String,
    /// What its clients talk to.
    pub proxy: FaultyProxy,
}

impl Bucket {
    /// An empty one, with the faults of a plan.
    #[track_caller]
    pub fn behind(plan: Plan) -> Self {
        let localstack = LocalStack::shared();
        Self { name: localstack.bucket(), proxy: FaultyProxy::start(localstack.url(), plan) }
    }

    /// The path of an object on the wire; the start of one, for rules.
    pub fn path(&self, key: &str) -> String {
        format!("/{}/{key}", self.name)
    }

    /// The URL of an object or a prefix.
    pub fn url(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.name)
    }

    /// One request through the proxy, on a connection of its own.
    ///
    /// # Errors
    /// What the faults make of it.
    pub fn send(&self, method: &str, key: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Reply> {
        request(&self.proxy.url(), method, &self.path(key), headers, body)
    }

    /// The same, which must be answered with this status.
    #[track_caller]
    pub fn expect(
        &self,
        status: u16,
        method: &str,
        key: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let reply = self.send(method, key, headers, body);
        let reply = reply.unwrap_or_else(|error| panic!("{method} {key} {headers:?}: {error}"));
        assert_eq!(reply.status, status, "{method} {key} {headers:?}: {}", reply.text());
        reply
    }

    /// One request past the proxy: what is really there.
    #[track_caller]
    pub fn direct(&self, method: &str, key: &str, body: &[u8]) -> Reply {
        let reply = request(LocalStack::shared().url(), method, &self.path(key), &[], body);
        reply.unwrap_or_else(|error| panic!("LocalStack does not answer {method} {key}: {error}"))
    }
}
