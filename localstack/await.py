"""Waits until LocalStack answers, then makes the bucket, with a sample: `await.py URL BUCKET PID SECONDS SAMPLE`."""

import os
import sys
import time
import urllib.error
import urllib.request

# The machine's proxy settings are not for a server on the same machine.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def await_health(url: str, pid: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            DIRECT.open(f"{url}/_localstack/health", timeout=5).close()
            return
        except OSError as error:
            if not runs(pid):
                sys.exit("localstack: the server ended while it started")
            if time.monotonic() > deadline:
                sys.exit(f"localstack: no answer within {seconds:.0f} s: {error}")
        time.sleep(0.1)


def put(url: str, body: bytes = b"") -> None:
    """The first request of S3 loads the service: it takes seconds."""
    DIRECT.open(urllib.request.Request(url, data=body, method="PUT"), timeout=60).close()


def make_bucket(url: str) -> None:
    """It may exist."""
    try:
        put(url)
    except urllib.error.HTTPError as error:
        if error.code != 409:
            raise


def main() -> None:
    url, bucket, pid, seconds, sample = sys.argv[1:]
    await_health(url, int(pid), float(seconds))
    try:
        make_bucket(f"{url}/{bucket}")
        put(f"{url}/{bucket}/examples/{os.path.basename(sample)}", open(sample, "rb").read())
    except OSError as error:
        sys.exit(f"localstack: can't make bucket {bucket}: {error}")


main()
