"""Writes a panel of many small cohorts that begin between its periods: `python many_cohorts.py 1000 panel.parquet`.

Outcomes are measured every 53 days from day 1 on. Treatment of two units each begins on day 2, 3, …, and a fifth as many
units as cohorts are never treated. 1000: 2,200 units × 20 periods, 19,000 cells. The true effect is 1. Needs numpy and
pyarrow.
"""

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

GAP = 53


def panel(cohorts):
    """The columns id, time, group and y, sorted by id and time."""
    periods = 1 + GAP * np.arange(1 + -(-cohorts // GAP))
    group = np.concatenate([np.zeros(cohorts // 5, int), np.repeat(np.arange(2, cohorts + 2), 2)])
    units, rows = len(group), len(group) * len(periods)
    rng = np.random.default_rng(12)
    g, t = np.repeat(group, len(periods)), np.tile(periods, units)
    level = np.repeat(rng.normal(size=units), len(periods))
    y = level + 0.001 * t + ((g > 0) & (t >= g)) + 0.5 * rng.normal(size=rows)
    return pa.table({"id": np.repeat(np.arange(1, units + 1), len(periods)), "time": t, "group": g, "y": np.round(y, 6)})


if __name__ == "__main__":
    pq.write_table(panel(int(sys.argv[1])), sys.argv[2], compression="zstd")
