"""Where and with what a figure was taken."""

import datetime
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from work import BENCH, ROOT

# The environments of the peers: moderndid's Spark engine needs an older pandas than the others have.
ENVIRONMENTS = {"moderndid-spark": (".venv-spark", "requirements-spark.txt")}
SHARED = (".venv", "requirements.txt")
DISTRIBUTIONS = {"moderndid-spark": ("moderndid", "pyspark")}


def environment(peer):
    """The folder of the peer's environment, and its requirements."""
    folder, requirements = ENVIRONMENTS.get(peer, SHARED)
    return BENCH / folder, BENCH / requirements


def install(python, peer):
    """Makes the peer's environment; returns its interpreter."""
    folder, requirements = environment(peer)
    interpreter = folder / "bin" / "python"
    if not interpreter.exists():
        subprocess.run([python, "-m", "venv", folder], check=True)
    stamp = folder / "installed"
    if not stamp.exists() or stamp.read_text() != requirements.read_text():
        subprocess.run([interpreter, "-m", "pip", "install", "--quiet", "-r", requirements], check=True)
        stamp.write_text(requirements.read_text())
    return interpreter


def peer_version(interpreter, peer):
    """The version of a peer, as "moderndid 0.4.1"."""
    code = "import sys, importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in sys.argv[1:]), sep=', ')"
    names = DISTRIBUTIONS.get(peer, (peer,))
    return output(interpreter, "-c", code, *names) + f", Python {output(interpreter, '-c', 'import platform; print(platform.python_version())')}"


def r_version():
    return output("Rscript", "-e", 'cat("did", format(packageVersion("did")), "R", format(getRversion()))')


def machine(cores):
    """The machine in words."""
    memory = next((line.split()[1] for line in read("/proc/meminfo").splitlines() if line.startswith("MemTotal")), "0")
    model = next((line.split(":")[1].strip() for line in read("/proc/cpuinfo").splitlines() if "model name" in line), "?")
    flags = read("/proc/cpuinfo")
    kernel = ".".join(platform.release().split(".")[:2])
    simd = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else platform.machine()
    return f"{model} ({simd}), {cores} of {os.cpu_count()} cores, {int(memory) / 2**20:.0f} GB, {platform.system()} {kernel}"


def today():
    return datetime.date.today().isoformat()


def commit():
    """The commit, with "changed" where sources differ from it; figures and pages do not count."""
    changed = output("git", "status", "--porcelain", "--", ".", ":!bench", ":!docs", ":!README.md")
    return (output("git", "rev-parse", "--short=9", "HEAD") or "?") + (", changed" if changed else "")


def load():
    """The mean number of processes that wanted a processor in the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def can_run(peer):
    """True if the peer can be run here; those in Python are installed when they are."""
    return peer != "did (R)" or r_line() is None


def absent(python):
    """The peers that cannot be measured here: their name, and why in a plain line."""
    if line := r_line():
        yield "did (R)", line
    if line := diff_stream_line(python):
        yield "diff-stream", line


def r_line():
    if shutil.which("Rscript") is None:
        return "R `did` was not measured: there is no R on the machine."
    found = output("Rscript", "-e", 'cat(all(c("did", "arrow") %in% rownames(installed.packages())))')
    return None if found == "TRUE" else "R `did` was not measured: R is on the machine without the packages `did` and `arrow`."


def diff_stream_line(python):
    """diff-stream has a page on PyPI, and had no file there when this was written."""
    with tempfile.TemporaryDirectory() as folder:
        argv = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, "diff-stream"]
        found = subprocess.run(argv, capture_output=True, text=True)
    if found.returncode == 0:
        return "diff-stream was not measured: it can be installed now, and `bench/peers.py` does not call it yet."
    errors = [line for line in found.stderr.splitlines() if line.startswith("ERROR")]
    return f"diff-stream was not measured, as it cannot be installed: `{(errors or [f'exit {found.returncode}'])[-1]}`."


def output(*argv):
    return subprocess.run([str(word) for word in argv], capture_output=True, text=True, cwd=ROOT).stdout.strip()


def read(path):
    try:
        return Path(path).read_text()
    except OSError:
        return ""
