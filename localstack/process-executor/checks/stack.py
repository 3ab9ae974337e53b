"""`localstack/deploy.py` deploys infra/, changes what is deployed, leaves the same alone, and removes it."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from checks.function import bundle, client

DEPLOY = Path(__file__).parents[2] / "deploy.py"
SMALL = ["--memory", "128,256,512", "--timeout", "5", "--concurrency", "2"]


def check(endpoint: str) -> None:
    stack = f"check-{os.getpid()}"
    with tempfile.TemporaryDirectory() as folder:
        try:
            deploys(endpoint, stack, Path(folder))
        finally:
            run(endpoint, "--stack", stack, "--remove")
    names = [each["FunctionName"] for each in client(endpoint).list_functions()["Functions"]]
    assert not any(name.startswith(f"{stack}-") for name in names), names


def deploys(endpoint: str, stack: str, folder: Path) -> None:
    old, new = folder / "old.zip", folder / "new.zip"
    old.write_bytes(bundle())
    new.write_bytes(bundle('"word": os', '"is_new": 1, "word": os'))
    first = run(endpoint, "--stack", stack, "--zip", old)
    names = [f"{stack}-{size}" for size in ("small", "medium", "large")]
    assert first["functions"] == names, first
    assert state(endpoint, names) == [(1769, 300, None), (3538, 300, None), (10240, 300, None)]
    client(endpoint, "s3").put_object(Bucket=first["bucket"], Key="runs/kept", Body=b"kept")
    for zip_file, is_new in [(old, False), (old, False), (new, True)]:
        assert run(endpoint, "--stack", stack, "--zip", zip_file, *SMALL) == first
        assert state(endpoint, names) == [(128, 5, 2), (256, 5, 2), (512, 5, 2)]
        reply = client(endpoint).invoke(FunctionName=names[2], Payload=b'{"do": "answer"}')
        assert ("is_new" in json.load(reply["Payload"])) == is_new
    kept = client(endpoint, "s3").get_object(Bucket=first["bucket"], Key="runs/kept")
    assert kept["Body"].read() == b"kept", "the bucket outlives changes"


def run(endpoint: str, *arguments: object) -> dict | None:
    command = [sys.executable, DEPLOY, "--endpoint", endpoint, *map(str, arguments)]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return json.loads(printed) if printed else None


def state(endpoint: str, names: list[str]) -> list[tuple[int, int, int | None]]:
    found = [client(endpoint).get_function(FunctionName=name) for name in names]
    return [
        (
            each["Configuration"]["MemorySize"],
            each["Configuration"]["Timeout"],
            each.get("Concurrency", {}).get("ReservedConcurrentExecutions"),
        )
        for each in found
    ]
