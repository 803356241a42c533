"""Tasks for SkyPilot, so that a plan can be launched."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

CLOUDS = {
    "aws": "aws",
    "azure": "azure",
    "datacrunch": "verda",
    "gcp": "gcp",
    "lambdalabs": "lambda",
    "nebius": "nebius",
    "runpod": "runpod",
}
"""Our providers by their names in SkyPilot (ALL_CLOUDS of sky/skylet/constants.py)."""
_OWN_MACHINES = ("aws", "azure", "gcp")
"""Clouds whose machines we name as they do; elsewhere GPU model and number tell the machine."""


def write_tasks(table: pd.DataFrame, folder: Path) -> tuple[int, list[str]]:
    """Write a SkyPilot task for each row of a plan.

    ``resources.any_of`` names the planned offer first, then the workload's other offers with as
    many GPUs a machine: what else may serve where the first is sold out.

    Parameters
    ----------
    table : DataFrame
        Table ``plan``.
    folder : Path
        Where the tasks go, a file each; made if need be.

    Returns
    -------
    tuple of int and list of str
        How many tasks lie there, and the providers that SkyPilot does not know.
    """
    import yaml

    folder.mkdir(parents=True, exist_ok=True)
    rented = table[table["instances"] > 0]
    launchable = rented["provider"].isin(CLOUDS)
    for workload, rows in rented[launchable].groupby("workload"):
        places = [_place(row) for row in rows.to_dict("records")]
        for number, (place, nodes) in enumerate(zip(places, rows["instances"], strict=True), 1):
            name = f"{re.sub('[^A-Za-z0-9.-]+', '-', str(workload)).strip('-.')}-{number}"
            task = {
                "name": name,
                "num_nodes": int(nodes),
                "resources": {"any_of": [place, *_alternatives(place, places)]},
            }
            text = yaml.safe_dump(task, sort_keys=False)
            (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    unknown = sorted(rented.loc[~launchable, "provider"].unique())
    return len(list(folder.glob("*.yaml"))), unknown


def _place(row: dict[Any, Any]) -> dict[str, object]:
    """Return an entry of SkyPilot's ``any_of`` for a row of a plan."""
    provider, region, zone, machine, option, _ = str(row["offer_id"]).split("/")
    model = "A100" if row["gpu_model"] == "A100-40GB" else row["gpu_model"]  # SkyPilot's name
    where = [name for name in (region, zone) if name and region != "unstated"]
    return {
        "infra": "/".join([CLOUDS[provider], *where]),
        **({"instance_type": machine} if provider in _OWN_MACHINES else {}),
        "accelerators": f"{model}:{row['gpus'] / row['instances']:g}",
        "use_spot": option == "spot",
    }


def _alternatives(
    place: dict[str, object], places: list[dict[str, object]]
) -> list[dict[str, object]]:
    """Return the other places with as many GPUs a machine."""
    size = str(place["accelerators"]).split(":")[1]
    return [
        other
        for other in places
        if other != place and str(other["accelerators"]).endswith(f":{size}")
    ]
