"""Where one workload may run, and what its need costs there at any prices, filled greedily."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloudarb_lib import allocate
from cloudarb_lib.allocate.problem.limits.together import PlaceSwitches
from cloudarb_lib.base.units import HOURS_PER_WEEK
from cloudarb_lib.tables.assumptions import Assumptions


@dataclass(frozen=True, eq=False)
class Places:
    """The offers of a workload, the pools whose GPUs they share, and the places that pools lie in.

    Parts of machines count: for paths and histories of prices, where a program for each is too
    slow. ``allocate`` counts whole ones.

    Attributes
    ----------
    offer_ids
        Names of the offers, shape (offers,).
    factor
        USD an hour for a unit of the need, per USD an hour of a machine; interrupted hours are
        bought again.
    pool
        Pool of each offer.
    capacity
        Of each pool, in units of the need.
    place
        Of each pool; the whole need lies in one place (anywhere: all pools are one).
    need
        GPUs held, or GPU-hours a week.
    """

    offer_ids: pd.Index
    factor: np.ndarray
    pool: np.ndarray
    capacity: np.ndarray
    place: np.ndarray
    need: float

    @classmethod
    def of(
        cls, workload: allocate.Workload, offers: pd.DataFrame, assumptions: Assumptions
    ) -> Places:
        """Return the places of a workload.

        Parameters
        ----------
        offers
            Table ``offers``: by the hour alone.

        Raises
        ------
        ParameterError
            Where no offer fits the workload.
        """
        problem = allocate.build_problem([workload], offers, assumptions=assumptions)
        details = problem.assignment_details
        work_per_use = (details["cover"] / details["pool_use"]).groupby(details["pool"]).max()
        place = np.zeros(len(details), int)
        switches = PlaceSwitches.of(problem)
        place[switches.assignments] = switches.pair
        return cls(
            offer_ids=pd.Index(details["offer_id"].astype(object)),
            factor=(details["hours"] / details["cover"] / HOURS_PER_WEEK).to_numpy(float),
            pool=details["pool"].to_numpy(),
            capacity=problem.capacity * work_per_use.to_numpy(float),
            place=pd.Series(place).groupby(details["pool"]).first().to_numpy(),
            need=float(problem.need[0]),
        )

    def fill(self, prices: np.ndarray) -> np.ndarray:
        """Return how many machines of each offer serve the need at least cost.

        Parameters
        ----------
        prices
            USD an hour of a machine, shape (offers, ...); NaN where it is not on sale.

        Returns
        -------
        np.ndarray
            Alike; times ``prices`` it is USD an hour. NaN in all offers where no place holds the
            need.
        """
        flat = np.reshape(prices, (len(self.offer_ids), -1))
        unit = np.where(np.isfinite(flat), flat * self.factor[:, None], np.inf)
        by_pool, cheapest = self._pools(unit)
        taken, cost = self._in_places(by_pool)
        machines = np.zeros_like(flat, dtype=float)
        cases = np.arange(flat.shape[1])
        for pool, offer in enumerate(cheapest):
            machines[offer, cases] = taken[pool] * self.factor[offer]
        machines[:, ~np.isfinite(cost)] = np.nan
        return machines.reshape(np.shape(prices))

    def usd_per_hour(self, prices: np.ndarray) -> np.ndarray:
        """Return what the need costs at least, USD an hour; infinite where no place holds it.

        Parameters
        ----------
        prices
            As of ``fill``, shape (offers, ...).

        Returns
        -------
        np.ndarray of shape (...)
        """
        machines = self.fill(prices)
        paid = np.where(machines > 0, machines * np.nan_to_num(prices), 0.0).sum(axis=0)
        return np.where(np.isnan(machines[0]), np.inf, paid)

    def usd_per_hour_by_pool(self, prices: np.ndarray) -> np.ndarray:
        """Return what the whole need costs in each pool alone, USD an hour, shape (pools, ...).

        Infinite where the pool does not hold it, or nothing there is on sale.
        """
        flat = np.reshape(prices, (len(self.offer_ids), -1))
        unit = np.where(np.isfinite(flat), flat * self.factor[:, None], np.inf)
        least, _ = self._pools(unit)
        least[self.capacity < self.need] = np.inf
        return self.need * least.reshape(-1, *np.shape(prices)[1:])

    def _pools(self, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the least price of each pool, and which offer has it, (pools, cases) both."""
        least = np.full((len(self.capacity), unit.shape[1]), np.inf)
        offer = np.zeros(least.shape, int)
        for pool in range(len(self.capacity)):
            mine = np.flatnonzero(self.pool == pool)
            best = unit[mine].argmin(axis=0)
            offer[pool] = mine[best]
            least[pool] = unit[mine].min(axis=0)
        return least, offer

    def _in_places(self, by_pool: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return units taken of each pool, in the place where all cost least, and that cost."""
        taken = np.zeros_like(by_pool)
        least = np.full(by_pool.shape[1], np.inf)
        for place in np.unique(self.place):
            mine = np.flatnonzero(self.place == place)
            order = by_pool[mine].argsort(axis=0, kind="stable")
            price = np.take_along_axis(by_pool[mine], order, axis=0)
            room = np.where(np.isfinite(price), self.capacity[mine][order], 0.0)
            before = room.cumsum(axis=0) - room
            here = np.clip(self.need - before, 0.0, room)
            cost = (here * np.where(here > 0, price, 0.0)).sum(axis=0)
            holds = here.sum(axis=0) >= self.need * (1 - 1e-9)
            better = holds & (cost < least)
            least[better] = cost[better]
            placed = np.zeros_like(here)
            np.put_along_axis(placed, order, here, axis=0)
            taken[:, better] = 0.0
            taken[np.ix_(mine, better)] = placed[:, better]
        return taken, least
