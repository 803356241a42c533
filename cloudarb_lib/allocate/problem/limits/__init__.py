"""The limits of a problem: one class a kind, which owns all that is particular to it."""

from __future__ import annotations

from cloudarb_lib.allocate.problem.limits.budget import Budget
from cloudarb_lib.allocate.problem.limits.capacity import Capacity
from cloudarb_lib.allocate.problem.limits.cvar import Cvar
from cloudarb_lib.allocate.problem.limits.served import Served
from cloudarb_lib.allocate.problem.limits.shares import (
    MaxProviderShare,
    MaxRegionShare,
    MinCommitmentUse,
    MinOnDemandShare,
)
from cloudarb_lib.allocate.problem.limits.spread import EffectiveProviders
from cloudarb_lib.allocate.problem.limits.stated import StatedLimit
from cloudarb_lib.allocate.problem.limits.sums import SUMS, Sums
from cloudarb_lib.allocate.problem.limits.together import Together, is_kept_together
from cloudarb_lib.allocate.problem.model import Limit, Problem
from cloudarb_lib.allocate.problem.row import Row

STATED: tuple[type[StatedLimit], ...] = (
    Budget,
    Cvar,
    MaxProviderShare,
    MaxRegionShare,
    MinOnDemandShare,
    MinCommitmentUse,
    EffectiveProviders,
)
"""Kinds that have a field of ``Limits``, which their ``kind`` names."""


def stated_limits(problem: Problem) -> list[StatedLimit]:
    """Return the limits that the user of a problem stated."""
    bounds = [(kind, getattr(problem.limits, kind.kind)) for kind in STATED]
    return [kind(bound) for kind, bound in bounds if bound is not None]


def limits_of(problem: Problem) -> list[Limit]:
    """Return all limits of a problem, in the order in which they are told and checked."""
    at: dict[str, list[int]] = {}
    for i, row in enumerate(problem.rows):
        at.setdefault(row.kind, []).append(i)
    sums = [SUMS.get(kind, Sums)(tuple(rows)) for kind, rows in at.items()]
    together = [Together()] if is_kept_together(problem) else []
    stated = [*stated_limits(problem), *problem.limits.further]
    return [*stated, Capacity(), *sums, *together, Served()]


def sum_rows(problem: Problem) -> list[Row]:
    """Return the sums of a problem that are limited or charged for: of its limits, then its own."""
    stated = [*stated_limits(problem), *problem.limits.further]
    return [*(row for limit in stated for row in limit.rows(problem)), *problem.rows]
