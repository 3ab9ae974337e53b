//! The stage under way: its names, and what is known of its tasks before they run.

use std::time::Duration;

use stagger_model::events::ObjectRef;
use stagger_model::reduction::TreeNode;
use stagger_protocol::messages::Work;

/// The sums of a stage: over this many shards, and the distance between two of them in the panel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sums {
    pub(crate) shards: usize,
    pub(crate) stride: usize,
}

/// The facts of a stage's tasks before they run.
#[derive(Clone, Debug, Default)]
pub(crate) struct StagePlan {
    /// Time that one should take.
    pub(crate) expected: Option<Duration>,
    /// Sets that the columns can be cut into; 0 and 1 mean none.
    pub(crate) sets: usize,
    /// The smallest function that has the memory for them.
    pub(crate) function: usize,
    /// True for each task that is for the pool beside the functions; tasks beyond its end are not.
    pub(crate) heavy: Vec<bool>,
}

/// The last stage that began.
#[derive(Default)]
pub(super) struct CurrentStage {
    /// Number of the stage in the run.
    pub(super) number: u64,
    pub(super) name: String,
    /// The object that its tasks have in common.
    pub(super) object: Option<ObjectRef>,
    /// Distance between two of its shards in the panel: 1 for all, more for a sample.
    pub(super) stride: usize,
}

impl CurrentStage {
    /// Returns the checksum of the stage's object, which names its results.
    pub(super) fn checksum(&self) -> &str {
        self.object.as_ref().map_or("", |object| &object.checksum)
    }

    /// Returns a task in words, with the panel's number of a single shard: in a sample tasks count the shards that take part.
    pub(super) fn task_name(&self, work: &Work) -> String {
        match work {
            Work::Shards { node: TreeNode { level: 0, index }, part } if self.stride > 1 => {
                let node = TreeNode { level: 0, index: index * self.stride };
                Work::Shards { node, part: *part }.to_string()
            }
            Work::Shards { .. } | Work::Reduce { .. } if self.stride > 1 => {
                format!("{work} of every {}th", self.stride)
            }
            _ => work.to_string(),
        }
    }
}
