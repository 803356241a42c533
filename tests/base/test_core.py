"""Units, nouns, schema and run tables: each refuses the impossible."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudarb_lib.base import locations, units
from cloudarb_lib.base.errors import CloudArbError, DataError, ParameterError
from cloudarb_lib.base.types import OFFER_PARTS, Panel, Paths
from cloudarb_lib.tables import assumptions, run_tables, schema

TIMES = pd.date_range("2026-01-01", periods=3, freq="7D", tz="UTC")


def offers(*ids: str) -> pd.DataFrame:
    return pd.DataFrame({"provider": ["gcp"] * len(ids)}, index=pd.Index(ids, name="offer_id"))


def panel(**changes) -> Panel:
    cells = np.ones((3, 2))
    given_ = {"times": TIMES, "step": pd.Timedelta("7D"), "offers": offers("a", "b")}
    given_ |= {"price": cells, "available": cells, "state": np.array([[1, 2], [2, 3], [3, 0]])}
    return Panel(**{**given_, **changes})


# --- units


def test_a_date_means_the_end_of_its_day():
    assert units.parse_as_of("2026-04-29") == pd.Timestamp("2026-04-30T00:00Z")
    assert units.parse_as_of("2026-04-29T10:00:00+02:00") == pd.Timestamp("2026-04-29T08:00Z")


@pytest.mark.parametrize("value", ["2026-04-29T10:00", "yesterday", "", None, "2026-13-01", "NaT"])
def test_as_of_refuses_what_is_no_instant(value):
    with pytest.raises(ParameterError):
        units.parse_as_of(value)


@given(st.datetimes(min_value=pd.Timestamp("1971-01-01"), max_value=pd.Timestamp("2200-01-01")))
def test_a_naive_time_is_always_refused(value):
    with pytest.raises(ParameterError, match="time zone"):
        units.ensure_utc(value)


@pytest.mark.parametrize("value", ["0h", "-1D", "month", ""])
def test_freq_refuses_what_is_no_fixed_step(value):
    with pytest.raises(ParameterError):
        units.parse_freq(value)


def test_freq_names():
    assert units.parse_freq("weekly") == units.parse_freq("7D") == pd.Timedelta(hours=168)


# --- nouns


@pytest.mark.parametrize(
    "changes",
    [
        {"price": np.ones((2, 2))},
        {"times": TIMES.tz_localize(None)},
        {"times": TIMES[::-1]},
        {"offers": offers("a", "a")},
    ],
)
def test_a_panel_refuses_the_impossible(changes):
    with pytest.raises(DataError):
        panel(**changes)


def test_a_panel_says_what_it_is_and_can_be_cut():
    whole = panel()
    assert "2 offers x 3 steps" in repr(whole)
    assert "33% of cells filled" in repr(whole)
    assert "empty" in repr(whole.until(pd.Timestamp("2020-01-01", tz="UTC")))
    assert len(whole.until(TIMES[1]).times) == 2
    assert list(whole.select(["b"]).offers.index) == ["b"]
    assert list(whole.select(np.array([False, True])).offers.index) == ["b"]
    assert whole.frame("state").loc[TIMES[2], "b"] == 0
    with pytest.raises(DataError, match="not in the panel"):
        whole.select(["c"])


@pytest.mark.parametrize(
    "values",
    [
        np.ones((2, 4)),
        np.ones((3, 4, 3)),
        np.ones((2, 0, 3)),
        np.full((2, 4, 3), np.nan),
        -np.ones((2, 4, 3)),
    ],
)
def test_paths_refuse_the_impossible(values):
    with pytest.raises(DataError):
        Paths(pd.Index(["a", "b"]), TIMES, values)


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_paths_survive_their_table(n_offers, n_paths, n_steps, seed):
    values = np.random.default_rng(seed).random((n_offers, n_paths, n_steps))
    ids = pd.Index([f"o{i}" for i in range(n_offers)])
    paths = Paths(ids, TIMES[:n_steps], values)
    table = schema.validate(paths.table(), "paths").sample(frac=1, random_state=0)
    back = Paths.from_table(table).select(ids)
    np.testing.assert_array_equal(back.values, values)
    assert (back.times == paths.times).all()


def test_an_incomplete_table_of_paths_is_refused():
    table = Paths(pd.Index(["a"]), TIMES, np.ones((1, 2, 3))).table().iloc[1:]
    with pytest.raises(DataError, match="not complete"):
        Paths.from_table(table)
    with pytest.raises(DataError, match="no paths for offer z"):
        Paths(pd.Index(["a"]), TIMES, np.ones((1, 2, 3))).select(["z"])


# --- schema and run tables


def weights() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "series_group": ["all", "all"],
            "horizon": [1, 1],
            "model": ["a", "b"],
            "weight": [0.4, 0.6],
        }
    )


def test_every_column_has_a_meaning_and_every_key_is_a_column():
    for table in {**schema.STORED, **schema.HANDED_OVER}.values():
        assert set(table.key) <= set(table.names)
        assert len(set(table.names)) == len(table.names)
        assert all(c.meaning and c.dtype in schema._PANDAS_KIND for c in table.columns)
        assert all(
            c.unit for c in table.columns if c.dtype == "DOUBLE" and c.name not in ("skill",)
        )
    assert schema.STORED["price_events"].names[:6] == list(OFFER_PARTS)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f.rename(columns={"weight": "wieght"}), "did you mean 'wieght'"),
        (lambda f: f.assign(weight=["x", "y"]), "is not DOUBLE"),
        (lambda f: f.assign(weight=[1.0, np.nan]), "row 1: empty value"),
        (lambda f: f.assign(weight=[1.0, np.inf]), "infinite"),
        (lambda f: f.assign(model="a"), "repeats"),
    ],
)
def test_a_bad_table_is_refused_by_name(change, says):
    with pytest.raises(DataError, match=says):
        schema.validate(change(weights()), "weights")


def test_naive_times_are_refused():
    table = Paths(pd.Index(["a"]), TIMES, np.ones((1, 2, 3))).table()
    table["target_utc"] = table["target_utc"].dt.tz_localize(None)
    with pytest.raises(DataError, match="naive"):
        schema.validate(table, "paths")


def test_tables_of_a_run(tmp_path):
    assert run_tables.load_table("weights", tmp_path) is None
    path = run_tables.save_table(weights().assign(note="x"), "weights", tmp_path)
    assert path == tmp_path / "tables" / "weights.parquet"
    back = run_tables.load_table("weights", tmp_path)
    pd.testing.assert_frame_equal(back, weights().assign(note="x"))
    with pytest.raises(DataError):
        run_tables.save_table(weights().drop(columns="model"), "weights", tmp_path)
    pd.testing.assert_frame_equal(run_tables.load_table("weights", tmp_path), back)
    with pytest.raises(DataError, match="plain name"):
        run_tables.save_table(weights(), "../weights", tmp_path)


def test_scratch_tables_are_never_handed_over(tmp_path, monkeypatch):
    monkeypatch.setenv(locations.HOME_VARIABLE, str(tmp_path))
    path = run_tables.save_table(weights(), "weights")
    assert path == tmp_path / "reports" / "scratch" / "tables" / "weights.parquet"
    assert run_tables.load_table("weights") is None


def test_a_failed_write_keeps_the_old_table(tmp_path, monkeypatch):
    run_tables.save_table(weights(), "weights", tmp_path)

    def full_disk(self, path, index):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", full_disk)
    with pytest.raises(OSError, match="No space left"):
        run_tables.save_table(weights().assign(weight=0.5), "weights", tmp_path)
    assert [p.name for p in (tmp_path / "tables").iterdir()] == ["weights.parquet"]
    assert run_tables.load_table("weights", tmp_path)["weight"].tolist() == [0.4, 0.6]


def test_assumptions_remember_what_was_used(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text(
        "name,value,unit,source,date\ncap_h100,8,GPU,guess,2026-01-01\ncap,4,GPU,guess,2026-01-01\n"
    )
    book = assumptions.load_assumptions(file)
    assert book.get("cap_l4", "cap") == 4
    assert book.used["name"].tolist() == ["cap"]
    with pytest.raises(ParameterError, match="did you mean 'cap_h100'"):
        book.get("cap_h10")
    with pytest.raises(ParameterError, match="no assumption file"):
        assumptions.load_assumptions(tmp_path / "none.csv")


def test_errors_carry_the_way_out():
    error = CloudArbError("price is -1.", "Leave the row out.")
    assert str(error) == "price is -1. Way out: Leave the row out."
    assert len({e.exit_code for e in CloudArbError.__subclasses__()}) == len(
        CloudArbError.__subclasses__()
    )
