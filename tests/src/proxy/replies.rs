//! Replies that are wrong: S3's errors, and bodies that are cut, shortened or late.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};
use tokio::time::sleep;

use super::plan::Fault;

/// Any error.
pub(super) type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a reply.
pub(super) type Body = UnsyncBoxBody<Bytes, AnyError>;

/// Long enough for what was sent before a cut to leave the process.
const BEFORE_A_CUT: Duration = Duration::from_millis(20);

/// S3's error reply for a fault that needs no upstream.
pub(super) fn error_reply(fault: Fault) -> Response<Body> {
    let (status, code, message) = match fault {
        Fault::SlowDown => (StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "Please reduce your request rate."),
        Fault::ErrorIn200 => (StatusCode::OK, "InternalError", "We encountered an internal error."),
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "We encountered an internal error."),
    };
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
         <RequestId>INJECTED</RequestId></Error>"
    );
    whole(status, "application/xml", body)
}

/// What a gateway says when its upstream fails: never part of a plan, so the reason matters.
pub(super) fn bad_gateway(error: &AnyError) -> Response<Body> {
    whole(StatusCode::BAD_GATEWAY, "text/plain", format!("the proxy can't reach its upstream: {error}"))
}

fn whole(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut reply =
        Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync());
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}

/// The reply as it is.
pub(super) fn unchanged(reply: Response<Incoming>) -> Response<Body> {
    reply.map(|body| body.map_err(AnyError::from).boxed_unsync())
}

/// Whether a fault of the body can happen to this reply: to a success that has a body of known length.
pub(super) fn can_spoil(method: &Method, reply: &Response<Incoming>) -> bool {
    *method != Method::HEAD && reply.status().is_success() && length(reply).is_some_and(|length| length > 0)
}

/// Half of the body, under the length of the whole, then the end of the connection.
pub(super) fn truncated(reply: Response<Incoming>) -> Response<Body> {
    let half = length(&reply).unwrap_or(0) / 2;
    reply.map(|body| first_bytes(body, half, Ending::Cut))
}

/// Half of the body, under its own length.
pub(super) fn short(mut reply: Response<Incoming>) -> Response<Body> {
    let half = length(&reply).unwrap_or(0) / 2;
    reply.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(half));
    reply.map(|body| first_bytes(body, half, Ending::Clean))
}

/// The head at once, the body after a delay.
pub(super) fn slow(reply: Response<Incoming>, delay: Duration) -> Response<Body> {
    reply.map(|body| {
        let frames = stream::unfold((body, delay), |(mut body, delay)| async move {
            sleep(delay).await;
            let frame = body.frame().await?.map_err(AnyError::from);
            Some((frame, (body, Duration::ZERO)))
        });
        StreamBody::new(frames).boxed_unsync()
    })
}

fn length(reply: &Response<Incoming>) -> Option<u64> {
    reply.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[derive(Clone, Copy)]
enum Ending {
    Clean,
    Cut,
}

/// So many bytes of a body, which has at least as many.
fn first_bytes(body: Incoming, count: u64, ending: Ending) -> Body {
    let frames = stream::unfold(Some((body, count)), move |state| async move {
        let (mut body, left) = state?;
        if left == 0 {
            return end(ending).await.map(|error| (Err(error), None));
        }
        match body.frame().await? {
            Err(error) => Some((Err(error.into()), None)),
            Ok(frame) => {
                // Trailers come after the last byte, which is not reached.
                let mut data = frame.into_data().ok()?;
                data.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - data.len() as u64;
                Some((Ok(Frame::data(data)), Some((body, left))))
            }
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

/// The error that makes the server end the connection, once what was sent so far has left.
async fn end(ending: Ending) -> Option<AnyError> {
    match ending {
        Ending::Clean => None,
        Ending::Cut => {
            sleep(BEFORE_A_CUT).await;
            Some(io::Error::other("cut by the plan").into())
        }
    }
}
