"""The policy of least expected cost for a run with a deadline, by dynamic programming."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloudarb_lib.advice.dated.chain import Chain
from cloudarb_lib.advice.dated.job import ON_DEMAND, SPOT, WAIT, Job
from cloudarb_lib.advice.dated.replay import Situation


@dataclass(frozen=True)
class Policy:
    """What to do, by ticks left, work left and state of availability.

    Attributes
    ----------
    choices
        Codes of ``ACTIONS`` by the machine that runs, (3, deadline + 1, work + 1, states).
    value_usd
        Expected cost of the whole work, with what being late costs, by ticks left,
        (deadline + 1, states).
    """

    choices: np.ndarray
    value_usd: np.ndarray

    def __call__(self, now: Situation) -> np.ndarray:
        """Return what each run does; one that is starting up goes on."""
        choice = self.choices[now.machine, now.ticks_left, now.work_left, now.state]
        return np.where(now.restart_left > 0, now.machine, choice)


@dataclass(frozen=True)
class _Values:
    """Expected cost to come, USD, by work left and state.

    Attributes
    ----------
    idle
        Without a machine, (work + 1, states).
    spot, on_demand
        With one, by ticks of its start-up that are left, (restart + 1, work + 1, states).
    """

    idle: np.ndarray
    spot: np.ndarray
    on_demand: np.ndarray


def optimal_policy(chain: Chain, job: Job) -> Policy:
    """Return the policy of least expected cost, what being late costs included.

    Exact for the chain and the ticks: backward induction over ticks left, work left, the state of
    availability, the machine that runs and what is left of its start-up. In each tick a run may
    wait, go on, or take up a machine, which starts up anew. A run follows it through a start-up.
    """
    shape = (job.work + 1, len(chain.up))
    choices = np.zeros((3, job.deadline + 1, *shape), np.uint8)
    value_usd = np.empty((job.deadline + 1, len(chain.up)))
    at_deadline = np.full(shape, job.penalty_usd)
    at_deadline[0] = 0.0
    by_restart = np.repeat(at_deadline[None], job.restart + 1, axis=0)
    values = _Values(at_deadline, by_restart, by_restart)
    value_usd[0] = values.idle[job.work]
    for ticks_left in range(1, job.deadline + 1):
        values, choices[:, ticks_left] = _tick_before(values, chain, job)
        value_usd[ticks_left] = values.idle[job.work]
    return Policy(choices, value_usd)


def _tick_before(after: _Values, chain: Chain, job: Job) -> tuple[_Values, np.ndarray]:
    """Return values one tick earlier, and the choices (3, work + 1, states) that give them."""
    expected = _expected(after, chain)
    run_spot = job.spot_usd + _worked(expected.spot)
    run_spot[:, :, ~chain.up] = np.inf
    run_on_demand = np.full_like(run_spot, np.inf)
    if job.on_demand_usd is not None:
        run_on_demand = job.on_demand_usd + _worked(expected.on_demand)
    by_action = np.stack([expected.idle, run_spot[-1], run_on_demand[-1]])
    anew = by_action.argmin(axis=0)
    idle = by_action.min(axis=0)
    choices = np.stack(
        [
            anew,
            np.where(run_spot[0] <= idle, SPOT, anew),
            np.where(run_on_demand[0] <= idle, ON_DEMAND, anew),
        ]
    )
    values = _Values(idle, np.minimum(run_spot, idle), np.minimum(run_on_demand, idle))
    for array in (values.idle, values.spot, values.on_demand):
        array[..., 0, :] = 0.0
    choices[:, 0] = WAIT
    return values, choices


def _expected(after: _Values, chain: Chain) -> _Values:
    """Return the expectation of values over the next state."""
    lost = after.idle @ chain.lost.T
    return _Values(
        after.idle @ chain.moves.T,
        after.spot @ chain.stays.T + lost,
        after.on_demand @ chain.moves.T,
    )


def _worked(expected: np.ndarray) -> np.ndarray:
    """Return expected values after a tick with a machine that starts up, or works.

    Both (restart + 1, work + 1, states): by what is left before the tick, and after it.
    """
    before = np.zeros_like(expected)
    before[1:] = expected[:-1]
    before[0, 1:] = expected[0, :-1]
    return before
