"""What is lost without each mechanism of the search: the same instances, one left out at a time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, get_args
from unittest import mock

import numpy as np

from benchmarks.allocation_warm import Trace, noting
from cloudarb_lib import allocate
from cloudarb_lib.allocate.solver import descent, highs, milp, program, search
from cloudarb_lib.allocate.solver.knapsack import MachineCuts
from cloudarb_lib.allocate.solver.least_cost import LeastCost
from cloudarb_lib.allocate.solver.milp import join
from cloudarb_lib.allocate.solver.options import Effort


def _open_all(descent: Any, _cost: float) -> None:
    descent.reach = np.inf


MECHANISMS: dict[str, tuple[Any, str, Any]] = {
    "nothing": (search, "PROVEN", search.PROVEN),
    "sites decided first": (search, "FEW_SITES", 0),
    "rows from whole machines": (MachineCuts, "separate", lambda self, z: join([], len(z))),
    "least cost of whole machines": (LeastCost, "beyond", lambda *_: 0.0),
    "dive": (descent, "dive", lambda *_: None),
    "margin of a dive": (descent, "_TAIL_MARGIN", 0.0),
    "first reach": (descent, "_FIRST_REACH", np.inf),
    "columns closed by the gap": (descent._Descent, "narrow", _open_all),
    "repair": (descent, "repair", lambda *_: None),
    "tangents near a plan": (milp, "_SHARE_SHIFTS", np.zeros((0, 1))),
    "root heuristics left out": (highs, "_SUB_PROGRAMS", dict.fromkeys(get_args(Effort), ())),
    "feasibility pump left out": (highs, "most_cost", lambda milp: np.inf),
    "dominance": (program, "dominated", lambda problem: np.zeros(len(problem.assignments), bool)),
}
"""Where each stands, and what takes its place."""


@contextlib.contextmanager
def left_out(name: str) -> Iterator[None]:
    """Leave a mechanism out."""
    where, attribute, instead = MECHANISMS[name]
    with mock.patch.object(where, attribute, instead):
        yield


def without_each(
    problem: allocate.Problem, options: allocate.SolveOptions
) -> Iterator[dict[str, object]]:
    """Yield a line for each mechanism: CPU seconds to the first plan and to the gap without it."""
    for name in MECHANISMS:
        trace: Trace = []
        began = time.process_time()
        with left_out(name):
            plan = allocate.solve(problem, replace(options, progress=noting(trace)))
        yield {
            "without": name,
            "status": plan.status,
            "first_plan_cpu_s": round(trace[0][0], 2) if trace else None,
            "gap": float(f"{plan.gap:.2g}"),
            "cpu_s": round(time.process_time() - began, 2),
        }
