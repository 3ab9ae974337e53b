"""The examples of other container pools: what Kubernetes needs to take the job, and the SLURM script run with a worker that only tells.

A cluster of either kind is more than a test can have; so this is syntax, required fields, arguments and signals.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from template import INFRA

EXAMPLES = INFRA.parent / "examples"
SCRIPT = EXAMPLES / "slurm" / "workers.sh"
# What the worker takes; the binary's own --help says the same where STAGGER_GPU_WORKER names one.
OPTIONS = {"--queue", "--device", "--memory-limit", "--device-memory", "--idle"}
SBATCH = {"job-name", "array", "nodes", "ntasks", "cpus-per-task", "mem", "time", "requeue", "open-mode", "output", "signal", "gres"}
TELLS = """#!/usr/bin/env bash
printf '%s\\n' "$@" >"$TOLD"
if [[ -n "${WAITS:-}" ]]; then
  trap 'echo handed back >>"$TOLD"; exit 0' TERM
  while :; do sleep 0.05; done
fi
exit "${STATUS:-0}"
"""


def arguments_are_known(arguments: list[str]) -> None:
    names = arguments[::2]
    assert set(names) <= OPTIONS and len(arguments) % 2 == 0, f"unknown arguments: {arguments}"
    assert {"--queue", "--device"} <= set(names), arguments
    assert arguments[arguments.index("--device") + 1] in ("cpu", "cuda"), arguments
    if worker := os.environ.get("STAGGER_GPU_WORKER"):
        told = subprocess.run([worker, "--help"], capture_output=True, text=True, check=True).stdout
        assert all(name in told for name in names), f"{worker} --help does not know all of {names}"


def kubernetes_takes_the_job() -> None:
    documents = list(yaml.safe_load_all((EXAMPLES / "kubernetes" / "worker-job.yaml").read_text()))
    account, job = documents
    for each in documents:
        assert {"apiVersion", "kind", "metadata"} <= set(each), each
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", each["metadata"]["name"]), each
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job") and (account["apiVersion"], account["kind"]) == ("v1", "ServiceAccount")
    spec = job["spec"]
    assert spec["parallelism"] <= spec["completions"] and spec["completionMode"] == "Indexed", spec
    assert spec["activeDeadlineSeconds"] > 0 and spec["ttlSecondsAfterFinished"] >= 0, "workers must end, and go"
    pod = spec["template"]["spec"]
    # A policy of failures wants pods that are not restarted in place.
    assert pod["restartPolicy"] == "Never", pod
    assert pod["serviceAccountName"] == account["metadata"]["name"], pod
    (container,) = pod["containers"]
    for rule in spec["podFailurePolicy"]["rules"]:
        assert rule["action"] in ("FailJob", "Ignore", "Count", "FailIndex"), rule
        assert rule.get("onExitCodes", {}).get("containerName", container["name"]) == container["name"], rule
        assert 0 not in rule.get("onExitCodes", {}).get("values", []), rule
    assert ":" in container["image"] and not container["image"].endswith(":latest"), container["image"]
    assert all(isinstance(each, str) for each in container["args"]), "arguments are strings in Kubernetes"
    arguments_are_known(container["args"])
    assert all(isinstance(each["value"], str) for each in container["env"]), container["env"]
    assert not any("KEY" in each["name"] or "SECRET" in each["name"] for each in container["env"]), "no keys in a manifest"
    assert {each["name"] for each in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}, pod
    assert pod["securityContext"]["runAsNonRoot"] and not container["securityContext"]["allowPrivilegeEscalation"], pod


def slurm_reads_its_directives() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    lines = SCRIPT.read_text().splitlines()
    commands = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    directives = [number for number, line in enumerate(lines) if line.startswith("#SBATCH")]
    # SLURM stops reading at the first command.
    assert directives and max(directives) < commands, "a directive behind the first command"
    for number in directives:
        found = re.fullmatch(r"#SBATCH --([a-z-]+)(=\S+)?", lines[number])
        assert found and found[1] in SBATCH, lines[number]


def slurm_starts_the_worker() -> None:
    told, _ = run_script({"SLURM_MEM_PER_NODE": "8192"})
    assert told == ["--queue", "https://queue", "--device", "cpu", "--idle", "120", "--memory-limit", "7372MiB"], told
    arguments_are_known(told)
    _, status = run_script({"STATUS": "2"})
    assert status == 2, f"the worker's status got lost: {status}"


def slurm_hands_a_task_back() -> None:
    told, status = run_script({"WAITS": "1"}, stop=True)
    assert told[-1] == "handed back" and status == 0, (told, status)


def slurm_wants_a_queue() -> None:
    clean = {key: value for key, value in os.environ.items() if key != "STAGGER_QUEUE"}
    refused = subprocess.run([SCRIPT], capture_output=True, text=True, env=clean)
    assert refused.returncode != 0 and "output Queue" in refused.stderr, refused


def run_script(settings: dict[str, str], stop: bool = False) -> tuple[list[str], int]:
    with tempfile.TemporaryDirectory() as folder:
        worker, told = Path(folder, "gpu-worker"), Path(folder, "told")
        worker.write_text(TELLS)
        worker.chmod(0o755)
        settings |= {"STAGGER_WORKER": str(worker), "TOLD": str(told), "STAGGER_QUEUE": "https://queue", "AWS_REGION": "us-east-1"}
        script = subprocess.Popen([SCRIPT], env=os.environ | settings)
        if stop:
            deadline = time.monotonic() + 20
            while not told.exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            # The worker has told its arguments before it can hear a signal.
            time.sleep(0.3)
            script.send_signal(signal.SIGTERM)
        status = script.wait(timeout=30)
        return told.read_text().splitlines(), status


def main() -> None:
    for check in (kubernetes_takes_the_job, slurm_reads_its_directives, slurm_starts_the_worker, slurm_hands_a_task_back, slurm_wants_a_queue):
        try:
            check()
        except AssertionError as error:
            sys.exit(f"check-jobs: {check.__name__.replace('_', ' ')}: not so: {error}")
        print(f"ok: examples: {check.__name__.replace('_', ' ')}")


main()
