"""The bundled panels on which forecasts are scored."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import store
from pipelines.cli import panels
from pipelines.cli.history_file import store_of

pytestmark = [pytest.mark.slow, pytest.mark.members]


def test_of_list_prices_only_what_is_known_to_be_sold_is_scored():
    (setting,) = [each for each in panels.BUNDLED if each.name == "gcp-spot-gpu"]
    task = panels.prepare(setting, "")
    offers = task["panel"].offers
    with store.open_snapshot("") as snapshot:
        known = snapshot.evidence(as_of=setting.until)
    named = known[known["instance_type"] == "a3-highgpu-8g"]
    scored = offers.loc[offers["instance_type"] == "a3-highgpu-8g", "region"]
    assert set(scored) == set(named.loc[named["sold"].astype(bool), "region"])
    assert not offers["gpu_model"].isna().any()
    first = task["panel"].times[task["origins"][1][0]]
    assert f"{first:%Y-%m-%d}" == "2024-01-03"
    assert all(len(at) == 122 - h for h, at in task["origins"].items())
    assert np.isfinite(task["panel"].price[task["origins"][1][0] :]).any(axis=0).all()


def test_a_price_file_of_ones_own_is_scored_to_its_end(tmp_path):
    hours = pd.date_range("2026-01-01", periods=240, freq="1h", tz="UTC")
    prices = pd.DataFrame(
        {
            "provider": "mine",
            "region": "here",
            "instance_type": "a",
            "purchase_option": "spot",
            "effective_at": hours.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "price_usd_per_hour": 1.0 + 0.1 * (np.arange(240) % 5),
        }
    )
    file = tmp_path / "prices.csv"
    prices.to_csv(file, index=False)
    setting = replace(panels.OWN, horizons=(1, 2), span="4d")
    with store_of(file, "") as store_dir:
        task = panels.prepare(setting, store_dir)
    assert task["panel"].times[-1] == hours[-1]
    assert list(task["origins"]) == [1, 2]
