"""The Lambda Runtime API of one execution environment: the function asks for its next invocation and posts the answer.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import queue
import re
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

POSTS = re.compile(r"^/2018-06-01/runtime/(?:(init)/error|invocation/([^/]+)/(response|error))$")
NEXT = "/2018-06-01/runtime/invocation/next"


@dataclass(frozen=True)
class Answer:
    """What an invocation ended with: the function's own body, or the body of an error."""

    body: bytes
    is_error: bool


class RuntimeApi:
    """Serves one function process on a port of its own, so that processes cannot take each other's invocations."""

    def __init__(self, timeout: float):
        self.timeout = timeout
        # None: the process ended.
        self.answers: queue.Queue[Answer | None] = queue.Queue()
        # Set when the function asks for its first invocation, reports that it cannot start, or ends.
        self.settled = threading.Event()
        self.init_error: bytes | None = None
        self._invocations: queue.Queue[dict[str, str] | None] = queue.Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.api = self
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def offer(self, invocation: dict[str, str]) -> None:
        self._invocations.put(invocation)

    def take(self) -> dict[str, str] | None:
        """The next invocation, as soon as there is one; None once the API is closed."""
        self.settled.set()
        return self._invocations.get()

    def fail_init(self, error: bytes) -> None:
        self.init_error = error
        self.settled.set()

    def close(self) -> None:
        self._invocations.put(None)
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path != NEXT:
            return self._reply(404)
        api = self.server.api
        invocation = api.take()
        if invocation is None:
            self.close_connection = True  # the process is gone, and nobody reads a reply
            return
        deadline = time.time() + api.timeout
        self._reply(
            200,
            invocation["payload"].encode(),
            {
                "Lambda-Runtime-Aws-Request-Id": invocation["invoke-id"],
                "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
                "Lambda-Runtime-Invoked-Function-Arn": invocation["invoked-function-arn"],
                "Lambda-Runtime-Trace-Id": invocation["trace-id"],
            },
        )

    def do_POST(self):
        match, body = POSTS.match(self.path), self._body()
        if not match:
            return self._reply(404)
        init, _, kind = match.groups()
        if init:
            self.server.api.fail_init(body)
        else:
            self.server.api.answers.put(Answer(body, kind == "error"))
        self._reply(202, b'{"status":"OK"}')

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
