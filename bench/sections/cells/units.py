"""Thousands of cells on a hundred thousand units."""

from work import ANALYTIC, DRAWS, WITH_DRAWS, Ours, Panel, Section

from .peers import peer_runs

NOTE = "100,000 units × 96 periods, 80 cohorts and 10 % never treated, no covariates: 7,600 cells, 9.6 million rows."


def section(setting):
    units, periods, cohorts = (2_000, 14, 10) if setting.trial else (100_000, 96, 80)
    shape = f"--periods {periods} --cohorts {cohorts} --covariates 0 --never-share 0.1 --seed 1".split()
    panel = Panel("many-cells", units, simulate=tuple(shape))
    return Section(
        name="many-cells",
        title="Thousands of cells: 100,000 units",
        note=NOTE,
        panels=[panel],
        ours=[
            Ours("analytic", "analytic", setting.estimate(panel, *ANALYTIC)),
            Ours("draws", f"{DRAWS:,} draws", setting.estimate(panel, *WITH_DRAWS)),
        ],
        peers=list(peer_runs(panel, ("diff-diff", "moderndid"))),
    )
