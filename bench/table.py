#!/usr/bin/env python3
"""Makes the tables of docs/benchmarks.md, from a clean clone: builds, simulates, times ours and the peers.

    python3 bench/table.py                      # everything: some hours, 20 GB of memory for the peers
    python3 bench/table.py --no-large           # without the 10-million-unit panel
    python3 bench/table.py --peers              # ours alone
    python3 bench/table.py --sections ddd rc    # the reference, triple differences and cross sections
    python3 bench/table.py --sections           # the reference alone
    python3 bench/table.py --units 20000        # a small trial of the script itself

Whole processes are timed, one at a time, on two cores, from file to printed result, with the file in the page cache.
Writes bench/out/table.md. Needs Linux, cargo, and Python 3.11 or newer; the peers go to bench/.venv.
"""

import argparse
import datetime
import os
import platform
import subprocess
import sys
from pathlib import Path

import measure
import sections

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
OUT = BENCH / "out"
VENV = BENCH / ".venv"

COVARIATES = ["x1", "x2", "x3", "x4"]
COLUMNS = {"yname": "y", "tname": "time", "idname": "id", "gname": "group"}
SHAPE = "--periods 10 --cohorts 8 --covariates 4 --never-share 0.1 --seed 1".split()
DRAWS = 1000
PEER_TIMEOUT = 1800


def main():
    a = arguments()
    OUT.mkdir(exist_ok=True)
    target = build()
    bench = Bench(a, target / "stagger", target / "examples" / "bare_scan")
    python = install_peers(a) if a.peers else None
    panels = bench.simulate()
    conditions = Conditions(a, python, panels)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: a.cores])
    ours = bench.time_ours(panels)
    peers = bench.time_peers(python, panels["reference"]) if a.peers else []
    timed = {name: bench.time_section(name, python, panels) for name in a.sections}
    text = report(a, conditions, ours, peers, timed)
    (OUT / "table.md").write_text(text)
    print(f"\n{text}\nwritten to {OUT / 'table.md'}")
    extra = [series for section in timed.values() for series in (*section[0].values(), *section[1])]
    failed = [series for series in (*ours.values(), *peers, *extra) if series.failed]
    sys.exit(1 if failed else 0)


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--units", type=int, default=1_000_000, help="units of the reference panel [1000000]")
    p.add_argument("--runs", type=int, default=5, help="runs of each of our commands [5]")
    p.add_argument("--peer-runs", type=int, default=1, help="runs of each peer [1]")
    p.add_argument("--peers", nargs="*", default=["diff-diff", "csdid", "moderndid"], help="none: --peers alone")
    names = list(sections.sections(DRAWS))
    p.add_argument(
        "--sections", nargs="*", choices=names, default=names, metavar="NAME",
        help=f"of {', '.join(names)} [all]; none: --sections alone",
    )
    p.add_argument("--peer-timeout", type=int, default=PEER_TIMEOUT, help=f"seconds given to a peer [{PEER_TIMEOUT}]")
    p.add_argument("--cores", type=int, default=2, help="cores given to every process [2]")
    p.add_argument("--no-large", action="store_true", help="leave out the panel of ten times as many units")
    p.add_argument("--python", default=sys.executable, help="interpreter for the peers' environment")
    return p.parse_args()


def sh(*argv):
    print("+", *map(str, argv), flush=True)
    subprocess.run(list(map(str, argv)), cwd=ROOT, check=True)


def build():
    # One command: apart, the two would want their dependencies with different features, and build them twice.
    sh("cargo", "build", "--release", "-p", "stagger", "-p", "stagger-tests", "--bins", "--examples")
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"


def install_peers(a):
    python = VENV / "bin" / "python"
    if not python.exists():
        sh(a.python, "-m", "venv", VENV)
    sh(python, "-m", "pip", "install", "--quiet", "-r", BENCH / "requirements.txt")
    return python


class Bench:
    """Our commands and the peers', over the panels."""

    def __init__(self, a, stagger, bare_scan):
        self.a, self.stagger, self.bare_scan = a, stagger, bare_scan
        self.sections = sections.sections(DRAWS)

    def simulate(self):
        """Writes the panels that are not there yet."""
        kinds = {
            "reference": [],
            "unsorted": ["--layout", "shuffled"],
            "time-varying": ["--time-varying-covariates"],
        }
        panels = {name: self.panel(name, self.a.units, options) for name, options in kinds.items()}
        if not self.a.no_large:
            panels["large"] = self.panel("large", 10 * self.a.units, [])
        for name in self.a.sections:
            if self.sections[name].simulate:
                panels[name] = self.panel(name, self.a.units, self.sections[name].simulate)
        return panels

    def panel(self, name, units, options):
        path = OUT / f"{name}-{units}.parquet"
        if not path.exists():
            sh(self.stagger, "simulate", "--units", units, *SHAPE, *options, "--out", path)
        return path

    def estimate(self, panel, *options, formula="~ " + " + ".join(COVARIATES), unit=True):
        columns = [f"--{name}={column}" for name, column in COLUMNS.items() if unit or name != "idname"]
        threads = ["--threads", str(self.a.cores)]
        return [self.stagger, "run", panel, *columns, "--xformla", formula, *threads, *options]

    def time_ours(self, panels):
        analytic, draws = ["--bstrap", "false"], ["--biters", str(DRAWS)]
        reference = panels["reference"]
        columns = ["id", "time", "group", "y", *COVARIATES]
        work = {
            "scan": [self.bare_scan, reference, *columns],
            "analytic": self.estimate(reference, *analytic),
            "draws": self.estimate(reference, *draws),
            "not-yet-treated": self.estimate(reference, "--control-group", "notyettreated", *analytic),
            "not-yet-treated, draws": self.estimate(reference, "--control-group", "notyettreated", *draws),
            "time-varying": self.estimate(panels["time-varying"], *analytic),
            "time-varying, draws": self.estimate(panels["time-varying"], *draws),
            "unsorted": self.estimate(panels["unsorted"], *analytic),
            "unsorted, draws": self.estimate(panels["unsorted"], *draws),
        }
        if "large" in panels:
            work["large"] = self.estimate(panels["large"], *analytic)
            work["large, draws"] = self.estimate(panels["large"], *draws)
        print("ours")
        # One run that does not count brings the program and the panel into the page cache.
        return {name: self.warm_and_time(name, argv) for name, argv in work.items()}

    def warm_and_time(self, name, argv):
        measure.run(list(map(str, argv)))
        return measure.repeat(name, list(map(str, argv)), self.a.runs)

    def time_peers(self, python, panel):
        print("peers")
        series = []
        for draws in (0, DRAWS):
            for peer in self.a.peers:
                label = f"{peer}, {draws} draws" if draws else f"{peer}, analytic"
                series.append(self.time_peer(label, python, panel, peer, "--draws", draws))
        return series

    def time_peer(self, label, python, panel, peer, *options):
        argv = [python, BENCH / "peers.py", panel, "--peer", peer, *options, "--x", *COVARIATES]
        return measure.repeat(label, list(map(str, argv)), self.a.peer_runs, self.a.peer_timeout)

    def time_section(self, name, python, panels):
        """Our series by label, and the peers'."""
        section = self.sections[name]
        print(section.title)
        if name == "specs":
            return self.time_specifications(panels["reference"]), []
        panel = panels[name]
        ours = {
            label: self.warm_and_time(f"stagger, {label}", self.estimate(panel, *options, unit=section.panel))
            for label, options in section.ours.items()
        }
        peers = []
        for peer, control in section.peers:
            if peer in self.a.peers:
                label = f"{peer}, {control.replace('notyet', 'not-yet')}-treated, analytic"
                peers.append(self.time_peer(label, python, panel, peer, "--kind", section.kind, "--control", control))
        return ours, peers

    def time_specifications(self, panel):
        """All specifications of a run file in one run, and each in a run of its own."""
        specs = sections.specifications(COVARIATES)
        path = OUT / "specs.toml"
        path.write_text(sections.run_file(panel, COLUMNS, specs))
        together = [self.stagger, "run", path, "--threads", self.a.cores]
        apart = [
            self.estimate(
                panel, *sections.ANALYTIC, "--est-method", spec["est_method"],
                "--control-group", spec["control_group"], formula=spec["xformla"],
            )
            for spec in specs
        ]
        work = {"in one run": together, "in runs of their own": sections.one_after_the_other(apart)}
        return {label: self.warm_and_time(f"stagger, {len(specs)} specifications {label}", argv) for label, argv in work.items()}


class Conditions:
    """Where and with what the figures were taken; looked at before the measurements load the machine."""

    def __init__(self, a, python, panels):
        self.a = a
        self.load = os.getloadavg()[0]
        self.panels = {name: path.stat().st_size / 2**20 for name, path in panels.items()}
        self.peers = self.versions(python) if python else []

    @staticmethod
    def versions(python):
        named = [line.split("==")[0].split("[")[0] for line in (BENCH / "requirements.txt").read_text().split()]
        code = "import sys, importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in sys.argv[1:]), sep='\\n')"
        versions = subprocess.run([python, "-c", code, *named], capture_output=True, text=True, check=True)
        return versions.stdout.splitlines()

    def lines(self):
        memory = next((line.split()[1] for line in read("/proc/meminfo").splitlines() if line.startswith("MemTotal")), "0")
        model = next((line.split(":")[1].strip() for line in read("/proc/cpuinfo").splitlines() if "model name" in line), "?")
        sizes = ", ".join(f"{name} {size:.0f} MB" for name, size in self.panels.items())
        yield f"{datetime.date.today()}, {model}, {self.a.cores} of {os.cpu_count()} cores, {int(memory) / 2**20:.0f} GB, Linux {platform.release()}"
        yield f"stagger {git('describe', '--always', '--dirty')}, {output('rustc', '--version')}, release build; load before: {self.load:.2f}"
        yield f"panels: {self.a.units:,} units × 10 periods, 8 cohorts + 10 % never treated, 4 covariates, zstd Parquet ({sizes})"
        yield f"whole processes, file in the page cache; median of {self.a.runs} runs (peers {self.a.peer_runs}), largest peak memory"
        if self.peers:
            yield "peers: " + ", ".join(self.peers)


def read(path):
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def output(*argv):
    return subprocess.run(argv, capture_output=True, text=True, cwd=ROOT).stdout.strip()


def git(*argv):
    return output("git", *argv) or "?"


LABELS = {
    "scan": "bare two-thread scan of the same columns",
    "analytic": "**stagger**, analytic, all aggregations",
    "draws": f"**stagger**, {DRAWS} multiplier draws, bands, all aggregations",
    "not-yet-treated": "… not-yet-treated controls, analytic",
    "not-yet-treated, draws": f"… not-yet-treated controls, {DRAWS} draws",
    "time-varying": "… time-varying covariates, analytic",
    "time-varying, draws": f"… time-varying covariates, {DRAWS} draws",
    "unsorted": "… rows in random order, analytic",
    "unsorted, draws": f"… rows in random order, {DRAWS} draws",
    "large": "… ten times as many units, analytic",
    "large, draws": f"… ten times as many units, {DRAWS} draws",
}


def report(a, conditions, ours, peers, timed):
    lines = ["| work | wall s | min–max | CPU s | peak MB |", "|---|---|---|---|---|"]
    named = [(LABELS[name], series) for name, series in ours.items()] + [(series.label, series) for series in peers]
    lines += [row(label, series) for label, series in named]
    lines += ["", *(f"- {line}" for line in conditions.lines()), "", *goals(ours, peers), ""]
    for name, (own, rivals) in timed.items():
        lines += [*section_lines(sections.sections(DRAWS)[name], own, rivals), ""]
    return "\n".join(lines)


def section_lines(section, ours, peers):
    """The table of a section, each row against our first."""
    first = next(iter(ours.values()))
    yield f"{section.title}:"
    yield ""
    yield "| work | wall s | min–max | CPU s | peak MB | against the first row |"
    yield "|---|---|---|---|---|---|"
    named = [(f"**stagger**, {label}", series) for label, series in ours.items()]
    for label, series in named + [(series.label, series) for series in peers]:
        known = not series.failed and not first.failed
        yield row(label, series) + (f" {series.wall / first.wall:.2g}× |" if known else " |")


def row(label, series):
    if series.failed:
        return f"| {label} | failed: exit {series.failed.status} | | | |"
    low, high = series.spread
    return f"| {label} | {series.wall:.3g} | {low:.3g}–{high:.3g} | {series.cpu:.3g} | {series.peak_mb:.0f} |"


def goals(ours, peers):
    """Each goal of the project with the figure reached."""
    yield "| goal | reached |"
    yield "|---|---|"
    for work, label, factor in (("analytic", "analytic", 25), ("draws", f"{DRAWS} draws", 60)):
        rivals = [series for series in peers if label in series.label and not series.failed]
        if not rivals or ours[work].failed:
            continue
        fastest = min(rivals, key=lambda series: series.wall)
        ratio = fastest.wall / ours[work].wall
        yield f"| {label}: {factor}× faster than the fastest peer | {ratio:.0f}× ({fastest.label}) |"
        if work == "analytic":
            yield f"| analytic: 1/12 of its memory | 1/{fastest.peak_mb / ours[work].peak_mb:.0f} |"
        for series in rivals:
            if work == "draws" and series.label.startswith("moderndid,"):
                yield f"| {label}: 300× faster than moderndid | {series.wall / ours[work].wall:.0f}× |"
    if not ours["draws"].failed:
        yield f"| {DRAWS} draws: at most 280 MB | {ours['draws'].peak_mb:.0f} MB |"
    limits = [
        ("analytic", "scan", "analytic: at most 2.5× a bare scan"),
        ("not-yet-treated", "analytic", "not-yet-treated: at most 6× the reference"),
        ("time-varying", "analytic", "time-varying covariates: at most 3× the reference"),
        ("unsorted", "analytic", "unsorted: at most 3× the reference"),
        ("large", "analytic", "ten times the units: at most 11× the seconds"),
        ("large, draws", "draws", "ten times the units, draws: at most 11× the seconds"),
    ]
    for work, base, label in limits:
        if work in ours and not ours[work].failed and not ours[base].failed:
            yield f"| {label} | {ours[work].wall / ours[base].wall:.1f}× |"
    for work, base in (("large", "analytic"), ("large, draws", "draws")):
        if work in ours and not ours[work].failed and not ours[base].failed:
            yield f"| {work}: at most 10× the memory | {ours[work].peak_mb / ours[base].peak_mb:.1f}× |"


if __name__ == "__main__":
    main()
