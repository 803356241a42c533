"""The bundled panels on which forecasts are scored."""

import numpy as np
import pytest

from cloudarb_lib import store
from pipelines.cli import panels

pytestmark = pytest.mark.slow


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
