#!PYTHON -IS
# A function that does what its event says; it imports little, since many start at once.
import http.client, json, os, sys, time

api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])


def call(method, path, body=None):
    api.request(method, f"/2018-06-01/runtime/{path}", body)
    reply = api.getresponse()
    return reply.status, reply.headers, reply.read()


def hold(event):
    """Says that it is here, and waits to be let go."""
    since = time.time()
    open(f"{event['folder']}/{os.getpid()}-{since}", "x").close()
    while not os.path.exists(f"{event['folder']}/go"):
        time.sleep(0.02)
    return {"pid": os.getpid(), "since": since, "until": time.time()}


def fill(megabytes):
    # Not zeros, which need not be resident.
    return b"x" * (megabytes << 20)


def child(megabytes):
    code = f"import time; x = b'x' * ({megabytes} << 20); time.sleep(30)"
    os.waitpid(os.posix_spawn(sys.executable, [sys.executable, "-ISc", code], {}), 0)


kept, last_status = None, None
if "INIT_EXIT" in os.environ:
    print("can't start", flush=True)
    sys.exit(int(os.environ["INIT_EXIT"]))
if "INIT_FILL" in os.environ:
    kept = fill(int(os.environ["INIT_FILL"]))
    time.sleep(30)
while True:
    _, headers, event = call("GET", "invocation/next")
    event = json.loads(event)
    invocation = f"invocation/{headers['Lambda-Runtime-Aws-Request-Id']}"
    print("event", event["do"], flush=True)
    answer = {"pid": os.getpid(), "word": os.environ.get("WORD"), "last_status": last_status}
    match event["do"]:
        case "fail":
            call("POST", f"{invocation}/error", b'{"errorType": "Bad", "errorMessage": "bad input"}')
            continue
        case "exit":
            sys.exit(3)
        case "sleep":
            time.sleep(event["seconds"])
        case "fill":
            kept = fill(event["megabytes"])
        case "spike":
            fill(event["megabytes"])
        case "child":
            child(event["megabytes"])
        case "print":
            print("x" * event["bytes"], flush=True)
        case "length":
            answer["length"] = len(event["text"])
        case "hold":
            answer = hold(event)
    body = json.dumps(answer)
    if event["do"] == "text":
        # JSON of just so many bytes.
        body = '"' + "x" * (event["bytes"] - 2) + '"'
    last_status, _, _ = call("POST", f"{invocation}/response", body)
