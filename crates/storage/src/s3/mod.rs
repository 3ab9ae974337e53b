//! Objects in a bucket of S3, or of a service that is compatible with it.

mod client;
mod explain;
mod shared;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use self::client::{Clients, timeouts};
use self::explain::{Request, reasons};

use super::environment::check_environment;
use super::error::ObjectState;
use super::key::check_key;
use super::{ByteRange, Condition, Object, ObjectInfo, ObjectStore, StoreError, StoreErrorKind, StoreResult};

pub use self::client::shared_http_client;
pub use self::shared::shared_config;

/// A bucket, or the part of one below a prefix. Region, credentials and endpoint come from the environment, the
/// profile, SSO, a web identity or the machine's role, as for other programs on AWS. `AWS_ENDPOINT_URL` and
/// `AWS_ENDPOINT_URL_S3` name another service, which is then addressed by path unless `STAGGER_S3_PATH_STYLE` says
/// otherwise.
#[derive(Debug)]
pub struct S3Store {
    bucket: String,
    /// The prefix of all keys: empty, or ending in `/`.
    root: String,
    clients: Arc<Clients>,
}

impl S3Store {
    /// Returns the store at `s3://bucket/prefix`. Nothing is requested before the first read or write.
    ///
    /// # Errors
    /// Another scheme, no bucket, or environment variables with invalid values.
    pub fn open(url: &str) -> StoreResult<Self> {
        Self::at(url, Clients::shared())
    }

    /// Returns the store at `s3://bucket/prefix` over a client of the caller, whose retries and timeouts are replaced
    /// by this crate's.
    ///
    /// # Errors
    /// Those of [`S3Store::open`].
    pub fn with_client(url: &str, client: &Client) -> StoreResult<Self> {
        Self::at(url, Arc::new(Clients::of_caller(client)))
    }

    fn at(url: &str, clients: Arc<Clients>) -> StoreResult<Self> {
        let rest = url.strip_prefix("s3://").unwrap_or_default();
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(StoreError::new(StoreErrorKind::Bucket, format!("`{url}` names no bucket"))
                .with_hint("the form is s3://bucket/prefix"));
        }
        check_environment()?;
        let prefix = prefix.trim_end_matches('/');
        let root = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self { bucket: bucket.to_owned(), root, clients })
    }

    /// Returns the key of an object in the bucket.
    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.root)
    }

    /// Returns the description of a request for error messages.
    fn request<'a>(&'a self, action: &'static str, key: &'a str) -> Request<'a> {
        Request { action, bucket: &self.bucket, key, refused: ObjectState::Changed }
    }

    /// Sends a request, and once more with credentials read anew if they had expired: whatever renews them may have
    /// done so since.
    async fn send<T, E, F>(&self, request: Request<'_>, send: impl Fn(Client) -> F) -> StoreResult<T>
    where
        F: Future<Output = Result<T, SdkError<E>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let (generation, client) = self.clients.get().await;
        let (refused, error) = match send(client).await {
            Ok(answer) => return Ok(answer),
            Err(error) => (matches!(error, SdkError::ServiceError(_)), request.explain(&error)),
        };
        // Without any credentials, asking again only takes time.
        if !refused || error.kind != StoreErrorKind::Credentials {
            return Err(error);
        }
        match self.clients.renewed(generation).await {
            Some(client) => send(client).await.map_err(|error| request.explain(&error)),
            None => Err(error),
        }
    }

    /// Returns an object without bytes for a range that holds none: S3 refuses such ranges.
    async fn nothing(&self, key: &str, range: &ByteRange, pin: Option<&str>) -> StoreResult<Object> {
        let info = self.head(key).await?;
        let full = self.full(key);
        let request = self.request("GetObject", &full);
        if pin.is_some_and(|pin| pin != info.etag) {
            return Err(request.in_state(ObjectState::Changed));
        }
        if range.clip(info.size).is_empty() {
            return Ok(Object { bytes: Bytes::new(), info });
        }
        Err(request
            .error(StoreErrorKind::Corrupt, &format!("a range within its {} bytes was refused", info.size)))
    }
}

#[async_trait]
impl ObjectStore for S3Store {
    fn url(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.root.trim_end_matches('/')).trim_end_matches('/').to_owned()
    }

    fn is_remote(&self) -> bool {
        true
    }

    async fn get(&self, key: &str, range: ByteRange, pin: Option<&str>) -> StoreResult<Object> {
        let Ok(header) = range_header(&range) else { return self.nothing(key, &range, pin).await };
        let full = self.full(key);
        let request = self.request("GetObject", &full);
        let sent = self.send(request, |client| {
            let get = client.get_object().bucket(&self.bucket).key(&full);
            get.set_range(header.clone()).set_if_match(pin.map(quoted)).send()
        });
        match sent.await {
            Ok(answer) => body(request, key, answer).await,
            // Status 416: the range starts behind the end, or the object is empty.
            Err(e) if header.is_some() && e.to_string().contains("InvalidRange") => {
                self.nothing(key, &range, pin).await
            }
            Err(e) => Err(e),
        }
    }

    async fn get_small(&self, key: &str, most: u64, pin: Option<&str>) -> StoreResult<Object> {
        let full = self.full(key);
        let request = self.request("GetObject", &full);
        let sent = self.send(request, |client| {
            client.get_object().bucket(&self.bucket).key(&full).set_if_match(pin.map(quoted)).send()
        });
        let mut answer = sent.await?;
        if answer.content_length().is_some_and(|size| size.unsigned_abs() > most) {
            // Dropping the body closes the connection before more than a buffer of it has come.
            answer.body = ByteStream::default();
        }
        body(request, key, answer).await
    }

    async fn put(&self, key: &str, bytes: Bytes, condition: Condition) -> StoreResult<String> {
        check_key(key)?;
        let full = self.full(key);
        let refused = match condition {
            Condition::IfAbsent => ObjectState::Present,
            _ => ObjectState::Changed,
        };
        let request = Request { refused, ..self.request("PutObject", &full) };
        let limits = timeouts(bytes.len() as u64);
        let sent = self.send(request, |client| {
            let put = client.put_object().bucket(&self.bucket).key(&full);
            let put = match &condition {
                Condition::Always => put,
                Condition::IfAbsent => put.if_none_match("*"),
                Condition::IfMatch(etag) => put.if_match(quoted(etag)),
            };
            let put = put.body(ByteStream::from(bytes.clone())).customize();
            put.config_override(aws_sdk_s3::Config::builder().timeout_config(limits.clone())).send()
        });
        match sent.await?.e_tag() {
            Some(etag) => Ok(unquoted(etag)),
            // Some services answer errors with a status of success.
            None => Err(request.error(StoreErrorKind::Unavailable, "the answer has no ETag")),
        }
    }

    async fn head(&self, key: &str) -> StoreResult<ObjectInfo> {
        let full = self.full(key);
        // HEAD needs the permission of reads.
        let request = self.request("GetObject", &full);
        let sent = self.send(request, |client| client.head_object().bucket(&self.bucket).key(&full).send());
        let answer = sent.await?;
        match (answer.content_length(), answer.e_tag()) {
            (Some(size), Some(etag)) => {
                Ok(ObjectInfo { key: key.to_owned(), size: size.unsigned_abs(), etag: unquoted(etag) })
            }
            _ => Err(incomplete(request)),
        }
    }

    async fn list(&self, prefix: &str) -> StoreResult<Vec<ObjectInfo>> {
        let full = self.full(prefix);
        let request = self.request("ListBucket", &full);
        let (mut found, mut next) = (Vec::new(), None);
        loop {
            let sent = self.send(request, |client| {
                let list = client.list_objects_v2().bucket(&self.bucket).prefix(&full);
                list.set_continuation_token(next.clone()).send()
            });
            let page = sent.await?;
            found.extend(page.contents().iter().filter_map(|object| self.listed(object)));
            next = page.next_continuation_token().map(str::to_owned);
            if next.is_none() {
                break;
            }
        }
        // S3 sorts by key, but its directory buckets don't.
        found.sort_by(|a: &ObjectInfo, b| a.key.cmp(&b.key));
        Ok(found)
    }

    async fn delete(&self, key: &str) -> StoreResult<()> {
        let full = self.full(key);
        let request = self.request("DeleteObject", &full);
        let sent = self.send(request, |client| client.delete_object().bucket(&self.bucket).key(&full).send());
        match sent.await {
            // Some services report a missing object; the removal is done all the same.
            Err(e) if e.kind == StoreErrorKind::NotFound => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

impl S3Store {
    /// Returns the metadata of a listed object, with its key relative to the root.
    fn listed(&self, object: &aws_sdk_s3::types::Object) -> Option<ObjectInfo> {
        Some(ObjectInfo {
            key: object.key()?.strip_prefix(&self.root)?.to_owned(),
            size: object.size()?.unsigned_abs(),
            etag: unquoted(object.e_tag().unwrap_or_default()),
        })
    }
}

/// Returns the error for an answer without the headers that describe the object.
fn incomplete(request: Request<'_>) -> StoreError {
    request.error(StoreErrorKind::Corrupt, "the answer has no size or no ETag")
}

/// Returns the bytes of an answer, with the metadata that its headers give of the whole object.
async fn body(request: Request<'_>, key: &str, answer: GetObjectOutput) -> StoreResult<Object> {
    let size = match answer.content_range().map(|range| range.rsplit('/').next()?.parse().ok()) {
        Some(total) => total,
        None => answer.content_length().map(i64::unsigned_abs),
    };
    let (Some(size), Some(etag)) = (size, answer.e_tag().map(unquoted)) else {
        return Err(incomplete(request));
    };
    let bytes = answer.body.collect().await.map_err(|error| {
        let reason = reasons(&error);
        // These reasons mean wrong bytes; any other is a failure of the connection.
        let wrong =
            ["checksum", "length", "incomplete", "eof"].iter().any(|w| reason.to_lowercase().contains(w));
        let kind = if wrong { StoreErrorKind::Corrupt } else { StoreErrorKind::Unavailable };
        request.error(kind, &format!("the body broke off: {reason}"))
    })?;
    Ok(Object { bytes: bytes.into_bytes(), info: ObjectInfo { key: key.to_owned(), size, etag } })
}

/// Returns the `Range` header for a range: `None` for the whole object, and an error for an empty range, which needs no
/// request.
fn range_header(range: &ByteRange) -> Result<Option<String>, ()> {
    match range {
        ByteRange::All => Ok(None),
        ByteRange::Bounded(range) if range.start < range.end => {
            Ok(Some(format!("bytes={}-{}", range.start, range.end - 1)))
        }
        ByteRange::Suffix(bytes) if *bytes > 0 => Ok(Some(format!("bytes=-{bytes}"))),
        _ => Err(()),
    }
}

fn unquoted(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

fn quoted(etag: &str) -> String {
    format!("\"{etag}\"")
}
