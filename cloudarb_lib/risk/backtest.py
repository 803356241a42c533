"""Is it true? Rolling VaR and CVaR of plans against the cost that came, and the tests of both."""

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
from cloudarb_lib.forecast.ensemble import walk_origins
from cloudarb_lib.forecast.patterns import find_patterns
from cloudarb_lib.risk.correlation import LEAST_STEPS
from cloudarb_lib.risk.measures import cvar, var
from cloudarb_lib.risk.simulate import N_DRAWS, draw_costs

DEFAULT, FORECAST = "combined", "forecast"
SIMPLE = ("normal", "historical")
"""The alternatives that the default model has to beat."""
COMBINED = (FORECAST, "filtered")
"""What the default model is made of."""
MODELS = (DEFAULT, *COMBINED, *SIMPLE)
ATOM = 1e-6  # of the cost: a loss this near to the VaR is the atom in the samples (float32), not beyond it
WARM_UP = 0.25
STARTS = 4
MOST_OFFERS = 200
"""Of a record of thousands about so many, evenly apart, stand for all: the joint models grow with their square."""
STEP = 0.1
"""Of the largest deviation so far: by how much an exceedance raises the default model's VaR, the paper's own figure."""


def kupiec(hits: np.ndarray, level: float) -> float:
    """Return the p-value of Kupiec's proportion of failures (Journal of Derivatives 3, 1995)."""
    from scipy.special import xlog1py, xlogy
    from scipy.stats import chi2

    n, x = len(hits), int(np.sum(hits))
    null, free = (xlogy(x, rate) + xlog1py(n - x, -rate) for rate in (1.0 - level, x / n))
    return float(chi2.sf(2 * (free - null), 1))


def christoffersen(hits: np.ndarray, level: float) -> tuple[float, float]:
    """Return p-values of independence and of conditional coverage (it adds Kupiec's statistic).

    A first-order Markov chain against a constant rate: Christoffersen, International Economic Review 39, 1998.
    """
    from scipy.special import xlogy
    from scipy.stats import chi2

    h = np.asarray(hits, dtype=int)
    counts = np.zeros((2, 2))
    np.add.at(counts, (h[:-1], h[1:]), 1)
    cells = np.vstack([counts, counts.sum(axis=0)])
    share = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
    statistic = max(2 * float(xlogy(cells, share).sum(axis=1) @ [1, 1, -1]), 0.0)
    joint = statistic + chi2.isf(kupiec(hits, level), 1)
    return float(chi2.sf(statistic, 1)), float(chi2.sf(joint, 2))


def acerbi_szekely(losses: np.ndarray, samples: np.ndarray, level: float) -> tuple[float, float]:
    """Return Acerbi and Szekely's second statistic Z and its one-sided p-value (Risk, December 2014).

    ``losses`` (windows,) came, ``samples`` (windows, m) are the model's. Z = sum of the losses beyond VaR over
    (windows (1 - level) CVaR), less 1: 0 under the model, positive where the tail was underestimated. The
    p-value redraws each window from its samples. NaN where a CVaR is not positive, as Z does not exist.
    """
    at, tail = var(samples.T, level).value, cvar(samples.T, level).value
    if not (tail > 0).all():
        return float("nan"), float("nan")
    weight = 1.0 / (len(losses) * (1.0 - level) * tail)
    z = float((losses * (losses > at)) @ weight - 1.0)
    pick = np.random.default_rng(0).integers(0, samples.shape[1], (len(losses), 2000))
    drawn = np.take_along_axis(samples * (samples > at[:, None]), pick, axis=1)
    return z, float((weight @ drawn - 1.0 >= z).mean())


def power(n: int, level: float = 0.95) -> dict[str, float]:
    """Return how often each test, at 5 %, finds out a wrong model in ``n`` windows.

    kupiec: the true rate is twice the nominal one (exact). independence and conditional: the rate is right, but
    after an exceedance another follows with probability 0.4. acerbi_szekely: normal losses of 1.25 times the
    spread.
    """
    from scipy.stats import binom, norm

    rate, rng = 1.0 - level, np.random.default_rng(0)
    found = np.array([kupiec(np.arange(n) < x, level) < 0.05 for x in range(n + 1)])
    u = rng.random((1000, n))
    chain = u < rate
    for i in range(1, n):
        chain[:, i] = u[:, i] < np.where(chain[:, i - 1], 0.4, rate * 0.6 / level)
    rejected = np.mean([np.array(christoffersen(row, level)) < 0.05 for row in chain], axis=0)
    at = norm.ppf(level)
    x = rng.standard_normal((2, 2000, n)) * np.array([1.0, 1.25])[:, None, None]
    z = (x * (x > at)).sum(axis=2)
    return {
        "kupiec": float(binom.pmf(np.arange(n + 1), n, 2 * rate) @ found),
        "independence": float(rejected[0]),
        "conditional": float(rejected[1]),
        "acerbi_szekely": float((z[1] > np.quantile(z[0], 0.95)).mean()),
    }


def real_plans(panel: Panel, first: int) -> pd.DataFrame:
    """Return plans: instances held, a row per offer used and a column per plan.

    Single machines, one place (region and zone), one machine family over all places, everything that moves, and
    'mixed': half of that beside as much on-demand and committed where the panel has them. Each plan spends
    alike on its offers at their median prices up to cell ``first``. Left out are offers not priced in every
    cell, copies of another offer's prices, and those that had not moved twice by then: a VaR that rests on no
    move is no forecast. DataError where no offer remains.
    """
    seen = panel.price[: first + 1]
    moves = (np.diff(seen, axis=0) != 0).sum(axis=0)
    whole = np.isfinite(panel.price).all(axis=0) & ~panel.frame().T.duplicated().to_numpy()
    free = (
        panel.offers["purchase_option"].eq("spot") | panel.offers["price_kind"].eq("market")
    ).to_numpy()
    listed, moving = whole & ~free, whole & free & (moves >= 2)
    moving &= np.cumsum(moving) % max(1, moving.sum() // MOST_OFFERS) == 0
    if not moving.any():
        what = (
            "no spot or market offer is priced throughout and moved twice before the first window."
        )
        raise DataError(what, "Give a longer history, or a finer grid.")
    offers = panel.offers[moving]
    place = (offers["region"].astype(str) + " " + offers["zone"].fillna("").astype(str)).str.strip()
    masks = {f"machine {i}": offers.index == i for i in offers.index[:: -(-len(offers) // 5)]}
    for kind, values in (
        ("place", place),
        ("family", offers["instance_type"].str.split("[-.]").str[0]),
    ):
        masks |= {f"{kind} {name}": values == name for name in values.value_counts().index[:6]}
    masks["all that moves"] = np.ones(len(offers), dtype=bool)
    even = 1.0 / pd.Series(np.median(seen, axis=0), index=panel.offers.index)
    plans = pd.DataFrame(
        {name: even[offers.index].where(mask, 0.0) for name, mask in masks.items()}
    )
    plans = plans.loc[
        :, ~plans.T.duplicated(keep="last")
    ]  # one machine may be a place and a family
    listed &= (
        np.cumsum(listed) % max(1, listed.sum() // 10) == 0
    )  # about ten stand for all: they hardly move
    if listed.any():
        still = even[listed] * (moving.sum() / listed.sum())
        plans = plans.reindex(panel.offers.index[moving | listed]).fillna(0.0)
        plans["mixed"] = plans["all that moves"].add(still, fill_value=0.0)
    return plans


def _whole(panel: Panel) -> Panel:
    """Return the panel from the cell on from which most offer-cells are priced to the end without a hole."""
    there = np.isfinite(panel.price) & (panel.price > 0)
    to_the_end = np.logical_and.accumulate(there[::-1])[::-1]
    start = int(np.argmax(to_the_end.sum(axis=1) * np.arange(len(there), 0, -1)))
    return panel.cut(slice(start, None), np.flatnonzero(to_the_end[start]))


def forecast_costs(
    panel: Panel,
    offer_ids: pd.Index,
    origins: np.ndarray,
    horizon_steps: int,
    leave_out: tuple[str, ...],
) -> Iterator[np.ndarray]:
    """Yield at each of ``origins`` (cells of ``panel``) what ``draw_costs`` returns, from the forecast's joint paths.

    One walk of the ensemble over the origins, each of which knows its past alone. Within a cell a price changes
    at a moment that is drawn, one for all offers: reviews are common. List prices stay.
    """
    moving = is_moving(panel.offers)
    patterns = find_patterns(panel.select(moving))
    walk = walk_origins(patterns, origins, horizon=horizon_steps, seed=0, leave_out=leave_out)
    wanted = panel.offers.index.get_indexer(offer_ids)
    of_offer = np.full(len(moving), -1)
    of_offer[moving] = patterns.of_offer
    series, back = np.unique(of_offer[wanted], return_inverse=True)
    rng, only = np.random.default_rng(0), series[series >= 0]
    for i, origin in enumerate(origins):
        price = np.exp(walk.worlds(i, n_paths=N_DRAWS, only=only))
        before = np.concatenate([np.ones_like(price[:, :, :1]), price[:, :, :-1]], axis=2)
        mean = (before + rng.random(price.shape[1:]) * (price - before)).mean(axis=2)
        if len(only) < len(series):
            mean = np.concatenate([np.ones((1, N_DRAWS)), mean])
        yield (panel.price[origin, wanted][:, None] * mean[back]).T


def combine(drawn: list[np.ndarray], paid: np.ndarray, level: float) -> np.ndarray:
    """Return the samples of the default model (windows, plans, draws), each window by what came before it alone.

    Quantile by quantile (Lichtendahl, Grushka-Cockayne and Winkler, Management Science 59, 2013) the mean of the
    models ``drawn``, each (windows, plans, draws) sorted, weighted by the inverse of what their VaR has lost so far
    over all plans (as Bates and Granger, 1969). Then each plan's VaR follows its own exceedances: the quantile
    tracker of conformal PID control (Angelopoulos, Candes and Tibshirani, NeurIPS 2023) with its step, a tenth of
    the largest deviation that the plan has seen. Unlike a width that is multiplied, this also lifts a VaR of no
    change. What lies above the median moves in proportion, but never below it.
    """
    each = np.array(drawn)
    at = value_at_risk(each, level, axis=3)
    lost = _tick_loss((paid - at) / paid[0], level).mean(axis=2)  # plans in like units
    before = np.cumsum(lost, axis=1) - lost
    share = 1.0 / np.maximum(before, 1e-9)
    mixed = np.einsum("mwpd,mw->wpd", each, share / share.sum(axis=0))
    if level <= 0.5:
        return mixed
    middle, n = np.median(mixed, axis=2), mixed.shape[2]
    gap = value_at_risk(mixed, level, axis=2) / middle - 1.0
    lift = np.maximum(np.arange(1, n + 1) / n - 0.5, 0.0) / (
        level - 0.5
    )  # 0 at the median, 1 at the VaR
    shift = widest = np.zeros(mixed.shape[1])
    for i, came in enumerate(paid / middle - 1.0):
        shift = np.maximum(shift, -gap[i])
        moved = mixed[i] + (shift * middle[i])[:, None] * lift
        mixed[i] = np.maximum(moved, np.minimum(mixed[i], middle[i][:, None]))
        widest = np.maximum(widest, np.abs(came))
        shift = shift + STEP * widest * ((came > gap[i] + shift + ATOM) - (1.0 - level))
    return mixed


def _tick_loss(miss: np.ndarray, level: float) -> np.ndarray:
    """Return the quantile loss of what exceeds the VaR, ``miss``."""
    return (level - (miss <= 0)) * miss


def _judge(cost: np.ndarray, paid: np.ndarray, level: float) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return the verdict on samples ``cost`` (windows, draws) against what was ``paid`` (windows,), and the windows."""
    from scipy.stats import binomtest

    expected = cost.mean(axis=1)
    away, loss = cost - expected[:, None], paid - expected
    at = var(away.T, level).value
    hits = loss > at + ATOM * expected
    independence, conditional = christoffersen(hits, level)
    z, tail = acerbi_szekely(loss, away, level)
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
    known = {"expected_usd": expected, "var_usd": at, "cvar_usd": cvar(away.T, level).value}
    return verdict, pd.DataFrame({**known, "loss_usd": loss, "exceeded": hits})


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

    ``last`` and ``mean`` are the panels of ``history.to_panel`` with ``how`` last and mean over one grid, cut to where
    most offers are priced (``_whole``); ``tick`` wraps the origins for progress; members of the forecast named in
    ``leave_out`` do not take part. Windows do not overlap and start after the share ``WARM_UP`` of the cells; each
    forecast uses the cells up to its origin. What a verdict says can hang on the hour at which windows start, so there
    are up to ``STARTS`` sets of windows, evenly apart. The cost of a window is its mean price, the loss what exceeds
    the model's expected cost.

    Models: forecast is the forecast's own joint paths, the others of ``draw_costs``. combined, the default, is
    ``combine`` of forecast and filtered; it learns from each plan's earlier windows, those of the warm-up too. Its
    form was chosen with the windows of the bundled history in view, after a multiplied width had passed too few
    plans; its step is the paper's. On records that it was not chosen on (GCP machines without a GPU, marketplaces,
    AWS ticks six hours ahead) it passes at least as many plans as that width did.

    Verdict: plan, model, start (steps), windows, exceedances, the p-values kupiec, independence, conditional,
    binomial (exact) and acerbi_szekely (with z), tick_loss_pct (quantile loss of expected cost + VaR, % of the cost),
    rises (windows that cost more than the price at their origin: a VaR of no change is exceeded no more often).
    Windows: origin_utc, plan, model, start, expected_usd, var_usd, cvar_usd, loss_usd, exceeded (USD per hour).
    Raises ParameterError for a level or horizon that cannot be, DataError for fewer than two windows and as
    ``real_plans`` and ``draw_costs``.
    """
    if not 0.0 < level < 1.0 or horizon_steps < 1:
        what = f"level {level!r} or horizon {horizon_steps!r} cannot be."
        raise ParameterError(what, "Say 0.95, 1 or more.")
    full, last = last, _whole(last)
    first, cells = int(WARM_UP * len(last.times)), len(last.times)
    apart = max(horizon_steps // STARTS, 1)
    starts = [
        s
        for s in range(0, horizon_steps, apart)
        if first + s + horizon_steps < cells - horizon_steps
    ]
    if not starts:
        what = f"{cells} cells hold less than 2 windows of {horizon_steps} steps."
        raise DataError(what, "Take a shorter horizon or a longer history.")
    plans = real_plans(last, first)
    last = last.select(plans.index.to_numpy())
    within = mean.select(plans.index.to_numpy()).frame().reindex(last.times).to_numpy()
    within = np.where(np.isfinite(within), within, last.price)
    # windows before the first, as far back as there is history enough to forecast them, teach the default model
    earlier = (max(first + s - LEAST_STEPS - horizon_steps, 0) // horizon_steps for s in starts)
    begin = [first + s - horizon_steps * n for s, n in zip(starts, earlier, strict=True)]
    sets = [np.arange(cell, cells - horizon_steps, horizon_steps) for cell in begin]
    every, hold = np.unique(np.concatenate(sets)), plans.to_numpy()
    came = np.array([within[t + 1 : t + 1 + horizon_steps].mean(axis=0) for t in every]) @ hold
    drawn: dict[str, list[np.ndarray]] = {model: [] for model in MODELS[1:]}
    at_full = full.times.get_indexer(last.times[every])
    ahead = forecast_costs(full, plans.index, at_full, horizon_steps, leave_out)
    for t, units in zip(tick(every), ahead, strict=True):
        past = last.price[: t + 1], within[: t + 1], horizon_steps
        for model, samples in drawn.items():
            unit = units if model == FORECAST else draw_costs(*past, model=model, seed=int(t))
            samples.append(np.sort((unit @ hold).T.astype(np.float32), axis=1))
    verdicts, windows = [], []
    for start, origins in zip(starts, sets, strict=True):
        mine, test = np.searchsorted(every, origins), origins >= first + start
        cost = {model: np.array(samples)[mine] for model, samples in drawn.items()}
        cost[DEFAULT] = combine([cost[model] for model in COMBINED], came[mine], level)
        rises = (came > last.price[every] @ hold * (1.0 + ATOM))[mine][test].sum(axis=0)
        for model, (j, plan) in itertools.product(MODELS, enumerate(plans)):
            verdict, told = _judge(cost[model][test, j], came[mine, j][test], level)
            of = dict[str, Any](plan=plan, model=model, start=start)
            verdicts.append(of | verdict | {"rises": rises[j]})
            windows.append(told.assign(origin_utc=last.times[origins[test]], **of))
    return pd.DataFrame(verdicts), pd.concat(windows, ignore_index=True)
