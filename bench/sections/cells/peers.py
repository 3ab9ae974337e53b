"""The peers' runs on panels of many cells."""

from work import DRAWS, PeerRun

PEERS = ("diff-diff", "moderndid", "csdid", "StatsPAI", "differences", "did (R)")


def peer_runs(panel, peers=PEERS):
    """Analytic standard errors and draws of each peer."""
    yield from (PeerRun(peer, "analytic", "analytic", panel) for peer in peers)
    yield from (PeerRun(peer, "draws", f"{DRAWS:,} draws", panel, ("--draws", DRAWS)) for peer in peers)
