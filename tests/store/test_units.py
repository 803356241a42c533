"""Prices in other units and currencies come to USD per hour of a machine, or are held back."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib import store
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.testing import INGESTED_AT, ingest, quarantine, write_text

pytestmark = pytest.mark.slow

MACHINES = """provider,instance_type,vcpus,memory_gib,gpu_model,gpu_count,gpu_memory_gib
aws,p5.48xlarge,192,2048,H100,8,80
aws,m5.large,2,8,,,
azure,Standard_ND96isr_H100_v5,96,1900,H100,8,80
"""
HEADER = "provider,region,instance_type,purchase_option,effective_at,"
P5 = "aws,us-east-1,p5.48xlarge,on_demand,2026-04-28T00:00:00Z,"


def priced(
    folder: Path, column: str, *rows: str, rates: tuple[store.Rate, ...] = ()
) -> dict[str, float]:
    """Ingest machines, then prices in a column; return what is stored, by machine and region."""
    machines = write_text(folder / "instances.csv", MACHINES)
    prices = write_text(folder / "p.csv", f"{HEADER}{column}\n" + "".join(f"{r}\n" for r in rows))
    batches = [store.Batch(machines), store.Batch(prices, rates=rates)]
    store.ingest_files(batches, store_dir=folder / "s", now=INGESTED_AT)
    with store.open_snapshot(folder / "s") as snapshot:
        table = snapshot.table("price_events")
    assert set(table["currency"]) <= {"USD"}
    return dict(
        zip(table["instance_type"] + table["region"], table["price_usd_per_hour"], strict=True)
    )


@pytest.mark.parametrize(
    ("column", "written", "usd"),
    [
        ("price_usd_per_hour", "6.88", 6.88),
        ("price_usd_per_gpu_hour", "6.88", 55.04),
        ("price_usd_cents_per_hour", "6.88", 0.0688),
        ("price_usd_per_month", "7300", 10.0),
        ("price_usd_per_year", "8760", 1.0),
        ("price_usd_cents_per_gpu_month", "73000", 8.0),
    ],
)
def test_a_price_is_read_in_the_unit_that_its_column_names(
    tmp_path: Path, column: str, written: str, usd: float
) -> None:
    assert priced(tmp_path, column, P5 + written) == {"p5.48xlargeus-east-1": pytest.approx(usd)}


def test_a_price_per_gpu_of_a_machine_without_a_count_is_held_back(tmp_path: Path) -> None:
    row = "aws,us-east-1,{},on_demand,2026-04-28T00:00:00Z,{}"
    rows = [row.format("p9.huge", 1), row.format("m5.large", 1), row.format("p9.huge", "")]
    stored = priced(tmp_path, "price_usd_per_gpu_hour", *rows)
    held_back = quarantine(tmp_path / "s")
    assert held_back["reason"].tolist() == ["gpu_count_unknown"] * 2
    assert "machine 'p9.huge' has no count of GPUs on record" in held_back["detail"][0]
    assert pd.isna(stored["p9.hugeus-east-1"])  # withdrawn: no price to multiply


def test_a_row_may_say_its_count_of_gpus_itself(tmp_path: Path) -> None:
    rows = [
        "aws,us-east-1,p9.huge,on_demand,2026-04-28T00:00:00Z,2,4",
        "aws,us-east-1,p5.48xlarge,on_demand,2026-04-28T00:00:00Z,2,4",
    ]
    stored = priced(tmp_path, "price_usd_per_gpu_hour,gpu_count", *rows)
    assert stored == {"p9.hugeus-east-1": 8.0}
    assert quarantine(tmp_path / "s")["reason"].tolist() == ["gpu_count_disagrees"]


def test_machines_that_are_known_match_whatever_their_case(tmp_path: Path) -> None:
    rows = [
        "Amazon,US-EAST-1,p5.48XLarge,On-Demand,2026-04-28T00:00:00Z,1",
        "Azure,East US,standard_nd96ISR_h100_v5,consumption,2026-04-28T00:00:00Z,1",
        "vast,US,H100x8,bid,2026-04-28T00:00:00Z,1",
    ]
    assert set(priced(tmp_path, "price_usd_per_hour", *rows)) == {
        "p5.48xlargeus-east-1",
        "Standard_ND96isr_H100_v5eastus",
        "H100x8US",
    }


def test_only_usd_is_taken_without_a_rate(tmp_path: Path) -> None:
    rows = [
        P5 + "1,USD",
        P5.replace("28T", "27T") + "1,EUR",
        P5.replace("us-east-1", "cn-north-1") + "1,",
        P5.replace("us-east-1", "cn-north-1").replace("28T", "27T") + "1,usd",
        "azure,China North 2,m,on_demand,2026-04-28T00:00:00Z,1,",
        "alibaba,cn-beijing,m,on_demand,2026-04-28T00:00:00Z,1,",
    ]
    stored = priced(tmp_path, "price_usd_per_hour,currency", *rows)
    assert set(stored) == {"p5.48xlargeus-east-1", "p5.48xlargecn-north-1"}
    held_back = quarantine(tmp_path / "s")
    assert held_back[["line", "reason"]].to_numpy().tolist() == [
        [line, "currency_not_usd"] for line in (3, 4, 6, 7)
    ]
    assert "currency 'CNY' is not USD" in held_back["detail"][1]


def test_a_currency_is_stated_once(tmp_path: Path) -> None:
    rows = [P5 + "1,", P5.replace("28T", "27T") + "1,USD"]
    assert priced(tmp_path, "price_per_hour,ccy", *rows) == {"p5.48xlargeus-east-1": 1.0}
    assert quarantine(tmp_path / "s")["reason"].tolist() == ["currency_unstated"]


def test_two_statements_of_the_currency_must_agree(tmp_path: Path) -> None:
    priced(tmp_path, "price_eur_per_hour,currency", P5 + "1,GBP")
    assert quarantine(tmp_path / "s")["reason"].tolist() == ["currency_disagrees"]


def test_a_dated_rate_brings_prices_to_usd_from_its_time_on(tmp_path: Path) -> None:
    file = write_text(
        tmp_path / "fx.csv",
        "currency,usd_per_unit,as_of,source\nEUR,1.1,2026-04-01,ECB\neur,1.2,2026-04-28,ECB\n",
    )
    rows = [P5 + "10", P5.replace("04-28", "04-27").replace("us-", "eu-") + "10"]
    rows.append(P5.replace("04-28", "03-27") + "10")
    stored = priced(tmp_path, "price_eur_per_hour", *rows, rates=store.load_rates(file))
    assert stored == {
        "p5.48xlargeus-east-1": pytest.approx(12.0),
        "p5.48xlargeeu-east-1": pytest.approx(11.0),
    }
    assert quarantine(tmp_path / "s")["line"].tolist() == [4]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("currency,usd_per_unit\nEUR,1\n", "no row of rates"),
        ("currency,usd_per_unit,as_of,source\n", "no row of rates"),
        ("currency,usd_per_unit,as_of,source\nEURO,1,2026-04-01,x\n", "line 2: currency 'EURO'"),
        ("currency,usd_per_unit,as_of,source\nUSD,1,2026-04-01,x\n", "line 2: currency 'USD'"),
        ("currency,usd_per_unit,as_of,source\nEUR,-1,2026-04-01,x\n", "usd_per_unit '-1'"),
        ("currency,usd_per_unit,as_of,source\nEUR,inf,2026-04-01,x\n", "usd_per_unit 'inf'"),
        ("currency,usd_per_unit,as_of,source\nEUR,x,2026-04-01,x\n", "usd_per_unit 'x'"),
        ("currency,usd_per_unit,as_of,source\nEUR,1,soon,x\n", "line 2: as_of 'soon'"),
        ("currency,usd_per_unit,as_of,source\nEUR,1,2026-04-01,\n", "the rate has no source"),
    ],
)
def test_rates_that_do_not_read_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        store.load_rates(write_text(tmp_path / "fx.csv", text))
    with pytest.raises(ParameterError, match="cannot be read"):
        store.load_rates(tmp_path / "none.csv")


def test_price_kinds_are_those_of_the_provider(tmp_path: Path) -> None:
    header = f"{HEADER}price_usd_per_hour\n"
    rows = [
        "vast.ai,us,h100x8,spot,2026-04-20T00:00:00Z,8.00",
        "runpod,us,h100x8,spot,2026-04-20T00:00:00Z,8.00",
        "runpod,us,h100x8,on_demand,2026-04-20T00:00:00Z,8.00",
        "somebody,us,h100x8,spot,2026-04-20T00:00:00Z,8.00",
    ]
    ingest(tmp_path / "s", write_text(tmp_path / "p.csv", header + "\n".join(rows)))
    with store.open_snapshot(tmp_path / "s") as snapshot:
        table = snapshot.table("price_events")
    kinds = dict(
        zip(table["provider"] + table["purchase_option"], table["price_kind"], strict=True)
    )
    assert kinds == {
        "vast.aispot": "market",
        "runpodspot": "market",
        "runpodon_demand": "administered",
        "somebodyspot": "administered",
    }


def test_prices_of_other_systems_and_tenancies_are_never_mixed_with_ours(tmp_path: Path) -> None:
    rows = [
        P5 + "1,Linux,Shared",
        P5 + "2,Windows,Shared",
        P5 + "3,,dedicated",
        P5.replace("28T", "27T") + "4,Linux/UNIX (Amazon VPC),",
        P5.replace("us-east-1", "us-west-2") + "5,,",
    ]
    stored = priced(tmp_path, "price_usd_per_hour,OS,tenancy", *rows)
    assert stored == {"p5.48xlargeus-east-1": 1.0, "p5.48xlargeus-west-2": 5.0}
    held_back = quarantine(tmp_path / "s")
    assert held_back[["line", "reason"]].to_numpy().tolist() == [
        [line, "other_series"] for line in (3, 4, 5)
    ]
    with store.open_snapshot(tmp_path / "s") as snapshot:
        assert snapshot.table("doubts").empty
