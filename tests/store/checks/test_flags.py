"""Checks over a store: prices found wrong are kept and offered to nobody, call after call."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudarb_lib.base.types import OFFER_PARTS
from cloudarb_lib.store import open_snapshot
from cloudarb_lib.store.checks.flags import flag_wrong_prices, remember_state
from cloudarb_lib.store.price_rows import add_prices, make_tables, start_call
from cloudarb_lib.store.snapshot import connect
from cloudarb_lib.testing import PRICE_HEADER, ingest, write_text

pytestmark = pytest.mark.slow

MACHINES = "provider,instance_type,vcpus,memory_gib,gpu_model,gpu_count,gpu_memory_gib\n"


def events_of(store: Path, as_of="2026-05-01", **more) -> pd.DataFrame:
    with open_snapshot(store) as snapshot:
        return snapshot.events(as_of=as_of, **more)


def price_line(
    provider: str, machine: str, price: object, *, region="us", day=28, option=""
) -> str:
    return (
        f"{provider},{region},{machine},{option or 'on_demand'},2026-04-{day}T00:00:00Z,{price}\n"
    )


# The cases


def test_a_machine_for_cents_is_held_whoever_lists_it(tmp_path: Path) -> None:
    machines = MACHINES + "".join(
        f"{provider},{machine},168,1814,B200,8,180\n"
        for provider, machine in (("smallrenter", "b200.sxm.8x"), ("bigrenter", "b200x8"))
    )
    prices = PRICE_HEADER + price_line("smallrenter", "b200.sxm.8x", 0.08)
    for region, price in (("us-1", 53.52), ("us-2", 53.52), ("us-3", 55.92), ("us-4", 0.08)):
        prices += price_line("bigrenter", "b200x8", price, region=region)
    files = [write_text(tmp_path / "i.csv", machines), write_text(tmp_path / "p.csv", prices)]
    report = ingest(tmp_path / "s", *files)
    assert dict(report.flagged) == {"p": 2}
    assert "flagged as wrong: p 2 (cloudarb quarantine list)" in str(report)
    assert not ingest(tmp_path / "s", *files).flagged, "what is there already is not counted again"
    events = events_of(tmp_path / "s")
    held = events[events["price_usd_per_hour"].isna()]
    assert held["offer_id"].tolist() == [
        "bigrenter/us-4//b200x8/on_demand/",
        "smallrenter/us//b200.sxm.8x/on_demand/",
    ]
    assert held["quality"].tolist() == ["glitch_low_for_gpu", "low_for_market"]
    assert "0.01 USD per GPU-hour; 1 peer asks 6.69" in held["detail"].iloc[1]
    shown = events_of(tmp_path / "s", include_flagged=True)
    assert shown["price_usd_per_hour"].notna().all(), "kept, for whoever wants to see it"


def test_one_price_for_all_sizes_is_held_but_for_the_smallest(tmp_path: Path) -> None:
    machines = MACHINES
    prices = PRICE_HEADER
    for n in (1, 2, 4, 8):
        machines += f"renter,{n}x,{4 * n},{48 * n},RTX A6000,{n},48\n"
        for region in ("US", "CA"):
            prices += price_line("renter", f"{n}x", 0.79, region=region)
    ingest(
        tmp_path / "s",
        write_text(tmp_path / "p.csv", prices),
        write_text(tmp_path / "i.csv", machines),
    )
    events = events_of(tmp_path / "s")
    offered = events[events["price_usd_per_hour"].notna()]
    assert offered["instance_type"].tolist() == ["1x", "1x"]
    assert set(events["quality"]) == {"ok", "one_price_for_all_sizes"}


@pytest.mark.parametrize("kind", ["market", "administered"])
def test_spikes_of_a_market_stay(tmp_path: Path, kind: str) -> None:
    header = PRICE_HEADER.strip() + ",price_kind\n"
    rows = ((20, 8.0), (21, 17.6), (22, 8.2), (25, 19.0), (26, 8.1))
    text = header + "".join(
        price_line("renter", "h100x8", price, day=day, option="spot").strip() + f",{kind}\n"
        for day, price in rows
    )
    report = ingest(tmp_path / "s", write_text(tmp_path / "p.csv", text))
    assert dict(report.flagged) == ({} if kind == "market" else {"p": 2})


def test_a_price_with_two_flags_is_counted_once(tmp_path: Path) -> None:
    prices = PRICE_HEADER + "".join(
        price_line("gcp", "m", price, day=day) for day, price in ((20, 10), (21, 1), (22, 10))
    )
    report = ingest(tmp_path / "s", write_text(tmp_path / "p.csv", prices))
    assert dict(report.flagged) == {"p": 1}
    with open_snapshot(tmp_path / "s") as snapshot:
        kinds = snapshot.table("flags")["quality"]
    assert set(kinds) == {"fell_by_half", "glitch_reverted"}


def test_a_call_says_which_stored_prices_it_finds_wrong_and_which_right_again(
    tmp_path: Path,
) -> None:
    store = tmp_path / "s"
    machine = write_text(tmp_path / "i.csv", MACHINES + "renter,m8,64,512,H100,8,80\n")
    header = PRICE_HEADER.replace("effective_at", "term,effective_at")
    first = header + "renter,us,m8,reserved,1y,2026-04-20T00:00:00Z,500\n"
    assert not ingest(store, machine, write_text(tmp_path / "reserved.csv", first)).flagged
    second = PRICE_HEADER + price_line("renter", "m8", 30, day=25)
    report = ingest(store, write_text(tmp_path / "demand.csv", second))
    assert not report.flagged
    assert dict(report.flagged_stored) == {"reserved": 1}
    assert "of prices stored before flagged now: reserved 1 (cloudarb quarantine" in str(report)
    third = PRICE_HEADER + price_line("renter", "m8", 600, day=22)
    report = ingest(store, write_text(tmp_path / "late.csv", third))
    assert report.right_again == 1
    assert "flagged before and right now: 1" in str(report)


def test_what_nobody_else_sells_is_said_to_be_unjudged(tmp_path: Path) -> None:
    machines = MACHINES + "renter,b300x8,64,512,B300,8,268\nrenter,m1,8,64,H100,1,80\n"
    machines += "other,m1,8,64,H100,1,80\n"
    prices = PRICE_HEADER + price_line("renter", "b300x8", 40)
    prices += price_line("renter", "m1", 3) + price_line("other", "m1", 3)
    files = [write_text(tmp_path / "i.csv", machines), write_text(tmp_path / "p.csv", prices)]
    sentence = "not judged against the market, since nobody else sells B300: 1 offer of renter"
    assert sentence in str(ingest(tmp_path / "s", *files)).splitlines()
    more = write_text(tmp_path / "q.csv", PRICE_HEADER + price_line("renter", "m1", 2.9, day=29))
    assert "not judged" not in str(ingest(tmp_path / "s", more))


def test_the_price_of_a_whole_term_counts_by_the_hour(tmp_path: Path) -> None:
    prices = PRICE_HEADER + price_line("azure", "m", 0.096)
    prices += price_line("azure", "m", 500, option="reserved_1y")
    prices += price_line("azure", "m", 0.3, option="reserved_3y")
    ingest(tmp_path / "s", write_text(tmp_path / "p.csv", prices))
    events = events_of(tmp_path / "s").set_index(["purchase_option", "term"])
    assert events.loc[("reserved", "1y"), "price_usd_per_hour"] == pytest.approx(500 / 8760)
    assert events.loc[("reserved", "1y"), "quality"] == "ok"
    assert pd.isna(events.loc[("reserved", "3y"), "price_usd_per_hour"])
    raw = events_of(tmp_path / "s", include_flagged=True).set_index(["purchase_option", "term"])
    assert raw.loc[("reserved", "1y"), "price_usd_per_hour"] == 500
    assert raw.loc[("reserved", "1y"), "quality"] == "commitment_over_on_demand"


def test_a_flag_is_not_seen_before_its_time(tmp_path: Path) -> None:
    machines = MACHINES + "renter,1x,4,48,H100,1,80\nrenter,8x,32,384,H100,8,80\n"
    prices = PRICE_HEADER + price_line("renter", "8x", 2.5, day=20)
    prices += price_line("renter", "1x", 2.5, day=25)
    ingest(
        tmp_path / "s",
        write_text(tmp_path / "i.csv", machines),
        write_text(tmp_path / "p.csv", prices),
    )
    assert events_of(tmp_path / "s", "2026-04-23")["price_usd_per_hour"].tolist() == [2.5]
    held = events_of(tmp_path / "s", "2026-04-26").set_index("instance_type")["quality"]
    assert held.to_dict() == {"1x": "ok", "8x": "one_price_for_all_sizes"}


def test_a_machine_that_turns_out_to_have_gpus_is_judged_then(tmp_path: Path) -> None:
    machines = [f"{provider},m,8,64,H100,1,80\n" for provider in ("big", "small")]
    prices = PRICE_HEADER + price_line("big", "m", 7) + price_line("small", "m", 0.01)
    files = [write_text(tmp_path / "p.csv", prices)]
    ingest(tmp_path / "s", *files, write_text(tmp_path / "i.csv", MACHINES + machines[0]))
    assert events_of(tmp_path / "s")["price_usd_per_hour"].notna().all()
    ingest(tmp_path / "s", write_text(tmp_path / "i2.csv", MACHINES + machines[1]))
    assert events_of(tmp_path / "s")["quality"].tolist() == ["ok", "low_for_market"]
    ingest(tmp_path / "s", write_text(tmp_path / "i3.csv", MACHINES + "small,m,8,64,,0,\n"))
    assert events_of(tmp_path / "s")["quality"].tolist() == ["ok", "ok"]


# Only what new prices can change is judged anew

SHOP = [
    ("gcp/us//x1/on_demand/", 1, "administered"),
    ("gcp/us//x8/on_demand/", 8, "administered"),
    ("gcp/eu//x1/on_demand/", 1, "administered"),
    ("gcp/eu//x2/on_demand/", 2, "administered"),
    ("gcp/us//x8/spot/", 8, "administered"),
    ("gcp/us//x8/reserved/1y", 8, "administered"),
    ("vast/us//h1/on_demand/", 1, "market"),
    ("small/us//h1/on_demand/", 1, "administered"),
    ("gcp/us//n2/on_demand/", 0, "administered"),
    ("gcp/us//n2/spot/", 0, "administered"),
    ("gcp/us//n2/reserved/3y", 0, "administered"),
]
RECORDS = st.lists(
    st.tuples(
        st.integers(0, len(SHOP) - 1),
        st.integers(0, 12),
        st.sampled_from([0, 0, 0, 2]),
        st.sampled_from([0.01, 1.0, 4, 5, 9, 10, 20, 40_000]),
        st.integers(0, 2),
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda r: r[:3],
)
"""Offer, half-days until it takes effect, half-days until it is seen, price, and the call."""
KEY = [*OFFER_PARTS, "effective_at", "observed_at"]


def empty_store() -> duckdb.DuckDBPyConnection:
    con = connect()
    make_tables(con)
    start_call(con, Path("no segments"), Path(":memory:"))
    return con


def add(con: duckdb.DuckDBPyConnection, records) -> None:
    """Add prices as one call does, and judge what they touch."""
    remember_state(con)
    rows = []
    for offer, half_day, lag, price, _ in records:
        offer_id, gpus, kind = SHOP[offer]
        parts = dict(zip(OFFER_PARTS, offer_id.split("/"), strict=True))
        times = [pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta("12h") * n for n in (0, lag)]
        effective = times[0] + pd.Timedelta("12h") * half_day
        rows.append(
            parts
            | {
                "gpu_count": gpus,
                "currency": "USD",
                "price_usd_per_hour": price,
                "effective_at": effective,
                "observed_at": effective + (times[1] - times[0]),
                "source": "test",
                "price_kind": kind,
            }
        )
    added = pd.DataFrame(rows)
    con.register("added", added)
    con.execute("""
        INSERT INTO instances BY NAME
        SELECT DISTINCT provider, instance_type, 8.0 AS vcpus, 'H100' AS gpu_model, gpu_count
        FROM added ANTI JOIN instances USING (provider, instance_type)
        WHERE gpu_count > 0
    """)
    add_prices(con, "SELECT *, NULL AS offer_count FROM added")
    parts = ", ".join(OFFER_PARTS)
    flag_wrong_prices(con, f"SELECT {parts}, min(observed_at) AS since FROM added GROUP BY {parts}")


def flags_of(con: duckdb.DuckDBPyConnection) -> list[tuple]:
    columns = ", ".join([*KEY, "quality", "detail", "flagged_at", "corrected_usd_per_hour"])
    return con.execute(f"SELECT {columns} FROM flags ORDER BY ALL").fetchall()


@settings(max_examples=20, deadline=None)
@given(RECORDS)
def test_calls_one_after_another_find_what_one_call_finds(records) -> None:
    con = empty_store()
    for call in range(3):
        if some := [record for record in records if record[-1] == call]:
            add(con, some)
    whole = empty_store()
    add(whole, records)
    assert flags_of(con) == flags_of(whole)
