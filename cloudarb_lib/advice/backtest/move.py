"""Move or stay, tried from every week of the record on jobs that stand in one region."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from cloudarb_lib.advice.backtest.record import SoldRecord, SpotPaths
from cloudarb_lib.advice.backtest.score import HINDSIGHT
from cloudarb_lib.advice.backtest.start import spot_workload
from cloudarb_lib.advice.places import Places
from cloudarb_lib.base.progress import progress
from cloudarb_lib.base.units import HOURS_PER_WEEK
from cloudarb_lib.tables.assumptions import Assumptions

MODELS = ("H100", "A100-80GB", "A100-40GB", "L4")
GPUS = 32.0
"""Of each job that is tried: what one spot pool holds."""
JOB_WEEKS = 26
PAYBACK_WEEKS = 13
"""A move must pay back by then at today's prices; also how far ahead the forecast looks."""
MOVING_HOURS = (4.5, 24.0)
"""Paid twice at each move: as assumed (overlap, and half an hour to start), and far more."""
STAY = "stay put (SkyPilot's choice)"
CHEAPEST = "cheapest now"
BAR = "5 % cheaper"
ADVICE = "advice"
FORECAST = "by forecast"
SIMPLE = [STAY, CHEAPEST, BAR]
N_PATHS = 200

Rule = Callable[[int, int], int]
"""From the week and the place it is at, the place to be at next."""


def try_moves(record: SoldRecord, paths: SpotPaths, assumptions: Assumptions) -> pd.DataFrame:
    """Return what each policy paid for jobs that ran from each week on.

    All start at the cheapest region of their first week, and leave a region that sells no more.

    Returns
    -------
    pd.DataFrame
        A row per decision and policy, as ``score.by_half_year`` takes them.
    """
    rows = []
    for model in MODELS:
        workload = spot_workload(model, GPUS)
        places = Places.of(workload, record.market.offers_of([model]), assumptions)
        usd = places.usd_per_hour_by_pool(record.prices(places.offer_ids))
        ahead = _expected(record, paths, places)
        for hours in MOVING_HOURS:
            for week in record.weeks:
                span = slice(week, week + JOB_WEEKS)
                if week + JOB_WEEKS > usd.shape[1] or not np.isfinite(usd[:, week]).any():
                    continue
                costs = _costs(usd[:, span], ahead[:, span], hours)
                rows += [
                    {
                        "decision": f"{workload.name}, {hours:g} h a move",
                        "made_at": record.panel.times[week],
                        "policy": policy,
                        "cost_usd": cost,
                        "moves": moves,
                    }
                    for policy, (cost, moves) in costs.items()
                ]
    return pd.DataFrame(rows)


def _expected(record: SoldRecord, paths: SpotPaths, places: Places) -> np.ndarray:
    """Return the mean over paths of the weeks ahead at each pool, shape (pools, weeks)."""
    n_pools = len(places.capacity)
    expected = np.full((n_pools, len(record.panel.times)), np.inf)
    for week in progress(record.weeks, "moves", unit="week"):
        drawn = paths.prices(week, places.offer_ids, n_paths=N_PATHS)
        if np.isfinite(drawn[:, 0, 0]).any():
            weeks = drawn[:, :, :PAYBACK_WEEKS]
            expected[:, week] = places.usd_per_hour_by_pool(weeks).mean(axis=(1, 2))
    return expected


def _costs(usd: np.ndarray, ahead: np.ndarray, moving_h: float) -> dict[str, tuple[float, float]]:
    """Return the cost in USD and the number of moves of each policy; prices (pools, weeks)."""
    moving = moving_h / HOURS_PER_WEEK  # weeks paid for at each move

    def cheapest(week: int, at: int) -> int:
        return int(usd[:, week].argmin())

    def five_percent(week: int, at: int) -> int:
        best = cheapest(week, at)
        return best if usd[best, week] < 0.95 * usd[at, week] else at

    def pays_back(week: int, at: int) -> int:
        best = cheapest(week, at)
        saved = (usd[at, week] - usd[best, week]) * PAYBACK_WEEKS
        return best if saved > moving * usd[best, week] else at

    def by_forecast(week: int, at: int) -> int:
        total = ahead[:, week] * PAYBACK_WEEKS + moving * usd[:, week]
        total[at] -= moving * usd[at, week]
        return int(total.argmin())

    rules: dict[str, Rule] = {
        STAY: lambda week, at: at,
        CHEAPEST: cheapest,
        BAR: five_percent,
        ADVICE: pays_back,
        FORECAST: by_forecast,
    }
    costs = {name: _follow(rule, usd, moving) for name, rule in rules.items()}
    costs[HINDSIGHT] = (_least(usd, moving), np.nan)
    return costs


def _follow(rule: Rule, usd: np.ndarray, moving: float) -> tuple[float, float]:
    """Return what a rule pays and how often it moves."""
    at = int(usd[:, 0].argmin())
    paid = usd[at, 0]
    moves = 0
    for week in range(1, usd.shape[1]):
        next_at = rule(week, at) if np.isfinite(usd[at, week]) else int(usd[:, week].argmin())
        if next_at != at:
            paid += moving * usd[next_at, week]
            moves += 1
        at = next_at
        paid += usd[at, week]
    return float(paid * HOURS_PER_WEEK), float(moves)


def _least(usd: np.ndarray, moving: float) -> float:
    """Return the least that could have been paid, by dynamic programming from the last week."""
    rest = usd[:, -1]
    for week in range(usd.shape[1] - 2, -1, -1):
        elsewhere = (rest + moving * usd[:, week + 1]).min()
        rest = usd[:, week] + np.minimum(rest, elsewhere)
    return float(rest[usd[:, 0].argmin()] * HOURS_PER_WEEK)
