"""The limit on in how many places the machines of a job may stand."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.problem.model import Consumption, Limit, Problem, Use
from cloudarb_lib.allocate.problem.row import Key

LEVELS = ("zone", "region", "provider")
"""At which a job can be kept together; a record that tells no zones tells regions alone."""
PLACE_USD = "place_usd"
"""Column of demands: what each further place costs where the limit gives way."""


class Together(Limit):
    """Each job of a demand stands in one place: a zone, a region, or a provider.

    ``solver.program`` has a switch for each demand and place; no plain sum could say it.
    """

    kind = "together"
    unit = "place"
    is_listed = False
    relief_order = 75

    def names(self, problem: Problem) -> list[str]:
        rows = _kept_together(problem)
        return [
            f"places ({level}s) of {workload}"
            for level, workload in zip(rows["together"], rows["workload"], strict=True)
        ]

    def keys(self, problem: Problem) -> list[Key]:
        return [(self.kind, demand) for demand in _kept_together(problem).index]

    def use(self, plan: Consumption) -> Use:
        problem = plan.problem
        kept = _kept_together(problem)
        switches = PlaceSwitches.of(problem)
        jobs = switches.jobs_at(problem, plan.counts)
        used = np.bincount(switches.demand, jobs, len(problem.demands))[kept.index]
        available = kept["places"].to_numpy(float)
        if PLACE_USD in kept:
            available = np.full(len(kept), np.inf)
        return Use(self, used, available)

    def elastic(self, problem: Problem, usd: float) -> Problem:
        return replace(problem, demands=problem.demands.assign(**{PLACE_USD: usd}))

    def relaxed(self, problem: Problem, available: np.ndarray) -> Problem:
        places = problem.demands["places"].astype(float)
        places[_kept_together(problem).index] = available
        return replace(problem, demands=problem.demands.assign(places=places))


@dataclass(frozen=True)
class PlaceSwitches:
    """The pairs of a demand that is kept together and a place in which it may stand."""

    demand: np.ndarray
    """Demand of each pair."""
    jobs: np.ndarray
    """Jobs of that demand."""
    most_a_job: np.ndarray
    """Cover that a job takes at most there: its last machine may be idle in part."""
    assignments: np.ndarray
    """The assignments that are kept together."""
    pair: np.ndarray
    """Of each of these."""

    @classmethod
    def of(cls, problem: Problem) -> PlaceSwitches:
        """Return the pairs of a problem."""
        kept = _kept_together(problem)
        code = np.full(len(problem.assignments), -1)
        for level in kept["together"].unique():
            at_level = kept.index[kept["together"] == level]
            mine = np.isin(problem.demand_of, at_level)
            code[mine] = _place_codes(problem, level)[problem.assignments["slot"][mine]]
        assignments = np.flatnonzero(code >= 0)
        demand = problem.demand_of[assignments]
        key = demand * (code.max(initial=0) + 1) + code[assignments]
        _, first, pair = np.unique(key, return_index=True, return_inverse=True)
        largest = np.zeros(len(first))
        np.maximum.at(largest, pair, problem.cover[assignments])
        of_pair = demand[first]
        jobs = kept["jobs"].reindex(of_pair).to_numpy(float)
        need = kept["need"].reindex(of_pair).to_numpy(float)
        return cls(of_pair, jobs, need / jobs + largest, assignments, pair)

    def jobs_at(self, problem: Problem, counts: np.ndarray) -> np.ndarray:
        """Return how many jobs, in whole numbers, a plan has at each pair."""
        cover = (counts * problem.cover)[self.assignments]
        served = np.bincount(self.pair, cover, len(self.demand))
        jobs: np.ndarray = np.ceil(served / self.most_a_job - 1e-9)
        return jobs

    def point(self, problem: Problem, counts: np.ndarray) -> np.ndarray:
        """Return the jobs of a plan at each pair, then the further places where these are paid."""
        jobs = self.jobs_at(problem, counts)
        if PLACE_USD not in problem.demands:
            return jobs
        demands, row = np.unique(self.demand, return_inverse=True)
        places = problem.demands["places"].to_numpy(float)[demands]
        return np.r_[jobs, np.maximum(np.bincount(row, jobs) - places, 0.0)]


def _place_codes(problem: Problem, level: str) -> np.ndarray:
    """Return the place of each slot, as a number."""
    slots = problem.slots
    if level == "region":
        return slots["site"].to_numpy()
    if level == "provider" or "zone" not in slots:
        return pd.factorize(slots["provider" if level == "provider" else "site"])[0]
    return pd.factorize(slots["site"].astype(str) + "/" + slots["zone"].astype(str))[0]


def further_places_usd(problem: Problem, counts: np.ndarray) -> float:
    """Return what the places of a plan beyond those allowed cost, where the limit gives way."""
    if PLACE_USD not in problem.demands:
        return 0.0
    switches = PlaceSwitches.of(problem)
    further = switches.point(problem, counts)[len(switches.demand) :]
    return float(further @ problem.demands[PLACE_USD].to_numpy(float)[np.unique(switches.demand)])


def is_kept_together(problem: Problem) -> bool:
    """Return whether some demand of the problem is kept together."""
    return not _kept_together(problem).empty


def _kept_together(problem: Problem) -> pd.DataFrame:
    """Return the demands that are kept together."""
    demands = problem.demands
    if "together" not in demands:
        return demands.iloc[:0].assign(together="", places=1.0, jobs=1.0)
    return demands[demands["together"].isin(LEVELS)]
