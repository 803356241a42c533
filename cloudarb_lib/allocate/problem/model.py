"""The allocation problem: what can run where, within which limits, and what a plan uses of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import InstanceOf

from cloudarb_lib.allocate.demand.limit_figures import LimitFigures
from cloudarb_lib.allocate.problem.row import NOT_PAID, Key, Row
from cloudarb_lib.allocate.problem.tables import Tables
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.measures import conditional_value_at_risk, value_at_risk
from cloudarb_lib.base.records import record
from cloudarb_lib.market.replacement import WITHOUT_END, Room


class Limit(ABC):
    """One kind of limit of a problem; docs/add-a-limit.md adds one step by step.

    A limit tells its names, what a plan uses of it and what is available (``use``), which rows of
    the program hold it, what one unit more is worth and how it gives way. A kind may hold many
    limits (a capacity for each pool): what a method returns for each comes in the order of
    ``names``.
    """

    kind: ClassVar[str]
    """Key of the kind; of a figure that a user states, its field in ``Limits``."""
    unit: ClassVar[str] = ""
    unit_size: ClassVar[float] = 1.0  # of what is available
    ends: ClassVar[tuple[float, float]] = (0.0, np.inf)  # of what can be available
    is_risk: ClassVar[bool] = False
    """Whether it is for safety: ``without_risk_limits`` leaves it out."""
    is_listed: ClassVar[bool] = True
    """Whether ``binding`` lists it."""
    relief_order: ClassVar[int | None] = None
    """Its place among the limits that give way when there is no plan; None: it does not."""
    cuts: ClassVar[str] = ""
    """Family of the cuts of ``solver.milp.separate`` that hold it, where no row can."""

    @abstractmethod
    def names(self, problem: Problem) -> list[str]:
        """Return the name of each limit for people."""

    @abstractmethod
    def use(self, plan: Consumption) -> Use:
        """Return what a plan uses of each limit, and what is available."""

    def keys(self, problem: Problem) -> list[Key]:
        """Return the key of each limit: by it, not by its name, its rows are found."""
        return [(self.kind, name) for name in self.names(problem)]

    def rows(self, problem: Problem) -> list[Row]:
        """Return the rows that hold the limit beside ``problem.rows``: sums, at most so much each.

        Demand, capacity, spread and CVaR are no plain sums: ``solver.milp`` has a family for each.
        """
        return []

    def conditions(self, plan: Consumption) -> list[Use]:
        """Return what a plan must keep beside ``use``: checked, but neither explained nor eased."""
        return []

    def worth(self, dual: np.ndarray, margin: Margin) -> np.ndarray:
        """Return the USD that a ``unit`` more saves in parts of machines, from its rows' duals."""
        return dual

    def available(self, problem: Problem) -> np.ndarray:
        """Return how much is available of each, or must be used at least."""
        nothing = Consumption(problem, np.zeros(len(problem.assignments)))
        return self.use(nothing).available.astype(float)

    def steps(self, problem: Problem) -> np.ndarray:
        """Return how much more, and less, of each is tried: by default 1 %."""
        available = abs(self.available(problem))
        return np.where(available == 0, self.unit_size, available / 100)

    def changed(self, problem: Problem, number: int, available: float) -> Problem:
        """Return the problem with so much available of one of the limits."""
        keys = self.keys(problem)
        is_it = [key == keys[number] for key in keys]
        return self.relaxed(problem, np.where(is_it, available, self.available(problem)))

    def dearer_may_help(self, problem: Problem) -> bool:
        """Return whether renting a dearer offer in the place of a cheaper one may help keep it."""
        return any(row.on_usage for row in self.rows(problem))

    def without(self, problem: Problem) -> Problem:
        """Return the problem without the limit."""
        raise NotImplementedError(f"{self.kind} cannot be left out")

    def elastic(self, problem: Problem, usd: float) -> Problem:
        """Return the problem in which exceeding the limit by all of its size costs ``usd``."""
        raise NotImplementedError(f"{self.kind} has no price")

    def relaxed(self, problem: Problem, available: np.ndarray) -> Problem:
        """Return the problem with as much ``available`` of each limit."""
        raise NotImplementedError(f"{self.kind} does not give way")


@record
class Limits(LimitFigures):
    """What a plan must respect, each optional, and how it is costed: figures, and further limits.

    ``further``: limits of kinds that have no field.
    """

    further: tuple[InstanceOf[Limit], ...] = ()


@dataclass(frozen=True)
class Problem(Tables):
    """One allocation problem: the tables of what can run where, and what a plan must respect.

    Parameters
    ----------
    limits
        What the user states.
    exact
        Whether a demand must be covered exactly (each workload takes one assignment) or at least.
    notes
        What a reader of the plan should know of its prices.
    rows
        Further limits and charges on the counts.
    budget_excess_usd, cvar_excess_usd
        What a USD beyond the budget, and of CVaR beyond its limit, costs; infinite: none may be.
    room
        What offers that replace machines taken away share, with nothing held.
    elsewhere
        Yields the problem with one region more allowed to one workload, each with a sentence.

    Raises
    ------
    DataError
        As ``Tables``.
    ParameterError
        As ``Tables``, and for a limit on risk without paths.
    """

    limits: Limits = field(default_factory=Limits)
    exact: bool = False
    notes: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    budget_excess_usd: float = np.inf
    cvar_excess_usd: float = np.inf
    room: Room = WITHOUT_END
    elsewhere: Callable[[], Iterator[tuple[str, Problem]]] = field(
        default=lambda: iter(()), repr=False
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.paths is None and self.limits.cvar_usd is not None:
            raise ParameterError(
                "a risk limit needs price paths.", "Give paths, or leave cvar_usd out."
            )

    @cached_property
    def groups(self) -> np.ndarray:
        """Code of the provider (or region) of each slot, for diversification."""
        key = "provider" if self.limits.diversify == "provider" else "site"
        return pd.factorize(self.slots[key])[0]

    def under(self, **limits: Any) -> Problem:
        """Return the problem with some of its limits changed."""
        return replace(self, limits=replace(self.limits, **limits))


@dataclass(frozen=True)
class Consumption:
    """What a plan uses of all that a limit can bound: each figure worked out when asked for."""

    problem: Problem
    counts: np.ndarray
    """Units of each assignment."""

    @cached_property
    def hours(self) -> np.ndarray:
        """Instance-hours of each slot."""
        return self.problem.usage(self.counts)

    @cached_property
    def list_spend_usd(self) -> np.ndarray:
        """Spend on each slot at list prices."""
        return self.hours * self.problem.slots["list_price"].to_numpy(float)

    @cached_property
    def spend_usd(self) -> np.ndarray:
        """Expected spend on each slot."""
        return self.hours * self.problem.slots["mean_price"].to_numpy(float)

    @cached_property
    def charges_usd(self) -> np.ndarray:
        """What each of the problem's rows charges."""
        rows = zip(self.problem.rows, self.sums, strict=True)
        return np.array([row.charge_usd(total) for row, total in rows], float)

    @cached_property
    def cost_usd(self) -> float:
        """Expected cost: rent, certain costs, fees of the sites used and charges."""
        problem = self.problem
        is_used = np.bincount(problem.site_of, self.counts, len(problem.sites)) > 0
        is_paid = np.array([row.kind not in NOT_PAID for row in problem.rows], bool)
        charges = self.charges_usd[is_paid].sum()
        return float(self.counts @ problem.unit_cost + problem.fee_usd @ is_used + charges)

    @cached_property
    def tail_usd(self) -> tuple[float, float]:
        """CVaR and VaR of rent and hours bought elsewhere, over the sample paths, USD.

        At the limits' level; NaN without paths. Fees, disks and charges are certain.
        """
        if self.problem.paths is None:
            return np.nan, np.nan
        costs = self.problem.path_costs(self.counts)
        level = self.problem.limits.cvar_level
        return float(conditional_value_at_risk(costs, level)), float(value_at_risk(costs, level))

    @cached_property
    def served(self) -> np.ndarray:
        """Need of each demand that is met."""
        problem = self.problem
        return np.bincount(problem.demand_of, self.counts * problem.cover, len(problem.demands))

    @cached_property
    def pool_use(self) -> np.ndarray:
        """Capacity of each pool that is taken."""
        problem = self.problem
        return np.bincount(problem.pool_of, self.counts * problem.pool_use, len(problem.pools))

    @cached_property
    def sums(self) -> np.ndarray:
        """Sum of each of the problem's rows."""
        return np.array([row.total(self.counts, self.hours) for row in self.problem.rows])

    def largest_share(self, key: str) -> float:
        """Return the largest share of expected spend that a provider, or a site, has."""
        each = np.bincount(pd.factorize(self.problem.slots[key])[0], self.spend_usd)
        return float(each.max() / max(self.spend_usd.sum(), 1e-9))

    @cached_property
    def effective_groups(self) -> float:
        """Effective providers (or regions) by expected spend; infinite where nothing is spent."""
        if not self.spend_usd.any():
            return np.inf
        total = max(self.spend_usd.sum(), 1e-9)
        return float(total**2 / (np.bincount(self.problem.groups, self.spend_usd) ** 2).sum())

    @cached_property
    def on_demand_share(self) -> float:
        """Share of instance-hours that is on demand; 1 where none are bought."""
        if not self.hours.any():
            return 1.0
        steady = self.problem.slots["on_demand"].to_numpy(bool)
        return float(self.hours[steady].sum() / self.hours.sum())


@dataclass(frozen=True)
class Use:
    """What a plan uses of the limits of one kind, and what is available: an entry for each."""

    limit: Limit
    used: np.ndarray
    available: np.ndarray
    at_least: bool = False
    """Whether so much must be used at least, not at most."""

    @property
    def beyond(self) -> np.ndarray:
        """By how much each limit is broken; negative where something is left."""
        return self.available - self.used if self.at_least else self.used - self.available


@dataclass(frozen=True)
class Margin:
    """The relaxation at whose margin limits have their worth."""

    problem: Problem
    hours: np.ndarray  # instance-hours of each slot
    spread_spend_usd: float
    """Expected spend as the rows of effective providers have it; 0 without them."""
