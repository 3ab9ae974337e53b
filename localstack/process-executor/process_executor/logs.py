"""What a function prints, and the lines with which Lambda frames it."""

import array
import fcntl
import math
import os
import select
import termios
import threading
from dataclasses import dataclass
from typing import BinaryIO

# A function that prints without end shall not fill the server's memory; Lambda's tail has 4 KB.
KEPT = 1 << 20


class LogPipe:
    """The output of a process: read all the time, so that it never blocks on a full pipe."""

    def __init__(self, pipe: BinaryIO):
        self._pipe = pipe
        self._lock = threading.Lock()
        self._kept = bytearray()
        threading.Thread(target=self._pump, daemon=True).start()

    def take(self) -> str:
        """What was printed since the last call, up to this moment: what the reading thread has not got yet too."""
        with self._lock:
            self._read_waiting()
            text = self._kept.decode(errors="replace")
            self._kept.clear()
        return text if not text or text.endswith("\n") else text + "\n"

    def _pump(self) -> None:
        # Not select.select, which ends at descriptor 1024.
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        open_end = True
        while open_end:
            events = poll.poll()
            with self._lock:
                # All writers gone, and nothing left to read.
                open_end = self._read_waiting() or not any(event & select.POLLHUP for _, event in events)
        with self._lock:
            self._pipe.close()

    def _read_waiting(self) -> bool:
        found = False
        while not self._pipe.closed and (waiting := _waiting(self._pipe)):
            self._kept += os.read(self._pipe.fileno(), waiting)
            found = True
        del self._kept[:-KEPT]
        return found


def _waiting(pipe: BinaryIO) -> int:
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


@dataclass(frozen=True)
class Usage:
    """What Lambda reports of an invocation. `init` is None unless the process was new."""

    seconds: float
    init: float | None
    memory_size: int
    memory_used: int

    def fields(self) -> list[str]:
        billed = math.ceil(1000 * (self.seconds + (self.init or 0)))
        fields = [
            f"Duration: {1000 * self.seconds:.2f} ms",
            f"Billed Duration: {billed} ms",
            f"Memory Size: {self.memory_size} MB",
            f"Max Memory Used: {self.memory_used} MB",
        ]
        return fields if self.init is None else [*fields, f"Init Duration: {1000 * self.init:.2f} ms"]


def frame(request: str, version: str, printed: str, usage: Usage, end: list[str], last: str) -> str:
    """The log of an invocation; `end` are the report's fields on how it ended, `last` is a line after it."""
    fields = [f"REPORT RequestId: {request}", *usage.fields(), *end]
    return (
        f"START RequestId: {request} Version: {version}\n{printed}END RequestId: {request}\n"
        + "\t".join(fields)
        + f"\t\n{last}"
    )
