"""Plans to back-test: what a buyer would have held at a time, chosen from what was known then."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

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


class TestedPlan(NamedTuple):
    """Machines held alike over a window: how many ``instances`` of the offers ``at`` positions."""

    kind: str
    name: str
    at: np.ndarray
    instances: np.ndarray


class _Share(NamedTuple):
    """Units of a kind that a plan holds, in how many places, with prices that move or stay."""

    kind: str
    moves: bool
    places: int
    units: float


@dataclass(frozen=True, eq=False)
class TestedPlans:
    """The plans that could have been held from the cells of a panel on.

    Attributes
    ----------
    panel : prices of the offers that are sold.
    like : table ``plan``, of a page, as which one plan is made; None for none.
    """

    panel: Panel
    like: pd.DataFrame | None = None

    def at(self, cell: int, *, least_cells: int) -> Iterator[TestedPlan]:
        """Yield the plans that could be held from a cell on, chosen by the prices at its end.

        Of each kind (GPU model, or machine type without a GPU) on offers whose price moves: one
        unit in each of its places, alike in its cheapest ones, and all kinds together, as much
        spent on each. With ``like`` a plan made as that one.

        Parameters
        ----------
        cell : int
            Position in the panel.
        least_cells : int
            Cells before it in which an offer has to be priced.

        Yields
        ------
        TestedPlan
        """
        choices = self._cheapest_of_each_place(cell, least_cells)
        moving = choices[self._moves[choices]]
        cheapest = []
        for kind in np.unique(self._kind[moving]):
            of_kind = moving[self._kind[moving] == kind]
            cheapest.append(of_kind[0])
            for count in CHEAPEST_PLACES:
                if count <= len(of_kind):
                    yield self._spread(kind, f"{kind}, cheapest {count}", of_kind[:count])
            for offer in of_kind:
                name = f"{kind} in {self._place[offer]}"
                yield self._spread(kind, name, np.array([offer]))
        if len(cheapest) > 1:
            one_usd_each = 1.0 / self.panel.price[cell, cheapest]
            yield TestedPlan(ALL_KINDS, ALL_KINDS, np.array(cheapest), one_usd_each)
        if self.like is not None:
            yield from self._held_like(choices)

    @cached_property
    def _kind(self) -> np.ndarray:
        """What stands for each other: the GPU model, without a GPU the machine type (offers,)."""
        offers = self.panel.offers
        kind = offers["gpu_model"].astype(object).fillna(offers["instance_type"])
        return kind.to_numpy(object)

    @cached_property
    def _place(self) -> np.ndarray:
        """Provider, region and zone of each offer in words (offers,)."""
        provider, region, zone = (
            self.panel.offers[part].astype(object).fillna("").astype(str)
            for part in ("provider", "region", "zone")
        )
        place = (provider + " " + region + " " + zone).str.strip()
        return place.to_numpy(object)

    @cached_property
    def _moves(self) -> np.ndarray:
        """Whether the price of each offer moves (offers,)."""
        return is_moving(self.panel.offers)

    @cached_property
    def _units(self) -> np.ndarray:
        """The GPUs of each machine, 1 where it has none (offers,)."""
        offers = self.panel.offers
        gpus = offers["gpu_count"].where(offers["gpu_model"].notna(), 1.0)
        return gpus.fillna(1.0).to_numpy(float)

    @cached_property
    def _pool(self) -> np.ndarray:
        """A code for each kind, place and way of pricing (offers,)."""
        of_offer = pd.DataFrame({"kind": self._kind, "place": self._place, "moves": self._moves})
        return of_offer.groupby(list(of_offer)).ngroup().to_numpy()

    @cached_property
    def _shares_like(self) -> list[_Share]:
        """What the plan of ``like`` holds."""
        assert self.like is not None
        moves = self.like["purchase_option"].eq("spot")
        return [
            _Share(str(kind), bool(moving), rows["offer_id"].nunique(), float(rows["gpus"].sum()))
            for (kind, moving), rows in self.like.groupby([self.like["gpu_model"], moves])
        ]

    def _cheapest_of_each_place(self, cell: int, least_cells: int) -> np.ndarray:
        """Return the offer with the lowest price a unit of each pool, cheapest first.

        Only offers priced at the cell and in ``least_cells`` before it: the models need a past.
        """
        usd = self.panel.price[cell]
        is_priced = np.isfinite(self.panel.price[cell - least_cells : cell + 1]).all(axis=0)
        at = np.flatnonzero(is_priced & (usd > 0))
        by_price = at[np.argsort(usd[at] / self._units[at], kind="stable")]
        first = np.unique(self._pool[by_price], return_index=True)[1]
        return by_price[np.sort(first)]

    def _spread(self, kind: str, name: str, at: np.ndarray, units: float = 1.0) -> TestedPlan:
        """Return the plan of so many units, as many in each of the offers chosen."""
        return TestedPlan(kind, name, at, units / len(at) / self._units[at])

    def _held_like(self, choices: np.ndarray) -> Iterator[TestedPlan]:
        """Yield the plan held as ``like`` is, in the cheapest places of the time; none if it lacks.

        As many units of each GPU model, with prices that move or stay, in as many places.
        """
        parts = []
        for share in self._shares_like:
            is_fit = (self._kind[choices] == share.kind) & (self._moves[choices] == share.moves)
            fitting = choices[is_fit]
            if len(fitting) < share.places:
                return
            at = fitting[: share.places]
            parts.append(self._spread(LIKE_THE_PAGE, LIKE_THE_PAGE, at, share.units))
        yield TestedPlan(
            LIKE_THE_PAGE,
            LIKE_THE_PAGE,
            np.concatenate([part.at for part in parts]),
            np.concatenate([part.instances for part in parts]),
        )
