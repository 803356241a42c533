"""Is it true? Rolling VaR and CVaR of plans against the cost that came."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.measures import value_at_risk
from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast import is_moving
from cloudarb_lib.forecast.ensemble import rolling_forecasts
from cloudarb_lib.forecast.patterns import find_patterns
from cloudarb_lib.risk.coverage import acerbi_szekely, christoffersen, kupiec
from cloudarb_lib.risk.measures import cvar, var
from cloudarb_lib.risk.returns import LEAST_STEPS
from cloudarb_lib.risk.simulate import N_DRAWS, draw_costs

DEFAULT = "combined"
FORECAST = "forecast"
SIMPLE = ("normal", "historical")
"""The alternatives that the default model has to beat."""
COMBINED = (FORECAST, "filtered")
"""What the default model is made of."""
TESTED_MODELS = (DEFAULT, *COMBINED, *SIMPLE)
ATOM = 1e-6
"""Of the cost: a loss this near to the VaR is the atom in the samples (float32), not beyond it."""
WARM_UP = 0.25
"""Share of the cells before the first window."""
STARTS = 4
"""Most sets of windows."""
MOST_OFFERS = 200
"""Of a record of thousands about so many, evenly apart, stand for all: the joint models grow with
their square."""
MOST_LISTED = 10
"""About so many list prices stand for all: they hardly move."""
STEP = 0.1
"""Of the largest deviation so far: by how much an exceedance raises the default model's VaR, the
paper's own figure."""


def _every_so_many(chosen: np.ndarray, most: int) -> np.ndarray:
    """Return about ``most`` of the chosen, evenly apart, as a mask."""
    return chosen & (np.cumsum(chosen) % max(1, chosen.sum() // most) == 0)


def _plan_masks(offers: pd.DataFrame) -> dict[str, Any]:
    """Return by plan which of the moving offers it is made of; later names win where two agree."""
    place = (offers["region"].astype(str) + " " + offers["zone"].fillna("").astype(str)).str.strip()
    family = offers["instance_type"].str.split("[-.]").str[0]
    one_in = -(-len(offers) // 5)
    masks = {f"machine {i}": offers.index == i for i in offers.index[::one_in]}
    for kind, names in (("place", place), ("family", family)):
        for name in names.value_counts().index[:6]:
            masks[f"{kind} {name}"] = names == name
    masks["all that moves"] = np.ones(len(offers), dtype=bool)
    return masks


def real_plans(panel: Panel, first: int) -> pd.DataFrame:
    """Return plans to test on.

    Single machines, one place (region and zone), one machine family over all places, everything
    that moves, and 'mixed': half of that beside as much on-demand and committed where the panel has
    them. Each plan spends alike on its offers at their median prices up to a cell. Left out are
    offers not priced in every cell, copies of another offer's prices, and those that had not moved
    twice by then: a VaR that rests on no move is no forecast.

    Parameters
    ----------
    panel : Panel
        Prices.
    first : int
        Cell of the first window.

    Returns
    -------
    pd.DataFrame
        Instances held: a row per offer used and a column per plan.

    Raises
    ------
    DataError
        Where no offer remains.
    """
    so_far = panel.price[: first + 1]
    moves = (np.diff(so_far, axis=0) != 0).sum(axis=0)
    is_copy = panel.frame().T.duplicated().to_numpy()
    usable = np.isfinite(panel.price).all(axis=0) & ~is_copy
    can_move = is_moving(panel.offers)
    moving = _every_so_many(usable & can_move & (moves >= 2), MOST_OFFERS)
    if not moving.any():
        raise DataError(
            "no spot or market offer is priced throughout and moved twice before the first window.",
            "Give a longer history, or a finer grid.",
        )
    offers = panel.offers[moving]
    one_dollar = 1.0 / pd.Series(np.median(so_far, axis=0), index=panel.offers.index)
    plans = pd.DataFrame(
        {
            name: one_dollar[offers.index].where(mask, 0.0)
            for name, mask in _plan_masks(offers).items()
        }
    )
    # one machine may be a place and a family
    plans = plans.loc[:, ~plans.T.duplicated(keep="last")]
    listed = _every_so_many(usable & ~can_move, MOST_LISTED)
    if listed.any():
        still = one_dollar[listed] * (moving.sum() / listed.sum())
        plans = plans.reindex(panel.offers.index[moving | listed]).fillna(0.0)
        plans["mixed"] = plans["all that moves"].add(still, fill_value=0.0)
    return plans


def _without_holes(panel: Panel) -> Panel:
    """Return the panel from where most offer-cells are priced to the end without a hole."""
    priced = np.isfinite(panel.price) & (panel.price > 0)
    to_the_end = np.logical_and.accumulate(priced[::-1])[::-1]
    start = int(np.argmax(to_the_end.sum(axis=1) * np.arange(len(priced), 0, -1)))
    return panel.cut(slice(start, None), np.flatnonzero(to_the_end[start]))


def forecast_costs(
    panel: Panel,
    offer_ids: pd.Index,
    origins: np.ndarray,
    horizon_steps: int,
    leave_out: tuple[str, ...],
) -> Iterator[np.ndarray]:
    """Yield at each origin what ``draw_costs`` returns, from the forecast's joint paths.

    One rolling-origin forecast of the ensemble, in which each origin knows its past alone. Within a
    cell a price changes at a moment that is drawn, one for all offers: repricing events are common.
    List prices stay.

    Parameters
    ----------
    panel : Panel
        Prices.
    offer_ids : pd.Index
        Offers wanted.
    origins : np.ndarray of shape (origins,)
        Cells of the panel.
    horizon_steps : int
        Cells ahead.
    leave_out : tuple of str
        Members of the forecast that do not take part.

    Yields
    ------
    np.ndarray of shape (N_DRAWS, offers)
        Mean price over the horizon, USD per hour.
    """
    moving = is_moving(panel.offers)
    patterns = find_patterns(panel.select(moving))
    forecasts = rolling_forecasts(
        patterns, origins, horizon=horizon_steps, seed=0, leave_out=leave_out
    )
    wanted = panel.offers.index.get_indexer(offer_ids)
    pattern_of_offer = np.full(len(moving), -1)
    pattern_of_offer[moving] = patterns.of_offer
    series, series_of_wanted = np.unique(pattern_of_offer[wanted], return_inverse=True)
    forecast_series = series[series >= 0]
    rng = np.random.default_rng(0)
    for i, origin in enumerate(origins):
        price = np.exp(forecasts.paths(i, n_paths=N_DRAWS, only=forecast_series))
        before = np.concatenate([np.ones_like(price[:, :, :1]), price[:, :, :-1]], axis=2)
        mean = (before + rng.random(price.shape[1:]) * (price - before)).mean(axis=2)
        if len(forecast_series) < len(series):  # the first stands for the list prices
            mean = np.concatenate([np.ones((1, N_DRAWS)), mean])
        yield (panel.price[origin, wanted][:, None] * mean[series_of_wanted]).T


def combine(drawn: list[np.ndarray], paid: np.ndarray, level: float) -> np.ndarray:
    """Return the samples of the default model, each window by what came before it alone.

    Quantile by quantile the mean of the models, weighted by the inverse of what their VaR has lost
    so far over all plans. Then each plan's VaR follows its own exceedances: the quantile tracker of
    conformal PID control with its step, a tenth of the largest deviation that the plan has seen.
    Unlike a width that is multiplied, this also lifts a VaR of no change. What lies above the
    median moves in proportion, but never below it.

    Parameters
    ----------
    drawn : list of np.ndarray of shape (windows, plans, draws)
        Samples of each model, sorted.
    paid : np.ndarray of shape (windows, plans)
        What came.
    level : float
        Of the VaR that is tracked; none where it is not above the median.

    Returns
    -------
    np.ndarray of shape (windows, plans, draws)

    References
    ----------
    Lichtendahl, Grushka-Cockayne and Winkler, Management Science 59 (2013). Bates and Granger
    (1969). Angelopoulos, Candes and Tibshirani, Conformal PID control, NeurIPS (2023).
    """
    by_model = np.array(drawn)
    at = value_at_risk(by_model, level, axis=3)
    lost = _tick_loss((paid - at) / paid[0], level).mean(axis=2)  # plans in like units
    lost_before = np.cumsum(lost, axis=1) - lost
    weight = 1.0 / np.maximum(lost_before, 1e-9)
    mixed = np.einsum("mwpd,mw->wpd", by_model, weight / weight.sum(axis=0))
    if level <= 0.5:
        return mixed
    median = np.median(mixed, axis=2)
    n = mixed.shape[2]
    gap = value_at_risk(mixed, level, axis=2) / median - 1.0
    # 0 at the median, 1 at the VaR
    lift = np.maximum(np.arange(1, n + 1) / n - 0.5, 0.0) / (level - 0.5)
    shift = np.zeros(mixed.shape[1])
    widest = np.zeros(mixed.shape[1])
    for i, deviation in enumerate(paid / median - 1.0):
        shift = np.maximum(shift, -gap[i])
        moved = mixed[i] + (shift * median[i])[:, None] * lift
        mixed[i] = np.maximum(moved, np.minimum(mixed[i], median[i][:, None]))
        widest = np.maximum(widest, np.abs(deviation))
        exceeded = deviation > gap[i] + shift + ATOM
        shift = shift + STEP * widest * (exceeded - (1.0 - level))
    return mixed


def _tick_loss(miss: np.ndarray, level: float) -> np.ndarray:
    """Return the quantile loss of what exceeds the VaR, ``miss``."""
    return (level - (miss <= 0)) * miss


def _judge(cost: np.ndarray, paid: np.ndarray, level: float) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return the verdict on samples (windows, draws) against what was paid, and the windows."""
    from scipy.stats import binomtest

    expected = cost.mean(axis=1)
    increase = cost - expected[:, None]
    loss = paid - expected
    at = var(increase.T, level).value
    hits = loss > at + ATOM * expected
    independence, conditional = christoffersen(hits, level)
    z, tail = acerbi_szekely(loss, increase, level)
    verdict = {
        "windows": len(hits),
        "exceedances": int(hits.sum()),
        "kupiec": kupiec(hits, level),
        "independence": independence,
        "conditional": conditional,
        "binomial": binomtest(int(hits.sum()), len(hits), 1.0 - level).pvalue,
        "z": z,
        "acerbi_szekely": tail,
        "tick_loss_pct": 100 * _tick_loss(loss - at, level).mean() / paid.mean(),
    }
    windows = pd.DataFrame(
        {
            "expected_usd": expected,
            "var_usd": at,
            "cvar_usd": cvar(increase.T, level).value,
            "loss_usd": loss,
            "exceeded": hits,
        }
    )
    return verdict, windows


def _window_starts(cells: int, first: int, horizon_steps: int) -> list[int]:
    """Return by how many cells each set of windows starts after the first; refuse fewer than two
    windows."""
    spacing = max(horizon_steps // STARTS, 1)
    starts = [
        start
        for start in range(0, horizon_steps, spacing)
        if first + start + horizon_steps < cells - horizon_steps
    ]
    if not starts:
        raise DataError(
            f"{cells} cells hold less than 2 windows of {horizon_steps} steps.",
            "Take a shorter horizon or a longer history.",
        )
    return starts


def _origins_of(start: int, first: int, cells: int, horizon_steps: int) -> np.ndarray:
    """Return the cells in which the windows of a set begin.

    Those before the first window, as far back as there is history enough to forecast them, teach
    the default model.
    """
    earlier = max(first + start - LEAST_STEPS - horizon_steps, 0) // horizon_steps
    return np.arange(first + start - horizon_steps * earlier, cells - horizon_steps, horizon_steps)


def back_test(
    last: Panel,
    mean: Panel,
    *,
    horizon_steps: int,
    level: float = 0.95,
    leave_out: tuple[str, ...] = (),
    tick: Callable = lambda items: items,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the verdict on each plan, model and start, and the windows behind it.

    Windows do not overlap and start after the share ``WARM_UP`` of the cells; each forecast uses
    the cells up to its origin. What a verdict says can hang on the hour at which windows start, so
    there are up to ``STARTS`` sets of windows, evenly apart. The cost of a window is its mean
    price, the loss what exceeds the model's expected cost.

    Models: forecast is the forecast's own joint paths, the others of ``draw_costs``. combined, the
    default, is ``combine`` of forecast and filtered; it learns from each plan's earlier windows,
    those of the warm-up too. Its form was chosen with the windows of the bundled history in view,
    after a multiplied width had passed too few plans; its step is the paper's. On records that it
    was not chosen on (GCP machines without a GPU, marketplaces, AWS ticks six hours ahead) it
    passes at least as many plans as that width did.

    Parameters
    ----------
    last, mean : Panel
        Prices at the end of each cell and means over it, of one grid; cut to where most offers are
        priced.
    horizon_steps : int
        Cells of a window.
    level : float
        Of VaR and CVaR.
    leave_out : tuple of str
        Members of the forecast that do not take part.
    tick : callable
        Wraps the origins, for progress.

    Returns
    -------
    tuple[pd.DataFrame, pd.DataFrame]
        Verdict: plan, model, start (steps), windows, exceedances, the p-values kupiec,
        independence, conditional, binomial (exact) and acerbi_szekely (with z), tick_loss_pct
        (quantile loss of expected cost + VaR, % of the cost), rises (windows that cost more than
        the price at their origin: a VaR of no change is exceeded no more often). Windows:
        origin_utc, plan, model, start, expected_usd, var_usd, cvar_usd, loss_usd, exceeded (USD per
        hour).

    Raises
    ------
    ParameterError
        For a level or horizon that cannot be.
    DataError
        For fewer than two windows and as ``real_plans`` and ``draw_costs``.
    """
    if not 0.0 < level < 1.0 or horizon_steps < 1:
        raise ParameterError(
            f"level {level!r} or horizon {horizon_steps!r} cannot be.", "Say 0.95, 1 or more."
        )
    full = last
    last = _without_holes(last)
    cells = len(last.times)
    first = int(WARM_UP * cells)
    starts = _window_starts(cells, first, horizon_steps)
    plans = real_plans(last, first)
    last = last.select(plans.index.to_numpy())
    within = mean.select(plans.index.to_numpy()).frame().reindex(last.times).to_numpy()
    within = np.where(np.isfinite(within), within, last.price)
    origin_sets = [_origins_of(start, first, cells, horizon_steps) for start in starts]
    origins = np.unique(np.concatenate(origin_sets))
    instances = plans.to_numpy()
    window_means = [within[t + 1 : t + 1 + horizon_steps].mean(axis=0) for t in origins]
    paid = np.array(window_means) @ instances
    drawn: dict[str, list[np.ndarray]] = {model: [] for model in TESTED_MODELS[1:]}
    at_full = full.times.get_indexer(last.times[origins])
    forecasts = forecast_costs(full, plans.index, at_full, horizon_steps, leave_out)
    for t, forecast_unit in zip(tick(origins), forecasts, strict=True):
        for model, samples in drawn.items():
            unit = forecast_unit
            if model != FORECAST:
                now = last.price[: t + 1]
                unit = draw_costs(now, within[: t + 1], horizon_steps, model=model, seed=int(t))
            samples.append(np.sort((unit @ instances).T.astype(np.float32), axis=1))
    rises = paid > last.price[origins] @ instances * (1.0 + ATOM)
    verdicts = []
    windows = []
    for start, own_origins in zip(starts, origin_sets, strict=True):
        own = np.searchsorted(origins, own_origins)
        scored = own_origins >= first + start
        cost = {model: np.array(samples)[own] for model, samples in drawn.items()}
        cost[DEFAULT] = combine([cost[model] for model in COMBINED], paid[own], level)
        n_rises = rises[own][scored].sum(axis=0)
        for model, (j, plan) in itertools.product(TESTED_MODELS, enumerate(plans)):
            verdict, table = _judge(cost[model][scored, j], paid[own, j][scored], level)
            case: dict[str, Any] = {"plan": plan, "model": model, "start": start}
            verdicts.append(case | verdict | {"rises": n_rises[j]})
            table["origin_utc"] = last.times[own_origins[scored]]
            windows.append(table.assign(**case))
    return pd.DataFrame(verdicts), pd.concat(windows, ignore_index=True)
