"""Results of a notebook that another run has made already, from the very same things."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloudarb_lib.base.digests import digest_values
from cloudarb_lib.base.files import replaced
from pipelines.run.files import read_json
from pipelines.run.stages import stages_named

_DIGITS = 32


def keys(rests_on: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return a key for the results of each stage: equal keys, equal results.

    Parameters
    ----------
    rests_on : mapping of str to mapping
        By stage, what its results rest on besides those of the stages before it.
    """
    found: dict[str, str] = {}
    for name, stage in stages_named(rests_on).items():
        before = [found[earlier] for earlier in stage.after]
        found[name] = digest_values(sorted(rests_on[name].items()), before)[:_DIGITS]
    return found


def take_over(run_dir: Path, stage: str, key: str) -> dict[str, Any] | None:
    """Copy the results of a stage from another run that has them.

    Parameters
    ----------
    run_dir : Path
        Folder of the run that needs them, beside those of others.
    stage : str
        Name of the notebook.
    key : str
        As of ``keys``.

    Returns
    -------
    dict or None
        How it stands (``taken_from`` names the run); None where no run has them whole.
    """
    for log in sorted(run_dir.parent.glob(f"*/logs/{stage}.json")):
        other = log.parent.parent
        status = read_json(log) or {}
        if other == run_dir or (status.get("key"), status.get("status")) != (key, "succeeded"):
            continue
        files = [f"tables/{table}.parquet" for table in status["tables"]]
        try:
            for file in (*files, f"notebooks/{stage}.ipynb"):
                with replaced(run_dir / file) as unfinished:
                    shutil.copyfile(other / file, unfinished)
        except FileNotFoundError:  # it was removed in the meantime, or is not whole
            continue
        return status | {"taken_from": status.get("taken_from", other.name)}
    return None
