"""Kinds of shock: each owns its keys in a scenario file and says what it does to the offers hit.

A new kind is a class here, or in any module that is imported: see docs/add-a-scenario.md.
"""

from __future__ import annotations

import dataclasses
import fnmatch
from abc import ABC, abstractmethod
from typing import Annotated, Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from pydantic import BeforeValidator, Field

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.records import NotNegative, Number, Positive, record
from cloudarb_lib.base.units import parse_as_of
from cloudarb_lib.risk.inputs import RiskInputs

Day = Annotated[str, BeforeValidator(str)]
"""YAML reads a day as a date."""


class Effect(NamedTuple):
    """What a shock does to the offers hit. Factors multiply, 1 leaves as it is.

    Parameters
    ----------
    price : float or np.ndarray of shape (steps,) or (offers, steps)
        Of every price but those of commitments; offers are those given to ``Shock.effect``.
    volatility : float
        Stretches the log changes of the paths from today's price: a price that has not moved stays.
        Not of commitments.
    availability : float
        Share of the hours that can be had, commitments included.
    demand : float
        Of the work, whatever is hit.
    cost : float
        Of every bill, commitments and offers that are not hit included.
    """

    price: float | np.ndarray = 1.0
    volatility: float = 1.0
    availability: float = 1.0
    demand: float = 1.0
    cost: float = 1.0

    def and_then(self, other: Effect) -> Effect:
        """Return the effect of both: factors multiply."""
        return Effect(
            price=self.price * other.price,
            volatility=self.volatility * other.volatility,
            availability=self.availability * other.availability,
            demand=self.demand * other.demand,
            cost=self.cost * other.cost,
        )


class Shock(ABC):
    """A kind of shock: its fields are keys of a scenario, with defaults that do nothing."""

    def check(self, scenario: str) -> None:  # noqa: B027
        """Raise ParameterError where fields do not fit together; name the scenario."""

    @abstractmethod
    def effect(self, inputs: RiskInputs, offer_ids: pd.Index) -> Effect | None:
        """Return what the shock does, None where ``inputs`` cannot tell.

        Parameters
        ----------
        inputs : RiskInputs
            What plans are costed with.
        offer_ids : pd.Index
            Of the offers hit, those whose price can move (no commitments).
        """


SHOCK_KINDS: list[type[Shock]] = []
"""The registry, in the order in which effects multiply and keys are listed."""

Kind = TypeVar("Kind", bound=type[Shock])


def keys_of(kind: Any) -> set[str]:
    """Return the keys that a kind of shock owns."""
    return {field.name for field in dataclasses.fields(kind)}


def shock_kind(cls: Kind) -> Kind:
    """Enter a kind of shock into the registry; ValueError for a key that another kind has."""
    for other in SHOCK_KINDS:
        if taken := keys_of(cls) & keys_of(other):
            raise ValueError(f"{cls.__name__}: {other.__name__} has key {min(taken)!r} already.")
    SHOCK_KINDS.append(cls)
    return cls


@shock_kind
@record
class PriceShock(Shock):
    """Prices move at once, and stay."""

    price: Positive = 1.0

    def effect(self, inputs: RiskInputs, offer_ids: pd.Index) -> Effect:
        return Effect(price=self.price)


@shock_kind
@record
class VolatilityShock(Shock):
    """Prices move further from today's, or less far."""

    volatility: NotNegative = 1.0

    def effect(self, inputs: RiskInputs, offer_ids: pd.Index) -> Effect:
        return Effect(volatility=self.volatility)


@shock_kind
@record
class AvailabilityShock(Shock):
    """Only a share of the hours can be had."""

    availability: Annotated[Number, Field(ge=0, le=1)] = 1.0

    def effect(self, inputs: RiskInputs, offer_ids: pd.Index) -> Effect:
        return Effect(availability=self.availability)


@shock_kind
@record
class DemandShock(Shock):
    """There is more work to be done."""

    demand: Annotated[Number, Field(ge=1)] = 1.0

    def effect(self, inputs: RiskInputs, offer_ids: pd.Index) -> Effect:
        return Effect(demand=self.demand)


@shock_kind
@record
class CostShock(Shock):
    """Every bill rises, as by a tax, commitments included."""

    cost: Positive = 1.0

    def effect(self, inputs: RiskInputs, offer_ids: pd.Index) -> Effect:
        return Effect(cost=self.cost)


@shock_kind
@record
class Episode(Shock):
    """The record again: prices move as they did from one day to another, and then stay.

    Faster where the horizon is shorter. Each offer moves by its own record (the median of those
    that have one where it has none), or all by the mean of the offers whose id matches a pattern.
    """

    since: Day = ""
    until: Day = ""
    record: str = ""

    def check(self, scenario: str) -> None:
        days = [parse_as_of(day) for day in (self.since, self.until) if day]
        if len(days) != 2 or not days[0] < days[1]:
            raise ParameterError(
                f"scenario {scenario!r}: since {self.since!r}, until {self.until!r}"
                " is no stretch of the record.",
                "Give both days, the earlier first.",
            )

    def effect(self, inputs: RiskInputs, offer_ids: pd.Index) -> Effect | None:
        recorded = self._recorded_prices(inputs)
        if recorded is None:
            return None
        names = offer_ids
        if self.record:
            names = pd.Index(fnmatch.filter(recorded.columns, self.record))
        prices = recorded.reindex(columns=names)
        ratio = (prices / prices.iloc[0]).iloc[1:].dropna(axis=1)
        if ratio.empty:
            return None
        if self.record:
            return Effect(price=np.tile(ratio.mean(axis=1), (len(offer_ids), 1)))
        own = ratio.reindex(columns=offer_ids).T
        return Effect(price=own.fillna(ratio.median(axis=1)).to_numpy())

    def _recorded_prices(self, inputs: RiskInputs) -> pd.DataFrame | None:
        """Return recorded prices on the first day and at each step, None where there are none."""
        panel = inputs.record
        since = parse_as_of(self.since)
        until = parse_as_of(self.until)
        if panel is None or not len(panel.times):
            return None
        if since < panel.times[0] or until > panel.times[-1]:
            return None
        steps = len(inputs.paths.times)
        step = max(inputs.horizon_h / steps * pd.Timedelta(hours=1), (until - since) / steps)
        moments = [min(since + k * step, until) for k in range(steps + 1)]
        return panel.frame().iloc[[int(panel.times.searchsorted(moment)) for moment in moments]]
