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
import time
from collections.abc import Collection
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import CloudArbError
from cloudarb_lib.base.files import locked
from cloudarb_lib.base.units import parse_as_of
from cloudarb_lib.tables import run_tables
from pipelines.config import STEPS, RunConfig, load_config
from pipelines.doctor import asked_for
from pipelines.files import digest, read_json, scrub, write_json, write_text
from pipelines.runner import OWNER, STOPPED, now, skip_slow_grammar

_HERE = Path(__file__).parent
_CORES = 2


class RunError(CloudArbError):
    """The run cannot go ahead, or its graph could not be carried out."""

    exit_code = 6


def run(config_path: Path, *, reports: Path | None = None) -> int:
    """Carry out a configuration and return the exit code: 0, or that of the notebook that failed.

    What is up to date is not run again. ParameterError before anything starts; RunError when
    the same run is in progress already.
    """
    config, began = load_config(config_path), time.monotonic()
    reports = reports or locations.reports()
    snapshot = _snapshot(config)
    as_of = re.sub("[^0-9A-Za-z-]", "", str(config.given["as_of"]))
    parameters = run_tables.digest(json.dumps(config.given, sort_keys=True))[:6]
    run_id = f"{config.own['name']}-{as_of}-{snapshot.stem[:8]}-{parameters}"
    run_dir, state = reports.absolute() / run_id, reports.absolute() / ".state" / run_id
    shown = os.path.relpath(run_dir)
    with locked(state / "lock", RunError, f"run {run_id}") as lock:
        _pin(run_dir / "snapshot", snapshot)
        before, old = _statuses(run_dir), read_json(run_dir / "manifest.json") or {}
        manifest = {
            "run_id": run_id,
            "title": config.own["title"],
            "status": "running",
            **_origin(),
        }
        manifest |= _rests(config, snapshot.stem)
        graph = _graph(config, manifest["notebooks"], run_dir, state)
        print(
            f"{manifest['title']}\n{len(STEPS)} notebooks on snapshot {snapshot.stem[:8]}, into {shown}",
            flush=True,
        )
        _note(manifest, run_dir)
        code, said = _carry_out(graph, run_dir, state, lock)
        ran = {
            step: status
            for step, status in _statuses(run_dir).items()
            if status != before.get(step)
        }
        failed = sorted(
            (s for s in ran.values() if s.get("exit_code")), key=lambda s: s["finished_at"]
        )
        if code not in (0, STOPPED) and failed:
            code = failed[0]["exit_code"]
        elif code not in (0, STOPPED):
            code, manifest["error"] = (
                RunError.exit_code,
                f"the graph broke, see logs/graph.log: {said}",
            )
            print(manifest["error"], file=sys.stderr)
        same = (old.get("status"), old.get("drawn_by")) == ("succeeded", manifest["drawn_by"])
        if code == 0 and same and not ran:
            write_json(run_dir / "manifest.json", old)
            print(f"nothing to do: {shown} is up to date ({time.monotonic() - began:.1f} s)")
            return 0
        manifest["status"] = {0: "succeeded", STOPPED: "stopped"}.get(code, "failed")
        manifest |= {"finished_at": now(), "seconds": round(time.monotonic() - began, 1)}
        _note(manifest, run_dir, ran)
        skip_slow_grammar()
        from pipelines import report

        report.export(run_dir)
        report.write_index(reports)
    for step in ran:
        if manifest["notebooks"][step]["status"] == "failed":
            error = manifest["notebooks"][step]["error"]
            print(f"{step}: {error}\n  kept: {shown}/failed/{step}.html", file=sys.stderr)
    again = "; the same command takes up where it stopped" if code == STOPPED else ""
    print(f"{manifest['status']} in {manifest['seconds']:.0f} s: {shown}/index.html{again}")
    return code


def _snapshot(config: RunConfig) -> Path:
    """Return the file of the store's newest snapshot, building the bundled store if need be.

    ParameterError where it has nothing fresh of the providers at as_of.
    """
    from cloudarb_lib.advice import markets
    from cloudarb_lib.store import open_snapshot

    store, given = config.own.get("store_dir"), config.given
    ages = {
        "providers": given.get("providers"),
        "stale_after_days": given.get("stale_after_days", 1.0),
    }
    with open_snapshot(locations.home() / store if store else "") as snapshot:
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
    git: dict[str, object] | None = None
    with suppress(OSError, subprocess.SubprocessError):
        root = str(locations.checkout() or os.devnull)
        said = [
            subprocess.check_output(
                ["git", "-C", root, *words], stderr=subprocess.DEVNULL, text=True
            )
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain"])
        ]
        git = {"revision": said[0].strip(), "dirty": bool(said[1])}
    packages = {name: metadata.version(name) for name in ("cloudarb", *asked_for())}
    machine = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "pid": os.getpid(),
    }
    drawn_by = digest(sorted(_HERE.glob("report.*")))
    return {"started_at": now(), "git": git, **machine, "packages": packages, "drawn_by": drawn_by}


def _rests(config: RunConfig, snapshot: str) -> dict:
    """Return what the results rest on, by value or digest: of the run, and of each notebook."""
    code = sorted(p for p in locations.library().rglob("*") if p.suffix in (".py", ".csv"))
    figures = [*sorted(locations.data().glob("*.csv")), locations.data() / "scenarios.yaml"]
    shared = {"snapshot": snapshot, "library": digest([*code, *figures])}
    entries = {}
    for step, parameters in config.parameters.items():
        demand = [locations.find(str(parameters["demand"]))] if "demand" in parameters else []
        own = {
            "notebook": digest([locations.notebooks() / f"{step}.ipynb"]),
            "demand": digest(demand),
        }
        entries[step] = {**shared, **own, "parameters": json.dumps(parameters, sort_keys=True)}
    return {
        "as_of": str(config.given["as_of"]),
        **shared,
        "config": config.given,
        "notebooks": entries,
    }


def _graph(config: RunConfig, given: dict, run_dir: Path, state: Path) -> list[str]:
    """Write what the graph is told, and return the command that carries it out."""
    for step, parameters in config.parameters.items():
        write_json(state / "parameters" / f"{step}.json", parameters)
    told = {
        "python": sys.executable,
        "run_dir": os.path.relpath(run_dir, state),
        "notebooks": str(locations.notebooks()),
    }
    write_json(state / "graph.json", {**told, "timeout_s": config.own["timeout_s"], "given": given})
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(_HERE / "Snakefile"),
        "--nolock",
    ]
    command += ["--directory", str(state), "--configfile", "graph.json", "--cores", str(_CORES)]
    return [*command, "--rerun-incomplete", "--keep-going", "--scheduler", "greedy"]


def _carry_out(graph: list[str], run_dir: Path, state: Path, lock: int) -> tuple[int, str]:
    """Run the graph, whose runners tell what happens; return its exit code and the end of what it said."""
    log = state / "graph.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            graph,
            cwd=state,
            stderr=out,
            env={**os.environ, OWNER: str(os.getpid())},
            pass_fds=[lock],
            start_new_session=True,
        )
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = process.wait()
    except KeyboardInterrupt:
        code = STOPPED
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, number)
                process.wait(10)
        signal.signal(signal.SIGTERM, previous)
        text = scrub(log.read_text(errors="replace"), {state: ".", run_dir.parent: ".."})
        write_text(run_dir / "logs" / "graph.log", text)
    return code, " ".join(text.splitlines()[-3:])


def _statuses(run_dir: Path) -> dict[str, dict]:
    """Return how each notebook of the run stands, as its runner wrote it."""
    found = {step: read_json(run_dir / "logs" / f"{step}.json") for step in STEPS}
    return {step: status for step, status in found.items() if status}


def _note(manifest: dict, run_dir: Path, ran: Collection[str] | None = None) -> None:
    """Write the manifest as things stand; at the end, ``ran`` names what ran this time.

    Then a notebook that did not run, and rests on one that did not succeed, is 'not run'.
    """
    entries, found = manifest["notebooks"], _statuses(run_dir)
    for step, entry in entries.items():
        status = found.get(step, {"status": "not run"})
        entry |= {key: value for key, value in status.items() if key != "parameters"}
        if ran is not None and entry["status"] == "running":
            entry["status"] = "stopped"
        rested = [entries[name]["status"] for name in entry.get("after", [])]
        if ran is not None and step not in ran and any(status != "succeeded" for status in rested):
            entry["status"] = "not run"
    write_text(run_dir / "manifest.json", scrub(json.dumps(manifest, indent=1)) + "\n")
