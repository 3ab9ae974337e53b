"""The memory of function processes: what they used at most, and the end of those that use more than is configured."""

import os
import signal
import threading
import time

MIB = 1 << 20
INTERVAL = 0.02
# Looking for children reads the whole process table, so it is done less often.
CHILDREN_EVERY = 10


class Memory:
    """What one process group uses; its leader has the group's id."""

    def __init__(self, pid: int, megabytes: int):
        self.limit = megabytes * MIB
        self.peak = 0
        self.exceeded = False
        self._pid = pid
        self._children: list[int] = []

    def sample(self) -> None:
        """Ends the group if it is above its limit, or was since the last sample: the kernel keeps the leader's peak."""
        if self.exceeded:
            return
        children = sum(_resident(pid) for pid in self._children)
        self.peak = max(self.peak, _highest(self._pid), _resident(self._pid) + children if children else 0)
        if self.peak > self.limit:
            self.exceeded = True
            self.peak = self.limit
            _kill(self._pid)

    def megabytes(self) -> int:
        return -(-self.peak // MIB)

    def look_for_children(self, groups: dict[int, list[int]]) -> None:
        self._children = [pid for pid in groups.get(self._pid, []) if pid != self._pid]


class Watch:
    """Samples all processes that work, from one thread: a thread for each would cost more than it measures."""

    def __init__(self):
        self._watched: set[Memory] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def add(self, memory: Memory) -> None:
        with self._changed:
            self._watched.add(memory)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="function-memory", daemon=True)
                self._thread.start()
            self._changed.notify()

    def remove(self, memory: Memory) -> None:
        with self._changed:
            self._watched.discard(memory)

    def _run(self) -> None:
        turn = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._watched)
                watched = list(self._watched)
            groups = _groups() if turn % CHILDREN_EVERY == 0 else None
            turn += 1
            for memory in watched:
                if groups is not None:
                    memory.look_for_children(groups)
                memory.sample()
            time.sleep(INTERVAL)


WATCH = Watch()


def _kill(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _highest(pid: int) -> int:
    """The peak of resident memory, in bytes; 0 if the process is gone."""
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _resident(pid: int) -> int:
    fields = _read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if fields else 0


def _groups() -> dict[int, list[int]]:
    """The processes of each process group."""
    groups: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            # The command may hold spaces and parentheses; what follows its last one does not.
            fields = _read(f"/proc/{name}/stat").rpartition(")")[2].split()
            if fields:
                groups.setdefault(int(fields[2]), []).append(int(name))
    return groups


def _read(path: str) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError):
        return ""
