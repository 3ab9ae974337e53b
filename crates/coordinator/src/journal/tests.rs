//! The journal as a fence: two writers, takeovers, and replies that are lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures::executor::block_on;
use stagger_model::error::{Result, StaggerError};
use stagger_model::events::{RunEvent, RunState, Summary};
use stagger_protocol::keys;
use stagger_storage::{
    ByteRange, Condition, MemoryStore, Object, ObjectInfo, ObjectStore, Storage, StoreError, StoreErrorKind,
    StoreResult,
};

use super::{ControllerId, Journal, SILENCE_SECONDS, Takeover, read_entries};

/// Objects in memory; the reply to every put whose number this counts down to is lost.
#[derive(Debug, Default)]
struct Lossy {
    inner: MemoryStore,
    puts_until_loss: AtomicUsize,
}

#[async_trait]
impl ObjectStore for Lossy {
    fn url(&self) -> String {
        self.inner.url()
    }

    async fn get(&self, key: &str, range: ByteRange, pin: Option<&str>) -> StoreResult<Object> {
        self.inner.get(key, range, pin).await
    }

    async fn put(&self, key: &str, bytes: Bytes, condition: Condition) -> StoreResult<String> {
        let etag = self.inner.put(key, bytes, condition).await?;
        match self.puts_until_loss.fetch_sub(1, Ordering::SeqCst) {
            1 => Err(StoreError::new(StoreErrorKind::Unavailable, "the reply is lost")),
            _ => Ok(etag),
        }
    }

    async fn head(&self, key: &str) -> StoreResult<ObjectInfo> {
        self.inner.head(key).await
    }

    async fn list(&self, prefix: &str) -> StoreResult<Vec<ObjectInfo>> {
        self.inner.list(prefix).await
    }

    async fn delete(&self, key: &str) -> StoreResult<()> {
        self.inner.delete(key).await
    }
}

fn storage(puts_until_loss: usize) -> Storage {
    Storage::new(Arc::new(Lossy { puts_until_loss: puts_until_loss.into(), ..Lossy::default() }))
}

fn writer(mark: &str) -> ControllerId {
    ControllerId { host: "elsewhere".into(), pid: 7, mark: mark.into() }
}

fn open(storage: &Storage, mark: &str, now: f64, takeover: Takeover) -> Result<Journal> {
    block_on(Journal::open(storage.clone(), writer(mark), now, takeover)).map(|(journal, _)| journal)
}

fn flush(journal: &mut Journal, now: f64, state: RunState) -> Result<()> {
    block_on(journal.flush(now, Summary { state, ..Summary::default() }))
}

fn text(result: Result<impl Sized>) -> String {
    result.err().as_ref().map_or_else(String::new, StaggerError::to_string)
}

#[test]
fn whoever_comes_second_waits_for_silence() {
    let storage = storage(0);
    let mut first = open(&storage, "a", 0.0, Takeover::IfGone).unwrap();
    let held = text(open(&storage, "b", 10.0, Takeover::IfGone));
    assert!(held.contains("process 7 on elsewhere, which wrote 10 s ago"), "{held}");
    flush(&mut first, 20.0, RunState::Running).unwrap();
    assert!(text(open(&storage, "b", SILENCE_SECONDS + 10.0, Takeover::IfGone)).contains("held"));
    let second = open(&storage, "b", SILENCE_SECONDS + 21.0, Takeover::IfGone).unwrap();
    assert_eq!((first.epoch(), second.epoch()), (1, 2));
}

#[test]
fn a_run_that_has_stopped_is_nobodys() {
    let storage = storage(0);
    let mut first = open(&storage, "a", 0.0, Takeover::IfGone).unwrap();
    flush(&mut first, 1.0, RunState::Stopped).unwrap();
    assert!(open(&storage, "b", 2.0, Takeover::IfGone).is_ok());
}

#[test]
fn the_first_loses_the_run_at_its_next_entry() {
    let storage = storage(0);
    let mut first = open(&storage, "a", 0.0, Takeover::IfGone).unwrap();
    let mut second = open(&storage, "b", 1.0, Takeover::Force).unwrap();
    first.record(2.0, RunEvent::Finished);
    let lost = text(flush(&mut first, 2.0, RunState::Finished));
    assert!(
        lost.contains("another controller has taken the run: process 7 on elsewhere (epoch 2)"),
        "{lost}"
    );
    assert!(!text(flush(&mut first, 3.0, RunState::Finished)).is_empty(), "and never gets it back");
    flush(&mut second, 4.0, RunState::Running).unwrap();
    let entries = block_on(read_entries(&storage)).unwrap();
    let told: Vec<(u64, u64, &str)> =
        entries.iter().map(|entry| (entry.number, entry.epoch, entry.writer.mark.as_str())).collect();
    assert_eq!(told, [(1, 1, "a"), (2, 2, "b"), (3, 2, "b")]);
}

#[test]
fn an_entry_whose_reply_was_lost_is_known_by_its_mark() {
    // The journal's first put is its opening, the second the flush.
    let storage = storage(2);
    let mut journal = open(&storage, "a", 0.0, Takeover::IfGone).unwrap();
    journal.record(1.0, RunEvent::Note { text: "x".into() });
    flush(&mut journal, 1.0, RunState::Running).unwrap();
    flush(&mut journal, 2.0, RunState::Running).unwrap();
    assert_eq!(block_on(read_entries(&storage)).unwrap().len(), 3);
}

#[test]
fn a_journal_with_a_gap_is_refused() {
    let storage = storage(0);
    let mut journal = open(&storage, "a", 0.0, Takeover::IfGone).unwrap();
    flush(&mut journal, 1.0, RunState::Running).unwrap();
    block_on(storage.delete_async(&keys::entry(1))).unwrap();
    assert!(text(block_on(read_entries(&storage))).contains("has entry 2 in place of 1"));
}

#[test]
fn one_damaged_run_costs_no_other_its_place_in_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().display().to_string();
    let open_at = |url: &str| Storage::open(url).map_err(StaggerError::from);
    let runs = open_at(&root).unwrap();
    for name in ["bad", "good", "none"] {
        block_on(super::register_run(&runs, name)).unwrap();
    }
    let good = open_at(&format!("{root}/good")).unwrap();
    open(&good, "a", 1.0, Takeover::IfGone).unwrap();
    runs.put("bad/journal/00000001.json", Bytes::from_static(b"{"), Condition::Always).unwrap();
    let listed = block_on(super::list_runs(&runs, &open_at)).unwrap();
    let names: Vec<&str> = listed.iter().map(|run| run.name.as_str()).collect();
    assert_eq!(names, ["bad", "good", "none"]);
    let why = listed[0].last.as_ref().unwrap_err().to_string();
    assert!(why.contains("journal/00000001.json") && why.contains("can't be read"), "{why}");
    assert!(listed[1].last.as_ref().unwrap().is_some() && listed[2].last.as_ref().unwrap().is_none());
}
