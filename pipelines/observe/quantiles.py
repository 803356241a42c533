"""Quantiles of a histogram of Prometheus, as its own ``histogram_quantile`` tells them."""

from __future__ import annotations

import math
from collections.abc import Mapping


def quantile(counts: Mapping[float, float], share: float) -> float:
    """Return the value below which a share of all observations lies.

    Parameters
    ----------
    counts : mapping of float to float
        Upper end of each class (the last is infinite), and how many observations are at or below.
    share : float
        In (0, 1).

    Returns
    -------
    float
        In the unit of the ends, linear inside a class. Where it lies in the last class, that
        class's lower end: it is at least so much. NaN without observations.

    References
    ----------
    https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile
    """
    ends = sorted(counts)
    if not ends or counts[ends[-1]] == 0:
        return math.nan
    rank = share * counts[ends[-1]]
    position = next(k for k, end in enumerate(ends) if counts[end] >= rank)
    lower = ends[position - 1] if position else 0.0
    below = counts[lower] if position else 0.0
    if math.isinf(ends[position]):
        return lower
    inside = (rank - below) / (counts[ends[position]] - below)
    return lower + (ends[position] - lower) * inside
