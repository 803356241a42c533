"""Which column of a file is which of ours, and what is passed over."""

from __future__ import annotations

import pytest

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources.base import OWN_COLUMNS
from cloudarb_lib.sources.names.price_columns import OWN_UNIT, price_unit
from cloudarb_lib.store.columns import columns_of

PRICES = [
    "provider",
    "region",
    "instance_type",
    "purchase_option",
    "effective_at",
    "price_usd_per_hour",
]
FEWER = PRICES[:-1]


def test_names_are_ours_in_any_case_and_order() -> None:
    columns = columns_of([name.title() for name in reversed(PRICES)], OWN_COLUMNS)
    assert (columns.table, columns.misfit, columns.notices) == ("price_events", None, ())
    assert columns.positions == {name: 5 - i for i, name in enumerate(PRICES)}


def test_a_price_column_of_another_unit_is_the_price() -> None:
    columns = columns_of([*FEWER, "price_usd_per_gpu_hour"], OWN_COLUMNS)
    assert columns.misfit is None
    assert columns.positions["price_usd_per_hour"] == 5
    assert columns.unit == price_unit("price_usd_per_gpu_hour")
    assert "times the GPUs of the machine" in columns.notices[0]


def test_our_own_unit_goes_before_others() -> None:
    columns = columns_of(["price_usd_per_gpu_hour", *PRICES], OWN_COLUMNS)
    assert columns.misfit is None
    assert columns.positions["price_usd_per_hour"] == 6
    assert columns.unit == OWN_UNIT
    assert columns.notices == (
        "column 'price_usd_per_gpu_hour' is no column of price_events: it was passed over",
    )


@pytest.mark.parametrize(
    ("names", "reason", "subject"),
    [
        ([*FEWER, "price"], "price_unit_unknown", "column 'price'"),
        ([*FEWER, "price_usd_per_vcpu_hour"], "price_unit_unknown", "column 'price_usd_per_vcpu"),
        ([*FEWER, "usd/month", "usd/year"], "prices_in_several_units", "column 'usd/year'"),
        ([*FEWER, "notes"], "missing_column", "column 'price_usd_per_hour'"),
        ([*PRICES, "price_usd_per_hour"], "column_twice", "column 'price_usd_per_hour'"),
        ([*PRICES, "price_usd_hour"], "column_twice", "column 'price_usd_hour'"),
        ([*PRICES, "currancy"], "unknown_column", "column 'currancy' (perhaps 'currency')"),
        (["regio", *PRICES[:1], *PRICES[2:]], "missing_column", "'region' (perhaps 'regio')"),
    ],
)
def test_what_does_not_fit_is_told_and_no_unit_is_guessed(
    names: list[str], reason: str, subject: str
) -> None:
    misfit = columns_of(names, OWN_COLUMNS).misfit
    assert misfit is not None
    assert misfit.reason.name == reason
    assert subject in misfit.subject
    assert "perhaps 'price" not in misfit.subject


def test_a_file_that_was_seen_at_a_known_time_may_lack_the_times() -> None:
    names = [name for name in PRICES if name != "effective_at"]
    misfit = columns_of(names, OWN_COLUMNS).misfit
    assert misfit is not None
    assert misfit.subject == "column 'effective_at'"
    assert columns_of(names, OWN_COLUMNS, dated=True).misfit is None


def test_columns_of_no_table_are_refused() -> None:
    with pytest.raises(DataError, match=r"no table of ours.*See data/README\.md"):
        columns_of(["a", "b"], OWN_COLUMNS)
