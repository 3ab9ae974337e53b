"""The log of an invocation: what it printed, its report, its last 4 KB."""

import math

from checks.function import Function, Reply


def check(endpoint: str) -> None:
    with Function(endpoint, "reports", memory=1769) as function:
        cold, warm = function.invoke().expect(), function.invoke("sleep", seconds=0.1).expect()
        assert cold.log.startswith("START RequestId: ") and "Version: $LATEST\nevent answer\nEND " in cold.log, cold.log
        assert cold.report["init"] and not warm.report["init"], (cold.log, warm.log)
        assert "event answer" not in warm.log and "event sleep\n" in warm.log, warm.log
        assert 100 <= float(warm.report["duration"]) < 1000, warm.log
        for reply in (cold, warm):
            billed(reply)
        long = function.invoke("print", bytes=100_000).expect()
        assert len(long.log) == 4096 and long.report, long.log
        # What is printed last is there too, though a thread of the server has to read it.
        for _ in range(50):
            assert "event answer\n" in function.invoke().expect().log


def billed(reply: Reply) -> None:
    report = reply.report
    total = float(report["duration"]) + float(report["init"] or 0)
    # Both are rounded to hundredths in the report.
    assert int(report["billed"]) in {math.ceil(total - 0.01), math.ceil(total + 0.01)}, reply.log
    assert report["size"] == "1769" and 3 < int(report["used"]) < 60, reply.log
