"""Risk: what a plan can cost, why, and how far to trust it. Loss is cost increase, positive."""

from cloudarb_lib.market.disruptions import every_in_words, find_fallbacks, hazards
from cloudarb_lib.risk.backtest import (
    back_test,
    model_doubt,
    verdicts,
    verdicts_by_half_year,
    window_origins,
)
from cloudarb_lib.risk.correlation import (
    LEAST_MOVES,
    average_correlation,
    dcc,
    index_changes,
    largest_shifts,
    pairs_on_record,
    regimes,
    rolling,
)
from cloudarb_lib.risk.cost import PlanCost, plan_cost
from cloudarb_lib.risk.inputs import RiskInputs
from cloudarb_lib.risk.measures import component_cvar, component_var, cvar, probability_over, var
from cloudarb_lib.risk.recourse import cheapest_plan, replan
from cloudarb_lib.risk.rent import paid_per_hour, step_means, with_steady
from cloudarb_lib.risk.reverse_stress import reverse_stress
from cloudarb_lib.risk.risk_tables import (
    by_hazard,
    by_horizon,
    by_model,
    contributions,
    cost_fan,
    risk_table,
)
from cloudarb_lib.risk.scenarios import StressScenario, load_scenarios, scenario_in_words
from cloudarb_lib.risk.shocks import Effect, Shock, shock_kind
from cloudarb_lib.risk.simulate import simulate_paths
from cloudarb_lib.risk.stress import stress
