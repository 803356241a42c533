"""Risk: what a plan can cost, why, and how far to trust it. Loss is cost increase, positive."""

from cloudarb_lib.risk.cost import Exposure, PlanCost, expose, find_fallbacks, hazards, plan_cost
from cloudarb_lib.risk.measures import Estimate, component_cvar, cvar, probability_over, var
from cloudarb_lib.risk.report import contributions, risk_table
from cloudarb_lib.risk.stress import Scenario, World, load_scenarios, replan, reverse_stress, stress

__all__ = [
    "Estimate", "Exposure", "PlanCost", "Scenario", "World", "component_cvar", "contributions", "cvar", "expose",
    "find_fallbacks", "hazards", "load_scenarios", "plan_cost", "probability_over", "replan", "reverse_stress",
    "risk_table", "stress", "var",
]  # fmt: skip
