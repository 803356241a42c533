"""A plan: status, proven bound, gap, what it costs and what binds; as a table and back."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.check import Verdict, check
from cloudarb_lib.allocate.problem.model import Problem
from cloudarb_lib.base.errors import SolveError

_COLUMNS = [
    "offer_id",
    "workload",
    "period",
    "instances",
    "hours",
    "expected_cost_usd",
    "provider",
    "region",
    "gpu_model",
    "purchase_option",
    "gpus",
    "scenario",
]


@dataclass(frozen=True)
class Plan:
    """The outcome of a solve: a plan, or the reason why there is none.

    ``bound_usd`` is a proven lower bound of the cost. Reading ``table``, ``objective_usd`` or
    ``verdict`` where there is no plan raises SolveError.
    """

    problem: Problem = field(repr=False)
    status: str
    bound_usd: float
    seconds: float
    counts: np.ndarray | None = field(repr=False)

    @property
    def has_plan(self) -> bool:
        return self.counts is not None

    @property
    def verdict(self) -> Verdict:
        if self.counts is None:
            if self.status == "infeasible":
                raise SolveError(
                    "there is no plan: infeasible.",
                    "Ask allocate.conflicts which limits are in the way.",
                )
            raise SolveError(
                f"no plan was found in {self.seconds:.0f} s ({self.status.replace('_', ' ')}), which is no proof that "
                "there is none.",
                "Allow more time, or loosen a limit.",
            )
        return check(self.problem, self.counts)

    @property
    def objective_usd(self) -> float:
        return self.verdict.objective_usd

    @property
    def gap(self) -> float:
        """Relative distance of cost and bound; infinite where there is no plan."""
        if self.counts is None:
            return np.inf
        cost = self.objective_usd
        return max(0.0, (cost - self.bound_usd) / max(abs(cost), 1e-9))

    @property
    def table(self) -> pd.DataFrame:
        """The plan as table ``plan``, with provider, region, GPUs and scenario of the demand beside."""
        fee, problem = self._fees(), self.problem
        assert self.counts is not None
        at = np.flatnonzero(self.counts)
        ways, units = problem.assignment_details.iloc[at], self.counts[at]
        held = units * ways["instances"]
        rows = ways.assign(
            instances=held,
            hours=ways["hours"] / ways["instances"],
            gpus=held * ways["gpus"],
            expected_cost_usd=units * problem.unit_cost[at] + fee[at],
        ).filter(items=_COLUMNS)
        order = ["workload", "period", "expected_cost_usd"]
        return rows.sort_values(order, ascending=[True, True, False]).reset_index(drop=True)

    def _fees(self) -> np.ndarray:
        """Site fees shared among the pairs at a site, by rent; charges by what each pair adds to the sum."""
        charges, counts = self.verdict.charges_usd, self.counts
        assert counts is not None
        cost = counts * self.problem.unit_cost
        site = self.problem.assignment_details["site"].to_numpy()
        total = np.bincount(site, cost, len(self.problem.sites))
        fee = self.problem.sites["fee_usd"].to_numpy(float)
        shared = cost * (fee / np.where(total > 0, total, 1.0))[site]
        for row, usd in zip(self.problem.rows, charges, strict=True):
            if usd > 0:
                part = np.maximum(row.values * counts[row.at], 0.0)
                np.add.at(shared, row.at, usd * part / part.sum())
        return shared


def changes(before: pd.DataFrame, now: pd.DataFrame) -> pd.DataFrame:
    """Return what differs between two plans (tables ``plan``) in their first period: ``workload``, ``offer_id``,
    instances ``before`` and ``now``."""
    held = {
        name: table[table["period"] == 0].groupby(["workload", "offer_id"])["instances"].sum()
        for name, table in (("before", before), ("now", now))
    }
    both = pd.concat(held, axis=1).fillna(0.0).sort_index()
    return both[both["before"] != both["now"]].reset_index()


def counts_of(problem: Problem, table: pd.DataFrame) -> np.ndarray:
    """Return the counts of each pair that a plan table holds; offers gone are left out."""
    held = table.set_index(["workload", "offer_id", "period"])["instances"]
    key = pd.MultiIndex.from_frame(problem.assignment_details[["workload", "offer_id", "period"]])
    units = held.groupby(level=[0, 1, 2]).sum().reindex(key).fillna(0.0).to_numpy()
    return np.minimum(
        np.floor(units / problem.assignments["instances"].to_numpy(float) + 1e-9),
        problem.assignments["most"],
    ).to_numpy(float)
