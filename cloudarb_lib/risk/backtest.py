"""Is it true? Rolling VaR and CVaR of plans against the cost that came, and the tests of both."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from cloudarb_lib.errors import DataError
from cloudarb_lib.risk.measures import check_level, cvar, var
from cloudarb_lib.risk.simulate import filtered_paths, normal_paths
from cloudarb_lib.types import Panel, Paths

MODELS: dict[str, Callable[..., Paths]] = {
    "filtered": filtered_paths, "historical": partial(filtered_paths, filtered=False), "normal": normal_paths,
}  # fmt: skip
"""The default model first, then the simple alternatives that it has to beat."""


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

    kupiec: the true rate is twice the nominal one (exact). independence: the rate is right, but after an
    exceedance another follows with probability 0.4. acerbi_szekely: normal losses of 1.25 times the spread.
    """
    from scipy.stats import binom, norm

    rate, rng = 1.0 - level, np.random.default_rng(0)
    found = np.array([kupiec(np.arange(n) < x, level) < 0.05 for x in range(n + 1)])
    u = rng.random((1000, n))
    chain = u < rate
    for i in range(1, n):
        chain[:, i] = u[:, i] < np.where(chain[:, i - 1], 0.4, rate * 0.6 / level)
    at = norm.ppf(level)
    x = rng.standard_normal((2, 2000, n)) * np.array([1.0, 1.25])[:, None, None]
    z = (x * (x > at)).sum(axis=2)
    return {
        "kupiec": float(binom.pmf(np.arange(n + 1), n, 2 * rate) @ found),
        "independence": float(np.mean([christoffersen(row, level)[0] < 0.05 for row in chain])),
        "acerbi_szekely": float((z[1] > np.quantile(z[0], 0.95)).mean()),
    }


def real_plans(panel: Panel, first: int) -> pd.DataFrame:
    """Return plans: instances held, a row per offer used and a column per plan.

    Single machines, one place (region and zone), one machine family over all places, everything that moves, and
    'mixed': half of that beside as much on-demand and committed where the panel has them. Each plan spends
    alike on its offers at their median prices up to cell ``first``. Left out are offers not priced in every cell, copies of another
    offer's prices, and those that had not moved twice by then: a VaR that rests on no move is no forecast.
    """
    moves = (np.diff(panel.price[: first + 1], axis=0) != 0).sum(axis=0)
    whole = np.isfinite(panel.price).all(axis=0) & ~panel.frame().T.duplicated().to_numpy()
    free = (panel.offers["purchase_option"].eq("spot") | panel.offers["price_kind"].eq("market")).to_numpy()
    listed, moving = whole & ~free & (moves < 2), whole & free & (moves >= 2)
    if not moving.any():
        raise DataError(
            "no spot or market offer is priced throughout and moved twice before the first window."
        )
    offers = panel.offers[moving]
    place = (offers["region"].astype(str) + " " + offers["zone"].astype(str)).str.strip()
    masks = {f"machine {i}": offers.index == i for i in offers.index[:: -(-len(offers) // 5)]}
    for kind, values in (("place", place), ("family", offers["instance_type"].str.split("[-.]").str[0])):
        masks |= {f"{kind} {name}": values == name for name in values.value_counts().index[:6]}
    masks["all that moves"] = np.ones(len(offers), dtype=bool)
    even = 1.0 / pd.Series(np.nanmedian(panel.price[: first + 1], axis=0), index=panel.offers.index)
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
    to_the_end = np.logical_and.accumulate(there[::-1])[::-1].sum(axis=1)
    start = int(np.argmax(to_the_end * np.arange(len(there), 0, -1)))
    parts = (getattr(panel, name)[start:] for name in ("price", "available", "state"))
    return Panel(panel.times[start:], panel.step, panel.offers, *parts)


def back_test(panel: Panel, *, horizon_steps: int, warm_up: float = 0.25, level: float = 0.95) -> tuple:
    """Return the verdict on each plan and model, and the windows behind it.

    The panel is cut to where most offers are priced (``_whole``). Windows do not overlap and start after the share ``warm_up`` of the cells; each forecast uses the panel up
    to its origin. The cost of a window is the mean price of its cells, the loss what it exceeds the model's
    expected cost by. Verdict: plan, model, windows, exceedances, the p-values kupiec, independence,
    conditional, binomial (exact) and acerbi_szekely (with z), tick_loss_pct (quantile loss of expected cost +
    VaR, % of the cost). Windows: origin_utc, plan, model, expected_usd, var_usd, cvar_usd, loss_usd, exceeded
    (USD per hour). Raises DataError for fewer than two windows, and as ``real_plans`` and the simulators.
    """
    from scipy.stats import binomtest

    check_level(level)
    panel = _whole(panel)
    first = int(warm_up * len(panel.times))
    origins = range(first, len(panel.times) - horizon_steps, horizon_steps)
    if len(origins) < 2:
        raise DataError(
            f"{len(panel.times)} cells hold {len(origins)} windows of {horizon_steps} steps.",
            "Take a shorter horizon or a longer history.",
        )  # fmt: skip
    plans = real_plans(panel, first)
    panel = panel.select(plans.index.to_numpy())
    verdicts, windows = [], []
    for name, model in MODELS.items():
        known = ((t, panel.until(panel.times[t])) for t in origins)
        unit = [model(p, horizon_steps=horizon_steps, n_paths=2000, seed=t).values[:, :, 0] for t, p in known]
        came = np.array([panel.price[t + 1 : t + 1 + horizon_steps].mean(axis=0) for t in origins])
        for plan in plans:
            hold = plans[plan].to_numpy()
            cost = np.array([hold @ u for u in unit])
            expected = cost.mean(axis=1)
            drawn, loss = cost - expected[:, None], came @ hold - expected
            at = var(drawn.T, level).value
            hits = loss > at + 1e-9 * expected  # equal to the last digit is the atom, not beyond it
            independence, conditional = christoffersen(hits, level)
            z, tail = acerbi_szekely(loss, drawn, level)
            miss = loss - at
            verdicts.append({
                "plan": plan, "model": name, "windows": len(hits), "exceedances": int(hits.sum()),
                "kupiec": kupiec(hits, level), "independence": independence, "conditional": conditional,
                "binomial": binomtest(int(hits.sum()), len(hits), 1.0 - level).pvalue, "z": z,
                "acerbi_szekely": tail,
                "tick_loss_pct": 100 * np.mean((level - (miss <= 0)) * miss) / (came @ hold).mean(),
            })  # fmt: skip
            windows.append(pd.DataFrame({
                "origin_utc": panel.times[list(origins)], "plan": plan, "model": name, "expected_usd": expected,
                "var_usd": at, "cvar_usd": cvar(drawn.T, level).value, "loss_usd": loss, "exceeded": hits,
            }))  # fmt: skip
    return pd.DataFrame(verdicts), pd.concat(windows, ignore_index=True)
