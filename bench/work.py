"""What is measured: panels, Stagger's commands, the peers' runs, and the sections that hold them."""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

BENCH = Path(__file__).resolve().parent
ROOT = BENCH.parent
OUT = BENCH / "out"

DRAWS = 1000
COVARIATES = ("x1", "x2", "x3", "x4")
COLUMNS = {"yname": "y", "tname": "time", "idname": "id", "gname": "group"}
ANALYTIC = ("--bstrap", "false")
WITH_DRAWS = ("--bstrap", "true", "--cband", "true", "--biters", str(DRAWS))
NOT_YET = ("--control-group", "notyettreated")
# Why standard errors of repeated cross sections differ, and those of unbalanced panels, which use the same estimator.
SIGN = """\
Standard errors of `dr` differ by up to a few per cent between programs, since R and Stagger keep a sign of R's formula
that other programs change ([R's sign](statistics.md))."""
REFERENCE_UNITS = 1_000_000
REFERENCE_SHAPE = "--periods 10 --cohorts 8 --covariates 4 --never-share 0.1 --seed 1"


@dataclass(frozen=True)
class Panel:
    """A Parquet file, or a folder of them, that is made when it is first needed."""

    name: str
    units: int
    # Options of `stagger simulate`.
    simulate: tuple = ()
    # Or a script of this folder with its arguments; the path follows.
    script: tuple = ()
    covariates: tuple = ()

    @property
    def path(self):
        return OUT / (f"{self.name}-{self.units}" + ("" if "--files" in self.simulate else ".parquet"))

    def make(self, stagger, python):
        """Writes the panel unless it is there; `python` has numpy and pyarrow."""
        if self.path.exists():
            return
        print(f"+ panel {self.path.name}", flush=True)
        if self.script:
            argv = [python, BENCH / self.script[0], *self.script[1:], self.path]
        else:
            argv = [stagger, "simulate", "--units", str(self.units), *self.simulate, "--out", self.path]
        subprocess.run(argv, check=True)


@dataclass(frozen=True)
class Ours:
    """A command of Stagger's, or the yardstick of one."""

    name: str
    label: str
    argv: tuple
    # Called before every run.
    before: Callable | None = None
    # The folder that the command writes; its size is recorded.
    writes: Path | None = None
    # Rows of the same name here must print the same result.
    result: str | None = None


@dataclass(frozen=True)
class PeerRun:
    """One run of `peers.py`, to be compared with a row of Stagger's that does the same work."""

    peer: str
    beside: str
    label: str
    panel: Panel
    options: tuple = ()

    @property
    def name(self):
        return f"{self.peer}, {self.label}"


@dataclass
class Section:
    """One table of the page."""

    name: str
    title: str
    # Paragraphs before the tables.
    note: str
    ours: list
    panels: list
    peers: list = field(default_factory=list)
    # Left out of `--quick`: it takes minutes, or gigabytes of disk.
    long: bool = False


@dataclass(frozen=True)
class Setting:
    """The programs and the size of a measurement."""

    stagger: Path = Path("stagger")
    yardsticks: Path = Path("examples")
    cores: int = 2
    units: int = REFERENCE_UNITS

    @property
    def trial(self):
        return self.units < REFERENCE_UNITS

    def panel(self, name, *options, times=1):
        """A panel of the reference's shape, with further options of `stagger simulate`."""
        shape = (*REFERENCE_SHAPE.split(), *options)
        return Panel(name, times * self.units, simulate=shape, covariates=COVARIATES)

    def reference(self):
        return self.panel("reference")

    def scan(self):
        """The command whose time is S: decodes the reference panel's columns on two threads, and does nothing with them."""
        return (self.yardsticks / "bare_scan", self.reference().path, "id", "time", "group", "y", *COVARIATES)

    def estimate(self, panel, *options, formula=None, unit=True):
        """`stagger run` on a panel with all of its covariates."""
        columns = [f"--{name}={column}" for name, column in COLUMNS.items() if unit or name != "idname"]
        if formula is None and panel.covariates:
            formula = "~ " + " + ".join(panel.covariates)
        xformla = ("--xformla", formula) if formula else ()
        return (self.stagger, "run", panel.path, *columns, *xformla, "--threads", str(self.cores), *options)
