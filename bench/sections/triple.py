"""Triple differences."""

from work import ANALYTIC, DRAWS, NOT_YET, WITH_DRAWS, Ours, PeerRun, Section

NOTE = """\
The reference panel's shape, with half of the units eligible. The base period varies, also for the peers; StatsPAI
computes the post-treatment cells alone."""
PEERS = ("moderndid", "diff-diff", "StatsPAI")


def section(setting):
    panel = setting.panel("ddd", "--eligible-share", "0.5")
    # With --pname Stagger has triplediff's defaults.
    triple = ("--pname", "partition", "--base-period", "varying")

    def pair(name, label, *options):
        yield Ours(name, f"{label}, analytic", setting.estimate(panel, *triple, *options, *ANALYTIC))
        yield Ours(f"{name}, draws", f"{label}, {DRAWS:,} draws", setting.estimate(panel, *triple, *options, *WITH_DRAWS))

    return Section(
        name="triple",
        title="Triple differences",
        note=NOTE,
        panels=[panel],
        ours=[*pair("never", "never-treated controls"), *pair("not-yet", "not-yet-treated controls", *NOT_YET)],
        peers=[
            *(PeerRun(p, "never", "never-treated, analytic", panel, ("--kind", "ddd")) for p in PEERS),
            *(
                PeerRun(p, "not-yet", "not-yet-treated, analytic", panel, ("--kind", "ddd", "--control", "notyet"))
                for p in PEERS
            ),
        ],
    )
