"""From files to the offers of a day: prices that look alive and are not."""

from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib.base.types import STATE_ABSENT, STATE_NOT_LOOKED, STATE_UNCHANGED
from cloudarb_lib.market import Market, read_market
from cloudarb_lib.sources.base import Scope
from cloudarb_lib.store import Batch, ingest_files, open_snapshot

pytestmark = pytest.mark.slow

CASES = Path(__file__).parent / "fixtures"
AS_OF = pd.Timestamp("2026-04-30", tz="UTC")
MACHINES = "provider,instance_type,vcpus,memory_gib,gpu_model,gpu_count,gpu_memory_gib\n"


def market_of(
    folder: Path, *batches: Batch | Path, machine: str = "", as_of: pd.Timestamp = AS_OF
) -> Market:
    """Return the market that the files make, and a machine of eight H100."""
    folder.mkdir(exist_ok=True)
    brought = list(batches)
    if machine:
        instances = folder / "machines.csv"
        instances.write_text(f"{MACHINES}{machine},168,1814,H100,8,80\n")
        brought.append(instances)
    ingest_files(brought, store_dir=folder / "store", now=pd.Timestamp("2026-05-01", tz="UTC"))
    with open_snapshot(folder / "store") as snapshot:
        return read_market(
            snapshot, as_of, providers=None, stale_after_days=14, gpu_only=False, listed_too=True
        )


def by_region(market: Market) -> pd.DataFrame:
    return market.states.set_index("region")


def test_a_look_at_one_machine_says_nothing_of_another(tmp_path: Path) -> None:
    case = CASES / "ec2_stale_look"
    states = by_region(market_of(tmp_path, case / "p5_january.json", case / "m5_april.json"))
    assert states["state"].to_dict() == {"us-east-1": "gone", "eu-west-1": "offered"}
    p5 = states.loc["us-east-1"]
    assert p5["instance_type"] == "p5.48xlarge"
    assert p5["since"] == pd.Timestamp("2026-01-07", tz="UTC")
    assert p5["observed_at"] == pd.Timestamp("2026-01-05", tz="UTC")


def test_a_history_that_was_silent_leaves_the_panel_two_days_after_its_last_record(
    tmp_path: Path,
) -> None:
    case = CASES / "ec2_stale_look"
    market = market_of(
        tmp_path,
        case / "p5_january.json",
        case / "m5_april.json",
        machine="aws,p5.48xlarge",
        as_of=pd.Timestamp("2026-04-29", tz="UTC"),
    )
    panel = market.panel("1D", with_stale=True)
    p5 = panel.frame("state").iloc[:, 0]
    assert p5["2026-01-06":"2026-01-07"].tolist() == [STATE_NOT_LOOKED] * 2
    assert set(p5["2026-01-08":]) == {STATE_ABSENT}
    assert set(panel.frame()["2026-01-08":].iloc[:, 0].isna()) == {True}


def test_a_price_held_back_puts_the_older_one_in_doubt(tmp_path: Path) -> None:
    case = CASES / "price_zero"
    market = market_of(tmp_path, case / "prices.csv", machine="renter,h100x8")
    states = by_region(market)
    assert states["state"].to_dict() == {"us-1": "in_doubt", "us-2": "offered"}
    doubt = states.loc["us-1"]
    assert doubt["since"] == pd.Timestamp("2026-04-28", tz="UTC")
    assert (doubt["price_usd_per_hour"], doubt["observed_at"]) == (
        8.0,
        pd.Timestamp("2026-04-20", tz="UTC"),
    )
    assert "in doubt since 2026-04-28 00:00: " in doubt["reason"]
    assert "zero" in doubt["reason"]
    assert market.offers["price_usd_per_hour"].tolist() == [24.5]


def test_what_a_full_listing_lacks_is_withdrawn_and_else_it_only_ages(tmp_path: Path) -> None:
    case = CASES / "vanished_offer"
    first, second = (case / f"snapshot_2026-04-{day}.csv" for day in (20, 27))
    rows_alone = by_region(market_of(tmp_path / "rows", first, second, machine="renter,8xH100"))
    assert rows_alone["state"].to_dict() == {"eu": "offered", "us": "offered"}
    assert rows_alone.loc["eu", "observed_at"] == pd.Timestamp("2026-04-20", tz="UTC")
    later = pd.Timestamp("2026-05-06", tz="UTC")
    aged = market_of(tmp_path / "aged", first, second, machine="renter,8xH100", as_of=later)
    assert by_region(aged)["state"].to_dict() == {"eu": "stale", "us": "offered"}
    whole = [Batch(path, whole=(Scope("renter"),)) for path in (first, second)]
    states = by_region(market_of(tmp_path / "whole", *whole, machine="renter,8xH100"))
    assert states["state"].to_dict() == {"eu": "withdrawn", "us": "offered"}
    assert states.loc["eu", "since"] == pd.Timestamp("2026-04-27", tz="UTC")


def test_a_panel_tells_unchanged_from_not_looked_offer_by_offer(tmp_path: Path) -> None:
    case = CASES / "vanished_offer"
    files = [case / f"snapshot_2026-04-{day}.csv" for day in (20, 27)]
    market = market_of(tmp_path, *files, machine="renter,8xH100")
    states = market.panel("1D").frame("state").set_axis(["eu", "us"], axis=1)
    assert states.loc["2026-04-27"].to_dict() == {"eu": STATE_NOT_LOOKED, "us": STATE_UNCHANGED}
    assert states.loc["2026-04-28"].to_dict() == {"eu": STATE_NOT_LOOKED, "us": STATE_NOT_LOOKED}


@pytest.mark.parametrize("file", ["prices.csv", "sold_administered.csv", "sold_market.csv"])
def test_what_is_sold_out_is_not_offered_whatever_its_price_kind(tmp_path: Path, file: str) -> None:
    case = CASES / "sold_out"
    market = market_of(tmp_path, case / file, case / "instances.csv")
    states = by_region(market)
    assert states["state"].to_dict() == {"us-1": "sold_out", "us-2": "offered"}
    assert market.offers["offer_count"].tolist() == [12.0]
