"""Decisions over time: prices ahead, the plan to follow, whether following it would have paid."""

from cloudarb_lib.advice import move
from cloudarb_lib.advice.lookback import look_back
from cloudarb_lib.advice.paths import sample_paths
from cloudarb_lib.advice.planning import accepted_models, cost_fan, plan_of_run
from cloudarb_lib.advice.scoreboard import scoreboard, verdict
