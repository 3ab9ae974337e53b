"""Checks the executor through Lambda's API: `check.py ENDPOINT [CHECK …]`, with LocalStack's Python; see `checks/`."""

import importlib
import sys
import time

CHECKS = ["answers", "payloads", "memory", "reports", "concurrency", "stack", "leftovers"]


def main(endpoint: str, *names: str) -> None:
    for name in names or CHECKS:
        since = time.monotonic()
        importlib.import_module(f"checks.{name}").check(endpoint)
        print(f"{name}: {time.monotonic() - since:.1f} s")
    print("the process executor works")


main(*sys.argv[1:])
