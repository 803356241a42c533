"""Risk: what a plan can cost, why, and how far to trust it. Loss is cost increase, positive."""

from cloudarb_lib.risk.backtest import back_test
from cloudarb_lib.risk.correlation import (
    average_correlation,
    dcc,
    index_changes,
    largest_shifts,
    regimes,
    rolling,
)
from cloudarb_lib.risk.cost import PlanCost, World, find_fallbacks, hazards, plan_cost
from cloudarb_lib.risk.measures import component_cvar, component_var, cvar, probability_over, var
from cloudarb_lib.risk.report import by_hazard, by_horizon, by_model, contributions, risk_table
from cloudarb_lib.risk.simulate import simulate_paths
from cloudarb_lib.risk.stress import (
    Scenario,
    load_scenarios,
    plan_on,
    replan,
    reverse_stress,
    stress,
)
