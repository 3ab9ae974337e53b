"""Many environments of one function, one invocation at a time in each; no more of them than are reserved."""

import json
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from botocore.exceptions import ClientError

from checks.function import Function

MANY = 60
RESERVED = 3
CALLERS = 12


def check(endpoint: str) -> None:
    with Function(endpoint, "many", timeout=60) as function:
        many(function)
    with Function(endpoint, "reserved", timeout=60) as function:
        function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=RESERVED)
        reserved(function)


@contextmanager
def held(function: Function, callers: int):
    """Callers whose invocations go on until the folder has a file `go`, with that folder."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(callers) as pool:
        try:
            yield Path(folder), [pool.submit(function.invoke, "hold", folder=folder) for _ in range(callers)]
        finally:
            (Path(folder) / "go").touch()


def until(what: str, condition) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def many(function: Function) -> None:
    with held(function, MANY) as (folder, calls):
        until(f"{MANY} invocations at once", lambda: len(list(folder.iterdir())) == MANY)
        (folder / "go").touch()
        first = [call.result().expect().body for call in calls]
    assert len({answer["pid"] for answer in first}) == MANY, "one invocation at a time in an environment"
    with ThreadPoolExecutor(MANY) as pool:
        later = list(pool.map(lambda _: function.invoke().expect(), range(4 * MANY)))
    assert {reply.body["pid"] for reply in later} <= {answer["pid"] for answer in first}, "warm ones are used again"


def reserved(function: Function) -> None:
    with held(function, CALLERS) as (folder, calls):
        until("the others are refused", lambda: sum(call.done() for call in calls) == CALLERS - RESERVED)
        until("those with a place run", lambda: len(list(folder.iterdir())) == RESERVED)
        refused = [call.exception() for call in calls if call.done()]
        for error in refused:
            assert isinstance(error, ClientError), error
            found = (error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Code"])
            assert found == (429, "TooManyRequestsException"), error.response
            assert error.response["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded", error.response
        (folder / "go").touch()
    assert sum(call.exception() is None for call in calls) == RESERVED
    function.invoke().expect()
    function.client.put_function_concurrency(FunctionName=function.name, ReservedConcurrentExecutions=0)
    assert function.refusal(json.dumps({"do": "answer"}).encode())[0] == 429
