"""Fleets for dstack, so that a plan can be provisioned."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.exports.gpu_names import name_and_size
from pipelines.exports.launches import Launch, launches
from pipelines.exports.skypilot import OWN_MACHINES

if TYPE_CHECKING:
    import pandas as pd

BACKENDS = {
    "aws": "aws",
    "azure": "azure",
    "datacrunch": "verda",
    "gcp": "gcp",
    "lambdalabs": "lambda",
    "nebius": "nebius",
    "runpod": "runpod",
    "vastai": "vastai",
    "vultr": "vultr",
}
"""Our providers by their names in dstack (BackendType of its models)."""
_LONGEST_NAME = 41
"""Of a fleet, in characters."""


def write_fleets(
    table: pd.DataFrame, folder: Path, jobs: Mapping[str, int] | None = None
) -> tuple[int, list[str]]:
    """Write the dstack fleets of a plan, to be applied by ``dstack apply -f``.

    Parameters
    ----------
    table : DataFrame
        Table ``plan``, of one period.
    folder : Path
        Where the fleets go, a file each; made if need be.
    jobs : mapping of str to int, optional
        Workloads whose jobs each stay together, and how many jobs they are.

    Returns
    -------
    tuple of int and list of str
        How many fleets lie there, and the providers that dstack does not know.
    """
    import yaml

    folder.mkdir(parents=True, exist_ok=True)
    found, unknown = fleets(table, jobs)
    for fleet in found:
        text = yaml.safe_dump(fleet, sort_keys=False)
        (folder / f"{fleet['name']}.dstack.yml").write_text(text, encoding="utf-8")
    return len(list(folder.glob("*.dstack.yml"))), unknown


def fleets(
    table: pd.DataFrame, jobs: Mapping[str, int] | None = None
) -> tuple[list[dict[str, object]], list[str]]:
    """Return a dstack fleet for each row of a plan, or job kept together.

    A fleet is of one kind of machine in one region; machines of a job that stays together are a
    cluster.

    Parameters
    ----------
    table, jobs
        As of ``write_fleets``.

    Returns
    -------
    tuple of list of dict and list of str
        The fleets, and the providers that dstack does not know.
    """
    found = []
    unknown = set()
    for launch in launches(table, jobs):
        if launch.provider in BACKENDS:
            found.append(_fleet(_name(launch.name), launch))
        else:
            unknown.add(launch.provider)
    return found, sorted(unknown)


def _fleet(name: str, launch: Launch) -> dict[str, object]:
    """Return a fleet as dstack reads it."""
    row = launch.kinds[0]
    provider, region, _, machine, option, _ = str(row["offer_id"]).split("/")
    fleet: dict[str, object] = {
        "type": "fleet",
        "name": name,
        "nodes": launch.nodes,
        "placement": "cluster" if launch.is_together else "any",
        "backends": [BACKENDS[provider]],
    }
    if region != "unstated":
        fleet["regions"] = [region]
    if provider in OWN_MACHINES:
        fleet["instance_types"] = [machine]
    gpu, size = name_and_size(str(row["gpu_model"]))
    fleet["resources"] = {"gpu": ":".join(filter(None, [gpu, size, f"{launch.gpus:g}"]))}
    fleet["spot_policy"] = "spot" if option == "spot" else "on-demand"
    return fleet


def _name(name: str) -> str:
    """Return a name that dstack takes: small letters, digits and hyphens, a letter first."""
    stem, _, number = re.sub("[^a-z0-9]+", "-", name.lower()).rpartition("-")
    stem = re.sub("^[^a-z]+", "", stem) or "work"
    return f"{stem[: _LONGEST_NAME - len(number) - 1]}-{number}"
