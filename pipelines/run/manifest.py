"""The manifest of a run: what it was made by, what it rests on, and how each notebook stands."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
from collections.abc import Collection
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from cloudarb_lib.base import locations
from cloudarb_lib.base.digests import digest_files
from pipelines import report
from pipelines.run.config import RunConfig
from pipelines.run.files import read_json, scrub, write_text
from pipelines.run.notebook import now
from pipelines.run.stages import STAGES

Manifest = dict[str, Any]
"""The content of manifest.json: texts, numbers, and an entry for each notebook."""


def required_packages() -> list[str]:
    """Return the names of the packages that the project itself asks for."""
    asked = [r for r in metadata.requires("cloudarb") or [] if "extra ==" not in r]
    return [re.split(r"[^A-Za-z0-9._-]", r)[0] for r in asked]


def new_manifest(config: RunConfig, run_id: str, snapshot: str) -> Manifest:
    """Return the manifest of a run that begins.

    Parameters
    ----------
    config : RunConfig
        Its configuration.
    run_id : str
        Name of its folder.
    snapshot : str
        Digest of the store's snapshot that it reads.
    """
    shared = {"snapshot": snapshot, "library": _library_digest()}
    return {
        "run_id": run_id,
        "name": config.settings["name"],
        "title": config.settings["title"],
        "status": "running",
        "started_at": now(),
        "git": _revision(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "pid": os.getpid(),
        "packages": {name: metadata.version(name) for name in ("cloudarb", *required_packages())},
        "drawn_by": _report_digest(),
        "as_of": str(config.given["as_of"]),
        **shared,
        "config": config.given,
        "notebooks": {
            stage: {**shared, **_rests_on(stage, parameters)}
            for stage, parameters in config.parameters.items()
        },
    }


def _revision() -> dict[str, Any] | None:
    """Return the revision of the code, and whether it was changed since; None without git."""
    root = str(locations.checkout() or os.devnull)

    def git(*words: str) -> str:
        command = ["git", "-C", root, *words]
        return subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True)

    with suppress(OSError, subprocess.SubprocessError):
        revision = git("rev-parse", "HEAD").strip()
        return {"revision": revision, "dirty": bool(git("status", "--porcelain"))}
    return None


def _library_digest() -> str:
    """Return the digest of the library's code and of the figures that it reads."""
    code = sorted(p for p in locations.library().rglob("*") if p.suffix in (".py", ".csv"))
    figures = [*sorted(locations.data().glob("*.csv")), locations.data() / "scenarios.yaml"]
    return digest_files([*code, *figures])


def _report_digest() -> str:
    """Return the digest of what draws the pages."""
    return digest_files(sorted(p for p in report.FOLDER.iterdir() if p.is_file()))


def _rests_on(stage: str, parameters: dict[str, Any]) -> dict[str, str]:
    """Return what a notebook's results rest on besides library and snapshot."""
    demand = [locations.find(str(parameters["demand"]))] if "demand" in parameters else []
    return {
        "notebook": digest_files([locations.notebooks() / f"{stage}.ipynb"]),
        "demand": digest_files(demand),
        "parameters": json.dumps(parameters, sort_keys=True),
    }


def statuses(run_dir: Path) -> dict[str, dict[str, Any]]:
    """Return how each notebook of the run stands, as its runner wrote it."""
    found = {stage: read_json(run_dir / "logs" / f"{stage}.json") for stage in STAGES}
    return {stage: status for stage, status in found.items() if status}


def note_progress(manifest: Manifest, run_dir: Path) -> None:
    """Take in how each notebook stands, and write the manifest."""
    found = statuses(run_dir)
    for stage, entry in manifest["notebooks"].items():
        status = found.get(stage, {"status": "not run"})
        entry |= {key: value for key, value in status.items() if key != "parameters"}
    _write(manifest, run_dir)


def note_end(manifest: Manifest, run_dir: Path, ran: Collection[str]) -> None:
    """Take in how each notebook ended, and write the manifest.

    One that runs no more was stopped; one that did not run this time (``ran`` names those that
    did), and rests on one that did not succeed, is 'not run'.
    """
    note_progress(manifest, run_dir)
    entries = manifest["notebooks"]
    for stage, entry in entries.items():
        if entry["status"] == "running":
            entry["status"] = "stopped"
        before = [entries[earlier]["status"] for earlier in entry.get("after", [])]
        if stage not in ran and any(status != "succeeded" for status in before):
            entry["status"] = "not run"
    _write(manifest, run_dir)


def _write(manifest: Manifest, run_dir: Path) -> None:
    write_text(run_dir / "manifest.json", scrub(json.dumps(manifest, indent=1)) + "\n")
