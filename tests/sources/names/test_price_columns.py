"""Units that the name of a price column says, and no others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudarb_lib.sources.names.price_columns import (
    OWN_UNIT,
    PriceUnit,
    price_unit,
    sounds_like_price,
)


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        ("price_usd_per_hour", OWN_UNIT),
        ("Price_USD_Per_Hour", OWN_UNIT),
        ("usd/hr", OWN_UNIT),
        ("price (USD per hour)", OWN_UNIT),
        ("price_usd_per_gpu_hour", PriceUnit("USD", 1.0, is_cents=False, per_gpu=True)),
        ("price_usd_per_hour_per_gpu", PriceUnit("USD", 1.0, is_cents=False, per_gpu=True)),
        ("price_usd_per_month", PriceUnit("USD", 730.0, is_cents=False, per_gpu=False)),
        ("price_usd_per_year", PriceUnit("USD", 8760.0, is_cents=False, per_gpu=False)),
        ("price_usd_cents_per_hour", PriceUnit("USD", 1.0, is_cents=True, per_gpu=False)),
        ("price_eur_per_hour", PriceUnit("EUR", 1.0, is_cents=False, per_gpu=False)),
        ("price_eur_cents_per_gpu_month", PriceUnit("EUR", 730.0, is_cents=True, per_gpu=True)),
        ("hourly_rate", PriceUnit("", 1.0, is_cents=False, per_gpu=False)),
    ],
)
def test_a_name_says_its_unit(column: str, unit: PriceUnit) -> None:
    assert price_unit(column) == unit


@pytest.mark.parametrize(
    "column",
    [
        "price",
        "price_usd",
        "price_usd_per_vcpu_hour",
        "price_usd_per_gb_month",
        "price_usd_per_hour_month",
        "price_usd_eur_per_hour",
        "price_usd_per_hours_used",
        "prize_usd_per_hour",
        "gpu_hours",
        "hour",
        "effective_at",
        "",
    ],
)
def test_a_unit_is_never_guessed(column: str) -> None:
    assert price_unit(column) is None


def test_what_a_figure_is_multiplied_by() -> None:
    unit = price_unit("price_usd_cents_per_month")
    assert unit is not None
    assert 7300 / unit.divisor == pytest.approx(0.1)


def test_which_names_speak_of_prices() -> None:
    assert sounds_like_price("price_usd_per_vcpu_hour")
    assert sounds_like_price("Spot Price")
    assert not sounds_like_price("notes")


@given(st.text(max_size=40))
def test_any_text_is_read(column: str) -> None:
    unit = price_unit(column)
    assert unit is None or unit.divisor > 0
