"""Builders with good defaults, and checks, for tests: what is valid is to be changed in one place.

Tests import builders from here, never from one another. What a single test file needs stays there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from cloudarb_lib import allocate, risk, store
from cloudarb_lib.base import locations
from cloudarb_lib.base.errors import DataError
from cloudarb_lib.base.types import OFFER_PARTS, Panel, Paths
from cloudarb_lib.forecast.member import MEDIAN_AT, QUANTILE_LEVELS
from cloudarb_lib.forecast.members import MEMBERS
from cloudarb_lib.forecast.offers import forecast_offers
from cloudarb_lib.forecast.task import Task
from cloudarb_lib.risk import simulate
from cloudarb_lib.sources import registry
from cloudarb_lib.sources.base import LINE, Source
from cloudarb_lib.tables.assumptions import Assumptions
from cloudarb_lib.tables.stored_schema import STORED

# Assumptions

FIGURES = {
    "capacity_gpus/spot": 32,
    "capacity_gpus/on_demand": 64,
    "capacity_gpus/reserved": 64,
    "capacity_gpus_per_market_offer": 8,
    "interruption_per_hour/spot/calm": 0.0,
    "interruption_per_hour/spot/typical": 0.002,
    "interruption_per_hour/spot/stressed": 0.02,
    "interruption_per_hour/market": 0.0,
    "site_fee_usd_per_week": 0,
    "boot_disk_usd_per_week": 0,
}


def figures(**changes) -> Assumptions:
    rows = [(n, float(v), "", "test", "2026-01-01") for n, v in {**FIGURES, **changes}.items()]
    return Assumptions(pd.DataFrame(rows, columns=["name", "value", "unit", "source", "date"]))


# Run tables


def some_weights() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "series_group": ["all", "all"],
            "horizon": [1, 1],
            "model": ["a", "b"],
            "weight": [0.4, 0.6],
        }
    )


# Offers and prices


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
    return table.assign(gpu_memory_gib=80.0, memory_gib=200.0)


OFFERS = offers(
    ("gcp", "us-a", "h8", "spot", "H100", 8.0, 16.0),
    ("gcp", "us-a", "h8", "on_demand", "H100", 8.0, 80.0),
    ("gcp", "us-b", "h8", "spot", "H100", 8.0, 20.0),
    ("aws", "us-a", "h1", "on_demand", "H100", 1.0, 9.0),
    ("gcp", "eu-a", "a1", "spot", "A100-80GB", 1.0, 1.5),
    ("gcp", "us-a", "h8", "reserved", "H100", 8.0, 8.0),
)


# Price events, observations and records

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


def timed_looks(rows: list[tuple[str, int, int]]) -> pd.DataFrame:
    """Observations of gcp: (source, covers from minute, looked at minute)."""
    return pd.DataFrame(
        {
            "provider": "gcp",
            "source": [source for source, _, _ in rows],
            "looked_at": pd.DatetimeIndex([minute(at) for _, _, at in rows], tz="UTC"),
            "covers_from": pd.DatetimeIndex([minute(first) for _, first, _ in rows], tz="UTC"),
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
    return pd.DataFrame({"provider": "gcp", "source": source, "looked_at": at, "covers_from": at})


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

    def table(self, name):
        return pd.DataFrame(columns=STORED[name].names)

    def looks(self, *, as_of):
        times = pd.date_range(self.START, self.END, freq="7D")
        looks = pd.DataFrame(
            {"provider": "gcp", "source": "test", "looked_at": times, "covers_from": times}
        )
        return looks[looks["looked_at"] <= as_of]


# Demand

GOOD = "demand:\n  - workload: a\n    needs: 3 x 8 H100\n"


def work(amount=8.0, **changes) -> allocate.Workload:
    given: dict[str, Any] = {"throughput": {"H100": 1.0}, "interruptible": True, **changes}
    return allocate.Workload("w", amount, **given)


def load(tmp_path: Path, text: str) -> list[allocate.Workload]:
    file = tmp_path / "demand.yaml"
    file.write_text(text)
    return allocate.load_workloads(file)


def plan_for(
    *workloads, table=OFFERS, options=None, hours=168.0, paths=None, limits=None, **changes
):
    problem = allocate.build_problem(
        list(workloads),
        table,
        assumptions=figures(**changes),
        hours=hours,
        paths=paths,
        limits=limits,
    )
    return allocate.solve(problem, options)


WATTS = {
    "gpu_utilisation": 0.5,
    "gpu_watts": 700,
    "host_watts_per_gpu": 150,
    "pue": 1.2,
    "grid_gco2e_per_kwh": 400,
}
"""Assumptions of carbon."""


def random_allocation(seed: int, *, small: bool) -> allocate.Problem:
    """A problem with site fees, pools, a budget, a CVaR limit and diversification, some loose."""
    rng = np.random.default_rng(seed)
    n_offers, n_demands = (4, 2) if small else (10, 5)
    price = rng.uniform(1, 5, n_offers)
    paths = price * np.exp(rng.normal(0, 0.3, (20, n_offers)))
    slots = pd.DataFrame(
        {
            "offer_id": [f"o{j}" for j in range(n_offers)],
            "period": 0,
            "provider": rng.integers(0, 3, n_offers),
            "region": "r",
            "on_demand": rng.random(n_offers) < 0.5,
            "site": rng.integers(0, 3, n_offers),
            "pool": rng.integers(0, 3, n_offers),
            "gpus": 1.0,
            "list_price": price * rng.uniform(1, 1.2, n_offers),
            "mean_price": paths.mean(axis=0),
        }
    )
    demand, slot = (
        a.ravel() for a in np.meshgrid(range(n_demands), range(n_offers), indexing="ij")
    )
    need = rng.integers(1, 4, n_demands).astype(float)
    exact = bool(rng.random() < 0.4)
    cover = need[demand] if exact else rng.integers(1, 3, len(demand)).astype(float)
    pairs = pd.DataFrame(
        {
            "demand": demand,
            "slot": slot,
            "cover": cover,
            "hours": rng.uniform(1, 3, len(demand)) * cover,
            "instances": 1.0,
            "pool_use": cover,
            "sure_usd": rng.uniform(0, 1, len(demand)),
            "most": np.ceil(need[demand] / cover),
        }
    )
    unmet = np.where(rng.random(n_demands) < 0.3, rng.uniform(3, 20, n_demands), np.inf)
    scale = need.sum() * 6.0
    limits = allocate.Limits(
        budget_usd=scale * rng.uniform(0.5, 2) if rng.random() < 0.7 else None,
        cvar_usd=scale * rng.uniform(0.6, 2) if rng.random() < 0.7 else None,
        cvar_level=0.9,
        effective_providers=rng.uniform(1.1, 2.2) if rng.random() < 0.4 else None,
        min_on_demand_share=rng.uniform(0.1, 0.5) if rng.random() < 0.3 else None,
        max_provider_share=rng.uniform(0.5, 0.9) if rng.random() < 0.2 else None,
    )
    return allocate.Problem(
        pd.DataFrame(
            {"workload": [f"w{i}" for i in range(n_demands)], "need": need, "unmet_usd": unmet}
        ),
        slots,
        pairs,
        pd.DataFrame({"name": list("abc"), "capacity": rng.integers(2, 9, 3).astype(float)}),
        pd.DataFrame({"name": list("xyz"), "fee_usd": rng.uniform(0, 8, 3)}),
        paths,
        limits,
        exact,
    )


# Panels and tasks of the forecast


def a_panel(price, options="spot", models="H100", providers="gcp", step="7D"):
    price = np.asarray(price, float)
    n = price.shape[1]
    offers = pd.DataFrame(
        {
            "provider": providers,
            "region": [f"r{i}" for i in range(n)],
            "zone": "",
            "instance_type": "m",
            "purchase_option": options,
            "term": "",
            "gpu_model": models,
            "price_kind": "administered",
        },
        index=pd.Index([f"o{i}" for i in range(n)], name="offer_id"),
    )
    times = pd.date_range("2025-01-01", periods=len(price), freq=step, tz="UTC")
    known = np.isfinite(price)
    return Panel(
        times, pd.Timedelta(step), offers, price, known.astype(float), np.where(known, 2, 0)
    )


def stepping(seed=0, times=80, series=12, drift=0.0, every=4):
    """Prices that step together every few cells, as administered prices do."""
    rng = np.random.default_rng(seed)
    review = (np.arange(times) % every == 0)[:, None] & (rng.random((times, series)) < 0.8)
    shock = rng.normal(drift, 0.05, (times, 1)) + rng.normal(0, 0.02, (times, series))
    return np.exp(np.cumsum(np.where(review, shock, 0), axis=0)) * np.linspace(1, 40, series)


def some_assumptions(per_year=0.0, down=1.0, size=0.3):
    rows = [
        (f"list_price_jump_{what}/{option}", value)
        for what, value in (("per_year", per_year), ("down_share", down), ("size", size))
        for option in ("on_demand", "reserved")
    ]
    return Assumptions(
        pd.DataFrame(rows, columns=["name", "value"]).assign(unit="1", source="test", date="2026")
    )


def a_task(price, groups=None, origins=None, horizon=4, cells_per_day=1):
    log_price = np.log(price)
    groups = np.zeros(log_price.shape[1], int) if groups is None else groups
    origins = np.arange(20, len(log_price)) if origins is None else np.asarray(origins)
    return Task(log_price, groups, origins, horizon, 1, cells_per_day=cells_per_day)


def median_of(name, task):
    """What the member of that name says, (origins, series, steps)."""
    return MEMBERS[name].forecast(task).median


def medians(answers):
    """What members say, by name, of what ``ensemble.run_members`` returns first."""
    return {name: answer.median for name, answer in answers.items()}


def forecast_of(panel, **changed):
    settings = {"horizon_steps": 6, "n_paths": 200, "assumptions": some_assumptions(), "seed": 3}
    return forecast_offers(panel, **{**settings, **changed})


def damaged(times=110, step="7D"):
    """Prices of 20 series: the first seven damaged each in its way, the others sound."""
    price = stepping(times=times, series=20, drift=-0.02)
    price[:-1, 1] = np.nan  # one point
    price[:, 2] = 5.0  # constant
    price[30:55, 3] = np.nan  # a gap of months
    price[times - 10 :, 4] = np.nan  # withdrawn
    price[:, 5] = np.nan  # all missing
    price[: times - 4, 6] = np.nan  # new at the end
    return a_panel(price, step=step)


def trending(times=140, series=20, seed=3):
    """Steps every third cell, nearly always of the sign of the one before: momentum sees them."""
    rng = np.random.default_rng(seed)
    way = np.where(rng.random((1, series)) < 0.5, 1, -1)
    turn = np.where(rng.random((times, series)) < 0.03, -1, 1)
    step = 0.05 * way * np.cumprod(turn, axis=0)
    return np.exp(np.cumsum(np.where((np.arange(times) % 3 == 0)[:, None], step, 0), axis=0))


SPIKING_HOURS = 600
SPIKING_SERIES = 16


def spiking(seed=0, times=SPIKING_HOURS):
    """Hourly prices at 1 that rise tenfold for half of a day, some once in two days, at random."""
    rng = np.random.default_rng(seed)
    start = rng.integers(0, 36, (SPIKING_SERIES, times // 48 + 1)) + 48 * np.arange(times // 48 + 1)
    hour = np.arange(times)[:, None, None]
    high = ((hour >= start) & (hour < start + 12)).any(axis=2)
    return np.where(high, 10.0, 1.0) * np.linspace(1, 5, SPIKING_SERIES)


# What any member of the forecast must hold to

STILL_LOG = 0.005
"""A change below it is none: a forecast of constant prices stays within it."""


GRIDS = {"a weekly list": 1, "an hourly market": 24}
"""Cells a day of the grids on which members are checked."""


def tasks_by_grid(price, origins):
    """The same prices as those of a list by the week, and of a market by the hour."""
    groups = np.arange(price.shape[1]) % 2
    return {
        grid: a_task(price, groups, origins, cells_per_day=cells_per_day)
        for grid, cells_per_day in GRIDS.items()
    }


def check_member(member):
    """Raise AssertionError, with the rule, where a member of the forecast breaks one.

    The future does not matter; answers have their shapes and are finite; prices may be missing; one
    series is enough; constant prices stay. On a weekly list and on an hourly market.
    """
    check_member_ignores_future(member)
    check_member_takes_missing_prices(member)
    check_member_takes_one_series(member)
    check_member_keeps_constant_prices(member)


def answer_of(member, task, what):
    """The answer of a member, after a look at its shapes and numbers."""
    answer = member.forecast(task)
    shape = (len(task.origins), task.log_price.shape[1], task.horizon)
    found = answer.median.shape
    assert found == shape, f"{member.name}, {what}: the median has shape {found}, not {shape}"
    if answer.quantiles is not None:
        levels = answer.quantiles.shape[3:]
        found = answer.quantiles.shape
        is_right = found[:3] == shape and levels == (len(QUANTILE_LEVELS),)
        assert is_right, f"{member.name}, {what}: quantiles have shape {found}"
        is_rising = (np.diff(answer.quantiles, axis=-1) >= 0).all()
        assert is_rising, f"{member.name}, {what}: quantiles cross"
        is_median = np.array_equal(answer.quantiles[..., MEDIAN_AT], answer.median)
        assert is_median, f"{member.name}, {what}: the median is not that of the quantiles"
    assert np.isfinite(answer.values).all(), f"{member.name}, {what}: a number is not finite"
    return answer


def check_member_ignores_future(member):
    """Prices that change after an origin change nothing there, nor does asking again."""
    records = {
        "a weekly list": stepping(times=100, series=8),
        "an hourly market": spiking(times=210),
    }
    rng = np.random.default_rng(0)
    for grid, price in records.items():
        origins = len(price) - np.array([16, 12, 9, 8, 5, 2])
        cut = origins[3]
        other = price.copy()
        other[cut + 1 :] *= np.exp(rng.normal(0, 0.5, other[cut + 1 :].shape))
        asked = {"groups": np.arange(price.shape[1]) % 2, "cells_per_day": GRIDS[grid]}
        one, two = (
            answer_of(member, a_task(each, origins=origins, **asked), grid).values
            for each in (price, other)
        )
        here = origins <= cut
        is_same = np.allclose(one[here], two[here], rtol=0, atol=1e-9)
        assert is_same, f"{member.name}, {grid}: prices after an origin change what it says there"


def check_member_takes_missing_prices(member):
    """One price, a gap of months, withdrawn, never priced, new at the end: the answer is finite."""
    for grid, task in tasks_by_grid(damaged().price, np.arange(60, 110, 7)).items():
        answer_of(member, task, f"missing prices of {grid}")
    for grid, task in tasks_by_grid(np.full((30, 2), np.nan), np.array([29])).items():
        answer = answer_of(member, task, f"no price of {grid}")
        assert not answer.values.any(), f"{member.name}, {grid}: it says a change without a price"


def check_member_takes_one_series(member):
    """One series is enough, and one cell of it."""
    for cells, origins in ((90, [60, 70, 89]), (1, [0])):
        for grid, task in tasks_by_grid(stepping(times=cells, series=1), origins).items():
            answer_of(member, task, f"{cells} cells of one series of {grid}")


def check_member_keeps_constant_prices(member):
    """Prices that never moved are forecast to stay."""
    price = np.ones((120, 3)) * [1.0, 5.0, 40.0]
    for grid, task in tasks_by_grid(price, np.arange(90, 120, 9)).items():
        largest = np.abs(answer_of(member, task, f"constant prices of {grid}").median).max()
        assert largest < STILL_LOG, f"{member.name}, {grid}: constant prices change by {largest:g}"


# Risk


def shuffled(x, shuffle):
    """Return the paths and offers of ``x`` in another order, and that of the offers."""
    rows, columns = list(range(x.shape[0])), list(range(x.shape[1]))
    shuffle.shuffle(rows)
    shuffle.shuffle(columns)
    return x[rows][:, columns], columns


# Two spot offers, their on-demand peers, one commitment, and one that nothing replaces

RISK_TIMES = pd.date_range("2026-05-07", periods=4, freq="7D", tz="UTC")


def risk_offer(provider: str, region: str, option: str, price: float, **changes) -> dict:
    row = {
        "provider": provider,
        "region": region,
        "zone": "",
        "instance_type": "h100-8",
        "purchase_option": option,
        "term": "1y" if option == "reserved" else "",
        "price_kind": "administered",
        "gpu_model": "H100",
        "gpu_count": 8.0,
        "vcpus": 96.0,
        "offer_count": np.nan,
        "price_usd_per_hour": price,
    } | changes
    row["offer_id"] = "/".join(
        str(row[p])
        for p in ("provider", "region", "zone", "instance_type", "purchase_option", "term")
    )
    return row


RISK_OFFERS = pd.DataFrame(
    [
        risk_offer("gcp", "us", "spot", 20.0),
        risk_offer("gcp", "us", "on_demand", 80.0),
        risk_offer("aws", "eu", "spot", 30.0),
        risk_offer("aws", "eu", "on_demand", 60.0),
        risk_offer("gcp", "us", "reserved", 50.0),
        risk_offer(
            "nebula", "unstated", "spot", 5.0, instance_type="odd", gpu_model="TPU", gpu_count=1.0
        ),
    ]
).set_index("offer_id")


GCP_SPOT, GCP_ON_DEMAND, AWS_SPOT, AWS_ON_DEMAND, GCP_COMMITMENT, ODD_SPOT = RISK_OFFERS.index


def planned(instances: dict[str, float], *, periods: int = 1, hours: float = 672.0) -> pd.DataFrame:
    rows = [
        {
            "offer_id": o,
            "workload": "train",
            "period": p,
            "instances": n,
            "hours": hours / periods,
            "expected_cost_usd": 0.0,
        }
        for o, n in instances.items()
        for p in range(periods)
    ]
    return pd.DataFrame(rows)


def risk_paths(*, n: int = 2000, seed: int = 0, spread: float = 0.1) -> Paths:
    rng = np.random.default_rng(seed)
    start = RISK_OFFERS["price_usd_per_hour"].to_numpy()[:, None, None]
    steps = spread * rng.standard_normal((len(RISK_OFFERS), n, 4))
    return Paths(RISK_OFFERS.index, RISK_TIMES, start * np.exp(steps.cumsum(axis=2) - spread**2))


def risk_inputs(
    *, spread: float = 0.1, n: int = 2000, outages: tuple[float, float] = (0.0, 0.0), **changes
) -> risk.RiskInputs:
    """Return inputs whose spot machines are taken away so often an hour, for so many hours."""
    table = pd.read_csv(locations.data() / "assumptions.csv", dtype={"date": str})
    for name, value in zip(("interruption_per_hour", "outage_hours"), outages, strict=True):
        table.loc[table["name"].str.startswith(name), "value"] = value
    given: dict[str, Any] = {
        "offers": RISK_OFFERS.reset_index(),
        "paths": risk_paths(spread=spread, n=n),
        "assumptions": Assumptions(table),
        "horizon_h": 672.0,
        "seed": 0,
        "record": price_record(),
    }
    return risk.RiskInputs(**(given | changes))


def cost_of(instances=None, *, shares: dict[str, float] | None = None, **changes) -> risk.PlanCost:
    held = planned(instances or {GCP_SPOT: 4.0, AWS_SPOT: 2.0, GCP_COMMITMENT: 1.0})
    share = RISK_OFFERS.index.map(shares or {}).to_numpy(float)
    offers = RISK_OFFERS.assign(available_share=np.where(np.isnan(share), 1.0, share)).reset_index()
    return risk.plan_cost(risk_inputs(**{"offers": offers} | changes), held)


RECORD_TIMES = pd.date_range("2025-06-05", periods=30, freq="7D", tz="UTC")


def price_record() -> Panel:
    """GCP spot doubles over cells 10 to 14, AWS spot falls by half in cell 12; the rest stands."""
    price = np.tile(RISK_OFFERS["price_usd_per_hour"].to_numpy(), (30, 1))
    price[10:, 0] *= np.minimum(1.0 + 0.25 * np.arange(20), 2.0)
    price[12:, 2] *= 0.5
    return Panel(
        RECORD_TIMES,
        pd.Timedelta("7D"),
        RISK_OFFERS,
        price,
        np.ones_like(price),
        np.ones(price.shape, int),
    )


def stressed(
    *scenarios: risk.StressScenario, instances=None, replanned=None, **changes
) -> pd.DataFrame:
    held = planned(instances or {GCP_SPOT: 4.0, AWS_SPOT: 2.0, GCP_COMMITMENT: 1.0})
    table = risk.stress(
        risk_inputs(**changes), scenarios, held, replanned=replanned or {}, budget_usd=1e5
    )
    return table.set_index("scenario")


# Returns

JOINT_CORRELATION = np.array([[1.0, 0.7, 0.0], [0.7, 1.0, -0.4], [0.0, -0.4, 1.0]])


JOINT_SPREAD = np.array([0.02, 0.05, 0.1])


def joint_returns(n: int = 2000, seed: int = 0) -> np.ndarray:
    z = np.random.default_rng(seed).standard_normal((n, 3))
    return z @ np.linalg.cholesky(JOINT_CORRELATION).T * JOINT_SPREAD


def repricing_returns(n: int = 200, seed: int = 0) -> np.ndarray:
    """Two offers of one seller that move together every 10th step, and one that moves alone."""
    r = np.zeros((n, 3))
    r[9::10, :2] = np.random.default_rng(seed).choice([-0.1, 0.1], (len(r[9::10]), 1)) * [1.0, 0.5]
    r[:, 2] = joint_returns(n, seed)[:, 1]
    return r


def panel_of_returns(r: np.ndarray) -> Panel:
    price = np.exp(np.vstack([np.zeros(r.shape[1]), np.cumsum(r, axis=0)])) * 10.0
    times = pd.date_range("2025-01-01", periods=len(price), freq="7D", tz="UTC")
    offers = pd.DataFrame(index=pd.Index([f"o{i}" for i in range(r.shape[1])], name="offer_id"))
    return Panel(
        times, pd.Timedelta("7D"), offers, price, np.ones_like(price), np.ones(price.shape, int)
    )


def normal_changes(r, *, seed=0, **changes) -> np.ndarray:
    """Return normal log changes (paths, offers), or (paths, offers, steps)."""
    blocks = list(simulate.draw_normal(simulate.fit_normal(r), seed=seed, **changes))
    x = np.concatenate(blocks, axis=1).transpose(1, 0, 2)
    return x if "steps" in changes else x[:, :, 0]


# Price files and stores

INGESTED_AT = pd.Timestamp("2026-06-01", tz="UTC")
PRICE_HEADER = "provider,region,instance_type,purchase_option,effective_at,price_usd_per_hour\n"
PRICE_ROW = "gcp,us-east1,n2-standard-4,spot,2026-01-05T00:00:00Z,0.05\n"
EC2_ENTRY = {
    "AvailabilityZone": "us-east-1a",
    "InstanceType": "m5.large",
    "ProductDescription": "Linux/UNIX",
    "SpotPrice": "0.034500",
    "Timestamp": "2026-03-01T10:00:00+00:00",
}


def write_text(path: Path, text: str) -> Path:
    """Write a text, its line ends as they are."""
    path.write_text(text, newline="")
    return path


def ingest(store_dir: Path, *paths: Path, now: pd.Timestamp = INGESTED_AT) -> store.IngestReport:
    """Take files into a store."""
    return store.ingest_files(paths, store_dir=store_dir, now=now)


def quarantine(store_dir: Path) -> pd.DataFrame:
    """Return the rows that a store held back, by line."""
    with store.open_snapshot(store_dir) as snapshot:
        return snapshot.table("quarantine").sort_values("line", ignore_index=True)


# Sources


def check_source(source: Source[Any], fixtures: Path, store_dir: Path) -> None:
    """Assert that a source takes its fixtures as their ``expected.yaml`` says.

    That file holds, for each fixture, ``refused`` (words of the error), or ``rows`` (mappings of
    the columns that matter, by the key of the table), ``held_back`` (reason by line) and ``table``
    (price_events where it is left out). There are a good fixture and a broken one at least.
    """
    expected = yaml.safe_load((fixtures / "expected.yaml").read_text())
    assert {path.name for path in fixtures.iterdir()} == {*expected, "expected.yaml"}
    assert any(name.startswith("good") for name in expected)
    assert any(name.startswith("broken") for name in expected)
    for name, outcome in expected.items():
        path = fixtures / name
        assert registry.source_of(path).name == source.name
        is_broken = "refused" in outcome or bool(outcome.get("held_back"))
        assert is_broken == name.startswith("broken"), name
        if "refused" in outcome:
            assert outcome["refused"] in refusal_of(path, store_dir / name)
        else:
            check_pieces(source, path)
            check_outcome(path, outcome, store_dir / name)
        if not is_broken:
            assert claims_of(path) == [source.name]


def refusal_of(path: Path, store_dir: Path) -> str:
    """Return with which words a file is refused, '' where it is taken in."""
    try:
        ingest(store_dir, path)
    except DataError as error:
        return str(error)
    return ""


def claims_of(path: Path) -> list[str]:
    """Return the names of the sources that recognise a file best."""
    head = path.read_bytes()[:4096]
    matches = {source.name: source.recognises(head) for source in registry.registered()}
    best = max(matches.values())
    return [name for name, match in matches.items() if match == best]


def check_pieces(source: Source[Any], path: Path) -> None:
    """Assert that parsing a piece twice gives the same, each row with its own line."""
    lines = []
    for piece in source.fetch(path):
        parsed = source.parse(piece)
        again = source.parse(piece)
        assert parsed.rows.equals(again.rows)
        assert parsed.unread == again.unread
        assert parsed.rows.schema.names[-1] == LINE
        lines += [*parsed.rows[LINE].to_pylist(), *(row.line for row in parsed.unread)]
    assert lines
    assert len(set(lines)) == len(lines)


def check_outcome(path: Path, outcome: dict[str, Any], store_dir: Path) -> None:
    """Assert that ingestion of a file stores and holds back what ``outcome`` says."""
    ingest(store_dir, path)
    held_back = quarantine(store_dir)
    assert dict(zip(held_back["line"], held_back["reason"], strict=True)) == outcome.get(
        "held_back", {}
    )
    table = outcome.get("table", "price_events")
    with store.open_snapshot(store_dir) as snapshot:
        stored = snapshot.table(table).sort_values(list(STORED[table].key))
    assert len(stored) == len(outcome["rows"])
    for row, values in zip(stored.to_dict("records"), outcome["rows"], strict=True):
        for column, value in values.items():
            found = row[column]
            shown = found.isoformat() if isinstance(found, pd.Timestamp) else found
            assert (None if pd.isna(shown) else shown) == value, column
