"""What SkyPilot reads: tasks, so that a plan can be launched, and the catalogue of a cloud.

References
----------
https://github.com/skypilot-org/skypilot-catalog
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloudarb_lib.base.errors import ParameterError, did_you_mean
from pipelines.exports.launches import Row, gpus_each, launches

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
OWN_MACHINES = ("aws", "azure", "gcp")
"""Clouds whose machines we name as they do; elsewhere GPU model and number tell the machine."""


def write_tasks(
    table: pd.DataFrame, folder: Path, jobs: Mapping[str, int] | None = None
) -> tuple[int, list[str]]:
    """Write the SkyPilot tasks of a plan.

    Parameters
    ----------
    table, jobs
        As of ``tasks``.
    folder : Path
        Where the tasks go, a file each; made if need be.

    Returns
    -------
    tuple of int and list of str
        How many tasks lie there, and the providers that SkyPilot does not know.
    """
    import yaml

    folder.mkdir(parents=True, exist_ok=True)
    found, unknown = tasks(table, jobs)
    for task in found:
        text = yaml.safe_dump(task, sort_keys=False)
        (folder / f"{task['name']}.yaml").write_text(text, encoding="utf-8")
    return len(list(folder.glob("*.yaml"))), unknown


def tasks(
    table: pd.DataFrame, jobs: Mapping[str, int] | None = None
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a SkyPilot task for each row of a plan, and one for each job that stays together.

    ``resources.any_of`` names the planned offer first, then the workload's other offers with as
    many GPUs a machine: what else may serve where the first is sold out.

    Parameters
    ----------
    table : DataFrame
        Table ``plan``, of one period.
    jobs : mapping of str to int, optional
        Workloads whose jobs each stay together, and how many jobs they are.

    Returns
    -------
    tuple of list of dict and list of str
        The tasks, and the providers that SkyPilot does not know.
    """
    found = []
    unknown = set()
    for launch in launches(table, jobs):
        if launch.provider not in CLOUDS:
            unknown.add(launch.provider)
            continue
        places = [_place(row) for row in launch.kinds if row["provider"] in CLOUDS]
        resources = {"any_of": places}
        found.append({"name": launch.name, "num_nodes": launch.nodes, "resources": resources})
    return found, sorted(unknown)


def _place(row: Row) -> dict[str, object]:
    """Return an entry of SkyPilot's ``any_of`` for a row of a plan."""
    provider, region, zone, machine, option, _ = str(row["offer_id"]).split("/")
    model = "A100" if row["gpu_model"] == "A100-40GB" else row["gpu_model"]  # SkyPilot's name
    where = [name for name in (region, zone) if name and region != "unstated"]
    return {
        "infra": "/".join([CLOUDS[provider], *where]),
        **({"instance_type": machine} if provider in OWN_MACHINES else {}),
        "accelerators": f"{model}:{gpus_each(row):g}",
        "use_spot": option == "spot",
    }


CATALOGUE_COLUMNS = (
    "InstanceType",
    "vCPUs",
    "MemoryGiB",
    "AcceleratorName",
    "AcceleratorCount",
    "GpuInfo",
    "Price",
    "SpotPrice",
    "Region",
    "AvailabilityZone",
)
"""Columns of ``catalogs/v8/CLOUD/vms.csv``."""
_MACHINE = ["region", "zone", "instance_type"]


def catalogue(offers: pd.DataFrame, provider: str) -> pd.DataFrame:
    """Return the catalogue of a cloud, at the prices of a time.

    A row is a machine with a GPU in a region, or zone where its price is one of a zone. Of Google
    Cloud SkyPilot adds a row of the host and one of its GPUs: here the row of the GPUs has what
    the cheapest machine with them costs in that region, that of each host the rest, so that sums
    are right, whatever Google asks for either part.

    Parameters
    ----------
    offers : DataFrame
        Table ``offers``, by zone where zones are known.
    provider : str
        Name of the cloud here, such as gcp.

    Returns
    -------
    DataFrame
        ``CATALOGUE_COLUMNS``; prices in USD per hour.

    Raises
    ------
    ParameterError
        Where SkyPilot does not know the cloud, or nothing of it is on offer.
    """
    if provider not in CLOUDS:
        raise ParameterError(
            f"SkyPilot does not know {provider!r}{did_you_mean(provider, list(CLOUDS))}.",
            f"Use {', '.join(CLOUDS)}.",
        )
    hourly = offers[(offers["provider"] == provider) & (offers["term"] == "")]
    if hourly.empty:
        raise ParameterError(f"nothing of {provider} is on offer then.", "Choose another as_of.")
    machines = hourly.drop_duplicates(_MACHINE).set_index(_MACHINE)
    rows = machines[["vcpus", "memory_gib", "gpu_model", "gpu_count"]].copy()
    for column, option in (("Price", "on_demand"), ("SpotPrice", "spot")):
        of_option = hourly[hourly["purchase_option"] == option].set_index(_MACHINE)
        rows[column] = of_option["price_usd_per_hour"]
    rows = rows.reset_index()
    rows["gpu_model"] = rows["gpu_model"].replace("A100-40GB", "A100")
    if provider == "gcp":
        rows = _with_gpus_apart(rows)
    rows["GpuInfo"] = None
    ours = ["instance_type", "vcpus", "memory_gib", "gpu_model", "gpu_count", "GpuInfo"]
    ours += ["Price", "SpotPrice", "region", "zone"]
    renamed = rows[ours].set_axis(list(CATALOGUE_COLUMNS), axis=1)
    return renamed.reset_index(drop=True)


def _with_gpus_apart(machines: pd.DataFrame) -> pd.DataFrame:
    """Return rows of hosts and, apart, of the GPUs that they are built with."""
    import pandas as pd

    from cloudarb_lib.sources.skypilot import built_in_gpus

    named = machines["instance_type"].map(built_in_gpus)
    machines = machines[named.notna()].copy()  # others take GPUs that are attached to them
    known = named[named.notna()].str[0]
    machines["gpu_model"] = known.where(known != "", machines["gpu_model"])
    by_gpus = ["region", "zone", "gpu_model", "gpu_count"]
    prices = ["Price", "SpotPrice"]
    gpus = machines.groupby(by_gpus, as_index=False)[prices].min()
    least = machines[by_gpus].merge(gpus, on=by_gpus, how="left").set_index(machines.index)
    hosts = machines.drop(columns=["gpu_model", "gpu_count"])
    hosts[prices] = (machines[prices] - least[prices]).round(6)
    return pd.concat([hosts, gpus], ignore_index=True)
