"""Networks and models tried beside the ensemble: what they see, and what they refuse."""

import json

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.research import explanations, federated, foundation
from cloudarb_lib.research.panels import market_panel, tick_panel
from cloudarb_lib.research.transformer import transformer
from cloudarb_lib.testing.forecasts import a_task

TOLD = {"model": {"family": "fracast"}}


def wavy(cells=700, series=3):
    rng = np.random.default_rng(5)
    daily = np.sin(2 * np.pi * np.arange(cells) / 24)[:, None] * 0.2
    return np.exp(daily + 0.02 * rng.normal(size=(cells, series)).cumsum(axis=0))


def hourly_task(price, origins):
    return a_task(price, origins=np.array(origins), horizon=6, cells_per_day=24)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("ask", [transformer, "federated"])
def test_networks_learn_and_see_nothing_later(ask):
    price = wavy()
    changed = price.copy()
    changed[651:] *= 3.0

    def medians(of_price):
        task = hourly_task(of_price, [650])
        if ask is transformer:
            return transformer(task)
        shards = np.array(["a", "b", "b"])
        return federated.pooled_and_federated(task, shards, rounds=2, epochs=2)["federated"].medians

    before = medians(price)
    assert before.shape == (1, 3, 6)
    assert np.abs(before).max() > 0.0
    np.testing.assert_array_equal(before, medians(changed))


def test_weights_are_averaged_by_size():
    one = [np.zeros((2, 2), np.float32), np.ones(3, np.float32)]
    other = [np.ones((2, 2), np.float32), np.zeros(3, np.float32)]
    mean = federated.averaged([one, other], [1, 3])
    np.testing.assert_allclose(mean[0], 0.75)
    np.testing.assert_allclose(mean[1], 0.25)
    assert mean[0].dtype == np.float32


def test_errors_are_told_over_those_of_the_last_value():
    task = hourly_task(wavy(), [600, 650])
    truth = task.truth()
    half = {"half": federated.Trained(truth / 2, 1.0), "none": federated.Trained(0 * truth, 1.0)}
    assert federated.errors(half, task) == pytest.approx({"half": 0.5, "none": 1.0})


@pytest.mark.slow
def test_what_features_add_makes_the_forecast():
    explained = explanations.explain_boosting(hourly_task(wavy(), [650]), ["a", "b", "c"])
    by_offer = explained.groupby("offer_id")
    made = by_offer["contribution_log"].sum()
    np.testing.assert_allclose(made, by_offer["forecast_log"].first(), atol=1e-12)
    assert by_offer["forecast_log"].first().abs().max() > 0
    ranked = explanations.by_feature(explained)
    assert ranked.is_monotonic_decreasing
    assert explanations.EXPECTED not in ranked


def test_too_short_a_record_is_not_explained():
    with pytest.raises(DataError, match="too little is on record"):
        explanations.explain_boosting(hourly_task(wavy(cells=40), [30]), ["a", "b", "c"])


def weights(folder, config, *, name=foundation.WEIGHTS_FILE):
    (folder / name).write_bytes(b"")
    (folder / foundation.CONFIG_FILE).write_text(config)
    return folder


def test_a_folder_that_is_not_of_weights_is_refused(tmp_path):
    with pytest.raises(ParameterError, match=r"has no config\.json"):
        foundation.check_folder(tmp_path)
    with pytest.raises(ParameterError, match=r"has no model\.safetensors.*pickled ones are not"):
        foundation.check_folder(weights(tmp_path, json.dumps(TOLD), name="model.bin"))
    with pytest.raises(ParameterError, match=r"does not tell model\.family"):
        foundation.check_folder(weights(tmp_path, "{"))
    with pytest.raises(ParameterError, match="no adapter for family 'timesfm'"):
        foundation.check_folder(weights(tmp_path, '{"model": {"family": "timesfm"}}'))
    foundation.check_folder(weights(tmp_path, json.dumps(TOLD)))


def test_the_package_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setattr(foundation.importlib.util, "find_spec", lambda name: None)
    assert not foundation.is_installed()
    with pytest.raises(ParameterError, match="pip install fracast torch"):
        foundation.weights_folder()


@pytest.mark.skipif(not foundation.is_installed(), reason="fracast and torch are not installed")
def test_the_shipped_weights_forecast_and_see_nothing_later():
    log_price = np.log(wavy(cells=120, series=2))
    folder = foundation.weights_folder()
    words = {"origins": np.array([100]), "horizon": 6}
    asked = foundation.forecast_quantiles(folder, log_price, **words)
    assert asked.log_change.shape == (1, 2, 9, 6)
    assert (np.diff(asked.log_change.mean(axis=(0, 1, 3))) > 0).all(), "quantiles rise"
    changed = log_price.copy()
    changed[101:] += 1.0
    again = foundation.forecast_quantiles(folder, changed, **words)
    np.testing.assert_array_equal(asked.log_change, again.log_change)
    assert asked.cpu_s > 0


class NoPrices:
    def events(self, *, as_of):
        return pd.DataFrame({"source": [], "price_kind": []})


@pytest.mark.parametrize("panel", [tick_panel, market_panel])
def test_a_store_without_such_prices_is_told(panel):
    with pytest.raises(DataError, match="no such market prices by 2015-08-31"):
        panel(NoPrices(), until="2015-08-31", days=10)
