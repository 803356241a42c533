"""Start now or wait, tried on every week of the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from cloudarb_lib import allocate
from cloudarb_lib.advice.backtest.record import SoldRecord, SpotPaths, held_cost
from cloudarb_lib.advice.backtest.score import HINDSIGHT
from cloudarb_lib.advice.places import Places
from cloudarb_lib.advice.start import WAIT_SAVES, StartPaths, start_or_wait, start_paths
from cloudarb_lib.base.progress import progress
from cloudarb_lib.tables.assumptions import Assumptions

NEEDS = {"H100": 64.0, "A100-80GB": 32.0, "A100-40GB": 64.0, "L4": 64.0}
"""GPUs of each job that is tried."""
SLACK_WEEKS = (4, 8, 13)
"""Weeks in which it may start."""
JOB_WEEKS = 4
HORIZON_WEEKS = max(SLACK_WEEKS) + JOB_WEEKS - 1
NOW = "start now (SkyPilot's choice)"
WAIT = "always wait"
BAR = "first fall below today's price"
ADVICE = "advice"
SIMPLE = [NOW, WAIT, BAR]
MARGINS = MappingProxyType({ADVICE: WAIT_SAVES})
N_PATHS = 300


def spot_workload(model: str, gpus: float) -> allocate.Workload:
    """Return a job on spot machines with a GPU model, wherever they are cheapest."""
    return allocate.Workload(
        name=f"{gpus:g} {model}",
        amount=gpus,
        throughput={model: 1.0},
        interruptible=True,
        together="anywhere",
        options=("spot",),
    )


@dataclass(frozen=True, eq=False)
class _Weeks:
    """What one job would have met in each week; NaN where no places held it."""

    quoted: np.ndarray
    """USD an hour at the cheapest places."""
    paid: np.ndarray
    """Started in that week, USD an hour on average over the job; NaN where it ran past the end."""
    saving: np.ndarray
    """Expected of waiting, as a share, with so many weeks left: (weeks, most slack)."""


def try_starts(
    record: SoldRecord,
    paths: SpotPaths,
    assumptions: Assumptions,
    *,
    margins: Mapping[str, float] = MARGINS,
) -> pd.DataFrame:
    """Return what each policy paid for jobs that could have started from each week on.

    Parameters
    ----------
    paths
        At least as far ahead as the largest slack and the job.
    margins
        Policies that follow the paths, by name: where waiting is expected to save more than this
        share they wait.

    Returns
    -------
    pd.DataFrame
        A row per decision and policy, as ``score.by_half_year`` takes them; ``cost_usd`` is an hour
        of the job, ``ends_at`` when it ends at the latest.
    """
    rows = []
    for model, gpus in NEEDS.items():
        workload = spot_workload(model, gpus)
        places = Places.of(workload, record.market.offers_of([model]), assumptions)
        weeks = _weeks(record, paths, places)
        for slack in SLACK_WEEKS:
            at_most = pd.Timedelta(weeks=slack + JOB_WEEKS)
            for week in record.weeks:
                costs = _costs(weeks, week, slack, margins)
                rows += [
                    {
                        "decision": f"{workload.name}, {slack} weeks",
                        "made_at": record.panel.times[week],
                        "ends_at": record.panel.times[week] + at_most,
                        "policy": policy,
                        "cost_usd": cost,
                    }
                    for policy, cost in costs.items()
                ]
    return pd.DataFrame(rows)


def _weeks(record: SoldRecord, paths: SpotPaths, places: Places) -> _Weeks:
    prices = record.prices(places.offer_ids)
    machines = places.fill(prices)
    n_weeks = prices.shape[1]
    quoted = np.full(n_weeks, np.nan)
    paid = np.full(n_weeks, np.nan)
    saving = np.zeros((n_weeks, max(SLACK_WEEKS)))
    for week in progress(record.weeks, "starts", unit="week"):
        if np.isnan(machines[0, week]):
            continue
        quoted[week] = np.nansum(machines[:, week] * prices[:, week])
        if week + JOB_WEEKS <= n_weeks:
            ahead = prices[:, week : week + JOB_WEEKS]
            paid[week] = held_cost(machines[:, week], ahead, places).mean()
        drawn = paths.prices(week, places.offer_ids, n_paths=N_PATHS)
        saving[week] = _savings(drawn, machines[:, week], places)
    return _Weeks(quoted, paid, saving)


def _savings(drawn: np.ndarray, machines_now: np.ndarray, places: Places) -> np.ndarray:
    """Return what waiting is expected to save with 1, 2 ... weeks left, shape (most slack,)."""
    machines = places.fill(drawn)
    known = np.isfinite(drawn[:, 0, 0])
    whole = start_paths(machines_now[known], drawn[known], machines[known], job_weeks=JOB_WEEKS)
    return np.array(
        [
            start_or_wait(
                StartPaths(
                    whole.now_usd_per_hour,
                    whole.quoted_usd_per_hour[:, :left],
                    whole.paid_usd_per_hour[:, :left],
                )
            ).saving
            for left in range(1, max(SLACK_WEEKS) + 1)
        ]
    )


def _costs(weeks: _Weeks, week: int, slack: int, margins: Mapping[str, float]) -> dict[str, float]:
    """Return what each policy pays; nothing where the job could not start, or ran past the end."""
    span = slice(week, week + slack + 1)
    paid = weeks.paid[span]
    quoted = weeks.quoted[span]
    if len(paid) <= slack or not np.isfinite(paid).all():
        return {}
    left = slack - np.arange(slack)
    saving = weeks.saving[np.arange(week, week + slack), left - 1]
    falls = np.append(quoted[:-1] < quoted[0], True)
    costs = {NOW: paid[0], WAIT: paid[-1], BAR: paid[falls.argmax()]}
    for name, margin in margins.items():
        starts = np.append(saving <= margin + 1e-9, True)
        costs[name] = paid[starts.argmax()]
    return {**costs, HINDSIGHT: paid.min()}
