"""Risk measures on samples, each with its sampling error.

Samples are losses: positive is bad. An axis of paths comes first, (n,) or (n, k); every path weighs
the same. A missing or infinite sample is refused, never skipped: dropping the paths that failed
would drop the worst ones. The standard errors are those of n independent paths; paths from
antithetic or quasi-random draws do better than they say.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.measures import quantile_rank, var_and_cvar

BATCHES = 20
"""Interleaved batches of paths whose spread is the error of an increment."""


class Estimate(NamedTuple):
    """A measure and its standard error: floats, or arrays of shape (k,), in the samples' unit.

    The standard error is NaN where the samples do not reach the tail (n (1 - level) < 1).
    """

    value: Any
    standard_error: Any


def _checked(losses: np.ndarray, level: float) -> np.ndarray:
    """Return the samples as floats; refuse those, and levels, that cannot be."""
    samples = np.asarray(losses, dtype=float)
    if samples.ndim not in (1, 2) or len(samples) == 0:
        raise DataError(f"samples have shape {samples.shape}.", "Give (n,) or (n, offers), n >= 1.")
    if not np.isfinite(samples).all():
        bad = (~np.isfinite(samples)).sum()
        raise DataError(
            f"{bad} of {samples.size} samples are missing or infinite.",
            "Find out why those paths failed; they are not left out.",
        )
    if not 0.0 < level < 1.0:
        raise ParameterError(f"level {level!r} is not inside (0, 1).", "Write 95 % as 0.95.")
    return samples


def var(losses: np.ndarray, level: float = 0.95) -> Estimate:
    """Return value-at-risk, as of ``base.measures.value_at_risk``.

    Parameters
    ----------
    losses : np.ndarray of shape (n,) or (n, k)
        Samples, one a path.
    level : float
        Inside (0, 1).

    Returns
    -------
    Estimate
        Its standard error is half the distance between the order statistics one binomial standard
        deviation either side, which needs no density and is 0 on an atom.

    Raises
    ------
    DataError, ParameterError
        For samples that are none, missing or infinite, and a level outside (0, 1).

    References
    ----------
    David and Nagaraja, Order Statistics, 3rd ed. (2003), section 7.1.
    """
    ordered = np.sort(_checked(losses, level), axis=0)
    n = len(ordered)
    spread = np.sqrt(n * level * (1.0 - level))
    low = int(np.floor(n * level - spread)) - 1
    high = int(np.ceil(n * level + spread))
    error = (ordered[min(high, n - 1)] - ordered[max(low, 0)]) / 2.0
    if n * (1.0 - level) < 1.0:
        error = error * np.nan
    return Estimate(ordered[quantile_rank(n, level)], error)


def cvar(losses: np.ndarray, level: float = 0.95) -> Estimate:
    """Return conditional value-at-risk, as of ``base.measures.conditional_value_at_risk``.

    Parameters
    ----------
    losses : np.ndarray of shape (n,) or (n, k)
        Samples, one a path.
    level : float
        Inside (0, 1).

    Returns
    -------
    Estimate
        Its standard error is the asymptotic sqrt((tail variance + level (CVaR - VaR)^2) /
        (n (1 - level))).

    Raises
    ------
    DataError, ParameterError
        As ``var``.

    References
    ----------
    Manistre and Hancock, North American Actuarial Journal 9 (2005).
    """
    samples = _checked(losses, level)
    tail = 1.0 - level
    at, value = var_and_cvar(samples, level)
    excess = np.maximum(samples - at, 0.0)
    error = excess.std(axis=0) / (tail * np.sqrt(len(samples)))
    if len(samples) * tail < 1.0:
        error = error * np.nan
    return Estimate(value, error)


def mean(samples: np.ndarray) -> Estimate:
    """Return the mean of the samples, with its standard error."""
    return Estimate(samples.mean(axis=0), samples.std(axis=0) / np.sqrt(len(samples)))


def probability_over(costs: np.ndarray, budget_usd: float) -> Estimate:
    """Return the share of paths above a budget, with its binomial standard error.

    Parameters
    ----------
    costs : np.ndarray of shape (n,) or (n, k)
        Costs, not increases, in the unit of the budget.
    budget_usd : float
        The budget.

    Returns
    -------
    Estimate
        The error uses Agresti and Coull's two added successes and failures, so that 0 of n does not
        read as certain.
    """
    samples = _checked(costs, 0.5)
    n = len(samples)
    over = (samples > budget_usd).mean(axis=0)
    adjusted = (over * n + 2.0) / (n + 4.0)
    return Estimate(over, np.sqrt(adjusted * (1.0 - adjusted) / (n + 4.0)))


def _components_and_total(
    components: np.ndarray, level: float, total: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the samples by component and in total, checked; without a total their sum."""
    by_component = _checked(components, level)
    if total is None:
        return by_component, by_component.sum(axis=1)
    in_total = _checked(total, level)
    if in_total.shape != (len(by_component),):
        raise DataError(
            f"a total of shape {in_total.shape} is not one of {len(by_component)} samples."
        )
    return by_component, in_total


def component_cvar(
    components: np.ndarray, level: float = 0.95, *, total: np.ndarray | None = None
) -> Estimate:
    """Return what each column brings to the total's CVaR.

    Euler allocation: the mean of the component over the tail of the sum. The results add up to
    ``cvar`` of the sum. Paths at the VaR share what the paths above it leave, so their order does
    not matter. Sum the columns of a provider, region or GPU first to have theirs.

    Parameters
    ----------
    components : np.ndarray of shape (n, k)
        Samples by component.
    level : float
        Inside (0, 1).
    total : np.ndarray of shape (n,), optional
        The sum of something else than ``components``: for unit prices (n, k) and the total of a
        plan the result is the marginal CVaR, USD of CVaR per unit more of each offer, held or not.

    Returns
    -------
    Estimate
        Arrays of shape (k,). The standard error takes the component at the VaR from the root-n
        paths on either side.

    References
    ----------
    Tasche, Capital allocation to business units and sub-portfolios (2007). Acerbi and Tasche
    (2002). Hong and Liu, Management Science 55 (2009), for the error.
    """
    by_component, in_total = _components_and_total(components, level, total)
    n = len(by_component)
    rank = quantile_rank(n, level)
    near = int(np.sqrt(n))
    order = np.argsort(in_total)
    at = in_total[order[rank]]
    weights = (in_total > at) / (n * (1.0 - level))
    weights[in_total == at] = (1.0 - weights.sum()) / (in_total == at).sum()
    at_var = by_component[order[max(rank - near, 0) : rank + near + 1]].mean(axis=0)
    excess = np.where((in_total >= at)[:, None], by_component - at_var, 0.0)
    error = excess.std(axis=0) / ((1.0 - level) * np.sqrt(n))
    return Estimate(weights @ by_component, error)


def component_var(
    components: np.ndarray, level: float = 0.95, *, total: np.ndarray | None = None
) -> Estimate:
    """Return what each column brings to the total's VaR.

    Euler allocation: the mean of the component given that the total is at its VaR, by a triangular
    kernel on the paths around it, as wide as n^0.8 paths reach or half the tail. The fit is locally
    linear, which makes the results add up to ``var`` of the sum.

    Parameters
    ----------
    components : np.ndarray of shape (n, k)
        Samples by component.
    level : float
        Inside (0, 1).
    total : np.ndarray of shape (n,), optional
        As in ``component_cvar``: the result is the marginal VaR.

    Returns
    -------
    Estimate
        Arrays of shape (k,). The standard error is the spread about the line, and the error of the
        VaR along it.

    References
    ----------
    Tasche (2007). Epperlein and Smillie, Risk (August 2006), for the kernel. Fan and Gijbels, Local
    Polynomial Modelling (1996).
    """
    by_component, in_total = _components_and_total(components, level, total)
    n = len(by_component)
    at, error = var(in_total, level)
    ordered = np.sort(in_total)
    rank = quantile_rank(n, level)
    reach = max(min(int(n**0.8 / 2), rank, (n - 1 - rank) // 2), 1)
    width = (ordered[min(rank + reach, n - 1)] - ordered[max(rank - reach, 0)]) / 2.0
    near = np.abs(in_total - at) <= width
    weight = 1.0 - np.abs(in_total[near] - at) / width if width > 0 else np.ones(near.sum())
    weight /= weight.sum()
    # the weighted line of each component over the total
    response = by_component[near]
    centre = weight @ in_total[near]
    distance = in_total[near] - centre
    mean_response = weight @ response
    spread = weight @ distance**2
    if spread > (1e-9 * np.abs(ordered).max()) ** 2:
        slope = (weight * distance) @ response / spread
    else:
        slope = 0.0 * mean_response
    residual = response - mean_response - np.outer(distance, slope)
    return Estimate(
        mean_response + slope * (at - centre),
        np.sqrt(weight**2 @ residual**2 + (slope * error) ** 2),
    )


def incremental(components: np.ndarray, level: float = 0.95) -> Estimate:
    """Return how much of the total's CVaR goes when each column goes whole.

    Unlike components these do not add up: what diversifies counts once for each.

    Parameters
    ----------
    components : np.ndarray of shape (n, k)
        Samples by component.
    level : float
        Inside (0, 1).

    Returns
    -------
    Estimate
        Arrays of shape (k,). The standard error is the spread over 20 interleaved batches of paths,
        so that both sides of the difference see the same paths; NaN where a batch does not reach
        the tail.

    References
    ----------
    Jorion, Value at Risk (2007), section 7.2.
    """
    samples = _checked(components, level)

    def cvar_gone(rows: np.ndarray) -> np.ndarray:
        total = rows.sum(axis=1)
        return cvar(total, level).value - cvar(total[:, None] - rows, level).value

    if len(samples) * (1.0 - level) < BATCHES:
        return Estimate(cvar_gone(samples), np.full(samples.shape[1], np.nan))
    batches = np.array([cvar_gone(samples[b::BATCHES]) for b in range(BATCHES)])
    return Estimate(cvar_gone(samples), batches.std(axis=0, ddof=1) / np.sqrt(BATCHES))


def liquidity(unmet: np.ndarray, wanted: float, level: float = 0.95) -> dict[str, Estimate]:
    """Return what share of the hours wanted a plan leaves unmet.

    Parameters
    ----------
    unmet : np.ndarray of shape (n,)
        Hours unmet by path, in the unit of ``wanted``, such as GPU-hours.
    wanted : float
        Hours that the plan has to serve, above 0.
    level : float
        Inside (0, 1).

    Returns
    -------
    dict[str, Estimate]
        ``probability`` of any unmet at all; ``mean``, ``var`` and ``cvar`` as shares of ``wanted``.

    Raises
    ------
    ParameterError
        Where nothing is wanted.
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
