"""One execution environment of a Lambda function: a process that runs the zip's `bootstrap`."""

import queue
import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from localstack import config
from localstack.services.lambda_.invocation.lambda_models import InvocationResult
from localstack.services.lambda_.invocation.runtime_executor import RuntimeExecutor

from process_executor.logs import Usage, frame
from process_executor.process import FunctionProcess, InitError, error
from process_executor.runtime_api import Answer


@dataclass(frozen=True)
class Outcome:
    """An answer, and what the log says of how it came about."""

    answer: Answer
    fields: list[str] = field(default_factory=list)
    last: str = ""


class ProcessExecutor(RuntimeExecutor):
    """Keeps its process between invocations, as Lambda does, and starts another after one that ended or timed out."""

    def __init__(self, id, function_version):
        super().__init__(id, function_version)
        self.timeout = function_version.config.timeout
        self.memory_size = function_version.config.memory_size
        self._invoking = threading.Lock()
        self._process: FunctionProcess | None = None
        self._init_error: InitError | None = None
        self._is_new = False

    def start(self, env_vars):
        self._env_vars = env_vars
        try:
            self._spawn()
        except InitError as failure:
            # The first invocation gets it, with the log, as on Lambda; raised here it would come without one.
            self._init_error = failure

    def stop(self):
        process, self._process = self._process, None
        if process:
            process.kill()

    def invoke(self, payload):
        with self._invoking:
            request = payload["invoke-id"]
            try:
                process = self._ready_process()
            except InitError as failure:
                return self._result(request, failure.process, _failed_init(request, failure), 0.0, True)
            is_new, self._is_new = self._is_new, False
            if not is_new:
                # What it printed after its last answer; it belongs to no invocation.
                process.log.take()
            since = time.monotonic()
            outcome = self._outcome(request, process, payload)
            return self._result(request, process, outcome, time.monotonic() - since, is_new)

    def get_logs(self):
        return self._process.log.take() if self._process else ""

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

    def _ready_process(self) -> FunctionProcess:
        failure, self._init_error = self._init_error, None
        if failure:
            raise failure
        process = self._process
        if process is None or not process.is_running():
            self.stop()
            process = self._spawn()
        return process

    def _spawn(self) -> FunctionProcess:
        folder = str(self.function_version.config.code.get_unzipped_code_location())
        process = FunctionProcess(folder, self._env_vars, self.memory_size)
        self._process, self._is_new = process, True
        return process

    def _outcome(self, request: str, process: FunctionProcess, payload: dict[str, str]) -> Outcome:
        try:
            answer = process.invoke(payload, self.timeout)
        except queue.Empty:
            self.stop()
            return _timed_out(request, self.timeout)
        if answer is not None:
            return Outcome(answer)
        self.stop()
        return _ended(request, process)

    def _result(self, request, process, outcome, seconds, is_new) -> InvocationResult:
        init = process.init_seconds if is_new else None
        usage = Usage(seconds, init, self.memory_size, min(process.memory.megabytes(), self.memory_size))
        version = self.function_version.id.qualifier
        logs = frame(request, version, process.log.take(), usage, outcome.fields, outcome.last)
        return InvocationResult(request, outcome.answer.body, is_error=outcome.answer.is_error, logs=logs)


def _timed_out(request: str, timeout: float) -> Outcome:
    message = f"Task timed out after {timeout:.2f} seconds"
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    answer = error(request, "Sandbox.Timedout", f"Error: {message}")
    return Outcome(answer, ["Status: timeout"], f"{now} {request} {message}\n\n")


def _ended(request: str, process: FunctionProcess) -> Outcome:
    kind, how = "Runtime.ExitError", process.end()
    fields = ["Status: error", f"Error Type: {kind}"]
    return Outcome(error(request, kind, how), fields, f"RequestId: {request} {how}\n{kind}\n")


def _failed_init(request: str, failure: InitError) -> Outcome:
    if failure.body is None:
        return _ended(request, failure.process)
    return Outcome(Answer(failure.body, is_error=True), ["Status: error"])
