"""Monthly data of police agencies, in shape: few units, many months, 3,337 cells."""

from work import ANALYTIC, DRAWS, OUT, WITH_DRAWS, Ours, Panel, Section

from .peers import peer_runs

NOTE = """\
7,785 units × 72 months in 47 cohorts and 30 % never treated, no covariates: 3,337 cells. The shape is that of a panel of
police agencies; the data are simulated. All rows have all aggregations."""


def section(setting):
    units, periods, cohorts = (600, 12, 8) if setting.trial else (7_785, 72, 47)
    shape = f"--periods {periods} --cohorts {cohorts} --covariates 0 --never-share 0.3 --seed 1".split()
    panel = Panel("police", units, simulate=tuple(shape))
    folder, drawn = OUT / "police-result", OUT / "police-result-draws"
    return Section(
        name="police",
        title="Thousands of cells: 72 months, 47 cohorts",
        note=NOTE,
        panels=[panel],
        ours=[
            Ours("analytic", "analytic", setting.estimate(panel, *ANALYTIC)),
            Ours("draws", f"{DRAWS:,} draws", setting.estimate(panel, *WITH_DRAWS)),
            Ours("saved", "analytic, saved with `--out`", setting.estimate(panel, *ANALYTIC, "--out", folder), writes=folder),
            Ours(
                "draws saved", f"{DRAWS:,} draws, saved with `--out`",
                setting.estimate(panel, *WITH_DRAWS, "--out", drawn), writes=drawn,
            ),
        ],
        peers=list(peer_runs(panel)),
    )
