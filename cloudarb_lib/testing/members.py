"""What any member of the forecast must hold to."""

from __future__ import annotations

import numpy as np

from cloudarb_lib.testing.forecasts import a_task, damaged, spiking, stepping

STILL_LOG = 0.005
"""A change below it is none: a forecast of constant prices stays within it."""


GRIDS = {"a weekly list": 1, "an hourly market": 24}
"""Cells a day of the grids on which members are checked."""


def tasks_by_grid(price, origins):
    """The same prices as those of a list by the week, and of a market by the hour."""
    groups = np.arange(price.shape[1]) % 2
    return {
        grid: a_task(price, groups, origins, cells_per_day=cells_per_day)
        for grid, cells_per_day in GRIDS.items()
    }


def check_member(member):
    """Raise AssertionError, with the rule, where a member of the forecast breaks one.

    The future does not matter; answers have their shapes and are finite; prices may be missing; one
    series is enough; constant prices stay. On a weekly list and on an hourly market.
    """
    check_member_ignores_future(member)
    check_member_takes_missing_prices(member)
    check_member_takes_one_series(member)
    check_member_keeps_constant_prices(member)


def answer_of(member, task, what):
    """The answer of a member, after a look at its shapes and numbers."""
    answer = member.forecast(task)
    shape = (len(task.origins), task.log_price.shape[1], task.horizon)
    assert answer.shape == shape, f"{member.name}, {what}: shape {answer.shape}, not {shape}"
    assert np.isfinite(answer).all(), f"{member.name}, {what}: a number is not finite"
    return answer


def check_member_ignores_future(member):
    """Prices that change after an origin change nothing there, nor does asking again."""
    records = {
        "a weekly list": stepping(times=100, series=8),
        "an hourly market": spiking(times=210),
    }
    rng = np.random.default_rng(0)
    for grid, price in records.items():
        origins = len(price) - np.array([16, 12, 9, 8, 5, 2])
        cut = origins[3]
        other = price.copy()
        other[cut + 1 :] *= np.exp(rng.normal(0, 0.5, other[cut + 1 :].shape))
        asked = {"groups": np.arange(price.shape[1]) % 2, "cells_per_day": GRIDS[grid]}
        one, two = (
            answer_of(member, a_task(each, origins=origins, **asked), grid)
            for each in (price, other)
        )
        here = origins <= cut
        is_same = np.allclose(one[here], two[here], rtol=0, atol=1e-9)
        assert is_same, f"{member.name}, {grid}: prices after an origin change what it says there"


def check_member_takes_missing_prices(member):
    """One price, a gap of months, withdrawn, never priced, new at the end: the answer is finite."""
    for grid, task in tasks_by_grid(damaged().price, np.arange(60, 110, 7)).items():
        answer_of(member, task, f"missing prices of {grid}")
    for grid, task in tasks_by_grid(np.full((30, 2), np.nan), np.array([29])).items():
        answer = answer_of(member, task, f"no price of {grid}")
        assert not answer.any(), f"{member.name}, {grid}: it says a change without a price"


def check_member_takes_one_series(member):
    """One series is enough, and one cell of it."""
    for cells, origins in ((90, [60, 70, 89]), (1, [0])):
        for grid, task in tasks_by_grid(stepping(times=cells, series=1), origins).items():
            answer_of(member, task, f"{cells} cells of one series of {grid}")


def check_member_keeps_constant_prices(member):
    """Prices that never moved are forecast to stay."""
    price = np.ones((120, 3)) * [1.0, 5.0, 40.0]
    for grid, task in tasks_by_grid(price, np.arange(90, 120, 9)).items():
        largest = np.abs(answer_of(member, task, f"constant prices of {grid}")).max()
        assert largest < STILL_LOG, f"{member.name}, {grid}: constant prices change by {largest:g}"
