"""The providers beside each other: what is sold, what is listed alone, and who is not compared."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib.market import explore
from cloudarb_lib.testing import offers

SEEN = pd.Timestamp("2026-04-02", tz="UTC")
SOLD = offers(
    ("gcp", "us-a", "h8", "on_demand", "H100", 8.0, 88.0),
    ("gcp", "us-b", "h8", "on_demand", "H100", 8.0, 80.0),
    ("gcp", "us-b", "h8", "spot", "H100", 8.0, 16.0),
    ("gcp", "us-b", "h8", "reserved", "H100", 8.0, 40.0),
    ("aws", "us-c", "p5", "on_demand", "H100", 8.0, 56.0),
)
SOLD["price_usd_per_gpu_hour"] = SOLD["price_usd_per_hour"] / SOLD["gpu_count"]
LISTED = offers(("azure", "us-d", "nd", "on_demand", "H100", 8.0, 96.0))
STATES = pd.concat([SOLD.assign(state="offered"), LISTED.assign(state="not_known_sold")])


def test_a_row_for_each_provider_the_cheapest_on_demand_first():
    table = explore.by_provider(SOLD, STATES).set_index("provider")
    assert table.index.tolist() == ["AWS", "GCP", "Azure"]
    gcp = table.loc["GCP"]
    assert gcp["on_demand_usd_per_gpu_hour"] == 10.0
    assert gcp["cheapest_in"] == "us-b"
    assert gcp["spot_usd_per_gpu_hour"] == 2.0
    assert gcp["one_year_usd_per_gpu_hour"] == 5.0
    assert gcp["regions"] == 2
    assert np.isnan(gcp["three_years_usd_per_gpu_hour"])
    azure = table.loc["Azure"]
    assert azure["listed_usd_per_gpu_hour"] == 12.0
    assert azure["regions"] == 0
    assert np.isnan(azure["on_demand_usd_per_gpu_hour"])


@pytest.mark.parametrize(
    ("providers", "says"),
    [
        (["gcp", "aws"], "Compared are GCP in 2 regions, AWS in 1 region."),
        (["gcp", "azure"], "**Not compared: Azure.** It has 1 prices of these GPU models"),
        (["gcp", "oblivus"], "**Not compared: oblivus.** It has no price of these GPU models."),
    ],
)
def test_who_is_not_compared_is_said(providers, says):
    assert says in explore.compared_in_words(SOLD, STATES, providers)


def test_an_offer_in_words():
    assert explore.offer_in_words("aws/us-e/us-e1/p5/reserved/3y") == "p5 in us-e1 3 years (AWS)"
    assert explore.offer_in_words("runpod/unstated//H100/on_demand/") == "H100 on demand (runpod)"
    assert explore.offer_in_words("no offer") == "no offer"
