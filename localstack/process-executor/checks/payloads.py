"""6 MB each way, 1 MB for events: what is one byte larger fails."""

from checks.function import Function

REQUEST = 6 * 1024 * 1024
RESPONSE = REQUEST + 100
EVENT = 1024 * 1024


def event_of(size: int) -> bytes:
    head, tail = b'{"do": "length", "text": "', b'"}'
    return head + b"x" * (size - len(head) - len(tail)) + tail


def check(endpoint: str) -> None:
    with Function(endpoint, "payloads", memory=512) as function:
        first = function.send(event_of(REQUEST)).expect().body
        assert REQUEST - 100 < first["length"] < REQUEST, first
        too_large(function, REQUEST, "RequestResponse", "Request must be smaller than 6291456 bytes")
        too_large(function, EVENT, "Event", "1048577 byte payload is too large for the Event invocation type")
        assert len(function.invoke("text", bytes=RESPONSE).expect().body) == RESPONSE - 2
        reply = function.invoke("text", bytes=RESPONSE + 1)
        reply.expect_error("Function.ResponseSizeTooLarge", r".*6291557 bytes\) exceeded .* \(6291556 bytes\)\.")
        after = function.invoke().expect().body
        assert (after["pid"], after["last_status"]) == (first["pid"], 413), "the runtime is told, and goes on"


def too_large(function: Function, limit: int, kind: str, message: str) -> None:
    status, error = function.refusal(event_of(limit + 1), kind)
    assert (status, error["Error"]["Code"]) == (413, "RequestEntityTooLargeException"), error
    assert error["Error"]["Message"].startswith(message), error
