"""Whether one problem allows no plan that another does not: what bounds the other bounds it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.problem.limits import STATED
from cloudarb_lib.allocate.problem.model import Limits, Problem
from cloudarb_lib.allocate.problem.row import Row

_TABLES = ("demands", "slots", "assignments", "pools", "sites")
_FIGURES = ("exact", "budget_excess_usd", "cvar_excess_usd")
_STATED = frozenset(kind.kind for kind in STATED)


def is_tighter(problem: Problem, other: Problem) -> bool:
    """Return whether every plan of a problem is one of another at the same cost.

    True where their tables and paths are the same, and no limit of the problem is looser. It errs
    on the safe side: false where it cannot tell.
    """
    return (
        all(getattr(problem, name) == getattr(other, name) for name in _FIGURES)
        and _are_limits_tighter(problem.limits, other.limits)
        and len(problem.rows) == len(other.rows)
        and all(map(_is_row_tighter, problem.rows, other.rows))
        and all(_are_same(getattr(problem, name), getattr(other, name)) for name in _TABLES)
        and _are_same(problem.paths, other.paths)
    )


def _are_limits_tighter(limits: Limits, other: Limits) -> bool:
    """Return whether each stated limit is as tight at least, and all else is the same."""
    for kind in STATED:
        bound = getattr(limits, kind.kind)
        of_other = getattr(other, kind.kind)
        if of_other is None:
            continue
        if bound is None or (bound < of_other if kind.at_least else bound > of_other):
            return False
    same = (field.name for field in fields(Limits) if field.name not in _STATED)
    return all(getattr(limits, name) == getattr(other, name) for name in same)


def _is_row_tighter(row: Row, other: Row) -> bool:
    return (
        (row.kind, row.on_usage, row.tiers) == (other.kind, other.on_usage, other.tiers)
        and row.lower >= other.lower
        and row.upper <= other.upper
        and np.array_equal(row.at, other.at)
        and np.array_equal(row.values, other.values)
    )


def _are_same(table: Any, other: Any) -> bool:
    if table is other:
        return True
    if isinstance(table, pd.DataFrame):
        return bool(table.equals(other))
    return table is not None and other is not None and np.array_equal(table, other)
