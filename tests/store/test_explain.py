"""What ``cloudarb ingest --explain`` shows of a file, and that it stores nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources.column_map import ColumnMap
from cloudarb_lib.store import Batch, explain, scope_of
from cloudarb_lib.testing import EC2_ENTRY, INGESTED_AT, PRICE_HEADER, PRICE_ROW, ingest, write_text
from pipelines.cli import main

MACHINES = "provider,instance_type,vcpus,memory_gib,gpu_model,gpu_count,gpu_memory_gib\n"


def shown(batch: Batch, store_dir: Path) -> list[str]:
    """Lines without their indent."""
    text = explain(batch, store_dir=store_dir, now=INGESTED_AT)
    assert text.endswith("\nNothing was stored.")
    return [line.strip() for line in text.splitlines()]


def test_rows_and_what_would_be_held_back(tmp_path: Path) -> None:
    bad = PRICE_ROW.replace("0.05", "cheap")
    text = "Prices\n" + PRICE_HEADER.replace("region", "Region") + PRICE_ROW + bad * 3 + "a,b\n"
    lines = shown(Batch(write_text(tmp_path / "p.csv", text)), tmp_path / "s")
    assert lines[:2] == [
        "p.csv: read as own-csv",
        "the header is line 2: line 1 above it passed over",
    ]
    assert lines[2].startswith("4 rows for price_events: provider, region, instance_type,")
    assert lines[3].startswith("line 3: provider gcp, region us-east1, instance_type n2-standard-4")
    assert "price_usd_per_hour 0.05" in lines[3]
    assert lines[4].startswith("held back, price_not_a_number (3): line 4: price_usd_per_hour 'che")
    assert lines[5].startswith("held back, missing_column (1): line 7: field 3 is not there")
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
def test_the_machines_of_the_store_tell_what_a_price_per_gpu_comes_to(tmp_path: Path) -> None:
    header = PRICE_HEADER.replace("per_hour", "per_gpu_hour")
    batch = Batch(write_text(tmp_path / "p.csv", header + PRICE_ROW))
    assert any("gpu_count_unknown (1)" in line for line in shown(batch, tmp_path / "s"))
    machine = write_text(tmp_path / "m.csv", MACHINES + "gcp,n2-standard-4,4,16,T4,2,16\n")
    before = ingest(tmp_path / "s", machine)
    lines = shown(batch, tmp_path / "s")
    assert any("price_usd_per_gpu_hour -> price_usd_per_hour" in line for line in lines)
    assert any("price_usd_per_hour 0.1," in line for line in lines)
    assert ingest(tmp_path / "s", machine).digest == before.digest


@pytest.mark.slow
def test_what_is_said_of_a_file_is_shown(tmp_path: Path) -> None:
    text = "Cloud;Machine;Price\ngcp;n2-standard-4;0,05\n"
    constants = {"region": "us-east1", "purchase_option": "spot"}
    columns = {"provider": "Cloud", "instance_type": "Machine", "price": "Price"}
    batch = Batch(
        write_text(tmp_path / "p.csv", text),
        seen_at=pd.Timestamp("2026-04-20", tz="UTC"),
        whole=(scope_of("gcp"),),
        mapping=ColumnMap(columns, constants, unit="USD per hour"),
    )
    lines = shown(batch, tmp_path / "s")
    assert lines[1:3] == [
        "it shows gcp whole",
        "by the map: Cloud -> provider, Machine -> instance_type, Price -> price",
    ]
    assert "rows have no time of their own: they are of 2026-04-20T00:00:00+00:00" in lines
    assert any("price_usd_per_hour 0.05, effective_at 2026-04-20" in line for line in lines)


def test_a_listing_cut_short_is_told(tmp_path: Path) -> None:
    page = {"SpotPriceHistory": [EC2_ENTRY], "NextToken": "abc"}
    lines = shown(Batch(write_text(tmp_path / "h.json", json.dumps(page))), tmp_path / "s")
    assert lines[0] == "h.json: read as ec2-spot-price-history"
    assert "NextToken" in lines[1]


@pytest.mark.parametrize("text", ["a,b\n1,2\n", PRICE_HEADER, ""])
def test_what_would_be_refused_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        explain(Batch(write_text(tmp_path / "p.csv", text)), store_dir=tmp_path, now=INGESTED_AT)


def test_the_command_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_text(tmp_path / "p.csv", PRICE_HEADER + PRICE_ROW)
    assert main(["ingest", str(file), "--explain", "--store", str(tmp_path / "s")]) == 0
    assert "Nothing was stored." in capsys.readouterr().out
    assert not (tmp_path / "s").exists()


def test_the_command_wants_a_file_to_explain(tmp_path: Path) -> None:
    assert main(["ingest", "--explain", "--store", str(tmp_path / "s")]) == 2
