"""Repeated cross sections."""

from work import ANALYTIC, DRAWS, SIGN, WITH_DRAWS, Ours, PeerRun, Section

NOTE = f"The reference panel's shape; every row is another unit: 10,000,000 of them. {SIGN}"
PEERS = ("diff-diff", "csdid", "moderndid", "StatsPAI", "differences")


def section(setting):
    panel = setting.panel("rc", "--cross-sections")
    rows = ("--panel", "false")
    return Section(
        name="cross-sections",
        title="Repeated cross sections",
        note=NOTE,
        panels=[panel],
        ours=[
            Ours("analytic", "analytic", setting.estimate(panel, *rows, *ANALYTIC, unit=False)),
            Ours("draws", f"{DRAWS:,} draws", setting.estimate(panel, *rows, *WITH_DRAWS, unit=False)),
        ],
        peers=[PeerRun(peer, "analytic", "analytic", panel, ("--kind", "rc")) for peer in PEERS],
    )
