"""The Lambda Runtime API of one execution environment: the function asks for its next invocation and posts the answer.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import json
import queue
import re
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

POSTS = re.compile(r"^/2018-06-01/runtime/(?:(init)/error|invocation/([^/]+)/(response|error))$")
NEXT = "/2018-06-01/runtime/invocation/next"
# 6 MB, and 100 bytes that Lambda allows for its own.
MAX_RESPONSE = 6 * 1024 * 1024 + 100
OK = b'{"status":"OK"}'


@dataclass(frozen=True)
class Answer:
    """What an invocation ended with: the function's own body, or the body of an error."""

    body: bytes
    is_error: bool


def _problem(kind: str, message: str) -> bytes:
    return json.dumps({"errorType": kind, "errorMessage": message}).encode()


def _too_large(size: int) -> Answer:
    message = f"Response payload size ({size} bytes) exceeded maximum allowed payload size ({MAX_RESPONSE} bytes)."
    return Answer(_problem("Function.ResponseSizeTooLarge", message), is_error=True)


class RuntimeApi:
    """Serves one function process on a port of its own, so that processes cannot take each other's invocations."""

    def __init__(self):
        # None: the process ended.
        self.answers: queue.Queue[Answer | None] = queue.Queue()
        # Set when the function asks for its first invocation, reports that it cannot start, or ends.
        self.settled = threading.Event()
        self.init_error: bytes | None = None
        self._invocations: queue.Queue[dict[str, str] | None] = queue.Queue()
        self._open_request: str | None = None
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.api = self
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def offer(self, invocation: dict[str, str], timeout: float) -> None:
        self._open_request = invocation["invoke-id"]
        deadline = str(int((time.time() + timeout) * 1000))
        self._invocations.put(invocation | {"deadline": deadline})

    def take(self) -> dict[str, str] | None:
        """The next invocation, as soon as there is one; None once the API is closed."""
        self.settled.set()
        return self._invocations.get()

    def answer(self, request: str, answer: Answer) -> bool:
        """False if there is no such invocation, or it has its answer."""
        if request != self._open_request:
            return False
        self._open_request = None
        self.answers.put(answer)
        return True

    def fail_init(self, error: bytes) -> None:
        self.init_error = error
        self.settled.set()

    def close(self) -> None:
        self._invocations.put(None)
        # It takes up to half a second, which nobody need wait for.
        threading.Thread(target=self._shut_down, daemon=True).start()

    def _shut_down(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Says nothing: the process was ended while it was spoken to."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # A head and a body sent apart would wait 40 ms for each other.
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self):
        if self.path != NEXT:
            return self._reply(404)
        api = self.server.api
        invocation = api.take()
        if invocation is None:
            self.close_connection = True  # the process is gone, and nobody reads a reply
            return
        self._reply(
            200,
            invocation["payload"].encode(),
            {
                "Lambda-Runtime-Aws-Request-Id": invocation["invoke-id"],
                "Lambda-Runtime-Deadline-Ms": invocation["deadline"],
                "Lambda-Runtime-Invoked-Function-Arn": invocation["invoked-function-arn"],
                "Lambda-Runtime-Trace-Id": invocation["trace-id"],
            },
        )

    def do_POST(self):
        match, body = POSTS.match(self.path), self._body()
        if not match:
            return self._reply(404)
        init, request, kind = match.groups()
        if init:
            self.server.api.fail_init(body)
            return self._reply(202, OK)
        is_error, is_too_large = kind == "error", len(body) > MAX_RESPONSE
        answer = _too_large(len(body)) if is_too_large else Answer(body, is_error)
        if not self.server.api.answer(request, answer):
            self._reply(403, _problem("InvalidRequestID", "Invalid request ID"))
        elif is_too_large:
            message = f"Exceeded maximum allowed payload size ({MAX_RESPONSE} bytes)."
            self._reply(413, _problem("RequestEntityTooLarge", message))
        else:
            self._reply(202, OK)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return bytes(body)

    def _reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Says nothing: what the function prints is the log."""
