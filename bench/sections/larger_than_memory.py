"""Panels larger than memory: `prepare` and `run` from a store, beside plainly rewriting the same files."""

import shutil
from functools import partial

from work import ANALYTIC, COLUMNS, DRAWS, OUT, REFERENCE_SHAPE, WITH_DRAWS, Ours, Panel, Section

NOTE = """\
100 million rows: 10 million units × 10 periods and 4 covariates, as zstd Parquet with one file for each period, so that no
file has two rows of a unit. `prepare` and the runs from the store have `--memory-limit 1GB`; the yardstick reads and
writes the same files with the parquet crate on two threads."""
LIMIT = ("--memory-limit", "1GB")
FORMULA = ("--xformla", "~ x1 + x2 + x3 + x4")


def section(setting):
    shape = (*REFERENCE_SHAPE.split(), *"--layout by-period --files 10".split())
    panel = Panel("by-period", 10 * setting.units, simulate=shape)
    store, rewritten = OUT / "store", OUT / "rewritten"
    files = [panel.path / f"part-{number:05}.parquet" for number in range(10)]
    columns = [f"--{name}={column}" for name, column in COLUMNS.items()]

    def rewrite(compression):
        argv = (setting.yardsticks / "bare_rewrite", rewritten, "2", compression, *files)
        return Ours(f"rewrite {compression}", f"reading and writing the files, {compression}", argv)

    def run(name, label, inference, *options):
        work = (*FORMULA, *inference, "--json")
        result = "draws" if inference is WITH_DRAWS else "analytic"
        return Ours(name, label, (setting.stagger, "run", *options, *work), result=result)

    return Section(
        name="store",
        title="Panels larger than memory",
        note=NOTE,
        panels=[panel],
        ours=[
            rewrite("zstd"),
            rewrite("none"),
            Ours("prepare", "`stagger prepare`",
                 (setting.stagger, "prepare", panel.path, *columns, *FORMULA, "--out", store, *LIMIT),
                 before=partial(shutil.rmtree, store, ignore_errors=True), writes=store),
            run("files", "`stagger run` on the files in memory, analytic", ANALYTIC, panel.path, *columns),
            run("store", "`stagger run store`, analytic", ANALYTIC, store, *LIMIT),
            run("files, draws", f"`stagger run` on the files in memory, {DRAWS:,} draws", WITH_DRAWS, panel.path, *columns),
            run("store, draws", f"`stagger run store`, {DRAWS:,} draws", WITH_DRAWS, store, *LIMIT),
        ],
        long=True,
    )
