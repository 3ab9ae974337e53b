"""The sections of the table beyond the reference panel: other data, other controls, many specifications.

A section has its own panel, our commands on it and the peers that can do the same. `table.py` simulates, times and
prints them like the reference; `--sections` picks some, `--sections` alone none.
"""

import shlex
from dataclasses import dataclass, field

ANALYTIC = ("--bstrap", "false")
NOT_YET = ("--control-group", "notyettreated")
# With pname stagger has triplediff's defaults; the peers here are asked for the varying base too.
TRIPLE = ("--pname", "partition", "--base-period", "varying")
TRIPLE_DRAWS = ("--bstrap", "true", "--cband", "true")
MANY = 20


@dataclass
class Section:
    """Work on one panel."""

    title: str
    # Options of `stagger simulate`; none for the reference panel.
    simulate: tuple = ()
    # Our commands: label → options of `stagger run`.
    ours: dict = field(default_factory=dict)
    # (peer, control group): analytic standard errors, as the slowest would take hours with draws.
    peers: tuple = ()
    kind: str = "att_gt"
    # Whether rows have a unit that is followed over time.
    panel: bool = True


def sections(draws):
    """Every section by name, with so many bootstrap draws."""
    biters = ("--biters", str(draws))
    triple, gaps, rows = TRIPLE, ("--allow-unbalanced-panel", "true"), ("--panel", "false")
    return {
        "ddd": Section(
            title="Triple differences: half of the units eligible",
            simulate=("--eligible-share", "0.5"),
            kind="ddd",
            ours={
                "never-treated, analytic": (*triple, *ANALYTIC),
                f"never-treated, {draws} draws, bands": (*triple, *TRIPLE_DRAWS, *biters),
                "not-yet-treated, analytic": (*triple, *NOT_YET, *ANALYTIC),
                f"not-yet-treated, {draws} draws, bands": (*triple, *NOT_YET, *TRIPLE_DRAWS, *biters),
            },
            peers=(
                ("moderndid", "never"), ("diff-diff", "never"), ("moderndid", "notyet"), ("diff-diff", "notyet"),
            ),
        ),
        "rc": Section(
            title="Repeated cross sections: every row another unit",
            simulate=("--cross-sections",),
            kind="rc",
            panel=False,
            ours={"analytic": (*rows, *ANALYTIC), f"{draws} draws, bands": (*rows, *biters)},
            peers=(("csdid", "never"), ("diff-diff", "never"), ("moderndid", "never")),
        ),
        "unbalanced": Section(
            title="Unbalanced panel: a tenth of the rows missing",
            simulate=("--missing-share", "0.1"),
            kind="unbalanced",
            ours={"analytic": (*gaps, *ANALYTIC), f"{draws} draws, bands": (*gaps, *biters)},
            # moderndid 0.2.0 stops with a TypeError where a panel has gaps.
            peers=(("csdid", "never"), ("diff-diff", "never")),
        ),
        "specs": Section(title=f"{MANY} specifications of the reference panel, analytic"),
    }


def specifications(covariates):
    """MANY specifications as keys of a run file: two methods, two control groups, five sets of covariates."""
    formulas = ["~ " + (" + ".join(covariates[:count]) or "1") for count in range(len(covariates) + 1)]
    specs = [
        {"est_method": method, "control_group": control, "xformla": formula}
        for method in ("dr", "reg")
        for control in ("nevertreated", "notyettreated")
        for formula in formulas
    ]
    assert len(specs) == MANY, len(specs)
    return specs


def run_file(panel, columns, specs):
    """The run file that estimates all specifications in one run."""
    common = {"data": str(panel), **columns, "bstrap": False}
    lines = [f"{key} = {toml(value)}" for key, value in common.items()]
    for number, spec in enumerate(specs):
        lines += ["", "[[spec]]", f'name = "spec-{number:02}"', *(f"{key} = {toml(spec[key])}" for key in spec)]
    return "\n".join(lines) + "\n"


def toml(value):
    return str(value).lower() if isinstance(value, bool) else f'"{value}"'


def one_after_the_other(commands):
    """A command that runs all of them and stops at the first that fails."""
    return ["sh", "-c", " && ".join(shlex.join(map(str, argv)) for argv in commands)]
