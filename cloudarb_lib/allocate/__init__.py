"""Which offers serve which workloads: the best plan under limits, proven and explained."""

from cloudarb_lib.allocate.check import check
from cloudarb_lib.allocate.committed import commitment_tables, cost_of_not_knowing, coverage, ladder
from cloudarb_lib.allocate.demand import (
    Commitment,
    Demand,
    DemandError,
    DemandScenario,
    Placement,
    Price,
    Quota,
    RoundTrip,
    Team,
    Users,
    Workload,
    demand_table,
    load_demand,
    with_lines_of,
)
from cloudarb_lib.allocate.explain import binding, runners_up
from cloudarb_lib.allocate.frontier import frontier, hold_var, without_risk_limits
from cloudarb_lib.allocate.needs import as_it_is_now, scaled, what_has_to_run, what_is_served
from cloudarb_lib.allocate.plan import (
    Plan,
    changes,
    counts_of,
    first_rows,
    is_idle,
    is_timed,
    rows_in_scenario,
    scenarios_in,
)
from cloudarb_lib.allocate.plan_facts import summary
from cloudarb_lib.allocate.priority import (
    as_planned,
    by_priority,
    cut_by_priority,
    left_undone,
    solve_by_priority,
)
from cloudarb_lib.allocate.problem.assign import IDLE
from cloudarb_lib.allocate.problem.build import build_problem
from cloudarb_lib.allocate.problem.eligible import accepts
from cloudarb_lib.allocate.problem.held import HELD, with_held
from cloudarb_lib.allocate.problem.horizon import hours_of_periods
from cloudarb_lib.allocate.problem.limits import StatedLimit
from cloudarb_lib.allocate.problem.model import Limit, Limits, Problem
from cloudarb_lib.allocate.problem.prices import agreed_prices
from cloudarb_lib.allocate.problem.row import Row
from cloudarb_lib.allocate.relax import conflicts, reliefs, require_plan
from cloudarb_lib.allocate.solver.options import SolveOptions
from cloudarb_lib.allocate.solver.search import solve
from cloudarb_lib.allocate.solver.session import PlanSession
from cloudarb_lib.allocate.trials import ExtraCost, extra_cost
from cloudarb_lib.market.places import with_places
