"""Newer versions of the files that the bundled history was read from carry that record on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib.store import open_snapshot
from cloudarb_lib.testing import ingest, write_text

pytestmark = pytest.mark.slow

FIXTURES = Path(__file__).parent / "fixtures"
HEADER = (
    "provider,region,instance_type,purchase_option,effective_at,price_usd_per_hour,source,zone\n"
)


def events_of(store_dir: Path, machine: str, option: str) -> list[tuple[str, float | None]]:
    """Return day and price of each event of a machine."""
    with open_snapshot(store_dir) as snapshot:
        events = snapshot.table("price_events")
    mine = events[(events["instance_type"] == machine) & (events["purchase_option"] == option)]
    return [
        (row.effective_at.strftime("%m-%d"), None if pd.isna(row.price_usd_per_hour) else
         row.price_usd_per_hour)
        for row in mine.sort_values("effective_at").itertuples()
    ]  # fmt: skip


def test_google_clouds_record_goes_on_with_the_calculators_file(tmp_path: Path) -> None:
    before = write_text(
        tmp_path / "before.csv",
        HEADER
        + "gcp,us-central1,n2-standard-2,on_demand,2026-03-01T00:00:00Z,0.097118,gcp,\n"
        + "gcp,us-central1,n2-standard-2,spot,2026-03-01T00:00:00Z,0.02,gcp,\n"
        + "gcp,us-central1,n2-standard-128,on_demand,2026-03-01T00:00:00Z,6.2,gcp,\n",
    )
    ingest(tmp_path / "s", before)
    ingest(tmp_path / "s", FIXTURES / "gcp" / "good.yml")
    assert events_of(tmp_path / "s", "n2-standard-2", "on_demand") == [("03-01", 0.097118)]
    assert events_of(tmp_path / "s", "n2-standard-2", "spot") == [
        ("03-01", 0.02),
        ("03-05", 0.0235),
    ]
    assert events_of(tmp_path / "s", "n2-standard-128", "on_demand") == [
        ("03-01", 6.2),
        ("03-05", None),
    ]


def test_a_file_that_is_cut_off_withdraws_nothing(tmp_path: Path) -> None:
    row = "aws,us-east-1,m5.large,on_demand,2026-01-01T00:00:00Z,0.096,aws,\n"
    ingest(tmp_path / "s", write_text(tmp_path / "before.csv", HEADER + row))
    whole = (FIXTURES / "aws" / "good.go").read_text()
    ingest(tmp_path / "s", write_text(tmp_path / "cut.go", whole.removesuffix("\t},\n}\n")))
    assert events_of(tmp_path / "s", "m5.large", "on_demand") == [("01-01", 0.096)]
    assert events_of(tmp_path / "s", "p5.48xlarge", "on_demand") == [("01-19", 55.04)]
    ingest(tmp_path / "s", FIXTURES / "aws" / "good.go")
    assert events_of(tmp_path / "s", "m5.large", "on_demand") == [("01-01", 0.096), ("01-19", None)]
