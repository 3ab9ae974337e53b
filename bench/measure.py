"""Times whole processes: wall clock, CPU seconds and peak memory. Standard library only."""

import os
import signal
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

SAMPLE_SECONDS = 0.02


@dataclass
class Run:
    """One process, from its start to its end."""

    wall: float
    cpu: float
    peak_mb: float
    status: int
    stdout: str
    error: str


@dataclass
class Series:
    """Several runs of one command; figures are medians."""

    label: str
    runs: list = field(default_factory=list)

    @property
    def failed(self):
        return next((run for run in self.runs if run.status != 0), None)

    def median(self, name):
        return statistics.median(getattr(run, name) for run in self.runs)

    @property
    def wall(self):
        return self.median("wall")

    @property
    def cpu(self):
        return self.median("cpu")

    @property
    def peak_mb(self):
        return max(run.peak_mb for run in self.runs)

    @property
    def spread(self):
        walls = [run.wall for run in self.runs]
        return min(walls), max(walls)


def run(argv, timeout=None):
    """Runs a command to its end. Its peak memory is the kernel's figure, or that of the whole tree where it has children."""
    start = time.perf_counter()
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    output = {}
    readers = [
        threading.Thread(target=lambda name=name: output.update({name: getattr(process, name).read()}))
        for name in ("stdout", "stderr")
    ]
    done = threading.Event()
    tree = Tree(process.pid, done)
    killer = threading.Timer(timeout, lambda: os.kill(process.pid, signal.SIGKILL)) if timeout else None
    for thread in (*readers, tree, *([killer] if killer else [])):
        thread.start()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    done.set()
    if killer:
        killer.cancel()
    for thread in (*readers, tree):
        thread.join()
    process.returncode = os.waitstatus_to_exitcode(status)
    return Run(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        peak_mb=max(usage.ru_maxrss / 1024, tree.peak_kb / 1024),
        status=process.returncode,
        stdout=output["stdout"].decode(errors="replace"),
        error=output["stderr"].decode(errors="replace").strip()[-400:],
    )


def repeat(label, argv, runs, timeout=None, announce=print):
    """Runs a command several times; stops at the first failure."""
    series = Series(label)
    for _ in range(runs):
        series.runs.append(run(argv, timeout))
        last = series.runs[-1]
        announce(f"  {label}: {last.wall:.3f} s, {last.cpu:.2f} CPU s, {last.peak_mb:.0f} MB")
        if last.status != 0:
            announce(f"    exit {last.status}: {last.error}")
            break
    return series


class Tree(threading.Thread):
    """Samples the resident memory of a process and its descendants, on Linux."""

    def __init__(self, pid, done):
        super().__init__(daemon=True)
        self.pid, self.done, self.peak_kb = pid, done, 0

    def run(self):
        while not self.done.wait(SAMPLE_SECONDS):
            family = descendants(self.pid)
            if len(family) > 1:
                self.peak_kb = max(self.peak_kb, sum(map(resident_kb, family)))


def descendants(pid):
    """The process and all that it started."""
    found, queue = [], [pid]
    while queue:
        found.append(queue.pop())
        for path in Path(f"/proc/{found[-1]}/task").glob("*/children"):
            queue += [int(child) for child in read(path).split()]
    return found


def resident_kb(pid):
    for line in read(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def read(path):
    try:
        return path.read_text()
    except OSError:
        return ""
