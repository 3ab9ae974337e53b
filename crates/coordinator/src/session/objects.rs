//! The objects of a run in its storage: what tasks have in common, the results that they write, the sums of a stage.

use bytes::Bytes;
use futures::FutureExt;
use futures::future::LocalBoxFuture;
use futures::stream::{self, StreamExt};
use stagger_model::error::Result;
use stagger_model::events::ObjectRef;
use stagger_model::reduction::TreeNode;
use stagger_protocol::bundle::PartialBundle;
use stagger_protocol::keys;
use stagger_protocol::messages::Work;
use stagger_protocol::objects::checksum;
use stagger_storage::{Condition, Storage, StoreErrorKind};

/// Results read at a time.
const READS: usize = 32;

/// A sum that was read.
pub(super) type ReadSum = (TreeNode, Result<PartialBundle>);

/// The objects of a run. The stage of a result or sum is named by the checksum of the stage's object.
pub(crate) struct RunObjects {
    storage: Storage,
}

impl RunObjects {
    pub(super) fn new(storage: Storage) -> Self {
        Self { storage }
    }

    /// Returns the storage of the run.
    pub(crate) fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Returns the address of the run.
    pub(crate) fn url(&self) -> String {
        self.storage.url()
    }

    /// Returns the name of the run: the last part of its address.
    pub(super) fn run_name(&self) -> String {
        self.url().trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// Puts an object that tasks have in common, under the checksum of its bytes.
    ///
    /// # Errors
    /// Storage that fails. An object that is there already is the same one.
    pub(crate) async fn put(&self, bytes: Vec<u8>, key: fn(&str) -> String) -> Result<ObjectRef> {
        let checksum = checksum(&bytes);
        let key = key(&checksum);
        match self.storage.put_async(&key, Bytes::from(bytes), Condition::IfAbsent).await {
            Ok(_) => {}
            // The key is the content's.
            Err(e) if e.kind == StoreErrorKind::Exists => {}
            Err(e) => return Err(e.into()),
        }
        Ok(ObjectRef { key, checksum })
    }

    /// Reads the results of tasks, in the order given.
    ///
    /// # Errors
    /// The first result that can't be read.
    pub(super) async fn results(&self, stage: &str, works: &[Work]) -> Result<Vec<Bytes>> {
        let read = |work: &Work| {
            let key = keys::result(stage, work);
            async move { self.storage.get_async(&key, None).await.map(|(bytes, _)| bytes) }
        };
        let reads: Vec<_> = works.iter().map(read).collect();
        let all: Vec<_> = stream::iter(reads).buffered(READS).collect().await;
        Ok(all.into_iter().collect::<std::result::Result<_, _>>()?)
    }

    /// Reads the sum of a subtree.
    pub(super) fn read_sum(&self, stage: &str, node: TreeNode) -> LocalBoxFuture<'static, ReadSum> {
        let storage = self.storage.clone();
        let key = sum_key(stage, node);
        async move {
            let read = match storage.get_async(&key, None).await {
                Ok((bytes, _)) => PartialBundle::decode(&bytes),
                Err(e) => Err(e.into()),
            };
            (node, read)
        }
        .boxed_local()
    }

    /// Removes the sum of a subtree, so that it is made again, and returns its key.
    pub(super) async fn delete_sum(&self, stage: &str, node: TreeNode) -> Result<String> {
        let key = sum_key(stage, node);
        self.storage.delete_async(&key).await?;
        Ok(key)
    }
}

fn sum_key(stage: &str, node: TreeNode) -> String {
    keys::result(stage, &Work::Shards { node, part: None })
}
