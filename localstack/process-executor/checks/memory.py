"""A function that uses more memory than it has is killed, however it uses it."""

from checks.function import Function, Reply

KILLED = "RequestId: [0-9a-f-]{36} Error: Runtime exited with error: signal: killed"


def check(endpoint: str) -> None:
    with Function(endpoint, "memory", memory=128) as function:
        fits = function.invoke("fill", megabytes=60).expect()
        assert 60 < int(fits.report["used"]) < 128, fits.log
        # A spike is over before the invocation ends, maybe between two samples; a child is another process.
        for what, megabytes in [("fill", 200), ("spike", 140), ("child", 150)]:
            before = function.invoke().expect().body["pid"]
            killed(function.invoke(what, megabytes=megabytes))
            after = function.invoke().expect()
            assert after.body["pid"] != before and after.report["init"], "a new process, cold"
            assert int(after.report["used"]) < 60, after.log
    with Function(endpoint, "memory-init", memory=128, INIT_FILL="200") as function:
        killed(function.invoke())


def killed(reply: Reply) -> None:
    reply.expect_error("Runtime.ExitError", KILLED)
    assert (reply.report["size"], reply.report["used"]) == ("128", "128"), reply.log
    assert reply.log.endswith("Error: Runtime exited with error: signal: killed\nRuntime.ExitError\n"), reply.log
