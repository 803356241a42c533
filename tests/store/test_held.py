"""What is held is listed with its reason, and a person's verdict counts from when it was made."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.store import decide, held, open_snapshot
from cloudarb_lib.testing import PRICE_HEADER, ingest, write_text

pytestmark = pytest.mark.slow

DECIDED = pd.Timestamp("2026-05-10", tz="UTC")


def line(day: int, price: object, machine="m") -> str:
    return f"renter,us,{machine},on_demand,2026-04-{day:02d}T00:00:00Z,{price}\n"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A list that fell, went on, and fell again; a zero; a row of which nothing can be read."""
    text = PRICE_HEADER + line(1, 10) + line(5, 4) + line(9, 3.9) + line(12, 1.5)
    text += line(1, 7, "zeroed") + line(5, 0, "zeroed") + "renter,us,z,on_demand,never,1\n"
    ingest(tmp_path / "s", write_text(tmp_path / "p.csv", text))
    return tmp_path / "s"


def entries(store: Path, as_of: object = "2026-06-30") -> pd.DataFrame:
    with open_snapshot(store) as snapshot:
        return held(snapshot, as_of=as_of)


def prices(store: Path, as_of: str) -> list[float | None]:
    with open_snapshot(store) as snapshot:
        events = snapshot.events(as_of=as_of)
    of_machine = events[events["instance_type"] == "m"]["price_usd_per_hour"]
    return [None if pd.isna(price) else price for price in of_machine]


def id_of(store: Path, **values: object) -> str:
    table = entries(store)
    for name, value in values.items():
        table = table[table[name] == value]
    (entry_id,) = table["id"]
    return entry_id


def test_what_keeps_an_offer_out_comes_first(store: Path) -> None:
    table = entries(store)
    assert table["reason"].tolist() == [*["fell_by_half"] * 3, "price_zero", "time_unreadable"]
    assert table["keeps_out"].tolist() == [True] * 4 + [False]
    assert table["price_usd_per_hour"].dropna().tolist() == [1.5, 3.9, 4.0]
    assert table["row_text"].dropna().str.startswith("renter,us,").all()


def test_a_good_price_of_later_ends_it(store: Path, tmp_path: Path) -> None:
    ingest(store, write_text(tmp_path / "q.csv", PRICE_HEADER + line(20, 9) + line(4, 8, "zeroed")))
    table = entries(store)
    assert set(table[table["keeps_out"]]["reason"]) == {"price_zero"}


def test_a_row_held_back_at_a_later_look_at_the_same_price_keeps_its_offer_out(
    tmp_path: Path,
) -> None:
    head = PRICE_HEADER.strip() + ",observed_at\n"
    seen = [
        f"{line(5, price).strip()},2026-04-0{day}T00:00:00Z\n" for price, day in ((8, 6), (0, 7))
    ]
    store = tmp_path / "s"
    for number, row in enumerate(seen):
        ingest(store, write_text(tmp_path / f"{number}.csv", head + row))
    assert prices(store, "2026-04-08") == [None]
    assert entries(store)["keeps_out"].tolist() == [True]
    ingest(store, write_text(tmp_path / "good.csv", head + seen[0].replace("04-06", "04-07")))
    assert entries(store)["keeps_out"].tolist() == [False]


def test_nothing_later_is_seen(store: Path) -> None:
    assert entries(store, "2026-04-06")["price_usd_per_hour"].dropna().tolist() == [4.0]
    decide(store, id_of(store, price_usd_per_hour=4.0), verdict="drop", why="x", decided_at=DECIDED)
    assert entries(store, "2026-05-08")["verdict"].isna().all()


def test_a_release_counts_from_its_time_and_takes_what_followed_at_that_level(store: Path) -> None:
    fallen = id_of(store, price_usd_per_hour=4.0)
    ids = decide(store, fallen[:6], verdict="release", why="a new list", decided_at=DECIDED)
    assert sorted(ids) == sorted([fallen, id_of(store, price_usd_per_hour=3.9)])
    assert prices(store, "2026-05-08") == [10, None, None, None]
    assert prices(store, "2026-05-11") == [10, 4, 3.9, None]
    table = entries(store).set_index("price_usd_per_hour")
    assert table.loc[[4.0, 3.9], "why"].tolist() == ["a new list", f"with {fallen}: a new list"]
    assert table.loc[[4.0, 3.9, 1.5], "keeps_out"].tolist() == [False, False, True]


def test_prices_after_a_release_are_judged_by_it(store: Path, tmp_path: Path) -> None:
    fallen = id_of(store, price_usd_per_hour=4.0)
    decide(store, fallen, verdict="release", why="a new list", decided_at=DECIDED)
    text = PRICE_HEADER + line(20, 3.7).replace("-04-", "-05-")
    ingest(store, write_text(tmp_path / "q.csv", text))
    assert prices(store, "2026-05-30")[-1] == 3.7


def test_a_drop_lets_the_price_before_stand(store: Path) -> None:
    zero = id_of(store, reason="price_zero")
    decide(store, zero, verdict="drop", why="a test row", decided_at=DECIDED)
    with open_snapshot(store) as snapshot:
        events = snapshot.events(as_of="2026-05-11")
    assert events[events["instance_type"] == "zeroed"]["price_usd_per_hour"].tolist() == [7]


def test_a_price_that_the_list_took_back_keeps_nobody_out(tmp_path: Path) -> None:
    text = PRICE_HEADER + line(1, 10) + line(2, 1) + line(3, 10)
    ingest(tmp_path / "s", write_text(tmp_path / "p.csv", text))
    table = entries(tmp_path / "s")
    assert table["reason"].tolist() == ["glitch_reverted"]
    assert not table["keeps_out"].any()
    with pytest.raises(ParameterError, match="price before stands"):
        decide(tmp_path / "s", table["id"][0], verdict="drop", why="x", decided_at=DECIDED)


@pytest.mark.parametrize(
    ("reason", "verdict", "why", "words"),
    [
        ("price_zero", "release", "it is free", "is no price that could be released"),
        ("time_unreadable", "release", "x", "is no price that could be released"),
        ("time_unreadable", "drop", "x", "keeps nothing out of plans"),
        ("price_zero", "drop", " ", "a verdict needs a reason"),
        ("price_zero", "forget", "x", "verdict 'forget' is unknown"),
    ],
)
def test_a_verdict_that_cannot_be_is_refused(store: Path, reason, verdict, why, words) -> None:
    entry = id_of(store, reason=reason)
    with pytest.raises(ParameterError, match=words):
        decide(store, entry, verdict=verdict, why=why, decided_at=DECIDED)


@pytest.mark.parametrize("entry_id", ["", "xyz"])
def test_an_id_names_one_entry(store: Path, entry_id: str) -> None:
    with pytest.raises(ParameterError, match="no entry"):
        decide(store, entry_id, verdict="drop", why="x", decided_at=DECIDED)
