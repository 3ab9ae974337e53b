"""Ten times as many units."""

from work import ANALYTIC, DRAWS, WITH_DRAWS, Ours, Section

NOTE = "The reference panel's shape with 10 million units: 100 million rows in one file, read within memory."


def section(setting):
    panel = setting.panel("large", times=10)
    return Section(
        name="larger",
        title="Ten million units",
        note=NOTE,
        panels=[panel],
        ours=[
            Ours("analytic", "analytic", setting.estimate(panel, *ANALYTIC)),
            Ours("draws", f"{DRAWS:,} draws", setting.estimate(panel, *WITH_DRAWS)),
        ],
        long=True,
    )
