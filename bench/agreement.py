"""Compares the cells of a peer with Stagger's: ATT(g,t) and standard errors."""

import json
import math


def stagger_cells(stdout):
    """{(g, t): (ATT, standard error)} of one line of `--json`."""
    cells = json.loads(stdout.splitlines()[0])["att_gt"]
    numbers = zip(cells["group"], cells["time"], cells["att"], cells["se"])
    return {(float(g), float(t)): (att, se) for g, t, att, se in numbers}


def peer_cells(path):
    """The same of a file that `peers.py --cells` wrote."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {(g, t): (att, se) for g, t, att, se in rows}


def compare(ours, theirs):
    """How many cells both have, the largest difference of an ATT, and the range of the ratio of standard errors."""
    both = [(ours[cell], theirs[cell]) for cell in ours if cell in theirs]
    both = [(us, them) for us, them in both if known(us[0]) and known(them[0])]
    ratios = [them[1] / us[1] for us, them in both if known(us[1]) and known(them[1]) and us[1] > 0]
    return {
        "cells": len(both),
        "of": len(ours),
        "att": max((abs(us[0] - them[0]) for us, them in both), default=None),
        "se": [min(ratios), max(ratios)] if ratios else None,
    }


def known(number):
    return number is not None and math.isfinite(number)


def words(agreement):
    """One line of a comparison."""
    if not agreement or not agreement["cells"]:
        return "no cell in common"
    cells = f"{agreement['cells']:,} of {agreement['of']:,} cells: " if agreement["cells"] != agreement["of"] else ""
    difference = agreement["att"]
    att = f"ATT within {difference:.0e}" if difference else "ATT equal"
    if not agreement["se"]:
        return f"{cells}{att}; no standard errors"
    low, high = agreement["se"]
    if max(abs(low - 1), abs(high - 1)) < 5e-7:
        return f"{cells}{att}, SE equal"
    digits = 5 if max(abs(low - 1), abs(high - 1)) < 5e-4 else 3
    return f"{cells}{att}, SE × {low:.{digits}f}–{high:.{digits}f}"
