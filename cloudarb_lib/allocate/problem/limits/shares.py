"""Limits on shares of a plan: of a provider, of a region, on demand."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from cloudarb_lib.allocate.problem.limits.stated import StatedLimit
from cloudarb_lib.allocate.problem.model import Consumption, Margin, Problem
from cloudarb_lib.allocate.problem.row import Row


class LargestShare(StatedLimit):
    """At most so large a share of expected spend in one place; a row for each place.

    A row is (spend there) - bound * (all spend) <= 0, so what it must give is counted in USD.
    """

    column: ClassVar[str]
    """Column of the slots that tells the places apart."""
    place: ClassVar[str]
    unit = "hundredth"
    unit_size = 0.01
    ends = (0.01, 1.0)
    is_risk = True

    def name(self, problem: Problem) -> str:
        return f"share of a {self.place}"

    def rows(self, problem: Problem) -> list[Row]:
        slots = problem.slots
        every = np.arange(len(slots))
        price = slots["mean_price"].to_numpy(float)
        rows = []
        for place in slots[self.column].unique():
            lies_there = (slots[self.column] == place).to_numpy()
            values = price * (lies_there - self.bound)
            rows.append(
                Row(self.name(problem), every, values, upper=0.0, on_usage=True, kind=self.kind)
            )
        return rows

    def used(self, plan: Consumption) -> float:
        return plan.largest_share(self.column)

    def worth(self, dual: np.ndarray, margin: Margin) -> np.ndarray:
        spend = margin.hours @ margin.problem.slots["mean_price"]
        return dual * (spend / 100)


class MaxProviderShare(LargestShare):
    kind = "max_provider_share"
    column = "provider"
    place = "provider"
    relief_order = 40


class MaxRegionShare(LargestShare):
    kind = "max_region_share"
    column = "site"
    place = "region"
    relief_order = 45


class MinOnDemandShare(StatedLimit):
    """At least so large a share of instance-hours on demand: bound * (all) - (on demand) <= 0."""

    kind = "min_on_demand_share"
    unit = "hundredth"
    unit_size = 0.01
    ends = (0.0, 1.0)
    is_risk = True
    at_least = True
    relief_order = 30

    def name(self, problem: Problem) -> str:
        return "on-demand share"

    def rows(self, problem: Problem) -> list[Row]:
        slots = np.arange(len(problem.slots))
        values = self.bound - problem.slots["on_demand"].to_numpy(float)
        name = self.name(problem)
        return [Row(name, slots, values, upper=0.0, on_usage=True, kind=self.kind)]

    def used(self, plan: Consumption) -> float:
        return plan.on_demand_share

    def worth(self, dual: np.ndarray, margin: Margin) -> np.ndarray:
        return dual * (-margin.hours.sum() / 100)


class MinCommitmentUse(StatedLimit):
    """At least so large a share of committed instance-hours at work, by the chance of each future.

    A row is bound * (all) - (at work) <= 0. What idles counts with all of its hours, and a machine
    that works some hours a week with the others.
    """

    kind = "min_commitment_use"
    unit = "hundredth"
    unit_size = 0.01
    ends = (0.0, 1.0)
    at_least = True
    relief_order = 32

    def name(self, problem: Problem) -> str:
        return "use of commitments"

    def rows(self, problem: Problem) -> list[Row]:
        at, paid_h, busy_h = _committed_hours(problem)
        values = self.bound * paid_h - busy_h
        return [Row(self.name(problem), at, values, upper=0.0, kind=self.kind)]

    def used(self, plan: Consumption) -> float:
        at, paid_h, busy_h = _committed_hours(plan.problem)
        paid = plan.counts[at] @ paid_h
        return float(plan.counts[at] @ busy_h / paid) if paid else 1.0

    def worth(self, dual: np.ndarray, margin: Margin) -> np.ndarray:
        details = margin.problem.assignment_details
        committed = details[details["purchase_option"] == "reserved"].drop_duplicates("slot")
        hours = margin.hours[committed["slot"].to_numpy()]
        return dual * (-float(hours @ committed["chance"].to_numpy(float)) / 100)


def _committed_hours(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the assignments of commitments, and hours paid for and at work, weighed by chance."""
    details = problem.assignment_details
    at = np.flatnonzero(details["purchase_option"] == "reserved")
    mine = details.iloc[at]
    chance = mine["chance"].to_numpy(float)
    paid_h = mine["hours"].to_numpy(float)
    busy_h = np.minimum(mine["busy_h"].to_numpy(float), paid_h)
    return at, chance * paid_h, chance * busy_h
