#!/usr/bin/env python3
"""Runs one peer once on a long-format Parquet file, from file to estimates, and prints its number of cells.

    .venv/bin/python peers.py panel.parquet --peer diff-diff --draws 1000 --x x1 x2 x3 x4
    .venv/bin/python peers.py triple.parquet --peer moderndid --kind ddd --control notyet --x x1 x2 x3 x4

Doubly robust, varying base; with draws also the four aggregations. `table.py` times whole processes of this; every
peer is called as its documentation shows. README.md says which peer runs which kind, and how far to trust it.
"""

import argparse
import json
import math
import os
import sys
import warnings

AGGREGATIONS = ("simple", "dynamic", "group", "calendar")
# att_gt: balanced panel. ddd: triple differences on one. rc: repeated cross sections. unbalanced: panel with gaps.
KINDS = {
    "diff-diff": ("att_gt", "ddd", "rc", "unbalanced"),
    "csdid": ("att_gt", "rc", "unbalanced"),
    "moderndid": ("att_gt", "ddd", "rc", "unbalanced"),
    "moderndid-dask": ("att_gt",),
}


def diff_diff(a):
    import diff_diff as dd

    control = {"never": "never_treated", "notyet": "not_yet_treated"}[a.control]
    options = {"control_group": control, "estimation_method": a.est_method, "base_period": a.base_period}
    options |= {"n_bootstrap": a.draws, "seed": 1}
    columns = {"outcome": a.y, "unit": a.id, "time": a.t, "first_treat": a.g, "covariates": a.x or None}
    columns["aggregate"] = "all" if a.draws else None
    if a.kind == "ddd":
        result = dd.TripleDifference(**options).fit(pandas(a), partition=a.partition, **columns)
    else:
        sample = {"panel": a.kind != "rc", "allow_unbalanced_panel": a.kind == "unbalanced"}
        result = dd.CallawaySantAnna(**options, **sample).fit(pandas(a), **columns)
    return [(g, t, cell["effect"], cell["se"]) for (g, t), cell in result.group_time_effects.items()]


def csdid(a):
    import contextlib
    import io

    from csdid.att_gt import ATTgt

    draws = {"biters": a.draws} if a.draws else {}
    with contextlib.redirect_stdout(io.StringIO()):
        model = ATTgt(
            yname=a.y, tname=a.t, idname=a.id, gname=a.g, data=pandas(a),
            control_group=[{"never": "nevertreated", "notyet": "notyettreated"}[a.control]],
            xformla="~ " + " + ".join(a.x) if a.x else None,
            panel=a.kind != "rc", allow_unbalanced_panel=a.kind == "unbalanced", **draws,
        )
        result = model.fit(est_method=a.est_method, base_period=a.base_period, bstrap=bool(a.draws))
        if a.draws:
            for kind in AGGREGATIONS:
                result.aggte(typec=kind, bstrap=True, cband=True)
    names = ("group", "year", "att", "se")
    return list(zip(*(result.results[name] for name in names)))


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
    options = {
        "yname": a.y, "tname": a.t, "gname": a.g, "est_method": a.est_method, "base_period": a.base_period,
        # Given an id, it takes the standard errors of cross sections for those of a panel.
        "idname": None if a.kind == "rc" else a.id,
        "control_group": {"never": "nevertreated", "notyet": "notyettreated"}[a.control],
        "xformla": "~ " + " + ".join(a.x) if a.x else None,
        "panel": a.kind != "rc", "allow_unbalanced_panel": a.kind == "unbalanced",
        "boot": bool(a.draws), "biters": max(a.draws, 1), "random_state": 1,
    }
    draws = {"boot": True, "cband": True, "biters": a.draws}
    if a.kind == "ddd":
        result = md.ddd(data, pname=a.partition, **options)
        for kind in ("simple", "eventstudy", "group", "calendar") if a.draws else ():
            md.agg_ddd(result, type=kind, **draws)
        return list(zip(result.groups, result.times, result.att, result.se))
    result = md.att_gt(data, **options)
    for kind in AGGREGATIONS if a.draws else ():
        md.aggte(result, type=kind, **draws)
    return list(zip(result.groups, result.times, result.att_gt, result.se_gt))


def pandas(a):
    """The file as the pandas peers want it: a cross section gets an id for every row."""
    import pandas as pd

    data = pd.read_parquet(a.panel)
    if a.kind == "rc":
        data[a.id] = range(len(data))
    return data


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


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("panel")
    p.add_argument("--peer", choices=KINDS, required=True)
    p.add_argument("--kind", choices=KINDS["diff-diff"], default="att_gt", help="what the file holds [att_gt]")
    p.add_argument("--control", choices=("never", "notyet"), default="never", help="control group [never]")
    p.add_argument("--est-method", choices=("dr", "reg", "ipw"), default="dr")
    p.add_argument("--base-period", choices=("varying", "universal"), default="varying")
    p.add_argument("--draws", type=int, default=0, help="bootstrap draws; 0 for analytic standard errors")
    p.add_argument("--cells", action="store_true", help="also print the cells: group, time, ATT, standard error")
    columns = {"y": "y", "t": "time", "id": "id", "g": "group", "partition": "partition"}
    for flag, default in columns.items():
        p.add_argument(f"--{flag}", default=default)
    p.add_argument("--x", nargs="*", default=[])
    a = p.parse_args()
    if a.kind not in KINDS[a.peer]:
        p.error(f"{a.peer} does not do {a.kind}; it does {', '.join(KINDS[a.peer])}")
    return a


def estimate(a):
    """The cells of one peer: (group, time, ATT, standard error)."""
    run = {"diff-diff": diff_diff, "csdid": csdid, "moderndid": moderndid, "moderndid-dask": moderndid_dask}
    return run[a.peer](a)


def main():
    a = arguments()
    warnings.simplefilter("ignore")
    cells = estimate(a)
    if a.cells:
        for g, t, *numbers in cells:
            print(json.dumps([int(g), int(t), *(float(x) if math.isfinite(x) else None for x in numbers)]))
    print(len(cells), flush=True)
    # Worker processes and threads of the peers are not waited for: the estimates are there.
    os._exit(0)


if __name__ == "__main__":
    main()
