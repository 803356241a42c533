"""What offers share the capacity of."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib.allocate.problem.slots import Pools
from cloudarb_lib.testing import figures, offers

TWO = offers(
    ("renter", "us-1", "h100x8", "on_demand", "H100", 8.0, 16.0),
    ("renter", "us-1", "h100x4", "on_demand", "H100", 4.0, 9.0),
).assign(held=np.nan)


def capacities(table):
    pools = Pools.of(table, figures())
    return pools.capacity[pools.of_offer].tolist()


def test_offers_without_a_count_share_the_capacity_assumed() -> None:
    assert capacities(TWO) == [64.0, 64.0]
    assert len(Pools.of(TWO, figures()).names) == 1


@pytest.mark.parametrize("kind", ["administered", "market"])
def test_a_count_caps_the_capacity_whatever_the_price_kind(kind) -> None:
    counted = TWO.assign(price_kind=kind, offer_count=[3.0, np.nan])
    assert capacities(counted) == [24.0, 64.0]
    assert capacities(counted.assign(offer_count=[3.0, 5.0], source="prices.csv")) == [24.0, 20.0]


def test_a_record_that_prices_one_gpu_of_an_unknown_machine_says_how_large_that_is() -> None:
    one = TWO.assign(gpu_count=1.0, price_kind="market", offer_count=[3.0, 5.0])
    assert capacities(one.assign(source=["gpu-price-tracker", "prices.csv"])) == [24.0, 5.0]


def test_a_commitment_held_is_as_large_as_it_is_whatever_the_count() -> None:
    held = pd.concat([TWO, TWO.iloc[:1].assign(offer_id="held", held=2.0, offer_count=1.0)])
    assert capacities(held.reset_index(drop=True)) == [64.0, 64.0, 16.0]
