"""What a rule for a run with a deadline would have cost, tick by tick, on given availability."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cloudarb_lib.advice.dated.chain import Chain
from cloudarb_lib.advice.dated.following import Followed
from cloudarb_lib.advice.dated.job import ON_DEMAND, SPOT, WAIT, Job


@dataclass(frozen=True)
class Scenarios:
    """Availability over the ticks of many runs, each (runs, ticks); see ``Followed``."""

    up: np.ndarray
    lost: np.ndarray
    state: np.ndarray


@dataclass(frozen=True)
class Situation:
    """What a rule sees at the start of a tick; arrays are (runs,).

    Attributes
    ----------
    job
        The run.
    ticks_left, work_left
        Ticks to the deadline, and ticks of work to do.
    machine
        Code of ``ACTIONS`` of the machine that runs; ``WAIT`` where none does.
    restart_left
        Ticks of its start-up that are left.
    up, state
        Whether a spot machine can be had, and the state of availability.
    """

    job: Job
    ticks_left: int
    work_left: np.ndarray
    machine: np.ndarray
    restart_left: np.ndarray
    up: np.ndarray
    state: np.ndarray


Rule = Callable[[Situation], np.ndarray]
"""Returns the code of ``ACTIONS`` of each run."""


@dataclass(frozen=True)
class Outcomes:
    """How runs ended, each (runs,).

    Attributes
    ----------
    cost_usd
        What machines cost, without the cost of being late.
    late
        Whether work was left at the deadline.
    ticks
        Ticks with each of ``ACTIONS`` while there was work, (runs, 3).
    losses
        How often a spot machine was taken away.
    """

    cost_usd: np.ndarray
    late: np.ndarray
    ticks: np.ndarray
    losses: np.ndarray


def windows(followed: Followed, starts: np.ndarray, length: int, chain: Chain) -> Scenarios:
    """Return what came after each of ``starts`` (probes of a trace), ``length`` probes long."""
    probes = starts[:, None] + np.arange(length)
    states = chain.index[followed.states[probes]]
    return Scenarios(followed.up[probes], followed.lost[probes], states)


def sample(
    chains: list[Chain], first: np.ndarray, length: int, rng: np.random.Generator
) -> Scenarios:
    """Return availability drawn from chains, in turn, from the states ``first`` (runs,) on."""
    size = len(chains[0].up)
    both = np.stack([np.concatenate([c.stays, c.lost], axis=1) for c in chains])
    cumulative = both.cumsum(axis=2)
    of_run = np.arange(len(first)) % len(chains)
    state = np.empty((len(first), length), int)
    lost = np.zeros((len(first), length), bool)
    state[:, 0] = first
    for tick in range(1, length):
        drawn = rng.random((len(first), 1)) * (1.0 - 1e-12)
        column = (cumulative[of_run, state[:, tick - 1]] < drawn).sum(axis=1)
        column = column.clip(max=2 * size - 1)
        state[:, tick] = column % size
        lost[:, tick] = column >= size
    return Scenarios(chains[0].up[state], lost, state)


def replay(rule: Rule, job: Job, scenarios: Scenarios) -> Outcomes:
    """Return how runs under a rule end; with a safety net, none is late.

    Spot is taken only where it can be had: a rule that asks for it elsewhere waits.
    """
    runs = len(scenarios.up)
    work_left = np.full(runs, job.work)
    machine = np.full(runs, WAIT)
    restart_left = np.zeros(runs, int)
    used = np.zeros((runs, 3), int)
    losses = np.zeros(runs, int)
    for tick in range(job.deadline):
        working = work_left > 0
        gone = (machine == SPOT) & scenarios.lost[:, tick]
        losses += gone & working
        machine = np.where(gone, WAIT, machine)
        restart_left = np.where(machine == WAIT, 0, restart_left)
        now = Situation(
            job,
            job.deadline - tick,
            work_left,
            machine,
            restart_left,
            scenarios.up[:, tick],
            scenarios.state[:, tick],
        )
        action = _possible(rule(now), now)
        restart_left = _restart_before(action, now)
        works = (action != WAIT) & (restart_left == 0) & working
        used[np.arange(runs), action] += working
        work_left = work_left - works
        restart_left = np.maximum(restart_left - 1, 0)
        machine = action
    cost_usd = used @ np.array([0.0, job.spot_usd, job.on_demand_usd or 0.0])
    return Outcomes(cost_usd, work_left > 0, used, losses)


def _restart_before(action: np.ndarray, now: Situation) -> np.ndarray:
    """Return what is left of start-ups at the beginning of a tick with these actions."""
    return np.where(action == now.machine, now.restart_left, now.job.restart)


def _possible(action: np.ndarray, now: Situation) -> np.ndarray:
    """Return actions that can be taken: spot where there is any, on-demand where it must be."""
    action = np.where((action == SPOT) & ~now.up, WAIT, action)
    if now.job.on_demand_usd is None:
        return np.where(action == ON_DEMAND, WAIT, action)
    if not now.job.has_safety_net:
        return action
    works = (action != WAIT) & (_restart_before(action, now) == 0)
    left = now.work_left - works
    too_late = (left > 0) & (now.ticks_left - 1 < left + now.job.restart)
    return np.where(too_late, ON_DEMAND, action)
