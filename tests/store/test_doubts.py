"""Offers in doubt: rows held back, prices found wrong, and what a person decided of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib.store import connect, open_snapshot
from cloudarb_lib.testing import PRICE_HEADER, ingest, write_text

pytestmark = pytest.mark.slow

OFFER = "'renter', 'us-1', '', 'h100x8', 'on_demand', ''"


def price(day: int, value: object, region: str = "us-1") -> str:
    return f"renter,{region},h100x8,on_demand,2026-04-{day:02}T00:00:00Z,{value}\n"


def file_of(path: Path, *rows: str) -> Path:
    return write_text(path, PRICE_HEADER + "".join(rows))


def shown(store: Path, day: int) -> list[list[object]]:
    """Return price and quality of each row of the offer as of a day."""
    with open_snapshot(store) as snapshot:
        events = snapshot.events(as_of=pd.Timestamp(f"2026-04-{day:02}", tz="UTC"))
    mine = events[events["region"] == "us-1"]
    prices = mine["price_usd_per_hour"].astype(object)
    return [
        [p, q] for p, q in zip(prices.where(prices.notna(), None), mine["quality"], strict=True)
    ]


def write(store: Path, statement: str) -> None:
    """Carry out a statement on the newest snapshot, as a person's verdict would."""
    with open_snapshot(store) as snapshot:
        path = snapshot.path
    with connect(path) as con:
        con.execute(statement)


def test_a_row_held_back_puts_its_offer_in_doubt_until_a_good_one(tmp_path: Path) -> None:
    store = tmp_path / "s"
    rows = [price(20, "8.00"), price(20, "24.00", "us-2"), price(28, 0), price(28, "24.5", "us-2")]
    report = ingest(store, file_of(tmp_path / "p.csv", *rows))
    assert (report.new, dict(report.quarantined)) == (3, {"price_zero": 1})
    assert shown(store, 27) == [[8.0, "ok"]]
    assert shown(store, 28) == [[8.0, "ok"], [None, "price_zero"]]
    with open_snapshot(store) as snapshot:
        doubt = snapshot.events(as_of="2026-04-29").query("quality != 'ok'").iloc[0]
    assert "is zero" in doubt["detail"]
    ingest(store, file_of(tmp_path / "q.csv", price(29, "8.00")))
    assert shown(store, 28) == [[8.0, "ok"], [None, "price_zero"]]
    assert shown(store, 29) == [[8.0, "ok"], [None, "price_zero"], [8.0, "ok"]]


def test_a_good_row_of_the_same_time_ends_a_doubt(tmp_path: Path) -> None:
    store = tmp_path / "s"
    ingest(store, file_of(tmp_path / "p.csv", price(20, "-1"), price(21, "x")))
    ingest(store, file_of(tmp_path / "q.csv", price(20, "8.00")))
    assert shown(store, 22) == [[8.0, "ok"], [None, "price_not_a_number"]]
    assert ingest(store, file_of(tmp_path / "p2.csv", price(21, "x"))).published is False


@pytest.mark.parametrize(
    "row",
    [
        "renter,us-1,,on_demand,2026-04-20T00:00:00Z,0\n",
        "renter,us-1,h100x8,hourly,2026-04-20T00:00:00Z,0\n",
        "renter,us-1,h100x8,on_demand,2026-04-20,0\n",
        "renter,us-1,h100x8,on_demand,2026-04-20T00:00:00Z\n",
    ],
)
def test_a_row_whose_offer_or_time_cannot_be_read_puts_nothing_in_doubt(
    tmp_path: Path, row: str
) -> None:
    store = tmp_path / "s"
    ingest(store, file_of(tmp_path / "p.csv", price(19, "8.00")))
    report = ingest(store, file_of(tmp_path / "q.csv", row))
    assert report.nothing_landed == ["q.csv"]
    assert report.published is False
    assert "q.csv: nothing landed" in str(report)
    assert shown(store, 21) == [[8.0, "ok"]]


def test_rows_of_one_time_that_disagree_put_the_offer_in_doubt(tmp_path: Path) -> None:
    store = tmp_path / "s"
    ingest(store, file_of(tmp_path / "p.csv", price(20, "8"), price(21, "9"), price(21, "10")))
    assert shown(store, 22) == [[8.0, "ok"], [None, "duplicate_disagrees"]]
    ingest(store, file_of(tmp_path / "q.csv", price(20, "7")))  # against what is stored
    assert shown(store, 20) == [[None, "duplicate_disagrees"]]
    write(
        store,
        f"INSERT INTO verdicts VALUES ({OFFER}, TIMESTAMPTZ '2026-04-20',"
        " TIMESTAMPTZ '2026-04-20', 'drop', 'a slip', TIMESTAMPTZ '2026-04-20')",
    )
    assert shown(store, 20) == [[8.0, "ok"]]  # the row held back goes, the stored one stays


def test_flags_and_verdicts_count_from_when_they_were_made(tmp_path: Path) -> None:
    store = tmp_path / "s"
    ingest(store, file_of(tmp_path / "p.csv", price(20, "8.00"), price(22, "5.00"), price(25, 0)))
    of_22 = f"{OFFER}, TIMESTAMPTZ '2026-04-22', TIMESTAMPTZ '2026-04-22'"
    of_25 = f"{OFFER}, TIMESTAMPTZ '2026-04-25', TIMESTAMPTZ '2026-04-25'"
    low = f"({of_22}, 'low_for_market', 'far under others', TIMESTAMPTZ '2026-04-23', NULL)"
    write(store, f"INSERT INTO flags VALUES {low}")
    assert shown(store, 22) == [[8.0, "ok"], [5.0, "ok"]]
    assert shown(store, 24) == [[8.0, "ok"], [None, "low_for_market"]]
    write(
        store,
        f"INSERT INTO verdicts VALUES ({of_22}, 'release', 'a sale', TIMESTAMPTZ '2026-04-24'),"
        f" ({of_25}, 'drop', 'a test row', TIMESTAMPTZ '2026-04-26')",
    )
    assert shown(store, 23) == [[8.0, "ok"], [None, "low_for_market"]]
    assert shown(store, 24) == [[8.0, "ok"], [5.0, "ok"]]
    assert shown(store, 25) == [[8.0, "ok"], [5.0, "ok"], [None, "price_zero"]]
    assert shown(store, 26) == [[8.0, "ok"], [5.0, "ok"]]
    write(store, f"INSERT INTO verdicts VALUES ({of_22}, 'drop', 'no', TIMESTAMPTZ '2026-04-27')")
    assert shown(store, 27) == [[8.0, "ok"]]
