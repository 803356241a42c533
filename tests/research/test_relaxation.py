"""The relaxation with its tail written out is the product's, and other solvers come to the same."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from cloudarb_lib import allocate
from cloudarb_lib.allocate.examples import example_offers
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.types import Paths
from cloudarb_lib.research import needs
from cloudarb_lib.research.relaxation import PRODUCT, compare, tail_program, with_tail_limit
from cloudarb_lib.tables.assumptions import load_assumptions


@pytest.fixture(scope="module")
def problem():
    """Two workloads on a small market whose cheap offers are the uncertain ones."""
    offers = example_offers()
    rng = np.random.default_rng(3)
    spread = np.where(offers["purchase_option"] == "spot", 0.8, 0.02)
    noise = rng.normal(size=(len(offers), 40, 1)) * spread[:, None, None]
    prices = offers["price_usd_per_hour"].to_numpy()[:, None, None] * np.exp(noise)
    times = pd.DatetimeIndex(["2026-05-06"], tz="UTC")
    paths = Paths(pd.Index(offers["offer_id"], dtype=object), times, prices)
    takes = {"H100": 1.0, "A100-80GB": 1.0}
    work = [allocate.Workload(name, 8.0, takes, interruptible=True) for name in "ab"]
    given = {"assumptions": load_assumptions(), "hours": 168.0}
    return allocate.build_problem(work, offers, paths=paths, **given)


@pytest.mark.slow
def test_every_way_comes_to_the_same(problem):
    limited = with_tail_limit(problem)
    found = compare(limited)
    assert found.index[0] == PRODUCT
    assert found["off"].abs().max() < 1e-3
    assert found["violation"].dropna().max() < 1e-3
    assert found["ended"].all()
    assert (found["cpu_s"] > 0).all()
    free = compare(problem)["value_usd"][PRODUCT]
    assert found["value_usd"][PRODUCT] > free * 1.001, "the limit binds"


def test_a_way_that_comes_to_its_limit_says_so(problem, monkeypatch):
    limited = with_tail_limit(problem)
    monkeypatch.setattr("cloudarb_lib.research.relaxation.ITERATION_LIMIT", 3)
    ended = compare(limited)["ended"]
    assert ended[ended].index.tolist() == [
        PRODUCT,
        "HiGHS simplex, tail written out",
        "HiGHS interior point",
    ]


def test_a_row_is_as_large_as_its_terms(problem):
    """A row of 200,000 on either side is broken by a millionth where it is by a fifth of one."""
    program = tail_program(problem)
    row = replace(
        program,
        rows=sparse.csr_matrix([[2000.0, -1.0]]),
        row_lower=np.zeros(1),
        row_upper=np.zeros(1),
        lower=np.zeros(2),
        upper=np.full(2, np.inf),
    )
    assert row.violation(np.array([100.0, 200_000.0])) == 0.0
    assert row.violation(np.array([100.0, 200_000.4])) == pytest.approx(1e-6, rel=1e-3)


def test_a_point_that_breaks_a_row_or_a_bound_is_told(problem):
    program = tail_program(with_tail_limit(problem))
    nothing_served = np.zeros(len(program.cost))
    assert program.violation(nothing_served) >= 0.9
    loose = replace(
        program,
        row_lower=np.full_like(program.row_lower, -np.inf),
        row_upper=np.full_like(program.row_upper, np.inf),
    )
    assert loose.violation(nothing_served) == 0.0
    assert loose.violation(nothing_served - 1.0) == 1.0


def test_without_sample_paths_there_is_no_tail(problem):
    with pytest.raises(ParameterError, match="needs sample paths"):
        tail_program(replace(problem, paths=None))


def test_at_least_one_workload_is_asked_for():
    with pytest.raises(ParameterError, match="0 workloads"):
        needs.many_workloads(0, seed=1)
    assert len(needs.many_workloads(3, seed=1)) == 3
