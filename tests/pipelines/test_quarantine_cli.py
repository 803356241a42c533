"""``cloudarb quarantine``: what keeps offers out of plans, in words, and what is decided of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloudarb_lib.store import Batch, load_rates
from cloudarb_lib.testing import PRICE_HEADER, ingest, write_text
from pipelines import cli, exit_codes
from pipelines.cli import quarantine

pytestmark = pytest.mark.slow


@pytest.fixture
def store(tmp_path: Path) -> str:
    text = PRICE_HEADER
    for day, price in ((1, 10), (5, 4), (9, 0)):
        text += f"renter,us,m,on_demand,2026-04-0{day}T00:00:00Z,{price}\n"
    text += "other,us,z,on_demand,never,1\n"
    ingest(tmp_path / "s", write_text(tmp_path / "p.csv", text))
    return str(tmp_path / "s")


def said(capsys, *words: str, code: int = exit_codes.DONE) -> str:
    assert cli.main(["quarantine", *words]) == code
    shown = capsys.readouterr()
    return shown.out + shown.err


def test_the_list_says_what_is_out_and_why(store: str, capsys) -> None:
    text = said(capsys, "list", "--store", store)
    assert (
        "renter/us//m/on_demand/  4 USD/h\n          fell_by_half: 4.00 USD/h is 60% less" in text
    )
    assert "price_zero: price_usd_per_hour '0' is zero" in text
    assert text.endswith("offers kept out of plans: 1; entries that keep none out (--all): 1\n")
    assert "p.csv, line 5\n" in said(capsys, "list", "--all", "--store", store)
    assert "fell_by_half" not in said(capsys, "list", "--provider", "other", "--store", store)
    assert "fell_by_half" not in said(capsys, "list", "--as-of", "2026-04-03", "--store", store)


def test_a_long_list_is_cut(store: str, capsys, monkeypatch) -> None:
    monkeypatch.setattr(quarantine, "SHOWN", 1)
    assert "and 1 more (--all)" in said(capsys, "list", "--store", store)


def test_an_entry_is_shown_and_decided(store: str, capsys) -> None:
    listed = said(capsys, "list", "--store", store).splitlines()
    (fallen,) = (line for line in listed if line.endswith("4 USD/h"))
    (zero,) = (line for line in listed if line.endswith("on_demand/"))
    shown = said(capsys, "show", zero[:8], "--store", store)
    assert "row_text" in shown
    refused = said(
        capsys, "release", zero[:8], "--why", "x", "--store", store, code=exit_codes.NOT_ACCEPTABLE
    )
    assert "Take in a good row" in refused
    words = ["--why", "new list", "--since", "2026-04-06T00:00:00Z", "--store", store]
    done = said(capsys, "release", fallen[:8], *words)
    assert done == f"released {fallen[:8]}: counts from 2026-04-06 00:00 UTC\n"
    assert "dropped" in said(capsys, "drop", zero[:8], "--why", "a test", "--store", store)
    assert "offers kept out of plans: 0" in said(capsys, "list", "--store", store)
    assert "[release: new list]" in said(capsys, "list", "--all", "--store", store)


def test_a_verdict_needs_words(store: str, capsys) -> None:
    refused = said(capsys, "drop", "abc", "--store", store, code=exit_codes.NOT_ACCEPTABLE)
    assert "Missing option '--why'" in refused


def test_a_converted_price_is_shown_with_its_rate(tmp_path: Path, capsys) -> None:
    text = PRICE_HEADER.replace("price_usd_per_hour", "price_eur_per_hour")
    for day, price in ((1, 10), (5, 4)):
        text += f"renter,us,m,on_demand,2026-04-0{day}T00:00:00Z,{price}\n"
    rates = "currency,usd_per_unit,as_of,source\nEUR,1.5,2026-04-01,ECB\n"
    named = load_rates(write_text(tmp_path / "fx.csv", rates))
    store = str(tmp_path / "s")
    ingest(tmp_path / "s", Batch(write_text(tmp_path / "p.csv", text), rates=named))
    (line, *_) = said(capsys, "list", "--store", store).splitlines()
    assert line.endswith("6 USD/h")
    assert "4 EUR/h at 1.5 USD (ECB" in said(capsys, "show", line[:8], "--store", store)
