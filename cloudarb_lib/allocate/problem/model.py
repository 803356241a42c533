"""The allocation problem as numbers: what can run where, at what cost, within which limits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.records import Number, Positive, Share, record
from cloudarb_lib.tables.assumptions import HazardPreset


@record
class Limits:
    """What a plan must respect, each optional, and how it is costed.

    ``budget_usd``: spend at today's list prices over the horizon. ``cvar_usd``: conditional
    value at risk, at ``cvar_level``, of the rental cost over the price paths. ``effective_providers``: at least so many by the
    inverse of the sum of squared spend shares (Herfindahl); over regions with
    ``diversify="region"``. ``max_provider_share`` and ``max_region_share``: of expected spend.
    ``min_on_demand_share``: of instance-hours. ``carbon_kg``: kgCO2e of the electricity over the
    horizon, at the grid's average intensity; ``carbon_usd_per_tonne``: its price, part of the cost.
    ``hazard``: the preset of spot interruptions, one of ``HAZARD_PRESETS``. ``terms``: the
    commitments that may be bought anew (1y, 3y).
    """

    budget_usd: Positive | None = None
    cvar_usd: Positive | None = None
    cvar_level: Annotated[Share, Field(lt=1)] = 0.95
    effective_providers: Annotated[Number, Field(ge=1)] | None = None
    diversify: Literal["provider", "region"] = "provider"
    max_provider_share: Share | None = None
    max_region_share: Share | None = None
    min_on_demand_share: Share | None = None
    carbon_kg: Positive | None = None
    carbon_usd_per_tonne: Positive | None = None
    hazard: HazardPreset = "typical"
    terms: tuple[Literal["1y", "3y"], ...] = ()


@dataclass(frozen=True)
class Row:
    """A sum over counts of pairs, ``values @ counts[at]``, that is limited, charged for, or both; with ``on_usage``
    over the instance-hours of slots.

    ``tiers`` are (from, USD per unit from there on), from 0 up: what lies between two is charged at
    the first's rate, what lies below zero not at all. Rates all rise, or all fall.
    """

    name: str
    at: np.ndarray
    values: np.ndarray
    lower: float = -np.inf
    upper: float = np.inf
    tiers: tuple[tuple[float, float], ...] = ()
    unit: str = ""
    on_usage: bool = False

    @property
    def pieces(self) -> list[tuple[float, float, float]]:
        """The tiers as (from, to, USD per unit)."""
        ends = [*(start for start, _ in self.tiers), np.inf][1:]
        return [(start, end, usd) for (start, usd), end in zip(self.tiers, ends, strict=True)]

    @property
    def falls(self) -> bool:
        """Whether the rate falls from tier to tier."""
        return bool(self.tiers) and self.tiers[-1][1] < self.tiers[0][1]

    def __post_init__(self) -> None:
        starts, rates = [t[0] for t in self.tiers], [t[1] for t in self.tiers]
        if any(s < 0 for s in starts) or starts != sorted(set(starts)) or any(r < 0 for r in rates):
            raise DataError(f"{self.name}: tiers {self.tiers} are not rising from 0, or pay back.")
        if rates != sorted(rates) and (rates != sorted(rates, reverse=True) or starts[0] > 0):
            raise DataError(f"{self.name}: rates of {self.tiers} neither rise nor fall.")


@dataclass(frozen=True)
class Problem:
    """One allocation problem.

    ``demands``: a row per thing to be served, with ``workload``, ``period``, ``need`` and
    ``unmet_usd`` (per unit of need left undone; infinite: must be met). ``slots``: a row per
    offer and period, with ``offer_id``, ``provider``, ``region``, ``site``, ``pool``,
    ``on_demand``, ``list_price`` and ``mean_price`` (USD per instance-hour), ``gpus``.
    ``pairs``: a row per way to serve a demand, an integer count in the plan: ``demand``,
    ``slot``, ``cover`` (of the need, per unit), ``hours`` (instance-hours paid per unit, rework
    included), ``instances`` and ``pool_use`` (of the pool's capacity) per unit, ``sure_usd``
    (certain cost per unit, such as disks), ``most`` (upper bound).
    ``pools``: ``name`` and ``capacity``. ``sites``: ``name`` and ``fee_usd`` when used.
    ``paths``: price of each slot in each world, USD per instance-hour averaged over the
    slot's period, shape (worlds, slots), or None.
    ``rows``: further limits and charges on the counts. ``elsewhere``: yields the problem with one
    region more allowed to one workload, each with a sentence.
    """

    demands: pd.DataFrame
    slots: pd.DataFrame
    assignments: pd.DataFrame
    pools: pd.DataFrame
    sites: pd.DataFrame
    paths: np.ndarray | None = None
    limits: Limits = field(default_factory=Limits)
    exact: bool = False
    """Whether a demand must be covered exactly (each workload takes one pair) or at least."""
    notes: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    cvar_excess_usd: float = np.inf
    """What a USD of CVaR beyond its limit costs; infinite: none may be."""
    elsewhere: Callable[[], Iterator[tuple[str, Problem]]] = field(
        default=lambda: iter(()), repr=False
    )

    def __post_init__(self) -> None:
        for name, columns in {
            "slots": ["list_price", "mean_price"],
            "pools": ["capacity"],
            "sites": ["fee_usd"],
            "demands": ["need"],
            "assignments": ["cover", "hours", "instances", "pool_use", "sure_usd", "most"],
        }.items():
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
        elif self.limits.cvar_usd is not None:
            raise ParameterError(
                "a risk limit needs price paths.", "Give paths, or leave cvar_usd out."
            )

    @cached_property
    def assignment_details(self) -> pd.DataFrame:
        """The pairs, each with what its slot and its demand say, numbered from 0."""
        demands = self.demands.drop(columns="period", errors="ignore")  # a slot's tells when
        return self.assignments.join(self.slots, on="slot").join(demands, on="demand")

    @cached_property
    def unit_cost(self) -> np.ndarray:
        """Expected USD of one unit of each pair: rent, rework and certain costs."""
        ways = self.assignment_details
        return (ways["mean_price"] * ways["hours"] + ways["sure_usd"]).to_numpy(float)

    @cached_property
    def groups(self) -> np.ndarray:
        """Code of the provider (or region) of each slot, for diversification."""
        key = "provider" if self.limits.diversify == "provider" else "site"
        return pd.factorize(self.slots[key])[0]

    @cached_property
    def limit_rows(self) -> list[tuple[str, Row]]:
        """The limits on spend and shares as rows, each sum at most so much (of a share, what is more than it), by the
        fields that set them."""
        limits, slots = self.limits, self.slots
        price, share = slots["mean_price"].to_numpy(float), slots["on_demand"].to_numpy(float)
        told: list[tuple[str, str, np.ndarray, float]] = []
        if limits.budget_usd is not None:
            told.append(
                ("budget_usd", "budget", slots["list_price"].to_numpy(float), limits.budget_usd)
            )
        for limit, what, key in (
            ("max_provider_share", "provider", "provider"),
            ("max_region_share", "region", "site"),
        ):
            if (most := getattr(limits, limit)) is not None:
                each = [(slots[key] == name).to_numpy() for name in slots[key].unique()]
                told += [(limit, f"share of a {what}", price * (mine - most), 0.0) for mine in each]
        if (least := limits.min_on_demand_share) is not None:
            told.append(("min_on_demand_share", "on-demand share", least - share, 0.0))
        every = np.arange(len(slots))
        return [
            (limit, Row(name, every, values, upper=most, on_usage=True))
            for limit, name, values, most in told
        ]

    def under(self, **limits: Any) -> Problem:
        """Return the problem with some of its limits changed."""
        return replace(self, limits=replace(self.limits, **limits))

    def sums(self, counts: np.ndarray) -> np.ndarray:
        """Return the sum of each of the rows."""
        usage = self.usage(counts)
        return np.array(
            [float(r.values @ (usage if r.on_usage else counts)[r.at]) for r in self.rows]
        )

    @cached_property
    def needs(self) -> list[str]:
        """Name of the limit that each demand is: with its period, where there are several."""
        periods = self.demands.get("period", pd.Series(0, self.demands.index)).astype(int)
        when = [f" in period {t + 1}" * bool(periods.max()) for t in periods]
        return [
            f"demand of {name}{at}" for name, at in zip(self.demands["workload"], when, strict=True)
        ]

    @cached_property
    def capacities(self) -> list[str]:
        """Name of the limit that each pool is."""
        return [f"capacity of {name}" for name in self.pools["name"]]

    @property
    def spread(self) -> str:
        """Name of the limit on effective providers, or regions."""
        return f"effective {self.limits.diversify}s"

    def usage(self, counts: np.ndarray) -> np.ndarray:
        """Instance-hours bought on each slot by a plan of ``counts`` of each pair."""
        return np.bincount(
            self.assignments["slot"].to_numpy(),
            weights=counts * self.assignments["hours"].to_numpy(float),
            minlength=len(self.slots),
        )
