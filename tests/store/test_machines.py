"""What the summary tells of names that nothing is known of, and which files come first."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudarb_lib import store
from cloudarb_lib.store.machines import machines_first
from cloudarb_lib.testing import PRICE_HEADER, ingest, write_text

MACHINES = """provider,instance_type,vcpus,memory_gib,gpu_model,gpu_count,gpu_memory_gib
gcp,a3,8,64,NVIDIA H100,8,80
gcp,odd,8,64,Grayskull e150,4,8
"""


def prices(folder: Path, *machines: str) -> Path:
    rows = [f"{machine},2026-01-05T00:00:00Z,1\n" for machine in machines]
    return write_text(folder / "prices.csv", PRICE_HEADER + "".join(rows))


@pytest.mark.slow
def test_rows_of_machines_that_nobody_specified_are_told(tmp_path: Path) -> None:
    machines = write_text(tmp_path / "machines.csv", MACHINES)
    names = ["a3", "m1", "m2", "m3", "m4", "odd"]
    file = prices(tmp_path, *(f"gcp,{region},{name},spot" for name in names for region in "ab"))
    report = ingest(tmp_path / "s", file, machines)
    assert report.unknown_names == [
        "8 rows are of machines without a specification (gcp m1, gcp m2, gcp m3 and 1 more): in no"
        " plan for GPUs until they have one: give columns gpu_model and gpu_count (vcpus and"
        " memory_gib too) beside the prices, or a table of machines with provider and"
        " instance_type",
        "GPU 'GRAYSKULL-E150' is no model that we know: only a workload that names it so takes its"
        " 1 machine",
    ]


@pytest.mark.slow
def test_a_provider_that_nobody_knows_is_told(tmp_path: Path) -> None:
    report = ingest(tmp_path / "s", prices(tmp_path, "amazn,r,m,spot", "my renter,r,m,spot"))
    assert report.unknown_names[:2] == [
        "provider 'amazn' is none that we know (did you mean 'aws'?): 1 row of it",
        "provider 'my renter' is none that we know: 1 row of it",
    ]
    assert report.unknown_names[2].startswith("2 rows are of machines without a specification")


@pytest.mark.slow
def test_a_provider_whose_machines_are_specified_is_known(tmp_path: Path) -> None:
    machines = write_text(tmp_path / "m.csv", MACHINES.replace("gcp", "my renter"))
    assert len(ingest(tmp_path / "s", machines).unknown_names) == 1  # the odd GPU
    report = ingest(tmp_path / "s", prices(tmp_path, "My Renter,r,A3,spot"))
    assert report.unknown_names == []


@pytest.mark.slow
@pytest.mark.parametrize("machines_come", ["first", "last"])
def test_machines_of_the_same_call_are_known_to_its_prices(
    tmp_path: Path, machines_come: str
) -> None:
    machines = write_text(tmp_path / "machines.csv", MACHINES)
    header = PRICE_HEADER.replace("per_hour", "per_gpu_hour")
    row = "gcp,us-east1,a3,spot,2026-01-05T00:00:00Z,2\n"
    per_gpu = write_text(tmp_path / "prices.csv", header + row)
    files = [machines, per_gpu] if machines_come == "first" else [per_gpu, machines]
    ingest(tmp_path / "s", *files)
    with store.open_snapshot(tmp_path / "s") as snapshot:
        assert snapshot.table("price_events")["price_usd_per_hour"].tolist() == [16.0]


def test_files_of_named_observations_stay_in_their_order(tmp_path: Path) -> None:
    machines = write_text(tmp_path / "machines.csv", MACHINES)
    others = [tmp_path / "gone.csv", prices(tmp_path, "gcp,r,a3,spot")]
    batches = [store.Batch(path) for path in (*others, machines)]
    assert [batch.path for batch in machines_first(batches)] == [machines, *others]
    named = [store.Batch(path, look="1") for path in (*others, machines)]
    assert machines_first(named) == named
