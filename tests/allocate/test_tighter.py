"""A bound of one problem is one of another only where that allows no further plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cloudarb_lib import allocate
from cloudarb_lib.allocate.problem.row import Row
from cloudarb_lib.allocate.solver.tighter import is_tighter
from cloudarb_lib.testing import random_allocation

ROW = Row("sum", np.arange(2), np.ones(2), lower=1.0, upper=9.0)
LIMITS = allocate.Limits(
    budget_usd=100.0, cvar_usd=90.0, effective_providers=1.5, min_on_demand_share=0.2
)
PROBLEM = replace(random_allocation(1, small=False), limits=LIMITS, rows=(ROW,))
PATHS = np.asarray(PROBLEM.paths)


def with_row(**changed: Any) -> allocate.Problem:
    return replace(PROBLEM, rows=(replace(ROW, **changed),))


TIGHTER = {
    "the same": PROBLEM,
    "budget": PROBLEM.under(budget_usd=99.0),
    "CVaR": PROBLEM.under(cvar_usd=80.0),
    "spread": PROBLEM.under(effective_providers=1.7),
    "share": PROBLEM.under(min_on_demand_share=0.3),
    "one more": PROBLEM.under(max_provider_share=0.9),
    "row above": with_row(upper=8.0),
    "row below": with_row(lower=2.0),
    "a copy": replace(PROBLEM, slots=PROBLEM.slots.copy(), paths=PATHS.copy()),
}
NOT_TIGHTER = {
    "budget": PROBLEM.under(budget_usd=101.0),
    "no budget": PROBLEM.under(budget_usd=None),
    "CVaR": PROBLEM.under(cvar_usd=100.0),
    "level": PROBLEM.under(cvar_level=0.5),
    "spread": PROBLEM.under(effective_providers=1.2),
    "over regions": PROBLEM.under(diversify="region"),
    "share": PROBLEM.under(min_on_demand_share=0.1),
    "row above": with_row(upper=10.0),
    "row below": with_row(lower=0.0),
    "values of a row": with_row(values=2 * np.ones(2)),
    "charge": with_row(tiers=((0.0, 1.0),)),
    "no row": replace(PROBLEM, rows=()),
    "price": replace(PROBLEM, slots=PROBLEM.slots.assign(mean_price=1.0)),
    "need": replace(PROBLEM, demands=PROBLEM.demands.assign(need=1.0)),
    "paths": replace(PROBLEM, paths=2 * PATHS),
    "price of excess": replace(PROBLEM, cvar_excess_usd=5.0),
}


@pytest.mark.parametrize("name", TIGHTER)
def test_a_problem_of_tighter_limits_is_tighter(name):
    assert is_tighter(TIGHTER[name], PROBLEM)


@pytest.mark.parametrize("name", NOT_TIGHTER)
def test_a_problem_with_anything_looser_or_other_is_not(name):
    assert not is_tighter(NOT_TIGHTER[name], PROBLEM)
