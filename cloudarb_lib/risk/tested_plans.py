"""Plans to back-test: what a buyer would have held at a time, chosen from what was known then."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast import is_moving

CHEAPEST_PLACES = (1, 2, 4)
"""Of each kind, plans that hold alike in so many of its cheapest places."""
LIKE_THE_PAGE = "like the plan"
"""Name and kind of the plan that is made as the page's."""
ALL_KINDS = "all kinds"
"""Kind of the plan that spends alike on the cheapest place of every kind."""


def kind_of(offers: pd.DataFrame) -> pd.Series:
    """Return what stands for each other: the GPU model, without a GPU the machine type."""
    return offers["gpu_model"].astype(object).fillna(offers["instance_type"])


def _units_of(offers: pd.DataFrame) -> pd.Series:
    """Return the GPUs of each machine, 1 where it has none."""
    return offers["gpu_count"].where(offers["gpu_model"].notna(), 1.0).fillna(1.0).astype(float)


def _places_of(offers: pd.DataFrame) -> pd.Series:
    """Return provider, region and zone of each offer in words."""
    provider, region, zone = (
        offers[part].astype(object).fillna("").astype(str)
        for part in ("provider", "region", "zone")
    )
    return (provider + " " + region + " " + zone).str.strip()


def _cheapest_of_each_place(panel: Panel, cell: int, least_cells: int) -> pd.DataFrame:
    """Return the offer with the lowest price a unit of each kind, place and option, cheapest first.

    Only offers priced at the cell and in ``least_cells`` before it: the models need a past.
    """
    priced = np.isfinite(panel.price[cell - least_cells : cell + 1]).all(axis=0)
    offers = panel.offers[priced]
    table = pd.DataFrame(
        {
            "kind": kind_of(offers),
            "place": _places_of(offers),
            "moves": is_moving(offers),
            "units": _units_of(offers),
            "price_usd_per_hour": panel.price[cell, priced],
        },
        index=offers.index,
    )
    table = table[table["price_usd_per_hour"] > 0]
    table["usd_per_unit_hour"] = table["price_usd_per_hour"] / table["units"]
    ordered = table.sort_values("usd_per_unit_hour", kind="stable")
    return ordered.drop_duplicates(["kind", "place", "moves"])


def _spread(units_each: pd.Series, units: float) -> pd.Series:
    """Return the instances that hold so many units, as many in each of the offers chosen."""
    return units / len(units_each) / units_each


def _held_like(plan: pd.DataFrame, choices: pd.DataFrame) -> pd.Series | None:
    """Return instances held as ``plan`` does, in the cheapest places of the time; None if it lacks.

    As many units of each GPU model, with prices that move or stay, in as many places.
    """
    parts = []
    moves = plan["purchase_option"].eq("spot")
    for (model, moving), rows in plan.groupby([plan["gpu_model"], moves]):
        fitting = choices[(choices["kind"] == model) & (choices["moves"] == moving)]
        places = rows["offer_id"].nunique()
        if len(fitting) < places:
            return None
        parts.append(_spread(fitting["units"].iloc[:places], float(rows["gpus"].sum())))
    return pd.concat(parts)


def tested_offers(panel: Panel) -> np.ndarray:
    """Return which offers of a panel are back-tested: by the hour, of providers whose prices move.

    Parameters
    ----------
    panel : Panel
        Prices of what is sold.

    Returns
    -------
    np.ndarray of shape (offers,)
        Booleans.
    """
    offers = panel.offers
    moving_providers = offers["provider"][is_moving(offers)].unique()
    by_the_hour = offers["purchase_option"] != "reserved"
    return (by_the_hour & offers["provider"].isin(moving_providers)).to_numpy()


def plans_at(
    panel: Panel, cell: int, *, least_cells: int, like: pd.DataFrame | None = None
) -> Iterator[tuple[str, str, pd.Series]]:
    """Yield the plans that could be held from a cell on, chosen by the prices at its end.

    Of each kind (GPU model, or machine type without a GPU) on offers whose price moves: one unit in
    each of its places, alike in its cheapest ones, and all kinds together, as much spent on each.
    With ``like`` a plan made as that one.

    Parameters
    ----------
    panel : Panel
        Prices of the offers that are sold.
    cell : int
        Position in the panel.
    least_cells : int
        Cells before it in which an offer has to be priced.
    like : pd.DataFrame, optional
        Table ``plan``, of a page.

    Yields
    ------
    tuple of str, str, pd.Series
        Kind, name of the plan, and instances by offer_id.
    """
    choices = _cheapest_of_each_place(panel, cell, least_cells)
    moving = choices[choices["moves"]]
    first_of_kind = moving.drop_duplicates("kind")
    for kind in sorted(moving["kind"].unique()):
        of_kind = moving["kind"] == kind
        units_each = moving.loc[of_kind, "units"]
        for count in CHEAPEST_PLACES:
            if count <= len(units_each):
                yield kind, f"{kind}, cheapest {count}", _spread(units_each.iloc[:count], 1.0)
        for position, place in enumerate(moving.loc[of_kind, "place"]):
            alone = units_each.iloc[position : position + 1]
            yield kind, f"{kind} in {place}", _spread(alone, 1.0)
    if len(first_of_kind) > 1:
        yield ALL_KINDS, ALL_KINDS, 1.0 / first_of_kind["price_usd_per_hour"]
    if like is not None:
        held = _held_like(like, choices)
        if held is not None:
            yield LIKE_THE_PAGE, LIKE_THE_PAGE, held
