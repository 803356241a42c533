"""Whether the cost that was stated for a period came true, on every week of the record."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.advice.backtest.record import SoldRecord, SpotPaths, held_cost
from cloudarb_lib.advice.backtest.start import N_PATHS, NEEDS, spot_workload
from cloudarb_lib.advice.places import Places
from cloudarb_lib.base.progress import progress
from cloudarb_lib.tables.assumptions import Assumptions

PERIOD_WEEKS = (4, 13)
BUDGETS = (0.95, 1.0, 1.05, 1.1)
"""Budgets of a period, over its cost at the prices of the day."""
ROUNDING = 1e-9
"""A cost within so small a share of a bound is at it: prices that stay cost exactly what they do
today."""


def try_budgets(record: SoldRecord, paths: SpotPaths, assumptions: Assumptions) -> pd.DataFrame:
    """Return what was stated of the cost of holding the cheapest machines, and what came.

    The plan is what serves a need of ``start.NEEDS`` at least cost in that week, held for the
    period. No record tells when spot machines were taken away, so prices alone are tried.

    Parameters
    ----------
    paths
        At least as far ahead as the longest period.

    Returns
    -------
    pd.DataFrame
        A row per need, week, and period, costs over that at the prices of the day: ``need``,
        ``made_at``, ``weeks``, ``p10``, ``p50``, ``p90``, ``came``, and for each of ``BUDGETS`` the
        stated chance to be over it, ``p_over_1.05``.
    """
    rows = []
    for model, gpus in NEEDS.items():
        workload = spot_workload(model, gpus)
        places = Places.of(workload, record.market.offers_of([model]), assumptions)
        prices = record.prices(places.offer_ids)
        machines = places.fill(prices)
        for week in progress(record.weeks, f"budgets, {workload.name}", unit="week"):
            periods = [n for n in PERIOD_WEEKS if week + n <= prices.shape[1]]
            if np.isnan(machines[0, week]) or not periods:
                continue
            is_held = machines[:, week] > 0
            held = machines[is_held, week]
            drawn = paths.prices(week, places.offer_ids[is_held], n_paths=N_PATHS)
            weekly = np.einsum("o,opw->pw", held, drawn)
            came = held_cost(machines[:, week], prices[:, week : week + max(periods)], places)
            for n_weeks in periods:
                shares = weekly[:, :n_weeks].mean(axis=1) / came[0]
                row = {"need": workload.name, "made_at": record.panel.times[week], "weeks": n_weeks}
                rows.append(row | _stated(shares) | {"came": came[:n_weeks].mean() / came[0]})
    return pd.DataFrame(rows)


def _stated(shares: np.ndarray) -> dict[str, float]:
    """Return quantiles and chances of drawn costs, (paths,), over that at today's prices."""
    quantiles = np.quantile(shares, [0.1, 0.5, 0.9], method="inverted_cdf")
    stated = {"p10": quantiles[0], "p50": quantiles[1], "p90": quantiles[2]}
    chances = {f"p_over_{b}": (shares > b * (1 + ROUNDING)).mean() for b in BUDGETS}
    return {name: float(value) for name, value in (stated | chances).items()}


def calibration(tried: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return how true what was stated came out.

    Parameters
    ----------
    tried
        As from ``try_budgets``.
    by
        Columns to group by.

    Returns
    -------
    pd.DataFrame
        By group: ``plans``; ``inside`` P10 to P90 and ``above`` P90, shares; ``p50_error`` and
        ``today_error``, mean absolute error of P50 and of today's prices; and for each budget the
        chance to be over it as ``stated`` and as it ``came``.
    """
    came = tried["came"]
    is_above = came > tried["p90"] * (1 + ROUNDING)
    is_below = came < tried["p10"] * (1 - ROUNDING)
    columns = {
        "inside": ~is_above & ~is_below,
        "above": is_above,
        "p50_error": (came - tried["p50"]).abs(),
        "today_error": (came - 1.0).abs(),
    }
    for budget in BUDGETS:
        columns[f"stated_{budget}"] = tried[f"p_over_{budget}"]
        columns[f"came_{budget}"] = came > budget * (1 + ROUNDING)
    groups = pd.DataFrame(columns).groupby([tried[name] for name in by])
    table = groups.mean()
    table.insert(0, "plans", groups.size())
    return table
