"""Offers, price events, observations and records."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.base.types import OFFER_PARTS
from cloudarb_lib.tables.stored_schema import STORED


def offers(*rows) -> pd.DataFrame:
    """Rows: provider, region, machine, option, GPU model, GPUs, price."""
    columns = [
        "provider",
        "region",
        "instance_type",
        "purchase_option",
        "gpu_model",
        "gpu_count",
        "price_usd_per_hour",
    ]
    table = pd.DataFrame(rows, columns=columns)
    table["term"] = np.where(table["purchase_option"] == "reserved", "1y", "")
    parts = ["provider", "region", "term", "instance_type", "purchase_option", "term"]
    table["offer_id"] = table[parts].agg("/".join, axis=1)
    table["price_kind"], table["offer_count"] = "administered", np.nan
    observed_at = pd.Timestamp("2026-04-29", tz="UTC")
    return table.assign(gpu_memory_gib=80.0, memory_gib=200.0, vcpus=96.0, observed_at=observed_at)


OFFERS = offers(
    ("gcp", "us-a", "h8", "spot", "H100", 8.0, 16.0),
    ("gcp", "us-a", "h8", "on_demand", "H100", 8.0, 80.0),
    ("gcp", "us-b", "h8", "spot", "H100", 8.0, 20.0),
    ("aws", "us-a", "h1", "on_demand", "H100", 1.0, 9.0),
    ("gcp", "eu-a", "a1", "spot", "A100-80GB", 1.0, 1.5),
    ("gcp", "us-a", "h8", "reserved", "H100", 8.0, 8.0),
)


T0 = pd.Timestamp("2026-01-01", tz="UTC")
DAY = pd.Timedelta(days=1)


def minute(number: int) -> pd.Timestamp:
    return T0 + pd.Timedelta(minutes=number)


def timed_events(rows: list[tuple]) -> pd.DataFrame:
    """Events of one machine each: (offer, effective minute, observed minute, price, source)."""
    columns = ["offer", "effective", "observed", "price_usd_per_hour", "source"]
    frame = pd.DataFrame(rows, columns=columns)
    by = ["offer", "effective", "observed"]
    frame = frame.sort_values(by, kind="stable", ignore_index=True)
    events = pd.DataFrame(
        {
            "provider": "gcp",
            "region": "r",
            "zone": "",
            "instance_type": frame["offer"].map("m{}".format),
            "purchase_option": "spot",
            "term": "",
            "price_usd_per_hour": frame["price_usd_per_hour"].astype(float),
            "effective_at": pd.DatetimeIndex([minute(m) for m in frame["effective"]], tz="UTC"),
            "observed_at": pd.DatetimeIndex([minute(m) for m in frame["observed"]], tz="UTC"),
            "source": frame["source"],
            "price_kind": "administered",
            "offer_count": pd.array([pd.NA] * len(frame), "Int32"),
            "vcpus": 8.0,
            "memory_gib": 32.0,
            "gpu_model": "H100",
            "gpu_count": 2.0,
            "gpu_memory_gib": 80.0,
        }
    )
    events["offer_id"] = pd.Categorical("gcp/r//" + events["instance_type"] + "/spot/")
    return events


def timed_looks(rows: list[tuple]) -> pd.DataFrame:
    """Looks at gcp: (source, covers from minute, looked at minute[, region, purchase option])."""
    whole = [(*row, "", "")[:5] if len(row) == 3 else row for row in rows]
    return pd.DataFrame(
        {
            "provider": "gcp",
            "source": [row[0] for row in whole],
            "region": [row[3] for row in whole],
            "purchase_option": [row[4] for row in whole],
            "looked_at": pd.DatetimeIndex([minute(row[2]) for row in whole], tz="UTC"),
            "covers_from": pd.DatetimeIndex([minute(row[1]) for row in whole], tz="UTC"),
        }
    )


def daily_events(rows, *, gpus=1.0, kind="administered") -> pd.DataFrame:
    """Events of gcp machine a3: (region, option, day, price[, quality[, count on sale]])."""
    columns = ["region", "purchase_option", "day", "price_usd_per_hour", "quality", "offer_count"]
    frame = pd.DataFrame(
        [(*row, *("ok", None)[len(row) - 4 :])[:6] for row in rows], columns=columns
    )
    frame = frame.assign(
        provider="gcp",
        zone="",
        instance_type="a3",
        term="",
        currency="USD",
        price_kind=kind,
        source="gcp",
        gpu_model="H100" if gpus else None,
        gpu_count=gpus,
        gpu_memory_gib=80.0,
        vcpus=8.0,
        memory_gib=64.0,
        effective_at=T0 + frame["day"] * DAY,
    )
    frame["flagged_at"] = pd.NaT
    frame["observed_at"] = frame["effective_at"]
    frame["price_usd_per_hour"] = frame["price_usd_per_hour"].astype(float)
    frame["offer_count"] = frame["offer_count"].astype("Int32")
    frame["offer_id"] = frame[list(OFFER_PARTS)].agg("/".join, axis=1).astype("category")
    return frame.sort_values(["offer_id", "effective_at"], ignore_index=True)


def daily_looks(days, source="gcp") -> pd.DataFrame:
    at = [T0 + day * DAY for day in days]
    everywhere = {"region": "", "purchase_option": ""}
    looks = {"provider": "gcp", "source": source, **everywhere, "looked_at": at, "covers_from": at}
    return pd.DataFrame(looks)


def all_sold(events: pd.DataFrame, seen_at: pd.Timestamp = T0) -> pd.DataFrame:
    """Return evidence that every machine of the events is sold where it is priced."""
    machines = events[["provider", "region", "instance_type"]].drop_duplicates()
    said = {"zone": "", "purchase_option": "", "kind": "zone_list", "source": "test"}
    return machines.assign(**said, seen_at=seen_at, sold=True, note=None)


class Record:
    """A snapshot of H100 offers over weeks, honest about as_of, that notes what it was asked.

    ``prices`` maps region:option, or region:option-term, to (week, USD per hour of 8 GPUs).
    """

    WEEK = pd.Timedelta("7D")
    END = pd.Timestamp("2026-03-05", tz="UTC")
    START = END - 30 * WEEK

    def __init__(self, prices: dict[str, list[tuple[int, float]]]) -> None:
        rows = []
        for place, steps in prices.items():
            region, option = place.split(":")
            purchase, _, term = option.partition("-")
            parts = ("gcp", region, "", "a3-highgpu-8g", purchase, term)
            for week, price in steps:
                rows.append(
                    dict(zip(OFFER_PARTS, parts, strict=True))
                    | {
                        "offer_id": "/".join(parts),
                        "price_usd_per_hour": price,
                        "effective_at": self.START + week * self.WEEK,
                    }
                )
        table = pd.DataFrame(rows).sort_values(["offer_id", "effective_at"], ignore_index=True)
        self.rows = table.assign(
            observed_at=table["effective_at"],
            offer_count=pd.array([None] * len(table), dtype="Int32"),
            currency="USD",
            source="test",
            price_kind="administered",
            quality="ok",
            gpu_model="H100",
            gpu_count=8.0,
            gpu_memory_gib=80.0,
            vcpus=208.0,
            memory_gib=1872.0,
        )
        self.asked: list[pd.Timestamp] = []

    def events(self, *, as_of, gpu_only, providers=("gcp",)):
        assert gpu_only
        self.asked.append(as_of)
        seen = self.rows["observed_at"] <= as_of
        if providers is not None:
            seen &= self.rows["provider"].isin(providers)
        return self.rows[seen].reset_index(drop=True)

    def evidence(self, *, as_of):
        evidence = all_sold(self.rows, self.START)
        return evidence[evidence["seen_at"] <= as_of]

    def table(self, name):
        return pd.DataFrame(columns=STORED[name].names)

    def looks(self, *, as_of):
        times = pd.date_range(self.START, self.END, freq="7D")
        looks = pd.DataFrame(
            {
                "provider": "gcp",
                "source": "test",
                "region": "",
                "purchase_option": "",
                "looked_at": times,
                "covers_from": times,
            }
        )
        return looks[looks["looked_at"] <= as_of]
