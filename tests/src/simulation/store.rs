//! Storage with the faults of S3, as a controller or as a worker sees it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use stagger_storage::{
    ByteRange, Condition, Object, ObjectInfo, ObjectStore, Policy, Storage, StoreError, StoreErrorKind,
    StoreResult,
};

use super::bundle;
use super::clock::{Shared, TaskClock};
use super::faults::{Ending, Fault};
use super::lambda::Environment;
use super::world::{Guard, Process, World, lock};

/// Address of everything.
pub(super) const ROOT: &str = "sim://";
/// Requests in a row that fail for now: fewer than the attempts of [`Policy::remote`].
const IN_A_ROW: u32 = 3;

/// Who asks.
#[derive(Clone, Debug)]
enum Asker {
    Controller(Arc<Process>),
    Worker(Arc<Environment>),
}

/// Objects below an address, as somebody sees them.
#[derive(Debug)]
struct SimStore {
    prefix: String,
    asker: Asker,
    /// Faults in a row, by request.
    row: Mutex<HashMap<String, u32>>,
}

/// Storage of a controller.
pub(super) fn of_controller(process: &Arc<Process>, url: &str) -> StoreResult<Storage> {
    let clock = Arc::new(Shared(Arc::clone(&process.clock)));
    let policy = policy(&process.world);
    Ok(Storage::with_policy(store(url, Asker::Controller(Arc::clone(process)))?, policy, clock))
}

/// Storage of an environment.
pub(super) fn of_worker(environment: &Arc<Environment>, url: &str) -> StoreResult<Storage> {
    let clock = Arc::new(TaskClock(Arc::clone(environment)));
    let policy = policy(&environment.process.world);
    Ok(Storage::with_policy(store(url, Asker::Worker(Arc::clone(environment)))?, policy, clock))
}

fn policy(world: &World) -> Policy {
    let attempts = if world.removed.contains(&Guard::Retry) { 1 } else { Policy::remote().attempts };
    Policy { attempts, ..Policy::remote() }
}

fn store(url: &str, asker: Asker) -> StoreResult<Arc<dyn ObjectStore>> {
    let prefix = url.strip_prefix(ROOT).ok_or_else(|| {
        StoreError::new(StoreErrorKind::Other, format!("`{url}` is not an address of the simulation"))
    })?;
    Ok(Arc::new(SimStore { prefix: prefix.trim_end_matches('/').to_owned(), asker, row: Mutex::default() }))
}

/// What becomes of a request.
struct Entered {
    /// Nobody hears of it.
    unheard: bool,
}

impl SimStore {
    fn process(&self) -> &Arc<Process> {
        match &self.asker {
            Asker::Controller(process) => process,
            Asker::Worker(environment) => &environment.process,
        }
    }

    fn world(&self) -> &World {
        &self.process().world
    }

    fn full(&self, key: &str) -> String {
        format!("{}/{key}", self.prefix)
    }

    async fn pass(&self, time: Duration) {
        match &self.asker {
            Asker::Controller(process) => process.clock.pass(time).await,
            Asker::Worker(environment) => environment.spend(time),
        }
    }

    /// A request begins: it takes time, and may fail before anything is done.
    async fn enter(&self, what: &str, key: &str) -> StoreResult<Entered> {
        let process = self.process();
        let slow = what == "get" && process.draws(Fault::SlowRead);
        if slow {
            process.world.fire(Fault::SlowRead);
        }
        let latency = if slow { process.between(0.5, 5.0) } else { process.between(0.005, 0.03) };
        self.pass(Duration::from_secs_f64(latency)).await;
        process.turn();
        let unheard = match &self.asker {
            Asker::Controller(process) => process.request()?,
            Asker::Worker(environment) => environment.request()?,
        };
        if !unheard {
            self.refuse(what, key)?;
        }
        Ok(Entered { unheard })
    }

    fn refuse(&self, what: &str, key: &str) -> StoreResult<()> {
        let process = self.process();
        if let Asker::Worker(environment) = &self.asker
            && let Some(fault) = self.world().credentials(environment.now())
        {
            self.world().fire(fault);
            return Err(StoreError::new(StoreErrorKind::Credentials, "the token has expired"));
        }
        for (fault, kind) in
            [(Fault::SlowDown, StoreErrorKind::Throttled), (Fault::Unavailable, StoreErrorKind::Unavailable)]
        {
            if process.draws(fault) && self.in_a_row(what, key, IN_A_ROW) {
                self.world().fire(fault);
                self.tell(|| format!("{what} {key}: {fault:?}"));
                return Err(StoreError::new(kind, format!("{what} `{key}`: {fault:?}")));
            }
        }
        Ok(())
    }

    /// Whether the same request may fail once more in a row.
    fn in_a_row(&self, what: &str, key: &str, most: u32) -> bool {
        let mut row = lock(&self.row);
        let count = row.entry(format!("{what} {key}")).or_default();
        *count += 1;
        if *count > most {
            *count = 0;
        }
        *count > 0
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        match &self.asker {
            Asker::Controller(process) => process.tell(what),
            Asker::Worker(environment) => environment.tell(what),
        }
    }

    fn dead(&self) -> StoreError {
        StoreError::new(StoreErrorKind::Other, super::world::DEAD)
    }

    /// Workers without the right to list can't tell what is missing from what is forbidden.
    fn masked(&self, error: StoreError) -> StoreError {
        let worker = matches!(self.asker, Asker::Worker(_));
        if error.kind == StoreErrorKind::NotFound && worker && self.world().plan.forbidden {
            self.world().fire(Fault::Forbidden);
            return StoreError::new(StoreErrorKind::Denied, "403: access denied");
        }
        error
    }

    /// Reads come short, or with another bit.
    fn spoil(&self, key: &str, mut object: Object) -> Object {
        let process = self.process();
        let bytes = object.bytes.len();
        if bytes > 1 && process.draws(Fault::Truncated) && self.in_a_row("body of", key, 2) {
            self.world().fire(Fault::Truncated);
            self.tell(|| format!("get {key}: half of it comes"));
            object.bytes.truncate(bytes / 2);
            return object;
        }
        if bytes > 0 && process.draws(Fault::Flipped) && self.may_flip(key) {
            self.world().fire(Fault::Flipped);
            self.tell(|| format!("get {key}: a bit is another one"));
            let at = (process.between(0.0, bytes as f64) as usize).min(bytes - 1);
            let stripped = self.world().removed.contains(&Guard::Checksum);
            object.bytes = match stripped && bundle::is_bundle(&object.bytes) {
                true => bundle::altered(&object.bytes),
                false => flipped(&object.bytes, at),
            };
        }
        object
    }

    /// What carries checksums of its own; a task must not fail too often by it.
    fn may_flip(&self, key: &str) -> bool {
        let checked = ["results/", "shards/", "common/"].iter().any(|kind| key.contains(kind));
        match &self.asker {
            Asker::Controller(process) => {
                key.contains("results/") && !self.world().case.is_raw && process.may_fail(&task_of(key))
            }
            Asker::Worker(environment) => checked && environment.may_fail(),
        }
    }

    /// What was written decays, if the seed says so.
    async fn decay(&self, full: &str, bytes: &Bytes) {
        let process = self.process();
        if !bundle::is_bundle(bytes) || !process.draws(Fault::DamagedAtRest) {
            return;
        }
        if !process.may_fail(&task_of(full)) {
            return;
        }
        self.world().fire(Fault::DamagedAtRest);
        self.tell(|| format!("{full} is damaged where it lies"));
        let at = (process.between(0.0, bytes.len() as f64) as usize).min(bytes.len() - 1);
        let spoilt = if at.is_multiple_of(3) { bytes.slice(..at) } else { flipped(bytes, at) };
        let _ = self.world().memory.put(full, spoilt, Condition::Always).await;
    }

    fn condition(&self, key: &str, condition: Condition) -> Condition {
        let removed = &self.world().removed;
        let lax = (removed.contains(&Guard::Fence) && key.starts_with("journal/"))
            || (removed.contains(&Guard::CreateOnce) && key.starts_with("results/"));
        if lax { Condition::Always } else { condition }
    }
}

/// The name of a task that its result's key and its invocation share.
fn task_of(key: &str) -> String {
    key.rsplit('/').next().unwrap_or_default().to_owned()
}

fn flipped(bytes: &Bytes, at: usize) -> Bytes {
    let mut out = bytes.to_vec();
    out[at] ^= 1 << (at % 8);
    out.into()
}

#[async_trait]
impl ObjectStore for SimStore {
    fn url(&self) -> String {
        format!("{ROOT}{}", self.prefix)
    }

    async fn get(&self, key: &str, range: ByteRange, pin: Option<&str>) -> StoreResult<Object> {
        let entered = self.enter("get", key).await?;
        if let Asker::Worker(environment) = &self.asker {
            self.world().reads().await;
            if let Ending::Poison(shard) = self.world().plan.ending
                && key == self.world().case.shard(shard)
            {
                self.world().fire(Fault::Poison);
                return Err(environment.die());
            }
        }
        let read = self.world().memory.get(&self.full(key), range, pin).await;
        let mut object = read.map_err(|e| self.masked(e))?;
        object.info.key = key.to_owned();
        match entered.unheard {
            true => Err(self.dead()),
            false => Ok(self.spoil(key, object)),
        }
    }

    async fn put(&self, key: &str, bytes: Bytes, condition: Condition) -> StoreResult<String> {
        let entered = self.enter("put", key).await?;
        let bytes = match &self.asker {
            Asker::Worker(environment) if key.starts_with("results/") => environment.writes(bytes),
            _ => bytes,
        };
        let (full, condition) = (self.full(key), self.condition(key, condition));
        let written = self.world().memory.put(&full, bytes.clone(), condition).await;
        if entered.unheard {
            return Err(self.dead());
        }
        let etag = written?;
        if key.starts_with("results/") {
            self.decay(&full, &bytes).await;
        }
        if self.process().draws(Fault::ReplyLost) && self.in_a_row("reply to", key, 1) {
            self.world().fire(Fault::ReplyLost);
            self.tell(|| format!("put {key}: done, but its reply is lost"));
            let kind = match self.world().removed.contains(&Guard::ReadBack) {
                // Read back is what failed for now; what was turned away was not done.
                true => StoreErrorKind::Throttled,
                false => StoreErrorKind::Unavailable,
            };
            return Err(StoreError::new(kind, format!("writing `{key}`: the reply is lost")));
        }
        Ok(etag)
    }

    async fn head(&self, key: &str) -> StoreResult<ObjectInfo> {
        let entered = self.enter("head", key).await?;
        let info = self.world().memory.head(&self.full(key)).await.map_err(|e| self.masked(e))?;
        if entered.unheard { Err(self.dead()) } else { Ok(ObjectInfo { key: key.to_owned(), ..info }) }
    }

    async fn list(&self, prefix: &str) -> StoreResult<Vec<ObjectInfo>> {
        let entered = self.enter("list", prefix).await?;
        let found = self.world().memory.list(&self.full(prefix)).await?;
        let own = self.prefix.len() + 1;
        let below = |info: ObjectInfo| ObjectInfo { key: info.key[own..].to_owned(), ..info };
        if entered.unheard { Err(self.dead()) } else { Ok(found.into_iter().map(below).collect()) }
    }

    async fn delete(&self, key: &str) -> StoreResult<()> {
        let entered = self.enter("delete", key).await?;
        self.world().memory.delete(&self.full(key)).await?;
        if entered.unheard { Err(self.dead()) } else { Ok(()) }
    }
}
