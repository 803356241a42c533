"""The periods of a plan and the futures of its demand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cloudarb_lib.allocate.demand import Demand, DemandScenario
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.units import HOURS_PER_WEEK


def hours_of_periods(
    demand: Demand, hours: float, *, step_h: float = HOURS_PER_WEEK
) -> list[float]:
    """Return the hours of the periods that a demand asks for by itself.

    Needs told by period ask for as many equal ones. Else a period ends with each deadline, so that
    machines of work that is done serve other work; and with each week up to a deadline before
    which being early is worth something.

    Parameters
    ----------
    demand
        What has to run.
    hours
        Of the whole plan.
    step_h
        Hours of a step of the price paths: periods end with one.

    Raises
    ------
    ParameterError
        Where workloads tell needs for different numbers of periods.
    """
    told = {w.name: len(w.amounts) for w in demand.workloads if w.amounts}
    if len(set(told.values())) > 1:
        each = ", ".join(f"{name} for {periods}" for name, periods in told.items())
        raise ParameterError(
            f"needs are told for different numbers of periods: {each}.", "Tell them for as many."
        )
    if told:
        periods = next(iter(told.values()))
        return [hours / periods] * periods
    ends_h = [hours]
    for w in demand.workloads:
        due_h = min(w.deadline_weeks * HOURS_PER_WEEK, hours)
        ends_h.append(due_h)
        if w.early_usd_per_gpu_hour_week:
            ends_h.extend(np.arange(HOURS_PER_WEEK, due_h, HOURS_PER_WEEK))
    steps = np.unique(np.ceil(np.array(ends_h) / step_h - 1e-9))
    return np.diff(np.minimum(np.r_[0.0, steps * step_h], hours)).tolist()


def future_of_path(probabilities: np.ndarray, n_paths: int) -> np.ndarray:
    """Return to which future each sample path belongs: as many to each as its probability says.

    Parameters
    ----------
    probabilities
        Of the futures, shape (futures,); they add up to 1.
    n_paths
        1 or more.

    Returns
    -------
    np.ndarray
        Number of a future, rising, shape (n_paths,).
    """
    share_of_paths = (np.arange(n_paths) + 0.5) / n_paths
    last = len(probabilities) - 1
    return np.searchsorted(np.cumsum(probabilities)[:last], share_of_paths)


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
