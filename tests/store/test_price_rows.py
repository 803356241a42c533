"""Where prices lie: in snapshots and in the segments that these share."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib.base.errors import StoreError
from cloudarb_lib.store import Snapshot, open_snapshot, price_rows
from cloudarb_lib.testing import PRICE_HEADER, ingest, write_text

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def few_rows_in_a_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_rows, "ROWS_IN_SNAPSHOT", 10)


def prices(path: Path, first: int, number: int) -> Path:
    """Write so many prices of the hours from one on, each of two offers in turn."""
    hours = pd.date_range("2026-01-01", periods=first + number, freq="1h", tz="UTC")[first:]
    rows = [
        f"gcp,r{i % 2},m,spot,{hour:%Y-%m-%dT%H}:00:00Z,{1 + (first + i) / 1000}\n"
        for i, hour in enumerate(hours)
    ]
    return write_text(path, PRICE_HEADER + "".join(rows))


def segments(store: Path) -> set[str]:
    return {path.name for path in (store / "segments").glob("*")}


def stored(store: Path) -> pd.DataFrame:
    with open_snapshot(store) as snapshot:
        return snapshot.events(as_of="2026-06-01")


def test_few_rows_stay_in_the_snapshot_and_many_make_a_segment(tmp_path: Path) -> None:
    store = tmp_path / "s"
    ingest(store, prices(tmp_path / "1.csv", 0, 6))
    assert segments(store) == set()
    ingest(store, prices(tmp_path / "2.csv", 10, 6))
    assert len(segments(store)) == 1
    assert len(stored(store)) == 12
    ingest(store, prices(tmp_path / "3.csv", 20, 6))
    assert len(segments(store)) == 1
    assert len(stored(store)) == 18


def test_how_prices_lie_shows_in_no_read_and_no_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [prices(tmp_path / f"{i}.csv", 5 * i, 5) for i in range(6)]
    for i, file in enumerate(files):
        report = ingest(tmp_path / "many", file)
        assert report.new == 5, i
    many = stored(tmp_path / "many")
    assert ingest(tmp_path / "many", *files).published is False  # found again in the segments
    monkeypatch.setattr(price_rows, "ROWS_IN_SNAPSHOT", 1000)
    once = ingest(tmp_path / "one", *reversed(files))
    assert once.digest == report.digest
    pd.testing.assert_frame_equal(stored(tmp_path / "one"), many)


def test_segments_are_few_and_shared(tmp_path: Path) -> None:
    store = tmp_path / "s"
    seen: set[str] = set()
    for i in range(9):
        ingest(store, prices(tmp_path / "p.csv", 11 * i, 11))
        seen |= segments(store)
        with open_snapshot(store) as snapshot:
            assert len(snapshot.files) - 1 <= 4  # about log2(9)
    kept = set()
    for path in (store / "snapshots").iterdir():
        with Snapshot(path) as snapshot:
            kept |= {file.name for file in snapshot.files[1:]}
    assert segments(store) == kept < seen  # what no snapshot needs is gone
    assert len(stored(store)) == 99


def test_a_large_segment_is_not_written_again(tmp_path: Path) -> None:
    store = tmp_path / "s"
    ingest(store, prices(tmp_path / "1.csv", 0, 60))
    (large,) = segments(store)
    ingest(store, prices(tmp_path / "2.csv", 100, 11))
    assert large in segments(store)
    assert len(segments(store)) == 2


def test_a_reader_keeps_segments_that_are_deleted(tmp_path: Path) -> None:
    store = tmp_path / "s"
    ingest(store, prices(tmp_path / "1.csv", 0, 11))
    with open_snapshot(store) as old:
        (mine,) = segments(store)
        for i in range(1, 6):
            ingest(store, prices(tmp_path / "p.csv", 20 * i, 20))
        assert mine not in segments(store)
        assert len(old.events(as_of="2026-06-01")) == 11


def test_a_correction_finds_its_price_in_a_segment(tmp_path: Path) -> None:
    store = tmp_path / "s"
    ingest(store, prices(tmp_path / "1.csv", 0, 12))
    header = PRICE_HEADER.strip() + ",observed_at\n"
    row = "gcp,r0,m,spot,2026-01-01T00:00:00Z,{},2026-02-0{}T00:00:00Z\n"
    file = write_text(tmp_path / "2.csv", header + row.format(1, 1) + row.format(9, 2))
    report = ingest(store, file)
    assert (report.unchanged, report.superseded) == (1, 1)
    again = ingest(store, prices(tmp_path / "1.csv", 0, 12))
    assert (again.unchanged, again.published) == (12, False)


def test_a_snapshot_without_its_segment_says_the_way_out(tmp_path: Path) -> None:
    store = tmp_path / "s"
    ingest(store, prices(tmp_path / "1.csv", 0, 12))
    (path,) = (store / "segments").iterdir()
    os.unlink(path)
    with pytest.raises(StoreError, match=r"lacks a part.*Way out"):
        open_snapshot(store)
