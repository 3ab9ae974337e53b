"""A small panel: what starting and printing take."""

from dataclasses import dataclass
from pathlib import Path

from work import ANALYTIC, DRAWS, ROOT, WITH_DRAWS, Ours, Panel, PeerRun, Section

NOTE = """\
`examples/mpdta.parquet`: 500 counties × 5 years, one covariate, 12 cells. The peers' time includes the start of Python
and the import of their modules."""
PEERS = ("diff-diff", "csdid", "moderndid", "StatsPAI", "differences")
STAGGER = "--yname lemp --tname year --idname countyreal --gname first.treat --xformla ~lpop"
PEER = "--y lemp --t year --id countyreal --g first.treat --x lpop"


@dataclass(frozen=True)
class Mpdta(Panel):
    """The panel that the repository holds."""

    @property
    def path(self) -> Path:
        return ROOT / "examples" / "mpdta.parquet"


def section(setting):
    panel = Mpdta("mpdta", 500)
    run = (setting.stagger, "run", panel.path, *STAGGER.split(), "--threads", str(setting.cores))
    draws = (*PEER.split(), "--draws", DRAWS)
    return Section(
        name="small",
        title="A small panel",
        note=NOTE,
        panels=[panel],
        ours=[
            Ours("analytic", "analytic", (*run, *ANALYTIC)),
            Ours("draws", f"{DRAWS:,} draws", (*run, *WITH_DRAWS)),
        ],
        peers=[
            *(PeerRun(peer, "analytic", "analytic", panel, tuple(PEER.split())) for peer in PEERS),
            *(PeerRun(peer, "draws", f"{DRAWS:,} draws", panel, draws) for peer in PEERS),
        ],
    )
