"""One run, from configuration to report: checks, snapshot, graph, manifest, pages."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from cloudarb_lib import handover
from cloudarb_lib.errors import CloudArbError
from cloudarb_lib.files import locked
from cloudarb_lib.handover import PROJECT
from cloudarb_lib.units import parse_as_of
from pipelines import runner
from pipelines.config import AFTER, NOTEBOOKS, STEPS, RunConfig, load_config
from pipelines.doctor import asked_for
from pipelines.files import digest, read_json, scrub, write_text

REPORTS = PROJECT / "reports"
_HERE = Path(__file__).parent
_CORES = 2


class RunError(CloudArbError):
    """The run cannot go ahead."""

    exit_code = 6


def run(config_path: Path, *, reports: Path = REPORTS, notebooks: Path = NOTEBOOKS) -> int:
    """Carry out a configuration and return the exit code: 0, or that of the notebook that failed.

    What is up to date is not run again. ParameterError before anything starts; RunError when
    the same run is in progress already.
    """
    config, began = load_config(config_path, notebooks), time.monotonic()
    snapshot = _snapshot(config)
    as_of = re.sub("[^0-9A-Za-z-]", "", str(config.given["as_of"]))
    parameters = handover.digest(json.dumps(config.given, sort_keys=True))[:6]
    run_id = f"{config.own['name']}-{as_of}-{snapshot.stem[:8]}-{parameters}"
    run_dir = reports.absolute() / run_id
    shown = os.path.relpath(run_dir)
    with locked(run_dir / ".lock", RunError, f"run {run_id}"):
        for left in run_dir.glob(".work-*"):  # by a run that was killed
            shutil.rmtree(left, ignore_errors=True)
        _pin(run_dir / "snapshot", snapshot)
        old = read_json(run_dir / "manifest.json") or {}
        manifest = {"run_id": run_id, "title": config.own["title"], "status": "running", **_origin()}
        manifest |= _rests(config, snapshot.stem, notebooks)
        entries = manifest["notebooks"]
        stale = _stale(entries, old.get("notebooks", {}), run_dir)
        same = (old.get("status"), old.get("drawn_by")) == ("succeeded", manifest["drawn_by"])
        if same and not stale:
            print(f"nothing to do: {shown} is up to date ({time.monotonic() - began:.1f} s)")
            return 0
        print(f"{manifest['title']}\n{len(STEPS)} notebooks on snapshot {snapshot.stem[:8]}, into {shown}")
        stopped = _carry_out(config, stale, manifest, run_dir, notebooks)
        failed = [step for step in stale if entries[step].get("exit_code")]
        failed.sort(key=lambda step: entries[step]["finished_at"])
        code = runner.STOPPED if stopped else entries[failed[0]]["exit_code"] if failed else 0
        manifest["status"] = {0: "succeeded", runner.STOPPED: "stopped"}.get(code, "failed")
        manifest |= {"finished_at": runner.now(), "seconds": round(time.monotonic() - began, 1)}
        _write(manifest, run_dir)
        from pipelines import report

        report.export(run_dir)
        report.write_index(reports)
    for step in failed:
        if entries[step]["status"] == "failed":
            print(f"{step}: {entries[step]['error']}\n  kept: {shown}/failed/{step}.html", file=sys.stderr)
    again = "; the same command takes up where it stopped" if stopped else ""
    print(f"{manifest['status']} in {manifest['seconds']:.0f} s: {shown}/index.html{again}")
    return code


def _snapshot(config: RunConfig) -> Path:
    """Return the file of the store's newest snapshot, building the bundled store if need be.

    ParameterError where it has nothing fresh of the providers at as_of.
    """
    from cloudarb_lib.advice import markets
    from cloudarb_lib.store import open_snapshot

    store, given = config.own.get("store_dir"), config.given
    ages = {"providers": given.get("providers"), "stale_after_days": given.get("stale_after_days", 1.0)}
    with open_snapshot(PROJECT / store if store else "") as snapshot:
        markets(snapshot, [parse_as_of(given["as_of"])], **ages)
        return snapshot.path


def _pin(folder: Path, snapshot: Path) -> None:
    """Make ``folder`` a store whose newest snapshot stays this one, whatever is ingested later."""
    write_text(folder / "current", f"{snapshot.stem}\n")
    kept = folder / "snapshots" / snapshot.name
    kept.parent.mkdir(parents=True, exist_ok=True)
    if not kept.exists():
        try:
            os.link(snapshot, kept)  # the store keeps few snapshots, a report keeps its own
        except OSError:
            shutil.copyfile(snapshot, kept)


def _origin() -> dict:
    """Return what a run is made by: code, packages, machine; git is None where it tells nothing."""
    git = None
    with suppress(OSError, subprocess.SubprocessError):
        words = ["git", "-C", str(PROJECT), "describe", "--always", "--dirty", "--exclude=*", "--abbrev=40"]
        git = subprocess.check_output(words, stderr=subprocess.DEVNULL, text=True).strip()
    packages = {name: metadata.version(name) for name in ("cloudarb", *asked_for())}
    machine = {"python": platform.python_version(), "platform": platform.platform(), "pid": os.getpid()}
    drawn_by = digest(sorted(_HERE.glob("report.*")))
    return {"started_at": runner.now(), "git": git, **machine, "packages": packages, "drawn_by": drawn_by}


def _rests(config: RunConfig, snapshot: str, notebooks: Path) -> dict:
    """Return what the results rest on, by value or digest: of the run, and of each notebook."""
    code = sorted(p for p in (PROJECT / "cloudarb_lib").rglob("*") if p.suffix in (".py", ".txt"))
    figures = [*sorted((PROJECT / "data").glob("*.csv")), PROJECT / "data/scenarios.yaml"]
    shared = {"snapshot": snapshot, "library": digest([*code, *figures])}
    entries = {}
    for step, parameters in config.parameters.items():
        demand = [PROJECT / str(parameters["demand"])] if "demand" in parameters else []
        own = {"notebook": digest([notebooks / f"{step}.ipynb"]), "demand": digest(demand)}
        entries[step] = {**shared, **own, "parameters": json.dumps(parameters, sort_keys=True)}
    return {"as_of": str(config.given["as_of"]), **shared, "config": config.given, "notebooks": entries}


def _stale(entries: dict, old: dict, run_dir: Path) -> list[str]:
    """Return the notebooks to run: what they rest on has changed, or what they left is not whole.

    The entries of the others are as they were; these are 'not run', and what they left before is taken away.
    """
    stale: list[str] = []
    for step, rests in entries.items():
        was = old.get(step, {})
        left = [run_dir / f"notebooks/{step}.ipynb"]
        left += [run_dir / f"tables/{table}.parquet" for table in was.get("tables", [])]
        whole = was.get("status") == "succeeded" and all(path.exists() for path in left)
        if whole and was.items() >= rests.items() and not set(AFTER[step]) & set(stale):
            rests |= was
        else:
            rests["status"] = "not run"
            stale.append(step)
            for path in left:
                path.unlink(missing_ok=True)
    return stale


def _carry_out(config: RunConfig, stale: list[str], manifest: dict, run_dir: Path, notebooks: Path) -> bool:
    """Run notebooks, each after those it rests on if they succeed, and keep the manifest up to date.

    Return whether a signal stopped it.
    """
    entries, stop, writing = manifest["notebooks"], threading.Event(), threading.Lock()

    def one(step: str, before: list[Future]) -> None:
        wait(before)
        rests = [entries[name] for name in AFTER[step]]
        if stop.is_set() or any(entry["status"] != "succeeded" for entry in rests):
            return
        note(step, {"status": "running"})
        tables = [table for entry in rests for table in entry["tables"]]
        watch = runner.Watch(config.own["timeout_s"], stop)
        note(step, runner.run(notebooks / f"{step}.ipynb", run_dir, config.parameters[step], watch, tables))

    def note(step: str, told: dict) -> None:
        with writing:
            entries[step] |= told
            _write(manifest, run_dir)

    _write(manifest, run_dir)
    previous = {n: signal.signal(n, lambda *_: stop.set()) for n in (signal.SIGINT, signal.SIGTERM)}
    running: dict[str, Future] = {}
    # one waits in the pool for others only where these were handed in before it, so they go on
    with ThreadPoolExecutor(_CORES) as pool:
        for step in stale:
            running[step] = pool.submit(one, step, [running[name] for name in AFTER[step] if name in running])
        while wait(running.values(), timeout=0.2).not_done:
            pass  # a signal that comes just before a wait without an end would be seen at its end only
    for number, handler in previous.items():
        signal.signal(number, handler)
    for future in running.values():
        future.result()
    return stop.is_set()


def _write(manifest: dict, run_dir: Path) -> None:
    write_text(run_dir / "manifest.json", scrub(json.dumps(manifest, indent=1)) + "\n")
