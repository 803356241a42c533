"""Rows of a file meet what is stored: new, unchanged, correcting, or disagreeing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib.store import open_snapshot
from cloudarb_lib.testing import (
    INGESTED_AT,
    PRICE_HEADER,
    PRICE_ROW,
    ingest,
    quarantine,
    write_text,
)

pytestmark = pytest.mark.slow


def test_the_same_file_twice_changes_nothing(tmp_path: Path) -> None:
    file = write_text(
        tmp_path / "p.csv",
        PRICE_HEADER + PRICE_ROW + "gcp,r,m,spot,2026-01-05T00:00:00Z,-1\n" + PRICE_ROW,
    )
    first = ingest(tmp_path / "s", file)
    again = ingest(tmp_path / "s", file, now=INGESTED_AT + pd.Timedelta(days=1))
    assert (first.new, first.unchanged, again.new, again.unchanged) == (1, 1, 0, 2)
    assert again.digest == first.digest
    assert (first.published, again.published) == (True, False)
    assert len(quarantine(tmp_path / "s")) == 1


def test_parquet_and_csv_of_the_same_rows_are_the_same_store(tmp_path: Path) -> None:
    times = pd.date_range("2026-01-01", periods=40, freq="6h", tz="UTC")
    frame = pd.DataFrame(
        {
            "provider": "gcp",
            "region": "r",
            "instance_type": "m",
            "purchase_option": "on_demand",
            "effective_at": times,
            "price_usd_per_hour": np.linspace(1.0, 1.3, 40),
        }
    )
    frame.loc[7, "price_usd_per_hour"] = None
    (tmp_path / "a").mkdir()
    frame.to_parquet(tmp_path / "a" / "p.parquet")
    frame.sample(frac=1, random_state=1).to_csv(tmp_path / "p.csv", index=False)
    digests = {
        ingest(tmp_path / s, tmp_path / f).digest for s, f in (("1", "a/p.parquet"), ("2", "p.csv"))
    }
    assert len(digests) == 1


def price_seen(price: float, observed: str, effective: str = "2026-01-05") -> str:
    return f"gcp,us-east1,n2,spot,{effective}T00:00:00Z,{price},{observed}T00:00:00Z\n"


def test_later_looks_supersede_and_disagreeing_rows_are_held_back(tmp_path: Path) -> None:
    store, head = tmp_path / "s", PRICE_HEADER.strip() + ",observed_at\n"
    one = write_text(
        tmp_path / "1.csv",
        head
        + price_seen(1, "2026-01-06")
        + price_seen(1, "2026-01-09")
        + price_seen(2, "2026-01-12"),
    )
    report = ingest(store, one)
    assert (report.new, report.unchanged, report.superseded) == (1, 1, 1)
    two = write_text(
        tmp_path / "2.csv",
        head
        + price_seen(3, "2026-01-06")
        + price_seen(4, "2026-01-20")
        + price_seen(5, "2026-01-20"),
    )
    report = ingest(store, two)
    assert (report.new, dict(report.quarantined)) == (0, {"duplicate_disagrees": 3})
    three = write_text(
        tmp_path / "3.csv",
        head + price_seen(2, "2026-01-25") + price_seen(7, "2026-01-25", "2026-01-20"),
    )
    report = ingest(store, three)
    assert (report.new, report.unchanged, report.superseded) == (2, 0, 0)  # it ends the doubt
    with open_snapshot(store) as snapshot:
        for day, prices in (
            ("2026-01-04", []),
            ("2026-01-07", [None]),  # a row of that day disagrees with the stored one
            ("2026-01-13", [2]),
            ("2026-01-21", [None]),  # two rows of that day disagree
            ("2026-01-26", [2, 7]),
        ):
            seen = snapshot.events(as_of=day)["price_usd_per_hour"]
            assert seen.astype(object).where(seen.notna(), None).tolist() == prices


def test_machine_tables_are_corrected_and_named_alike(tmp_path: Path) -> None:
    head = "provider,instance_type,vcpus,memory_gib,gpu_model,gpu_count,gpu_memory_gib\n"
    a = write_text(
        tmp_path / "a.csv",
        head + "gcp,x,8,32,NVIDIA A100,1,80\ngcp,y,8,,,0,\ngcp,z,8,1,,0,\ngcp,z,9,1,,0,\n",
    )
    report = ingest(tmp_path / "s", a)
    assert (report.new, dict(report.quarantined)) == (2, {"duplicate_disagrees": 2})
    b = write_text(
        tmp_path / "b.csv",
        head + "gcp,x,8,64,A100-SXM4-80GB,1,80\ngcp,y,8,,,0,\ngcp,q,eight,,,0,\n",
    )
    report = ingest(tmp_path / "s", b)
    assert (report.superseded, report.unchanged) == (1, 1)
    assert dict(report.quarantined) == {"value_not_a_number": 1}
    with open_snapshot(tmp_path / "s") as snapshot:
        table = snapshot.table("instances").set_index("instance_type")
    assert table.loc["x", ["gpu_model", "memory_gib"]].tolist() == ["A100-80GB", 64]
    assert table.loc["y", "gpu_model"] is None


def test_a_catalogue_takes_nothing_away_of_what_is_known_of_a_machine(tmp_path: Path) -> None:
    header = "provider,instance_type,vcpus,memory_gib,gpu_model,gpu_count,gpu_memory_gib\n"
    known = "gcp,a2-ultragpu-1g,12,170,A100-80GB,1,80\ngcp,m-1,4,16,L4,1,24\ngcp,m-2,4,16,L4,1,24\n"
    ingest(tmp_path / "s", write_text(tmp_path / "known.csv", header + known))
    said = "gcp,a2-ultragpu-1g,12,,A100-80GB,1,\ngcp,m-1,4,16,,0,\ngcp,m-2,8,32,T4,1,\n"
    ingest(tmp_path / "s", write_text(tmp_path / "said.csv", header + said))
    with open_snapshot(tmp_path / "s") as snapshot:
        machines = snapshot.table("instances").sort_values("instance_type")
    assert machines["memory_gib"].tolist() == [170, 16, 32]
    assert machines["gpu_memory_gib"].fillna(-1).tolist() == [80, -1, -1]
    assert machines["gpu_model"].fillna("none").tolist() == ["A100-80GB", "none", "T4"]
