"""Answers, errors, exits and timeouts, and which of them end the process."""

from checks.function import Function


def check(endpoint: str) -> None:
    with Function(endpoint, "answers", timeout=1, WORD="kept") as function:
        first = function.invoke().expect().body
        assert first["word"] == "kept", first
        assert function.invoke().expect().body["pid"] == first["pid"], "the process is kept between invocations"
        function.invoke("fail").expect_error("Bad", "bad input")
        assert function.invoke().expect().body["pid"] == first["pid"], "an error of the handler ends nothing"
        ends(function, "exit", "Runtime.ExitError", "RequestId: .* Error: Runtime exited with error: exit status 3")
        ends(function, "sleep", "Sandbox.Timedout", "RequestId: .* Error: Task timed out after 1.00 seconds")
    with Function(endpoint, "no-start", INIT_EXIT="7") as function:
        for _ in range(2):
            reply = function.invoke()
            reply.expect_error("Runtime.ExitError", "RequestId: .* Error: Runtime exited with error: exit status 7")
            assert "can't start" in reply.log and reply.report["init"], reply.log


def ends(function: Function, what: str, kind: str, message: str) -> None:
    before = function.invoke().expect().body["pid"]
    reply = function.invoke(what, seconds=20).expect_error(kind, message)
    assert reply.report["status"] == ("timeout" if what == "sleep" else "error"), reply.log
    if what == "sleep":
        assert 1000 <= float(reply.report["duration"]) < 1500, reply.log
    after = function.invoke().expect()
    assert after.body["pid"] != before and after.report["init"], "a new process, cold"
