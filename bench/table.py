#!/usr/bin/env python3
"""Measures Stagger and its peers, and writes docs/benchmarks.md and the README's rows.

    python3 bench/table.py                       # everything, in about 40 minutes: 10 GB of memory, 12 GB of disk
    python3 bench/table.py --quick               # Stagger's rows and the bare scan alone, in under 8 minutes
    python3 bench/table.py --sections police     # one section, with its peers
    python3 bench/table.py --quick --units 20000 # a trial of the script itself, written to bench/out/trial.md
    python3 bench/table.py --check               # measures nothing: are the page and the README those of the figures?

Builds the release binary, makes the panels in bench/out/ and the peers' environments in bench/.venv and bench/.venv-spark,
and stores every figure in bench/results.json as soon as it is there. Rows that are not measured keep theirs. The peers whose
figures are oldest come first, until --minutes are over. Needs Linux, cargo, and Python 3.12 or newer for the peers.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import conditions
import goals
import page
import record
from sections import sections
from timing import Timing
from work import BENCH, OUT, REFERENCE_UNITS, ROOT, Setting

PAGE, README, RESULTS = ROOT / "docs" / "benchmarks.md", ROOT / "README.md", BENCH / "results.json"


def main():
    a = arguments()
    if a.check:
        sys.exit(check())
    # A request to end raises, so that what was started ends too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    setting = build(a)
    made = sections(setting)
    chosen = [made[name] for name in a.sections or made if a.sections or not (a.quick and made[name].long)]
    OUT.mkdir(exist_ok=True)
    store = record.Record(OUT / "trial.json" if setting.trial else RESULTS)
    for section in chosen:
        make_panels(a, setting, [peer.panel for peer in section.peers] if a.peers_only else section.panels)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: a.cores])
    timing = Timing(setting, a, store)
    print(f"{timing.here['machine']}; load {conditions.load()}")
    for section in chosen if not a.peers_only else ():
        timing.time_ours(section)
    if not a.quick:
        time_peers(a, timing, chosen)
    write(made, store, setting.trial)
    print("\n" + "\n".join(goals.lines(store)))


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--quick", action="store_true", help="Stagger's rows and the bare scan alone, without the long sections")
    p.add_argument("--peers-only", action="store_true", help="the peers alone")
    p.add_argument("--check", action="store_true", help="compare the page and the README with the stored figures")
    names = list(sections(Setting()))
    p.add_argument("--sections", nargs="+", choices=names, metavar="NAME", help=f"of {', '.join(names)} [all]")
    p.add_argument("--peers", nargs="+", metavar="PEER", help="only these peers")
    p.add_argument("--minutes", type=float, default=25, help="minutes after which no peer is started [25]")
    p.add_argument("--peer-timeout", type=int, default=300, help="seconds given to a peer [300]")
    p.add_argument("--peer-memory", type=float, default=10, help="gigabytes given to a peer [10]")
    p.add_argument("--runs", type=int, default=5, help="runs of each of our commands, at most [5]")
    p.add_argument("--row-seconds", type=float, default=10, help="seconds given to the runs of a row, after its first [10]")
    p.add_argument("--units", type=int, default=REFERENCE_UNITS, help="units of the reference panel; fewer are a trial")
    p.add_argument("--cores", type=int, default=2, help="cores given to every process [2]")
    p.add_argument("--python", default=default_python(), help="interpreter for the peers' environments [%(default)s]")
    return p.parse_args()


def default_python():
    """This interpreter, or a newer one if it is too old for the peers: on the path, of pyenv, or in /usr/local."""
    if sys.version_info >= (3, 12):
        return sys.executable
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = ["python3.13", "python3.12", *root.glob("versions/3.1[23].*/bin/python"), *Path("/usr/local/bin").glob("python3.1[23]")]
    # A shim of pyenv is on the path for versions that it does not run.
    return next((str(python) for python in found if runs(python)), sys.executable)


def runs(python):
    try:
        return subprocess.run([python, "-c", "pass"], capture_output=True).returncode == 0
    except OSError:
        return False


def build(a):
    """The release binary and the yardsticks, where cargo puts them."""
    # One command: apart, the two would want their dependencies with different features, and build them twice.
    command = ["cargo", "build", "--release", "-p", "stagger", "-p", "stagger-tests", "--bins"]
    subprocess.run([*command, "--example", "bare_scan", "--example", "bare_rewrite"], cwd=ROOT, check=True)
    metadata = conditions.output("cargo", "metadata", "--format-version=1", "--no-deps")
    release = Path(json.loads(metadata)["target_directory"]) / "release"
    return Setting(stagger=release / "stagger", yardsticks=release / "examples", cores=a.cores, units=a.units)


def make_panels(a, setting, panels):
    """Writes the panels that are not there yet, and the reference panel, which everything is compared with."""
    for panel in [setting.reference(), *panels]:
        python = conditions.install(a.python, "shared") if panel.script and not panel.path.exists() else None
        panel.make(setting.stagger, python)


def time_peers(a, timing, chosen):
    """The peers of the sections, those with the oldest figures first, until the minutes are over."""
    end = time.monotonic() + 60 * a.minutes
    for name, line in conditions.absent(a.python):
        timing.store.put("absent", name, {"date": conditions.today(), "failure": line})
    there = [(section, peer) for section in chosen for peer in section.peers if conditions.can_run(peer.peer)]
    queue = [(section, peer) for section, peer in there if not a.peers or peer.peer in a.peers]
    stored = [timing.store.get(section.name, peer.name) for section, peer in queue]
    ages = [(row["date"] if row else "", number) for number, row in enumerate(stored)]
    for _, number in sorted(ages):
        if time.monotonic() > end:
            print(f"{a.minutes:.0f} minutes are over: the other peers keep their figures")
            break
        timing.time_peer(*queue[number])


def write(made, store, trial):
    text = page.page(made, store)
    if trial:
        (OUT / "trial.md").write_text(text)
        print(f"\nwritten to {OUT / 'trial.md'}")
        return
    PAGE.write_text(text)
    README.write_text(page.with_rows(README.read_text(), page.readme_lines(made, store)))
    print(f"\nwritten to {PAGE} and {README}")


def check():
    """Compares the page and the README with the stored figures; returns the exit status."""
    made, store = sections(Setting()), record.Record(RESULTS)
    readme = README.read_text()
    wrong = [
        path.relative_to(ROOT)
        for path, found, wanted in (
            (PAGE, PAGE.read_text(), page.page(made, store)),
            (README, readme, page.with_rows(readme, page.readme_lines(made, store))),
        )
        if found != wanted
    ]
    for path in wrong:
        print(f"error: {path} does not hold the figures of bench/results.json\nhint: python3 bench/table.py writes it", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    main()
