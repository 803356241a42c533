"""Fitted models: kept in their own formats, brought up to date, refused when they differ."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import forecast as fc
from cloudarb_lib.base.digests import digest_values
from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.forecast import ensemble, saved
from cloudarb_lib.forecast.members import MEMBERS, SLOW, lstm, prophet
from cloudarb_lib.testing import a_panel, damaged, spiking, stepping

pytestmark = pytest.mark.fit

CELLS, AHEAD = 110, 6


@pytest.fixture(scope="module")
def prices():
    return stepping(seed=5, times=CELLS + 12, series=30, drift=-0.03)


@pytest.fixture(scope="module")
def fitted_once(prices, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    panel = a_panel(prices[:CELLS], kind="market")
    fc.fit(panel, folder, horizon_steps=AHEAD, seed=3, leave_out=SLOW)
    return folder


@pytest.fixture
def fitted(fitted_once, tmp_path):
    """A folder of models that a test may spoil."""
    return Path(shutil.copytree(fitted_once, tmp_path, dirs_exist_ok=True))


def ask(panel, folder, **changed):
    return fc.forecast_fitted(panel, folder, **{"n_paths": 100, **changed})


def test_a_forecast_from_kept_models_is_that_of_fitting_there_and_then(prices, fitted):
    panel = a_panel(prices[:CELLS], options=["spot"] * 30, kind="market")
    here = ask(panel, fitted)
    there = fc.forecast_offers(panel, horizon_steps=AHEAD, n_paths=100, seed=3, leave_out=SLOW)
    np.testing.assert_allclose(here.paths.values, there.paths.values, rtol=1e-9)
    pd.testing.assert_frame_equal(here.table, there.table)
    pd.testing.assert_frame_equal(here.weights, there.weights)
    some = ask(panel, fitted, ahead=[2, 6], paths_for=panel.offers.index[[4, 1]])
    np.testing.assert_allclose(some.paths.values, here.paths.values[[1, 4]][:, :, [1, 5]])
    for wrong in ([], [0], [AHEAD + 1]):
        with pytest.raises(ParameterError, match="fitted for 1 to 6 steps"):
            ask(panel, fitted, ahead=wrong)


def test_nothing_is_fitted_to_forecast_later_and_only_members_with_a_weight_are_asked(
    prices, fitted, monkeypatch
):
    import lightgbm

    def no_fit(*_, **__):
        raise AssertionError("it was fitted")

    monkeypatch.setattr(lightgbm, "train", no_fit)
    monkeypatch.setattr(lightgbm.Booster, "refit", no_fit)
    for cells in (CELLS + 1, CELLS + 12):
        walk = fc.load(fitted, a_panel(prices[:cells], kind="market"))
        idle = ~walk.weights[0].any(axis=(1, 2))
        assert idle.any()
        for name, unasked in zip(walk.members, idle, strict=True):
            assert not (unasked and walk.members[name].any())
        assert walk.task.origins.tolist() == [cells - 1]
    assert (
        json.loads((fitted / "manifest.json").read_text())["versions"]["lightgbm"]
        == lightgbm.__version__
    )


def test_new_observations_change_weights_and_calibration_at_once_without_a_fit(
    prices, fitted, monkeypatch
):
    before = fc.load(fitted, a_panel(prices[:CELLS], kind="market"))
    models = {name: (fitted / name).read_bytes() for name in ("boosting.json", "meta_learner.json")}
    monkeypatch.setattr(
        saved, "alarms", lambda *_, **__: pd.DataFrame(columns=["action", "time_utc"])
    )
    walk = fc.update(fitted, a_panel(prices[: CELLS + 8], kind="market"))
    assert walk.task.origins[-1] == CELLS + 7
    assert len(walk.task.origins) == 53
    assert not np.allclose(walk.weights[-1], before.weights[-1])
    assert not np.allclose(walk.widths[-1], before.widths[-1])
    assert models == {name: (fitted / name).read_bytes() for name in models}
    later = fc.load(fitted, a_panel(prices[: CELLS + 8], kind="market"))
    np.testing.assert_array_equal(later.weights[-1], walk.weights[-1])
    once = fc.update(fitted, a_panel(prices[: CELLS + 8], kind="market"))  # nothing new
    np.testing.assert_allclose(once.weights[-1], walk.weights[-1], atol=1e-6)


def test_step_by_step_is_the_same_as_at_once(prices, fitted_once, tmp_path, monkeypatch):
    monkeypatch.setattr(
        saved, "alarms", lambda *_, **__: pd.DataFrame(columns=["action", "time_utc"])
    )
    walks = []
    for name, stops in (("a", [CELLS + 6]), ("b", [CELLS + 1, CELLS + 4, CELLS + 6])):
        shutil.copytree(fitted_once, tmp_path / name)
        for stop in stops:
            walk = fc.update(tmp_path / name, a_panel(prices[:stop], kind="market"))
        walks.append(walk)
    np.testing.assert_allclose(walks[0].weights[-1], walks[1].weights[-1])
    np.testing.assert_allclose(walks[0].point[-1], walks[1].point[-1])


def test_an_alarm_since_the_fit_calls_for_a_new_one_and_boosting_begins_where_it_stood(
    prices, fitted
):
    shaken = np.exp(np.cumsum(np.where(np.arange(30) % 2 == 0, 0.4, -0.4)))
    wild = np.concatenate([prices[:CELLS], prices[CELLS - 1] * shaken[:, None]])
    before = (fitted / "boosting.json").read_text()
    panel = a_panel(wild, kind="market")
    found = fc.alarms(panel)
    called = found[(found["action"] == "refit") & (found["time_utc"] > panel.times[CELLS - 1])]
    assert len(called)  # the record has to call for it
    fc.update(fitted, panel)
    after = (fitted / "boosting.json").read_text()
    assert after != before
    assert after.count("Tree=") == before.count("Tree=")
    manifest = json.loads((fitted / "manifest.json").read_text())
    assert manifest["fitted_at"] == str(panel.times[-1])
    fc.load(fitted, panel)


def test_offers_that_part_company_after_the_fit_each_go_their_own_way(tmp_path):
    base = stepping(seed=5, times=CELLS + 3, series=12, drift=-0.03)
    twin = np.column_stack([base, base[:, 0]])
    fc.fit(a_panel(twin[:CELLS], kind="market"), tmp_path, horizon_steps=2, seed=3, leave_out=SLOW)
    twin[CELLS:, 12] *= 1.5
    walk = fc.update(tmp_path, a_panel(twin, kind="market"))
    assert walk.patterns.of_offer[0] != walk.patterns.of_offer[12]
    k = walk.patterns.of_offer
    for forecast in walk.members.values():
        np.testing.assert_array_equal(forecast[:-3, k[0]], forecast[:-3, k[12]])


def test_the_meta_learner_of_markets_is_kept_and_not_learned_again(tmp_path, monkeypatch):
    import lightgbm

    panel = a_panel(spiking(times=520), step="1h")
    walk = fc.fit(panel.until(panel.times[-3]), tmp_path, horizon_steps=24, seed=1, leave_out=SLOW)
    assert (tmp_path / "meta_learner.json").exists()
    monkeypatch.setattr(lightgbm, "train", None)
    ready = replace(walk.task, origins=walk.task.origins[-1:], models=tmp_path, fitted=True)
    again, failed = ensemble.run_members(ready, tuple(MEMBERS.keys() - {"meta_learner"}))
    again = again["meta_learner"]
    assert not failed
    assert again.any()
    np.testing.assert_allclose(again[0], walk.members["meta_learner"][-1], atol=1e-9)
    assert not fc.load(tmp_path, panel).failed


def test_damaged_series_are_kept_and_brought_up_to_date_like_others(tmp_path):
    panel = damaged(kind="market")
    fc.fit(panel.until(panel.times[-6]), tmp_path, horizon_steps=3, seed=1, leave_out=SLOW)
    fc.update(tmp_path, panel)
    found = ask(panel, tmp_path)
    assert set(found.left_out["offer_id"]) == {"o4", "o5"}
    assert len(found.paths.offer_ids) == 18
    assert np.isfinite(found.paths.values).all()


@pytest.mark.parametrize("name", ["boosting.json", "arrays.npz", "manifest.json"])
def test_what_was_tampered_with_is_refused(prices, fitted, name):
    panel = a_panel(prices[:CELLS], kind="market")
    fc.load(fitted, panel)  # read once already: still seen
    file = fitted / name
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match="Fit the models anew"):
        fc.load(fitted, panel)


def test_list_prices_tell_discounts_and_are_part_of_what_the_models_know(prices, tmp_path):
    whole = np.column_stack([prices, prices[:1].repeat(len(prices), axis=0)])
    kinds = ["market"] * 30 + ["administered"] * 30
    panel = a_panel(whole, options=["spot"] * 30 + ["on_demand"] * 30, kind=kinds)
    panel.offers["region"] = [f"r{k}" for k in range(30)] * 2
    walk = fc.fit(
        panel.until(panel.times[CELLS - 1]), tmp_path, horizon_steps=2, seed=3, leave_out=SLOW
    )
    k = walk.patterns.of_offer[7]
    want = np.log(whole[CELLS - 1, 7] / whole[CELLS - 1, 37])
    assert walk.task.features["discount"][CELLS - 1, k] == pytest.approx(want, abs=1e-6)
    later = fc.load(tmp_path, panel)
    np.testing.assert_allclose(
        later.task.features["discount"][0, later.patterns.of_offer],
        np.log(whole[-1, :30] / whole[-1, 30:]),
        atol=1e-6,
    )
    whole[40, 37] *= 1.01
    changed = a_panel(whole, options=["spot"] * 30 + ["on_demand"] * 30, kind=kinds)
    changed.offers["region"] = panel.offers["region"]
    with pytest.raises(DataError, match="other offers or prices"):
        fc.load(tmp_path, changed)
    with pytest.raises(DataError, match="other offers or prices"):
        fc.load(tmp_path, panel.select(np.arange(30)))


def test_other_prices_or_offers_are_refused(prices, fitted, tmp_path):
    other = prices[:CELLS].copy()
    other[50, 3] *= 1.001
    for panel in (
        a_panel(other, kind="market"),
        a_panel(prices[:CELLS, :29], kind="market"),
        a_panel(prices[: CELLS - 1], kind="market"),
        a_panel(prices[:CELLS], step="1D", kind="market"),
    ):
        with pytest.raises(DataError, match="other offers or prices"):
            fc.load(fitted, panel)
    with pytest.raises(DataError, match="holds no fitted models"):
        fc.load(tmp_path / "none", a_panel(prices[:CELLS], kind="market"))


def rewritten(folder, **changes):
    """Change the manifest, and put its digest right."""
    told = json.loads((folder / "manifest.json").read_text())
    told = {
        name: value
        for name, value in {**told, **changes}.items()
        if name != "digest" and value is not None
    }
    (folder / "manifest.json").write_text(json.dumps({**told, "digest": digest_values(told)}))


@pytest.mark.parametrize("changes", [{"code": "other"}, {"code": None}, {"files": None}])
def test_a_folder_of_another_version_is_refused_with_the_way_out(prices, fitted, changes):
    rewritten(fitted)
    fc.load(fitted, a_panel(prices[:CELLS], kind="market"))
    rewritten(fitted, **changes)
    with pytest.raises(DataError, match=r"Fit the models anew"):
        fc.load(fitted, a_panel(prices[:CELLS], kind="market"))


@pytest.mark.parametrize("package", ["lightgbm", "scipy", "numpy", "cloudarb"])
@pytest.mark.parametrize("version", ["0.0.1", None])
def test_models_of_another_version_of_a_package_are_refused(prices, fitted, package, version):
    versions = json.loads((fitted / "manifest.json").read_text())["versions"]
    others = {name: then for name, then in versions.items() if name != package}
    rewritten(fitted, versions=others | ({package: version} if version else {}))
    wrote = f"written with {package} {version or 'none'}, and this is {versions[package]}"
    with pytest.raises(DataError, match=f"{wrote}.*Fit the models anew"):
        fc.load(fitted, a_panel(prices[:CELLS], kind="market"))


def test_the_versions_of_packages_that_only_absent_members_need_do_not_matter(prices, fitted):
    versions = json.loads((fitted / "manifest.json").read_text())["versions"]
    assert {"lightgbm", "river"} <= set(versions)
    assert not {"prophet", "keras", "tensorflow-cpu"} & set(versions)
    fc.load(fitted, a_panel(prices[:CELLS], kind="market"))


def test_the_digest_of_the_code_is_of_every_file_of_the_forecast():
    names = {file.name for file in saved.code_files()}
    assert {"boosting.py", "lstm.py", "features.py", "weights.py", "saved.py"} <= names


def test_what_is_kept_in_memory_is_not_changed_by_who_asks(prices, fitted):
    """The same forecast again and again, also after one of another length."""
    short, long = (
        a_panel(prices[:CELLS], kind="market"),
        a_panel(prices[: CELLS + 3], kind="market"),
    )
    first, _, again = (ask(panel, fitted) for panel in (short, long, short))
    np.testing.assert_array_equal(first.paths.values, again.paths.values)
    pd.testing.assert_frame_equal(first.weights, again.weights)


@pytest.mark.parametrize("gone", ["widths", "origins"])
def test_arrays_of_another_version_are_refused(prices, fitted, gone):
    with np.load(fitted / "arrays.npz") as kept:
        others = {name: kept[name] for name in kept if name != gone}
    np.savez(fitted / "arrays.npz", **others)
    rewritten(fitted, files={"arrays.npz": digest_values((fitted / "arrays.npz").read_bytes())})
    with pytest.raises(DataError, match=f"{gone}.*Fit the models anew"):
        fc.load(fitted, a_panel(prices[:CELLS], kind="market"))


def test_a_manifest_that_was_tampered_with_is_refused(prices, fitted):
    told = json.loads((fitted / "manifest.json").read_text())
    (fitted / "manifest.json").write_text(json.dumps({**told, "horizon": 3}))
    with pytest.raises(DataError, match=r"manifest.json is not the file"):
        fc.load(fitted, a_panel(prices[:CELLS], kind="market"))


def test_no_pickle_is_read(prices, fitted):
    """An array of objects in the place of forecasts is refused, also where its digest is right."""
    np.savez(fitted / "arrays.npz", weights=np.array([{}], dtype=object))
    rewritten(fitted, files={"arrays.npz": digest_values((fitted / "arrays.npz").read_bytes())})
    with pytest.raises(DataError, match="allow_pickle=False"):
        fc.update(fitted, a_panel(prices[: CELLS + 1], kind="market"))
    for source in Path(saved.__file__).parent.rglob("*.py"):
        assert "import pickle" not in source.read_text()


@pytest.mark.long
def test_prophet_and_the_network_are_kept_too(prices, tmp_path, monkeypatch):
    for member in (*prophet.MEMBERS, *lstm.MEMBERS):
        monkeypatch.setitem(MEMBERS, member.name, member)
    panel, later = a_panel(prices[:CELLS], kind="market"), a_panel(prices, kind="market")
    walk = fc.fit(panel, tmp_path, horizon_steps=AHEAD, seed=3)
    assert {"prophet.json", "lstm.keras", "boosting.json"} <= {f.name for f in tmp_path.iterdir()}
    ready = replace(walk.task, origins=walk.task.origins[-1:], models=tmp_path, fitted=True)
    for name in ("prophet", "lstm", "boosting"):
        again = MEMBERS[name].forecast(ready)
        assert again.any(), name
        np.testing.assert_allclose(again[0], walk.members[name][-1], atol=1e-6, err_msg=name)
    monkeypatch.setattr(
        saved,
        "alarms",
        lambda *_, **__: pd.DataFrame({"action": ["refit"], "time_utc": later.times[-1:]}),
    )
    fc.update(tmp_path, later)  # from where it stood
    fc.load(tmp_path, later)


def test_nothing_is_fitted_for_list_prices_and_they_are_forecast_all_the_same(prices, tmp_path):
    panel = a_panel(prices[:CELLS])
    assert fc.fit(panel, tmp_path, horizon_steps=AHEAD, seed=3) is None
    assert fc.update(tmp_path, panel) is None
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.json"]
    there = fc.forecast_offers(panel, horizon_steps=AHEAD, n_paths=100, seed=3)
    np.testing.assert_array_equal(ask(panel, tmp_path).paths.values, there.paths.values)
    with pytest.raises(DataError, match="holds no fitted models"):
        ask(panel, tmp_path / "none")
