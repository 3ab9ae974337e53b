"""The project's limits, with what the stored figures reach; printed after a measurement."""

from record import in_scans, measured, seconds

# Section and row; what it is compared with (S, or a row of the section); the limit.
TIMES = (
    ("reference", "reference", "S", 1.4),
    ("reference", "reference, draws", "S", 2.4),
    ("reference", "not-yet", "reference", 2.0),
    ("reference", "shuffled", "reference", 2.5),
    ("reference", "varying", "reference", 1.6),
    ("cross-sections", "draws", "analytic", 1.6),
    ("small", "draws", "S", 0.15),
    ("specifications", "specs-draws", "specs-draws apart", 0.4),
    ("police", "analytic", "S", 2),
    ("police", "draws", "S", 6),
    ("cohorts", "analytic", "S", 8),
    ("many-cells", "analytic", "S", 12),
)
# Section, row, most megabytes of memory.
MEMORY = (("police", "draws", 200), ("cohorts", "analytic", 1000))
# Section, row, most megabytes of the folder, the same row without it, most S of the writing.
FOLDER = ("police", "draws saved", 20, "draws", 1)


def lines(store):
    yield "limit: reached"
    for section, name, base, limit in TIMES:
        row, other = store.get(section, name), None if base == "S" else store.get(section, base)
        if not measured(row) or not (base == "S" or measured(other)):
            continue
        reached = in_scans(row) if base == "S" else seconds(row) / seconds(other)
        if reached is not None:
            yield verdict(f"{section}, {name}: ≤ {limit} × {base}", reached, limit)
    for section, name, limit in MEMORY:
        if measured(row := store.get(section, name)):
            yield verdict(f"{section}, {name}: ≤ {limit} MB", row["peak_mb"], limit)
    section, name, megabytes, base, scans = FOLDER
    row, other = store.get(section, name), store.get(section, base)
    if measured(row) and measured(other):
        yield verdict(f"{section}, {name}: ≤ {megabytes} MB on disk", row.get("folder_mb", float("inf")), megabytes)
        yield verdict(f"{section}, {name}: written in ≤ {scans} S", in_scans(row) - in_scans(other), scans)


def verdict(words, reached, limit):
    return f"{'yes' if reached <= limit else 'NO '}  {words}: {reached:.2f}"
