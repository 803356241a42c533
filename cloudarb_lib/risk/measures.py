"""Risk measures: plain functions on samples, each with its sampling error.

Samples are losses: positive is bad. An axis of paths comes first, (n,) or (n, k); every path weighs the same.
A missing or infinite sample is refused, never skipped: dropping the paths that failed would drop the worst
ones. The standard errors are those of n independent paths; paths from antithetic or quasi-random draws do
better than they say.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.measures import conditional_value_at_risk, quantile_rank, value_at_risk

BATCHES = 20


class Estimate(NamedTuple):
    """A measure and its standard error: floats, or arrays of shape (k,), in the samples' unit.

    The standard error is NaN where the samples do not reach the tail (n (1 - level) < 1).
    """

    value: Any
    standard_error: Any


def _checked(losses: np.ndarray, level: float) -> np.ndarray:
    x = np.asarray(losses, dtype=float)
    if x.ndim not in (1, 2) or len(x) == 0:
        raise DataError(f"samples have shape {x.shape}.", "Give (n,) or (n, offers), n >= 1.")
    if not np.isfinite(x).all():
        way_out = "Find out why those paths failed; they are not left out."
        raise DataError(
            f"{(~np.isfinite(x)).sum()} of {x.size} samples are missing or infinite.", way_out
        )
    if not 0.0 < level < 1.0:
        raise ParameterError(f"level {level!r} is not inside (0, 1).", "Write 95 % as 0.95.")
    return x


def var(losses: np.ndarray, level: float = 0.95) -> Estimate:
    """Return value-at-risk, as of ``base.measures.value_at_risk``, with its standard error.

    Standard error: half the distance between the order statistics one binomial standard deviation either
    side, which needs no density and is 0 on an atom (David and Nagaraja, Order Statistics, 3rd ed. 2003,
    section 7.1).
    """
    x = np.sort(_checked(losses, level), axis=0)
    n = len(x)
    spread = np.sqrt(n * level * (1.0 - level))
    low, high = int(np.floor(n * level - spread)) - 1, int(np.ceil(n * level + spread))
    error = (x[min(high, n - 1)] - x[max(low, 0)]) / 2.0
    at = value_at_risk(x, level)
    return Estimate(at, error if n * (1.0 - level) >= 1.0 else error * np.nan)


def cvar(losses: np.ndarray, level: float = 0.95) -> Estimate:
    """Return conditional value-at-risk, as of ``base.measures.conditional_value_at_risk``, with its standard error.

    Standard error: the asymptotic sqrt((tail variance + level (CVaR - VaR)^2) / (n (1 - level))) of Manistre and
    Hancock (North American Actuarial Journal 9, 2005).
    """
    x, tail = _checked(losses, level), 1.0 - level
    excess = np.maximum(x - value_at_risk(x, level), 0.0)
    error = excess.std(axis=0) / (tail * np.sqrt(len(x)))
    value = conditional_value_at_risk(x, level)
    return Estimate(value, error if len(x) * tail >= 1.0 else error * np.nan)


def mean(samples: np.ndarray) -> Estimate:
    """Return the mean of the samples, with its standard error."""
    return Estimate(samples.mean(axis=0), samples.std(axis=0) / np.sqrt(len(samples)))


def probability_over(costs: np.ndarray, budget_usd: float) -> Estimate:
    """Return the share of paths above ``budget_usd``, with its binomial standard error.

    ``costs`` are costs, not increases. The error uses Agresti and Coull's two added successes and failures,
    so that 0 of n does not read as certain.
    """
    x = _checked(costs, 0.5)
    over = (x > budget_usd).mean(axis=0)
    softened = (over * len(x) + 2.0) / (len(x) + 4.0)
    return Estimate(over, np.sqrt(softened * (1.0 - softened) / (len(x) + 4.0)))


def _total(
    parts: np.ndarray, level: float, total: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    x = _checked(parts, level)
    whole = x.sum(axis=1) if total is None else _checked(total, level)
    if whole.shape != (len(x),):
        raise DataError(f"a total of shape {whole.shape} is not one of {len(x)} samples.")
    return x, whole


def component_cvar(
    parts: np.ndarray, level: float = 0.95, *, total: np.ndarray | None = None
) -> Estimate:
    """Return the part of the total's CVaR that each column of ``parts`` (n, k) brings, (k,).

    Euler allocation: the mean of the part over the tail of the sum (Tasche, Capital Allocation to Business
    Units, 2007); the components add up to ``cvar`` of the sum exactly. Paths at the VaR share what the paths
    above it leave (Acerbi and Tasche 2002), so their order does not matter. Standard error: Hong and Liu,
    Management Science 55 (2009), with the part at the VaR taken from the root-n paths on either side.

    With ``total`` (n,) the sum of something else than ``parts``: for unit prices (n, k) and the total of a
    plan this is the marginal CVaR, USD of CVaR per unit more of each offer, held or not. Sum the columns of a
    provider, region or GPU first to have theirs.
    """
    x, total = _total(parts, level, total)
    n = len(x)
    rank, near = quantile_rank(n, level), int(np.sqrt(n))
    order = np.argsort(total)
    at = total[order[rank]]
    weights = (total > at) / (n * (1.0 - level))
    weights[total == at] = (1.0 - weights.sum()) / (total == at).sum()
    at_var = x[order[max(rank - near, 0) : rank + near + 1]].mean(axis=0)
    excess = np.where((total >= at)[:, None], x - at_var, 0.0)
    return Estimate(weights @ x, excess.std(axis=0) / ((1.0 - level) * np.sqrt(n)))


def component_var(
    parts: np.ndarray, level: float = 0.95, *, total: np.ndarray | None = None
) -> Estimate:
    """Return the part of the total's VaR that each column of ``parts`` (n, k) brings, (k,).

    Euler allocation: the mean of the part given that the total is at its VaR (Tasche 2007), by a triangular
    kernel on the paths around it (Epperlein and Smillie, Risk, August 2006), as wide as n^0.8 paths reach or half
    the tail. The fit is locally linear (Fan and Gijbels 1996), which makes the components add up to ``var`` of
    the sum exactly. Standard error: the spread about that line, and the error of the VaR along it. ``total`` as
    in ``component_cvar``: the marginal VaR.
    """
    x, total = _total(parts, level, total)
    n, (at, error), ordered = len(x), var(total, level), np.sort(total)
    rank = quantile_rank(n, level)
    reach = max(min(int(n**0.8 / 2), rank, (n - 1 - rank) // 2), 1)
    width = (ordered[min(rank + reach, n - 1)] - ordered[max(rank - reach, 0)]) / 2.0
    near = np.abs(total - at) <= width
    weight = 1.0 - np.abs(total[near] - at) / width if width > 0 else np.ones(near.sum())
    weight /= weight.sum()
    y, middle = x[near], weight @ total[near]
    away, mean = total[near] - middle, weight @ y
    spread = weight @ away**2
    slope = (
        (weight * away) @ y / spread if spread > (1e-9 * np.abs(ordered).max()) ** 2 else 0.0 * mean
    )
    residual = y - mean - np.outer(away, slope)
    return Estimate(
        mean + slope * (at - middle), np.sqrt(weight**2 @ residual**2 + (slope * error) ** 2)
    )


def incremental(parts: np.ndarray, level: float = 0.95) -> Estimate:
    """Return how much of the total's CVaR goes when each column of ``parts`` (n, k) goes whole, (k,).

    Unlike components these do not add up: what diversifies counts once for each (Jorion, Value at Risk, 2007,
    section 7.2). Standard error: the spread over 20 interleaved batches of paths, so that both sides of the
    difference see the same paths; NaN where a batch does not reach the tail.
    """
    x = _checked(parts, level)

    def gone(rows: np.ndarray) -> np.ndarray:
        total = rows.sum(axis=1)
        return cvar(total, level).value - cvar(total[:, None] - rows, level).value

    if len(x) * (1.0 - level) < BATCHES:
        return Estimate(gone(x), np.full(x.shape[1], np.nan))
    batches = np.array([gone(x[b::BATCHES]) for b in range(BATCHES)])
    return Estimate(gone(x), batches.std(axis=0, ddof=1) / np.sqrt(BATCHES))


def liquidity(unmet: np.ndarray, wanted: float, level: float = 0.95) -> dict[str, Estimate]:
    """Return what share of the ``wanted`` hours a plan leaves unmet: ``probability``, ``mean``, ``var``, ``cvar``.

    ``unmet`` (n,) and ``wanted`` are in one unit, as GPU-hours; ``probability`` is that of any unmet at all,
    the others are shares of what is wanted. Raises ParameterError where nothing is wanted.
    """
    if not 0.0 < wanted < np.inf:
        raise ParameterError(
            f"wanted is {wanted!r}.", "Give the hours that the plan has to serve, above 0."
        )
    share = _checked(unmet, level) / wanted
    return {
        "probability": probability_over(share, 0.0),
        "mean": mean(share),
        "var": var(share, level),
        "cvar": cvar(share, level),
    }
