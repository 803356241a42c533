"""The market at a time, read the one way from the store."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.market import read_market, read_markets
from cloudarb_lib.market.places import PLACE_COLUMNS
from cloudarb_lib.store import ingest_files, open_snapshot
from cloudarb_lib.testing import PRICE_HEADER, PRICE_ROW, Record, write_text

END = Record.END
AGES = {"providers": ["gcp"], "stale_after_days": 14.0}
OFFER = "gcp/{}//a3-highgpu-8g/{}/{}"


@pytest.fixture
def record():
    """Two fresh offers and one of a record given up ten weeks ago."""
    record = Record(
        {
            "us-a:spot": [(0, 10.0), (24, 20.0)],
            "us-a:reserved-1y": [(0, 50.0)],
            "us-c:spot": [(20, 1.0)],
        }
    )
    record.rows.loc[record.rows["region"] == "us-c", "source"] = "given up"
    return record


def test_a_market_has_the_offers_of_fresh_sources_and_where_they_lie(record):
    market = read_market(record, END, **AGES)
    assert market.offers["offer_id"].tolist() == [
        OFFER.format("us-a", "reserved", "1y"),
        OFFER.format("us-a", "spot", ""),
    ]
    assert set(PLACE_COLUMNS) <= set(market.offers)
    assert market.sources.set_index("source")["stale"].to_dict() == {
        "given up": True,
        "test": False,
    }
    assert set(market.fresh(record.rows)["source"]) == {"test"}


def test_each_time_knows_only_what_was_known_then(record):
    early, late = read_markets(record, [END - 10 * Record.WEEK, END], **AGES)
    spot = OFFER.format("us-a", "spot", "")
    prices = [m.offers.set_index("offer_id")["price_usd_per_hour"][spot] for m in (early, late)]
    assert prices == [10.0, 20.0]
    assert record.asked == [END - 10 * Record.WEEK, END]


def test_offers_are_chosen_by_gpu_model_and_term(record):
    market = read_market(record, END, **AGES)
    assert market.offers_of({"H100"})["term"].tolist() == [""]
    assert market.offers_of({"H100"}, ["1y"])["term"].tolist() == ["1y", ""]
    assert market.offers_of({"L4"}, ["1y"]).empty


def test_stale_offers_are_marked_and_those_that_expired_stay_out(record):
    market = read_market(record, END, **AGES, expired_after_days=100.0)
    older = market.with_stale()
    stale = older.offers.set_index("offer_id")["stale"]
    assert stale[OFFER.format("us-c", "spot", "")]
    assert stale.sum() == 1
    assert not older.sources["stale"].any()
    same = older.offers[~older.offers["stale"]].drop(columns="stale").reset_index(drop=True)
    pd.testing.assert_frame_equal(same, market.offers)
    strict = read_market(record, END, **AGES, expired_after_days=60.0).with_stale()
    assert not strict.offers["stale"].any()


def test_a_panel_leaves_stale_records_out_unless_asked(record):
    market = read_market(record, END, **AGES, expired_after_days=100.0)
    assert market.panel("7D").offers.index.tolist() == market.offers["offer_id"].tolist()
    record_panel = market.panel("7D", with_stale=True)
    assert OFFER.format("us-c", "spot", "") in record_panel.offers.index
    np.testing.assert_array_equal(market.with_stale().panel("7D").price, record_panel.price)


@pytest.mark.parametrize(
    ("providers", "days", "says"),
    [(["gpc"], 14.0, "provider 'gpc' .*did you mean 'gcp'"), (["gcp"], 0.0, "no price is known")],
)
def test_a_market_without_offers_is_refused(record, providers, days, says):
    with pytest.raises(ParameterError, match=says):
        read_market(record, END + Record.WEEK, providers=providers, stale_after_days=days)


def test_what_is_not_known_to_be_sold_is_in_no_panel_and_a_market_of_it_alone_is_refused(record):
    whole = record.evidence(as_of=END)
    record.evidence = lambda *, as_of: whole[whole["region"] == "us-a"]
    market = read_market(record, END, **AGES, expired_after_days=100.0)
    assert set(market.panel("7D", with_stale=True).offers["region"]) == {"us-a"}
    listed = read_market(record, END, **AGES, expired_after_days=100.0, listed_too=True)
    assert set(listed.panel("7D", with_stale=True).offers["region"]) == {"us-a", "us-c"}
    record.evidence = lambda *, as_of: whole[whole["region"] == "nowhere"]
    with pytest.raises(ParameterError, match=r"none is known to be sold.*--listed-too"):
        read_market(record, END, **AGES)


@pytest.mark.slow
def test_a_provider_misspelt_is_told_the_nearest_of_a_store_without_looks_too(tmp_path):
    file = write_text(tmp_path / "mine.csv", PRICE_HEADER + PRICE_ROW)
    ingest_files([file], store_dir=tmp_path / "store", now=pd.Timestamp("2026-01-06T00:00Z"))
    when = pd.Timestamp("2026-01-06T00:00Z")
    with open_snapshot(tmp_path / "store") as snapshot:
        with pytest.raises(ParameterError, match=r"did you mean 'gcp'\?") as told:
            read_market(snapshot, when, **AGES | {"providers": ["gpc"]}, gpu_only=False)
        assert told.value.way_out == "Use gcp."
        with pytest.raises(ParameterError, match="Use a later day"):
            read_market(snapshot, when - pd.Timedelta(days=90), **AGES, gpu_only=False)
