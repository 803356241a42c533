"""Which assignments no best plan needs, against brute force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from benchmarks import allocation_oracle as oracle
from cloudarb_lib import allocate
from cloudarb_lib.allocate import Row
from cloudarb_lib.allocate.problem.dominance import dominated


def drawn(seed: int) -> allocate.Problem:
    return oracle.random_problem(np.random.default_rng([seed, 11]), "tiny")


def with_twins(problem: allocate.Problem, rng: np.random.Generator) -> allocate.Problem:
    """Every second offer stands in the pool and site of the one before, mostly a little dearer."""
    first = np.arange(len(problem.slots)) // 2 * 2
    ratio = np.where(first == np.arange(len(first)), 1.0, rng.uniform(0.95, 1.2, len(first)))
    paths = (
        problem.paths[:, first]
        * ratio
        * rng.choice([1.0, 1.05], problem.paths.shape, p=(0.97, 0.03))
    )
    slots = (
        problem.slots.iloc[first]
        .reset_index(drop=True)
        .assign(
            offer_id=problem.slots["offer_id"],
            list_price=problem.slots["list_price"].to_numpy()[first] * ratio,
            mean_price=paths.mean(axis=0),
        )
    )
    same = problem.assignments.groupby(["demand", first[problem.assignments["slot"]]])[
        ["hours", "sure_usd", "cover"]
    ]
    pairs = problem.assignments.assign(**same.transform("first"), most=2.0)
    limits = replace(
        problem.limits, effective_providers=None, max_provider_share=None, min_on_demand_share=None
    )
    return replace(
        problem,
        slots=slots,
        paths=paths,
        assignments=pairs.assign(pool_use=pairs["cover"]),
        limits=limits,
    )


def without(problem: allocate.Problem, gone: np.ndarray) -> allocate.Problem:
    return replace(
        problem,
        assignments=problem.assignments.assign(most=problem.assignments["most"].where(~gone, 0.0)),
    )


@pytest.mark.solver
def test_leaving_out_dominated_offers_changes_no_optimum():
    found = 0
    for seed in range(30):
        problem = with_twins(drawn(seed), np.random.default_rng(seed))
        gone = dominated(problem)
        found += gone.sum()
        assert oracle.by_hand(without(problem, gone)) == pytest.approx(
            oracle.by_hand(problem), rel=1e-9
        )
    assert found > 20


@pytest.mark.parametrize(
    "reason", ["price", "world", "pool", "site", "cover", "use", "most", "row", "hours", "shares"]
)
def test_an_offer_better_in_any_respect_is_not_dominated(reason):
    base = with_twins(drawn(0), np.random.default_rng(0))
    paths = base.paths[:, [0, 0, 2, 2]] * np.array([1.0, 1.1, 1.0, 1.1])
    slots = base.slots.assign(mean_price=paths.mean(axis=0), list_price=paths.mean(axis=0))
    pairs = base.assignments.assign(most=9.0)
    pools = base.pools.assign(capacity=9.0)
    base = replace(
        base,
        slots=slots,
        paths=paths,
        assignments=pairs,
        pools=pools,
        limits=allocate.Limits(cvar_usd=1e9),
    )
    twin = np.isin(base.assignments["slot"], (1, 3))
    assert (dominated(base) == twin).all()
    other = np.isin(np.arange(4), (1, 3))
    changed = {
        "price": lambda: replace(
            base, slots=slots.assign(mean_price=slots["mean_price"].where(~other, 0.5))
        ),
        "world": lambda: replace(
            base, paths=np.vstack([paths[:-1], np.where(other, 0.1, paths[-1])])
        ),
        "pool": lambda: replace(
            base,
            slots=slots.assign(pool=np.arange(4)),
            pools=pd.DataFrame({"name": list("abcd"), "capacity": 9.0}),
        ),
        "site": lambda: replace(
            base,
            slots=slots.assign(site=np.arange(4)),
            sites=pd.DataFrame({"name": list("abcd"), "fee_usd": 1.0}),
        ),
        "cover": lambda: replace(
            base, assignments=pairs.assign(cover=pairs["cover"] * np.where(twin, 1.05, 1.0))
        ),
        "use": lambda: replace(
            base, assignments=pairs.assign(pool_use=pairs["pool_use"] * np.where(twin, 0.5, 1.0))
        ),
        "most": lambda: without(base, ~twin),
        "row": lambda: replace(
            base, rows=(Row("r", np.arange(len(pairs)), np.ones(len(pairs)), upper=99.0),)
        ),
        "hours": lambda: replace(
            base, rows=(Row("r", np.arange(4), np.ones(4), upper=99.0, on_usage=True),)
        ),
        "shares": lambda: replace(base, limits=allocate.Limits(effective_providers=1.5)),
    }[reason]()
    assert not dominated(changed)[twin].any()
