"""Forecasts of offers: the table is what the paths say, seeded, and calm about bad input."""

import numpy as np
import pytest

from cloudarb_lib import forecast as fc
from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.tables.validation import validate
from cloudarb_lib.testing import a_panel, forecast_of, stepping

pytestmark = pytest.mark.fit


def test_the_forecast_table_is_what_the_paths_say():
    panel = a_panel(stepping())
    result = forecast_of(panel)
    validate(result.table, "forecast")
    validate(result.weights, "weights")
    assert (result.table["origin_utc"] == panel.times[-1]).all()
    wide = result.table.pivot_table(
        index=["offer_id", "target_utc"],
        columns="quantile",
        values="price_usd_per_hour",
        observed=True,
    )
    assert (np.diff(wide.to_numpy(), axis=1) >= 0).all()
    for level in fc.QUANTILES:
        below = (result.paths.values <= wide[level].to_numpy().reshape(12, 1, 6) + 1e-12).mean(1)
        assert (below >= level - 1e-9).all()
    assert (result.paths.values > 0).all()
    np.testing.assert_allclose(
        result.paths.table()["price_usd_per_hour"].max(), wide.max().max(), rtol=1
    )


def test_a_seed_gives_the_same_worlds_and_a_part_the_same_as_the_whole():
    panel = a_panel(stepping(), options=["spot"] * 9 + ["on_demand"] * 3)
    one, two = forecast_of(panel), forecast_of(panel)
    np.testing.assert_array_equal(one.paths.values, two.paths.values)
    part = forecast_of(panel, paths_for=panel.offers.index[[2, 10]])
    assert list(part.paths.offer_ids) == ["o2", "o10"]
    np.testing.assert_array_equal(part.paths.values, one.paths.values[[2, 10]])
    assert not np.array_equal(forecast_of(panel, seed=4).paths.values[0], one.paths.values[0])


def test_bad_input_has_a_defined_outcome_and_stops_nobody():
    price = stepping(series=7)
    price[:-1, 1] = np.nan  # one point
    price[:, 2] = 5.0  # constant
    price[30:55, 3] = np.nan  # a gap of months
    price[70:, 4] = np.nan  # withdrawn
    price[:, 5] = np.nan  # all missing
    result = forecast_of(a_panel(price))
    assert list(result.paths.offer_ids) == ["o0", "o1", "o2", "o3", "o6"]
    assert result.left_out.set_index("offer_id")["reason"].to_dict() == {
        "o4": "withdrawn, or a price of zero",
        "o5": "no price on record",
    }
    assert np.isfinite(result.paths.values).all()
    assert result.paths.values[1].std() > 0  # its neighbours tell how it may move
    alone = forecast_of(a_panel(np.full((30, 2), 3.0)))
    assert (alone.paths.values == 3.0).all()
    newborn = forecast_of(a_panel(np.array([[2.0, 3.0]])))
    assert (newborn.paths.values[:, :, -1] == [[2.0], [3.0]]).all()
    zero = stepping(series=2)
    zero[-1, 0] = 0.0
    assert list(forecast_of(a_panel(zero)).paths.offer_ids) == ["o1"]


def test_guards():
    panel = a_panel(stepping())
    for steps in (0, 300):
        with pytest.raises(ParameterError, match="not between 1 and 1096 days"):
            forecast_of(panel, horizon_steps=steps)
    for paths in (0, 10_000_000):
        with pytest.raises(ParameterError, match="too many, or none"):
            forecast_of(panel, n_paths=paths)
    with pytest.raises(DataError, match="no offer of the panel has a price"):
        forecast_of(a_panel(np.full((5, 2), np.nan)))
