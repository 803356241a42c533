"""The best policy is the best: an oracle that tries everything agrees; more time never hurts."""

from functools import cache
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudarb_lib.advice.dated.chain import Chain, two_states
from cloudarb_lib.advice.dated.hindsight import hindsight_usd
from cloudarb_lib.advice.dated.job import ON_DEMAND, SPOT, WAIT, Job
from cloudarb_lib.advice.dated.policy import optimal_policy
from cloudarb_lib.advice.dated.replay import Scenarios, replay, sample
from cloudarb_lib.advice.dated.rules import RULES
from cloudarb_lib.base.errors import ParameterError

EVERY_ACTION = (WAIT, SPOT, ON_DEMAND)


def three_states():
    """Down, up, and up in a zone with another behind it: a loss there may leave spot up."""
    stays = np.array([[0.5, 0.3, 0.2], [0.0, 0.6, 0.1], [0.0, 0.1, 0.7]])
    lost = np.array([[0.0, 0.0, 0.0], [0.3, 0.0, 0.0], [0.05, 0.1, 0.05]])
    return Chain(1.0, np.array([False, True, True]), stays, lost, np.arange(0))


def oracle_usd(chain, job):
    """Return expected cost by first state, by trying every action in every situation."""

    @cache
    def least(ticks_left, work_left, machine, restart_left, state):
        if work_left == 0:
            return 0.0
        if ticks_left == 0:
            return job.penalty_usd
        found = []
        for action in EVERY_ACTION:
            if action == SPOT and not chain.up[state]:
                continue
            starts_up = restart_left if action == machine else job.restart
            works = action != WAIT and starts_up == 0
            cost = {WAIT: 0.0, SPOT: job.spot_usd, ON_DEMAND: job.on_demand_usd}[action]
            for after in range(len(chain.up)):
                to_come = (work_left - works, max(starts_up - 1, 0))
                kept = least(ticks_left - 1, to_come[0], action, to_come[1], after)
                left = least(ticks_left - 1, to_come[0], WAIT, 0, after)
                gone = left if action == SPOT else kept
                cost += chain.stays[state, after] * kept + chain.lost[state, after] * gone
            found.append(cost)
        return min(found)

    return [least(job.deadline, job.work, WAIT, 0, state) for state in range(len(chain.up))]


@pytest.mark.parametrize("restart", [0, 1, 2])
@pytest.mark.parametrize("late_usd", [None, 3.0])
@pytest.mark.parametrize("chain", [two_states(0.4, 2.0, 1.0), three_states()], ids=["2", "3"])
def test_expected_cost_is_what_trying_everything_finds(chain, late_usd, restart):
    job = Job(3, 8, restart, 0.3, 1.0, late_usd)
    expected = oracle_usd(chain, job)
    np.testing.assert_allclose(optimal_policy(chain, job).value_usd[8], expected, rtol=1e-9)


def all_ways_usd(up, job, deadline):
    """Return the least cost over every sequence of actions on one availability."""
    costs = [np.inf]
    for actions in product(EVERY_ACTION, repeat=deadline):
        cost, work_left, machine, restart_left = 0.0, job.work, WAIT, 0
        for tick, action in enumerate(actions):
            if work_left == 0 or (action == SPOT and not up[tick]):
                break
            restart_left = restart_left if action == machine else job.restart
            cost += (0.0, job.spot_usd, job.on_demand_usd)[action]
            work_left -= action != WAIT and restart_left == 0
            restart_left, machine = max(restart_left - 1, 0), action
        if work_left == 0:
            costs.append(cost)
    return min(costs)


@pytest.mark.slow
@given(st.lists(st.booleans(), min_size=7, max_size=7), st.integers(0, 2))
def test_hindsight_is_the_cheapest_of_all_ways(up, restart):
    up = np.array(up)
    job = Job(3, 7, restart, 0.3, 1.0)
    found = hindsight_usd(up[None, :, None], job, [5, 7])[0]
    for cost, deadline in zip(found, (5, 7), strict=True):
        assert cost == pytest.approx(all_ways_usd(up, job, deadline))


def test_hindsight_moves_between_zones_at_the_price_of_a_restart():
    up = np.array([[True, False], [True, False], [False, True], [False, True], [False, True]])
    job = Job(3, 5, 1, 0.3, 1.0)
    assert hindsight_usd(up[None], job, [5])[0, 0] == pytest.approx(5 * 0.3)
    assert hindsight_usd(up[None, :, :1], job, [5])[0, 0] > 5 * 0.3


def drawn(chain, length, n=400, seed=1):
    rng = np.random.default_rng(seed)
    return sample([chain], rng.integers(0, len(chain.up), n), length, rng)


def test_what_the_policy_says_it_costs_is_what_it_costs():
    chain = three_states()
    job = Job(12, 20, 1, 0.3, 1.0)
    policy = optimal_policy(chain, job)
    scenarios = drawn(chain, 20, n=40_000)
    stated = policy.value_usd[20][scenarios.state[:, 0]].mean()
    assert replay(policy, job, scenarios).cost_usd.mean() == pytest.approx(stated, rel=0.01)


def test_no_rule_is_cheaper_than_the_policy_on_its_own_chain():
    chain = three_states()
    job = Job(12, 20, 1, 0.3, 1.0)
    scenarios = drawn(chain, 20, n=20_000)
    best = replay(optimal_policy(chain, job), job, scenarios).cost_usd.mean()
    for rule in RULES.values():
        assert best < replay(rule, job, scenarios).cost_usd.mean()


@pytest.mark.slow
@given(st.floats(0.01, 2.0), st.floats(0.1, 10.0), st.floats(0.05, 1.0), st.integers(0, 3))
def test_more_time_never_costs_more(hazard, outage_h, spot_usd, restart):
    chain = two_states(hazard, outage_h, 0.5)
    job = Job(6, 20, restart, spot_usd, 1.0)
    usd = optimal_policy(chain, job).value_usd[6 + restart :]
    assert (np.diff(usd, axis=0) <= 1e-9).all()


@pytest.mark.slow
@given(st.integers(0, 2**32 - 1), st.integers(0, 3), st.integers(0, 12))
def test_with_on_demand_behind_it_no_rule_is_ever_late(seed, restart, slack):
    rng = np.random.default_rng(seed)
    job = Job(8, 8 + restart + slack, restart, 0.3, 1.0)
    up = rng.random((20, job.deadline)) < rng.random()
    lost = np.column_stack([np.zeros(20, bool), ~up[:, 1:] | (rng.random(up[:, 1:].shape) < 0.2)])
    scenarios = Scenarios(up, lost, up.astype(int))
    policy = optimal_policy(two_states(0.5, 1.0, 1.0), job)
    for rule in (policy, *RULES.values(), lambda now: np.full(len(now.up), SPOT)):
        outcomes = replay(rule, job, scenarios)
        assert not outcomes.late.any()


def test_without_on_demand_a_run_can_be_late_and_more_time_makes_it_less_so():
    chain = two_states(0.3, 3.0, 1.0)
    scenarios = drawn(chain, 40)
    late = [
        replay(RULES["greedy with safety net"], Job(8, d, 1, 0.3, None), scenarios).late.mean()
        for d in (10, 15, 20, 40)
    ]
    assert late == sorted(late, reverse=True)
    assert late[0] > 0.5 > late[-1]


def test_a_price_for_being_late_buys_lateness_where_that_is_cheaper():
    chain = two_states(0.3, 3.0, 1.0)
    scenarios = drawn(chain, 16, n=5_000)
    p_late = []
    for late_usd in (0.5, 5.0, 500.0):
        job = Job(8, 16, 1, 0.3, 1.0, late_usd)
        p_late.append(replay(optimal_policy(chain, job), job, scenarios).late.mean())
    assert p_late == sorted(p_late, reverse=True)
    assert p_late[0] > 0.2
    assert p_late[-1] == 0


def test_on_demand_only_pays_the_work_and_one_start():
    job = Job(8, 16, 2, 0.3, 1.0)
    outcomes = replay(RULES["on-demand only"], job, drawn(two_states(0.3, 3.0, 1.0), 16))
    assert (outcomes.cost_usd == 10.0).all()


def test_uniform_progress_is_behind_before_it_takes_on_demand_and_ahead_before_it_leaves():
    job = Job(10, 20, 1, 0.3, 1.0)
    up = np.zeros((1, 20), bool)
    up[0, 10:] = True
    lost = np.zeros((1, 20), bool)
    outcomes = replay(RULES["uniform progress"], job, Scenarios(up, lost, up.astype(int)))
    # behind at tick 1, so on-demand; kept till spot comes at 10, with 8 done: 6 would be ahead
    assert outcomes.ticks[0].tolist() == [1, 3, 9]
    assert not outcomes.late.any()


@pytest.mark.parametrize(
    ("terms", "told"),
    [
        ((0, 5, 1, 0.3, 1.0), "no work"),
        ((5, 5, 1, 0.3, 1.0), "the deadline comes after 5 ticks"),
        ((5, 9, 1, -0.3, 1.0), "negative"),
        ((5, 9, 1, 0.3, 1.0, -1.0), "negative"),
    ],
)
def test_an_impossible_run_is_refused(terms, told):
    with pytest.raises(ParameterError, match=told):
        Job(*terms)
