"""Work decides where a search ends, however fast the clock runs, or how busy the machine is."""

import contextlib
import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.allocation import load_instance
from cloudarb_lib import allocate
from cloudarb_lib.allocate.solver import work

INSTANCE = Path(__file__).parents[2] / "benchmarks" / "instances" / "seed_size_0.npz"
SHORT = allocate.SolveOptions(gap=0.0, work_limit=0.5)


@pytest.fixture(scope="module")
def problem() -> allocate.Problem:
    return load_instance(INSTANCE, "cvar")


def ticking(monkeypatch, tick_s: float) -> None:
    """Let the clock go on by so much whenever it is read, and by nothing else."""
    readings = itertools.count()
    monkeypatch.setattr(work.time, "perf_counter", lambda: tick_s * next(readings))


@pytest.mark.solver
def test_a_clock_ten_times_as_fast_changes_no_plan(monkeypatch, problem):
    plans = []
    for tick_s in (0.01, 0.1):
        ticking(monkeypatch, tick_s)
        plans.append(allocate.solve(problem, SHORT))
    slow, fast = plans
    assert fast.seconds > 5 * slow.seconds
    assert slow.status == fast.status == "work_limit_with_plan"
    assert (slow.bound_usd, slow.work) == (fast.bound_usd, fast.work)
    assert (slow.units == fast.units).all()


@pytest.mark.solver
def test_a_clock_that_runs_out_ends_the_search_and_the_plan_says_so(monkeypatch):
    ticking(monkeypatch, 1.0)
    plan = allocate.solve(load_instance(INSTANCE, "none"), replace(SHORT, time_limit_s=5.0))
    assert plan.status.startswith("time_limit_with")
    assert plan.is_timed
    assert plan.work < SHORT.work_limit
    assert allocate.is_timed(pd.DataFrame({"text": [plan.status.replace("_", " ")]}))


def test_iterations_within_a_limit_take_it_up():
    entries = 5_000
    most = work.iterations_within(entries, 2.0)
    assert work.of_relaxation(entries, most) == pytest.approx(2.0, rel=1e-3)
    assert work.iterations_within(entries, 0.0) == 1
    assert work.iterations_within(0, np.inf) == 10**9


def test_what_is_allowed_is_shared_and_spent():
    allowance = work.Allowance(10.0, 600.0)
    allowance.spend(8.0)
    assert allowance.within(SHORT, 5.0).work_limit == 2.0
    assert allowance.within(SHORT, 1.0).work_limit == 1.0
    assert not allowance.is_spent
    allowance.spend(3.0)
    assert allowance.is_spent
    assert not allowance.is_late
    assert 0 < allowance.within(SHORT, 5.0).work_limit < 0.1
    assert work.Allowance(10.0, 0.0).is_late


@contextlib.contextmanager
def busy_machine(loops: int):
    """Let so many processes spin for as long as this is open."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


def explained(problem: allocate.Problem) -> dict[str, bytes]:
    """Return the tables of a plan as a run writes them, each as the bytes of its file."""
    plan = allocate.solve(problem, SHORT)
    short = replace(SHORT, gap=1e-3, work_limit=0.3)
    tables = {
        "plan": plan.table,
        "plan_summary": allocate.summary(plan, allocate.binding(plan, short)),
        "runners_up": allocate.runners_up(plan, short),
        "cvar": allocate.frontier(problem, "cvar_usd", options=short),
        "spread": allocate.frontier(problem, "effective_providers", options=short),
    }
    assert "work_limit" in " ".join(tables["spread"]["status"]), "nothing was left to decide"
    return {name: table.to_parquet() for name, table in tables.items()}


@pytest.mark.long
@pytest.mark.solver
def test_a_busy_machine_writes_the_same_tables(problem):
    alone = explained(problem)
    with busy_machine(4):
        beside = explained(problem)
    assert alone == beside
