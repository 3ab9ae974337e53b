//! The tasks of one stage: their states, the pieces that they are split into, and the sums that workers add.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use stagger_model::error::FailureClass;
use stagger_model::reduction::{ColumnPair, TreeNode};
use stagger_protocol::messages::{TaskFailure, Work};

use super::durations::DurationHistogram;

/// The most sums of a stage that the controller reads itself: of more, workers add some first.
///
/// It reads 128 at a time, so that these take half a second; a round of reduce tasks takes as long, and has
/// stragglers.
const CONTROLLER_OBJECTS: usize = 4096;
/// The most bytes of these sums: a quarter of a second at 60 MB/s, where workers read a stage's sums over all their
/// connections together.
const CONTROLLER_BYTES: u64 = 16 << 20;
/// The most subtrees that one reduce task adds: each is a read that waits for the one before.
const MOST_CHILDREN: usize = 64;

/// The consequence of an answer, for the driver of the run.
#[derive(Clone, Debug, PartialEq)]
pub enum Completion {
    /// A subtree's sum is in storage, to be read by the controller.
    SumReady(TreeNode),
    /// A task is done that brings no sum, or whose sum is added by a worker.
    Done,
    /// The task was done already.
    Ignored,
}

/// The response to a failure.
#[derive(Clone, Debug, PartialEq)]
pub enum FailureResponse {
    /// The task is tried again at this time.
    Retry(Duration),
    /// The task is tried again on the larger function of this index.
    RetryOnLarger(usize),
    /// The task is tried again on the function of this index instead of the pool.
    RetryOnFunction(usize),
    /// The task is split into this number of pieces.
    Split(usize),
    /// The run fails.
    Fatal(TaskFailure),
    /// The task was done already.
    Ignored,
}

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskStatus {
    /// No attempt is under way.
    Waiting,
    /// An attempt is under way.
    Running,
    /// Its result is in storage.
    Done,
    /// Smaller tasks have taken its place.
    Split,
}

/// A task of a stage.
#[derive(Clone, Debug)]
pub(super) struct TaskState {
    /// The work to do.
    pub(super) work: Work,
    /// Its state.
    pub(super) status: TaskStatus,
    /// Attempts so far.
    pub(super) attempts: u32,
    /// Failures that count against it.
    pub(super) failures: u32,
    /// Attempts that were throttled.
    pub(super) throttles: u32,
    /// The index of the function that does it, unless the pool does.
    pub(super) function: usize,
    /// True if it is for the pool beside the functions.
    pub(super) pool: bool,
    /// True if a backup attempt was started.
    pub(super) backup: bool,
}

/// A stage under way.
#[derive(Clone, Debug)]
pub(super) struct StageState {
    /// All tasks, those that were split included; a task's number is its index here.
    pub(super) tasks: Vec<TaskState>,
    /// Tasks to start: those for functions, those for the pool.
    ready: [VecDeque<u32>; 2],
    /// Tasks to start later, by time.
    delayed: BinaryHeap<Reverse<(Duration, u32)>>,
    /// The number of tasks that are done.
    pub(super) done: usize,
    /// The number of tasks that are to be done.
    pub(super) total: usize,
    /// Backup attempts so far.
    pub(super) backups: usize,
    /// Durations of tasks on functions and on the pool beside them, which may be many times as fast.
    pub(super) durations: [DurationHistogram; 2],
    /// The forecast of a task's duration, used before any task is done.
    pub(super) expected: Option<Duration>,
    /// The number of sets that the columns can be cut into.
    sets: usize,
    /// The level of the tree at which the controller reads sums, once it is known; `Some(None)` where no worker adds
    /// any.
    reduce_at: Option<Option<u32>>,
    /// Subtrees by the sum that a reduce task will add them to.
    children: HashMap<TreeNode, Vec<TreeNode>>,
    /// Column parts that are done, by subtree.
    parts: HashMap<TreeNode, Vec<ColumnPair>>,
}

impl StageState {
    /// Returns a stage without tasks.
    pub(super) fn new(sets: usize, expected: Option<Duration>) -> Self {
        Self {
            tasks: Vec::new(),
            ready: Default::default(),
            delayed: BinaryHeap::new(),
            done: 0,
            total: 0,
            backups: 0,
            durations: Default::default(),
            expected,
            sets,
            reduce_at: None,
            children: HashMap::new(),
            parts: HashMap::new(),
        }
    }

    /// Adds a task, to be done on a function or, if `pool`, on the pool beside them.
    pub(super) fn push(&mut self, work: Work, function: usize, pool: bool) {
        self.ready[usize::from(pool)].push_back(self.tasks.len() as u32);
        self.total += 1;
        self.tasks.push(TaskState {
            work,
            status: TaskStatus::Waiting,
            attempts: 0,
            failures: 0,
            throttles: 0,
            function,
            pool,
            backup: false,
        });
    }

    /// Returns whether every task is done.
    pub(super) fn is_done(&self) -> bool {
        self.done == self.total
    }

    /// Returns the next task to start, on the pool or on a function.
    pub(super) fn ready(&mut self, now: Duration, pool: bool) -> Option<usize> {
        while let Some(Reverse((at, task))) = self.delayed.peek().copied() {
            if at > now {
                break;
            }
            self.delayed.pop();
            self.ready[self.queue_of(task)].push_front(task);
        }
        let ready = &mut self.ready[usize::from(pool)];
        while let Some(task) = ready.front().copied() {
            // A task that was done, split or moved meanwhile needs no attempt here.
            let own = &self.tasks[task as usize];
            if own.status == TaskStatus::Waiting && own.pool == pool {
                return Some(task as usize);
            }
            ready.pop_front();
        }
        None
    }

    fn queue_of(&self, task: u32) -> usize {
        usize::from(self.tasks[task as usize].pool)
    }

    /// Takes the task that [`StageState::ready`] returned.
    pub(super) fn take(&mut self, pool: bool) -> Option<usize> {
        let task = self.ready[usize::from(pool)].pop_front()? as usize;
        self.tasks[task].status = TaskStatus::Running;
        Some(task)
    }

    /// Moves all tasks that wait for the pool to functions.
    pub(super) fn empty_pool(&mut self, now: Duration) {
        while let Some(task) = self.ready(now, true) {
            self.move_to_function(task);
        }
    }

    /// Moves a task that is ready for the pool to a function.
    pub(super) fn move_to_function(&mut self, task: usize) {
        self.tasks[task].pool = false;
        self.ready[0].push_back(task as u32);
    }

    /// Returns the time at which the next delayed task becomes ready.
    pub(super) fn next_wake(&self) -> Option<Duration> {
        self.delayed.peek().map(|Reverse((at, _))| *at)
    }

    /// Makes every delayed task ready now.
    pub(super) fn retry_now(&mut self) {
        while let Some(Reverse((_, task))) = self.delayed.pop() {
            self.ready[self.queue_of(task)].push_back(task);
        }
    }

    /// Delays a task until `at`.
    pub(super) fn delay(&mut self, task: usize, at: Duration) {
        self.tasks[task].status = TaskStatus::Waiting;
        self.delayed.push(Reverse((at, task as u32)));
    }

    /// Counts a failure against a task, unless it says nothing about it; its attempts start anew, without a backup.
    pub(super) fn count_failure(&mut self, task: usize, class: FailureClass) {
        let own = &mut self.tasks[task];
        match class {
            FailureClass::Throttled => own.throttles += 1,
            FailureClass::Credentials | FailureClass::Returned => {}
            _ => own.failures += 1,
        }
        own.backup = false;
    }

    /// Moves a task to the next larger function, and returns that.
    pub(super) fn climb(&mut self, task: usize, now: Duration) -> usize {
        let own = &mut self.tasks[task];
        own.function += 1;
        // What it lacked counts against the smaller function, not against the task.
        own.failures = 0;
        let function = own.function;
        self.delay(task, now);
        function
    }

    /// Marks a task as done with a result of `bytes` bytes; may add the reduce task that it was the last one missing
    /// for.
    pub(super) fn complete(&mut self, task: usize, bytes: u64) -> Completion {
        self.tasks[task].status = TaskStatus::Done;
        self.done += 1;
        match self.tasks[task].work {
            Work::Shards { node, part: Some(part) } => {
                self.complete_part(node, part, self.tasks[task].function);
                Completion::Done
            }
            Work::Shards { node, part: None } | Work::Reduce { node, .. } => self.complete_sum(node, bytes),
            _ => Completion::Done,
        }
    }

    fn complete_part(&mut self, node: TreeNode, part: ColumnPair, function: usize) {
        let parts = self.parts.entry(node).or_default();
        parts.push(part);
        if parts.len() == ColumnPair::all(part.sets).len() {
            let mut parts = self.parts.remove(&node).unwrap_or_default();
            parts.sort_unstable();
            let children = parts.into_iter().map(|part| (node, Some(part))).collect();
            self.push(Work::Reduce { node, children }, function, false);
        }
    }

    fn complete_sum(&mut self, node: TreeNode, bytes: u64) -> Completion {
        if self.reduce_at.is_none() {
            let tasks =
                self.tasks.iter().filter(|t| matches!(t.work, Work::Shards { part: None, .. })).count();
            self.reduce_at = Some(reduce_level(tasks, bytes, node.level));
        }
        let Some(level) = self.reduce_at.flatten().filter(|&level| node.level < level) else {
            return Completion::SumReady(node);
        };
        let parent = node.ancestor(level);
        let children = self.children.entry(parent).or_default();
        children.push(node);
        if children.iter().map(|child| child.shards().len()).sum::<usize>() == parent.shards().len() {
            let mut children = self.children.remove(&parent).unwrap_or_default();
            children.sort_unstable_by_key(|child| child.shards().start);
            let children = children.into_iter().map(|child| (child, None)).collect();
            self.push(Work::Reduce { node: parent, children }, 0, false);
        }
        Completion::Done
    }

    /// Returns whether a task can be split.
    pub(super) fn can_split(&self, task: usize) -> bool {
        match &self.tasks[task].work {
            Work::Shards { node, part: None } => node.level > 0 || self.sets > 1,
            Work::Shards { part: Some(part), .. } => usize::from(part.sets) < self.sets && part.sets < 64,
            _ => false,
        }
    }

    /// Splits a task and returns the number of its pieces: two halves of its subtree; of one shard pairs of column
    /// sets, which are cut finer if that is not enough.
    pub(super) fn split(&mut self, task: usize) -> usize {
        let TaskState { function, pool, .. } = self.tasks[task];
        let pieces: Vec<Work> = match self.tasks[task].work {
            Work::Shards { node, part: None } => match node.children() {
                Some(halves) => halves.map(|node| Work::Shards { node, part: None }).into(),
                None => parts(node, 2),
            },
            Work::Shards { node, part: Some(part) } => {
                self.drop_parts(node, part.sets, task);
                parts(node, (part.sets * 2).min(self.sets as u16))
            }
            _ => Vec::new(),
        };
        if self.tasks[task].status != TaskStatus::Split {
            self.tasks[task].status = TaskStatus::Split;
            self.total -= 1;
        }
        let count = pieces.len();
        pieces.into_iter().for_each(|work| self.push(work, function, pool));
        count
    }

    /// Removes all coarser parts of a shard, whose place finer ones take.
    fn drop_parts(&mut self, node: TreeNode, sets: u16, except: usize) {
        let of = |work: &Work| matches!(work, Work::Shards { node: own, part: Some(p) } if *own == node && p.sets == sets);
        for (index, task) in self.tasks.iter_mut().enumerate() {
            if index == except || !of(&task.work) || task.status == TaskStatus::Split {
                continue;
            }
            if task.status == TaskStatus::Done {
                self.done -= 1;
            }
            task.status = TaskStatus::Split;
            self.total -= 1;
        }
        self.parts.remove(&node);
    }
}

fn parts(node: TreeNode, sets: u16) -> Vec<Work> {
    ColumnPair::all(sets).into_iter().map(|part| Work::Shards { node, part: Some(part) }).collect()
}

/// Returns the level of the tree to which workers add sums before the controller reads them; `None` while the tasks'
/// own sums are few and small enough.
pub fn reduce_level(tasks: usize, bytes: u64, level: u32) -> Option<u32> {
    let fits = |children: usize| {
        let objects = tasks.div_ceil(children);
        objects <= CONTROLLER_OBJECTS && objects as u64 * bytes <= CONTROLLER_BYTES
    };
    if fits(1) || tasks < 4 {
        return None;
    }
    // With as many sums per task as there are tasks, neither the workers nor the controller have most of the work.
    let mut children = (1usize << (tasks.ilog2() / 2)).min(MOST_CHILDREN);
    while !fits(children) && children < MOST_CHILDREN && children * 2 < tasks {
        children *= 2;
    }
    Some(level + children.trailing_zeros())
}
