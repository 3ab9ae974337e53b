//! Policies against a store that fails on cue: every fault must fire, and the requests are counted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::Storage;
use crate::{
    ByteRange, Clock, Condition, MemoryStore, Object, ObjectInfo, ObjectStore, Policy, StoreError,
    StoreErrorKind, StoreResult,
};

/// The fate of the next request of a kind.
#[derive(Debug)]
enum Fault {
    /// It succeeds.
    None,
    /// It fails before anything is done.
    Fails(StoreErrorKind),
    /// It is carried out, but the reply is lost.
    LosesReply,
    /// It is a read that brings one byte too few.
    Short,
    /// It is a read that never ends.
    Hangs,
    /// Another writer puts these bytes first; then the request is carried out.
    Preceded(&'static [u8]),
}

#[derive(Debug)]
struct FaultyStore {
    inner: MemoryStore,
    reads: Mutex<VecDeque<Fault>>,
    writes: Mutex<VecDeque<Fault>>,
    remote: bool,
}

impl FaultyStore {
    fn next(queue: &Mutex<VecDeque<Fault>>) -> Fault {
        queue.lock().unwrap().pop_front().unwrap_or(Fault::None)
    }

    fn left(&self) -> usize {
        self.reads.lock().unwrap().len() + self.writes.lock().unwrap().len()
    }
}

fn lost() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "connection reset")
}

#[async_trait]
impl ObjectStore for FaultyStore {
    fn url(&self) -> String {
        "faulty:".to_owned()
    }

    fn is_remote(&self) -> bool {
        self.remote
    }

    async fn get(&self, key: &str, range: ByteRange, pin: Option<&str>) -> StoreResult<Object> {
        let fault = Self::next(&self.reads);
        match fault {
            Fault::Fails(kind) => return Err(StoreError::new(kind, "failed")),
            Fault::LosesReply => return Err(lost()),
            Fault::Hangs => futures::future::pending::<()>().await,
            Fault::Preceded(bytes) => {
                self.inner.put(key, Bytes::from_static(bytes), Condition::Always).await?;
            }
            _ => {}
        }
        let mut object = self.inner.get(key, range, pin).await?;
        if matches!(fault, Fault::Short) {
            object.bytes.truncate(object.bytes.len() - 1);
        }
        Ok(object)
    }

    async fn get_small(&self, key: &str, most: u64, pin: Option<&str>) -> StoreResult<Object> {
        let mut object = self.get(key, ByteRange::All, pin).await?;
        if object.info.size > most {
            object.bytes.clear();
        }
        Ok(object)
    }

    async fn put(&self, key: &str, bytes: Bytes, condition: Condition) -> StoreResult<String> {
        match Self::next(&self.writes) {
            Fault::Fails(kind) => Err(StoreError::new(kind, "failed")),
            Fault::LosesReply => {
                self.inner.put(key, bytes, condition).await?;
                Err(lost())
            }
            Fault::Preceded(other) => {
                self.inner.put(key, Bytes::from_static(other), Condition::Always).await?;
                self.inner.put(key, bytes, condition).await
            }
            _ => self.inner.put(key, bytes, condition).await,
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

/// A clock that moves only when it is slept on, and then at once.
#[derive(Debug, Default)]
struct TestClock {
    slept: Arc<Mutex<Vec<Duration>>>,
}

impl Clock for TestClock {
    fn now(&self) -> Duration {
        self.slept.lock().unwrap().iter().sum()
    }

    fn sleep(&self, time: Duration) -> BoxFuture<'static, ()> {
        let slept = Arc::clone(&self.slept);
        async move { slept.lock().unwrap().push(time) }.boxed()
    }

    fn random_fraction(&self) -> f64 {
        0.5
    }
}

struct Fixture {
    store: Arc<FaultyStore>,
    storage: Storage,
    slept: Arc<Mutex<Vec<Duration>>>,
}

/// A storage over a store with these faults, in which `a` holds 100 bytes.
fn fixture(reads: Vec<Fault>, writes: Vec<Fault>, policy: Policy) -> Fixture {
    fixture_of(reads, writes, policy, false)
}

fn fixture_of(reads: Vec<Fault>, writes: Vec<Fault>, policy: Policy, remote: bool) -> Fixture {
    let inner = MemoryStore::new();
    futures::executor::block_on(inner.put("a", content(), Condition::Always)).unwrap();
    let (reads, writes) = (Mutex::new(reads.into()), Mutex::new(writes.into()));
    let store = Arc::new(FaultyStore { inner, reads, writes, remote });
    let clock = TestClock::default();
    let slept = Arc::clone(&clock.slept);
    let storage = Storage::with_policy(Arc::clone(&store) as Arc<dyn ObjectStore>, policy, Arc::new(clock));
    Fixture { store, storage, slept }
}

fn content() -> Bytes {
    (0..100).collect::<Vec<u8>>().into()
}

fn remote() -> Policy {
    Policy::remote()
}

#[test]
fn reads_are_tried_again_until_they_are_right() {
    use StoreErrorKind::{Throttled, Unavailable};
    let faults = vec![Fault::Fails(Throttled), Fault::Fails(Unavailable), Fault::Short];
    let f = fixture(faults, vec![], remote());
    assert_eq!(f.storage.get("a", None).unwrap().0, content());
    assert_eq!(f.store.left(), 0);
    let stats = f.storage.stats();
    assert_eq!((stats.gets, stats.retries, stats.throttles), (4, 3, 1));
    assert_eq!(*f.slept.lock().unwrap(), [250, 100, 200].map(Duration::from_millis));
}

#[test]
fn a_read_that_stays_wrong_says_how_often_it_was_tried() {
    let f = fixture((0..6).map(|_| Fault::Short).collect(), vec![], remote());
    let error = f.storage.get_suffix("a", 10).unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Corrupt);
    let expected = "reading `faulty:/a`: 9 bytes came where 10 were asked for (6 attempts in 1.6 s)";
    assert_eq!(error.to_string(), expected);
    assert_eq!((f.store.left(), f.storage.stats().gets), (0, 6));
}

#[test]
fn an_outage_ends_after_the_total_time() {
    let faults = (0..50).map(|_| Fault::Fails(StoreErrorKind::Unavailable)).collect();
    let f = fixture(faults, vec![], Policy { attempts: 1000, ..remote() });
    f.storage.get("a", None).unwrap_err();
    let waited: Duration = f.slept.lock().unwrap().iter().sum();
    assert!((170..=180).contains(&waited.as_secs()), "{waited:?}");
}

#[test]
fn what_is_not_there_is_asked_for_once() {
    let f = fixture(vec![], vec![], remote());
    assert_eq!(f.storage.get("b", None).unwrap_err().kind, StoreErrorKind::NotFound);
    assert_eq!(f.storage.get("a", Some("other")).unwrap_err().kind, StoreErrorKind::Changed);
    assert_eq!(f.storage.stats().gets, 2);
}

#[test]
fn near_ranges_are_one_request_and_a_failed_one_is_repeated_alone() {
    let policy = Policy { gap: 5, piece: 20, ..remote() };
    let f = fixture(vec![Fault::None, Fault::Fails(StoreErrorKind::Unavailable)], vec![], policy);
    let ranges = [90..95, 0..4, 6..10, 30..75, 3..3];
    let read = f.storage.get_ranges("a", None, &ranges).unwrap();
    for (range, bytes) in ranges.iter().zip(&read) {
        assert_eq!(*bytes, content().slice(range.start as usize..range.end as usize));
    }
    // 0..10, 30..52, 52..75, 90..95, and one of them again.
    let stats = f.storage.stats();
    assert_eq!((stats.gets, stats.retries, stats.bytes_read, f.store.left()), (5, 1, 60, 0));
}

#[test]
fn ranges_beyond_the_end_are_refused_at_once() {
    let f = fixture(vec![], vec![], remote());
    let error = f.storage.get_ranges("a", None, std::slice::from_ref(&(90..101))).unwrap_err();
    assert_eq!(error.to_string(), "`faulty:/a` has 100 bytes, but bytes 90 to 101 were asked for");
    assert_eq!(f.storage.stats().gets, 1);
}

#[test]
fn ranges_are_of_one_state_of_the_object() {
    let policy = Policy { gap: 0, ..remote() };
    let f = fixture(vec![Fault::None, Fault::Preceded(&[7; 100])], vec![], policy);
    let error = f.storage.get_ranges("a", None, &[0..4, 50..54]).unwrap_err();
    assert_eq!((error.kind, f.store.left()), (StoreErrorKind::Changed, 0));
}

#[test]
fn a_whole_object_is_read_in_pieces_and_again_if_it_was_replaced() {
    let policy = Policy { piece: 30, ..remote() };
    let reads = vec![Fault::None, Fault::Preceded(&[7; 100])];
    let f = fixture_of(reads, vec![], policy, true);
    assert_eq!(f.storage.get("a", None).unwrap().0, [7; 100][..]);
    // Its size and the first of three pieces; then the size and the pieces of the new state.
    assert_eq!((f.storage.stats().gets, f.store.left()), (6, 0));
}

#[test]
fn a_late_read_is_sent_twice_and_the_first_answer_counts() {
    let f = fixture(vec![Fault::Hangs], vec![], remote());
    assert_eq!(f.storage.get_suffix("a", 10).unwrap().0, content().slice(90..));
    let stats = f.storage.stats();
    assert_eq!((stats.gets, stats.duplicated_reads, stats.retries, f.store.left()), (2, 1, 0, 0));
    assert_eq!(*f.slept.lock().unwrap(), [Duration::from_millis(200)]);
}

#[test]
fn a_duplicate_that_fails_leaves_the_verdict_to_the_other() {
    let faults = vec![Fault::Hangs, Fault::Fails(StoreErrorKind::NotFound)];
    let f = fixture(faults, vec![], remote());
    assert_eq!(f.storage.get_suffix("a", 10).unwrap_err().kind, StoreErrorKind::NotFound);
    assert_eq!(f.store.left(), 0);
}

#[test]
fn a_lost_reply_to_a_create_is_success() {
    let f = fixture(vec![], vec![Fault::LosesReply], remote());
    let etag = f.storage.put("b", content(), Condition::IfAbsent).unwrap();
    assert_eq!(f.storage.head("b").unwrap().etag, etag);
    let stats = f.storage.stats();
    assert_eq!((stats.puts, stats.retries, stats.bytes_written, f.store.left()), (2, 1, 100, 0));
}

#[test]
fn a_lost_reply_to_a_compare_and_set_is_success() {
    let f = fixture(vec![], vec![Fault::LosesReply], remote());
    let before = f.storage.head("a").unwrap().etag;
    let new = Bytes::from_static(b"new");
    let etag = f.storage.put("a", new.clone(), Condition::IfMatch(before)).unwrap();
    assert_eq!(f.storage.get("a", Some(&etag)).unwrap().0, new);
    assert_eq!((f.storage.stats().puts, f.store.left()), (2, 0));
}

#[test]
fn a_create_that_another_won_is_not_taken_for_ours() {
    use StoreErrorKind::{Exists, Unavailable};
    let other: &[u8] = &[9; 100];
    let f = fixture(vec![], vec![Fault::Fails(Unavailable), Fault::Preceded(other)], remote());
    assert_eq!(f.storage.put("b", content(), Condition::IfAbsent).unwrap_err().kind, Exists);
    assert_eq!((&f.storage.get("b", None).unwrap().0[..], f.store.left()), (other, 0));
}

#[test]
fn an_object_of_the_same_bytes_is_not_ours_if_no_reply_was_lost() {
    let f = fixture(vec![], vec![], remote());
    assert_eq!(f.storage.put("a", content(), Condition::IfAbsent).unwrap_err().kind, StoreErrorKind::Exists);
    assert_eq!(f.storage.stats().puts, 1);
}

#[test]
fn throttled_writes_are_tried_again_without_reading_back() {
    let f = fixture(vec![], vec![Fault::Fails(StoreErrorKind::Throttled)], remote());
    f.storage.put("b", content(), Condition::IfAbsent).unwrap();
    let stats = f.storage.stats();
    assert_eq!((stats.puts, stats.gets, stats.throttles, f.store.left()), (2, 0, 1, 0));
}

#[test]
fn replies_that_are_always_lost_end_in_reading_back() {
    let f = fixture(vec![], (0..3).map(|_| Fault::LosesReply).collect(), Policy { attempts: 3, ..remote() });
    f.storage.put("a", Bytes::from_static(b"new"), Condition::Always).unwrap();
    assert_eq!((f.storage.stats().puts, f.store.left()), (3, 0));
}

#[test]
fn unknown_places_are_refused() {
    for url in ["gs://bucket/x", ""] {
        assert!(Storage::open(url).unwrap_err().hint().is_some());
    }
}
