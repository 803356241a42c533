"""One run, from configuration to report: checks, snapshot, graph, manifest, pages."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudarb_lib.base import locations
from cloudarb_lib.base.digests import digest_values
from cloudarb_lib.base.errors import CloudArbError, ParameterError
from cloudarb_lib.base.files import locked, replaced
from cloudarb_lib.base.tracing import span
from cloudarb_lib.base.units import parse_as_of
from pipelines import exit_codes
from pipelines.exit_codes import DONE, STOPPED
from pipelines.observe.lineage import write_lineage
from pipelines.observe.tracing import SPANS_FILE, recorded
from pipelines.run import graph
from pipelines.run.config import LATEST, RunConfig, load_config
from pipelines.run.files import read_json, write_json, write_text
from pipelines.run.folders import RunFolders
from pipelines.run.graph import GraphEnd
from pipelines.run.manifest import (
    Manifest,
    demand_digest,
    for_pages,
    new_manifest,
    note_end,
    note_progress,
    report_digest,
    statuses,
    why_again,
    write,
)
from pipelines.run.notebook import now

if TYPE_CHECKING:
    from cloudarb_lib.store import Snapshot


INPUTS = "inputs"
"""Folder of a run with copies of the files that its configuration names."""


class RunError(CloudArbError):
    """The run cannot go ahead, or its graph could not be carried out."""

    exit_code = exit_codes.RUN


def run(
    config_path: Path,
    *,
    reports: Path | None = None,
    changes: Mapping[str, object] | None = None,
    cores: int = 2,
) -> int:
    """Carry out a configuration; what is up to date is not run again.

    Parameters
    ----------
    config_path : Path
        A YAML file.
    reports : Path, optional
        Folder of the reports; the project's without.
    changes : mapping of str to object, optional
        Values in place of the configuration's.
    cores : int
        So many notebooks at once, where the graph allows.

    Returns
    -------
    int
        The exit code: 0, or that of the first notebook that failed.

    Raises
    ------
    ParameterError
        Before anything starts, also where its folder cannot be written.
    RunError
        Where the same run is in progress already, or the disk fills up.
    """
    asked = load_config(config_path, changes=changes)
    config, snapshot = _find_snapshot(asked)
    folders = _folders(config, snapshot, reports or locations.reports())
    as_of_asked = str(asked.given["as_of"])
    return run_into(folders, config, snapshot, cores=cores, as_of_asked=as_of_asked)


def run_into(
    folders: RunFolders, config: RunConfig, snapshot: Path, *, cores: int, as_of_asked: str = ""
) -> int:
    """Carry out a run, on a snapshot, into folders that nobody else writes into.

    Parameters
    ----------
    folders : RunFolders
        Where it writes.
    config : RunConfig
        What it is to do.
    snapshot : Path
        File of the snapshot that it reads.
    cores : int
        So many notebooks at once, where the graph allows.
    as_of_asked : str
        What the configuration says of as_of.

    Returns
    -------
    int
        As of ``run``, which raises the same of its folder.
    """
    run = f"run {folders.run_id}"
    with locked(folders.lock, RunError, run, unwritable=ParameterError) as lock:
        try:
            _pin(folders.run_dir / "snapshot", snapshot)
            _keep_demand(folders.run_dir, config)
            manifest = new_manifest(config, folders.run_id, snapshot.stem)
            manifest["as_of_asked"] = as_of_asked
            with recorded(run, folders.run_dir / SPANS_FILE):
                return _carry_out(config, manifest, folders, lock=lock, cores=cores)
        except OSError as cause:
            what = f"{folders.shown} could not be written: {cause.strerror or cause}."
            way_out = "Make room there and start again, or name another folder with --reports."
            raise RunError(what, way_out) from cause


def _carry_out(
    config: RunConfig, manifest: Manifest, folders: RunFolders, *, lock: int, cores: int
) -> int:
    """Run what is not up to date, draw the pages and say how it ended; return the exit code."""
    began = time.monotonic()
    earlier_statuses = statuses(folders.run_dir)
    earlier = read_json(folders.run_dir / "manifest.json") or {}
    graph.write_inputs(config, manifest["notebooks"], folders)
    _announce(manifest, folders)
    reasons = why_again(earlier, manifest, earlier_statuses) if earlier else {}
    for stage, reason in reasons.items():
        print(f"  {stage:<20}{reason}", flush=True)
    note_progress(manifest, folders.run_dir)
    end = graph.carry_out(folders, lock, cores)
    ran = {
        stage: status
        for stage, status in statuses(folders.run_dir).items()
        if status != earlier_statuses.get(stage)
    }
    if end.code == DONE and not ran and _is_drawn(earlier, folders):
        write_json(folders.run_dir / "manifest.json", earlier)
        seconds = time.monotonic() - began
        print(f"nothing to do: {folders.shown} is up to date ({seconds:.1f} s)")
        return DONE
    code = _exit_code(end, ran, manifest)
    manifest["status"] = {DONE: "succeeded", STOPPED: "stopped"}.get(code, "failed")
    manifest |= {"finished_at": now(), "seconds": round(time.monotonic() - began, 1)}
    note_end(manifest, folders.run_dir, ran)
    write_lineage(folders.run_dir, manifest)
    _draw_pages(manifest, folders)
    _print_end(manifest, folders, ran)
    return code


def _find_snapshot(config: RunConfig) -> tuple[RunConfig, Path]:
    """Return the configuration as of a day, and the file of the store's newest snapshot.

    The bundled store is built if need be. ParameterError where it has nothing fresh of the
    providers at as_of.
    """
    from cloudarb_lib.market import read_market
    from cloudarb_lib.store import open_snapshot

    store = config.settings.get("store_dir")
    with open_snapshot(locations.home() / store if store else "") as snapshot:
        if config.given["as_of"] == LATEST:
            config = config.with_as_of(_latest_day(snapshot, config))
        read_market(
            snapshot,
            parse_as_of(config.given["as_of"]),
            providers=config.given.get("providers"),
            stale_after_days=config.given.get("stale_after_days", 1.0),
            expired_after_days=0.0,  # only what is fresh is asked for
            listed_too=config.given.get("listed_too", False),
        )
        return config, snapshot.path


def _latest_day(snapshot: Snapshot, config: RunConfig) -> str:
    """Return the day (UTC) of the newest observation of the configuration's providers."""
    providers = config.given.get("providers")
    newest = snapshot.newest_observation(providers)
    if newest is None:
        named = ", ".join(providers or ["any provider"])
        what = f"as_of is {LATEST}, but nothing is recorded of {named}."
        raise ParameterError(what, "Ingest or collect prices first, or name other providers.")
    return f"{newest:%Y-%m-%d}"


def _folders(config: RunConfig, snapshot: Path, reports: Path) -> RunFolders:
    """Return the folders of the run; the same ones for the same prices, parameters and demand."""
    as_of = re.sub("[^0-9A-Za-z-]", "", str(config.given["as_of"]))
    given = json.dumps(config.given, sort_keys=True)
    parameters = digest_values(given, demand_digest(config.given))[:6]
    name = config.settings["name"]
    return RunFolders(reports.absolute(), f"{name}-{as_of}-{snapshot.stem[:8]}-{parameters}")


def _pin(folder: Path, snapshot: Path) -> None:
    """Make ``folder`` a store whose newest snapshot stays this one, whatever is ingested later."""
    from cloudarb_lib.store import Snapshot

    write_text(folder / "current", f"{snapshot.stem}\n")
    with Snapshot(snapshot) as opened:
        files = opened.files
    for file in files:
        kept = folder / file.parent.name / file.name
        kept.parent.mkdir(parents=True, exist_ok=True)
        if not kept.exists():
            try:
                os.link(file, kept)  # the store keeps few snapshots, a report keeps its own
            except OSError:
                with replaced(kept) as unfinished:  # a part would pass for the whole ever after
                    shutil.copyfile(file, unfinished)


def _keep_demand(run_dir: Path, config: RunConfig) -> None:
    """Keep a copy of the demand file, so that the run can be made again whatever becomes of it."""
    if "demand" in config.given:
        demand = locations.find(str(config.given["demand"]))
        write_text(run_dir / INPUTS / demand.name, demand.read_text(encoding="utf-8"))


def _announce(manifest: Manifest, folders: RunFolders) -> None:
    newest = ", the newest observation on record" if manifest["as_of_asked"] == LATEST else ""
    known = f"as of {manifest['as_of']}{newest}, snapshot {manifest['snapshot'][:8]}"
    print(f"{manifest['title']}\n{known}", flush=True)
    n_notebooks = len(manifest["notebooks"])
    of_them = "notebook" if n_notebooks == 1 else "notebooks"
    print(f"{n_notebooks} {of_them}, into {folders.shown}", flush=True)


def _is_drawn(earlier: Manifest, folders: RunFolders) -> bool:
    """Say whether the earlier run was whole, and its pages are there as we would draw them."""
    pages_of = (folders.run_dir, folders.reports)
    there = all((folder / "index.html").exists() for folder in pages_of)
    ended = (earlier.get("status"), earlier.get("drawn_by")) == ("succeeded", report_digest())
    return there and ended


def _exit_code(end: GraphEnd, ran: dict[str, dict[str, Any]], manifest: Manifest) -> int:
    """Return the code of the first notebook that failed, or where the graph broke ``RunError``'s.

    In the latter case the manifest gets the error.
    """
    if end.code in (DONE, STOPPED):
        return end.code
    failed = [status for status in ran.values() if status.get("exit_code")]
    if failed:
        return int(min(failed, key=lambda status: status["finished_at"])["exit_code"])
    manifest["error"] = f"the graph broke, see logs/graph.log: {end.last_lines}"
    print(manifest["error"], file=sys.stderr)
    return RunError.exit_code


def _draw_pages(manifest: Manifest, folders: RunFolders) -> None:
    """Draw the pages of a run that ended, and say so in its manifest.

    The manifest on disk tells of no end before there are pages that show it, and of no pages before
    the list of runs has them too: on a full disk, or killed, the next start draws them again.
    """
    from pipelines.report import pages  # slow to import, so only when there is something to draw

    with span("report"):
        pages.export(folders.run_dir, for_pages(manifest))
        write(manifest, folders.run_dir)
        pages.write_index(folders.reports)
        manifest["drawn_by"] = report_digest()
        write(manifest, folders.run_dir)


def _print_end(manifest: Manifest, folders: RunFolders, ran: dict[str, dict[str, Any]]) -> None:
    from pipelines.report.runs import age_in_words

    for stage in ran:
        entry = manifest["notebooks"][stage]
        if entry["status"] == "failed":
            kept = f"{folders.shown}/failed/{stage}.html"
            print(f"{stage}: {entry['error']}\n  kept: {kept}", file=sys.stderr)
    again = ""
    if manifest["status"] == "stopped":
        again = "; the same command takes up where it stopped"
    seconds = manifest["seconds"]
    print(f"{manifest['status']} in {seconds:.0f} s: {folders.shown}/index.html{again}")
    if old := age_in_words(manifest):
        print(old)
