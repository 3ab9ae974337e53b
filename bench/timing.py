"""Times the rows of a section: Stagger's in turn with the bare scan and the reference row, the peers' between two scans."""

import hashlib
import os
import shutil
from pathlib import Path

import agreement
import conditions
import measure
import record
from work import ANALYTIC, BENCH, OUT

# joblib shares arrays between processes there, and a process that is stopped leaves them.
SHARED_MEMORY = Path("/dev/shm/stagger-bench")
# Without settings that hold OpenBLAS back.
PEERS_ENVIRONMENT = {key: value for key, value in os.environ.items() if not key.startswith("OPENBLAS_")}
PEERS_ENVIRONMENT["JOBLIB_TEMP_FOLDER"] = str(SHARED_MEMORY)


class Timing:
    """One measurement: its programs, its limits, and where figures are stored."""

    def __init__(self, setting, a, store):
        self.setting, self.a, self.store = setting, a, store
        self.here = {"date": conditions.today(), "machine": conditions.machine(setting.cores), "units": setting.units}
        self.cells = {}

    def time_ours(self, section):
        """All of Stagger's rows of a section, in rounds: the scan, the reference row, each row."""
        print(f"\n{section.title}", flush=True)
        cache_pages([self.setting.reference().path, *(panel.path for panel in section.panels)])
        reference = self.setting.estimate(self.setting.reference(), *ANALYTIC)
        scans, references, runs, results = [], [], {row.name: [] for row in section.ours}, {}
        for _ in range(self.a.runs):
            rows = [row for row in section.ours if self.wants_more(runs[row.name])]
            if not rows:
                break
            scans.append(self.once("S", self.setting.scan()).wall)
            references.append(self.once("reference", reference).wall)
            for row in rows:
                run = self.once(row.name, row.argv, before=row.before)
                runs[row.name].append(run)
                results.setdefault(row.result, set()).add(hashlib.sha256(run.stdout.encode()).hexdigest())
        for row in section.ours:
            self.put_ours(section, row, runs[row.name], scans, references, results)

    def wants_more(self, runs):
        """True until a row has had its seconds: rows of many seconds run fewer times."""
        if not runs:
            return True
        spent = sum(run.wall for run in runs)
        return not runs[-1].failed and spent + runs[-1].wall <= self.a.row_seconds

    def once(self, label, argv, before=None, **options):
        if before:
            before()
        run = measure.run(argv, **options)
        outcome = f" — {run.stopped or run.message()}" if run.failed else ""
        print(f"  {label}: {run.wall:.3f} s, {run.cpu:.2f} CPU s, {run.peak_mb:.0f} MB{outcome}", flush=True)
        return run

    def put_ours(self, section, row, runs, scans, references, results):
        here = self.here | {"version": f"Stagger {conditions.commit()}"}
        folder_mb = round(folder_bytes(row.writes) / 1e6, 1) if row.writes and row.writes.exists() else None
        figures = record.row(here, runs, scans, references, folder_mb=folder_mb)
        if row.result and len(results[row.result]) > 1:
            figures["failure"] = "the rows that should print the same result print different ones"
        self.store.put(section.name, row.name, figures)
        if row.writes and row.name != "prepare":
            shutil.rmtree(row.writes, ignore_errors=True)

    def time_peer(self, section, peer):
        """One run of a peer, between two scans, and its cells beside Stagger's."""
        label = f"{section.name}: {peer.name}"
        cells, options = OUT / "cells.jsonl", (str(word) for word in peer.options)
        cells.unlink(missing_ok=True)
        argv = (*self.peer_program(peer), peer.panel.path, *options, "--cells", cells)
        if peer.panel.covariates:
            argv += ("--x", *peer.panel.covariates)
        cache_pages([self.setting.reference().path, peer.panel.path])
        limits = measure.Limits(seconds=self.a.peer_timeout, megabytes=1000 * self.a.peer_memory)
        scans = [self.once("S", self.setting.scan()).wall]
        run = self.once(label, argv, limits=limits, env=PEERS_ENVIRONMENT)
        shutil.rmtree(SHARED_MEMORY, ignore_errors=True)
        scans.append(self.once("S", self.setting.scan()).wall)
        version = conditions.r_version() if peer.peer == "did (R)" else conditions.peer_version(argv[0], peer.peer)
        figures = record.row(
            self.here | {"version": version}, [run], scans, [], agreement=None if run.failed else self.agree(section, peer, cells)
        )
        self.store.put(section.name, peer.name, figures)

    def peer_program(self, peer):
        if peer.peer == "did (R)":
            return ("Rscript", BENCH / "peers.R")
        interpreter = conditions.install(self.a.python, peer.peer)
        return (interpreter, BENCH / "peers.py", "--peer", peer.peer, "--memory-gb", self.a.peer_memory)

    def agree(self, section, peer, path):
        """The peer's cells beside those of Stagger's row for the same work, which is run once more for them."""
        key = (section.name, peer.beside)
        if key not in self.cells:
            row = next(row for row in section.ours if row.name == peer.beside)
            run = measure.run((*row.argv, "--json", "--quiet"))
            self.cells[key] = None if run.failed else agreement.stagger_cells(run.stdout)
        if self.cells[key] is None:
            return None
        return agreement.compare(self.cells[key], agreement.peer_cells(path))


def cache_pages(paths):
    """Reads files, so that they are in the page cache."""
    for path in paths:
        for file in sorted(path.glob("*.parquet")) if path.is_dir() else [path]:
            with file.open("rb") as data:
                while data.read(1 << 24):
                    pass


def folder_bytes(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
