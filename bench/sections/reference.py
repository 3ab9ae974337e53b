"""The reference panel, and the same work on others of its size."""

from work import ANALYTIC, DRAWS, NOT_YET, WITH_DRAWS, Ours, PeerRun, Section

NOTE = f"""\
1,000,000 units × 10 periods, 8 cohorts and 10 % never-treated units, and 4 covariates that are constant in time; doubly
robust, never-treated controls and a varying base period unless a row says otherwise: 72 cells. "{DRAWS:,} draws" means
multiplier draws with simultaneous bands, and every row has all aggregations."""
PEERS = ("diff-diff", "csdid", "moderndid", "moderndid-spark", "StatsPAI", "differences", "did (R)")


def section(setting):
    reference = setting.reference()
    varying = setting.panel("time-varying", "--time-varying-covariates")
    shuffled = setting.panel("shuffled", "--layout", "shuffled")

    def pair(name, label, panel, *options):
        yield Ours(name, f"{label}, analytic", setting.estimate(panel, *options, *ANALYTIC))
        yield Ours(f"{name}, draws", f"{label}, {DRAWS:,} draws", setting.estimate(panel, *options, *WITH_DRAWS))

    return Section(
        name="reference",
        title="The reference panel",
        note=NOTE,
        panels=[reference, varying, shuffled],
        ours=[
            *pair("reference", "reference row", reference),
            *pair("not-yet", "not-yet-treated controls", reference, *NOT_YET),
            *pair("varying", "covariates that vary in time", varying),
            *pair("shuffled", "rows in random order", shuffled),
        ],
        peers=[
            *(PeerRun(peer, "reference", "analytic", reference) for peer in PEERS),
            *(PeerRun(p, "reference, draws", f"{DRAWS:,} draws", reference, ("--draws", DRAWS)) for p in PEERS),
        ],
    )
