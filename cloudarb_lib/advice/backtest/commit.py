"""Commit or wait, tried on every week of the record whose year after is known."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.advice.backtest.record import SoldRecord
from cloudarb_lib.advice.backtest.score import HINDSIGHT
from cloudarb_lib.advice.commit import (
    TERM_WEEKS,
    Need,
    PricePaths,
    break_even_table,
    commit_or_wait,
    committed_cost,
    hourly_cost,
)

TERM = "1y"
"""No commitment for three years has run out on the record."""
SURE_WEEKS = (13, 26, 39, 52)
EXPECTED_WEEKS = (13, 26, 52, 104)
BY_THE_HOUR = "by the hour (SkyPilot's choice)"
NOW = "commit now"
LATER = "commit after 13 weeks"
SKI_RENTAL = "ski rental"
ADVICE = "advice"
SIMPLE = [BY_THE_HOUR, NOW, LATER, SKI_RENTAL]
_YEAR = TERM_WEEKS[TERM]
_DRAWS = 500


def try_commitments(record: SoldRecord) -> pd.DataFrame:
    """Return what each policy paid for one GPU needed from each week on, for a year at most.

    On demand or committed, in the cheapest region. The need is ``SURE_WEEKS`` and known, or it ends
    each week with the same chance: then costs are means over all ends, and hindsight knows the end.

    Returns
    -------
    pd.DataFrame
        A row per decision and policy, as ``score.by_half_year`` takes them, with ``is_certain``.
    """
    rows = []
    for model, hourly, rate in _prices(record):
        for week in range(len(hourly) - _YEAR):
            came = slice(week, week + _YEAR)
            if not (np.isfinite(hourly[came]).all() and np.isfinite(rate[came]).all()):
                continue
            for need in _needs():
                costs = _costs(hourly[came], rate[came], need)
                known = "sure" if need.is_certain else "expected"
                rows += [
                    {
                        "decision": f"{model}, {need.weeks:g} weeks {known}",
                        "made_at": record.panel.times[week],
                        "policy": policy,
                        "cost_usd": cost,
                        "is_certain": need.is_certain,
                    }
                    for policy, cost in costs.items()
                ]
    return pd.DataFrame(rows)


def _needs() -> list[Need]:
    sure = [Need(weeks, is_certain=True) for weeks in SURE_WEEKS]
    return sure + [Need(weeks) for weeks in EXPECTED_WEEKS]


def _prices(record: SoldRecord) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return each GPU model sold on demand and for a year, with USD an hour a GPU by week."""
    offers = record.panel.offers
    per_gpu = pd.DataFrame(
        record.panel.price / offers["gpu_count"].to_numpy(float), columns=offers.index
    )
    found = []
    for model in offers["gpu_model"].unique():
        mine = offers["gpu_model"] == model
        on_demand = mine & offers["purchase_option"].eq("on_demand")
        committed = mine & offers["term"].eq(TERM)
        if on_demand.any() and committed.any():
            hourly = per_gpu.loc[:, on_demand.to_numpy()].min(axis=1).to_numpy()
            rate = per_gpu.loc[:, committed.to_numpy()].min(axis=1).to_numpy()
            found.append((str(model), hourly, rate))
    return found


def _costs(hourly: np.ndarray, rate: np.ndarray, need: Need) -> dict[str, float]:
    """Return what each policy pays, USD a GPU, over the prices of the year that came."""
    ends = np.arange(1.0, _YEAR + 1)
    chance = np.zeros(_YEAR)
    if need.is_certain:
        chance[int(need.weeks) - 1] = 1.0
    else:
        chance[:] = (1 - 1 / need.weeks) ** (ends - 1) / need.weeks
        chance[-1] += 1 - chance.sum()
    came = PricePaths(np.tile(hourly, (_YEAR, 1)), {TERM: np.tile(rate, (_YEAR, 1))})

    def commit_after(weeks: float) -> np.ndarray:
        return committed_cost(came, ends, utilisation=1.0, term=TERM, wait=weeks)

    by_the_hour = hourly_cost(came, ends, utilisation=1.0)
    today = PricePaths(np.full((_DRAWS, 1), hourly[0]), {TERM: np.full((_DRAWS, 1), rate[0])})
    until = float(break_even_table(today, need)["rent_until_week"][TERM])
    ski_rental = commit_after(until) if np.isfinite(until) else by_the_hour
    later = [commit_after(weeks) for weeks in range(_YEAR)]
    costs = {
        BY_THE_HOUR: by_the_hour,
        NOW: later[0],
        LATER: later[13],
        SKI_RENTAL: ski_rental,
        HINDSIGHT: np.min([by_the_hour, *later], axis=0),
    }
    costs[ADVICE] = _advised(today, need, costs, later)
    return {policy: float(cost @ chance) for policy, cost in costs.items()}


def _advised(
    today: PricePaths, need: Need, costs: dict[str, np.ndarray], later: list[np.ndarray]
) -> np.ndarray:
    """Return the cost of what ``commit_or_wait`` says at today's prices."""
    choice = commit_or_wait(today, need, seed=0).choice
    if choice.startswith("by the hour "):  # so many weeks, then the term
        weeks = int(choice.split()[3])
        return later[weeks] if weeks < len(later) else costs[BY_THE_HOUR]
    by_start = {
        "by the hour": costs[BY_THE_HOUR],
        f"commit {TERM} now": costs[NOW],
        f"ladder {TERM}: a quarter each 13 weeks": np.mean(later[:_YEAR:13], axis=0),
    }
    return by_start.get(choice, costs[SKI_RENTAL])
