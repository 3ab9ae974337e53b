"""A running `bootstrap` with its Runtime API."""

import json
import os
import queue
import signal
import subprocess
import threading
import time

from localstack import config

from process_executor.logs import LogPipe
from process_executor.memory import WATCH, Memory
from process_executor.runtime_api import Answer, RuntimeApi


class InitError(Exception):
    """The process did not get as far as asking for an invocation."""

    def __init__(self, process: "FunctionProcess", body: bytes | None):
        self.process = process
        self.body = body


class FunctionProcess:
    """Raises `InitError` unless it gets as far as asking for an invocation."""

    def __init__(self, folder: str, env_vars: dict[str, str], megabytes: int):
        since = time.monotonic()
        self._api = RuntimeApi()
        bootstrap = os.path.join(folder, "bootstrap")
        os.chmod(bootstrap, 0o755)
        # A group of its own, so that its end is its children's too; in the server's session, so that `down` finds it.
        self._process = subprocess.Popen(
            [bootstrap],
            cwd=folder,
            env=self._environment(folder, env_vars),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            process_group=0,
        )
        self.log = LogPipe(self._process.stdout)
        self.memory = Memory(self._process.pid, megabytes)
        WATCH.add(self.memory)
        threading.Thread(target=self._wait, daemon=True).start()
        self._api.settled.wait(config.LAMBDA_RUNTIME_ENVIRONMENT_TIMEOUT)
        self.memory.sample()
        WATCH.remove(self.memory)
        self.init_seconds = time.monotonic() - since
        if self._api.init_error or self.memory.exceeded or not self.is_running():
            self.kill()
            raise InitError(self, self._api.init_error)

    def is_running(self) -> bool:
        return self._process.poll() is None

    def invoke(self, payload: dict[str, str], timeout: float) -> Answer | None:
        """Raises `queue.Empty` after the timeout; None if the process ended instead of an answer."""
        WATCH.add(self.memory)
        try:
            self._api.offer(payload, timeout)
            answer = self._api.answers.get(timeout=timeout)
            # A peak between two samples counts too: no answer comes from more memory than is configured.
            self.memory.sample()
            return None if self.memory.exceeded else answer
        finally:
            WATCH.remove(self.memory)

    def kill(self) -> None:
        WATCH.remove(self.memory)
        self._kill_group()
        self._process.wait()
        self._api.close()

    def end(self) -> str:
        """How the process ended, in the words of Lambda (Go's, for signals)."""
        code = self._process.wait()
        how = f"signal: {signal.strsignal(-code).lower()}" if code < 0 else f"exit status {code}"
        return f"Error: Runtime exited with error: {how}"

    def _environment(self, folder: str, env_vars: dict[str, str]) -> dict[str, str]:
        own = {"LAMBDA_TASK_ROOT": folder, "AWS_LAMBDA_RUNTIME_API": self._api.address}
        inherited = {"PATH": os.environ.get("PATH", ""), "HOME": os.environ.get("HOME", "/")}
        return inherited | {k: str(v) for k, v in env_vars.items() if v is not None} | own

    def _wait(self) -> None:
        self._process.wait()
        self._kill_group()
        # The end is the answer to an invocation that still waits for one.
        self._api.answers.put(None)
        self._api.settled.set()

    def _kill_group(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def error(request: str, kind: str, message: str) -> Answer:
    """An error that the function could not report itself, in Lambda's words."""
    body = {"errorType": kind, "errorMessage": f"RequestId: {request} {message}"}
    return Answer(json.dumps(body).encode(), is_error=True)
