"""AWS price lists: which of many products is the machine, which of many ways the reserved price."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloudarb_lib import store
from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources.aws_price_list import AwsPriceList, Reservation
from cloudarb_lib.sources.aws_savings_plans import AwsSavingsPlans
from cloudarb_lib.testing import INGESTED_AT, ingest, write_text

FIXTURES = Path(__file__).parent / "fixtures"
ABOUT = (
    '"FormatVersion","v1.0"\n"Disclaimer","d"\n"Publication Date","2026-05-11T18:44:47Z"\n'
    '"Version","1"\n"OfferCode","AmazonEC2"\n'
)
COLUMNS = (
    "TermType",
    "Unit",
    "PricePerUnit",
    "Currency",
    "LeaseContractLength",
    "PurchaseOption",
    "OfferingClass",
    "Product Family",
    "Location Type",
    "Instance Type",
    "Memory",
    "vCPU",
    "Tenancy",
    "Operating System",
    "Region Code",
)
PLAIN = {
    "TermType": "OnDemand",
    "Unit": "Hrs",
    "PricePerUnit": "0.1",
    "Currency": "USD",
    "Product Family": "Compute Instance",
    "Location Type": "AWS Region",
    "Instance Type": "m5.large",
    "Memory": "8 GiB",
    "vCPU": "2",
    "Tenancy": "Shared",
    "Operating System": "Linux",
    "Region Code": "us-east-1",
}


def prices(tmp_path, *rows, columns=COLUMNS):
    """Return option, term and price of what a list of rows says."""
    lines = [",".join(f'"{({**PLAIN, **row}).get(name, "")}"' for name in columns) for row in rows]
    header = ",".join(f'"{name}"' for name in columns)
    path = tmp_path / "index.csv"
    path.write_text(ABOUT + "\n".join([header, *lines]) + "\n")
    (piece,) = AwsPriceList().fetch(path)
    table = AwsPriceList().parse(piece).tables["price_events"].to_pydict()
    names = ("purchase_option", "term", "price_usd_per_hour")
    return list(zip(*[table[name] for name in names], strict=True))


def reserved(price, unit="Hrs", term="1yr", payment="No Upfront", of_class="standard"):
    return {
        "TermType": "Reserved",
        "PricePerUnit": price,
        "Unit": unit,
        "LeaseContractLength": term,
        "PurchaseOption": payment,
        "OfferingClass": of_class,
    }


def test_older_lists_that_lack_columns_are_read(tmp_path):
    assert prices(tmp_path, {}) == [("on_demand", "", "0.1")]  # no CapacityStatus, MarketOption


@pytest.mark.parametrize(
    "other",
    [
        {"Operating System": "Windows"},
        {"Tenancy": "Dedicated"},
        {"Tenancy": "Host"},
        {"Location Type": "AWS Local Zone"},
        {"Product Family": "Storage"},
    ],
)
def test_other_products_are_passed_over_and_counted(other, tmp_path):
    assert prices(tmp_path, {}, other) == [("on_demand", "", "0.1")]


def test_an_upfront_payment_is_spread_over_the_hours_of_the_term(tmp_path):
    rows = [
        reserved("0.02", payment="Partial Upfront"),
        reserved("876", "Quantity", payment="Partial Upfront"),
        reserved("0", term="3yr", payment="All Upfront"),
        reserved("26280", "Quantity", term="3yr", payment="All Upfront"),
    ]
    found = {(term, float(price)) for _, term, price in prices(tmp_path, *rows)}
    assert found == {("1y", 0.12), ("3y", 1.0)}


@pytest.mark.parametrize("is_reversed", [False, True])
def test_the_standard_price_without_upfront_stands_whatever_the_order(is_reversed, tmp_path):
    rows = [
        reserved("0.09", of_class="convertible"),
        reserved("0.08"),
        reserved("0.01", payment="Partial Upfront"),
        reserved("1", "Quantity", payment="Partial Upfront"),
    ]
    assert prices(tmp_path, *(reversed(rows) if is_reversed else rows)) == [
        ("reserved", "1y", "0.08")
    ]


def test_a_reservation_with_a_part_missing_is_no_price(tmp_path):
    assert prices(tmp_path, reserved("0.02", payment="Partial Upfront")) == []
    assert prices(tmp_path, reserved("0.02", term="5yr")) == []


@pytest.mark.slow
def test_two_prices_of_one_machine_are_left_to_the_store(tmp_path):
    assert len(prices(tmp_path, {}, {"PricePerUnit": "0.2"})) == 2
    report = ingest(tmp_path / "s", tmp_path / "index.csv")
    assert report.quarantined["duplicate_disagrees"] == 2


@pytest.mark.slow
def test_a_price_by_another_unit_is_held(tmp_path):
    prices(tmp_path, {"Unit": "Quantity"})
    assert ingest(tmp_path / "s", tmp_path / "index.csv").quarantined["price_not_a_number"] == 1


@pytest.mark.parametrize("code", ["AmazonRDS", ""])
def test_a_list_of_another_service_is_refused(code, tmp_path):
    path = tmp_path / "index.csv"
    path.write_text(ABOUT.replace("AmazonEC2", code) + "SKU\n")
    with pytest.raises(DataError):
        ingest(tmp_path / "s", path)
    with pytest.raises(DataError, match="AmazonEC2"):
        list(AwsPriceList().fetch(path))


def test_a_list_without_regions_is_refused(tmp_path):
    with pytest.raises(DataError, match="Region Code"):
        prices(tmp_path, {}, columns=COLUMNS[:-1])


@pytest.mark.slow
def test_who_brings_a_list_may_say_when_it_was_seen(tmp_path):
    seen_at = pd.Timestamp("2026-05-20T10:00Z")
    file = FIXTURES / "aws-savings-plans" / "good.csv"
    ingest(tmp_path / "s", store.Batch(file, seen_at=seen_at))
    with store.open_snapshot(tmp_path / "s") as snapshot:
        events = snapshot.events(as_of=INGESTED_AT)
    assert set(events["effective_at"]) == set(events["observed_at"]) == {seen_at}
    assert set(events["source"]) == {AwsSavingsPlans.name}


@given(hourly=st.decimals("0", "1000", places=10), upfront=st.decimals("0", "1000000", places=2))
def test_a_price_per_hour_times_the_hours_is_what_is_paid(hourly, upfront):
    reservation = Reservation(1, "USD", str(hourly), str(upfront))
    for years in (1, 3):
        hours = 8760 * years
        paid = float(reservation.price_per_hour(years)) * hours
        assert paid == pytest.approx(float(hourly) * hours + float(upfront), rel=1e-9, abs=1e-9)


@given(hourly=st.text(max_size=8), upfront=st.text(max_size=8))
def test_what_is_no_number_never_becomes_a_price(hourly, upfront):
    price = Reservation(1, "USD", hourly, upfront).price_per_hour(1)
    try:
        float(hourly or "0")
        float(upfront or "0")
    except ValueError:
        with pytest.raises(ValueError, match="could not convert"):
            float(price)


@pytest.mark.slow
def test_a_savings_plan_is_another_offer_than_a_reserved_machine(tmp_path):
    machines = (FIXTURES / "aws-price-list/good.csv").read_text()
    here = write_text(tmp_path / "list.csv", machines.replace("eu-central-1", "us-west-2"))
    lists = [here, FIXTURES / "aws-savings-plans/good.csv"]
    seen_at = pd.Timestamp("2026-05-20", tz="UTC")
    report = ingest(tmp_path / "s", *[store.Batch(file, seen_at=seen_at) for file in lists])
    assert not report.quarantined
    with store.open_snapshot(tmp_path / "s") as snapshot:
        events = snapshot.events(as_of="2026-05-21", purchase_options=["reserved"])
    terms = events.groupby("source")["term"].agg(set)
    assert terms["aws-savings-plans"] == {"1y-plan", "3y-plan"}
    assert terms["aws-price-list"] <= {"1y", "3y"}
    both = events.groupby(["region", "instance_type"])["source"].nunique()
    assert both.max() == 2  # side by side, though seen at one time
