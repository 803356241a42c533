"""Decisions over time: prices ahead, the plan to follow, whether following it would have paid."""

from cloudarb_lib.advice import move
from cloudarb_lib.advice.commitments import commitments_for
from cloudarb_lib.advice.headline import headline, in_short, rented_in_words
from cloudarb_lib.advice.lookback import look_back
from cloudarb_lib.advice.paths import sample_paths
from cloudarb_lib.advice.planning import accepted_models, plan_of_run, risk_inputs
from cloudarb_lib.advice.providers import provider_values
from cloudarb_lib.advice.scoreboard import scoreboard, verdict
from cloudarb_lib.advice.this_week import first_steps, this_week
