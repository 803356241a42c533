"""Our own tables as Parquet, whatever types their columns have."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.store import open_snapshot
from cloudarb_lib.testing import PRICE_HEADER, PRICE_ROW, ingest, write_text

pytestmark = pytest.mark.slow


def test_parquet_with_odd_types(tmp_path: Path) -> None:
    base = {"provider": ["gcp"] * 3, "region": "r", "instance_type": "m", "purchase_option": "spot"}
    times = pd.date_range("2026-01-01", periods=3, tz="UTC")
    naive = pd.DataFrame(
        {**base, "effective_at": times.tz_localize(None), "price_usd_per_hour": 1.0}
    )
    naive.to_parquet(tmp_path / "naive.parquet")
    assert dict(ingest(tmp_path / "s", tmp_path / "naive.parquet").quarantined) == {"time_naive": 3}
    odd = pd.DataFrame({**base, "effective_at": times, "price_usd_per_hour": [1, 2, -3]})
    odd.to_parquet(tmp_path / "int.parquet")
    report = ingest(tmp_path / "s", tmp_path / "int.parquet")
    assert (report.new, dict(report.quarantined)) == (2, {"price_negative": 1})
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            **{k: [v[0] if isinstance(v, list) else v] * 2 for k, v in base.items()},
            "effective_at": pa.array(times[:2] + pd.Timedelta("1h")),
            "price_usd_per_hour": pa.array([float("nan"), None]),
        }
    )
    pq.write_table(table, tmp_path / "nan.parquet")
    report = ingest(tmp_path / "s", tmp_path / "nan.parquet")
    assert (report.new, dict(report.quarantined)) == (1, {"price_not_a_number": 1})
    lists = table.set_column(5, "price_usd_per_hour", pa.array([[1.0], None]))
    pq.write_table(lists.append_column("zone", pa.array([True, False])), tmp_path / "list.parquet")
    assert dict(ingest(tmp_path / "s", tmp_path / "list.parquet").quarantined) == {
        "price_not_a_number": 2
    }


def test_parquet_whose_text_is_no_utf8_changes_nothing(tmp_path: Path) -> None:
    before = ingest(
        tmp_path / "s", write_text(tmp_path / "good.csv", PRICE_HEADER + PRICE_ROW)
    ).digest
    frame = pd.DataFrame(
        dict(zip(PRICE_HEADER.strip().split(","), PRICE_ROW.strip().split(","), strict=True)),
        index=[0],
    )
    frame.to_parquet(tmp_path / "p.parquet", compression=None)
    whole = (tmp_path / "p.parquet").read_bytes()
    for text in (b"us-east1", b"instance_type"):  # a value, a name
        (tmp_path / "p.parquet").write_bytes(whole.replace(text, b"\xff" + text[1:]))
        with pytest.raises(DataError, match="not readable as Parquet"):
            ingest(tmp_path / "s", tmp_path / "p.parquet")
        with open_snapshot(tmp_path / "s") as snapshot:
            assert snapshot.digest == before
