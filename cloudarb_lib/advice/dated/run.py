"""What to do with a run that has a deadline, what it will cost, and how likely it is late."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloudarb_lib.advice.dated.chain import Chain, count, estimate, two_states
from cloudarb_lib.advice.dated.following import follow
from cloudarb_lib.advice.dated.job import ACTIONS, ON_DEMAND, WAIT, Job, ticks
from cloudarb_lib.advice.dated.policy import Policy, optimal_policy
from cloudarb_lib.advice.dated.replay import Outcomes, Rule, replay, sample
from cloudarb_lib.advice.dated.rules import RULES
from cloudarb_lib.advice.dated.traces import Trace
from cloudarb_lib.base.errors import ParameterError

BEST = "best policy"
SPOT_ALONE = "spot alone"
WORK_TICKS = 400
"""Ticks of work at most: a trace is thinned until it has no more."""
TICK_H = 0.1
"""Length of a tick where no trace gives one."""
N_CHAINS = 20
"""Chains drawn from what the record leaves open."""


@dataclass(frozen=True)
class DatedRun:
    """A run with a deadline.

    Attributes
    ----------
    work_h, deadline_h
        Hours of work, and hours from now until it must be done.
    restart_h
        Hours that a machine, each time one is taken up, needs before it works.
    spot_usd_per_hour, on_demand_usd_per_hour
        What the machines of the run cost together; None: there is no on-demand behind spot.
    late_usd
        What being late costs; None: it must not be late.
    """

    work_h: float
    deadline_h: float
    restart_h: float
    spot_usd_per_hour: float
    on_demand_usd_per_hour: float | None
    late_usd: float | None = None

    def __post_init__(self) -> None:
        if not (self.work_h > 0 and self.restart_h >= 0):
            what = f"work of {self.work_h:g} h with restarts of {self.restart_h:g} h is none."
            raise ParameterError(what, "Give hours of work above 0, and of restarts from 0 up.")
        if not self.deadline_h > 0:
            raise ParameterError(
                f"the deadline is past by {-self.deadline_h:g} h.", "Give one that is ahead."
            )
        if self.deadline_h < self.work_h + self.restart_h:
            raise ParameterError(
                f"the deadline is {self.deadline_h:g} h ahead, but the work and one start take "
                f"{self.work_h + self.restart_h:g} h on any machine.",
                "Move the deadline, or spread the work over more machines.",
            )

    def job(self, tick_h: float) -> Job:
        """Return the run in ticks: work and restarts counted up, the deadline down."""
        work = ticks(self.work_h, tick_h)
        restart = ticks(self.restart_h, tick_h)
        on_demand = self.on_demand_usd_per_hour
        return Job(
            work=work,
            deadline=max(int(self.deadline_h / tick_h + 1e-9), work + restart),
            restart=restart,
            spot_usd=self.spot_usd_per_hour * tick_h,
            on_demand_usd=None if on_demand is None else on_demand * tick_h,
            late_usd=self.late_usd,
        )


@dataclass(frozen=True)
class Availability:
    """How spot machines come and go.

    Attributes
    ----------
    chain
        The one most likely.
    drawn
        Chains drawn from what the record leaves open; none where it is assumed.
    source
        What it rests on.
    """

    chain: Chain
    drawn: tuple[Chain, ...]
    source: str


def assumed(interruption_per_hour: float, outage_hours: float, run: DatedRun) -> Availability:
    """Return availability at a stated hazard; interruptions and outages are memoryless."""
    tick_h = max(TICK_H, run.work_h / WORK_TICKS)
    chain = two_states(interruption_per_hour, outage_hours, tick_h)
    source = f"taken away {interruption_per_hour:g} times an hour for {outage_hours:g} h"
    return Availability(chain, (), source)


def recorded(trace: Trace, run: DatedRun, *, seed: int) -> Availability:
    """Return availability as of a recorded trace; a run goes to another zone when one goes."""
    every = max(ticks(run.work_h / WORK_TICKS, trace.gap_h), 1)
    thinned = trace.thinned(every)
    counts = count(follow(thinned))
    rng = np.random.default_rng(seed)
    drawn = [estimate(counts, counts, thinned.gap_h, rng) for _ in range(N_CHAINS)]
    chain = estimate(counts, counts, thinned.gap_h)
    return Availability(chain, tuple(drawn), f"{trace.name}, zones {', '.join(trace.zones)}")


@dataclass(frozen=True)
class RunAdvice:
    """What to do, and what it rests on.

    Attributes
    ----------
    costs
        A row per rule, the best policy first: ``expected_usd``, ``p10_usd``, ``p50_usd``,
        ``p90_usd`` (machines alone), ``p_late``, ``p_late_low`` and ``p_late_high`` (the middle
        80 % of what the record leaves open), ``on_demand_h``, ``interruptions`` (means).
    first
        What to do at once, by whether spot is to be had: keys True and False.
    switch_h
        Hours from now at which on-demand is taken up if no spot machine comes; None: never.
    """

    costs: pd.DataFrame
    first: dict[bool, str]
    switch_h: float | None


def advise_run(
    run: DatedRun, availability: Availability, *, n_paths: int, seed: int, spot_now: bool | None
) -> RunAdvice:
    """Return the policy of least expected cost for a run, beside other rules on the same draws.

    Parameters
    ----------
    n_paths
        Draws of availability.
    spot_now
        Whether a spot machine is to be had now; None: not known.
    """
    chain = availability.chain
    job = run.job(chain.tick_h)
    policy = optimal_policy(chain, job)
    rng = np.random.default_rng(seed)
    chains = list(availability.drawn) or [chain]
    first = _first_states(chain, n_paths, spot_now, rng)
    scenarios = sample(chains, first, job.deadline, rng)
    rules: dict[str, Rule] = {BEST: policy}
    if job.on_demand_usd is not None:
        rules |= RULES
    rows = {}
    for name, rule in rules.items():
        rows[name] = _row(replay(rule, job, scenarios), run, chain, len(chains))
    if job.on_demand_usd is not None:
        alone = Job(job.work, job.deadline, job.restart, job.spot_usd, None)
        outcomes = replay(RULES["greedy with safety net"], alone, scenarios)
        rows[SPOT_ALONE] = _row(outcomes, run, chain, len(chains))
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("rule")
    firsts = {spot: _first_action(policy, chain, job, spot) for spot in (True, False)}
    return RunAdvice(table, firsts, _switch_h(policy, chain, job))


def _first_states(
    chain: Chain, n: int, spot_now: bool | None, rng: np.random.Generator
) -> np.ndarray:
    """Return states to start from, (n,), by their share of time."""
    share = chain.stationary()
    if spot_now is not None:
        share = np.where(chain.up == spot_now, share, 0.0)
    return rng.choice(len(share), size=n, p=share / share.sum())


def _row(outcomes: Outcomes, run: DatedRun, chain: Chain, n_chains: int) -> dict[str, float]:
    """Return a row of ``RunAdvice.costs``."""
    usd = outcomes.cost_usd
    p10, p50, p90 = np.quantile(usd, [0.1, 0.5, 0.9])
    of_chain = np.arange(len(usd)) % n_chains
    by_chain = np.bincount(of_chain, outcomes.late) / np.bincount(of_chain)
    low, high = np.quantile(by_chain, [0.1, 0.9])
    p_late = float(outcomes.late.mean())
    return {
        "expected_usd": float(usd.mean()) + p_late * (run.late_usd or 0.0),
        "p10_usd": float(p10),
        "p50_usd": float(p50),
        "p90_usd": float(p90),
        "p_late": p_late,
        "p_late_low": float(low),
        "p_late_high": float(high),
        "on_demand_h": float(outcomes.ticks[:, ON_DEMAND].mean() * chain.tick_h),
        "interruptions": float(outcomes.losses.mean()),
    }


def _first_action(policy: Policy, chain: Chain, job: Job, spot: bool) -> str:
    """Return what to do at once in the most frequent state with, or without, spot machines."""
    share = np.where(chain.up == spot, chain.stationary(), -1.0)
    return ACTIONS[policy.choices[WAIT, job.deadline, job.work, share.argmax()]]


def _switch_h(policy: Policy, chain: Chain, job: Job) -> float | None:
    """Return hours until on-demand is taken up where spot stays away; None where it is not.

    The states of a long absence follow each other as is most likely while it lasts.
    """
    away = np.where(chain.up, 0.0, chain.moves)
    state = int(np.where(chain.up, -1.0, chain.stationary()).argmax())
    for tick in range(job.deadline):
        if policy.choices[WAIT, job.deadline - tick, job.work, state] == ON_DEMAND:
            return tick * chain.tick_h
        if away[state].any():
            state = int(away[state].argmax())
    return None
