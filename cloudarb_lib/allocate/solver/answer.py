"""What a solver answers, in words that all of them share."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from cloudarb_lib.base.errors import SolveError

_STATUS = {
    "optimal": "optimal",
    "unknown": "unknown",
    "solve error": "unknown",
    "infeasible": "infeasible",
    "unbounded": "unbounded",
    # every cost and column is bounded below, so a problem of ours is never unbounded
    "primal infeasible or unbounded": "infeasible",
    "infeasible or unbounded": "infeasible",
    "time limit reached": "limit",
    "interrupted by user": "limit",
    "solution limit reached": "limit",
    "iteration limit reached": "limit",
    "feasible": "limit",
    "no solution found": "limit",
}
"""What the words of HiGHS and of MathOpt for how they ended come to."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Answer:
    """What a solver found: status (optimal, limit, infeasible, unbounded), point or None, bound."""

    status: str
    z: np.ndarray | None
    objective: float
    bound: float
    stopped: bool = False
    """By an interrupt (Ctrl-C)."""
    work: float = 0.0
    """Units (``solver.work``) that it took."""


def shared_status(solver: str, status: str) -> str:
    """Return the status that all solvers share for one's own; SolveError for an unknown one."""
    if status.lower() not in _STATUS:
        raise SolveError(f"{solver} stopped: {status}.")
    return _STATUS[status.lower()]


def run_interruptibly(run: Callable[[], Result], stop: Callable[[], None]) -> tuple[Result, bool]:
    """Return what ``run`` returns, and whether Ctrl-C came meanwhile: ``stop`` then ends it early.

    It runs in a thread of its own, since a solver lets no signal through to Python.
    """
    stopped = False
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run)
        while True:
            try:
                return future.result(), stopped
            except KeyboardInterrupt:
                stopped = True
                stop()
