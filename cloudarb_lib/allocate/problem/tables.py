"""The figures of an allocation problem: what can run where, at what cost, without its limits."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError, ParameterError


@dataclass(frozen=True)
class Tables:
    """Demands, slots, assignments, pools and sites of a problem.

    Parameters
    ----------
    demands
        A row per thing to be served: ``workload``, ``need``, ``unmet_usd`` (per unit of need left
        undone; infinite: must be met); perhaps ``period``, ``scenario`` and ``idle`` (true of a
        commitment's unused machines, which stand in a plan as work would), and ``together`` (the
        level at which each of its ``jobs`` is kept together) in so many ``places`` at most.
    slots
        A row per offer, period and future: ``offer_id``, ``provider``, ``region``, ``site``,
        ``pool``, ``on_demand``, ``gpus``, ``list_price`` and ``mean_price`` (USD an instance-hour).
    assignments
        A row per way to serve a demand, an integer count in the plan: ``demand``, ``slot``,
        ``cover`` (of the need, per unit), ``hours`` (instance-hours paid per unit, rework
        included), ``instances`` and ``pool_use`` (of the pool's capacity) per unit, ``sure_usd``
        (certain cost per unit, such as disks), ``most`` (upper bound), perhaps what
        ``fallback.COLUMNS`` names.
    pools, sites
        ``name`` and ``capacity``; ``name`` and ``fee_usd`` when used.
    paths
        Price of each slot in each sample path, USD per instance-hour averaged over the slot's
        period, 0 on paths of other futures than the slot's; shape (sample paths, slots), or None.

    Raises
    ------
    DataError
        For a figure that is missing, infinite or negative, and for paths that fit no slots.
    ParameterError
        Without a demand.
    """

    demands: pd.DataFrame
    slots: pd.DataFrame
    assignments: pd.DataFrame
    pools: pd.DataFrame
    sites: pd.DataFrame
    paths: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, columns in _FIGURES.items():
            values = getattr(self, name)[columns].to_numpy(float)
            for row, column in np.argwhere(~np.isfinite(values) | (values < 0))[:1]:
                raise DataError(
                    f"{columns[column]} of {name} row {row} is {values[row, column]}.",
                    "Prices, capacities and needs are finite and not negative.",
                )
        if not len(self.demands):
            raise ParameterError("no workload to place.", "Name at least one in the demand file.")
        if self.paths is not None:
            if self.paths.ndim != 2 or self.paths.shape[1] != len(self.slots):
                raise DataError(f"paths have shape {self.paths.shape}, not (worlds, slots).")
            if not len(self.paths):
                raise DataError("the set of price paths is empty.", "Give at least one world.")
            if not np.isfinite(self.paths).all():
                raise DataError("price paths hold a missing or infinite price.")

    @cached_property
    def assignment_details(self) -> pd.DataFrame:
        """The assignments, each with what its slot and its demand say, numbered from 0."""
        demands = self.demands.drop(columns="period", errors="ignore")  # a slot's tells when
        return self.assignments.join(self.slots, on="slot").join(demands, on="demand")

    @cached_property
    def need(self) -> np.ndarray:
        """Of each demand."""
        return self.demands["need"].to_numpy(float)

    @cached_property
    def unmet_usd(self) -> np.ndarray:
        """Of each demand: per unit of need left undone; infinite: must be met."""
        return self.demands["unmet_usd"].to_numpy(float)

    @cached_property
    def cover(self) -> np.ndarray:
        """Of the need, by a unit of each assignment."""
        return self.assignments["cover"].to_numpy(float)

    @cached_property
    def pool_use(self) -> np.ndarray:
        """Of its pool's capacity, by a unit of each assignment."""
        return self.assignments["pool_use"].to_numpy(float)

    @cached_property
    def demand_of(self) -> np.ndarray:
        """Demand that each assignment serves."""
        return self.assignments["demand"].to_numpy()

    @cached_property
    def pool_of(self) -> np.ndarray:
        """Pool of each assignment."""
        return self.assignment_details["pool"].to_numpy()

    @cached_property
    def site_of(self) -> np.ndarray:
        """Site of each assignment."""
        return self.assignment_details["site"].to_numpy()

    @cached_property
    def capacity(self) -> np.ndarray:
        """Of each pool."""
        return self.pools["capacity"].to_numpy(float)

    @cached_property
    def fee_usd(self) -> np.ndarray:
        """Of each site, when used."""
        return self.sites["fee_usd"].to_numpy(float)

    @cached_property
    def unit_cost(self) -> np.ndarray:
        """Expected USD of a unit of each assignment: rent, rework, certain costs, fallbacks."""
        details = self.assignment_details
        rent = details["mean_price"] * details["hours"]
        return (rent + details["sure_usd"] + self.fallback_usd).to_numpy(float)

    @cached_property
    def fallback_usd(self) -> np.ndarray:
        """Expected USD of a unit of each assignment in hours bought elsewhere; 0 unless told."""
        return self.assignments.get("fallback_usd", 0.0 * self.assignments["hours"]).to_numpy(float)

    @cached_property
    def replaced_h(self) -> np.ndarray:
        """Instance-hours of a unit of each assignment that are not rented but bought elsewhere."""
        hours = self.assignments["hours"]
        return (self.assignments.get("replaced_share", 0.0 * hours) * hours).to_numpy(float)

    @cached_property
    def elsewhere_usd(self) -> np.ndarray:
        """What a unit of each assignment pays elsewhere for these hours, on paths of its future."""
        saved_usd = self.assignment_details["mean_price"].to_numpy(float) * self.replaced_h
        chance = self.assignments.get("chance", 1.0 + 0.0 * self.assignments["hours"])
        return (self.fallback_usd + saved_usd) / chance.to_numpy(float)

    def mean_over(self, at: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean over some paths of what rent and hours bought elsewhere cost, as a sum.

        Parameters
        ----------
        at, weights
            Positions of the sample paths, and the weight of each.

        Returns
        -------
        price, beside : np.ndarray
            USD of an instance-hour of each slot, and of a unit of each assignment beside its hours.
        """
        paths = self.some_paths
        price = weights @ paths[at]
        beside = np.zeros(len(self.assignments))
        replaced = np.flatnonzero(self.replaced_h)
        slot = self.assignments["slot"].to_numpy()[replaced]
        own_weight = weights @ (paths[np.ix_(at, slot)] > 0)
        saved_usd = price[slot] * self.replaced_h[replaced]
        beside[replaced] = own_weight * self.elsewhere_usd[replaced] - saved_usd
        return price, beside

    def unit_path_costs(self, assignment: int) -> np.ndarray:
        """Return what rent and hours bought elsewhere cost a unit on each path, USD."""
        price = self.some_paths[:, self.assignments["slot"].iloc[assignment]]
        rented_h = self.assignments["hours"].iloc[assignment] - self.replaced_h[assignment]
        return price * rented_h + (price > 0) * self.elsewhere_usd[assignment]

    def path_costs(self, counts: np.ndarray) -> np.ndarray:
        """Return the cost of rent and hours bought elsewhere on each path, USD, of ``counts``."""
        slot = self.assignments["slot"].to_numpy()
        rented_h = counts * (self.assignments["hours"].to_numpy(float) - self.replaced_h)
        costs = self.some_paths @ np.bincount(slot, rented_h, len(self.slots))
        if self.replaced_h.any():
            elsewhere_usd = np.bincount(slot, counts * self.elsewhere_usd, len(self.slots))
            costs = costs + (self.some_paths > 0) @ elsewhere_usd
        return costs

    @property
    def some_paths(self) -> np.ndarray:
        """The price paths; DataError where there are none."""
        if self.paths is None:
            raise DataError("the problem has no price paths.", "Build it with paths.")
        return self.paths

    def usage(self, counts: np.ndarray) -> np.ndarray:
        """Instance-hours bought on each slot by a plan of ``counts`` of each assignment."""
        return np.bincount(
            self.assignments["slot"].to_numpy(),
            weights=counts * self.assignments["hours"].to_numpy(float),
            minlength=len(self.slots),
        )


_FIGURES = {
    "slots": ["list_price", "mean_price"],
    "pools": ["capacity"],
    "sites": ["fee_usd"],
    "demands": ["need"],
    "assignments": ["cover", "hours", "instances", "pool_use", "sure_usd", "most"],
}
"""Columns of a problem's tables that must be finite and not negative."""
