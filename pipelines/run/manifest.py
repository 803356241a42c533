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
from cloudarb_lib.base.digests import FILE_DIGITS, digest_files, digest_values
from cloudarb_lib.tables.run_tables import DECIDING_PACKAGES
from pipelines import report
from pipelines.run import reuse
from pipelines.run.code import code_of
from pipelines.run.config import RunConfig
from pipelines.run.files import read_json, scrub, write_text
from pipelines.run.notebook import now
from pipelines.run.stages import every_stage, stages_named

Manifest = dict[str, Any]
"""The content of manifest.json: texts, numbers, and an entry for each notebook."""
_PARTS = {
    "snapshot": "prices",
    "figures": "assumptions or other figures of data/",
    "environment": "Python or packages",
    "code": "code of the library that it uses",
    "notebook": "the notebook",
    "demand": "the demand file",
    "parameters": "its parameters",
}
"""What a notebook rests on, by its name in the manifest, in words."""


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
    shared = {
        "snapshot": snapshot,
        "figures": _figures_digest(),
        "environment": _environment_digest(),
    }
    rests_on = {
        stage: {**shared, **_rests_on(stage, parameters)}
        for stage, parameters in config.parameters.items()
    }
    keys = reuse.keys(rests_on)
    return {
        "run_id": run_id,
        "name": config.settings["name"],
        "title": config.settings["title"],
        "timeout_s": config.settings["timeout_s"],
        "status": "running",
        "started_at": now(),
        "git": _revision(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: metadata.version(name) for name in ("cloudarb", *required_packages())},
        "as_of": str(config.given["as_of"]),
        **shared,
        "library": _library_digest(),
        "config": config.given,
        "notebooks": {stage: {**rests_on[stage], "key": keys[stage]} for stage in rests_on},
    }


def why_again(
    earlier: Manifest, manifest: Manifest, stood: dict[str, dict[str, Any]]
) -> dict[str, str]:
    """Return why each notebook that is not up to date has to run, in words.

    Parameters
    ----------
    earlier, manifest : dict
        Of the same run, the last time and now.
    stood : dict of dict
        How its notebooks stand, as ``statuses`` returns it: a run that was killed wrote no end.
    """
    reasons: dict[str, str] = {}
    for stage, entry in manifest["notebooks"].items():
        before = earlier.get("notebooks", {}).get(stage, {})
        changed = _changed(before, entry)
        before_it = stages_named(stages_named([stage])[stage].after)
        after = [earlier.title for name, earlier in before_it.items() if name in reasons]
        status = stood.get(stage, {}).get("status")
        if status != "succeeded":
            reasons[stage] = f"last time: {status}" if status else "not run yet"
        elif changed:
            reasons[stage] = f"changed: {', '.join(changed)}"
        elif after:
            reasons[stage] = f"it reads what is made again: {', '.join(after)}"
    return reasons


def changed_parts(earlier: Manifest, manifest: Manifest) -> dict[str, list[str]]:
    """Return what notebooks rest on that is not alike in two runs, in words; packages too."""
    found = {
        stage: _changed(earlier["notebooks"].get(stage, {}), entry)
        for stage, entry in manifest.get("notebooks", {}).items()
    }
    packages = earlier["packages"].items() ^ manifest.get("packages", {}).items()
    found["every notebook"] = sorted({f"package {name}" for name, _ in packages})
    return {stage: parts for stage, parts in found.items() if parts}


def _changed(before: dict[str, Any], entry: dict[str, Any]) -> list[str]:
    return [words for part, words in _PARTS.items() if before.get(part) != entry[part]]


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
    """Return the digest of all the library's code."""
    code = sorted(p for p in locations.library().rglob("*") if p.suffix in (".py", ".csv"))
    return digest_files(code)


def _environment_digest() -> str:
    """Return the digest of what can change a figure besides code: Python and deciding packages."""
    versions = [metadata.version(name) for name in DECIDING_PACKAGES]
    return digest_values(platform.python_version(), versions)[:FILE_DIGITS]


def _figures_digest() -> str:
    """Return the digest of the figures that notebooks read beside the store."""
    figures = [*sorted(locations.data().glob("*.csv")), locations.data() / "scenarios.yaml"]
    return digest_files(figures)


def report_digest() -> str:
    """Return the digest of what draws the pages."""
    return digest_files(sorted(p for p in report.FOLDER.iterdir() if p.is_file()))


def _rests_on(stage: str, parameters: dict[str, Any]) -> dict[str, str]:
    """Return what a notebook's results rest on besides snapshot and figures."""
    notebook = locations.notebooks() / f"{stage}.ipynb"
    return {
        "code": digest_files(code_of(notebook, locations.library())),
        "notebook": digest_files([notebook]),
        "demand": demand_digest(parameters),
        "parameters": json.dumps(parameters, sort_keys=True),
    }


def demand_digest(parameters: dict[str, Any]) -> str:
    """Return the digest of the demand file that parameters name, of nothing where they do not."""
    named = [locations.find(str(parameters["demand"]))] if "demand" in parameters else []
    return digest_files(named)


def statuses(run_dir: Path) -> dict[str, dict[str, Any]]:
    """Return how each notebook of the run stands, as its runner wrote it."""
    found = {stage: read_json(run_dir / "logs" / f"{stage}.json") for stage in every_stage()}
    return {stage: status for stage, status in found.items() if status}


def note_progress(manifest: Manifest, run_dir: Path) -> None:
    """Take in how each notebook stands, and write the manifest."""
    _take_in(manifest, run_dir)
    write(manifest, run_dir)


def note_end(manifest: Manifest, run_dir: Path, ran: Collection[str]) -> None:
    """Take in how each notebook ended; the manifest is not written.

    One that runs no more was stopped; one that did not run this time (``ran`` names those that
    did), and rests on one that did not succeed, is 'not run'.
    """
    _take_in(manifest, run_dir)
    entries = manifest["notebooks"]
    for stage, entry in entries.items():
        if entry["status"] == "running":
            entry["status"] = "stopped"
        before = [entries[earlier]["status"] for earlier in entry.get("after", [])]
        if stage not in ran and any(status != "succeeded" for status in before):
            entry["status"] = "not run"


def _take_in(manifest: Manifest, run_dir: Path) -> None:
    found = statuses(run_dir)
    for stage, entry in manifest["notebooks"].items():
        status = found.get(stage, {"status": "not run"})
        entry |= {key: value for key, value in status.items() if key != "parameters"}


def write(manifest: Manifest, run_dir: Path) -> None:
    """Write the manifest into the folder of its run, free of local paths."""
    write_text(run_dir / "manifest.json", f"{_scrubbed(manifest)}\n")


def for_pages(manifest: Manifest) -> Manifest:
    """Return the manifest as ``write`` would write it."""
    found: Manifest = json.loads(_scrubbed(manifest))
    return found


def _scrubbed(manifest: Manifest) -> str:
    return scrub(json.dumps(manifest, indent=1))
