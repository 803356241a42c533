"""A price that was told in another currency keeps the dated rate by which it came to USD."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from cloudarb_lib import store
from cloudarb_lib.testing import INGESTED_AT, write_text

pytestmark = pytest.mark.slow

HEADER = "provider,region,instance_type,purchase_option,effective_at,price_eur_per_hour\n"
RATES = "currency,usd_per_unit,as_of,source\nEUR,1.1,2026-04-01,ECB\nEUR,1.2,2026-04-28,o'Bank\n"


def row(on: str, price: str, machine: str = "box-8") -> str:
    return f"somebody,eu,{machine},on_demand,2026-04-{on}T00:00:00Z,{price}\n"


def take(folder: Path, text: str, *, rates: str = RATES) -> store.IngestReport:
    file = write_text(folder / "prices.csv", text)
    named = store.load_rates(write_text(folder / "fx.csv", rates))
    batch = store.Batch(file, rates=named)
    return store.ingest_files([batch], store_dir=folder / "s", now=INGESTED_AT)


def conversions(folder: Path) -> pd.DataFrame:
    with store.open_snapshot(folder / "s") as snapshot:
        return snapshot.table("conversions").sort_values("effective_at", ignore_index=True)


def test_each_price_keeps_its_rate(tmp_path: Path) -> None:
    report = take(tmp_path, HEADER + row("20", "10") + row("29", "10"))
    kept = conversions(tmp_path)
    assert kept["price_per_hour"].tolist() == [10.0, 10.0]
    assert kept["usd_per_unit"].tolist() == [1.1, 1.2]
    assert kept["rate_source"].tolist() == ["ECB", "o'Bank"]
    assert set(kept["rate_file"]) == {"fx.csv"}
    assert "prices.csv: 1 in EUR at 1.1 USD (ECB, from 2026-04-01 on, fx.csv)" in str(report)
    with store.open_snapshot(tmp_path / "s") as snapshot:
        prices = snapshot.table("price_events").sort_values("effective_at")
        said = [store.conversion_of(snapshot, price) for price in prices.to_dict("records")]
    assert prices["price_usd_per_hour"].tolist() == pytest.approx([11.0, 12.0])
    assert said[0] == "10 EUR/h at 1.1 USD (ECB, from 2026-04-01 on, fx.csv)"


def test_a_price_in_usd_and_one_that_is_held_back_have_none(tmp_path: Path) -> None:
    header = HEADER.replace("price_eur_per_hour", "price_per_hour,currency")
    rows = row("20", "3,USD", "a") + row("20", "-3,EUR", "b") + row("20", "3,EUR", "c")
    take(tmp_path, header + rows)
    assert conversions(tmp_path)["instance_type"].tolist() == ["c"]
    with store.open_snapshot(tmp_path / "s") as snapshot:
        dollars = snapshot.table("price_events").query("instance_type == 'a'").iloc[0]
        assert store.conversion_of(snapshot, dollars) == ""


def test_the_same_file_again_by_another_rate_leaves_price_and_rate(tmp_path: Path) -> None:
    take(tmp_path, HEADER + row("20", "10"))
    take(tmp_path, HEADER + row("20", "10"), rates=RATES.replace("1.1,", "1.3,"))
    assert conversions(tmp_path)["usd_per_unit"].tolist() == [1.1]
    with store.open_snapshot(tmp_path / "s") as snapshot:
        (price,) = snapshot.table("price_events")["price_usd_per_hour"]
        assert snapshot.table("quarantine")["reason"].tolist() == ["duplicate_disagrees"]
    assert price == pytest.approx(11.0)


def test_explain_says_that_a_price_is_converted(tmp_path: Path) -> None:
    file = write_text(tmp_path / "prices.csv", HEADER + row("20", "10"))
    rates = store.load_rates(write_text(tmp_path / "fx.csv", RATES))
    said = store.explain(store.Batch(file, rates=rates), store_dir=tmp_path / "s", now=INGESTED_AT)
    assert "converted from EUR" in said
