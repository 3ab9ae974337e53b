"""Unbalanced panels."""

from work import ANALYTIC, DRAWS, SIGN, WITH_DRAWS, Ours, PeerRun, Section

NOTE = f"""\
The reference panel without a tenth of its rows, which are missing at random: 9.0 million rows, all of them used. {SIGN}"""
PEERS = ("diff-diff", "csdid", "moderndid", "StatsPAI", "differences")


def section(setting):
    panel = setting.panel("unbalanced", "--missing-share", "0.1")
    gaps = ("--allow-unbalanced-panel", "true")
    return Section(
        name="unbalanced",
        title="Unbalanced panels",
        note=NOTE,
        panels=[panel],
        ours=[
            Ours("analytic", "analytic", setting.estimate(panel, *gaps, *ANALYTIC)),
            Ours("draws", f"{DRAWS:,} draws", setting.estimate(panel, *gaps, *WITH_DRAWS)),
        ],
        peers=[PeerRun(peer, "analytic", "analytic", panel, ("--kind", "unbalanced")) for peer in PEERS],
    )
