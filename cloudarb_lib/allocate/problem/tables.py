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
        period, shape (sample paths, slots), or None.

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
