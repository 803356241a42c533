"""From workloads, offers and assumptions to the numbers of an allocation problem."""

from __future__ import annotations

import fnmatch
import math

import numpy as np
import pandas as pd

from cloudarb_lib.allocate import place
from cloudarb_lib.allocate.demand import Commitment, Demand, Workload
from cloudarb_lib.allocate.model import Limits, Problem, Row
from cloudarb_lib.assumptions import Assumptions
from cloudarb_lib.errors import DataError, ParameterError
from cloudarb_lib.schema import nearest
from cloudarb_lib.types import Panel, Paths
from cloudarb_lib.units import HOURS_PER_WEEK

IDLE = "idle commitment"
"""Stands in a plan where a workload's name would: what is paid for and used by none."""


def rework_factor(hazard_per_h: np.ndarray, *, checkpoint_h: float, restart_h: float) -> np.ndarray:
    """Return hours paid per hour of work kept, when interruptions come at a constant hazard.

    Checkpoints are written every sqrt(2 * cost * mean time between interruptions) (Young 1974,
    Daly 2006); half an interval and the restart are lost each time. Work without checkpoints
    loses its restart alone. The lost share is capped at 95 %: such a machine is never chosen.
    """
    hazard = np.asarray(hazard_per_h, dtype=float)
    # at the best interval, writing checkpoints and losing half an interval cost the same
    lost = np.sqrt(2 * checkpoint_h * hazard) + hazard * restart_h
    return 1.0 / (1.0 - np.minimum(lost, 0.95))


def _matches(values: pd.Series, patterns: tuple[str, ...]) -> np.ndarray:
    known = {v: any(fnmatch.fnmatchcase(v, p) for p in patterns) for v in values.unique()}
    return values.map(known).to_numpy(bool)


def fits(workload: Workload, offers: pd.DataFrame, assumptions: Assumptions) -> np.ndarray:
    """Return which offers can serve a workload (boolean).

    Raises ParameterError where none can, telling how many offers are left after each
    requirement in turn, and naming the nearest GPU model where the model is not known at all.
    """
    models = list(offers["gpu_model"].dropna().unique())
    for model in workload.throughput:
        variants = [m for m in models if str(m).startswith(f"{model}-")]
        if model not in models and variants and len(workload.throughput) == 1:
            raise ParameterError(
                f"workload {workload.name!r}: no offer has GPU model {model!r}.",
                f"Name which: {', '.join(sorted(variants))}.",
            )
    site = offers["provider"].str.cat(offers["region"], sep="/")
    region, provider = offers["region"], offers["provider"]
    wanted = f"GPU model {', '.join(workload.throughput)}"
    if not set(workload.throughput) & set(models):
        wanted += nearest(next(iter(workload.throughput)), [str(m) for m in models])
    least = max(workload.gpus_per_instance, 1.0)
    spot = (offers["purchase_option"] == "spot").to_numpy()
    tests = [
        (wanted, offers["gpu_model"].isin(list(workload.throughput)).to_numpy()),
        (f"provider {', '.join(workload.providers)}", _matches(provider, workload.providers)),
        (
            f"region {', '.join(workload.regions)}",
            _matches(region, workload.regions) | _matches(site, workload.regions),
        ),
        (f"purchase {', '.join(workload.options)}", offers["purchase_option"].isin(workload.options)),
        ("not interruptible: no spot", np.ones(len(offers), bool) if workload.interruptible else ~spot),
        (f"{least:g} GPUs a machine or more", offers["gpu_count"].to_numpy(float) >= least),
    ]  # fmt: skip
    if workload.not_in:
        bad = _matches(region, workload.not_in) | _matches(site, workload.not_in)
        tests.append((f"not in {', '.join(workload.not_in)}", ~bad))
    for name, column in (("GPU memory", "gpu_memory_gib"), ("memory", "memory_gib")):
        limit = getattr(workload, column)
        if limit:
            tests.append((f"{name} of {limit:g} GiB", offers[column].to_numpy(float) >= limit))
    if workload.residency:
        tests.append((f"residency {', '.join(workload.residency)}", place.resides(workload, offers)))
    if workload.latency_to:
        wanted = f"round trips of {workload.latency_ms:g} ms to {workload.latency_to}"
        tests.append((wanted, place.near(workload, offers, assumptions)))
    keep = np.ones(len(offers), bool)
    told = [f"{len(offers)} offers"]
    for name, passed in tests:
        keep &= np.asarray(passed, bool)
        told.append(f"{name}: {int(keep.sum())} left")
        if not keep.any():
            raise ParameterError(
                f"no offer fits workload {workload.name!r}: {'; '.join(told)}.",
                "Loosen the requirement that leaves none.",
            )
    return keep


def _capacity(offers: pd.DataFrame, assumptions: Assumptions) -> pd.DataFrame:
    """Return the pool of each offer (provider/region/option/GPU model) and its capacity in GPUs."""
    held = offers["held"].notna()
    market = offers["price_kind"].eq("market") & offers["offer_count"].notna() & ~held
    parts = ["provider", "region", "purchase_option", "gpu_model"]
    pool = offers[parts].astype(str).agg("/".join, axis=1)
    pool = pool.where(~(market | held), offers["offer_id"].astype(str))
    per_kind = {
        (option, model): assumptions.get(f"capacity_gpus/{option}/{model}", f"capacity_gpus/{option}")
        for option, model in set(
            zip(offers.loc[~market, "purchase_option"], offers.loc[~market, "gpu_model"], strict=True)
        )
    }  # fmt: skip
    capacity = [
        per_kind.get((option, model), 0.0)
        for option, model in zip(offers["purchase_option"], offers["gpu_model"], strict=True)
    ]
    result = pd.DataFrame({"pool": pool.to_numpy(), "capacity": capacity})
    if market.any():
        a_machine = assumptions.get("capacity_gpus_per_market_offer")
        counts = offers["offer_count"].to_numpy(float) * a_machine
        result["capacity"] = np.where(market, counts, result["capacity"])
    result["capacity"] = result["capacity"].where(
        ~held.to_numpy(), (offers["held"] * offers["gpu_count"]).to_numpy()
    )
    return result


def build_problem(
    workloads: list[Workload] | Demand,
    offers: pd.DataFrame,
    *,
    paths: Paths | None = None,
    limits: Limits | None = None,
    assumptions: Assumptions,
    hours: float = HOURS_PER_WEEK,
) -> Problem:
    """Return the problem of serving a demand from table ``offers`` for ``hours`` hours.

    A plan counts whole instances. Expected prices are the means of ``paths`` over worlds and
    steps; an offer without paths keeps today's price and is counted in ``notes``. Interrupted
    work is bought again at the same price (``rework_factor``), so the hours paid per instance
    can exceed the hours of the horizon. Capacity, hazards and fees come from
    ``assumptions``. Commitments already held are paid for, used or idle. Latency, residency and
    carbon need ``offers`` that passed ``with_places``. Raises ParameterError where no offer fits a workload,
    DataError for a price that is no positive number.
    """
    limits = limits or Limits()
    demand = workloads if isinstance(workloads, Demand) else Demand(workloads)
    if not 0 < hours < math.inf:
        raise ParameterError(f"the plan covers {hours:g} hours.", "Plan at least one hour.")
    if not demand.workloads:
        raise ParameterError("no workload to place.", "Name at least one in the demand file.")
    price = offers["price_usd_per_hour"].to_numpy(float)
    bad = ~(np.isfinite(price) & (price > 0))
    if bad.any():
        first = int(bad.argmax())
        raise DataError(f"offer {offers['offer_id'].iloc[first]} costs {price[first]} USD/h.")
    terms = offers["term"].isin(("", *limits.terms))
    if not terms.any():  # who offers commitments alone asks for them
        terms |= True
    held = [_held(commitment, offers) for commitment in demand.commitments]
    offers = offers[(offers["gpu_count"].to_numpy(float) > 0) & terms].assign(held=np.nan)
    offers = pd.concat([offers, *held], ignore_index=True)
    if not len(offers):
        raise ParameterError("no GPU offer to choose from.", "Check as_of and stale_after_days.")
    weeks = hours / HOURS_PER_WEEK
    model, gpus = offers["gpu_model"], offers["gpu_count"].to_numpy(float)
    hazard = np.zeros(len(offers))
    spot = (offers["purchase_option"] == "spot").to_numpy()
    market = (offers["price_kind"] == "market").to_numpy() & offers["held"].isna().to_numpy()
    if spot.any():
        hazard[spot] = assumptions.get(f"interruption_per_hour/spot/{limits.hazard}")
    if market.any():
        hazard[market] = assumptions.get("interruption_per_hour/market")
    disk = assumptions.get("boot_disk_usd_per_week") * weeks
    demands, pairs = [], []
    for number, w in enumerate(demand.workloads):
        j = np.flatnonzero(fits(w, offers, assumptions))
        rate = model.iloc[j].map(w.throughput).to_numpy(float)
        waits = np.ceil(w.amount / (gpus[j] * rate)) if w.together and not w.batch else 1.0
        rework = rework_factor(
            hazard[j] * waits, checkpoint_h=w.checkpoint_minutes / 60, restart_h=w.restart_minutes / 60
        )  # fmt: skip
        week = w.hours_a_week
        # a batch fits its week: lost work means more machines; what is held around the clock
        # keeps its machines and runs on: lost work means more hours
        cover = gpus[j] * rate * (week / rework if w.batch else 1.0)
        paid = np.full(len(j), week * weeks) if w.batch else week * weeks * rework
        committed = (offers["purchase_option"].iloc[j] == "reserved").to_numpy()
        need, undone = w.amount * w.count, w.worth_usd_per_gpu_hour
        unmet = np.inf if undone is None else undone * weeks * (1.0 if w.batch else week)
        demands.append((w.name, 0, need, unmet))
        pairs.append(
            pd.DataFrame(
                {
                    "demand": number, "slot": j, "cover": cover, "hours": np.where(committed, hours, paid),
                    "instances": 1.0, "pool_use": gpus[j], "sure_usd": disk,
                    "most": np.ceil(need / cover - 1e-9), "rework": rework, "busy_h": paid,
                }
            )
        )  # fmt: skip
    if held:  # what nobody uses is paid for all the same
        at = np.flatnonzero(offers["held"].notna())
        idle = {
            "demand": len(demands), "slot": at, "cover": 0.0, "hours": hours, "instances": 1.0,
            "pool_use": gpus[at], "sure_usd": 0.0, "most": offers["held"].iloc[at].to_numpy(),
            "rework": 1.0, "busy_h": 0.0,
        }  # fmt: skip
        demands.append((IDLE, 0, 0.0, np.inf))
        pairs.append(pd.DataFrame(idle))
    table = pd.concat(pairs, ignore_index=True)
    used, slot = np.unique(table["slot"].to_numpy(), return_inverse=True)
    table["slot"] = slot
    chosen = offers.iloc[used].reset_index(drop=True)
    pools = _capacity(chosen, assumptions)
    pool, pool_names = pd.factorize(pools["pool"])
    site, site_names = pd.factorize(chosen["provider"].str.cat(chosen["region"], sep="/"))
    capacity = pools.groupby(pool)["capacity"].max().to_numpy(float)
    table["most"] = np.minimum(table["most"], np.floor(capacity[pool[slot]] / table["pool_use"] + 1e-9))
    values, mean_price, notes = _price_paths(chosen, paths)
    slots = pd.DataFrame(
        {
            "offer_id": chosen["offer_id"].astype(str), "period": 0, "provider": chosen["provider"],
            "region": chosen["region"], "site": site, "pool": pool,
            "on_demand": chosen["purchase_option"].eq("on_demand"), "gpus": chosen["gpu_count"],
            "gpu_model": chosen["gpu_model"], "purchase_option": chosen["purchase_option"],
            "list_price": chosen["price_usd_per_hour"], "mean_price": mean_price,
        }
    )  # fmt: skip
    fee = assumptions.get("site_fee_usd_per_week") * weeks
    rows = [
        Row(f"commitment to {offer}", at := np.flatnonzero(slot == j), np.ones(len(at)), n, n)
        for j, (offer, n) in enumerate(zip(chosen["offer_id"], chosen["held"], strict=True))
        if n > 0
    ]
    rows += place.egress(demand.workloads, table, chosen, assumptions=assumptions, hours=hours)
    if "grid_gco2e_per_kwh" in chosen or limits.carbon_kg or limits.carbon_usd_per_tonne:
        rows.append(place.carbon(table, chosen, limits, assumptions))
    return Problem(
        demands=pd.DataFrame(demands, columns=["workload", "period", "need", "unmet_usd"]),
        slots=slots,
        pairs=table,
        pools=pd.DataFrame({"name": pool_names, "capacity": capacity}),
        sites=pd.DataFrame({"name": site_names, "fee_usd": fee}),
        paths=values,
        limits=limits,
        notes=notes,
        rows=tuple(rows),
    )


def _held(commitment: Commitment, offers: pd.DataFrame) -> pd.DataFrame:
    """Return the offer (one row) that a commitment already made stands for."""
    machines = offers["provider"] + "/" + offers["region"] + "/" + offers["instance_type"]
    at = np.flatnonzero(machines == commitment.machine)
    if not len(at):
        raise ParameterError(
            f"no machine {commitment.machine!r} on offer{nearest(commitment.machine, list(machines.unique()))}.",
            "Name a commitment by provider/region/instance type.",
        )
    return offers.iloc[at[:1]].assign(
        offer_id=commitment.machine[::-1].replace("/", "//", 1)[::-1] + "/reserved/held",
        zone="", purchase_option="reserved", term="held", held=commitment.instances,
        price_usd_per_hour=commitment.usd_per_hour,
    )  # fmt: skip


def _price_paths(
    offers: pd.DataFrame, paths: Paths | None
) -> tuple[np.ndarray | None, np.ndarray, tuple[str, ...]]:
    """Return worlds x offers of mean price over the horizon, its mean, and what was missing."""
    today = offers["price_usd_per_hour"].to_numpy(float)
    if paths is None:
        return None, today, ()
    position = paths.offer_ids.get_indexer(pd.Index(offers["offer_id"].astype(str)))
    values = np.tile(today, (paths.values.shape[1], 1))
    there = position >= 0
    values[:, there] = paths.values[position[there]].mean(axis=2).T
    missing = int((~there & offers["held"].isna()).sum())
    notes = (f"{missing} offers have no price paths and keep today's price.",) if missing else ()
    return values, values.mean(axis=0), notes


def resample_history(panel: Panel, *, horizon_steps: int, n_paths: int, seed: int) -> Paths:
    """Return price paths drawn from the past steps of ``panel``, the same steps for all offers.

    Each step ahead repeats the log change of a past cell, drawn anew; a change not known is none.
    Offers without a price in the last cell are left out. For where no forecast is wanted.
    """
    at = np.flatnonzero(np.nan_to_num(panel.price[-1]) > 0)
    price = np.log(np.where(panel.price[:, at] > 0, panel.price[:, at], np.nan))
    changes = np.nan_to_num(np.diff(price, axis=0, prepend=price[:1]))
    cells = np.random.default_rng(seed).integers(0, len(changes), (n_paths, horizon_steps))
    values = np.exp(price[-1] + np.cumsum(changes[cells], axis=1)).transpose(2, 0, 1)
    times = panel.times[-1] + panel.step * np.arange(1, horizon_steps + 1)
    return Paths(panel.offers.index[at], pd.DatetimeIndex(times), values)
