"""Tests of VaR and CVaR against what came: coverage, independence, the size of the tail."""

from __future__ import annotations

import numpy as np

from cloudarb_lib.risk.measures import cvar, var


def kupiec(hits: np.ndarray, level: float) -> float:
    """Return the p-value of the proportion of failures.

    Parameters
    ----------
    hits : np.ndarray of shape (windows,)
        Whether the loss was beyond the VaR.
    level : float
        Of the VaR.

    References
    ----------
    Kupiec, Journal of Derivatives 3 (1995).
    """
    from scipy.special import xlog1py, xlogy
    from scipy.stats import chi2

    n = len(hits)
    x = int(np.sum(hits))

    def log_likelihood(rate: float) -> float:
        return xlogy(x, rate) + xlog1py(n - x, -rate)

    return float(chi2.sf(2 * (log_likelihood(x / n) - log_likelihood(1.0 - level)), 1))


def christoffersen(hits: np.ndarray, level: float) -> tuple[float, float]:
    """Return p-values of independence and of conditional coverage.

    A first-order Markov chain against a constant rate; conditional coverage adds Kupiec's
    statistic.

    Parameters
    ----------
    hits : np.ndarray of shape (windows,)
        Whether the loss was beyond the VaR, in the order of time.
    level : float
        Of the VaR.

    References
    ----------
    Christoffersen, International Economic Review 39 (1998).
    """
    from scipy.special import xlogy
    from scipy.stats import chi2

    state = np.asarray(hits, dtype=int)
    transitions = np.zeros((2, 2))
    np.add.at(transitions, (state[:-1], state[1:]), 1)
    counts = np.vstack([transitions, transitions.sum(axis=0)])
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    statistic = max(2 * float(xlogy(counts, share).sum(axis=1) @ [1, 1, -1]), 0.0)
    joint = statistic + chi2.isf(kupiec(hits, level), 1)
    return float(chi2.sf(statistic, 1)), float(chi2.sf(joint, 2))


def acerbi_szekely(losses: np.ndarray, samples: np.ndarray, level: float) -> tuple[float, float]:
    """Return Acerbi and Szekely's second statistic Z and its one-sided p-value.

    Z is the sum of the losses beyond VaR over (windows (1 - level) CVaR), less 1: 0 under the
    model, positive where the tail was underestimated. The p-value redraws each window from its
    samples.

    Parameters
    ----------
    losses : np.ndarray of shape (windows,)
        What came.
    samples : np.ndarray of shape (windows, draws)
        The model's.
    level : float
        Of VaR and CVaR.

    Returns
    -------
    tuple[float, float]
        NaN where a CVaR is not positive, as Z does not exist.

    References
    ----------
    Acerbi and Szekely, Risk (December 2014).
    """
    at = var(samples.T, level).value
    tail = cvar(samples.T, level).value
    if not (tail > 0).all():
        return float("nan"), float("nan")
    weight = 1.0 / (len(losses) * (1.0 - level) * tail)
    z = float((losses * (losses > at)) @ weight - 1.0)
    pick = np.random.default_rng(0).integers(0, samples.shape[1], (len(losses), 2000))
    drawn = np.take_along_axis(samples * (samples > at[:, None]), pick, axis=1)
    return z, float((weight @ drawn - 1.0 >= z).mean())


def power(n: int, level: float = 0.95) -> dict[str, float]:
    """Return how often each test, at 5 %, finds out a wrong model.

    Parameters
    ----------
    n : int
        Number of windows.
    level : float
        Of VaR and CVaR.

    Returns
    -------
    dict[str, float]
        kupiec: the true rate is twice the nominal one (exact). independence and conditional: the
        rate is right, but after an exceedance another follows with probability 0.4. acerbi_szekely:
        normal losses of 1.25 times the spread.
    """
    from scipy.stats import binom, norm

    rate = 1.0 - level
    rng = np.random.default_rng(0)
    rejects = np.array([kupiec(np.arange(n) < x, level) < 0.05 for x in range(n + 1)])
    uniform = rng.random((1000, n))
    chain = uniform < rate
    for i in range(1, n):
        chain[:, i] = uniform[:, i] < np.where(chain[:, i - 1], 0.4, rate * 0.6 / level)
    p_values = [np.array(christoffersen(row, level)) for row in chain]
    rejected = np.mean([p < 0.05 for p in p_values], axis=0)
    at = norm.ppf(level)
    losses = rng.standard_normal((2, 2000, n)) * np.array([1.0, 1.25])[:, None, None]
    z = (losses * (losses > at)).sum(axis=2)
    return {
        "kupiec": float(binom.pmf(np.arange(n + 1), n, 2 * rate) @ rejects),
        "independence": float(rejected[0]),
        "conditional": float(rejected[1]),
        "acerbi_szekely": float((z[1] > np.quantile(z[0], 0.95)).mean()),
    }
