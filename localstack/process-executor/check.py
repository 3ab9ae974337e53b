"""Checks the executor through Lambda's API with a bootstrap in Python: `check.py ENDPOINT`, with LocalStack's Python."""

import io
import json
import sys
import zipfile

import boto3
from botocore.config import Config

BOOTSTRAP = """#!PYTHON
import json, os, sys, time, urllib.request
API = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
def post(id, kind, body):
    urllib.request.urlopen(urllib.request.Request(f"{API}/{id}/{kind}", data=json.dumps(body).encode()))
while True:
    with urllib.request.urlopen(f"{API}/next") as reply:
        id, event = reply.headers["Lambda-Runtime-Aws-Request-Id"], json.load(reply)
    print("event", event, flush=True)
    match event["do"]:
        case "answer": post(id, "response", {"pid": os.getpid(), "word": os.environ["WORD"]})
        case "fail": post(id, "error", {"errorType": "Bad", "errorMessage": "bad input"})
        case "exit": sys.exit(3)
        case "sleep": time.sleep(60)
"""


def bundle() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("bootstrap", BOOTSTRAP.replace("PYTHON", sys.executable, 1))
    return buffer.getvalue()


class Function:
    def __init__(self, endpoint: str, name: str):
        self.name = name
        self.client = boto3.client(
            "lambda",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(proxies={}, retries={"total_max_attempts": 1}),
        )
        self.client.create_function(
            FunctionName=name,
            Runtime="provided.al2023",
            Handler="bootstrap",
            Role="arn:aws:iam::000000000000:role/any",
            Code={"ZipFile": bundle()},
            Timeout=1,
            Environment={"Variables": {"WORD": "kept"}},
        )
        self.client.get_waiter("function_active_v2").wait(FunctionName=name)

    def invoke(self, what: str) -> tuple[str | None, dict]:
        reply = self.client.invoke(FunctionName=self.name, Payload=json.dumps({"do": what}))
        assert reply["StatusCode"] == 200, reply
        return reply.get("FunctionError"), json.load(reply["Payload"])

    def remove(self) -> None:
        self.client.delete_function(FunctionName=self.name)


def main(endpoint: str) -> None:
    function = Function(endpoint, "executor-check")
    try:
        fault, first = function.invoke("answer")
        assert fault is None and first["word"] == "kept", (fault, first)
        assert function.invoke("answer") == (None, first), "the process is kept between invocations"
        assert function.invoke("fail") == ("Unhandled", {"errorType": "Bad", "errorMessage": "bad input"})
        for what, kind in [("exit", "Runtime.ExitError"), ("sleep", "Sandbox.Timedout")]:
            fault, body = function.invoke(what)
            assert (fault, body["errorType"]) == ("Unhandled", kind), (fault, body)
            fault, again = function.invoke("answer")
            assert fault is None and again["pid"] != first["pid"], (what, fault, again)
    finally:
        function.remove()
    print("the process executor works")


main(sys.argv[1])
