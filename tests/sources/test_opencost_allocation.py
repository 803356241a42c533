"""Allocations of a cluster as charges: they come to the totals, and what is not told is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cloudarb_lib.store import IngestReport, open_snapshot
from cloudarb_lib.testing import ingest, refusal_of, write_text

DAY = {"start": "2026-02-01T00:00:00Z", "end": "2026-02-02T00:00:00Z"}
WEEK = {"start": "2026-02-01T00:00:00Z", "end": "2026-02-08T00:00:00Z"}


def take(folder: Path, *, window: dict[str, str] = DAY, **costs: float) -> IngestReport:
    about = {"cluster": "prod", "namespace": "a/b"}
    allocation = {"name": "a/b", "properties": about, "window": window, **costs}
    text = json.dumps({"code": 200, "data": [{"a/b": allocation}]})
    return ingest(folder / "s", write_text(folder / "allocation.json", text))


@pytest.mark.slow
@pytest.mark.parametrize("total", [7.5, 9.0, 6.0])
def test_charges_come_to_the_total_whatever_it_holds_beside(tmp_path: Path, total: float) -> None:
    take(tmp_path, cpuCost=5, cpuCostAdjustment=-0.5, gpuCost=3, totalCost=total)
    with open_snapshot(tmp_path / "s") as snapshot:
        charges = snapshot.table("charges")
    assert charges["billed_cost"].sum() == pytest.approx(total)
    assert ("other" in set(charges["sku_id"])) is (total != 7.5)
    assert set(charges["service"]) == {"a|b"}
    assert set(charges["charge_currency"]) == {"XXX"}


@pytest.mark.slow
def test_an_allocation_of_more_than_a_day_is_said(tmp_path: Path) -> None:
    assert "more than a day" not in str(take(tmp_path, cpuCost=5, totalCost=5))
    assert "1 allocations span more than a day" in str(
        take(tmp_path, window=WEEK, cpuCost=5, totalCost=5)
    )


def test_an_answer_without_sets_is_refused(tmp_path: Path) -> None:
    text = '{"code": 500, "data": "none", "properties": {"cluster": ""}}'
    file = write_text(tmp_path / "a.json", text)
    assert "it has no 'data'" in refusal_of(file, tmp_path / "s")
