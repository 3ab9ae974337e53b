"""A function of LocalStack that runs `bootstrap.py`, for the time of a check."""

import base64
import io
import json
import os
import re
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

BOOTSTRAP = Path(__file__).with_name("bootstrap.py").read_text()
REPORT = re.compile(
    r"^REPORT RequestId: (?P<request>[0-9a-f-]{36})\tDuration: (?P<duration>\d+\.\d\d) ms\t"
    r"Billed Duration: (?P<billed>\d+) ms\tMemory Size: (?P<size>\d+) MB\tMax Memory Used: (?P<used>\d+) MB\t"
    r"(?:Init Duration: (?P<init>\d+\.\d\d) ms\t)?"
    r"(?:Status: (?P<status>timeout|error)\t)?(?:Error Type: (?P<kind>\S+)\t)?$",
    re.MULTILINE,
)


def client(endpoint: str, service: str = "lambda"):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(proxies={}, retries={"total_max_attempts": 1}, max_pool_connections=100, read_timeout=120),
    )


def bundle(old: str = "", new: str = "") -> bytes:
    """The zip, with one change of the code if there is to be one."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("bootstrap", BOOTSTRAP.replace("PYTHON", sys.executable, 1).replace(old, new, 1))
    return buffer.getvalue()


@dataclass
class Reply:
    """What an invocation came back with."""

    fault: str | None
    body: object
    log: str

    @property
    def report(self) -> re.Match:
        match = REPORT.search(self.log)
        assert match, f"no report in {self.log!r}"
        return match

    def expect(self) -> "Reply":
        assert self.fault is None, self
        return self

    def expect_error(self, kind: str, message: str) -> "Reply":
        assert (self.fault, self.body["errorType"]) == ("Unhandled", kind), self
        assert re.fullmatch(message, self.body["errorMessage"]), self.body
        return self


class Function:
    """Removed at the end of its `with`."""

    def __init__(self, endpoint: str, name: str, memory: int = 128, timeout: int = 30, **environment: str):
        # Several test processes may share a server.
        self.name = f"check-{name}-{os.getpid()}"
        self.client = client(endpoint)
        self.client.create_function(
            FunctionName=self.name,
            Runtime="provided.al2023",
            Handler="bootstrap",
            Role="arn:aws:iam::000000000000:role/any",
            Code={"ZipFile": bundle()},
            MemorySize=memory,
            Timeout=timeout,
            Environment={"Variables": environment},
        )
        self.client.get_waiter("function_active_v2").wait(FunctionName=self.name)

    def __enter__(self) -> "Function":
        return self

    def __exit__(self, *_) -> None:
        self.client.delete_function(FunctionName=self.name)

    def invoke(self, what: str = "answer", **event: object) -> Reply:
        return self.send(json.dumps({"do": what, **event}).encode())

    def send(self, payload: bytes) -> Reply:
        reply = self.client.invoke(FunctionName=self.name, Payload=payload, LogType="Tail")
        log = base64.b64decode(reply["LogResult"]).decode()
        return Reply(reply.get("FunctionError"), json.load(reply["Payload"]), log)

    def refusal(self, payload: bytes, kind: str = "RequestResponse") -> tuple[int, dict]:
        """Status and body of the error that the invocation must end in."""
        try:
            self.client.invoke(FunctionName=self.name, Payload=payload, InvocationType=kind)
        except ClientError as error:
            return error.response["ResponseMetadata"]["HTTPStatusCode"], error.response
        raise AssertionError("the invocation was not refused")
