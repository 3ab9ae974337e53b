"""The stored figures: `results.json` keeps every row with its date, so that a run replaces only what it measured."""

import json
import statistics


class Record:
    """The rows of a file, by section and name."""

    def __init__(self, path):
        self.path = path
        self.rows = json.loads(path.read_text()) if path.exists() else {}

    def get(self, section, name):
        return self.rows.get(f"{section}/{name}")

    def put(self, section, name, row):
        """Stores a row and writes the file, so that an interrupted run loses nothing."""
        self.rows[f"{section}/{name}"] = row
        self.path.parent.mkdir(exist_ok=True)
        lines = (f"{json.dumps(key)}: {json.dumps(self.rows[key], ensure_ascii=False)}" for key in sorted(self.rows))
        self.path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def row(conditions, runs, scans, references, **more):
    """The figures of a row: its runs in order, and medians of the scan and the reference row of the same minute."""
    last = runs[-1]
    figures = {
        **conditions,
        "wall": [round(run.wall, 3) for run in runs],
        "cpu": round(statistics.median(run.cpu for run in runs), 2),
        "peak_mb": round(max(run.peak_mb for run in runs)),
        "scan": round(statistics.median(scans), 3),
    }
    if references:
        figures["reference"] = round(statistics.median(references), 3)
    if last.failed:
        figures["failure"] = last.stopped or last.message()
    return figures | {name: value for name, value in more.items() if value is not None}


def seconds(row):
    """The median of a row's runs."""
    return statistics.median(row["wall"])


def in_scans(row):
    """The median as a multiple of S, the bare scan in the same minute; none for old figures without it."""
    return seconds(row) / row["scan"] if "scan" in row else None


def times(row, other):
    """How many times as long one row takes as another: by S where both have it, by seconds where they are of one day."""
    if "scan" in row and "scan" in other:
        return in_scans(row) / in_scans(other)
    return seconds(row) / seconds(other) if row["date"] == other["date"] else None


def measured(row):
    """True if there is a row, and it was not stopped and did not fail."""
    return row is not None and "failure" not in row
