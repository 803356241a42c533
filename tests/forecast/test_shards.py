"""Forecasts in shards: whatever they are cut into, bit for bit those of the whole panel."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import forecast
from cloudarb_lib.forecast import shards
from cloudarb_lib.testing import a_panel, panel_of_regions

pytestmark = pytest.mark.slow

SIZE = {"horizon_steps": 4, "seed": 3}
N_PATHS = 40


@pytest.fixture(scope="module")
def panel():
    return panel_of_regions()


@pytest.fixture(scope="module")
def whole(panel):
    return forecast.forecast_offers(panel, **SIZE, n_paths=N_PATHS)


def test_shards_are_of_priced_offers_by_names_that_files_can_have(panel):
    names = shards.shards(panel)
    assert list(names) == ["aws-us%20east", "gcp-b", "gcp-c%2F1"]
    assert sorted(np.concatenate(list(names.values()))) == sorted(panel.offers.index)
    gone = panel.price.copy()
    gone[-1, :2] = np.nan
    assert list(shards.shards(replace(panel, price=gone))) == ["gcp-b", "gcp-c%2F1"]


@pytest.mark.parametrize("blocks", [1, 7])
def test_each_shard_is_its_part_of_the_whole_to_the_last_bit(panel, whole, blocks, tmp_path):
    files = []
    for block in reversed(range(blocks)):
        learned = shards.learn(panel, **SIZE, block=block, blocks=blocks)
        files.append(tmp_path / f"{block}.npz")
        shards.write_block(learned, files[-1])
    forecast.fit(panel, tmp_path / "models", **SIZE)
    together = shards.read_blocks(files)
    for offers in shards.shards(panel).values():
        found = forecast.forecast_fitted(
            panel, tmp_path / "models", n_paths=N_PATHS, paths_for=offers, learned=together
        )
        own = whole.table[whole.table["offer_id"].isin(offers)].astype({"offer_id": str})
        table = found.table.astype({"offer_id": str})
        pd.testing.assert_frame_equal(table, own.reset_index(drop=True), check_exact=True)
        assert np.array_equal(found.paths.values, whole.paths.select(offers).values)


def test_what_was_learned_of_a_part_alone_is_another_forecast(panel, whole, tmp_path):
    """The blocks are needed, all of them: without some, quantiles differ."""
    forecast.fit(panel, tmp_path, **SIZE)
    some = shards.learn(panel, **SIZE, block=0, blocks=7)
    found = forecast.forecast_fitted(panel, tmp_path, n_paths=N_PATHS, learned=some)
    assert not np.array_equal(found.paths.values, whole.paths.values)


def test_a_panel_of_a_market_alone_has_nothing_to_learn(panel):
    of_market = a_panel(panel.price, kind="market")
    assert shards.learn(of_market, **SIZE, block=0, blocks=1) == []
