"""Work: what a search does, counted and not timed, so that a busy machine ends it at the same step.

A unit is about a second of one core of a quiet machine, but it is counted: in calls of HiGHS for
a relaxation and the simplex iterations there, and in the limits that HiGHS checks on the way of a
MIP, by the size of each program.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from cloudarb_lib.allocate.solver.options import SolveOptions

_LEAST_WORK = 0.02
_LEAST_TIME_S = 0.05
_RELAXATION = 2e-6
"""Units for each entry of a program: to solve its relaxation and look for the cuts it needs."""
_ITERATION = 4e-9
"""Units for each entry and simplex iteration."""
_MIP = 2e-6
"""Units for each entry: to load a MIP, to presolve it and to bound its root."""
_MIP_CHECK = 1.5e-7
"""Units for each entry and check of limits, of which there is one a node at least."""


def of_relaxation(entries: int, iterations: int) -> float:
    """Return the work of a relaxation solved.

    Parameters
    ----------
    entries
        Of its matrix that are not 0.
    iterations
        Of the simplex method.
    """
    return entries * (_RELAXATION + _ITERATION * iterations)


def of_mip(entries: int, checks: int) -> float:
    """Return the work of a MIP so far.

    Parameters
    ----------
    entries
        Of its matrix that are not 0.
    checks
        How often its solver has asked whether to go on.
    """
    return entries * (_MIP + _MIP_CHECK * checks)


def iterations_within(entries: int, limit: float) -> int:
    """Return how many simplex iterations a work limit leaves for a relaxation; 1 at least."""
    iterations = (limit / max(entries, 1) - _RELAXATION) / _ITERATION
    return int(min(max(iterations, 1.0), 1e9))


@dataclass
class Allowance:
    """What may still be spent: work, which decides where a search ends, and time at most.

    Parameters
    ----------
    work_limit
        Units.
    time_limit_s
        Seconds by the clock, from now.
    """

    work_limit: float
    time_limit_s: float
    work: float = 0.0
    """Units spent so far."""
    _began_s: float = field(default_factory=lambda: time.perf_counter())

    @property
    def seconds(self) -> float:
        """Seconds gone by."""
        return time.perf_counter() - self._began_s

    @property
    def left(self) -> float:
        """Units of work left; 0 at least."""
        return max(self.work_limit - self.work, 0.0)

    @property
    def is_late(self) -> bool:
        """Whether the clock has run out: what is found then depends on how busy the machine is."""
        return self.seconds >= self.time_limit_s

    @property
    def is_spent(self) -> bool:
        return self.left <= 0.0 or self.is_late

    def spend(self, work: float) -> None:
        self.work += work

    def within(self, options: SolveOptions, work_limit: float) -> SolveOptions:
        """Return options for a part of the work: so much at most, and all of the time left.

        Where nothing is left they allow next to nothing.
        """
        return replace(
            options,
            work_limit=max(min(work_limit, self.left), _LEAST_WORK),
            time_limit_s=max(self.time_limit_s - self.seconds, _LEAST_TIME_S),
        )


def allowance_of(options: SolveOptions) -> Allowance:
    """Return what options allow, from now on."""
    return Allowance(options.work_limit, options.time_limit_s)
