"""Twenty specifications of one panel."""

import shlex
from functools import partial

from work import ANALYTIC, COLUMNS, COVARIATES, DRAWS, OUT, WITH_DRAWS, Ours, Section

NOTE = """\
The reference panel: five sets of covariates (none, x1, x1 + x2, …) by doubly robust and by regression, with never-treated
and with not-yet-treated controls."""


def section(setting):
    panel, specs = setting.reference(), specifications()

    def pair(name, label, inference, bstrap):
        path = OUT / f"{name}.toml"
        write = partial(path.write_text, run_file(panel.path, specs, bstrap))
        apart = [setting.estimate(panel, *inference, *options(spec), formula=spec["xformla"]) for spec in specs]
        yield Ours(name, f"{len(specs)} specifications in one run, {label}",
                   (setting.stagger, "run", path, "--threads", str(setting.cores)), before=write)
        yield Ours(f"{name} apart", f"{len(specs)} runs one after the other, {label}", one_after_the_other(apart))

    return Section(
        name="specifications",
        title="Several specifications of one panel",
        note=NOTE,
        panels=[panel],
        ours=[
            *pair("specs-analytic", "analytic", ANALYTIC, False),
            *pair("specs-draws", f"{DRAWS:,} draws", WITH_DRAWS, True),
        ],
    )


def specifications():
    """Two methods, two control groups, five sets of covariates, as keys of a run file."""
    formulas = ["~ " + (" + ".join(COVARIATES[:count]) or "1") for count in range(len(COVARIATES) + 1)]
    return [
        {"est_method": method, "control_group": control, "xformla": formula}
        for method in ("dr", "reg")
        for control in ("nevertreated", "notyettreated")
        for formula in formulas
    ]


def options(spec):
    return ("--est-method", spec["est_method"], "--control-group", spec["control_group"])


def run_file(panel, specs, bstrap):
    """The run file that estimates all specifications in one run."""
    common = {"data": str(panel), **COLUMNS, "bstrap": bstrap, "biters": DRAWS}
    lines = [f"{key} = {toml(value)}" for key, value in common.items()]
    for number, spec in enumerate(specs):
        lines += ["", "[[spec]]", f'name = "spec-{number:02}"', *(f"{key} = {toml(spec[key])}" for key in spec)]
    return "\n".join(lines) + "\n"


def toml(value):
    return f'"{value}"' if isinstance(value, str) else str(value).lower()


def one_after_the_other(commands):
    """A command that runs all of them and stops at the first that fails."""
    return ("sh", "-c", " && ".join(shlex.join(map(str, argv)) for argv in commands))
