//! The tasks of one stage: what waits, what is done, what is cut up, and which sums workers add.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use super::durations::Durations;
use crate::reduce::Node;
use crate::worker::protocol::{Part, TaskFailure, Work};

/// Objects of a stage that the controller reads itself: more are added by workers first.
///
/// 128 of them are read at a time, so that these take half a second; a round of reduce tasks takes as long, and has stragglers.
const CONTROLLER_OBJECTS: usize = 4096;
/// Bytes of the same: a quarter of a second at 60 MB/s, where workers read a stage's sums at all their lines together.
const CONTROLLER_BYTES: u64 = 16 << 20;
/// Subtrees that one reduce task adds, at most: each is a read that waits for the one before.
const MOST_CHILDREN: usize = 64;

/// What came of an answer, for whoever drives the run.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// A subtree's sum is there, to be read by the controller.
    Sum(Node),
    /// A task is done that brings no sum, or whose sum is added by a worker.
    Done,
    /// The task was done already.
    Ignored,
}

/// What was done about a failure.
#[derive(Clone, Debug, PartialEq)]
pub enum Handled {
    /// Again at this time.
    Again(Duration),
    /// Again on a larger function.
    Larger(usize),
    /// Again on a function instead of the pool.
    Elsewhere(usize),
    /// In so many pieces.
    Split(usize),
    /// The run fails.
    Fatal(TaskFailure),
    /// The task was done already.
    Ignored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Waiting,
    Running,
    Done,
    Split,
}

#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) work: Work,
    pub(super) status: Status,
    /// Attempts so far.
    pub(super) attempts: u32,
    /// Failures that count against it.
    pub(super) failures: u32,
    pub(super) throttles: u32,
    /// Function, by size; where it is done, unless it is the pool's.
    pub(super) function: usize,
    /// It is for the pool beside the functions.
    pub(super) pool: bool,
    /// A backup was started.
    pub(super) backup: bool,
}

/// A stage under way.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) tasks: Vec<Task>,
    /// Tasks to start: those for functions, those for the pool.
    ready: [VecDeque<u32>; 2],
    delayed: BinaryHeap<Reverse<(Duration, u32)>>,
    /// Tasks that are done, and those that are to be done.
    pub(super) done: usize,
    pub(super) total: usize,
    /// Backup attempts so far.
    pub(super) backups: usize,
    /// By place: of functions, of the pool beside them. One is many times as fast as the other.
    pub(super) durations: [Durations; 2],
    /// What a task should take, before any is done.
    pub(super) expected: Option<Duration>,
    /// Sets that the columns can be cut into.
    sets: usize,
    /// Height at which the controller takes over, once it is known.
    reduce_at: Option<Option<u32>>,
    /// Subtrees by the sum that a reduce task will add them to.
    children: HashMap<Node, Vec<Node>>,
    /// Column parts that are done, by subtree.
    parts: HashMap<Node, Vec<Part>>,
}

impl Stage {
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
        self.tasks.push(Task {
            work,
            status: Status::Waiting,
            attempts: 0,
            failures: 0,
            throttles: 0,
            function,
            pool,
            backup: false,
        });
    }

    pub(super) fn is_done(&self) -> bool {
        self.done == self.total
    }

    /// The next task to start, on the pool or on a function.
    pub(super) fn ready(&mut self, now: Duration, pool: bool) -> Option<usize> {
        while let Some(Reverse((at, task))) = self.delayed.peek().copied() {
            if at > now {
                break;
            }
            self.delayed.pop();
            self.ready[self.place(task)].push_front(task);
        }
        let ready = &mut self.ready[usize::from(pool)];
        while let Some(task) = ready.front().copied() {
            // What was done, split or taken elsewhere meanwhile needs no attempt here.
            let own = &self.tasks[task as usize];
            if own.status == Status::Waiting && own.pool == pool {
                return Some(task as usize);
            }
            ready.pop_front();
        }
        None
    }

    fn place(&self, task: u32) -> usize {
        usize::from(self.tasks[task as usize].pool)
    }

    /// Takes the task that [`Stage::ready`] named.
    pub(super) fn take(&mut self, pool: bool) -> Option<usize> {
        let task = self.ready[usize::from(pool)].pop_front()? as usize;
        self.tasks[task].status = Status::Running;
        Some(task)
    }

    /// What waits for the pool is for functions now.
    pub(super) fn leave_pool(&mut self, now: Duration) {
        while let Some(task) = self.ready(now, true) {
            self.home(task);
        }
    }

    /// A task that is ready for the pool is for a function now.
    pub(super) fn home(&mut self, task: usize) {
        self.tasks[task].pool = false;
        self.ready[0].push_back(task as u32);
    }

    /// When the next waiting task becomes ready.
    pub(super) fn wakes(&self) -> Option<Duration> {
        self.delayed.peek().map(|Reverse((at, _))| *at)
    }

    /// Everything that waits for its time is ready now.
    pub(super) fn retry_now(&mut self) {
        while let Some(Reverse((_, task))) = self.delayed.pop() {
            self.ready[self.place(task)].push_back(task);
        }
    }

    pub(super) fn again(&mut self, task: usize, at: Duration) {
        self.tasks[task].status = Status::Waiting;
        self.delayed.push(Reverse((at, task as u32)));
    }

    pub(super) fn done(&mut self, task: usize, bytes: u64) -> Effect {
        self.tasks[task].status = Status::Done;
        self.done += 1;
        match self.tasks[task].work {
            Work::Shards { node, part: Some(part) } => {
                self.part(node, part, self.tasks[task].function);
                Effect::Done
            }
            Work::Shards { node, part: None } | Work::Reduce { node, .. } => self.sum(node, bytes),
            _ => Effect::Done,
        }
    }

    fn part(&mut self, node: Node, part: Part, function: usize) {
        let parts = self.parts.entry(node).or_default();
        parts.push(part);
        if parts.len() == Part::all(part.sets).len() {
            let mut parts = self.parts.remove(&node).unwrap_or_default();
            parts.sort_unstable();
            let children = parts.into_iter().map(|part| (node, Some(part))).collect();
            self.push(Work::Reduce { node, children }, function, false);
        }
    }

    fn sum(&mut self, node: Node, bytes: u64) -> Effect {
        if self.reduce_at.is_none() {
            let tasks =
                self.tasks.iter().filter(|t| matches!(t.work, Work::Shards { part: None, .. })).count();
            self.reduce_at = Some(reduce_level(tasks, bytes, node.level));
        }
        let Some(level) = self.reduce_at.flatten().filter(|&level| node.level < level) else {
            return Effect::Sum(node);
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
        Effect::Done
    }

    /// Whether a task has smaller pieces.
    pub(super) fn splits(&self, task: usize) -> bool {
        match &self.tasks[task].work {
            Work::Shards { node, part: None } => node.level > 0 || self.sets > 1,
            Work::Shards { part: Some(part), .. } => usize::from(part.sets) < self.sets && part.sets < 64,
            _ => false,
        }
    }

    /// Cuts a task: in two halves; one shard by pairs of column sets, which are cut finer if that is not enough.
    pub(super) fn split(&mut self, task: usize) -> usize {
        let Task { function, pool, .. } = self.tasks[task];
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
        if self.tasks[task].status != Status::Split {
            self.tasks[task].status = Status::Split;
            self.total -= 1;
        }
        let count = pieces.len();
        pieces.into_iter().for_each(|work| self.push(work, function, pool));
        count
    }

    /// Finer parts take the place of all coarser ones of a shard.
    fn drop_parts(&mut self, node: Node, sets: u16, except: usize) {
        let of = |work: &Work| matches!(work, Work::Shards { node: own, part: Some(p) } if *own == node && p.sets == sets);
        for (index, task) in self.tasks.iter_mut().enumerate() {
            if index == except || !of(&task.work) || task.status == Status::Split {
                continue;
            }
            if task.status == Status::Done {
                self.done -= 1;
            }
            task.status = Status::Split;
            self.total -= 1;
        }
        self.parts.remove(&node);
    }
}

fn parts(node: Node, sets: u16) -> Vec<Work> {
    Part::all(sets).into_iter().map(|part| Work::Shards { node, part: Some(part) }).collect()
}

/// Height at which the controller reads sums: that of the tasks while their sums are few and small; else workers add them first.
pub(crate) fn reduce_level(tasks: usize, bytes: u64, level: u32) -> Option<u32> {
    let fits = |children: usize| {
        let objects = tasks.div_ceil(children);
        objects <= CONTROLLER_OBJECTS && objects as u64 * bytes <= CONTROLLER_BYTES
    };
    if fits(1) || tasks < 4 {
        return None;
    }
    // With as many sums a task as there are tasks, neither the workers nor the controller have most of the work.
    let mut children = (1usize << (tasks.ilog2() / 2)).min(MOST_CHILDREN);
    while !fits(children) && children < MOST_CHILDREN && children * 2 < tasks {
        children *= 2;
    }
    Some(level + children.trailing_zeros())
}
