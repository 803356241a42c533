"""What was read of an answer is kept for the store, which does not read the answer again."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudarb_lib.base.errors import StoreError
from cloudarb_lib.live.raw import RawFiles
from cloudarb_lib.live.set_aside import SetAside
from cloudarb_lib.sources import registry
from cloudarb_lib.store import Batch, ingest_files, open_snapshot
from cloudarb_lib.testing.live import NOW, csv_prices


@pytest.fixture
def answer(tmp_path: Path) -> Path:
    path = tmp_path / "answer.csv"
    path.write_bytes(csv_prices("us", {"a": 1.0, "b": 2.0}) + b"an odd line\n")
    return path


def test_pieces_come_back_each_time(tmp_path: Path, answer: Path) -> None:
    aside = SetAside(tmp_path / "aside")
    read = list(aside.adding(registry.read(answer)))
    assert read
    assert list(aside) == list(aside) == read


@pytest.mark.slow
def test_the_store_takes_what_was_read_and_reads_no_file(tmp_path: Path, answer: Path) -> None:
    aside = SetAside(tmp_path / "aside")
    read = list(aside.adding(registry.read(answer)))
    answer.write_bytes(csv_prices("us", {"a": 7.0}))
    batch = Batch(answer, seen_at=NOW, pieces=aside)
    report = ingest_files([batch], store_dir=tmp_path / "store", now=NOW)
    assert report.read == sum(len(piece.tables[""]) + len(piece.unread) for piece in read)
    with open_snapshot(tmp_path / "store") as snapshot:
        events = snapshot.table("price_events")
    assert sorted(events["price_usd_per_hour"]) == [1.0, 2.0]


@pytest.mark.chaos("full disk", "collect")
def test_a_full_disk_is_told(answer: Path) -> None:
    with pytest.raises(StoreError, match="set aside: No space left"):
        list(SetAside(Path("/dev/full")).adding(registry.read(answer)))


@pytest.mark.chaos("kill", "collect")
def test_what_a_killed_process_set_aside_is_removed(tmp_path: Path, answer: Path) -> None:
    raw = RawFiles(tmp_path / "raw")
    left = raw.incoming / "of_the_killed"
    left.mkdir()
    list(SetAside(left / "1").adding(registry.read(answer)))
    raw.clear_incoming()
    assert not list(raw.incoming.iterdir())
    with raw.scratch() as folder:
        list(SetAside(folder / "1").adding(registry.read(answer)))
    assert not list(raw.incoming.iterdir())
