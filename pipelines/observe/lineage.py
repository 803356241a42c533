"""What came of what in a run, as events of OpenLineage in a file of the run.

Plain JSON, so that no package has to be installed to keep it; whoever reads OpenLineage can take
the file in line by line.

References
----------
OpenLineage, specification 2-0-2: RunEvent, and the facets ParentRun 1-2-0 and DatasetVersion 1-0-1.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid5

from cloudarb_lib.base.errors import ParameterError
from pipelines.run.files import write_text

if TYPE_CHECKING:
    from cloudarb_lib.store import Snapshot

Event = dict[str, Any]
"""A RunEvent."""
LINEAGE_FILE = "logs/lineage.jsonl"
"""Where a run keeps its events."""
OF_RUNS = "cloudarb"
"""Namespace of jobs, and of data sets that lie in the folder of a run, named from there."""
TAKEN_IN = "cloudarb.taken-in"
"""Namespace of the files that the store was filled from, named as ``ingest_log`` does."""
INGEST = "ingest"
"""The job that made a snapshot of files."""
_SPEC = "https://openlineage.io/spec"
_EVENT_SCHEMA = f"{_SPEC}/2-0-2/OpenLineage.json#/$defs/RunEvent"
_PARENT_SCHEMA = f"{_SPEC}/facets/1-2-0/ParentRunFacet.json#/$defs/ParentRunFacet"
_VERSION = "DatasetVersionDatasetFacet"
_VERSION_SCHEMA = f"{_SPEC}/facets/1-0-1/{_VERSION}.json#/$defs/{_VERSION}"
_PRODUCER = f"urn:cloudarb:{metadata.version('cloudarb')}"
_ENDS = {"succeeded": "COMPLETE", "failed": "FAIL", "stopped": "ABORT"}


def write_lineage(run_dir: Path, manifest: dict[str, Any]) -> None:
    """Write the events of a run that has ended: of its ingestion, its notebooks, and its own.

    Parameters
    ----------
    run_dir : Path
        Its folder.
    manifest : dict
        Its manifest; tables of notebooks that did not run are of nobody.
    """
    from cloudarb_lib.store import open_snapshot

    with open_snapshot(run_dir / "snapshot") as snapshot:
        events = events_of(run_dir, manifest, snapshot)
    write_text(run_dir / LINEAGE_FILE, "".join(f"{json.dumps(event)}\n" for event in events))


def read_lineage(run_dir: Path) -> list[Event]:
    """Return the events of a run; ParameterError where it keeps none that can be read."""
    try:
        text = (run_dir / LINEAGE_FILE).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]
    except (OSError, ValueError) as cause:
        what = f"{run_dir.name} has no lineage that can be read."
        raise ParameterError(what, "Make the run anew: cloudarb run CONFIG.yaml.") from cause


def events_of(run_dir: Path, manifest: dict[str, Any], snapshot: Snapshot) -> list[Event]:
    """Return the events of a run, in order: as ``write_lineage`` writes them.

    A notebook's inputs are the files of the snapshot, the demand file, and the tables of the
    notebooks before it; its outputs the tables that it wrote. Each data set carries the SHA-256 of
    its bytes as its version.
    """
    prices = [_file(run_dir, path) for path in snapshot.files]
    demand = [_file(run_dir, path) for path in sorted((run_dir / "inputs").glob("*"))]
    events = [_ingestion(snapshot, prices)]
    run = str(uuid5(NAMESPACE_URL, f"{manifest['run_id']} {manifest['started_at']}"))
    job = str(manifest["name"])
    whole = {"run": run, "job": job, "facets": {}}
    events.append(_event("START", manifest["started_at"], whole))
    tables = {
        stage: [_file(run_dir, run_dir / "tables" / f"{table}.parquet") for table in of_stage]
        for stage, of_stage in _tables_left(manifest).items()
    }
    for stage, entry in manifest["notebooks"].items():
        if entry["status"] not in _ENDS or "started_at" not in entry:
            continue
        one = {
            "run": str(uuid5(NAMESPACE_URL, f"{run} {stage} {entry['started_at']}")),
            "job": f"{job}.{stage}",
            "facets": {"parent": _parent(run, job)},
        }
        before = [table for name in entry.get("after", []) for table in tables.get(name, [])]
        inputs = [*prices, *demand, *before]
        events.append(_event("START", entry["started_at"], one, inputs=inputs))
        ended_at = entry.get("finished_at", manifest["finished_at"])
        outputs = tables.get(stage, [])
        end = _ENDS[entry["status"]]
        events.append(_event(end, ended_at, one, inputs=inputs, outputs=outputs))
    events.append(_event(_ENDS[manifest["status"]], manifest["finished_at"], whole))
    return events


def _tables_left(manifest: dict[str, Any]) -> dict[str, list[str]]:
    """Return the tables of each notebook that succeeded."""
    return {
        stage: entry.get("tables", [])
        for stage, entry in manifest["notebooks"].items()
        if entry["status"] == "succeeded"
    }


def _ingestion(snapshot: Snapshot, prices: list[dict[str, Any]]) -> Event:
    """Return the event that made the snapshot of the files taken in."""
    log = snapshot.table("ingest_log")
    taken_in = [
        _data_set(TAKEN_IN, file, sha256)
        for file, sha256 in zip(log["file"], log["file_sha256"], strict=True)
    ]
    one = {
        "run": str(uuid5(NAMESPACE_URL, f"snapshot {snapshot.digest}")),
        "job": INGEST,
        "facets": {},
    }
    ended_at = log["ingested_at"].max().isoformat()
    return _event("COMPLETE", ended_at, one, inputs=taken_in, outputs=prices)


def _event(
    kind: str,
    at: str,
    one: dict[str, Any],
    *,
    inputs: Iterable[dict[str, Any]] = (),
    outputs: Iterable[dict[str, Any]] = (),
) -> Event:
    """Return a RunEvent of a run of a job."""
    return {
        "eventType": kind,
        "eventTime": at,
        "producer": _PRODUCER,
        "schemaURL": _EVENT_SCHEMA,
        "run": {"runId": one["run"], "facets": one["facets"]},
        "job": {"namespace": OF_RUNS, "name": one["job"], "facets": {}},
        "inputs": list(inputs),
        "outputs": list(outputs),
    }


def _parent(run: str, job: str) -> dict[str, Any]:
    """Return the facet that says of which run a notebook is a part."""
    return {
        "_producer": _PRODUCER,
        "_schemaURL": _PARENT_SCHEMA,
        "run": {"runId": run},
        "job": {"namespace": OF_RUNS, "name": job},
    }


def _file(run_dir: Path, path: Path) -> dict[str, Any]:
    """Return a file in the folder of a run as a data set."""
    return _data_set(OF_RUNS, path.relative_to(run_dir).as_posix(), sha256_of(path))


def _data_set(namespace: str, name: str, version: str) -> dict[str, Any]:
    """Return a data set with its version."""
    facet = {"_producer": _PRODUCER, "_schemaURL": _VERSION_SCHEMA, "datasetVersion": version}
    return {"namespace": namespace, "name": name, "facets": {"version": facet}}


def version_of(data_set: dict[str, Any]) -> str:
    """Return the version of a data set, '' where it tells none."""
    return str(data_set.get("facets", {}).get("version", {}).get("datasetVersion", ""))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, '' where there is none that can be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
