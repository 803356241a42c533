"""One price for 1, 2, 4 and 8 GPUs of a machine family is a price per GPU."""

from __future__ import annotations

import pytest

from cloudarb_lib.store.checks.judge import judge
from cloudarb_lib.store.checks.sizes import ONE_PRICE
from cloudarb_lib.testing import found_wrong, quotes


def family(*sizes: tuple[float, float], days=(), provider="renter", **more):
    """(GPUs, price) pairs of machines of one family."""
    seen = days or [0] * len(sizes)
    rows = [
        (f"{provider}/us//x{gpus}/on_demand/", gpus, day, price)
        for (gpus, price), day in zip(sizes, seen, strict=True)
    ]
    return quotes(*rows, **more)


def held(*frames) -> dict[str, float]:
    """Day since which a machine is held, by machine."""
    found = found_wrong(*frames, ONE_PRICE)
    return {offer.split("/")[3]: since for (offer, _), since in found.items()}


@pytest.mark.parametrize(
    ("sizes", "machines"),
    [
        ([(1, 0.79), (2, 0.79), (4, 0.79), (8, 0.79)], {"x2", "x4", "x8"}),
        ([(1, 0.79), (8, 0.79)], {"x8"}),
        ([(1, 0.79), (8, 0.785)], {"x8"}),
        ([(2, 0.79), (8, 0.79)], {"x2", "x8"}),  # which of them is right is not known
        ([(1, 0.79), (2, 1.58), (4, 3.16)], set()),
        ([(1, 0.79), (2, 0.82)], set()),
        ([(1, 0.79), (1, 0.79)], set()),
        ([(0.25, 0.79), (0.5, 0.79)], {"x0.5"}),
    ],
)
def test_the_larger_sizes_at_one_price_are_held(sizes, machines) -> None:
    assert set(held(*family(*sizes))) == machines


def test_the_sentence_names_both_sizes() -> None:
    assert judge(*family((1, 0.79), (8, 0.79)))["detail"].tolist() == [
        "0.79 USD/h for 8 GPUs, and 0.79 for 1 GPU (x1): a price per GPU? Held, since more GPUs"
        " cost more."
    ]


def test_two_hosts_of_a_market_may_ask_the_same_but_not_three() -> None:
    assert not held(*family((1, 0.4), (2, 0.4), markets=["renter"]))
    alike = family((1, 0.4), (2, 0.4), (4, 0.4), markets=["renter"])
    assert set(held(*alike)) == {"x2", "x4"}


def test_a_smaller_machine_with_more_vcpus_may_cost_as_much() -> None:
    assert not held(*family((1, 4.35), (4, 4.35), vcpus={"x1": 64, "x4": 48}))
    assert held(*family((1, 4.35), (4, 4.35), vcpus={"x1": 48, "x4": 64}))


def test_it_is_known_when_the_prices_stand_beside_each_other() -> None:
    assert held(*family((1, 0.79), (8, 0.79), days=[0, 3])) == {"x8": 3}
    assert held(*family((1, 0.79), (8, 0.79), days=[3, 0])) == {"x8": 3}
    large = "renter/us//x8/on_demand/"
    replaced = quotes(
        (large, 8, 0, 0.79), (large, 8, 1, 6.32), ("renter/us//x1/on_demand/", 1, 2, 0.79)
    )
    assert not held(*replaced)


def test_other_places_options_and_models_are_other_families() -> None:
    rows = [("renter/us//x1/on_demand/", 1, 0, 0.79)]
    rows += [("renter/ca//x8/on_demand/", 8, 0, 0.79), ("renter/us//x8/spot/", 8, 0, 0.79)]
    assert not held(*quotes(*rows))


def test_a_price_repeated_a_thousand_times_is_held_each_time() -> None:
    rows = [(f"renter/us//x{n}/on_demand/", n, day, 0.79) for day in range(1000) for n in (1, 8)]
    assert len(found_wrong(*quotes(*rows), ONE_PRICE)) == 1000
