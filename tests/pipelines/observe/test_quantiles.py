"""Quantiles of a histogram lie in the class where the observations are."""

import math

import numpy as np
import pytest

from pipelines.observe.described import LATENCY_SHARES
from pipelines.observe.metrics import LATENCY_S
from pipelines.observe.quantiles import quantile


@pytest.mark.parametrize("share", LATENCY_SHARES)
def test_a_quantile_is_off_by_a_class_at_most(share):
    seconds = np.random.default_rng(3).lognormal(-6.0, 1.2, 50_000)
    ends = [*LATENCY_S, math.inf]
    counts = {end: float((seconds <= end).sum()) for end in ends}
    true_s = np.quantile(seconds, share)
    upper = next(k for k, end in enumerate(ends) if end >= true_s)
    assert ends[upper - 1] <= quantile(counts, share) <= ends[upper]


def test_inside_a_class_it_is_linear():
    assert quantile({1.0: 0.0, 3.0: 10.0, math.inf: 10.0}, 0.5) == 2.0
    assert quantile({1.0: 10.0, math.inf: 10.0}, 0.1) == pytest.approx(0.1)


def test_beyond_the_last_end_it_is_at_least_that():
    assert quantile({1.0: 1.0, math.inf: 10.0}, 0.99) == 1.0


@pytest.mark.parametrize("counts", [{}, {1.0: 0.0, math.inf: 0.0}])
def test_of_nothing_it_is_not_known(counts):
    assert math.isnan(quantile(counts, 0.5))
