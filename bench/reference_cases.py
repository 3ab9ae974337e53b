#!/usr/bin/env python3
"""Compares a peer with R's numbers: the reference cases of R `did` 2.5.1 and `triplediff` 0.2.4 in tests/fixtures/golden.

    .venv/bin/python reference_cases.py StatsPAI csdid       # prints a table in Markdown
    .venv/bin/python reference_cases.py differences --list   # also every case that differs

Takes the cases with analytic standard errors, without weights and anticipation, whose covariates are columns.
"""

import argparse
import contextlib
import io
import json
import os
import re
import warnings
from pathlib import Path
from types import SimpleNamespace

import agreement
import peers

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "fixtures"
CONTROL = {"nevertreated": "never", "notyettreated": "notyet"}
# Four digits of a standard error, as `ipw` and `dr` of R stop their logit early; and as many of an ATT near 1.
ATT, SE = 1e-4, 5e-4


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("peers", nargs="+", choices=peers.KINDS, metavar="PEER")
    p.add_argument("--kinds", nargs="+", choices=peers.KINDS["diff-diff"], default=peers.KINDS["diff-diff"], help="of data [all]")
    p.add_argument("--list", action="store_true", help="also print the cases that differ")
    a = p.parse_args()
    warnings.simplefilter("ignore")
    # Small panels: starting worker processes takes longer than the work.
    peers.CORES = 1
    cases = [(key, case) for key, case in usable_cases() if key[0] in a.kinds]
    print("| peer | kind | control | method | cases | as R | ATT differs by | SE × | stops |\n|---|---|---|---|---|---|---|---|---|")
    for peer in a.peers:
        for key in sorted({key for key, _ in cases if key[0] in peers.KINDS[peer]}):
            group = [case for other, case in cases if other == key]
            print(f"| {peer} | {' | '.join(key)} | {' | '.join(outcome(peer, key, group, a.list))} |", flush=True)
    os._exit(0)


def usable_cases():
    """Each case with its kind of data, control group and method."""
    for path in sorted((FIXTURES / "golden").glob("*.jsonl")):
        for line in path.read_text().splitlines():
            case = json.loads(line)
            args = case.get("args", {})
            plain = not (args.get("weightsname") or args.get("anticipation") or args.get("bstrap") or args.get("boot"))
            known = case.get("estimator") in ("att_gt", "ddd") and args.get("control_group") in CONTROL
            # R stops or warns where a cell cannot be estimated.
            if not (plain and known and case["status"] == "ok" and covariates(args) is not None):
                continue
            if kind := kind_of(case["estimator"], args):
                control = CONTROL[args["control_group"]] + (", clusters" if cluster(args) else "")
                yield (kind, control, args.get("est_method", "dr")), case


def kind_of(estimator, args):
    rc, gaps = not args.get("panel", True), args.get("allow_unbalanced_panel", False)
    if estimator == "ddd":
        return None if rc or gaps else "ddd"
    return "rc" if rc else "unbalanced" if gaps else "att_gt"


def cluster(args):
    """The column on which standard errors are clustered, besides the unit."""
    given = args.get("clustervars") or args.get("cluster") or []
    names = [given] if isinstance(given, str) else given
    return next((name for name in names if name != args.get("idname")), None)


def covariates(args):
    """The columns of a formula; none where it has anything but columns."""
    terms = [term.strip() for term in args.get("xformla", "~1").lstrip("~ ").split("+")]
    names = [term for term in terms if term != "1"]
    return names if all(re.fullmatch(r"[A-Za-z_.][\w.]*", name) for name in names) else None


def outcome(peer, key, group, show):
    """The columns of a row: cases, those as R, the worst differences, and the messages of those that stop."""
    right, att, low, high, stops = 0, 0.0, 1.0, 1.0, {}
    for case in group:
        try:
            found = compare(peer, key[0], case)
        except BaseException as error:  # noqa: BLE001 - whatever a peer raises is its outcome
            words = f"{type(error).__name__}: {error}".splitlines()[0][:80]
            stops[words] = stops.get(words, 0) + 1
            continue
        se = found["se"] or [1.0, 1.0]
        agrees = found["cells"] > 0 and found["att"] <= ATT and max(1 - se[0], se[1] - 1) <= SE
        right += agrees
        att, low, high = max(att, found["att"] or 0), min(low, se[0]), max(high, se[1])
        if show and not agrees:
            print(f"    {case['case']}: {agreement.words(found)}")
    why = "; ".join(f"{count}: {words.replace('|', '/')}" for words, count in stops.items())
    return str(len(group)), str(right), f"{att:.0e}", f"{low:.4f}–{high:.4f}", why


def compare(peer, kind, case):
    args, result = case["args"], case["result"]
    work = SimpleNamespace(
        panel=str(FIXTURES / "data" / case["data"]), peer=peer, kind=kind, control=CONTROL[args["control_group"]],
        est_method=args.get("est_method", "dr"), base_period=args.get("base_period", "universal" if kind == "ddd" else "varying"),
        draws=0, y=args["yname"], t=args["tname"], id=args.get("idname") or "row", g=args["gname"],
        partition=args.get("pname"), cluster=cluster(args), x=covariates(args), memory_gb=4,
    )
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        cells = peers.RUN[peer](work)
    theirs = {(float(g), float(t)): (float(att), float(se)) for g, t, att, se in cells}
    groups = result.get("groups") or result["group"]
    times = result.get("times") or result["time"]
    se = result.get("se_analytic") or result["se"]
    ours = {(float(g), float(t)): cell for g, t, *cell in zip(groups, times, result["att"], se)}
    return agreement.compare(ours, theirs)


if __name__ == "__main__":
    main()
