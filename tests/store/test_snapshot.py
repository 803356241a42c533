"""Snapshots: what was known when, and what happens to a damaged store."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import ParameterError, StoreError
from cloudarb_lib.base.types import OFFER_PARTS
from cloudarb_lib.store import BUNDLED_AT, connect, ingest_files, open_snapshot
from cloudarb_lib.tables.stored_schema import STORED
from cloudarb_lib.tables.validation import validate
from cloudarb_lib.testing import PRICE_HEADER, write_text

pytestmark = pytest.mark.slow  # the bundled history is ingested
FIRST_BLOCK_AT = 12_288
BLOCK_BYTES = 262_144
"""Of a file of DuckDB: three headers, then blocks, each with a checksum."""


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundled")
    report = ingest_files([], store_dir=folder, now=BUNDLED_AT)
    assert report.quarantined.total() == 0
    assert report.read == report.new > 500_000
    return folder


def test_stored_tables_are_the_schema(bundled: Path) -> None:
    with open_snapshot(bundled) as snapshot:
        for name, table in STORED.items():
            stored = snapshot.table(name)
            assert list(stored) == table.names
            validate(stored.head(1000), name)


def test_bundled_events_are_the_bundled_files(bundled: Path) -> None:
    names = ("price_events", "gpu_marketplace", "aws_spot_2015")
    files = pd.concat([pd.read_parquet(locations.data() / f"{name}.parquet") for name in names])
    with open_snapshot(bundled) as snapshot:
        events = snapshot.events(as_of="2026-05-01", include_flagged=True)
        kept = snapshot.events(as_of="2026-05-01")
    validate(events.drop(columns="offer_id"), "price_events")
    assert events["offer_id"].cat.categories.is_monotonic_increasing
    order = [*OFFER_PARTS, "effective_at"]
    ids = files["provider"].str.cat(files[list(OFFER_PARTS[1:])], sep="/")
    files = files.assign(offer_id=ids).sort_values(["offer_id", "effective_at"], ignore_index=True)
    for column in (
        *order,
        "price_usd_per_hour",
        "observed_at",
        "source",
        "price_kind",
        "offer_count",
    ):
        stored = events[column]
        given = files[column]
        assert ((stored == given) | (stored.isna() & given.isna())).all(), column
    assert (events["offer_id"].astype(str) == files["offer_id"]).all()
    flagged = events["quality"] != "ok"
    assert len(kept) == len(events) - (events["quality"] == "glitch_reverted").sum()
    assert (kept["price_usd_per_hour"].notna() <= (kept["quality"] == "ok")).all()
    assert events.loc[flagged, "price_usd_per_hour"].notna().all()
    gpus = events[events["gpu_count"] > 0]
    assert gpus["gpu_model"].notna().all()
    assert {"H100", "A100-80GB", "L4"} <= set(gpus["gpu_model"])


def test_as_of_shows_nothing_later(bundled: Path) -> None:
    with open_snapshot(bundled) as snapshot:
        late = snapshot.events(
            as_of="2026-04-29", providers=["gcp"], gpu_only=True, include_flagged=True
        )
        moment = pd.Timestamp("2023-05-09T18:00Z")
        early = snapshot.events(
            as_of=moment, providers=["gcp"], gpu_only=True, include_flagged=True
        )
        looks = snapshot.looks(as_of=moment)
    expected = late[late["observed_at"] <= moment].reset_index(drop=True)
    assert len(early) == len(expected) > 0
    for column in ("price_usd_per_hour", "effective_at", "instance_type", "purchase_option"):
        assert (early[column] == expected[column])[expected[column].notna()].all()
    assert looks["looked_at"].max() <= moment


def test_the_error_of_9_may_2023_is_caught(bundled: Path) -> None:
    with open_snapshot(bundled) as snapshot:
        events = snapshot.events(
            as_of="2026-04-29", providers=["gcp"], gpu_only=True, include_flagged=True
        )
    day = events[events["effective_at"].dt.strftime("%Y-%m-%d") == "2023-05-09"]
    wrong = day[day["quality"] != "ok"]
    for option in ("spot", "on_demand"):
        assert wrong.loc[wrong["purchase_option"] == option, "region"].nunique() == 37
    assert set(wrong["instance_type"]) == {"a2-ultragpu-2g"}
    # Regions whose H100 spot price fell by three quarters, all sizes alike, moved in earnest.
    fallen = events[
        (events["instance_type"] == "a3-highgpu-8g") & (events["purchase_option"] == "spot")
    ]
    assert (fallen["quality"] == "ok").all()


def test_flags_are_left_out_from_flagged_at_on(tmp_path: Path) -> None:
    rows = "".join(
        f"gcp,r,m,spot,2026-01-0{d}T12:00:00Z,{p}\n" for d, p in ((1, 10), (2, 30), (3, 10))
    )
    file = write_text(tmp_path / "p.csv", PRICE_HEADER + rows)
    ingest_files([file], store_dir=tmp_path / "s", now=BUNDLED_AT)
    with open_snapshot(tmp_path / "s") as snapshot:
        assert snapshot.events(as_of="2026-01-02")["price_usd_per_hour"].tolist() == [10, 30]
        assert snapshot.events(as_of="2026-01-02")["quality"].tolist() == ["ok", "ok"]
        assert snapshot.events(as_of="2026-01-03")["price_usd_per_hour"].tolist() == [10, 10]
        shown = snapshot.events(as_of="2026-01-03", include_flagged=True)
    assert shown["quality"].tolist() == ["ok", "glitch_reverted", "ok"]
    assert shown["flagged_at"][1] == pd.Timestamp("2026-01-03T12:00Z")


def test_doors(bundled: Path) -> None:
    with open_snapshot(bundled) as snapshot:
        with pytest.raises(ParameterError, match="reservd"):
            snapshot.events(as_of="2026-04-29", purchase_options=["reservd"])
        with pytest.raises(ParameterError, match="did you mean 'looks'"):
            snapshot.table("look")
        with pytest.raises(ParameterError, match="time zone"):
            snapshot.events(as_of="2026-04-29 10:00")
        nothing = snapshot.events(as_of="2026-04-29", providers=["nobody"])
    assert nothing.empty
    assert "gpu_model" in nothing


@pytest.mark.parametrize("name", ["", "0123456789abcdef", "../../etc/passwd", "\x00\xff"])
def test_a_damaged_pointer_says_the_way_out(tmp_path: Path, name: str) -> None:
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "current").write_text(name)
    for use in (open_snapshot, lambda s: ingest_files([], store_dir=s, now=BUNDLED_AT)):
        with pytest.raises(StoreError, match="Way out"):
            use(tmp_path)


def test_a_damaged_snapshot_says_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "current").write_text("0123456789abcdef")
    path = tmp_path / "snapshots" / "0123456789abcdef.duckdb"
    path.write_bytes(os.urandom(20_000))
    with pytest.raises(StoreError, match="cannot be opened"):
        open_snapshot(tmp_path)
    path.unlink()
    connect(path).close()
    with pytest.raises(StoreError, match="another version"):
        open_snapshot(tmp_path)
    with pytest.raises(StoreError, match="no store"):
        open_snapshot(tmp_path / "none")


def test_a_damaged_block_is_told_when_it_is_read(tmp_path: Path) -> None:
    file = write_text(tmp_path / "p.csv", PRICE_HEADER + "gcp,r,m,spot,2026-01-01T12:00:00Z,1\n")
    ingest_files([file], store_dir=tmp_path / "store", now=BUNDLED_AT)
    (path,) = (tmp_path / "store" / "snapshots").glob("*.duckdb")
    content = path.read_bytes()
    at_once = []
    later = []
    for block in range(FIRST_BLOCK_AT, len(content), BLOCK_BYTES):
        damaged = bytearray(content)
        damaged[block + 100] ^= 1
        path.write_bytes(damaged)
        try:
            snapshot = open_snapshot(tmp_path / "store")
        except StoreError as fault:
            at_once.append(fault.what)
            continue
        with snapshot:
            try:
                snapshot.newest_by_source()
                snapshot.table("ingest_log")
            except StoreError as fault:
                later.append(fault.what)
    assert at_once
    assert later
    assert all("cannot be read: Corrupt database file" in told for told in later)


def test_the_session_is_utc_wherever_it_runs(tmp_path: Path) -> None:
    file = write_text(
        tmp_path / "p.csv",
        PRICE_HEADER
        + "gcp,r,m,spot,2026-01-01T12:00:00Z,1\n"
        + "gcp,r,m,spot,2026-07-01T12:00:00+02:00,2\n",
    )
    code = (
        "import sys, pandas as pd; from cloudarb_lib import store\n"
        "now = pd.Timestamp('2026-08-01', tz='UTC')\n"
        "print(store.ingest_files([sys.argv[1]], store_dir=sys.argv[2], now=now).digest)\n"
        "with store.open_snapshot(sys.argv[2]) as s:\n"
        "    print(s.events(as_of='2026-07-02')[['effective_at', 'observed_at']].to_string())\n"
        "    print(s.table('price_events')['effective_at'].astype(str).tolist())\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, str(file), str(tmp_path / zone.replace("/", "_"))],
            env={**os.environ, "TZ": zone},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for zone in ("UTC", "America/New_York")
    }
    assert len(outputs) == 1
    assert "2026-07-01 10:00:00+00:00" in outputs.pop()


def test_the_newest_observation_is_a_look_or_a_price(tmp_path: Path) -> None:
    own = PRICE_HEADER + "mine,here,m-1,spot,2026-01-05T00:00:00Z,1.5\n"
    own += "yours,here,m-1,spot,2026-01-06T00:00:00Z,1.5\n"
    store = tmp_path / "store"
    ingest_files([write_text(tmp_path / "own.csv", own)], store_dir=store, now=BUNDLED_AT)
    with open_snapshot(store) as snapshot:
        assert snapshot.looks(as_of=BUNDLED_AT).empty
        assert snapshot.newest_observation() == pd.Timestamp("2026-01-06", tz="UTC")
        assert snapshot.newest_observation(["mine"]) == pd.Timestamp("2026-01-05", tz="UTC")
        assert snapshot.newest_observation(["none"]) is None
