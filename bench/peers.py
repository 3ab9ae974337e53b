#!/usr/bin/env python3
"""Runs one peer once on a long-format Parquet panel, from file to estimates, and prints its number of cells.

    .venv/bin/python peers.py panel.parquet --peer diff-diff --draws 1000 --x x1 x2 x3 x4

Doubly robust, never-treated controls, varying base; with draws also the four aggregations. `table.py` times whole
processes of this; every peer is called as its documentation shows.
"""

import argparse
import os
import sys
import warnings

PEERS = ("diff-diff", "csdid", "moderndid", "moderndid-dask")
AGGREGATIONS = ("simple", "dynamic", "group", "calendar")


def diff_diff(a):
    import diff_diff as dd
    import pandas as pd

    estimator = dd.CallawaySantAnna(
        control_group="never_treated", estimation_method="dr", n_bootstrap=a.draws, seed=1
    )
    result = estimator.fit(
        pd.read_parquet(a.panel),
        outcome=a.y, unit=a.id, time=a.t, first_treat=a.g, covariates=a.x or None,
        aggregate="all" if a.draws else None,
    )
    return len(result.group_time_effects)


def csdid(a):
    import contextlib
    import io

    import pandas as pd
    from csdid.att_gt import ATTgt

    draws = {"biters": a.draws} if a.draws else {}
    with contextlib.redirect_stdout(io.StringIO()):
        model = ATTgt(
            yname=a.y, tname=a.t, idname=a.id, gname=a.g, data=pd.read_parquet(a.panel),
            control_group=["nevertreated"], xformla="y~" + "+".join(a.x) if a.x else None, **draws,
        )
        result = model.fit(est_method="dr", bstrap=bool(a.draws))
        if a.draws:
            for kind in AGGREGATIONS:
                result.aggte(typec=kind, bstrap=True, cband=True)
    return len(result.results["att"])


def moderndid(a):
    import moderndid as md
    import polars as pl

    return moderndid_on(pl.read_parquet(a.panel), a, md)


def moderndid_dask(a):
    lock_free_cached_property()
    import dask.dataframe as ddf
    import moderndid as md
    from dask.distributed import Client, LocalCluster

    Client(LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None))
    return moderndid_on(ddf.read_parquet(a.panel).repartition(npartitions=8), a, md)


def moderndid_on(data, a, md):
    result = md.att_gt(
        data, yname=a.y, tname=a.t, idname=a.id, gname=a.g, est_method="dr", boot=bool(a.draws),
        biters=max(a.draws, 1), random_state=1, xformla="~ " + " + ".join(a.x) if a.x else None,
    )
    if a.draws:
        for kind in AGGREGATIONS:
            md.aggte(result, type=kind, boot=True, cband=True, biters=a.draws)
    return len(result.att_gt)


def lock_free_cached_property():
    """moderndid's Dask backend dead-locks before Python 3.12, whose cached_property holds a class-wide lock."""
    import functools

    class CachedProperty:
        def __init__(self, func):
            self.func, self.name = func, None

        def __set_name__(self, owner, name):
            self.name = name

        def __class_getitem__(cls, item):
            return cls

        def __get__(self, obj, owner=None):
            if obj is None:
                return self
            if self.name not in obj.__dict__:
                obj.__dict__[self.name] = self.func(obj)
            return obj.__dict__[self.name]

    if sys.version_info < (3, 12):
        functools.cached_property = CachedProperty


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("panel")
    p.add_argument("--peer", choices=PEERS, required=True)
    p.add_argument("--draws", type=int, default=0, help="bootstrap draws; 0 for analytic standard errors")
    for flag, default in (("--y", "y"), ("--t", "time"), ("--id", "id"), ("--g", "group")):
        p.add_argument(flag, default=default)
    p.add_argument("--x", nargs="*", default=[])
    a = p.parse_args()
    warnings.simplefilter("ignore")
    run = {"diff-diff": diff_diff, "csdid": csdid, "moderndid": moderndid, "moderndid-dask": moderndid_dask}[a.peer]
    print(run(a), flush=True)
    # Worker processes and threads of the peers are not waited for: the estimates are there.
    os._exit(0)


if __name__ == "__main__":
    main()
