"""The periods of a plan and the futures of its demand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cloudarb_lib.allocate.demand import DemandScenario
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.units import HOURS_PER_WEEK


@dataclass(frozen=True)
class Case:
    """One period in one future: what is decided there."""

    number: int
    """From 0: the periods of the first future, then those of the next."""
    period: int
    future: DemandScenario
    hours: float
    start_week: float
    end_week: float


@dataclass(frozen=True)
class Horizon:
    """The periods of a plan, and the futures of its demand."""

    hours: np.ndarray
    """Of each period."""
    futures: tuple[DemandScenario, ...]

    @classmethod
    def of(cls, hours: float | Sequence[float], scenarios: tuple[DemandScenario, ...]) -> Horizon:
        """Return the horizon of so many hours a period; without scenarios there is one future.

        Raises
        ------
        ParameterError
            For hours that are none, or endless.
        """
        each = np.atleast_1d(np.asarray(hours, float))
        if not (len(each) and ((each > 0) & (each < math.inf)).all()):
            raise ParameterError(
                f"the plan covers {hours} hours.", "Plan at least one hour, in every period."
            )
        return cls(each, scenarios or (DemandScenario("", 1.0, {}),))

    @cached_property
    def end_weeks(self) -> np.ndarray:
        """When each period ends, in weeks from the start of the plan."""
        return np.cumsum(self.hours) / HOURS_PER_WEEK

    @property
    def weeks(self) -> float:
        """Weeks of the plan."""
        return self.end_weeks[-1]

    @property
    def periods(self) -> int:
        return len(self.hours)

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Of each future."""
        return np.array([future.probability for future in self.futures])

    @cached_property
    def cases(self) -> list[Case]:
        """Every period of every future."""
        cases: list[Case] = []
        for future in self.futures:
            for period, hours in enumerate(self.hours):
                end = self.end_weeks[period]
                start = end - hours / HOURS_PER_WEEK
                cases.append(Case(len(cases), period, future, hours, start, end))
        return cases

    @cached_property
    def case_periods(self) -> np.ndarray:
        """Period of each case."""
        return np.array([case.period for case in self.cases])

    @cached_property
    def case_futures(self) -> np.ndarray:
        """Future of each case, by its position."""
        return np.repeat(np.arange(len(self.futures)), self.periods)

    @cached_property
    def case_probabilities(self) -> np.ndarray:
        """Probability of each case's future."""
        return self.probabilities[self.case_futures]

    def suffix(self, case: Case) -> str:
        """Return what tells the names of a case's pools from those of other cases."""
        period = f" in period {case.period + 1}" if self.periods > 1 else ""
        return period + case.future.suffix
