"""No process outlives its function, nor `localstack/down`."""

import os
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import Future
from pathlib import Path

from checks.concurrency import held, until
from checks.function import Function

LOCALSTACK = Path(__file__).parents[2]


def check(endpoint: str) -> None:
    with Function(endpoint, "removed") as function:
        pid = function.invoke().expect().body["pid"]
        assert runs(pid)
    until("a removed function's process ends", lambda: not runs(pid))
    with tempfile.TemporaryDirectory() as folder:
        after_down(Path(folder) / "state")


def after_down(state: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = os.environ | {"STAGGER_LOCALSTACK_PORT": port, "STAGGER_LOCALSTACK_DIR": str(state)}
    # A server of the same Python: nothing to install, and nothing to deploy.
    subprocess.run([LOCALSTACK / "up"], env=environment | {"STAGGER_BOOTSTRAP_ZIP": ""}, check=True, stdout=sys.stderr)
    function = Function(f"http://127.0.0.1:{port}", "down")
    idle = function.invoke().expect().body["pid"]
    try:
        with held(function, 4) as (folder, calls):
            until("4 invocations", lambda: len(list(folder.iterdir())) == 4)
            pids = {int(path.name.split("-")[0]) for path in folder.iterdir()}
            assert idle in pids and all(map(runs, pids)), (idle, pids)
            subprocess.run([LOCALSTACK / "down"], env=environment, check=True)
            assert not any(map(runs, pids)), "no process outlives `down`"
            assert not any(answered(call) for call in calls), "they were cut off"
    finally:
        subprocess.run([LOCALSTACK / "down"], env=environment, check=True)
    assert not state.exists()


def answered(call: Future) -> bool:
    return call.exception() is None and call.result().fault is None


def runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
