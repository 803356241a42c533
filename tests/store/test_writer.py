"""Files that are refused, writers that stop half-way, and readers beside a writer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib.base.errors import DataError, StoreError
from cloudarb_lib.base.files import locked
from cloudarb_lib.store import connect, open_snapshot, writer
from cloudarb_lib.testing import EC2_ENTRY, PRICE_HEADER, PRICE_ROW, ingest, quarantine, write_text

pytestmark = pytest.mark.slow


def test_unreadable_files_change_nothing(tmp_path: Path) -> None:
    store = tmp_path / "s"
    before = ingest(store, write_text(tmp_path / "good.csv", PRICE_HEADER + PRICE_ROW)).digest
    page = json.dumps({"SpotPriceHistory": [EC2_ENTRY, EC2_ENTRY]})
    files = {
        "empty.csv": b"",
        "noise.bin": os.urandom(5000),
        "other.csv": b"a,b,c\n1,2,3\n",
        "cut.parquet": b"PAR1abc",
        "cut.json": page[:-3].encode(),
        "more.json": page.encode() + b"]",
        "other.json": b'{"Prices": []}',
        "list.json": b"[1, 2]",
        "broken.json": page.replace(": ", "", 2).encode(),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    for name in [*files, "missing.csv", "s"]:
        with pytest.raises(DataError):
            ingest(store, tmp_path / name)
        with open_snapshot(store) as snapshot:
            assert snapshot.digest == before
    assert not list(store.glob("work*"))
    with pytest.raises(DataError, match="taken in: read 1"):
        ingest(
            store,
            tmp_path / "cut.json",
            write_text(tmp_path / "next.csv", PRICE_HEADER + PRICE_ROW.replace("0.05", "0.06")),
        )


def test_files_without_rows(tmp_path: Path) -> None:
    frame = pd.DataFrame({name: pd.Series(dtype=str) for name in PRICE_HEADER.strip().split(",")})
    frame.to_parquet(tmp_path / "none.parquet")
    for file in (tmp_path / "none.parquet", write_text(tmp_path / "none.csv", PRICE_HEADER)):
        with pytest.raises(DataError, match="no row"):
            ingest(tmp_path / "s", file)


def test_many_pieces_are_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloudarb_lib.sources.base.PIECE_ROWS", 7)
    times = pd.date_range("2026-01-01", periods=50, freq="1h", tz="UTC").strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )
    rows = [f"gcp,r,m,spot,{t},{1 + i / 100}\n" for i, t in enumerate(times)]
    rows[20:20] = ["short\n"]
    report = ingest(tmp_path / "s", write_text(tmp_path / "p.csv", PRICE_HEADER + "".join(rows)))
    assert (report.read, report.new, dict(report.quarantined)) == (51, 50, {"missing_column": 1})
    assert quarantine(tmp_path / "s")["line"].tolist() == [22]


WRITER = """
import sys, pandas as pd
from cloudarb_lib.store import ingest_files
ingest_files([sys.argv[2]], store_dir=sys.argv[1], now=pd.Timestamp("2026-06-01", tz="UTC"))
"""


def big_file(path: Path, level: float) -> Path:
    times = pd.date_range("2026-01-01", periods=3000, freq="1h", tz="UTC").strftime(
        "%Y-%m-%dT%H:%M:%SZ"
    )
    rows = [
        f"gcp,r,m{k},spot,{t},{level + i / 1e5:.5f}\n"
        for k in range(10)
        for i, t in enumerate(times)
    ]
    return write_text(path, PRICE_HEADER + "".join(rows))


@pytest.mark.chaos("kill", "store")
def test_killed_writers_leave_the_last_snapshot_and_the_next_one_finishes(tmp_path: Path) -> None:
    store = tmp_path / "s"
    first = ingest(store, write_text(tmp_path / "good.csv", PRICE_HEADER + PRICE_ROW)).digest
    big = big_file(tmp_path / "big.csv", 1.0)
    killed = 0
    for wait in (0.0, 0.1, 0.25):  # after the lock is taken
        (store / "lock").write_text("")
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(store), str(big)])
        while not (store / "lock").read_text() and writer.poll() is None:
            time.sleep(0.005)
        time.sleep(wait)
        writer.send_signal(signal.SIGKILL)
        killed += writer.wait() == -signal.SIGKILL
        with open_snapshot(store) as snapshot:
            if (store / "current").read_text().strip() != first:
                break  # it was quicker than the kill
            assert len(snapshot.events(as_of="2026-05-01")) == 1
    assert killed >= 1
    report = ingest(store, big)
    assert report.new + report.unchanged == 30_000
    assert not list(store.glob("work*"))
    clean = ingest(tmp_path / "clean", tmp_path / "good.csv", big)
    assert report.digest == clean.digest


@pytest.mark.chaos("full disk", "store")
def test_a_full_disk_is_an_error_and_keeps_the_old_snapshot(tmp_path: Path) -> None:
    store = tmp_path / "s"
    first = ingest(store, write_text(tmp_path / "good.csv", PRICE_HEADER + PRICE_ROW)).digest
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000,) * 2)\n" + WRITER
    )
    big = big_file(tmp_path / "big.csv", 2.0)
    done = subprocess.run(
        [sys.executable, "-c", limited, str(store), str(big)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "StoreError" in done.stderr
    assert "last snapshot is untouched" in done.stderr
    with open_snapshot(store) as snapshot:
        assert snapshot.digest == first
    assert ingest(store, big).new == 30_000


def test_a_writer_holds_no_more_memory_than_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "s"
    before = ingest(store, write_text(tmp_path / "1.csv", PRICE_HEADER + PRICE_ROW)).digest
    monkeypatch.setattr(writer, "MEMORY_OF_DATABASE", "1MiB")
    second = write_text(tmp_path / "2.csv", PRICE_HEADER + PRICE_ROW.replace("gcp", "aws"))
    with pytest.raises(StoreError, match=r"(?i)memory"):
        ingest(store, second)
    with open_snapshot(store) as snapshot:
        assert snapshot.digest == before


def test_what_does_not_fit_into_memory_waits_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hours = pd.date_range("2020-01-01", periods=1000, freq="1h", tz="UTC")
    rows = [
        f"gcp,r{offer},m,spot,{hour:%Y-%m-%dT%H}:00:00Z,1\n"
        for hour in hours
        for offer in range(300)
    ]
    file = write_text(tmp_path / "p.csv", PRICE_HEADER + "".join(rows))
    plenty = ingest(tmp_path / "a", file)
    monkeypatch.setattr(writer, "MEMORY_OF_DATABASE", "32MiB")
    assert ingest(tmp_path / "b", file).digest == plenty.digest
    assert plenty.new == len(rows)


def test_readers_and_the_writer_do_not_wait_for_each_other(tmp_path: Path) -> None:
    store = tmp_path / "s"
    ingest(store, write_text(tmp_path / "1.csv", PRICE_HEADER + PRICE_ROW))
    with open_snapshot(store) as old:
        ingest(
            store,
            write_text(
                tmp_path / "2.csv",
                PRICE_HEADER + PRICE_ROW.replace("0.05", "0.06").replace("01-05", "01-06"),
            ),
        )
        assert len(old.events(as_of="2026-05-01")) == 1
        with open_snapshot(store) as new:
            assert len(new.events(as_of="2026-05-01")) == 2
        for day in range(10, 15):  # older snapshots are cleared away, but not from under a reader
            ingest(
                store,
                write_text(
                    tmp_path / "3.csv",
                    PRICE_HEADER
                    + PRICE_ROW.replace("01-05", f"01-{day}").replace("5\n", f"{day}\n"),
                ),
            )
        assert len(old.looks(as_of="2026-05-01")) == 0
        assert len(old.events(as_of="2026-05-01")) == 1
    assert len(list((store / "snapshots").iterdir())) == 3


def test_a_second_writer_is_told_who_writes(tmp_path: Path) -> None:
    file = write_text(tmp_path / "1.csv", PRICE_HEADER + PRICE_ROW)
    with (
        locked(tmp_path / "s" / "lock", StoreError, "it"),
        pytest.raises(StoreError, match=f"process {os.getpid()}"),
    ):
        ingest(tmp_path / "s", file)
    assert ingest(tmp_path / "s", file).new == 1


def test_a_store_of_an_older_version_is_refused_with_the_way_out(tmp_path: Path) -> None:
    file = write_text(tmp_path / "1.csv", PRICE_HEADER + PRICE_ROW)
    digest = ingest(tmp_path / "s", file).digest
    con = connect(tmp_path / "s" / "snapshots" / f"{digest}.duckdb")
    con.execute("ALTER TABLE flags ADD COLUMN doubtful VARCHAR")
    con.close()
    with pytest.raises(StoreError, match=r"another version.*ingest again"):
        open_snapshot(tmp_path / "s")
    with pytest.raises(StoreError, match=r"older version.*ingest again"):
        ingest(tmp_path / "s", file)
