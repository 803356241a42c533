"""Prices that bring the specification of their machines in columns of their own."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib import store
from cloudarb_lib.sources.base import OWN_COLUMNS
from cloudarb_lib.store.columns import columns_of
from cloudarb_lib.testing import PRICE_HEADER, ingest, quarantine, write_text

pytestmark = pytest.mark.slow

HEADER = PRICE_HEADER.strip() + ",gpu_name,gpus,vCPU,memory_gib\n"
ON_RECORD = """provider,instance_type,vcpus,memory_gib,gpu_model,gpu_count,gpu_memory_gib
ours,a3,8,640,H100,8,80
ours,half,,,H100,,
"""


def row(machine: str, said: str, *, day: int = 5, price: float = 1.0) -> str:
    return f"ours,r,{machine},spot,2026-01-{day:02d}T00:00:00Z,{price},{said}\n"


def take(folder: Path, *rows: str, header: str = HEADER) -> store.IngestReport:
    return ingest(folder / "s", write_text(folder / "prices.csv", header + "".join(rows)))


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    ingest(tmp_path / "s", write_text(tmp_path / "machines.csv", ON_RECORD))
    return tmp_path


def machines(folder: Path) -> pd.DataFrame:
    with store.open_snapshot(folder / "s") as snapshot:
        return snapshot.table("instances").set_index("instance_type")


def prices(folder: Path) -> list[float]:
    with store.open_snapshot(folder / "s") as snapshot:
        return sorted(snapshot.table("price_events")["price_usd_per_hour"])


def test_a_machine_is_what_its_prices_say(tmp_path: Path) -> None:
    report = take(tmp_path, row("m", "NVIDIA A100 80GB,8,96,680"), row("m", ",,,", day=6, price=2))
    assert (report.new, report.quarantined.total()) == (2, 0)
    assert report.unknown_names == []
    assert report.notices == [
        "prices.csv: its columns of machines specify 1 machine that the record did not, or not"
        " wholly"
    ]
    said = machines(tmp_path).loc["m", ["gpu_model", "gpu_count", "vcpus", "memory_gib"]]
    assert said.tolist() == ["A100-80GB", 8.0, 96.0, 680.0]
    with store.open_snapshot(tmp_path / "s") as snapshot:
        events = snapshot.events(as_of="2026-01-07", gpu_only=True)
    assert len(events) == 2  # so plans for GPUs can rent it


def test_prices_per_gpu_count_the_gpus_of_their_row(tmp_path: Path) -> None:
    header = HEADER.replace("price_usd_per_hour", "price_usd_per_gpu_hour")
    take(tmp_path, row("m", "H100,8,96,680", price=2.0), header=header)
    assert prices(tmp_path) == [16.0]


def test_a_row_of_another_machine_than_on_record_is_held_back(recorded: Path) -> None:
    rows = [row("a3", "H100,4,8,640"), row("a3", "H100,8,8,648", day=6, price=2.0)]
    report = take(recorded, *rows)
    assert dict(report.quarantined) == {"machine_disagrees": 1}
    assert quarantine(recorded / "s")["detail"].tolist() == [
        "machine 'a3' has gpu_count 4.0 here and 8.0 on record, so it is another machine; mend the"
        " row, or name the machine otherwise; a table of machines alone corrects the record."
    ]
    assert prices(recorded) == [2.0]  # 648 GiB are 640, rounded
    assert machines(recorded).loc["a3", "memory_gib"] == 640.0


def test_the_offer_of_a_row_that_is_held_back_is_in_doubt(recorded: Path) -> None:
    take(recorded, row("a3", "H100,8,8,640"), row("a3", "L4,8,8,640", day=6))
    with store.open_snapshot(recorded / "s") as snapshot:
        (doubt,) = snapshot.table("doubts").itertuples()
    assert (doubt.instance_type, doubt.reason, doubt.line) == ("a3", "machine_disagrees", 3)


def test_rows_that_contradict_each_other_are_held_back_both(tmp_path: Path) -> None:
    rows = [row("m", "H100,8,,"), row("m", "H100,4,,", day=6), row("n", "L4,1,,", price=3.0)]
    report = take(tmp_path, *rows)
    assert dict(report.quarantined) == {"machine_disagrees": 2}
    details = quarantine(tmp_path / "s")["detail"]
    assert "has gpu_count 8.0 here and 4.0 in another row" in details[0]
    assert "has gpu_count 4.0 here and 8.0 in another row" in details[1]
    assert machines(tmp_path).index.tolist() == ["n"]
    assert prices(tmp_path) == [3.0]


def test_what_the_record_lacks_is_filled_in(recorded: Path) -> None:
    report = take(recorded, row("half", ",4,48,"), row("a3", ",,,", price=2.0))
    assert (report.new, report.quarantined.total()) == (2, 0)
    said = machines(recorded).loc["half", ["gpu_model", "gpu_count", "vcpus"]]
    assert said.tolist() == ["H100", 4.0, 48.0]


def test_a_count_that_is_no_number_holds_the_price_back(tmp_path: Path) -> None:
    report = take(tmp_path, row("m", "H100,eight,,"), row("n", "H100,8,,", price=2.0))
    assert dict(report.quarantined) == {"value_not_a_number": 1}
    assert "gpu_count 'eight'" in quarantine(tmp_path / "s")["detail"][0]
    assert prices(tmp_path) == [2.0]


def test_a_row_is_held_back_once(tmp_path: Path) -> None:
    report = take(tmp_path, row("m", "H100,eight,,", price=-1.0), row("n", "H100,8,,"))
    assert dict(report.quarantined) == {"price_negative": 1}


def test_the_same_file_again_changes_nothing(tmp_path: Path) -> None:
    take(tmp_path, row("m", "H100,8,96,680"))
    report = take(tmp_path, row("m", "H100,8,96,680"))
    assert (report.new, report.unchanged, report.notices) == (0, 1, [])


def test_a_file_with_prices_is_one_of_prices_and_says_each_thing_once() -> None:
    specified = ["provider", "instance_type", "vcpus", "memory_gib", "gpu_model", "gpu_count"]
    undated = ["region", "purchase_option", "price_usd_per_hour", "gpu_memory_gib"]
    assert columns_of([*specified, *undated], OWN_COLUMNS, dated=True).table == "price_events"
    assert columns_of([*specified, "gpu_memory_gib"], OWN_COLUMNS).table == "instances"
    names = [*PRICE_HEADER.strip().split(","), "gpu_model", "gpu_name"]
    misfit = columns_of(names, OWN_COLUMNS).misfit
    assert (misfit.reason.name, misfit.subject) == ("column_twice", "column 'gpu_model'")
