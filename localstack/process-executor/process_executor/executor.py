"""One execution environment of a Lambda function: a process that runs the zip's `bootstrap`."""

import json
import os
import queue
import signal
import subprocess
import threading
import time

from localstack import config
from localstack.services.lambda_.invocation.executor_endpoint import StatusErrorException
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

from process_executor.runtime_api import Answer, RuntimeApi


class ProcessExecutor(RuntimeExecutor):
    """Keeps its process between invocations, as Lambda does, and starts another after one that ended or timed out."""

    def __init__(self, id, function_version):
        super().__init__(id, function_version)
        self.timeout = function_version.config.timeout
        self._invoking = threading.Lock()
        self._process: FunctionProcess | None = None

    def start(self, env_vars):
        self._env_vars = env_vars
        self._process = self._spawn()

    def stop(self):
        if self._process:
            self._process.kill()
            self._process = None

    def invoke(self, payload):
        with self._invoking:
            if self._process is None or not self._process.is_running():
                self.stop()
                self._process = self._spawn()
            process, since, request = self._process, time.monotonic(), payload["invoke-id"]
            mark = len(process.lines)
            try:
                answer = process.invoke(payload, self.timeout)
            except queue.Empty:
                self.stop()
                answer = error(request, "Sandbox.Timedout", f"Task timed out after {self.timeout:.2f} seconds")
            logs = report(request, process.lines[mark:], time.monotonic() - since)
            return InvocationResult(request, answer.body, is_error=answer.is_error, logs=logs)

    def get_logs(self):
        return "".join(self._process.lines) if self._process else ""

    def get_address(self):
        return "127.0.0.1"

    def get_endpoint_from_executor(self):
        return "127.0.0.1"

    def get_runtime_endpoint(self):
        return f"http://127.0.0.1:{config.GATEWAY_LISTEN[0].port}/_localstack_lambda/{self.id}"

    @classmethod
    def prepare_version(cls, function_version):
        if function_version.config.code:
            function_version.config.code.prepare_for_execution()

    @classmethod
    def cleanup_version(cls, function_version):
        """LocalStack removes the code itself."""

    def _spawn(self) -> "FunctionProcess":
        folder = str(self.function_version.config.code.get_unzipped_code_location())
        return FunctionProcess(folder, self._env_vars, self.timeout)


class FunctionProcess:
    """A running `bootstrap` with its Runtime API; raises unless it gets as far as asking for an invocation."""

    def __init__(self, folder: str, env_vars: dict[str, str], timeout: float):
        self.lines: list[str] = []
        self._api = RuntimeApi(timeout)
        bootstrap = os.path.join(folder, "bootstrap")
        os.chmod(bootstrap, 0o755)
        # A group of its own, so that a timeout ends its children too; in the server's session, so that `down` finds it.
        self._process = subprocess.Popen(
            [bootstrap],
            cwd=folder,
            env=self._environment(folder, env_vars),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        threading.Thread(target=self._pump, daemon=True).start()
        self._api.settled.wait(config.LAMBDA_RUNTIME_ENVIRONMENT_TIMEOUT)
        if self._api.init_error or not self.is_running():
            body = self._api.init_error or self._exit("").body
            self.kill()
            raise StatusErrorException("Environment startup failed", payload=body)

    def is_running(self) -> bool:
        return self._process.poll() is None

    def invoke(self, payload: dict[str, str], timeout: float) -> Answer:
        """Raises `queue.Empty` after the timeout."""
        self._api.offer(payload)
        answer = self._api.answers.get(timeout=timeout)
        return self._exit(payload["invoke-id"]) if answer is None else answer

    def kill(self) -> None:
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._api.close()

    def _environment(self, folder: str, env_vars: dict[str, str]) -> dict[str, str]:
        own = {"LAMBDA_TASK_ROOT": folder, "AWS_LAMBDA_RUNTIME_API": self._api.address}
        inherited = {"PATH": os.environ.get("PATH", ""), "HOME": os.environ.get("HOME", "/")}
        return inherited | {k: str(v) for k, v in env_vars.items() if v is not None} | own

    def _pump(self) -> None:
        for line in self._process.stdout:
            self.lines.append(line.decode(errors="replace"))
        self._process.wait()
        # The end is the answer to an invocation that still waits for one.
        self._api.answers.put(None)
        self._api.settled.set()

    def _exit(self, request: str) -> Answer:
        code = self._process.wait()
        how = f"signal: {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return error(request, "Runtime.ExitError", f"Error: Runtime exited with error: {how}")


def error(request: str, kind: str, message: str) -> Answer:
    """An error that the function could not report itself, in Lambda's words."""
    body = {"errorMessage": f"RequestId: {request} {message}", "errorType": kind}
    return Answer(json.dumps(body).encode(), is_error=True)


def report(request: str, lines: list[str], seconds: float) -> str:
    """The log of an invocation, as Lambda frames it."""
    return (
        f"START RequestId: {request}\n{''.join(lines)}END RequestId: {request}\n"
        f"REPORT RequestId: {request}\tDuration: {seconds * 1000:.2f} ms\n"
    )
