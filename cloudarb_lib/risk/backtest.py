"""Is it true? Rolling VaR and CVaR of plans against the cost that came, and the tests of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from cloudarb_lib.errors import DataError, ParameterError
from cloudarb_lib.forecast import is_moving
from cloudarb_lib.forecast.ensemble import find_patterns, walk_origins
from cloudarb_lib.risk.correlation import LEAST_STEPS
from cloudarb_lib.risk.measures import cvar, var
from cloudarb_lib.risk.simulate import N_DRAWS, draw_costs
from cloudarb_lib.types import Panel

MODELS = ("filtered", "historical", "normal")
"""The default model first, then the simple alternatives that it has to beat."""
FORECAST = "forecast"
WARM_UP = 0.25
GAIN = 0.2
"""How fast the width of a standing plan's cost answers to its own hits: 21 % wider after one at 95 %, 1 %
narrower after a window without."""


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
    free = (panel.offers["purchase_option"].eq("spot") | panel.offers["price_kind"].eq("market")).to_numpy()
    listed, moving = whole & ~free, whole & free & (moves >= 2)
    if not moving.any():
        raise DataError(
            "no spot or market offer is priced throughout and moved twice before the first window.",
            "Give a longer history, or a finer grid.",
        )
    offers = panel.offers[moving]
    place = (offers["region"].astype(str) + " " + offers["zone"].fillna("").astype(str)).str.strip()
    masks = {f"machine {i}": offers.index == i for i in offers.index[:: -(-len(offers) // 5)]}
    for kind, values in (("place", place), ("family", offers["instance_type"].str.split("[-.]").str[0])):
        masks |= {f"{kind} {name}": values == name for name in values.value_counts().index[:6]}
    masks["all that moves"] = np.ones(len(offers), dtype=bool)
    even = 1.0 / pd.Series(np.median(seen, axis=0), index=panel.offers.index)
    plans = pd.DataFrame({name: even[offers.index].where(mask, 0.0) for name, mask in masks.items()})
    listed &= np.cumsum(listed) % max(1, listed.sum() // 10) == 0  # about ten stand for all: they hardly move
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
    parts = (getattr(panel, name)[start:] for name in ("price", "available", "state"))
    cut = Panel(panel.times[start:], panel.step, panel.offers, *parts)
    return cut.select(to_the_end[start])


def _adapt(cost: np.ndarray, paid: np.ndarray, level: float, gain: float) -> np.ndarray:
    """Return ``cost`` (windows, draws) stretched about its median, each window by what came before it alone.

    Adaptive conformal control (Gibbs and Candes, NeurIPS 2021) on the log of the width: wider after an
    exceedance, narrower after none, so that the rate returns to the nominal one. What stands still at the
    median still does.
    """
    middle = np.median(cost, axis=1)
    at, log_width, out = var(cost.T, level).value, 0.0, np.empty_like(cost)
    for i, m in enumerate(middle):
        width = np.exp(log_width)
        hit = paid[i] > m + (at[i] - m) * width + 1e-9 * m
        out[i] = np.maximum(m + (cost[i] - m) * width, 0.0)
        log_width = float(np.clip(log_width + gain * (hit - (1 - level)), -1.5, 1.5))
    return out


def forecast_costs(
    panel: Panel, offer_ids: pd.Index, origins: np.ndarray, horizon_steps: int
) -> Iterator[np.ndarray]:
    """Yield at each of ``origins`` (cells of ``panel``) what ``draw_costs`` returns, from the forecast's joint paths.

    One walk of the ensemble over the origins, each of which knows its past alone. Within a cell a price changes
    at a moment that is drawn, one for all offers: reviews are common. List prices stay.
    """
    moving = is_moving(panel.offers)
    patterns = find_patterns(panel.select(moving), cells=len(panel.times))
    walk = walk_origins(patterns, origins, horizon=horizon_steps, seed=0)
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


def back_test(
    last: Panel,
    mean: Panel,
    *,
    horizon_steps: int,
    level: float = 0.95,
    forecast: bool = False,
    tick: Callable = lambda items: items,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the verdict on each plan and model, and the windows behind it.

    ``last`` and ``mean`` are the panels of ``history.to_panel`` with ``how`` last and mean over one grid; ``tick``
    wraps the origins for progress; ``forecast`` adds the forecast's own joint paths as a model, which takes minutes. They are cut to where most offers are priced (``_whole``). Windows do not
    overlap and start after the share ``WARM_UP`` of the cells; each forecast uses the cells up to its origin.
    The cost of a window is its mean price, the loss what exceeds the model's expected cost. The spread of the default
    model and of the forecast is adapted to each plan by its own earlier windows, those of the warm-up too, as far as the plan
    spends on series that stand still in most cells: the others have their EWMA volatility.

    Verdict: plan, model, windows, exceedances, the p-values kupiec, independence, conditional, binomial (exact)
    and acerbi_szekely (with z), tick_loss_pct (quantile loss of expected cost + VaR, % of the cost). Windows:
    origin_utc, plan, model, expected_usd, var_usd, cvar_usd, loss_usd, exceeded (USD per hour). Raises
    ParameterError for a level or horizon that cannot be, DataError for fewer than two windows and as
    ``real_plans`` and ``draw_costs``.
    """
    from scipy.stats import binomtest

    if not 0.0 < level < 1.0 or horizon_steps < 1:
        raise ParameterError(
            f"level {level!r} or horizon {horizon_steps!r} cannot be.", "Say 0.95, 1 or more."
        )
    full, last = last, _whole(last)
    first = int(WARM_UP * len(last.times))
    origins = np.arange(first, len(last.times) - horizon_steps, horizon_steps)
    if len(origins) < 2:
        raise DataError(
            f"{len(last.times)} cells hold {len(origins)} windows of {horizon_steps} steps.",
            "Take a shorter horizon or a longer history.",
        )
    plans = real_plans(last, first)
    last = last.select(plans.index.to_numpy())
    within = mean.select(plans.index.to_numpy()).frame().reindex(last.times).to_numpy()
    within = np.where(np.isfinite(within), within, last.price)
    # windows before the first, as far back as there is history enough to forecast them, teach the width
    earlier = np.arange(first, LEAST_STEPS + horizon_steps, -horizon_steps)[:0:-1]
    every, taught = np.concatenate([earlier, origins]), len(earlier)
    came = np.array([within[t + 1 : t + 1 + horizon_steps].mean(axis=0) for t in every])
    hold = plans.to_numpy()
    still = (np.diff(last.price[: first + 1], axis=0) != 0).mean(axis=0) <= 0.5
    spend = last.price[first][:, None] * hold
    standing = (spend * still[:, None]).sum(axis=0) / spend.sum(axis=0)
    models = (*MODELS, *([FORECAST] if forecast else []))
    drawn = {model: np.empty((len(every), len(plans.columns), N_DRAWS)) for model in models}
    if forecast:
        at_full = full.times.get_indexer(last.times[every])
        for i, unit in enumerate(forecast_costs(full, plans.index, at_full, horizon_steps)):
            drawn[FORECAST][i] = (unit @ hold).T
    for i, t in enumerate(tick(every)):
        for model in MODELS:
            unit = draw_costs(last.price[: t + 1], within[: t + 1], horizon_steps, model=model, seed=int(t))
            drawn[model][i] = (unit @ hold).T
    verdicts, windows = [], []
    for model in models:
        for j, plan in enumerate(plans):
            paid = came @ hold[:, j]
            cost = drawn[model][:, j]
            if model in (MODELS[0], FORECAST):
                cost = _adapt(cost, paid, level, GAIN * standing[j])
            expected = cost.mean(axis=1)
            away, loss = cost - expected[:, None], paid - expected
            away, loss, paid, expected = away[taught:], loss[taught:], paid[taught:], expected[taught:]
            at = var(away.T, level).value
            hits = loss > at + 1e-9 * expected  # equal to the last digit is the atom, not beyond it
            independence, conditional = christoffersen(hits, level)
            z, tail = acerbi_szekely(loss, away, level)
            miss = loss - at
            verdicts.append({
                "plan": plan, "model": model, "windows": len(hits), "exceedances": int(hits.sum()),
                "kupiec": kupiec(hits, level), "independence": independence, "conditional": conditional,
                "binomial": binomtest(int(hits.sum()), len(hits), 1.0 - level).pvalue, "z": z,
                "acerbi_szekely": tail,
                "tick_loss_pct": 100 * np.mean((level - (miss <= 0)) * miss) / paid.mean(),
            })  # fmt: skip
            windows.append(pd.DataFrame({
                "origin_utc": last.times[origins], "plan": plan, "model": model, "expected_usd": expected,
                "var_usd": at, "cvar_usd": cvar(away.T, level).value, "loss_usd": loss, "exceeded": hits,
            }))  # fmt: skip
    return pd.DataFrame(verdicts), pd.concat(windows, ignore_index=True)
