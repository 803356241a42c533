"""Risk: what a plan can cost, why, and how far to trust it. Loss is cost increase, positive."""

from cloudarb_lib.risk.backtest import back_test
from cloudarb_lib.risk.correlation import (
    average_correlation,
    dcc,
    index_changes,
    largest_shifts,
    regimes,
    rolling,
)  # fmt: skip
from cloudarb_lib.risk.cost import PlanCost, World, find_fallbacks, hazards, plan_cost
from cloudarb_lib.risk.measures import (
    Estimate,
    component_cvar,
    component_var,
    cvar,
    incremental,
    liquidity,
    probability_over,
    var,
)  # fmt: skip
from cloudarb_lib.risk.report import by_hazard, by_horizon, by_model, contributions, risk_table
from cloudarb_lib.risk.simulate import simulate_paths
from cloudarb_lib.risk.stress import Scenario, load_scenarios, replan, reverse_stress, stress

__all__ = [
    "Estimate", "PlanCost", "Scenario", "World", "average_correlation", "back_test", "by_hazard",
    "by_horizon", "by_model", "component_cvar", "component_var", "contributions", "cvar", "dcc", 
    "find_fallbacks", "hazards", "incremental", "index_changes", "largest_shifts", "liquidity",
    "load_scenarios", "plan_cost", "probability_over", "regimes", "replan", "reverse_stress", "risk_table",
    "rolling", "simulate_paths", "stress", "var",
]  # fmt: skip
