"""Every registered member keeps the rules of members; each rule catches one that breaks it."""

import numpy as np
import pytest

from cloudarb_lib import testing
from cloudarb_lib.forecast.member import Member, no_change
from cloudarb_lib.forecast.members import MEMBERS
from cloudarb_lib.testing import check_member

pytestmark = pytest.mark.fit

MARKS = {"lstm": [pytest.mark.members, pytest.mark.long]}
"""The network is trained anew for every rule: half a minute. Its own tests have the same rules."""
EVERY = [
    pytest.param(
        member, id=name, marks=MARKS.get(name, [pytest.mark.members] if member.slow else [])
    )
    for name, member in MEMBERS.items()
]


@pytest.mark.parametrize("member", EVERY)
def test_the_member_keeps_every_rule(member):
    check_member(member)


def peeks(task):
    """The truth where it is known."""
    return np.nan_to_num(task.truth())


def learns_from_the_future(task):
    """The mean step of all cells, those after the origin too."""
    step = task.price_steps.mean() * np.arange(1, task.horizon + 1)
    return no_change(task) + step


def forgets_the_steps(task):
    return no_change(task)[..., 0]


def passes_on_what_is_missing(task):
    level = task.log_price[task.origins]
    before = task.log_price[np.maximum(task.origins - 1, 0)]
    return no_change(task) + (level - before)[..., None]


def speaks_without_a_price(task):
    return no_change(task) + 0.1 * ~np.isfinite(task.log_price).any()


def needs_two_series(task):
    if task.log_price.shape[1] < 2:
        raise ValueError("no neighbour")
    return no_change(task)


def needs_two_cells(task):
    step = np.nan_to_num(task.price_steps)
    return no_change(task) + 0 * np.diff(step, axis=0)[0][:, None]


def always_rises(task):
    is_priced = np.isfinite(task.log_price).any()
    return no_change(task) + 0.01 * is_priced


@pytest.mark.parametrize(
    ("forecast", "rule"),
    [
        (peeks, "prices after an origin change what it says there"),
        (learns_from_the_future, "prices after an origin change what it says there"),
        (forgets_the_steps, r"shape \(6, 8\), not \(6, 8, 4\)"),
        (passes_on_what_is_missing, "missing prices of a weekly list: a number is not finite"),
        (speaks_without_a_price, "it says a change without a price"),
        (always_rises, "constant prices change by 0.01"),
    ],
)
def test_a_member_that_breaks_a_rule_is_caught(forecast, rule):
    with pytest.raises(AssertionError, match=f"toy, .*{rule}"):
        check_member(Member("toy", forecast))


@pytest.mark.parametrize("forecast", [needs_two_series, needs_two_cells])
def test_a_member_that_fails_on_one_series_is_caught(forecast):
    toy = Member("toy", forecast)
    testing.check_member_ignores_future(toy)  # elsewhere it does well
    with pytest.raises((ValueError, IndexError)):
        check_member(toy)
