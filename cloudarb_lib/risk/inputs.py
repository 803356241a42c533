"""What the cost of plans is simulated with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from cloudarb_lib import allocate
from cloudarb_lib.allocate.problem.room import room_of
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.types import Panel, Paths
from cloudarb_lib.market.replacement import Room
from cloudarb_lib.tables.assumptions import Assumptions, HazardPreset


@dataclass(frozen=True)
class RiskInputs:
    """What the cost of plans is simulated with.

    Parameters
    ----------
    offers : pd.DataFrame
        Table ``offers`` with all that may replace an hour. Those marked in column ``stale`` replace
        only what no other does; ``available_share``, 1 where there is no such column, is the share
        of its hours in which an offer can be had.
    paths : Paths
        Joint sample paths of the mean prices over each step (``step_means``) of those offers that
        plans may use.
    assumptions : Assumptions
        For hazards and the overlap of a move.
    horizon_h : float
        The span of the paths in hours, above 0.
    seed : int
        Of the outages.
    hazard : HazardPreset
        How often spot machines are taken away, one of ``HAZARD_PRESETS``.
    record : Panel, optional
        Mean prices, which episodes are taken from.
    demand : Demand, optional
        What plans serve: hours of its workloads that are taken away are bought where they may run
        alone (regions, providers, options), those of others anywhere; its scenarios say how likely
        each part of a plan is, and its deadlines when the periods of a plan end.
    """

    offers: pd.DataFrame
    paths: Paths
    assumptions: Assumptions
    horizon_h: float
    seed: int
    hazard: HazardPreset = "typical"
    record: Panel | None = None
    demand: allocate.Demand | None = None

    def __post_init__(self) -> None:
        if not self.horizon_h > 0:
            raise ParameterError(f"a horizon is {self.horizon_h!r} hours.", "Give hours above 0.")

    @cached_property
    def accepted(self) -> dict[str, frozenset[str]]:
        """The offers in which each workload may run, by its name."""
        offer_id = self.offers["offer_id"].to_numpy(str)
        return {
            workload.name: frozenset(
                offer_id[allocate.accepts(workload, self.offers, self.assumptions)]
            )
            for workload in (self.demand.workloads if self.demand else ())
        }

    @cached_property
    def room(self) -> Room:
        """What on-demand offers that replace others share, by the demand's quotas where it has."""
        quotas = self.demand.quotas if self.demand else ()
        return room_of(self.offers, self.assumptions, quotas)

    @property
    def futures(self) -> tuple[allocate.DemandScenario, ...]:
        """The ways in which the need may turn out; one without a name where there is but one."""
        stated = self.demand.scenarios if self.demand else ()
        return stated or (allocate.DemandScenario("", 1.0),)

    def period_of_step(self, periods: int) -> np.ndarray:
        """Return in which of so many periods of a plan each step of the paths lies.

        Periods end where the demand says; where it asks for another number they are as long.
        """
        steps = len(self.paths.times)
        hours = np.full(periods, 1.0)
        if self.demand:
            step_h = self.horizon_h / steps
            told = allocate.hours_of_periods(self.demand, self.horizon_h, step_h=step_h)
            hours = np.array(told) if len(told) == periods else hours
        ends = np.cumsum(hours) / hours.sum()
        return np.searchsorted(ends[:-1], (np.arange(steps) + 0.5) / steps)
