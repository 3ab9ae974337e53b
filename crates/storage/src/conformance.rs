//! The promises of every [`ObjectStore`] as one suite of checks, run against folders, memory and S3.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::thread;

use bytes::Bytes;

use super::{ByteRange, Condition, ObjectInfo, ObjectStore, Storage, StoreError, StoreErrorKind};

/// The number of concurrent writers in a check.
const WRITERS: usize = 8;

/// The size of the checks.
#[derive(Clone, Copy, Debug)]
pub struct SuiteSize {
    /// The number of objects in the long listing; above 1,000, S3 answers in pages.
    pub keys: usize,
    /// The number of increments that each of the eight writers makes.
    pub increments: usize,
}

impl Default for SuiteSize {
    fn default() -> Self {
        Self { keys: 1100, increments: 5 }
    }
}

/// Checks every promise of an empty store. The objects of the checks stay in it.
///
/// # Errors
/// Describes the first promise that is not kept.
pub fn check_conformance(store: Arc<dyn ObjectStore>, extent: SuiteSize) -> Result<(), String> {
    let suite = Suite { storage: Storage::new(store) };
    let checks: [(&str, Check<'_>); 11] = [
        ("nothing there", &Suite::nothing_there),
        ("ranges", &Suite::ranges),
        ("empty objects", &Suite::empty_objects),
        ("pins", &Suite::pins),
        ("conditions", &Suite::conditions),
        ("one creator", &Suite::one_creator),
        ("increments", &|suite| suite.increments(extent.increments)),
        ("odd keys", &Suite::odd_keys),
        ("refused keys", &Suite::refused_keys),
        ("removal", &Suite::removal),
        ("lists", &|suite| suite.lists(extent.keys)),
    ];
    for (name, check) in checks {
        check(&suite).map_err(|reason| format!("{name}: {reason}"))?;
    }
    Ok(())
}

type Outcome = Result<(), String>;

type Check<'a> = &'a dyn Fn(&Suite) -> Outcome;

/// The store under test, behind the retries of [`Storage`]: passing failures of a network must not fail a check.
struct Suite {
    storage: Storage,
}

fn text(error: StoreError) -> String {
    format!("{:?}: {error}", error.kind)
}

fn equal<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Outcome {
    match found == expected {
        true => Ok(()),
        false => Err(format!("{what}: found {found:?}, expected {expected:?}")),
    }
}

fn refused<T: std::fmt::Debug>(what: &str, found: Result<T, StoreError>, kind: StoreErrorKind) -> Outcome {
    match found {
        Err(error) if error.kind == kind => Ok(()),
        other => Err(format!("{what}: found {other:?}, expected {kind:?}")),
    }
}

impl Suite {
    fn put(&self, key: &str, bytes: &[u8], condition: Condition) -> Result<String, StoreError> {
        self.storage.put(key, Bytes::copy_from_slice(bytes), condition)
    }

    fn write(&self, key: &str, bytes: &[u8]) -> Result<String, String> {
        self.put(key, bytes, Condition::Always).map_err(text)
    }

    fn read(&self, key: &str) -> Result<Vec<u8>, String> {
        self.storage.get(key, None).map(|(bytes, _)| bytes.to_vec()).map_err(text)
    }

    /// Sends one request to the store itself, without `Storage`'s merging and checking of ranges.
    fn range(&self, key: &str, range: ByteRange) -> Result<(Vec<u8>, ObjectInfo), String> {
        let object = self.storage.send_once(|store| store.get(key, range, None)).map_err(text)?;
        Ok((object.bytes.to_vec(), object.info))
    }

    fn keys(&self, prefix: &str) -> Result<Vec<String>, String> {
        let listed = self.storage.list(prefix).map_err(text)?;
        Ok(listed.into_iter().map(|object| object.key).collect())
    }

    fn nothing_there(&self) -> Outcome {
        equal("list of an empty store", self.keys("")?, vec![])?;
        refused("get", self.storage.get("none/such", None), StoreErrorKind::NotFound)?;
        refused("head", self.storage.head("none/such"), StoreErrorKind::NotFound)
    }

    fn ranges(&self) -> Outcome {
        let content: Vec<u8> = (0..=255).collect();
        let etag = self.write("ranges", &content)?;
        let info = ObjectInfo { key: "ranges".into(), size: 256, etag };
        equal("head", self.storage.head("ranges").map_err(text)?, info.clone())?;
        let cases = [
            (ByteRange::All, 0..256),
            (ByteRange::Bounded(0..1), 0..1),
            (ByteRange::Bounded(100..256), 100..256),
            (ByteRange::Bounded(250..300), 250..256),
            (ByteRange::Bounded(256..300), 256..256),
            (ByteRange::Bounded(7..7), 7..7),
            (ByteRange::Suffix(10), 246..256),
            (ByteRange::Suffix(256), 0..256),
            (ByteRange::Suffix(1000), 0..256),
            (ByteRange::Suffix(0), 256..256),
        ];
        for (range, expected) in cases {
            let what = format!("{range:?}");
            equal(&what, self.range("ranges", range)?, (content[expected].to_vec(), info.clone()))?;
        }
        Ok(())
    }

    fn empty_objects(&self) -> Outcome {
        let etag = self.write("empty", b"")?;
        let info = ObjectInfo { key: "empty".into(), size: 0, etag };
        equal("head", self.storage.head("empty").map_err(text)?, info.clone())?;
        for range in [ByteRange::All, ByteRange::Suffix(5), ByteRange::Bounded(0..5)] {
            let what = format!("{range:?}");
            equal(&what, self.range("empty", range)?, (vec![], info.clone()))?;
        }
        equal("whole", self.read("empty")?, vec![])
    }

    fn pins(&self) -> Outcome {
        let first = self.write("pins", b"first")?;
        equal(
            "pinned",
            self.storage.get("pins", Some(&first)).map_err(text)?.0,
            Bytes::from_static(b"first"),
        )?;
        let second = self.write("pins", b"other")?;
        if first == second {
            return Err(format!("the ETag {first} outlived the content"));
        }
        refused("stale pin", self.storage.get("pins", Some(&first)), StoreErrorKind::Changed)?;
        let range = self.storage.get_ranges("pins", Some(&first), &[0..1, 4..5]);
        refused("stale pin of ranges", range, StoreErrorKind::Changed)?;
        let listed = self.storage.list("pins").map_err(text)?;
        equal("listed ETag", listed.into_iter().map(|o| o.etag).collect(), vec![second])
    }

    fn conditions(&self) -> Outcome {
        let etag = self.put("once", b"1", Condition::IfAbsent).map_err(text)?;
        refused("second create", self.put("once", b"2", Condition::IfAbsent), StoreErrorKind::Exists)?;
        equal("after it", self.read("once")?, b"1".to_vec())?;
        let next = self.put("once", b"3", Condition::IfMatch(etag.clone())).map_err(text)?;
        refused("stale swap", self.put("once", b"4", Condition::IfMatch(etag)), StoreErrorKind::Changed)?;
        equal("after the swaps", self.read("once")?, b"3".to_vec())?;
        refused(
            "swap of nothing",
            self.put("none", b"5", Condition::IfMatch(next)),
            StoreErrorKind::Changed,
        )?;
        refused("after that", self.storage.head("none"), StoreErrorKind::NotFound)
    }

    fn one_creator(&self) -> Outcome {
        let results =
            race(|writer| self.put("race", format!("writer {writer}").as_bytes(), Condition::IfAbsent));
        let won: Vec<usize> = (0..WRITERS).filter(|&writer| results[writer].is_ok()).collect();
        for result in results.into_iter().filter(Result::is_err) {
            refused("a writer that lost", result, StoreErrorKind::Exists)?;
        }
        equal("writers that won", won.len(), 1)?;
        equal("content", self.read("race")?, format!("writer {}", won[0]).into_bytes())
    }

    /// Lets every writer append marks of its own, so that a lost reply differs from another writer's success.
    fn increments(&self, each: usize) -> Outcome {
        self.write("count", b"")?;
        let results = race(|writer| (0..each).try_for_each(|i| self.append(&format!("{writer}.{i};"))));
        results.into_iter().collect::<Result<Vec<()>, String>>()?;
        let content = String::from_utf8(self.read("count")?).map_err(|e| e.to_string())?;
        let marks: BTreeSet<&str> = content.split_terminator(';').collect();
        equal("increments", content.split_terminator(';').count(), WRITERS * each)?;
        equal("different increments", marks.len(), WRITERS * each)
    }

    fn append(&self, mark: &str) -> Outcome {
        loop {
            let (bytes, info) = self.storage.get("count", None).map_err(text)?;
            let longer = [&bytes[..], mark.as_bytes()].concat();
            match self.put("count", &longer, Condition::IfMatch(info.etag)) {
                Err(e) if e.kind == StoreErrorKind::Changed => {}
                done => return done.map(|_| ()).map_err(text),
            }
        }
    }

    fn odd_keys(&self) -> Outcome {
        let keys = [
            "odd/a b",
            "odd/b=1/c=%20",
            "odd/c+d&e@f:g,h;i",
            "odd/d'(!)*~",
            "odd/é/ü",
            "odd/..x",
            "odd/.hidden",
        ];
        for key in keys {
            self.write(key, key.as_bytes())?;
            equal(key, self.read(key)?, key.as_bytes().to_vec())?;
        }
        let mut sorted: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
        sorted.sort();
        equal("list", self.keys("odd/")?, sorted)
    }

    fn refused_keys(&self) -> Outcome {
        for key in ["", "/a", "a/", "a//b", "../a", "a/../../b", "."] {
            if self.put(key, b"x", Condition::Always).is_ok() {
                return Err(format!("the key {key:?} was accepted"));
            }
        }
        Ok(())
    }

    fn removal(&self) -> Outcome {
        self.write("gone", b"x")?;
        self.storage.delete("gone").map_err(text)?;
        refused("get", self.storage.get("gone", None), StoreErrorKind::NotFound)?;
        equal("list", self.keys("gone")?, vec![])?;
        self.storage.delete("gone").map_err(|e| format!("second removal: {}", text(e)))?;
        self.put("gone", b"y", Condition::IfAbsent).map(|_| ()).map_err(text)
    }

    fn lists(&self, count: usize) -> Outcome {
        let parts = race(|writer| {
            (writer..count)
                .step_by(WRITERS)
                .try_for_each(|i| self.write(&format!("many/{i:06}"), b"x").map(|_| ()))
        });
        parts.into_iter().collect::<Result<Vec<()>, String>>()?;
        let expected: Vec<String> = (0..count).map(|i| format!("many/{i:06}")).collect();
        equal("keys", self.keys("many/")?, expected)?;
        // `-`, `/` and `0` are neighbours in ASCII: objects are ordered by whole keys, not by folders.
        for key in ["order/a-b", "order/a/b", "order/a0", "order/ab/c", "orders/x"] {
            self.write(key, b"x")?;
        }
        let within = |prefix: &str| self.keys(prefix);
        equal("order", within("order/")?, owned(&["order/a-b", "order/a/b", "order/a0", "order/ab/c"]))?;
        equal("part of a name", within("order/a")?.len(), 4)?;
        equal("part of a folder", within("order/ab")?, owned(&["order/ab/c"]))?;
        equal("no folder", within("order")?.len(), 5)?;
        equal("one object", within("order/a0")?, owned(&["order/a0"]))?;
        equal("none", within("order/z")?, vec![])
    }
}

fn owned(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|&key| key.to_owned()).collect()
}

/// Returns the results of eight writers that work at the same time.
fn race<T: Send>(work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let work = &work;
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || work(writer))).collect();
        let joined = writers.into_iter().map(|writer| writer.join());
        joined.map(|result| result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::{LocalStore, MemoryStore};
    use super::*;

    #[test]
    fn memory() {
        check_conformance(Arc::new(MemoryStore::new()), SuiteSize { increments: 50, ..SuiteSize::default() })
            .unwrap();
    }

    #[test]
    fn folder() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::new(folder.path().join("a/b"));
        check_conformance(Arc::new(store), SuiteSize { keys: 1100, increments: 20 }).unwrap();
    }

    /// A folder in a process of several stores: the lock is between them too.
    #[test]
    fn two_stores_of_one_folder_lose_no_increment() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Suite { storage: Storage::new(Arc::new(LocalStore::new(folder.path()))) };
        open().write("count", b"").unwrap();
        race(|writer| {
            let suite = open();
            (0..10).for_each(|i| suite.append(&format!("{writer}.{i};")).unwrap());
        });
        let content = String::from_utf8(open().read("count").unwrap()).unwrap();
        assert_eq!(content.split_terminator(';').count(), 80);
    }
}
