"""A writer that stalls, and a clock that jumps: the store keeps what it had, and gets the rest."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib.base.errors import StoreError
from cloudarb_lib.store import ingest_files, open_snapshot
from cloudarb_lib.testing import PRICE_HEADER, PRICE_ROW, write_text

NOW = pd.Timestamp("2026-06-01", tz="UTC")
WRITER = """
import sys, pandas as pd
from cloudarb_lib.store import ingest_files
ingest_files([sys.argv[2]], store_dir=sys.argv[1], now=pd.Timestamp("2026-06-01", tz="UTC"))
"""


def events_of(store: Path) -> int:
    with open_snapshot(store) as snapshot:
        return len(snapshot.table("price_events"))


@pytest.mark.long
@pytest.mark.chaos("stall", "store")
def test_a_writer_that_stalls_blocks_no_reader_and_finishes_later(tmp_path: Path) -> None:
    store = tmp_path / "store"
    ingest_files(
        [write_text(tmp_path / "a.csv", PRICE_HEADER + PRICE_ROW)], store_dir=store, now=NOW
    )
    rows = [f"gcp,r,m{k},spot,2026-01-05T00:00:00Z,{1 + k / 1e4}\n" for k in range(20_000)]
    more = write_text(tmp_path / "b.csv", PRICE_HEADER + "".join(rows))
    (store / "lock").write_text("")
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(store), str(more)])
    while not (store / "lock").read_text() and writer.poll() is None:
        time.sleep(0.005)
    writer.send_signal(signal.SIGSTOP)
    try:
        assert events_of(store) == 1
        with pytest.raises(StoreError, match=f"by process {writer.pid}"):
            ingest_files([more], store_dir=store, now=NOW)
    finally:
        writer.send_signal(signal.SIGCONT)
    assert writer.wait(60) == 0
    assert events_of(store) == 20_001


@pytest.mark.slow
@pytest.mark.chaos("clock jump", "store")
def test_rows_held_back_by_a_clock_behind_come_in_when_it_is_right(tmp_path: Path) -> None:
    store = tmp_path / "store"
    first = write_text(tmp_path / "a.csv", PRICE_HEADER + PRICE_ROW)
    later = PRICE_ROW.replace("2026-01-05", "2026-05-05").replace("0.05", "0.07")
    second = write_text(tmp_path / "b.csv", PRICE_HEADER + later)
    ingest_files([first], store_dir=store, now=NOW)
    held = ingest_files([second], store_dir=store, now=NOW - pd.Timedelta("60D"))
    assert dict(held.quarantined) == {"time_future": 1}
    assert events_of(store) == 1
    assert ingest_files([second], store_dir=store, now=NOW).new == 1
    assert events_of(store) == 2
