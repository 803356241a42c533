"""The default store is built from the bundled history."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib.base import locations
from cloudarb_lib.store import BUNDLED_FILES, ingest_files, open_snapshot
from cloudarb_lib.store.bundle import build_bundled
from cloudarb_lib.store.report import RefusedFiles
from cloudarb_lib.testing import INGESTED_AT, PRICE_HEADER, write_text

pytestmark = pytest.mark.slow


def test_the_default_store_builds_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = tmp_path / "data"
    small.mkdir()
    for name in BUNDLED_FILES:
        source = locations.data() / name
        if source.suffix == ".csv":
            pd.read_csv(source).head(50).to_csv(small / name, index=False)
        else:
            pd.read_parquet(source).head(50).to_parquet(small / name)
    monkeypatch.setattr(locations, "data", lambda: small)
    monkeypatch.setenv(locations.HOME_VARIABLE, str(tmp_path))
    with open_snapshot() as first, open_snapshot() as second:
        assert first.digest == second.digest
        assert len(first.events(as_of="2026-05-01")) == 150
        assert np.isfinite(first.table("looks")["looked_at"].astype("int64")).all()
    assert (small / "store" / "current").exists()


def test_a_file_is_added_to_the_bundled_history(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = write_text(
        tmp_path / "own.csv", PRICE_HEADER + "mine,here,m-1,spot,2026-01-05T00:00:00Z,1.5\n"
    )
    monkeypatch.setenv(locations.HOME_VARIABLE, str(tmp_path))
    report = ingest_files([own], store_dir="", now=INGESTED_AT)
    assert report.new == 1
    with open_snapshot(tmp_path / "data" / "store") as snapshot:
        providers = set(snapshot.table("price_events")["provider"])
    assert {"mine", "gcp", "azure", "aws"} <= providers


def test_a_history_that_is_not_whole_leaves_no_store(tmp_path, monkeypatch):
    """A store of the parts that could be read would pass for the whole record ever after."""
    (tmp_path / "data").mkdir()
    shutil.copy(locations.data() / "grid_carbon.csv", tmp_path / "data")
    monkeypatch.setattr(locations, "bundled", lambda: tmp_path)
    with pytest.raises(RefusedFiles, match=r"instances\.csv was refused"):
        build_bundled(tmp_path / "store")
    assert not (tmp_path / "store/current").exists()
