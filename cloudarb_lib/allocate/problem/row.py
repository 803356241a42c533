"""A sum over the counts of a plan that is limited, charged for, or both."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cloudarb_lib.base.errors import DataError

ELASTIC = "elastic"
"""Kind of a row that only charges for what is beyond a limit: no cost of a plan."""
WAIT = "wait"
"""Kind of the rows that charge for work that is done later than it might be."""
NOT_PAID = (ELASTIC, WAIT)
"""Kinds of rows whose charges decide between plans, and are no money that a plan costs."""
Key = tuple[str, object]
"""What tells one limit from all others: its kind, and which of that kind it is."""
DEAR = 1e4
"""How many times the cost of the demand all of a limit costs that gives way: of plans that exceed
it as little, a cheap one is taken."""


@dataclass(frozen=True)
class Row:
    """A sum ``values @ counts[at]`` over assignments, or over the instance-hours of slots.

    Parameters
    ----------
    name
        For people; rows of a kind that share a name are one limit.
    at, values
        Positions in the counts (with ``on_usage`` in the slots), and what each adds a unit.
    lower, upper
        What the sum must lie between.
    tiers
        (from, USD per unit from there on): what lies between two is charged at the first's rate,
        what lies below the first not at all. Rates all rise, or, from 0 up, all fall.
    unit
        Of the sum; a sum with a unit is a fact of the plan's summary.
    on_usage
        Whether the sum is over instance-hours of slots, not over counts.
    kind
        Of limit, as ``limits.SUMS`` lists them.

    Raises
    ------
    DataError
        For tiers that mean nothing.
    """

    name: str
    at: np.ndarray
    values: np.ndarray
    lower: float = -np.inf
    upper: float = np.inf
    tiers: tuple[tuple[float, float], ...] = ()
    unit: str = ""
    on_usage: bool = False
    kind: str = "sum"

    def __post_init__(self) -> None:
        starts = [start for start, _ in self.tiers]
        rates = [usd for _, usd in self.tiers]
        rising = starts == sorted(set(starts))
        if not rising or any(r < 0 for r in rates):
            raise DataError(f"{self.name}: tiers {self.tiers} are not rising, or pay back.")
        if rates != sorted(rates) and (rates != sorted(rates, reverse=True) or starts[0] != 0):
            raise DataError(f"{self.name}: rates of {self.tiers} neither rise nor fall.")

    @property
    def key(self) -> Key:
        return self.kind, self.name

    @property
    def pieces(self) -> list[tuple[float, float, float]]:
        """The tiers as (from, to, USD per unit)."""
        ends = [*(start for start, _ in self.tiers), np.inf][1:]
        return [(start, end, usd) for (start, usd), end in zip(self.tiers, ends, strict=True)]

    @property
    def falls(self) -> bool:
        """Whether the rate falls from tier to tier."""
        return bool(self.tiers) and self.tiers[-1][1] < self.tiers[0][1]

    @property
    def is_limited(self) -> bool:
        return bool(np.isfinite((self.lower, self.upper)).any())

    @property
    def step(self) -> float:
        """What one machine adds at least; of a sum over hours 1 % of its upper end."""
        added = abs(self.values[self.values != 0])
        if self.on_usage or not len(added):
            return abs(self.upper) / 100 or 1.0
        return float(added.min())

    def total(self, counts: np.ndarray, hours: np.ndarray) -> float:
        """Return the sum for ``counts`` of assignments and ``hours`` of slots."""
        return float(self.values @ (hours if self.on_usage else counts)[self.at])

    def charge_usd(self, total: float) -> float:
        """Return what a sum of ``total`` costs by the tiers."""
        charge = 0.0
        for start, end, usd in self.pieces:
            charge += usd * max(min(total, end) - start, 0.0)
        return charge

    def elastic(self, usd: float) -> Row:
        """Return the row that charges ``usd`` for exceeding the upper end by all of its size."""
        if self.upper:
            rate = usd / abs(self.upper)
        elif self.on_usage:
            rate = DEAR
        else:  # none at all is as large as one machine
            rate = usd / abs(self.values).max(initial=1.0)
        return replace(self, upper=np.inf, tiers=((self.upper, rate),), kind=ELASTIC)
