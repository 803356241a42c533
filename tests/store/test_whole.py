"""Files that show a part of a market whole, and files that vouch for their own rows alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.sources.base import Scope
from cloudarb_lib.store import Batch, IngestReport, ingest_files, open_snapshot, scope_of
from cloudarb_lib.store.report import RefusedFiles
from cloudarb_lib.testing import INGESTED_AT, PRICE_HEADER, write_text

pytestmark = pytest.mark.slow

RENTER = Scope("renter")
UNDATED = "provider,region,instance_type,purchase_option,price_usd_per_hour\n"


def day(number: int) -> pd.Timestamp:
    return pd.Timestamp(f"2026-04-{number:02}", tz="UTC")


def dated(path: Path, on: int, **prices: float) -> Path:
    rows = [
        f"renter,{region},8xH100,on_demand,{day(on):%Y-%m-%d}T00:00:00Z,{price}\n"
        for region, price in prices.items()
    ]
    return write_text(path, PRICE_HEADER + "".join(rows))


def undated(path: Path, **prices: float) -> Path:
    rows = [f"renter,{region},8xH100,on_demand,{price}\n" for region, price in prices.items()]
    return write_text(path, UNDATED + "".join(rows))


def take(store: Path, *batches: Batch) -> IngestReport:
    return ingest_files(batches, store_dir=store, now=INGESTED_AT)


def in_force(store: Path, on: int) -> dict[str, float | None]:
    """Return the last price by region; None: not on sale, or in doubt."""
    with open_snapshot(store) as snapshot:
        events = snapshot.events(as_of=day(on))
    last = events.drop_duplicates("region", keep="last").set_index("region")["price_usd_per_hour"]
    return {region: None if pd.isna(price) else price for region, price in last.items()}


def looks(store: Path) -> pd.DataFrame:
    with open_snapshot(store) as snapshot:
        return snapshot.table("looks").sort_values(["looked_at", "source"], ignore_index=True)


def test_what_a_whole_snapshot_lacks_is_withdrawn(tmp_path: Path) -> None:
    first = dated(tmp_path / "snapshot_20.csv", 20, eu=12.0, us=20.0)
    second = dated(tmp_path / "snapshot_27.csv", 27, us=20.0)
    for whole, later in (((), {"eu": 12.0, "us": 20.0}), ((RENTER,), {"eu": None, "us": 20.0})):
        store = tmp_path / f"whole-{len(whole)}"
        take(store, Batch(first, whole=whole))
        report = take(store, Batch(second, whole=whole))
        assert report.withdrawn == len(whole)
        assert in_force(store, 26) == {"eu": 12.0, "us": 20.0}
        assert in_force(store, 28) == later
    again = take(store, Batch(second, whole=(RENTER,)))
    assert (again.published, again.withdrawn) == (False, 0)
    assert looks(store)["looked_at"].unique().tolist() == [day(20), day(27)]


def test_a_scope_reaches_no_further_than_it_says(tmp_path: Path) -> None:
    store = tmp_path / "s"
    take(store, Batch(dated(tmp_path / "1.csv", 20, eu=12.0, us=20.0, ap=9.0)))
    take(store, Batch(dated(tmp_path / "2.csv", 27, us=20.0), whole=(Scope("renter", "eu"),)))
    assert in_force(store, 28) == {"eu": 12.0, "us": 20.0, "ap": 9.0}  # no row of eu: not shown
    eu = Scope("renter", "eu", "on_demand")
    report = take(store, Batch(undated(tmp_path / "3.csv", eu=12.0), day(28), (eu,)))
    assert (report.unchanged, report.withdrawn) == (1, 0)
    assert looks(store).loc[0, ["region", "purchase_option"]].tolist() == ["eu", "on_demand"]


def test_a_file_without_times_is_of_when_it_was_seen(tmp_path: Path) -> None:
    store = tmp_path / "s"
    file = undated(tmp_path / "p.csv", eu=12.0, us=20.0)
    report = take(store, Batch(file))
    assert dict(report.quarantined) == {"missing_column": 2}  # nobody says when
    take(store, Batch(file, seen_at=day(20), whole=(RENTER,)))
    changed = undated(tmp_path / "q.csv", eu=12.0, us=21.0)
    report = take(store, Batch(changed, seen_at=day(21), whole=(RENTER,)))
    assert (report.read, report.new, report.unchanged) == (2, 1, 1)
    with open_snapshot(store) as snapshot:
        events = snapshot.table("price_events").sort_values(["region", "effective_at"])
    assert events[["region", "effective_at", "observed_at"]].to_numpy().tolist() == [
        ["eu", day(20), day(20)],
        ["us", day(20), day(20)],
        ["us", day(21), day(21)],
    ]
    report = take(store, Batch(changed, seen_at=day(22)))
    assert report.new == 2  # it vouches for its rows alone: each is an observation


def test_pages_of_one_look_show_it_together(tmp_path: Path) -> None:
    store = tmp_path / "s"
    take(store, Batch(undated(tmp_path / "0.csv", a=1, b=2, c=3), day(1), (RENTER,)))
    hour = pd.Timedelta("1h")
    pages = [
        Batch(undated(tmp_path / "1.csv", a=1), day(2), (RENTER,)),
        Batch(undated(tmp_path / "2.csv", b=2), day(2) + hour, (RENTER,)),
    ]
    report = take(store, *pages)
    assert report.withdrawn == 1
    assert in_force(store, 3) == {"a": 1, "b": 2, "c": None}
    with pytest.raises(DataError, match=r"nothing was withdrawn"):
        take(store, pages[0], Batch(tmp_path / "missing.csv", day(3), (RENTER,)))
    assert in_force(store, 3) == {"a": 1, "b": 2, "c": None}


def test_two_looks_in_one_call_are_taken_apart(tmp_path: Path) -> None:
    store = tmp_path / "s"
    take(
        store,
        Batch(undated(tmp_path / "2.csv", a=1), day(2), (RENTER,)),
        Batch(undated(tmp_path / "1.csv", a=1, b=2), day(1), (RENTER,)),
    )
    assert in_force(store, 1) == {"a": 1, "b": 2}
    assert in_force(store, 3) == {"a": 1, "b": None}


def test_looks_that_follow_closely_are_taken_apart_where_they_are_named(tmp_path: Path) -> None:
    files = [
        undated(tmp_path / "first.csv", eu=12.0, us=20.0),
        undated(tmp_path / "second.csv", us=20.0),
        undated(tmp_path / "third.csv", eu=12.0, us=20.0),
    ]
    times = [day(20) + pd.Timedelta(hours=hour) for hour in range(3)]
    batches = [
        Batch(file, seen_at=seen_at, whole=(RENTER,), look=file.stem)
        for file, seen_at in zip(files, times, strict=True)
    ]
    report = take(tmp_path / "store", *batches)
    assert report.withdrawn == 1
    assert sorted(set(looks(tmp_path / "store")["looked_at"])) == times
    with open_snapshot(tmp_path / "store") as snapshot:
        events = snapshot.table("price_events").sort_values("effective_at")
    europe = events[events["region"] == "eu"]
    assert list(europe["effective_at"]) == times
    assert europe["price_usd_per_hour"].isna().tolist() == [False, True, False]


def test_a_refused_page_voids_its_look_also_where_it_comes_first(tmp_path: Path) -> None:
    take(tmp_path / "store", Batch(undated(tmp_path / "a.csv", eu=12.0, us=20.0), day(20)))
    broken = tmp_path / "broken.csv"
    broken.write_bytes(b"")
    page = undated(tmp_path / "page.csv", us=20.0)
    with pytest.raises(RefusedFiles, match="was refused") as caught:
        take(
            tmp_path / "store",
            Batch(broken, seen_at=day(27), whole=(RENTER,)),
            Batch(page, seen_at=day(27), whole=(RENTER,)),
        )
    assert set(caught.value.refused) == {broken}
    assert [batch.path for batch, _ in caught.value.report.files] == [page]
    assert in_force(tmp_path / "store", 28) == {"eu": 12.0, "us": 20.0}


def test_a_look_that_withdraws_most_must_be_confirmed(tmp_path: Path) -> None:
    store = tmp_path / "s"
    many = {f"r{i}": 1.0 for i in range(10)}
    few = {f"r{i}": 1.0 for i in range(4)}
    take(store, Batch(undated(tmp_path / "1.csv", **many), day(1), (RENTER,)))
    batch = Batch(undated(tmp_path / "2.csv", **few), day(2), (RENTER,))
    report = take(store, batch)
    assert report.withdrawn == 0
    (notice,) = report.notices
    assert "6 of 10 offers are missing, so nothing was withdrawn" in notice
    assert "--confirm" in notice
    assert looks(store)["looked_at"].tolist() == [day(1)]
    with open_snapshot(store) as snapshot:
        assert (snapshot.table("price_events")["effective_at"] == day(2)).sum() == 4
    report = take(store, Batch(batch.path, day(3), (RENTER,), confirmed=True))
    assert report.withdrawn == 6
    assert in_force(store, 4) == {**dict.fromkeys(many), **few}


def test_a_row_that_is_held_back_is_in_doubt_not_withdrawn(tmp_path: Path) -> None:
    store = tmp_path / "s"
    take(store, Batch(undated(tmp_path / "1.csv", a=1, b=2), day(1), (RENTER,)))
    report = take(store, Batch(undated(tmp_path / "2.csv", a=0, b=2), day(2), (RENTER,)))
    assert (report.withdrawn, dict(report.quarantined)) == (0, {"price_zero": 1})
    with open_snapshot(store) as snapshot:
        last = snapshot.events(as_of=day(3)).drop_duplicates("region", keep="last")
    assert last["quality"].tolist() == ["price_zero", "ok"]
    take(store, Batch(undated(tmp_path / "3.csv", a=1, b=2), day(4), (RENTER,)))
    assert in_force(store, 5) == {"a": 1, "b": 2}  # the same price again ends the doubt


def test_an_older_look_that_comes_later_changes_nothing_after_it(tmp_path: Path) -> None:
    """The look of day 5 said "unchanged": it speaks of what was in force then."""
    files = {
        1: undated(tmp_path / "1.csv", a=1, b=2),
        3: undated(tmp_path / "3.csv", a=7, c=3),
        5: undated(tmp_path / "5.csv", a=1, b=2),
    }
    for order in ((1, 5, 3), (5, 3, 1)):
        store = tmp_path / "".join(map(str, order))
        for number in order:
            take(store, Batch(files[number], day(number), (RENTER,)))
        assert in_force(store, 2) == {"a": 1, "b": 2}, order
        assert in_force(store, 4) == {"a": 7, "b": None, "c": 3}, order
        assert in_force(store, 6) == {"a": 1, "b": 2, "c": None}, order


@pytest.mark.parametrize("text", ["", "/us", "a/b/c/d", "a/b/hourly"])
def test_what_names_no_part_of_a_market_is_refused(text: str) -> None:
    with pytest.raises(ParameterError):
        scope_of(text)
    assert scope_of("GCP/us-east1/spot") == Scope("gcp", "us-east1", "spot")
