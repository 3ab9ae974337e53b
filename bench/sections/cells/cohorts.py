"""A thousand cohorts that begin between the periods: 19,000 cells."""

from work import ANALYTIC, DRAWS, WITH_DRAWS, Ours, Panel, Section

from .peers import peer_runs

NOTE = """\
1,000 cohorts × 2 units and 200 never-treated units, 20 periods, no covariates: 19,000 cells. Outcomes are measured every
53 days, and every cohort begins on a day of its own, as in panels of firms by founding date."""


def section(setting):
    cohorts = 60 if setting.trial else 1_000
    panel = Panel("cohorts", 2 * cohorts + cohorts // 5, script=("many_cohorts.py", str(cohorts)))
    return Section(
        name="cohorts",
        title="Thousands of cells: 1,000 cohorts",
        note=NOTE,
        panels=[panel],
        ours=[
            Ours("analytic", "analytic", setting.estimate(panel, *ANALYTIC)),
            Ours("draws", f"{DRAWS:,} draws", setting.estimate(panel, *WITH_DRAWS)),
        ],
        peers=list(peer_runs(panel)),
    )
