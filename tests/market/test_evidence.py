"""Which offers are known to be sold, and since when that is known."""

from __future__ import annotations

import pandas as pd
import pytest

from cloudarb_lib.market.evidence import by_zone, with_evidence
from cloudarb_lib.store import open_snapshot

SEEN = pd.Timestamp("2026-03-01", tz="UTC")


def offers(*rows: tuple[str, str, str, str]) -> pd.DataFrame:
    """Return offers of gcp: (region, zone, machine, option), seen in April."""
    frame = pd.DataFrame(rows, columns=["region", "zone", "instance_type", "purchase_option"])
    return frame.assign(
        offer_id=["/".join(row) for row in rows],
        provider="gcp",
        price_kind="administered",
        offer_count=float("nan"),
        observed_at=pd.Timestamp("2026-04-01", tz="UTC"),
    )


def evidence(*rows: tuple[str, str, str, str, int, bool]) -> pd.DataFrame:
    """Return evidence on gcp: (region, zone, machine, option, day of March, sold)."""
    columns = ["region", "zone", "instance_type", "purchase_option", "day", "sold"]
    frame = pd.DataFrame(rows, columns=columns)
    seen_at = pd.to_datetime(SEEN + pd.to_timedelta(frame["day"] - 1, unit="D"))
    return frame.assign(provider="gcp", kind="zone_list", seen_at=seen_at).drop(columns="day")


@pytest.mark.parametrize(
    ("row", "sold"),
    [
        (("r1", "r1-a", "a3-8g", "", 1, True), True),
        (("r1", "", "a3-8g", "", 1, True), True),
        (("r1", "r1-a", "a3-*", "spot", 1, True), True),
        (("r1", "r1-a", "a3-*", "on_demand", 1, True), False),
        (("r1", "r1-a", "a3-1g", "", 1, True), False),
        (("r2", "r2-a", "a3-8g", "", 1, True), False),
        (("r1", "r1-a", "a3-8g", "", 1, False), False),
    ],
)
def test_evidence_is_of_a_place_a_machine_and_an_option(row: tuple, sold: bool) -> None:
    found = with_evidence(offers(("r1", "", "a3-8g", "spot")), evidence(row))
    assert found["evidence"].tolist() == (["zone_list"] if sold else [None]) or (
        not sold and found["evidence"].isna().all()
    )
    assert found["evidence_at"].notna().tolist() == [sold]


def test_the_newest_word_on_a_zone_stands_and_any_zone_is_enough() -> None:
    rows = [("r1", "r1-a", "a3-8g", "", 1, True), ("r1", "r1-a", "a3-*", "", 9, False)]
    offer = offers(("r1", "", "a3-8g", "spot"), ("r1", "r1-b", "a3-8g", "spot"))
    assert with_evidence(offer, evidence(*rows))["evidence"].isna().all()
    rows.append(("r1", "r1-b", "a3-8g", "", 5, True))
    found = with_evidence(offer, evidence(*rows))
    assert found["evidence_at"].tolist() == [SEEN + pd.Timedelta(4, "D")] * 2


def test_an_offer_on_a_market_is_its_own_evidence() -> None:
    offer = offers(("r1", "", "a3-8g", "spot")).assign(price_kind="market")
    found = with_evidence(offer, evidence(("r1", "", "a3-8g", "", 1, False)))
    assert found["evidence"].tolist() == ["listing"]
    assert found["evidence_at"].tolist() == offer["observed_at"].tolist()


@pytest.mark.parametrize(("on_sale", "said"), [(3.0, ["listing"]), (0.0, [None])])
def test_an_offer_told_with_how_many_are_on_sale_is_its_own_evidence(on_sale, said) -> None:
    offer = offers(("r1", "", "a3-8g", "spot")).assign(offer_count=on_sale)
    found = with_evidence(offer, evidence(("r2", "", "a3-8g", "", 1, True)))
    assert found["evidence"].replace({float("nan"): None}).tolist() == said


@pytest.mark.slow
def test_the_bundled_record_knows_where_an_h100_is_sold_and_since_when() -> None:
    with open_snapshot() as snapshot:
        events = snapshot.events(as_of="2026-04-29", providers=["gcp"], gpu_only=True)
        early = snapshot.evidence(as_of="2024-10-01")
        late = snapshot.evidence(as_of="2026-04-29")
    assert early.empty
    assert late["seen_at"].max() == pd.Timestamp("2026-03-19", tz="UTC")
    offered = events.drop_duplicates("offer_id").assign(
        offer_id=lambda frame: frame["offer_id"].astype(str)
    )
    found = with_evidence(offered, late)
    by_region = found.groupby(["instance_type", "region"])["evidence"].any()
    regions = by_region.groupby("instance_type").agg(["sum", "size"])
    assert regions.loc["a3-highgpu-8g"].tolist() == [16, 40]  # as measured from the record
    assert regions.loc["a2-ultragpu-8g"].tolist() == [5, 40]


def test_an_offer_of_a_region_stands_in_each_zone_where_it_is_sold():
    known = evidence(
        ("r1", "r1-b", "a3-8g", "", 1, True),
        ("r1", "r1-a", "a3-*", "", 1, True),
        ("r1", "r1-c", "a3-8g", "", 1, True),
        ("r1", "r1-c", "a3-8g", "", 2, False),  # no more
        ("r1", "r1-d", "a3-8g", "spot", 1, True),  # by another option
        ("r2", "", "a3-8g", "", 1, True),
    )
    asked = offers(
        ("r1", "", "a3-8g", "on_demand"),
        ("r2", "", "a3-8g", "on_demand"),
        ("r1", "r1-a", "a3-8g", "on_demand"),
        ("r3", "", "a3-8g", "on_demand"),
    )
    laid_out = by_zone(asked, known)
    assert laid_out["zone"].tolist() == ["r1-a", "r1-b", "", "r1-a", ""]
    assert laid_out["region"].tolist() == ["r1", "r1", "r2", "r1", "r3"]
    assert list(laid_out.columns) == list(asked.columns)
