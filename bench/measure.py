"""Times whole processes: wall clock, CPU seconds and peak memory, within limits. Standard library only."""

import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

SAMPLE_SECONDS = 0.02
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Limits:
    """What a process and its descendants may take before they are stopped."""

    seconds: float | None = None
    megabytes: float | None = None


@dataclass
class Run:
    """One process, from its start to its end."""

    wall: float
    cpu: float
    peak_mb: float
    status: int
    stdout: str
    stderr: str
    # The limit at which it was stopped, in words, or none.
    stopped: str | None = None

    @property
    def failed(self):
        return self.stopped is not None or self.status != 0

    def message(self):
        """The line of stderr that names the error, else its last line, else the signal or the exit status."""
        lines = [line.strip() for line in self.stderr.splitlines() if line.strip()]
        named = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception", "error"))]
        if named or lines:
            return (named or lines)[-1][:400]
        return f"signal {-self.status}" if self.status < 0 else f"exit {self.status}"


def run(argv, limits=None, env=None):
    """Runs a command to its end, or stops it and all that it started at a limit."""
    argv = [str(word) for word in argv]
    start = time.perf_counter()
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, start_new_session=True
    )
    output = {}
    readers = [
        threading.Thread(target=lambda name=name: output.update({name: getattr(process, name).read()}), daemon=True)
        for name in ("stdout", "stderr")
    ]
    family = Family(process.pid, start, limits or Limits())
    for thread in (*readers, family):
        thread.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        # An interrupt reaches this process alone, as the other has a session of its own.
        family.kill()
        raise
    wall = time.perf_counter() - start
    family.end()
    for thread in readers:
        # Whatever still holds its end of a pipe is not waited for.
        thread.join(timeout=5)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Run(
        wall=wall,
        cpu=max(usage.ru_utime + usage.ru_stime, family.cpu),
        peak_mb=max(usage.ru_maxrss, family.peak_kb) / 1024,
        status=process.returncode,
        stdout=output.get("stdout", b"").decode(errors="replace"),
        stderr=output.get("stderr", b"").decode(errors="replace"),
        stopped=family.stopped,
    )


class Family(threading.Thread):
    """Samples the memory and CPU time of a process and its descendants, and stops them at a limit. On Linux."""

    def __init__(self, pid, start, limits):
        super().__init__(daemon=True)
        self.pid, self.start_time, self.limits = pid, start, limits
        # Every member with its time of start, as another process may get its number later.
        self.done, self.known = threading.Event(), {pid: started(pid)}
        self.peak_kb, self.cpu, self.stopped = 0, 0.0, None

    def run(self):
        while not self.done.wait(SAMPLE_SECONDS):
            members = descendants(self.pid)
            self.known |= {pid: started(pid) for pid in members if pid not in self.known}
            resident = sum(map(resident_kb, members))
            self.peak_kb = max(self.peak_kb, resident)
            if len(members) > 1:
                self.cpu = max(self.cpu, sum(map(cpu_seconds, members)))
            self.stopped = self.passed(resident)
            if self.stopped:
                self.kill()
                return

    def passed(self, resident_kb):
        """The limit that was passed, in words."""
        seconds, megabytes = self.limits.seconds, self.limits.megabytes
        if seconds and time.perf_counter() - self.start_time > seconds:
            return f"stopped unfinished after {seconds:.0f} s"
        if megabytes and resident_kb / 1024 > megabytes:
            return f"stopped at the memory limit of {megabytes / 1000:g} GB"
        return None

    def end(self):
        """Stops whatever the process has left behind."""
        self.done.set()
        self.join()
        self.kill(but=self.pid)

    def kill(self, but=None):
        for pid, start in self.known.items():
            if pid != but and start is not None and started(pid) == start:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass


def descendants(pid):
    """The process and all that it started."""
    found, queue = [], [pid]
    while queue:
        found.append(queue.pop())
        for thread in threads(found[-1]):
            queue += [int(child) for child in read(thread / "children").split()]
    return found


def threads(pid):
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return []


def resident_kb(pid):
    for line in read(Path(f"/proc/{pid}/status")).splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def cpu_seconds(pid):
    fields = stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS if fields else 0.0


def started(pid):
    """The time at which a process started, in ticks; none if it is gone."""
    fields = stat(pid)
    return fields[19] if fields else None


def stat(pid):
    """The fields of /proc/PID/stat from the third on."""
    return read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()


def read(path):
    try:
        return path.read_text()
    except OSError:
        return ""
