"""``cloudarb allocate`` on prices that look alive and are not: none is rented, each is told."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib.base import locations
from cloudarb_lib.store import BUNDLED_AT, ingest_files, open_snapshot
from cloudarb_lib.tables.validation import validate
from cloudarb_lib.testing import PRICE_HEADER, write_text
from pipelines import cli

pytestmark = [pytest.mark.solver, pytest.mark.slow, pytest.mark.members]  # on the bundled history

DEMAND = Path(__file__).parent / "fixtures/demand_64_h100.yaml"
MACHINES = (
    "provider,instance_type,vcpus,memory_gib,gpu_model,gpu_count,gpu_memory_gib\n"
    "renter,h100x8,168,1814,H100,8,80\n"
)
PRICES = (
    PRICE_HEADER.strip()
    + """,offer_count,source
renter,us-1,h100x8,on_demand,2026-04-20T00:00:00Z,7.00,,rent-list
renter,us-1,h100x8,on_demand,2026-04-28T00:00:00Z,0,,rent-list
renter,us-2,h100x8,on_demand,2026-04-28T00:00:00Z,8.00,2,rent-list
"""
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled history, and a renter with a cheap price held back and two machines to rent."""
    folder = tmp_path_factory.mktemp("prices")
    files = [
        write_text(folder / "prices.csv", PRICES),
        write_text(folder / "machines.csv", MACHINES),
    ]
    open_snapshot().close()
    shutil.copytree(locations.store(), folder / "store")
    ingest_files(files, store_dir=folder / "store", now=BUNDLED_AT)
    return folder / "store"


def plan_with(store: Path, tmp_path: Path, *options: str) -> Path:
    """Return the folder of the tables of a plan."""
    words = ["allocate", str(DEMAND), "--as-of", "2026-04-29", "--store", str(store)]
    words += ["--out", str(tmp_path / "out"), "--paths", "history", "--n-paths", "40", *options]
    assert cli.main(words) == 0
    return tmp_path / "out/tables"


def test_a_plan_says_what_it_leaves_out_and_when_each_price_was_observed(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = plan_with(store, tmp_path)
    plan = validate(pd.read_parquet(tables / "plan.parquet"), "plan")
    of_renter = plan[plan["offer_id"].str.startswith("renter/")]
    assert of_renter["offer_id"].tolist() == ["renter/us-2//h100x8/on_demand/"]
    assert of_renter["instances"].tolist() == [2.0]  # no more are on sale
    assert of_renter["observed_at"].tolist() == [pd.Timestamp("2026-04-28", tz="UTC")]
    assert plan["observed_at"].notna().all()
    states = pd.read_parquet(tables / "offer_states.parquet").set_index("offer_id")
    assert states.loc["renter/us-1//h100x8/on_demand/", "state"] == "in_doubt"
    printed = capsys.readouterr().out
    assert "1 in doubt" in printed
    assert "1 in doubt" in printed.partition("would be cheaper than what the plan rents")[2]
    assert "oldest price rented: observed 2026-04-28 00:00 UTC" in printed
    assert "2026-04-29 18:35" in printed


def test_each_source_may_have_an_age_of_its_own(store: Path, tmp_path: Path) -> None:
    tables = plan_with(store, tmp_path, "--stale-after-days", "14", "rent-list=1")
    states = pd.read_parquet(tables / "offer_states.parquet").set_index("offer_id")
    assert states.loc["renter/us-2//h100x8/on_demand/", "state"] == "stale"
    assert not pd.read_parquet(tables / "plan.parquet")["offer_id"].str.startswith("renter").any()
