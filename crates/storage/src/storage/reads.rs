//! Checked and pinned reads, in pieces, and hedged when late.

use std::ops::Range;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Either, select};
use futures::stream::{self, StreamExt, TryStreamExt};

use super::attempts::RetryingStore;
use crate::coalesce::{assemble, coalesce_ranges};
use crate::error::ObjectState;
use crate::stats::add;
use crate::{ByteRange, Object, ObjectInfo, StoreError, StoreErrorKind, StoreResult};

/// The number of times a read in pieces starts again because the object was replaced meanwhile.
const RESTARTS: u32 = 3;

impl RetryingStore {
    /// Reads a whole object, and starts again if it is replaced meanwhile and not pinned.
    pub(super) async fn whole(&self, key: &str, pin: Option<&str>) -> StoreResult<(Bytes, ObjectInfo)> {
        let mut restarts = 0;
        loop {
            match self.pieces(key, pin).await {
                Err(e) if e.kind == StoreErrorKind::Changed && pin.is_none() && restarts < RESTARTS => {
                    restarts += 1;
                }
                done => return done,
            }
        }
    }

    /// Reads an object. A small one comes with the first answer; for a large one, that answer gives size and ETag, and
    /// concurrent reads bring its pieces.
    async fn pieces(&self, key: &str, pin: Option<&str>) -> StoreResult<(Bytes, ObjectInfo)> {
        let Object { bytes, info } = self.read(key, &ByteRange::All, pin).await?;
        if bytes.len() as u64 == info.size {
            return Ok((bytes, info));
        }
        let parts = self.ranges(key, Some(&info.etag), std::slice::from_ref(&(0..info.size))).await?;
        Ok((parts.into_iter().next().unwrap_or_default(), info))
    }

    /// Reads the last `bytes` bytes of an object.
    pub(super) async fn suffix(&self, key: &str, bytes: u64) -> StoreResult<(Bytes, ObjectInfo)> {
        let object = self.read(key, &ByteRange::Suffix(bytes), None).await?;
        Ok((object.bytes, object.info))
    }

    /// Reads ranges of one version of an object, merged and cut by the policy.
    pub(super) async fn ranges(
        &self,
        key: &str,
        pin: Option<&str>,
        ranges: &[Range<u64>],
    ) -> StoreResult<Vec<Bytes>> {
        let requests = coalesce_ranges(ranges, self.policy.gap, self.policy.piece);
        let mut answers = Vec::with_capacity(requests.len());
        let mut pin = pin.map(str::to_owned);
        if pin.is_none() && requests.len() > 1 {
            // The first answer fixes the version of the object that the others must have.
            let first = self.range(key, &requests[0], None).await?;
            answers.push(first.bytes);
            pin = Some(first.info.etag);
        }
        // Boxed to one type: the compiler can't see that the closure's futures are `Send` for every lifetime.
        let mut rest: Vec<BoxFuture<'_, StoreResult<Object>>> = Vec::new();
        for range in &requests[answers.len()..] {
            rest.push(self.range(key, range, pin.as_deref()).boxed());
        }
        let rest: Vec<Object> = stream::iter(rest).buffered(self.policy.width.max(1)).try_collect().await?;
        answers.extend(rest.into_iter().map(|object| object.bytes));
        Ok(ranges.iter().map(|range| assemble(range, &requests, &answers)).collect())
    }

    /// Reads a range, all of which must exist.
    async fn range(&self, key: &str, range: &Range<u64>, pin: Option<&str>) -> StoreResult<Object> {
        let object = self.read(key, &ByteRange::Bounded(range.clone()), pin).await?;
        if object.bytes.len() as u64 == range.end - range.start {
            return Ok(object);
        }
        Err(StoreError::new(
            StoreErrorKind::Other,
            format!(
                "`{}` has {} bytes, but bytes {} to {} were asked for",
                self.name(key),
                object.info.size,
                range.start,
                range.end
            ),
        ))
    }

    /// Reads with retries, and with a duplicate if late.
    async fn read(&self, key: &str, range: &ByteRange, pin: Option<&str>) -> StoreResult<Object> {
        self.retry(|| self.read_or_duplicate(key, range, pin)).await
    }

    /// Sends one read, and a second one if the first is late.
    async fn read_or_duplicate(
        &self,
        key: &str,
        range: &ByteRange,
        pin: Option<&str>,
    ) -> StoreResult<Object> {
        let Some(expectation) = &self.expectation else { return self.read_once(key, range, pin).await };
        let bytes = match range {
            ByteRange::All => self.policy.piece,
            ByteRange::Bounded(range) => range.end - range.start,
            ByteRange::Suffix(bytes) => *bytes,
        };
        let (start, under_way) = (self.clock.now(), UnderWay::enter(&self.under_way));
        let first = pin!(self.read_once(key, range, pin));
        let late = self.clock.sleep(expectation.late_after(bytes, under_way.count));
        let object = match select(first, late).await {
            Either::Left((answer, _)) => answer,
            Either::Right(((), first)) if expectation.take_duplicate() => {
                add(&self.counters.duplicated_reads, 1);
                either(first, pin!(self.read_once(key, range, pin))).await
            }
            Either::Right(((), first)) => first.await,
        }?;
        let took = self.clock.now().saturating_sub(start);
        expectation.record(object.bytes.len() as u64, under_way.count, took);
        Ok(object)
    }

    /// Sends one read and checks its answer against the request.
    async fn read_once(&self, key: &str, range: &ByteRange, pin: Option<&str>) -> StoreResult<Object> {
        add(&self.counters.gets, 1);
        let most = self.policy.piece.saturating_mul(2);
        let object = match range {
            ByteRange::All => self.store.get_small(key, most, pin).await?,
            range => self.store.get(key, range.clone(), pin).await?,
        };
        add(&self.counters.bytes_read, object.bytes.len() as u64);
        let within = range.clip(object.info.size);
        let (asked, came) = (within.end - within.start, object.bytes.len() as u64);
        let left_out = *range == ByteRange::All && came == 0 && asked > most;
        if came != asked && !left_out {
            return Err(StoreError::new(
                StoreErrorKind::Corrupt,
                format!("reading `{}`: {came} bytes came where {asked} were asked for", self.name(key)),
            ));
        }
        // Not every service compatible with S3 honours the condition.
        if pin.is_some_and(|pin| pin != object.info.etag) {
            return Err(StoreError::of_object(ObjectState::Changed, &self.name(key)));
        }
        Ok(object)
    }

    /// Returns the address of an object for messages.
    fn name(&self, key: &str) -> String {
        format!("{}/{key}", self.store.url().trim_end_matches('/'))
    }
}

/// Returns the first of two answers that is final: a success, or an error that another attempt could not mend.
async fn either<A, B>(first: A, second: B) -> StoreResult<Object>
where
    A: Future<Output = StoreResult<Object>> + Unpin,
    B: Future<Output = StoreResult<Object>> + Unpin,
{
    let settled = |answer: &StoreResult<Object>| answer.as_ref().err().is_none_or(|e| !e.is_transient());
    match select(first, second).await {
        Either::Left((answer, other)) => {
            if settled(&answer) {
                answer
            } else {
                other.await
            }
        }
        Either::Right((answer, other)) => {
            if settled(&answer) {
                answer
            } else {
                other.await
            }
        }
    }
}

/// A guard that counts a read as in flight until it is dropped.
struct UnderWay<'a> {
    counter: &'a AtomicU64,
    count: u64,
}

impl<'a> UnderWay<'a> {
    fn enter(counter: &'a AtomicU64) -> Self {
        let count = counter.fetch_add(1, Ordering::Relaxed) + 1;
        Self { counter, count }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.counter.fetch_sub(1, Ordering::Relaxed);
    }
}
