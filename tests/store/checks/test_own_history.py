"""A list price beside those before it: what comes back was an error, what falls by half is held."""

from __future__ import annotations

import pytest

from cloudarb_lib.store.checks.judge import judge
from cloudarb_lib.store.checks.own_history import FELL, REVERTED
from cloudarb_lib.testing import found_wrong, quotes

NAN = float("nan")
LISTED = "gcp/us//m/on_demand/"
SPOT = "gcp/us//m/spot/"


def history(*pairs: tuple[float, float], offer: str = LISTED, **more):
    """(day, price) pairs of one machine without a GPU."""
    return quotes(*((offer, 0, day, price) for day, price in pairs), gpu_model=None, **more)


def days(*frames, kind: str) -> dict[float, float]:
    """Day from which each price is wrong, by its own day."""
    return {day: since for (_, day), since in found_wrong(*frames, kind).items()}


@pytest.mark.parametrize(
    ("pairs", "flagged"),
    [
        ([(0, 10), (1, 2), (2, 10)], {1: 2}),  # down and back
        ([(0, 10), (1, 16), (2, 10.5)], {1: 2}),  # up and back, nearly
        ([(0, 10), (1, 5.1), (2, 10)], {}),  # not by more than half
        ([(0, 10), (1, 2), (4.1, 10)], {}),  # back too late
        ([(0, 10), (1, 2), (2, 8.9)], {}),  # back not near enough
        ([(0, 10), (1, 2), (1.5, 3), (2, 10)], {1: 2, 1.5: 2}),  # in several steps
        (
            [(0, 10), (1, 2), (2, 10), (2.5, 2), (3, 10)],
            {1: 2, 2.5: 3},
        ),  # the good one between stays
        ([(0, 10), (1, NAN), (2, 10)], {}),  # withdrawn is no jump
        ([(0, 10), (1, 2), (1.5, NAN), (2, 10)], {1: 2}),
        ([(0, 2), (1, 10), (2, 10.1)], {}),  # a step stays
    ],
)
def test_a_jump_that_reverts_is_flagged_from_its_return_on(pairs, flagged) -> None:
    assert days(*history(*pairs), kind=REVERTED) == flagged


@pytest.mark.parametrize(
    ("pairs", "flagged"),
    [
        ([(0, 10), (30, 4.9)], {30: 30}),
        ([(0, 10), (30, 5.1)], {}),
        ([(0, 10), (30, 5.6), (60, 3)], {}),  # AWS cut by 44 % in June 2025
        ([(0, 10), (30, 4), (60, 3.9)], {30: 30, 60: 60}),  # what follows at that level too
        ([(0, 10), (30, 4), (60, 6), (90, 2.9)], {30: 30, 90: 90}),  # a good one between
        ([(0, 10), (30, NAN), (60, 4)], {60: 60}),  # withdrawn, and back as something else
        ([(0, 10), (1, 25), (2, 10)], {}),  # the jump up was the error
        ([(0, 10), (30, 25), (90, 10)], {90: 90}),
        ([(0, 10), (1, 2), (2, 10.5), (3, 2)], {1: 1, 3: 3}),  # an error twice is no return
    ],
)
def test_a_list_price_that_falls_by_more_than_half_is_held_when_it_is_seen(pairs, flagged) -> None:
    assert days(*history(*pairs), kind=FELL) == flagged


def test_a_fall_says_from_what_and_when() -> None:
    found = judge(*history((0, 10), (30, 4)))
    assert found["detail"].tolist() == [
        "4.00 USD/h is 60% less than the 10.00 of 1970-01-01: a list price that falls by more than"
        " half is held until somebody confirms it."
    ]


def test_a_released_price_and_what_follows_it_is_good() -> None:
    prices = [(0, 10), (30, 4), (60, 3.9), (90, 3.8)]
    assert set(days(*history(*prices, released={(LISTED, 30): 70}), kind=FELL)) == {30, 60}
    assert set(days(*history(*prices, released={(LISTED, 30): 60}), kind=FELL)) == {30}


def test_a_correction_of_the_same_time_is_judged_and_a_backfill_is_not() -> None:
    corrected = quotes((LISTED, 0, 1, 10), (LISTED, 0, 1, 0.1, 3), gpu_model=None)
    assert found_wrong(*corrected, FELL) == {(LISTED, 1): 3}
    backfilled = quotes((LISTED, 0, 1, 10), (LISTED, 0, 0, 0.1, 3), gpu_model=None)
    assert not found_wrong(*backfilled, FELL)


@pytest.mark.parametrize(
    ("on_demand", "is_held"), [(40, False), (90, True), (NAN, True), (None, True)]
)
def test_a_spot_list_may_fall_within_the_discounts_that_providers_state(on_demand, is_held) -> None:
    listed = [(LISTED, 0, 0, on_demand)] if on_demand else []
    frames = quotes(*listed, (SPOT, 0, 0, 12), (SPOT, 0, 30, 4), gpu_model=None)
    assert set(found_wrong(*frames, FELL)) == ({(SPOT, 30)} if is_held else set())


def test_a_zonal_spot_price_stands_beside_the_regional_one_on_demand() -> None:
    zonal = "gcp/us/us-a/m/spot/"
    frames = quotes((LISTED, 0, 0, 40), (zonal, 0, 0, 12), (zonal, 0, 30, 4), gpu_model=None)
    assert not found_wrong(*frames, FELL)


def test_spikes_of_a_market_are_real() -> None:
    rows = [(0, 8), (1, 17.6), (2, 8.2), (5, 19), (6, 8.1), (7, 1)]
    offer = "vast/us//h100x8/spot/"
    assert days(*history(*rows, offer=offer), kind=REVERTED) == {1: 2, 5: 6}
    assert judge(*history(*rows, offer=offer, markets=["vast"])).empty
