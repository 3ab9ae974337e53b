#!/usr/bin/env python3
"""Runs one peer once on a long-format Parquet file, from file to estimates, and prints its number of cells.

    .venv/bin/python peers.py panel.parquet --peer diff-diff --draws 1000 --x x1 x2 x3 x4
    .venv/bin/python peers.py triple.parquet --peer moderndid --kind ddd --control notyet --x x1 x2 x3 x4
    .venv-spark/bin/python peers.py panel.parquet --peer moderndid-spark --cells cells.jsonl

Every peer is called as its documentation shows, and computes all aggregations that it has. `table.py` times whole
processes of this. `--help` lists the options; KINDS says which peer runs which kind of data.
"""

import argparse
import contextlib
import io
import json
import math
import os
import sys
import warnings

# att_gt: balanced panel. ddd: triple differences on one. rc: repeated cross sections. unbalanced: panel with gaps.
KINDS = {
    "diff-diff": ("att_gt", "ddd", "rc", "unbalanced"),
    "csdid": ("att_gt", "rc", "unbalanced"),
    "moderndid": ("att_gt", "ddd", "rc", "unbalanced"),
    "moderndid-spark": ("att_gt",),
    "StatsPAI": ("att_gt", "ddd", "rc", "unbalanced"),
    "differences": ("att_gt", "rc", "unbalanced"),
}
AGGREGATIONS = ("simple", "dynamic", "group", "calendar")
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2


def diff_diff(a):
    import diff_diff as dd

    control = {"never": "never_treated", "notyet": "not_yet_treated"}[a.control]
    options = {"control_group": control, "estimation_method": a.est_method, "base_period": a.base_period}
    options |= {"n_bootstrap": a.draws, "seed": 1, "cluster": a.cluster}
    columns = {"outcome": a.y, "unit": a.id, "time": a.t, "first_treat": a.g, "covariates": a.x or None}
    if a.kind == "ddd":
        result = dd.TripleDifference(**options).fit(pandas(a), partition=a.partition, aggregate="all", **columns)
    else:
        sample = {"panel": a.kind != "rc", "allow_unbalanced_panel": a.kind == "unbalanced"}
        result = dd.CallawaySantAnna(**options, **sample).fit(pandas(a), **columns)
        # It has no calendar aggregation.
        for kind in ("simple", "event_study", "group"):
            result.aggregate(kind)
    return [(g, t, cell["effect"], cell["se"]) for (g, t), cell in result.group_time_effects.items()]


def csdid(a):
    from csdid.att_gt import ATTgt

    draws = {"biters": a.draws} if a.draws else {}
    with contextlib.redirect_stdout(io.StringIO()):
        model = ATTgt(
            yname=a.y, tname=a.t, idname=a.id, gname=a.g, data=pandas(a),
            control_group=[{"never": "nevertreated", "notyet": "notyettreated"}[a.control]],
            xformla=formula(a), clustervar=a.cluster,
            panel=a.kind != "rc", allow_unbalanced_panel=a.kind == "unbalanced", **draws,
        )
        result = model.fit(est_method=a.est_method, base_period=a.base_period, bstrap=bool(a.draws))
        for kind in AGGREGATIONS:
            result.aggte(typec=kind, bstrap=bool(a.draws), cband=bool(a.draws))
    names = ("group", "year", "att", "se")
    return list(zip(*(result.results[name] for name in names)))


def moderndid(a):
    import polars

    return moderndid_on(polars.read_parquet(a.panel), a)


def moderndid_spark(a):
    """Its Spark engine in a local session of all cores, with half of the memory that `--memory-gb` gives."""
    from pyspark.sql import SparkSession

    # Its workers are to run this interpreter, not the first on the path.
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    spark = (
        SparkSession.builder.master(f"local[{CORES}]")
        .config("spark.driver.memory", f"{max(1, int(a.memory_gb / 2))}g")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", str(2 * CORES))
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    return moderndid_on(spark.read.parquet(a.panel), a)


def moderndid_on(data, a):
    import moderndid as md

    options = {
        "yname": a.y, "tname": a.t, "gname": a.g, "est_method": a.est_method, "base_period": a.base_period,
        "idname": None if a.kind == "rc" else a.id, "xformla": formula(a),
        "control_group": {"never": "nevertreated", "notyet": "notyettreated"}[a.control],
        "panel": a.kind != "rc", "allow_unbalanced_panel": a.kind == "unbalanced",
        "boot": bool(a.draws), "biters": max(a.draws, 1), "random_state": 1,
    }
    draws = {"boot": bool(a.draws), "cband": bool(a.draws), "biters": max(a.draws, 1)}
    if a.kind == "ddd":
        result = md.ddd(data, pname=a.partition, cluster=a.cluster, **options)
        for kind in ("simple", "eventstudy", "group", "calendar"):
            md.agg_ddd(result, type=kind, **draws)
        return list(zip(result.groups, result.times, result.att, result.se))
    result = md.att_gt(data, clustervars=[a.cluster] if a.cluster else None, **options)
    for kind in AGGREGATIONS:
        # Spark's fit has drawn already, with this seed.
        md.aggte(result, type=kind, **draws, random_state=1)
    return list(zip(result.groups, result.times, result.att_gt, result.se_gt))


def statspai(a):
    import statspai as sp

    if a.kind == "ddd":
        return statspai_ddd(a, sp)
    result = sp.callaway_santanna(
        pandas(a), y=a.y, g=a.g, t=a.t, i=a.id, x=a.x or None, estimator=a.est_method, base_period=a.base_period,
        control_group={"never": "nevertreated", "notyet": "notyettreated"}[a.control], clustervars=a.cluster,
        panel=a.kind != "rc", allow_unbalanced_panel=a.kind == "unbalanced",
        # As R: units that miss a period are left out.
        balance="full" if a.kind == "att_gt" else None,
        bstrap=bool(a.draws), cband=bool(a.draws), biters=max(a.draws, 1), random_state=1,
    )
    for kind in AGGREGATIONS:
        sp.aggte(result, type=kind, random_state=1)
    return list(zip(*(result.detail[name] for name in ("group", "time", "att", "se"))))


def statspai_ddd(a, sp):
    """Its triple differences: the post-treatment cells alone, analytic, with one overall aggregate."""
    result = sp.ddd_heterogeneous(
        pandas(a), y=a.y, unit=a.id, time=a.t, cohort=a.g, subgroup=a.partition, x=a.x or None,
        est_method=a.est_method, se="analytic",
        control_group={"never": "nevertreated", "notyet": "notyettreated"}[a.control],
    )
    return list(zip(*(result.detail[name] for name in ("cohort", "time", "ddd", "se"))))


def differences(a):
    from differences import ATTgt

    data = pandas(a)
    data[a.g] = data[a.g].where(data[a.g] > 0)
    model = ATTgt(data=data.set_index([a.id, a.t]), cohort_column=a.g, base_period=a.base_period)
    method = {"dr": "dr", "reg": "reg", "ipw": "std_ipw"}[a.est_method]
    control = {"never": "never_treated", "notyet": "not_yet_treated"}[a.control]
    draws = {"boot_iterations": a.draws, "random_state": 1}
    right = " + ".join(a.x)
    with contextlib.redirect_stderr(io.StringIO()):
        result = model.fit(
            f"{a.y} ~ {right}" if right else a.y, est_method=method, control_group=control, cluster_var=a.cluster,
            # With draws, several jobs end in "ValueError: The truth value of an array … is ambiguous".
            n_jobs=1 if a.draws else CORES, progress_bar=False, **draws,
        )
        for kind in ("simple", "event", "cohort", "time"):
            model.aggregate(kind, cluster_var=a.cluster, **draws)
            if kind != "simple":
                model.aggregate(kind, overall=True, cluster_var=a.cluster, **draws)
    cells = result.to_pandas()
    cells.columns = [column[-1] for column in cells.columns]
    groups, times = (cells.index.get_level_values(level) for level in ("cohort", "time"))
    return list(zip(groups, times, cells["ATT"], cells["std_error"]))


RUN = {
    "diff-diff": diff_diff,
    "csdid": csdid,
    "moderndid": moderndid,
    "moderndid-spark": moderndid_spark,
    "StatsPAI": statspai,
    "differences": differences,
}


def formula(a):
    return "~ " + " + ".join(a.x) if a.x else None


def pandas(a):
    """The file as the pandas peers want it: a cross section gets an id for every row."""
    import pandas as pd

    data = pd.read_parquet(a.panel)
    if a.kind == "rc":
        data[a.id] = range(len(data))
    return data


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("panel")
    p.add_argument("--peer", choices=KINDS, required=True)
    p.add_argument("--kind", choices=KINDS["diff-diff"], default="att_gt", help="what the file holds [att_gt]")
    p.add_argument("--control", choices=("never", "notyet"), default="never", help="control group [never]")
    p.add_argument("--est-method", choices=("dr", "reg", "ipw"), default="dr")
    p.add_argument("--base-period", choices=("varying", "universal"), default="varying")
    p.add_argument("--draws", type=int, default=0, help="bootstrap draws; 0 for analytic standard errors")
    p.add_argument("--cells", metavar="FILE", help="write the cells as JSON lines: group, time, ATT, standard error")
    p.add_argument("--memory-gb", type=float, default=10, help="memory that the peer may use, for Spark's setting [10]")
    columns = {"y": "y", "t": "time", "id": "id", "g": "group", "partition": "partition"}
    for flag, default in columns.items():
        p.add_argument(f"--{flag}", default=default)
    p.add_argument("--cluster", help="column to cluster on, besides the unit")
    p.add_argument("--x", nargs="*", default=[])
    a = p.parse_args()
    if a.kind not in KINDS[a.peer]:
        p.error(f"{a.peer} does not do {a.kind}; it does {', '.join(KINDS[a.peer])}")
    return a


def main():
    a = arguments()
    warnings.simplefilter("ignore")
    cells = RUN[a.peer](a)
    if a.cells:
        with open(a.cells, "w") as out:
            for g, t, *numbers in cells:
                row = [float(g), float(t), *(float(x) if math.isfinite(x) else None for x in numbers)]
                out.write(json.dumps(row) + "\n")
    print(len(cells), flush=True)
    # Worker processes and threads of the peers are not waited for: the estimates are there.
    os._exit(0)


if __name__ == "__main__":
    main()
