"""Writes docs/benchmarks.md and the README's rows from the stored figures."""

import agreement
from record import in_scans, measured, seconds, times

INTRO = """\
# Benchmarks

Every figure on this page is that of a whole process, from file to printed result. `python3 bench/table.py` measures and
writes the page, and `python3 bench/table.py --quick` measures Stagger's rows alone. Rows that were not measured again keep
their figures and their date. [bench/README.md](../bench/README.md) says how the programs are run, and which standard errors
of the peers are right.

## Conditions
"""
CONDITIONS = """\
* **S** is the time in which two threads decode the eight columns of the reference panel with the parquet crate's record
  reader and do nothing with them ([bare_scan.rs](../tests/examples/bare_scan.rs)). Machines differ by three times, and one
  machine differs from minute to minute, so Stagger's rows alternate with the scan and with the reference row (analytic), a
  peer's run has a scan before and after it, and the columns "× S" and "× reference" are ratios of medians of the same
  minutes. Compare rows by "× S".
* Processes run one at a time, with their files in the page cache. A peer that takes too long or too much memory is stopped,
  and its row and the [list of failures](#failures-of-the-peers) say so.
* A peer does the same work as Stagger's row, as far as it can: diff-diff has no calendar aggregation. "× Stagger" is the
  peer's "× S" divided by Stagger's. The last column compares its cells with Stagger's: the largest difference of an ATT(g,t)
  and the range of its standard errors divided by Stagger's. Draws differ from program to program, and so do standard errors
  that come from them."""
OURS_HEAD = (
    "| Stagger | seconds | min–max | × S | × reference | CPU s | peak memory | measured |",
    "|---|---|---|---|---|---|---|---|",
)
PEERS_HEAD = (
    "| peer | seconds | × S | × Stagger | peak memory | beside Stagger's cells | measured |",
    "|---|---|---|---|---|---|---|",
)
LAMBDA = """\
## Runs on AWS Lambda

[Runs at scale, simulated](scale.md) has the seconds and dollars of 10⁹ to 10¹¹ rows. They are a simulation with measured
rates, not measurements on AWS.
"""
# The README's rows: section, row, work in words.
README_ROWS = (
    ("reference", "reference", "1,000,000 units × 10 periods, 4 covariates, 72 cells: analytic"),
    ("reference", "reference, draws", "… 1,000 draws, simultaneous bands"),
    ("police", "draws", "7,785 units × 72 months, 3,337 cells: 1,000 draws"),
    ("triple", "never", "triple differences, 1,000,000 units × 10 periods: analytic"),
    ("cross-sections", "analytic", "10,000,000 rows of repeated cross sections: analytic"),
)
README_START, README_END = "<!-- benchmarks: written by bench/table.py -->", "<!-- /benchmarks -->"


def page(sections, store):
    """The whole page."""
    parts = [INTRO, *conditions(store), ""]
    for section in sections.values():
        parts += [*section_lines(section, store), ""]
    parts += [*failures(sections, store), "", LAMBDA]
    return "\n".join(parts)


def conditions(store):
    """The conditions, with every machine and every version of a figure."""
    yield CONDITIONS
    for kind, key in (("Machine", "machine"), ("Versions", "version")):
        found = {}
        for row in store.rows.values():
            found.setdefault(row.get(key), set()).add(row["date"])
        for words in sorted(filter(None, found)):
            yield f"* {kind}: {words} ({', '.join(sorted(found[words]))})."


def section_lines(section, store):
    yield f"## {section.title}"
    yield ""
    yield section.note
    rows = [(row, store.get(section.name, row.name)) for row in section.ours]
    if any(figures for _, figures in rows):
        yield ""
        yield from OURS_HEAD
        yield from (our_line(row, figures) for row, figures in rows if figures)
    peers = [(peer, store.get(section.name, peer.name)) for peer in section.peers]
    if any(figures for _, figures in peers):
        yield ""
        yield from PEERS_HEAD
        yield from (peer_line(peer, figures, store.get(section.name, peer.beside)) for peer, figures in peers if figures)


def our_line(row, figures):
    if not measured(figures):
        return f"| {row.label} | {figures['failure']} | | | | {number(figures.get('cpu'))} | {megabytes(figures)} | {figures['date']} |"
    walls = figures["wall"]
    spread = f"{number(min(walls))}–{number(max(walls))}" if len(walls) > 1 else "one run"
    reference = number(seconds(figures) / figures["reference"]) if "reference" in figures else ""
    folder = f", writes {figures['folder_mb']:,.0f} MB" if figures.get("folder_mb", 0) >= 1 else ""
    return (
        f"| {row.label} | {number(seconds(figures))} | {spread} | {number(in_scans(figures))} | {reference} "
        f"| {number(figures.get('cpu'))} | {megabytes(figures)}{folder} | {figures['date']} |"
    )


def peer_line(peer, figures, ours):
    time = number(seconds(figures))
    if measured(figures):
        cells = agreement.words(figures["agreement"]) if figures.get("agreement") else ""
        middle = f"{time} | {number(in_scans(figures))} | {ratio(figures, ours)}"
    else:
        cells = ""
        middle = f"[{outcome(figures)}](#failures-of-the-peers) | | {ratio(figures, ours)}"
    return f"| {peer.peer}, {peer.label} | {middle} | {megabytes(figures)} | {cells} | {figures['date']} |"


def outcome(figures):
    """How a run ended that gave no result, in few words."""
    time = number(seconds(figures))
    failure = figures["failure"]
    if failure.startswith("stopped"):
        return failure if "after" in failure else f"{failure} after {time} s"
    return f"failed after {time} s"


def ratio(figures, ours):
    """The peer's time as a multiple of Stagger's; "more than" where it was stopped, nothing where it failed."""
    if not measured(ours):
        return ""
    factor = times(figures, ours)
    if factor is None:
        return ""
    if measured(figures):
        return f"{number(factor)}×"
    return f"> {number(factor)}×" if "unfinished" in figures["failure"] else ""


def failures(sections, store):
    """Every failure of a peer, as it was."""
    yield "## Failures of the peers"
    yield ""
    absent = [row["failure"] for key, row in sorted(store.rows.items()) if key.startswith("absent/")]
    found = [
        f"* {peer.peer} ({figures['version'].split(',')[0]}), {peer.label}, *{section.title}*: {failure(figures)}"
        for section in sections.values()
        for peer in section.peers
        if (figures := store.get(section.name, peer.name)) and not measured(figures)
    ]
    yield from (f"* {line}" for line in absent)
    yield from found or ([] if absent else ["None."])


def failure(figures):
    message = figures["failure"]
    at = f"{number(seconds(figures))} s and {megabytes(figures)}"
    if message.startswith("stopped"):
        return f"{message} ({at})."
    return f"`{message.replace('`', chr(39))}` after {at}."


def amounts(figures):
    """Seconds and memory in words."""
    return ", ".join(filter(None, (f"{number(seconds(figures))} s", megabytes(figures))))


def number(value):
    """Three significant digits, without an exponent; nothing for nothing."""
    if value is None:
        return ""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def megabytes(figures):
    size = figures.get("peak_mb")
    if size is None:
        return ""
    return f"{size / 1000:.1f} GB" if size >= 1000 else f"{size} MB"


def readme_lines(sections, store):
    """The README's table."""
    yield from (README_START, "")
    yield "| work | Stagger | fastest peer | Stagger is |"
    yield "|---|---|---|---|"
    for name, row, words in README_ROWS:
        yield readme_line(sections[name], row, words, store)
    yield from ("", README_END)


def readme_line(section, row, words, store):
    ours = store.get(section.name, row)
    if not measured(ours):
        return f"| {words} | not measured | | |"
    rivals = [(peer, store.get(section.name, peer.name)) for peer in section.peers if peer.beside == row]
    rivals = [(peer, figures) for peer, figures in rivals if measured(figures)]
    start = f"| {words} | {amounts(ours)} |"
    if not rivals:
        return f"{start} [none finished](docs/benchmarks.md#failures-of-the-peers) | |"
    peer, best = min(rivals, key=lambda rival: ("scan" not in rival[1], in_scans(rival[1]) or seconds(rival[1])))
    factor = times(best, ours)
    faster = f"{factor:.0f}× faster" if factor else ""
    return f"{start} {peer.peer} {amounts(best)} | {faster} |"


def with_rows(readme, lines):
    """The README with its rows replaced."""
    start, end = readme.index(README_START), readme.index(README_END) + len(README_END)
    return readme[:start] + "\n".join(lines) + readme[end:]
