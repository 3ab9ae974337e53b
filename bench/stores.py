"""Panels larger than memory: `prepare` and `run` from a store, beside plainly rewriting the same files and the run on them.

    python3 bench/stores.py                       # 100 million rows: 5 GB of simulated files, 12 GB of disk for a while
    python3 bench/stores.py --units 1000000       # a trial

Builds what it needs, simulates one file a period (no file holds two rows of a unit) into bench/out/, checks that every
result has the same bytes, and prints a table. Run it on a quiet machine.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

from measure import repeat

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "bench" / "out" / "stores"
COLUMNS = "--yname y --tname time --idname id --gname group".split()
FORMULA = ["--xformla", "~ x1 + x2 + x3 + x4"]


def build():
    """The release binary and the yardstick, where cargo puts them."""
    command = ["cargo", "build", "--release", "-p", "stagger", "-p", "stagger-tests", "--example", "bare_rewrite", "--bins"]
    subprocess.run(command, cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    found = subprocess.run(["cargo", "metadata", "--format-version=1", "--no-deps"], cwd=ROOT, capture_output=True, text=True)
    if found.returncode == 0:
        import json

        target = Path(json.loads(found.stdout)["target_directory"])
    return target / "release" / "stagger", target / "release" / "examples" / "bare_rewrite"


def simulate(stagger, units):
    panel = OUT / f"panel-{units}"
    if not panel.exists():
        OUT.mkdir(parents=True, exist_ok=True)
        shape = f"--units {units} --periods 10 --cohorts 8 --covariates 4 --never-share 0.1 --seed 1".split()
        subprocess.run([stagger, "simulate", *shape, *"--layout by-period --files 10 --out".split(), panel], check=True)
    return panel


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=10_000_000)
    parser.add_argument("--memory-limit", default="1GB")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    stagger, rewrite = build()
    panel = simulate(stagger, args.units)
    files, store = sorted(panel.glob("*.parquet")), OUT / "store"
    limit = ["--memory-limit", args.memory_limit]
    rows = []

    def measure(label, argv, runs=args.runs, before=lambda: None):
        before()
        series = repeat(label, [str(word) for word in argv], runs)
        if series.failed:
            sys.exit(f"{label}: {series.failed.error}")
        rows.append((label, series.wall, series.peak_mb, args.units * 10 / series.wall / 1e6))
        return {run.stdout for run in series.runs}

    for compression in ("zstd", "none"):
        measure(f"rewrite, {compression}", [rewrite, OUT / "rewritten", 2, compression, *files])
    shutil.rmtree(OUT / "rewritten")
    measure("prepare", [stagger, "prepare", panel, *COLUMNS, *FORMULA, "--out", store, *limit], 1,
            lambda: shutil.rmtree(store, ignore_errors=True))
    for label, draws in (("analytic", "false"), ("1000 draws", "true")):
        work = [*FORMULA, "--bstrap", draws, "--json"]
        results = measure(f"run on the files, {label}", [stagger, "run", panel, *COLUMNS, *work], 1)
        results |= measure(f"run from the store, {label}", [stagger, "run", store, *work, *limit])
        results |= measure(f"run from the store in memory, {label}", [stagger, "run", store, *work])
        if len(results) != 1:
            sys.exit(f"{label}: the results differ")
    print("\n| work | seconds | peak MB | million rows/s |\n|---|---|---|---|")
    for label, wall, peak, rate in rows:
        print(f"| {label} | {wall:.2f} | {peak:.0f} | {rate:.1f} |")


if __name__ == "__main__":
    main()
