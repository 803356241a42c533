"""One run, from configuration to report: checks, snapshot, graph, manifest, pages."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from cloudarb_lib.errors import CloudArbError, ParameterError
from cloudarb_lib.handover import PROJECT
from cloudarb_lib.schema import nearest
from pipelines.config import NOTEBOOKS, STEPS, RunConfig, load_config
from pipelines.files import digest, read_json, scrub, write_json, write_text
from pipelines.runner import OWNER, STOPPED

REPORTS = PROJECT / "reports"
CORES = 2
_WAIT_S = 15.0


class RunError(CloudArbError):
    """The run cannot go ahead, or its graph could not be carried out."""

    exit_code = 6


def run(config_path: Path, *, reports: Path = REPORTS, notebooks: Path = NOTEBOOKS) -> int:
    """Carry out a configuration and return the exit code: 0, or that of the notebook that failed.

    What is up to date is not run again. ParameterError before anything starts; RunError when
    the same run is in progress already.
    """
    config = load_config(config_path, notebooks)
    file = _snapshot(config)
    snapshot = file.stem
    run_id = f"{config.name}-{re.sub('[^0-9A-Za-z-]', '', config.as_of)}-{snapshot[:8]}"
    run_dir, state = reports.absolute() / run_id, reports.absolute() / ".state" / run_id
    state.mkdir(parents=True, exist_ok=True)
    with locked(state / "lock") as lock:
        began = time.monotonic()
        _pin(run_dir / "snapshot", file)
        given = _prepare(config, snapshot, notebooks, state)
        before, old = _statuses(run_dir), read_json(run_dir / "manifest.json") or {}
        manifest = _manifest(config, snapshot, run_id, given)
        shown = os.path.relpath(run_dir)
        print(f"{config.title}\n{len(STEPS)} notebooks on snapshot {snapshot[:8]}, into {shown}")
        _note(manifest, run_dir)
        command = _graph(config, run_dir, notebooks, given, state)
        try:
            code = _watch(command, run_dir, lock, manifest, state)
        except KeyboardInterrupt:
            code = STOPPED
        ran = [n for n, status in _statuses(run_dir).items() if status != before.get(n)]
        if not ran and code == 0 and old.get("status") == "succeeded" and _pages_fresh(run_dir):
            write_json(run_dir / "manifest.json", old)
            print(f"nothing to do: {shown} is up to date ({time.monotonic() - began:.1f} s)")
            return 0
        manifest["status"] = {0: "succeeded", STOPPED: "stopped"}.get(code, "failed")
        _note(manifest, run_dir)
        _close(manifest, ran, began)
        write_json(run_dir / "manifest.json", manifest)
        from pipelines import report

        report.export(run_dir)
    report.write_index(reports)
    for name, status in _statuses(run_dir).items():
        if name in ran and status["status"] == "failed":
            print(f"{name}: {status['error']}\n  kept: {shown}/failed/{name}.html", file=sys.stderr)
    if code == STOPPED:
        print("stopped; the same command takes up where it stopped", file=sys.stderr)
    print(f"{manifest['status']} in {manifest['seconds']:.0f} s: {shown}/index.html")
    return code


def _snapshot(config: RunConfig) -> Path:
    """Return the file of the store's newest snapshot, building the bundled store if need be."""
    from cloudarb_lib.store import open_snapshot

    with open_snapshot(config.store_dir) as snapshot:
        known = sorted(snapshot.table("looks")["provider"].unique())
        found = Path(snapshot.path)
    for provider in config.given.get("providers", []):  # type: ignore[attr-defined]
        if provider not in known:
            raise ParameterError(
                f"the store has no provider {provider!r}{nearest(provider, known)}.",
                f"It has {', '.join(known)}.",
            )
    return found


def _pin(folder: Path, snapshot: Path) -> None:
    """Make ``folder`` a store whose newest snapshot stays this one, whatever is ingested later."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "current", f"{snapshot.stem}\n")
    with suppress(FileExistsError):
        (folder / "snapshots").symlink_to(os.path.relpath(snapshot.parent, folder))


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """Hold the lock of a run; yield its file descriptor, which the graph's process inherits.

    The system drops it when its last holder ends, however that ends: no lock is ever stale.
    """
    with path.open("a+") as handle:
        patience = time.monotonic() + _WAIT_S
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                handle.seek(0)
                owner = handle.read().strip()
                if Path(f"/proc/{owner}").exists() or time.monotonic() > patience:
                    raise RunError(
                        f"run {path.parent.name} is in progress already (process {owner}).",
                        "Wait for it to end, or stop that process.",
                    ) from None
                time.sleep(0.2)  # its owner was killed, and what it had started is ending
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield handle.fileno()


def _prepare(config: RunConfig, snapshot: str, notebooks: Path, state: Path) -> dict[str, dict[str, object]]:
    """Return, per notebook, all that its result rests on; write the parameters for the runner."""
    code = sorted((PROJECT / "cloudarb_lib").rglob("*.py"))
    library = digest([*code, PROJECT / "data/assumptions.csv", PROJECT / "data/scenarios.yaml"])
    given: dict[str, dict[str, object]] = {}
    for step, parameters in config.parameters.items():
        write_json(state / "parameters" / f"{step}.json", parameters)
        given[step] = {
            "snapshot": snapshot,
            "library": library,
            "notebook": digest([notebooks / f"{step}.ipynb"]),
            "parameters": json.dumps(parameters, sort_keys=True),
        }
        if "demand" in parameters:
            given[step]["demand"] = digest([PROJECT / str(parameters["demand"])])
    return given


def _graph(config: RunConfig, run_dir: Path, notebooks: Path, given: object, state: Path) -> list[str]:
    """Write the graph's config and return the command that carries the graph out."""
    write_json(
        state / "graph.json",
        {
            "python": sys.executable,
            "run_dir": os.path.relpath(run_dir, state),
            "notebooks": str(notebooks),
            "timeout_s": config.timeout_s,
            "given": given,
        },
    )
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(Path(__file__).parent / "Snakefile")]
    command += ["--directory", str(state), "--configfile", "graph.json", "--cores", str(CORES)]
    return [*command, "--nolock", "--rerun-incomplete", "--keep-going", "--scheduler", "greedy"]


def _watch(command: list[str], run_dir: Path, lock: int, manifest: dict, state: Path) -> int:
    """Run the graph, telling what happens as it happens; return 0 or the first failure's code."""
    seen = _statuses(run_dir)
    with (state / "graph.log").open("w") as log:
        graph = subprocess.Popen(
            command,
            cwd=state,
            stdout=log,
            stderr=log,
            env={**os.environ, OWNER: str(os.getpid())},
            pass_fds=[lock],
            start_new_session=True,
        )
        previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
        codes = []
        try:
            ended = False
            while not ended:
                ended = graph.poll() is not None
                for name, status in _statuses(run_dir).items():
                    if status == seen.get(name):
                        continue
                    seen[name] = status
                    manifest["status"] = "running"
                    _note(manifest, run_dir)
                    took = f" after {status['seconds']:.1f} s" if "seconds" in status else ""
                    print(f"  {name:<20}{status['status']}{took}", flush=True)
                    codes += [status["exit_code"]] if status.get("exit_code") else []
                time.sleep(0.0 if ended else 0.2)
        finally:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with suppress(ProcessLookupError):
                    os.killpg(graph.pid, number)
                with suppress(subprocess.TimeoutExpired):
                    graph.wait(10)
            signal.signal(signal.SIGTERM, previous)
            text = scrub(
                (state / "graph.log").read_text(errors="replace"), {state: ".", run_dir.parent: ".."}
            )
            write_text(run_dir / "logs" / "graph.log", text)
    if graph.returncode and not codes:
        last = text.strip().splitlines()[-12:]
        raise RunError("the graph failed:\n" + "\n".join(last), "See logs/graph.log of the run.")
    return codes[0] if codes else 0


def _statuses(run_dir: Path) -> dict[str, dict]:
    """Return how each notebook of the run stands, as its runner wrote it."""
    found = {step: read_json(run_dir / "logs" / f"{step}.json") for step in STEPS}
    return {step: status for step, status in found.items() if status}


def _manifest(config: RunConfig, snapshot: str, run_id: str, given: dict[str, dict[str, object]]) -> dict:
    """Return what is known of a run before it starts."""
    asked = [r for r in metadata.requires("cloudarb") or [] if "extra ==" not in r]
    wanted = [re.split(r"[^A-Za-z0-9._-]", r)[0] for r in asked]
    packages = {}
    for package in ["cloudarb", *wanted]:
        with suppress(metadata.PackageNotFoundError):
            packages[package] = metadata.version(package)
    return {
        "run_id": run_id,
        "title": config.title,
        "status": "running",
        "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "as_of": config.as_of,
        "snapshot": snapshot,
        "git": git_state(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "config": json.loads(scrub(json.dumps(config.given))),
        "library": next(iter(given.values()))["library"],
        "notebooks": {
            step: {"status": "not run", **rests, "parameters": scrub(str(rests["parameters"]))}
            for step, rests in given.items()
        },
        "packages": packages,
    }


def git_state() -> dict | None:
    """Return the checkout's revision and whether it holds changes; None where git tells nothing."""
    texts = []
    for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain"]):
        try:
            answer = subprocess.run(
                ["git", "-C", str(PROJECT), *arguments],
                capture_output=True, text=True, check=True, timeout=20,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return None
        texts.append(answer.stdout.strip())
    return {"revision": texts[0], "dirty": bool(texts[1])}


def _note(manifest: dict, run_dir: Path) -> None:
    """Write the manifest as things stand."""
    kept = ("status", "exit_code", "started_at", "finished_at", "seconds", "error", "tables", "after")
    for step, status in _statuses(run_dir).items():
        manifest["notebooks"][step] |= {k: status[k] for k in kept if k in status}
    write_json(run_dir / "manifest.json", manifest)


def _close(manifest: dict, ran: list[str], began: float) -> None:
    """Bring a manifest to its end: what did not run and rests on a failure is 'not run'."""
    entries = manifest["notebooks"]
    for step, entry in entries.items():
        rested = [entries[name]["status"] for name in entry.get("after", [])]
        if entry["status"] == "running":
            entry["status"] = "stopped"
        elif step not in ran and any(status != "succeeded" for status in rested):
            entry["status"] = "not run"
    manifest["finished_at"] = datetime.now(UTC).isoformat(timespec="seconds")
    manifest["seconds"] = round(time.monotonic() - began, 1)


def _pages_fresh(run_dir: Path) -> bool:
    """Say whether every page is newer than its notebook and than the code that draws it."""
    drawn = max(p.stat().st_mtime for p in Path(__file__).parent.glob("report.*"))
    for step in STEPS:
        page, notebook = run_dir / f"{step}.html", run_dir / "notebooks" / f"{step}.ipynb"
        if not page.exists() or page.stat().st_mtime < max(drawn, notebook.stat().st_mtime):
            return False
    return True
