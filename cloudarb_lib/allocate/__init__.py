"""Which offers serve which workloads: the best plan under limits, proven and explained."""

from cloudarb_lib.allocate.build import IDLE, build_problem
from cloudarb_lib.allocate.check import check
from cloudarb_lib.allocate.demand import (
    Commitment,
    Demand,
    Scenario,
    Workload,
    demand_table,
    load_demand,
    load_workloads,
)
from cloudarb_lib.allocate.engine import SolveOptions
from cloudarb_lib.allocate.explain import binding, conflicts, reliefs, runners_up, summary
from cloudarb_lib.allocate.frontier import frontier, hold_var, without_risk_limits
from cloudarb_lib.allocate.model import Limits, Problem, Row
from cloudarb_lib.allocate.place import with_places
from cloudarb_lib.allocate.plan import Plan, changes, counts_of
from cloudarb_lib.allocate.search import solve

__all__ = [
    "IDLE",
    "Commitment",
    "Demand",
    "Limits",
    "Plan",
    "Problem",
    "Row",
    "Scenario",
    "SolveOptions",
    "Workload",
    "binding",
    "build_problem",
    "changes",
    "check",
    "conflicts",
    "counts_of",
    "demand_table",
    "frontier",
    "hold_var",
    "load_demand",
    "load_workloads",
    "reliefs",
    "runners_up",
    "solve",
    "summary",
    "with_places",
    "without_risk_limits",
]  # fmt: skip
