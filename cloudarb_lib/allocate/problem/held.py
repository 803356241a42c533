"""Machines that are held already, as offers: their price is that of the contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.demand import Commitment, Demand, DemandError
from cloudarb_lib.base.errors import did_you_mean
from cloudarb_lib.market.places import machines, regions

HELD = "/reserved/held"
"""How the offer that stands for a commitment held ends: purchase option and term."""


def held_offer_id(machine: str) -> str:
    """Return the offer that stands for a commitment held, by provider/region/instance type."""
    provider, region, instance_type = machine.split("/")
    return f"{provider}/{region}//{instance_type}{HELD}"


def machine_held(offer_id: str) -> str:
    """Return provider/region/instance type of the offer that stands for a commitment held."""
    provider, region, _, machine, _, _ = offer_id.split("/")
    return f"{provider}/{region}/{machine}"


def held_offer(commitment: Commitment, offers: pd.DataFrame, *, number: int) -> pd.DataFrame:
    """Return the offer (one row) that a commitment stands for; it needs no price on offer.

    What the machine is comes from an offer of it, else from what the commitment says
    (``gpus_each``), else from the list of machines; where it stands from an offer at its region,
    else from the list of regions.

    Parameters
    ----------
    commitment
        What is held.
    offers
        Table ``offers``.
    number
        Of the commitment among those of the demand, for the error.

    Raises
    ------
    DemandError
        For a machine that nothing tells about, and for a region that its provider has not.
    """
    provider, region, machine = _parts(commitment, number)
    site = offers["provider"].eq(provider) & offers["region"].eq(region)
    row = _place(offers[site], provider, region, commitment, number, known=offers)
    alike = offers[site & offers["instance_type"].eq(machine)]
    if len(alike):
        row |= _known(alike)
    elif commitment.gpus_each is not None:
        row |= {"gpu_model": commitment.gpu_model, "gpu_count": commitment.gpus_each}
    else:
        row |= _machine(provider, machine, offers, commitment, number)
    row |= {
        "offer_id": held_offer_id(commitment.machine),
        "provider": provider,
        "region": region,
        "zone": "",
        "instance_type": machine,
        "purchase_option": "reserved",
        "term": "held",
        "price_kind": "administered",
        "price_usd_per_hour": commitment.usd_per_hour,
        "offer_count": np.nan,
        "held": commitment.instances,
    }
    row.pop("observed_at", None)  # its price is that of a contract, which nobody observes
    return offers.iloc[:0].reindex([0]).assign(**row)


def with_held(demand: Demand, offers: pd.DataFrame) -> pd.DataFrame:
    """Return the offers, and behind them those that stand for the commitments of a demand.

    Parameters
    ----------
    demand
        What is held; each has its contract's price.
    offers
        Table ``offers``.

    Returns
    -------
    pd.DataFrame
        With ``held``, machines of a commitment; NaN of other offers.

    Raises
    ------
    DemandError
        As ``held_offer``.
    """
    held = [
        held_offer(commitment, offers, number=number)
        for number, commitment in enumerate(demand.commitments)
    ]
    together = pd.concat([offers.assign(held=np.nan), *held], ignore_index=True)
    if "stale" in offers:  # a contract's price does not age
        together["stale"] = together["stale"].eq(True)
    return together


def without_price(commitments: tuple[Commitment, ...], offers: pd.DataFrame) -> list[str]:
    """Return the machines held of which no price is on offer."""
    machine = offers["provider"] + "/" + offers["region"] + "/" + offers["instance_type"]
    on_offer = set(machine)
    return [held.machine for held in commitments if held.machine not in on_offer]


def _known(rows: pd.DataFrame) -> dict[str, Any]:
    """Return what the first of some rows says."""
    return {str(column): value for column, value in rows.iloc[0].items()}


def _parts(commitment: Commitment, number: int) -> list[str]:
    """Return provider, region and instance type of a commitment."""
    parts = commitment.machine.split("/")
    if len(parts) != 3 or not all(parts):
        raise DemandError(
            ("commitments", number, "machine"),
            f"machine {commitment.machine!r} is no provider/region/instance type.",
            "Write it as gcp/us-central1/a3-highgpu-8g.",
        )
    return parts


def _place(
    there: pd.DataFrame,
    provider: str,
    region: str,
    commitment: Commitment,
    number: int,
    *,
    known: pd.DataFrame,
) -> dict[str, Any]:
    """Return what is known of a region: from an offer there, else from the list of regions."""
    columns = [name for name in (*_PLACE, "grid_gco2e_per_kwh") if name in known]
    if len(there):
        return _known(there[columns])
    listed = regions()[regions()["provider"] == provider]
    offered = known.loc[known["provider"] == provider, "region"]
    names = sorted({*listed["region"], *offered})
    if names and region not in names:
        raise DemandError(
            ("commitments", number, "machine"),
            f"{commitment.machine!r}: {provider} has no region {region!r}"
            f"{did_you_mean(region, names)}.",
            "Name a commitment by provider/region/instance type.",
        )
    row = listed[listed["region"] == region]
    return _known(row[[name for name in _PLACE if name in columns]]) if len(row) else {}


_PLACE = ("country", "union", "latitude", "longitude")


def _machine(
    provider: str, machine: str, offers: pd.DataFrame, commitment: Commitment, number: int
) -> dict[str, Any]:
    """Return what the list of machines, or an offer elsewhere, tells of a machine."""
    about = ["gpu_model", "gpu_count", "gpu_memory_gib", "vcpus", "memory_gib"]
    elsewhere = offers[offers["provider"].eq(provider) & offers["instance_type"].eq(machine)]
    listed = machines()[machines()["provider"].eq(provider)]
    named = pd.concat([elsewhere, listed[listed["instance_type"].eq(machine)]])
    if len(named):
        return _known(named[[name for name in about if name in offers]])
    types = offers.loc[offers["provider"] == provider, "instance_type"]
    here = commitment.machine.removesuffix(machine)
    known = sorted({*types, *listed["instance_type"]})
    near = did_you_mean(commitment.machine, [here + name for name in known])
    raise DemandError(
        ("commitments", number, "machine"),
        f"no machine {commitment.machine!r} on record{near}.",
        "Name a commitment by provider/region/instance type, and of one that no list has say "
        "gpus_each: 8 H100.",
    )
