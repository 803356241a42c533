"""Would a policy for dated runs have paid, and were its chances true, on recorded availability?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cloudarb_lib.advice.dated.chain import Counts, count, estimate
from cloudarb_lib.advice.dated.following import follow
from cloudarb_lib.advice.dated.hindsight import hindsight_usd
from cloudarb_lib.advice.dated.job import Job, ticks
from cloudarb_lib.advice.dated.policy import optimal_policy
from cloudarb_lib.advice.dated.replay import Rule, replay, sample, windows
from cloudarb_lib.advice.dated.rules import RULES, greedy
from cloudarb_lib.advice.dated.run import BEST
from cloudarb_lib.advice.dated.traces import Trace

WORK_H = 12.0
SLACKS = (1.1, 1.2, 1.35, 1.5, 1.75, 2.0)
"""Hours to the deadline over hours of work."""
RESTARTS_H = (0.1, 0.3, 0.5)
START_EVERY_H = 6.0
LEAST_STARTS = 5
STATED_SLACKS = (1.2, 1.5, 2.0)
STATED_RESTART_H = 0.1
STATED_DRAWS = 100
"""Draws of availability for what is stated at each start."""
N_CHAINS = 20
SEED = 7


@dataclass(frozen=True)
class Case:
    """A trace to score on: its first half is learned from, starts lie in the second.

    Attributes
    ----------
    trace
        One zone, or all of a batch side by side.
    counts, peers
        What its first half held, and those of the zones with it.
    """

    trace: Trace
    counts: Counts
    peers: Counts

    @property
    def half(self) -> int:
        return len(self.trace.up) // 2

    @property
    def labels(self) -> dict[str, object]:
        """Columns by which its rows are told."""
        return {"trace": self.trace.name, "zones": len(self.trace.zones)}

    def starts(self, length: int) -> np.ndarray:
        """Return the probes at which runs start that last ``length`` probes at most."""
        every = max(round(START_EVERY_H / self.trace.gap_h), 1)
        return np.arange(self.half, len(self.trace.up) - length, every)


def cases(traces: list[Trace]) -> Iterator[Case]:
    """Yield each zone alone, and then the zones of a batch together where there are several."""
    for trace in traces:
        half = len(trace.up) // 2
        zones = [trace.zone(column) for column in range(len(trace.zones))]
        counts = [count(follow(zone.until(half))) for zone in zones]
        together = sum(counts[1:], counts[0])
        for zone, own in zip(zones, counts, strict=True):
            yield Case(zone, own, together)
        if len(zones) > 1:
            own = count(follow(trace.until(half)))
            yield Case(trace, own, own)


def back_test(case: Case, spot_share: float) -> pd.DataFrame:
    """Return what each rule would have cost on a trace, over what hindsight would have.

    Parameters
    ----------
    case
        What to learn from and to score on.
    spot_share
        Price of spot over that of on-demand.

    Returns
    -------
    pd.DataFrame
        A row per rule, restart and slack: ``trace``, ``zones`` (their number), ``restart_h``,
        ``slack``, ``rule``, ``starts``, ``cost`` and ``hindsight`` (sums over the starts, of one
        work done on demand at 1), ``stated`` (what the policy said it would cost, else NaN) and
        ``late`` (runs). Empty where fewer than ``LEAST_STARTS`` runs fit.
    """
    starts = case.starts(ticks(WORK_H * max(SLACKS), case.trace.gap_h))
    if len(starts) < LEAST_STARTS:
        return pd.DataFrame()
    chain = estimate(case.counts, case.peers, case.trace.gap_h)
    rows: list[dict[str, object]] = []
    for restart_h in RESTARTS_H:
        job = _job(case, SLACKS, restart_h, spot_share)
        policy = optimal_policy(chain, job)
        probes = starts[:, None] + np.arange(job.deadline)
        deadlines = _deadlines(job, case.trace.gap_h, SLACKS)
        least = hindsight_usd(case.trace.up[probes], job, deadlines).sum(axis=0)
        for position, slack in enumerate(SLACKS):
            dated = replace(job, deadline=deadlines[position])
            scenarios = windows(follow(case.trace), starts, dated.deadline, chain)
            shared = case.labels | {
                "restart_h": restart_h,
                "slack": slack,
                "starts": len(starts),
                "hindsight": least[position],
            }
            stated = policy.value_usd[dated.deadline][scenarios.state[:, 0]].sum()
            rules: dict[str, Rule] = {BEST: policy} | RULES
            for name, rule in rules.items():
                row = shared | {"rule": name, "stated": stated if name == BEST else np.nan}
                outcomes = replay(rule, dated, scenarios)
                rows.append(row | {"cost": outcomes.cost_usd.sum(), "late": outcomes.late.sum()})
    return pd.DataFrame(rows)


def _job(case: Case, slacks: tuple[float, ...], restart_h: float, spot_share: float) -> Job:
    """Return the run with most time to spare; its work costs 1 on demand."""
    gap_h = case.trace.gap_h
    work = ticks(WORK_H, gap_h)
    longest = ticks(WORK_H * max(slacks), gap_h)
    return Job(work, longest, ticks(restart_h, gap_h), spot_share / work, 1.0 / work)


def _deadlines(job: Job, gap_h: float, slacks: tuple[float, ...]) -> list[int]:
    """Return deadlines in ticks, none before the work and one start fit."""
    return [max(ticks(WORK_H * slack, gap_h), job.work + job.restart) for slack in slacks]


def back_test_stated(case: Case, spot_share: float) -> pd.DataFrame:
    """Return what was stated at each start, and what came.

    Two policies: the best one, of whose cost P10 and P90 are stated, and spot alone with nothing
    behind it, of which the chance to be late is.

    Returns
    -------
    pd.DataFrame
        A row per slack and start: ``trace``, ``zones``, ``slack``, ``p_late`` and ``late`` of spot
        alone, ``p10``, ``p90`` and ``cost`` of the best policy (on demand: 1).
    """
    starts = case.starts(ticks(WORK_H * max(STATED_SLACKS), case.trace.gap_h))
    if len(starts) < LEAST_STARTS:
        return pd.DataFrame()
    rng = np.random.default_rng(SEED)
    chain = estimate(case.counts, case.peers, case.trace.gap_h)
    drawn = [estimate(case.counts, case.peers, case.trace.gap_h, rng) for _ in range(N_CHAINS)]
    job = _job(case, STATED_SLACKS, STATED_RESTART_H, spot_share)
    policy = optimal_policy(chain, job)
    tables = []
    deadlines = _deadlines(job, case.trace.gap_h, STATED_SLACKS)
    for slack, deadline in zip(STATED_SLACKS, deadlines, strict=True):
        backed = replace(job, deadline=deadline)
        alone = replace(backed, on_demand_usd=None)
        came = windows(follow(case.trace), starts, deadline, chain)
        ahead = sample(drawn, np.repeat(came.state[:, 0], STATED_DRAWS), deadline, rng)
        late = replay(greedy, alone, ahead).late.reshape(len(starts), -1)
        cost = replay(policy, backed, ahead).cost_usd.reshape(len(starts), -1)
        columns = case.labels | {
            "slack": slack,
            "p_late": late.mean(axis=1),
            "late": replay(greedy, alone, came).late,
            "p10": np.quantile(cost, 0.1, axis=1),
            "p90": np.quantile(cost, 0.9, axis=1),
            "cost": replay(policy, backed, came).cost_usd,
        }
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)


def summary(scored: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return cost over hindsight of each rule, and the number of late runs under any.

    Every start counts alike.

    Parameters
    ----------
    scored
        Rows of ``back_test``.
    by
        Columns to group by; none: all together.
    """
    columns = ["cost", "hindsight", "late"]
    groups = scored.assign(all="all") if not by else scored
    keys = by or ["all"]
    sums = groups.groupby([*keys, "rule"], sort=False)[columns].sum()
    ratio = (sums["cost"] / sums["hindsight"]).unstack("rule")
    return ratio[list(dict.fromkeys(scored["rule"]))].assign(late=sums["late"].groupby(keys).sum())
