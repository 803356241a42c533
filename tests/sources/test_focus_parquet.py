"""FOCUS exports as Parquet say what the same export as CSV says, in whichever types they come."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources import registry
from cloudarb_lib.sources.focus import FocusExport
from cloudarb_lib.sources.focus_parquet import FocusParquet
from cloudarb_lib.store import open_snapshot
from cloudarb_lib.testing import ingest

pytestmark = pytest.mark.slow

CSV = Path(__file__).parent / "fixtures/focus-export/good.csv"
TIMES = ("BillingPeriodStart", "BillingPeriodEnd", "ChargePeriodStart", "ChargePeriodEnd")
PAIRS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))
TYPES = {
    "aws": (pa.float64(), pa.timestamp("ms"), pa.map_(pa.string(), pa.string())),
    "azure": (pa.decimal128(28, 12), pa.timestamp("us", "UTC"), pa.string()),
    "google": (pa.decimal256(50, 15), pa.timestamp("ns", "UTC"), PAIRS),
}
"""Of costs, times and details."""


def details_of(text: str, of_type: pa.DataType) -> object:
    members = json.loads(text) if text else {}
    if pa.types.is_map(of_type):
        return list(members.items())
    if pa.types.is_list(of_type):
        return [{"key": key, "value": value} for key, value in members.items()]
    return text or None


def export(path: Path, cloud: str, *, lower: bool = False, **changed: str) -> Path:
    """Write the rows of the CSV as Parquet in the types of a cloud."""
    of_cost, of_time, of_details = TYPES[cloud]
    with CSV.open(encoding="utf-8") as file:
        rows = [{**row, **changed} for row in csv.DictReader(file)]
    columns = {}
    for name in rows[0]:
        texts = [row[name] for row in rows]
        if name in FocusExport.numbers:
            numbers = pa.array([text or None for text in texts]).cast(pa.decimal128(28, 12))
            columns[name] = numbers.cast(of_cost)
        elif name in TIMES:
            times = [pd.Timestamp(text) if text else None for text in texts]
            columns[name] = pa.array(times, pa.timestamp("us", "UTC")).cast(of_time)
        elif name in ("Tags", "SkuPriceDetails"):
            columns[name] = pa.array([details_of(text, of_details) for text in texts], of_details)
        else:
            columns[name] = pa.array([text or None for text in texts])
    table = pa.table(columns)
    if lower:
        table = table.rename_columns([name.lower() for name in table.column_names])
    pq.write_table(table, path)
    return path


def told(store: Path, *files: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return charges and prices without what names file and record."""
    ingest(store, *files)
    with open_snapshot(store) as snapshot:
        assert snapshot.table("quarantine").empty
        charges = snapshot.table("charges").drop(columns=["file"])
        prices = snapshot.table("price_events").drop(columns=["source"])
    return tuple(
        table.sort_values(list(table.columns), ignore_index=True) for table in (charges, prices)
    )


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("cloud", list(TYPES))
def test_an_export_as_parquet_says_what_it_says_as_csv(
    cloud: str, lower: bool, tmp_path: Path
) -> None:
    file = export(tmp_path / "focus.parquet", cloud, lower=lower)
    assert registry.source_of(file).name == "focus-parquet"
    expected = told(tmp_path / "csv", CSV)
    found = told(tmp_path / "parquet", file)
    for there, here in zip(expected, found, strict=True):
        assert len(there)
        pd.testing.assert_frame_equal(there, here)


@pytest.mark.parametrize("cloud", list(TYPES))
def test_the_machine_is_found_in_details_of_each_form(cloud: str, tmp_path: Path) -> None:
    details = '{"InstanceType": "p4d.24xlarge"}'
    file = export(tmp_path / "f.parquet", cloud, SkuPriceDetails=details, SkuMeter="")
    charges, _ = told(tmp_path / "s", file)
    assert set(charges["instance_type"]) == {"p4d.24xlarge"}


def test_a_table_that_lacks_the_columns_of_an_export_is_none(tmp_path: Path) -> None:
    path = tmp_path / "own.parquet"
    pq.write_table(pa.table({"provider": ["aws"], "BilledCost": [1.0]}), path)
    assert registry.source_of(path).name == "own-parquet"
    with pytest.raises(DataError, match="no column 'ChargePeriodStart'"):
        list(FocusParquet().fetch(path))


def test_a_column_that_differs_in_case_alone_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "twice.parquet"
    columns = {"BilledCost": [1.0], "billedcost": [2.0], "ChargePeriodStart": ["2026-01-01"]}
    pq.write_table(pa.table(columns), path)
    with pytest.raises(DataError, match="there twice"):
        list(FocusParquet().fetch(path))
