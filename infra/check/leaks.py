"""Runs the controller with keys that can be told from anything else, and looks for them in all that it wrote.

leaks.py ENDPOINT    STAGGER_BIN names the `stagger` to run; without it nothing is checked
"""

import base64
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from template import INFRA

SAMPLE = INFRA.parent / "examples" / "mpdta.parquet"
KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIAZQ3DTELLTALE0001",
    "AWS_SECRET_ACCESS_KEY": "tell/Tale+Secret0123456789abcdefghijklmn",
    "AWS_SESSION_TOKEN": "FwoGZXIvTellTaleToken0123456789+/=",
}
STUDY = ["--yname", "lemp", "--tname", "year", "--idname", "countyreal", "--gname", "first.treat", "--biters", "50"]


def traces(written: bytes) -> list[str]:
    """The keys that are there, as they are or in base64 at any of its three offsets."""
    found = []
    for name, value in KEYS.items():
        forms = [value.encode()] + [base64.b64encode(b"x" * shift + value.encode())[4:-8] for shift in range(3)]
        if any(form in written for form in forms):
            found.append(name)
    return found


def run(program: str, folder: Path, endpoint: str, *arguments: str) -> tuple[int, bytes]:
    settings = {"AWS_ENDPOINT_URL": endpoint, "AWS_REGION": "us-east-1", "XDG_CACHE_HOME": str(folder / "cache"), "NO_PROXY": "127.0.0.1"}
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "STAGGER_"))}
    told = subprocess.run([program, *arguments], cwd=folder, env=kept | settings | KEYS, capture_output=True, timeout=300)
    return told.returncode, told.stdout + told.stderr


def main() -> None:
    (endpoint,) = sys.argv[1:]
    program = os.environ.get("STAGGER_BIN")
    if not program:
        print("not checked: leaks: STAGGER_BIN names no program")
        return
    example = KEYS["AWS_SECRET_ACCESS_KEY"].encode()
    assert traces(b"x" + example) and traces(base64.b64encode(b"user:" + example + b"\n")) and not traces(b"harmless"), "this test sees nothing"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sample = "s3://stagger/examples/mpdta.parquet"
        told = ["--run-dir", str(folder / "runs"), "--events", str(folder / "events.jsonl"), "--out", str(folder / "result")]
        status, done = run(program, folder, endpoint, "run", sample, *STUDY, *told)
        if status:
            sys.exit(f"check-jobs: the run failed with status {status}: {done.decode(errors='replace')}")
        # Errors tell most: where there is no bucket, and where nobody answers.
        one, absent = run(program, folder, endpoint, "run", "s3://no-such-bucket/panel.parquet", *STUDY)
        two, silent = run(program, folder, "http://127.0.0.1:9", "run", sample, *STUDY, "--backend", "lambda", "--function", "none")
        _, asked = run(program, folder, endpoint, "doctor", "--bucket", "stagger")
        if not (one and two and b"hint:" in absent + silent):
            sys.exit(f"check-jobs: no error was told: {(absent + silent).decode(errors='replace')}")
        files = [path for path in folder.rglob("*") if path.is_file()]
        journal = [path for path in files if "journal" in path.parts]
        if not journal:
            sys.exit("check-jobs: the run kept no journal, so that nothing is proven")
        written = {"a run": done, "an absent bucket": absent, "no network": silent, "doctor": asked}
        written |= {str(path.relative_to(folder)): path.read_bytes() for path in files}
        if leaked := {where: found for where, text in written.items() if (found := traces(text))}:
            sys.exit(f"check-jobs: keys were written: {leaked}")
    print(f"ok: leaks: no key in what was told, nor in {len(files)} files, {len(journal)} of them of the journal")


main()
