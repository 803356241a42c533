"""Rows that break a rule are held back; what a file leaves out has its default."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib.store import open_snapshot
from cloudarb_lib.testing import PRICE_HEADER, PRICE_ROW, ingest, quarantine, write_text

pytestmark = pytest.mark.slow

BAD = {
    "gcp,r,m,spot,2026-01-05T00:00:00Z,cheap": "price_not_a_number",
    "gcp,r,m,spot,2026-01-05T00:00:00Z,NaN": "price_not_a_number",
    "gcp,r,m,spot,2026-01-05T00:00:00Z,1_0": "price_not_a_number",
    "gcp,r,m,spot,2026-01-05T00:00:00Z,-0.1": "price_negative",
    "gcp,r,m,spot,2026-01-05T00:00:00Z,0": "price_zero",
    "gcp,r,m,spot,2026-01-05T00:00:00Z,inf": "price_infinite",
    "gcp,r,m,spot,2026-01-05T00:00:00Z,1e999": "price_infinite",
    "gcp,r,m,spot,2026-01-05T00:00:00Z,100000.01": "price_beyond_reason",
    "gcp,r,m,spot,2026-01-05T00:00:00+99:00,1": "time_unreadable",
    "gcp,r,m,spot,2026-01-05T00:00:00+14:30,1": "time_unreadable",
    "gcp,r,m,spot,2026-01-05T00:00:00-13:00,1": "time_unreadable",
    "gcp,r,m,spot,2026-01-05T24:00:00Z,1": "time_unreadable",
    "gcp,r,m,spot,2026-01-05T00:00:60Z,1": "time_unreadable",
    "gcp,r,m,spot,1970-01-01T00:00:00Z,1": "time_too_early",
    "gcp,r,m,spot,-026-01-05T00:00:00Z,1": "time_too_early",
    "gcp,r,m,spot,2026-01-05T00:00:00,1": "time_naive",
    "gcp,r,m,spot,2026-01-05,1": "time_naive",
    "gcp,r,m,spot,soon,1": "time_unreadable",
    "gcp,r,m,spot,2026-13-05T00:00:00Z,1": "time_unreadable",
    "gcp,r,m,spot,,1": "time_unreadable",
    "gcp,r,m,spot,2026-06-01T00:00:01Z,1": "time_future",
    "gcp,r,m,sp0t,2026-01-05T00:00:00Z,1": "unknown_purchase_option",
    "gcp,r,m,reserved,2026-01-05T00:00:00Z,1": "unknown_term",
    ",r,m,spot,2026-01-05T00:00:00Z,1": "empty_key",
    "gcp,r,,spot,2026-01-05T00:00:00Z,1": "empty_key",
    "gcp,r,m/x,spot,2026-01-05T00:00:00Z,1": "key_not_plain",
    "gcp,r,m\x00,spot,2026-01-05T00:00:00Z,1": "key_not_plain",
    "gcp,r,m,spot,2026-01-05T00:00:00Z": "missing_column",
    "gcp,r,m,spot,2026-01-05T00:00:00Z,1,2": "unknown_column",
    'gcp,r,"m,spot,2026-01-05T00:00:00Z,1': "row_unreadable",
}


def test_each_bad_row_is_held_back_with_line_and_reason(tmp_path: Path) -> None:
    file = write_text(
        tmp_path / "prices.csv", PRICE_HEADER + "".join(f"{row}\n{PRICE_ROW}" for row in BAD)
    )
    report = ingest(tmp_path / "s", file)
    held_back = quarantine(tmp_path / "s")
    assert dict(zip(held_back["line"], held_back["reason"], strict=True)) == {
        2 + 2 * i: reason for i, reason in enumerate(BAD.values())
    }
    assert held_back["detail"].str.len().min() > 10
    assert set(held_back["file"]) == {"prices.csv"}
    assert held_back.loc[0, "row_text"] == next(iter(BAD))
    assert (report.new, report.unchanged) == (1, len(BAD) - 1)
    assert (
        report.read
        == report.new + report.unchanged + report.superseded + report.quarantined.total()
    )


def test_other_columns_are_checked_too(tmp_path: Path) -> None:
    header = PRICE_HEADER.strip() + ",term,currency,observed_at,price_kind,offer_count,quality\n"
    rows = [
        "2y,USD,2026-01-05T00:00:00Z,,,ok",
        "1y,EUR,2026-01-05T00:00:00Z,,,ok",
        "1y,,2026-01-05T00:00:00Z,bid,,ok",
        "1y,,2026-01-05T00:00:00Z,,-1,ok",
        "1y,,2026-01-05T00:00:00Z,,2.5,ok",
        "1y,,2027-01-05T00:00:00Z,,,ok",
        "1y,usd,2026-01-06T00:00:00Z,market,3,odd",
    ]
    begin = "gcp,r,m,reserved,2026-01-05T00:00:00Z,1,"
    report = ingest(
        tmp_path / "s",
        write_text(tmp_path / "p.csv", header + "".join(f"{begin}{row}\n" for row in rows)),
    )
    assert quarantine(tmp_path / "s")["reason"].tolist() == [
        "unknown_term",
        "currency_not_usd",
        "unknown_price_kind",
        "value_not_a_number",
        "value_not_a_number",
        "time_future",
    ]
    assert report.new == 1
    with open_snapshot(tmp_path / "s") as snapshot:
        row = snapshot.table("price_events").iloc[0]
    assert (row["term"], row["price_kind"], row["offer_count"]) == ("1y", "market", 3)


@pytest.mark.parametrize("number", ["2147483648", "99999999999", "inf", "-1e300"])
def test_a_number_too_large_for_its_column_is_held_back(tmp_path: Path, number: str) -> None:
    header = PRICE_HEADER.strip() + ",offer_count\n"
    rows = [f"{PRICE_ROW.strip()},{number}\n", f"{PRICE_ROW.strip()},2147483647\n"]
    report = ingest(tmp_path / "s", write_text(tmp_path / "p.csv", header + "".join(rows)))
    assert (report.new, dict(report.quarantined)) == (1, {"value_not_a_number": 1})
    with open_snapshot(tmp_path / "s") as snapshot:
        assert snapshot.table("price_events")["offer_count"].tolist() == [2147483647]


def test_defaults_and_raw_names(tmp_path: Path) -> None:
    text = (
        "provider,region,instance_type,purchase_option,effective_at,price_usd_hour\r\n"
        '"AWS",us-east-1,m5.large,spot,2026-01-05T01:00:00+02:00,0.03\r\n'
        "gcp,,n2-standard-4,reserved_3y,2026-01-05 00:00:00Z,\r\n\r\n"
        '"az\nure",x,y,on_demand,2026-01-05T00:00:00Z,1\r\n'
        "azure,x,y,on_demand,2026-01-05T00:00:00Z,2\r\n"
    )
    file = tmp_path / "mine.csv"
    file.write_bytes(b"\xef\xbb\xbf" + text.encode())
    ingest(tmp_path / "s", file)
    with open_snapshot(tmp_path / "s") as snapshot:
        table = snapshot.table("price_events").set_index("provider")
    assert table.loc["aws", ["price_kind", "source", "zone"]].tolist() == ["market", "mine", ""]
    assert table.loc["aws", "effective_at"] == pd.Timestamp("2026-01-04T23:00Z")
    assert (table["observed_at"] == table["effective_at"]).all()
    gcp = table.loc["gcp"]
    assert gcp[["region", "purchase_option", "term", "price_kind"]].tolist() == [
        "unstated",
        "reserved",
        "3y",
        "administered",
    ]
    assert np.isnan(gcp["price_usd_per_hour"])
    assert table.loc["azure", "price_usd_per_hour"] == 2
    held_back = quarantine(tmp_path / "s")
    assert held_back[["line", "reason"]].to_numpy().tolist() == [
        [5, "row_unreadable"],
        [6, "row_unreadable"],
    ]


def test_a_header_that_does_not_fit_holds_back_every_row(tmp_path: Path) -> None:
    wrong = write_text(
        tmp_path / "a.csv", PRICE_HEADER.replace("region", "regin") + PRICE_ROW + PRICE_ROW
    )
    assert dict(ingest(tmp_path / "s", wrong).quarantined) == {"missing_column": 2}
    assert "column 'region' (perhaps 'regin')" in quarantine(tmp_path / "s")["detail"][0]
    short = write_text(
        tmp_path / "b.csv",
        PRICE_HEADER.replace(",price_usd_per_hour", "") + PRICE_ROW.rsplit(",", 1)[0] + "\n",
    )
    report = ingest(tmp_path / "s", short)
    assert dict(report.quarantined) == {"missing_column": 1}
    assert report.nothing_landed == ["b.csv"]
    twice = write_text(tmp_path / "c.csv", PRICE_HEADER.replace("region", "provider") + PRICE_ROW)
    assert dict(ingest(tmp_path / "s", twice).quarantined) == {"column_twice": 1}


@pytest.mark.parametrize("name", ["notes", '"a""b"', "a\x00b", "line_read", "row_read", "c0"])
def test_a_column_that_is_none_of_ours_is_passed_over(tmp_path: Path, name: str) -> None:
    text = PRICE_HEADER.strip() + f",{name}\n" + PRICE_ROW.strip() + ",1\n"
    report = ingest(tmp_path / "s", write_text(tmp_path / "d.csv", text))
    assert (report.new, report.quarantined.total()) == (1, 0)
    (notice,) = report.notices
    assert notice.startswith("d.csv: column ")
    assert notice.endswith("is no column of price_events: it was passed over")


def test_a_column_without_a_name_is_no_news(tmp_path: Path) -> None:
    text = PRICE_HEADER.strip() + ",\n" + PRICE_ROW.strip() + ",\n"
    report = ingest(tmp_path / "s", write_text(tmp_path / "d.csv", text))
    assert (report.new, report.notices) == (1, [])


@pytest.mark.parametrize(
    ("option", "price", "is_held"),
    [("reserved_1y", 265_000, False), ("reserved_3y", 3e9, True), ("on_demand", 265_000, True)],
)
def test_only_a_commitment_may_cost_what_a_whole_term_does(
    option: str, price: float, is_held: bool, tmp_path: Path
) -> None:
    row = f"aws,us-east-1,p5.48xlarge,{option},2026-01-05T00:00:00Z,{price}\n"
    ingest(tmp_path / "s", write_text(tmp_path / "a.csv", PRICE_HEADER + row))
    reasons = quarantine(tmp_path / "s")["reason"].tolist()
    assert reasons == (["price_beyond_reason"] if is_held else [])
