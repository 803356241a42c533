"""From workloads, offers and assumptions to the numbers of an allocation problem."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.demand import Commitment, Demand, DemandScenario, Workload
from cloudarb_lib.allocate.problem import place
from cloudarb_lib.allocate.problem.model import Limits, Problem
from cloudarb_lib.allocate.problem.row import Row
from cloudarb_lib.base.errors import DataError, ParameterError, did_you_mean
from cloudarb_lib.base.types import Paths
from cloudarb_lib.base.units import HOURS_PER_WEEK
from cloudarb_lib.tables.assumptions import HAZARD_PRESETS, Assumptions

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


def _lies_in(offers: pd.DataFrame, patterns: tuple[str, ...]) -> np.ndarray:
    site = offers["provider"] + "/" + offers["region"]
    return _matches(offers["region"], patterns) | _matches(site, patterns)


def fits(workload: Workload, offers: pd.DataFrame, assumptions: Assumptions) -> np.ndarray:
    """Return which offers can serve a workload (boolean).

    Raises ParameterError where none can, telling how many offers are left after each
    requirement in turn, and naming the nearest GPU model where the model is not known at all.
    """
    w, models = workload, sorted(set(offers["gpu_model"].dropna()))
    wanted = f"GPU model {', '.join(w.throughput)}"
    if not set(models) & set(w.throughput):
        variants = [m for m in models if m.startswith(tuple(f"{name}-" for name in w.throughput))]
        close = did_you_mean(next(iter(w.throughput)), models)
        wanted += f" (name which: {', '.join(variants)})" if variants else close
    tests = [
        (wanted, offers["gpu_model"].isin(list(w.throughput))),
        (f"provider {', '.join(w.providers)}", _matches(offers["provider"], w.providers)),
        (f"region {', '.join(w.regions)}", _lies_in(offers, w.regions)),
        (f"purchase {', '.join(w.options)}", offers["purchase_option"].isin(w.options)),
        ("not interruptible: no spot", w.interruptible | offers["purchase_option"].ne("spot")),
        (
            f"{max(w.gpus_per_instance, 1.0):g} GPUs a machine or more",
            offers["gpu_count"] >= max(w.gpus_per_instance, 1.0),
        ),
        (f"not in {', '.join(w.not_in)}", ~_lies_in(offers, w.not_in)),
    ]
    for name, column in (("GPU memory", "gpu_memory_gib"), ("memory", "memory_gib")):
        if limit := getattr(w, column):
            tests.append((f"{name} of {limit:g} GiB", offers[column] >= limit))
    if w.residency:
        tests.append((f"residency {', '.join(w.residency)}", place.resides(w, offers)))
    if w.latency_to:
        said = f"round trips of {w.latency_ms:g} ms to {w.latency_to}"
        tests.append((said, place.near(w, offers, assumptions)))
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
    kind = offers["purchase_option"].str.cat(offers["gpu_model"].astype(str), "/")
    per_kind = {
        k: assumptions.get(f"capacity_gpus/{k}", f"capacity_gpus/{k.split('/')[0]}")
        for k in kind[~(market | held)].unique()
    }
    a_machine = assumptions.get("capacity_gpus_per_market_offer") if market.any() else 0.0
    choices = [offers["held"] * offers["gpu_count"], offers["offer_count"] * a_machine]
    return pd.DataFrame(
        {
            "pool": pool.where(~(market | held), offers["offer_id"].astype(str)),
            "capacity": np.select([held, market], choices, kind.map(per_kind)),
        }
    )


def build_problem(
    workloads: list[Workload] | Demand,
    offers: pd.DataFrame,
    *,
    paths: Paths | None = None,
    limits: Limits | None = None,
    assumptions: Assumptions,
    hours: float | Sequence[float] = HOURS_PER_WEEK,
) -> Problem:
    """Return the problem of serving a demand from table ``offers`` for ``hours`` hours.

    Several ``hours`` are as many periods: commitments hold as many machines in each, starts and
    stops cost. Scenarios of the demand are futures of equal prices and other needs: commitments
    are the same in all of them, the rest is chosen in each; costs, carbon and spend at list prices
    count by probability, and CVaR is taken over prices and futures together.

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
    spans = np.atleast_1d(np.asarray(hours, float))
    if not (len(spans) and ((spans > 0) & (spans < math.inf)).all()):
        raise ParameterError(
            f"the plan covers {hours} hours.", "Plan at least one hour, in every period."
        )
    given = {"paths": paths, "limits": limits, "assumptions": assumptions, "hours": hours}
    elsewhere = partial(_elsewhere, demand, offers, **given)
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
    accepted = [np.flatnonzero(fits(w, offers, assumptions)) for w in demand.workloads]
    kept = np.unique(np.concatenate([*accepted, np.flatnonzero(offers["held"].notna())]))
    offers = offers.iloc[kept].reset_index(drop=True)
    spot = (offers["purchase_option"] == "spot").to_numpy()
    hazard, market = (
        np.zeros(len(offers)),
        (offers["price_kind"] == "market") & offers["held"].isna(),
    )
    if spot.any():
        hazard[spot] = assumptions.get(
            f"interruption_per_hour/spot/{HAZARD_PRESETS[limits.hazard]}"
        )
    if market.any():
        hazard[market] = assumptions.get("interruption_per_hour/market")
    disk, gpus = assumptions.get("boot_disk_usd_per_week"), offers["gpu_count"].to_numpy(float)
    committed = (offers["purchase_option"] == "reserved").to_numpy()
    ends = np.cumsum(spans) / HOURS_PER_WEEK
    futures = demand.scenarios or (DemandScenario("", 1.0, {}),)
    cases = [(t, f) for f in range(len(futures)) for t in range(len(spans))]
    demands: list[tuple] = []
    pairs = []

    def add(c: int, number: int, j: np.ndarray, paid_h: np.ndarray | float, **more) -> None:
        paid = np.where(committed[j], spans[cases[c][0]], paid_h)
        also = {"workload": number, "case": c, "demand": len(demands) - 1, "instances": 1.0}
        row = {
            "slot": c * len(offers) + j,
            "hours": paid,
            "pool_use": gpus[j],
            "busy_h": paid_h,
            **more,
        }
        pairs.append(pd.DataFrame(row).assign(**also))

    for number, (w, fit) in enumerate(zip(demand.workloads, accepted, strict=True)):
        j = np.searchsorted(kept, fit)
        rate = offers["gpu_model"].iloc[j].map(w.throughput).to_numpy(float)
        waits = np.ceil(w.amount / (gpus[j] * rate)) if w.together and not w.batch else 1.0
        rework = rework_factor(
            hazard[j] * waits,
            checkpoint_h=w.checkpoint_minutes / 60,
            restart_h=w.restart_minutes / 60,
        )
        amounts = w.amounts or (w.amount,) * len(spans)
        if len(amounts) != len(spans):
            raise ParameterError(
                f"workload {w.name!r} needs amounts for {len(amounts)} periods, the plan has {len(spans)}.",
                "Plan as many periods.",
            )
        week, dated = w.hours_a_week, math.isfinite(w.deadline_weeks)
        for c, (t, f) in enumerate(cases):
            factor = futures[f].factors.get(w.name, 1.0)
            start = ends[t] - spans[t] / HOURS_PER_WEEK
            weeks = float(np.clip(w.deadline_weeks - start, 0.0, ends[t] - start))
            # what has a deadline is one demand over its periods, in GPU-hours; else one each period
            unit = weeks if dated else 1.0
            need = (
                w.count
                * factor
                * (w.amount * min(w.deadline_weeks, ends[-1]) if dated else amounts[t])
            )
            worth = w.worth_usd_per_gpu_hour
            if not (dated and t):
                hours_of_unit = 1.0 if dated else weeks * (1.0 if w.batch else week)
                unmet = np.inf if worth is None else worth * hours_of_unit * futures[f].probability
                demands.append((w.name + futures[f].suffix, t, need, unmet, futures[f].name, False))
            # a batch fits its week: lost work means more machines; what is held around the clock
            # keeps its machines and runs on: lost work means more hours
            cover = gpus[j] * rate * (week * unit / rework if w.batch else 1.0)
            share = np.minimum(cover / max(need, 1e-9), 1.0) * (1.0 if dated else weeks / ends[-1])
            with np.errstate(divide="ignore"):
                most = np.ceil(need / cover - 1e-9) if weeks else np.zeros(len(j))
            add(
                c,
                number,
                j,
                week * weeks * (1.0 if w.batch else rework),
                cover=cover,
                rework=rework,
                most=most,
                share=share,
                sure_usd=disk * weeks * futures[f].probability,
            )
    # a commitment holds as many in every period and future, used or not
    binds = np.flatnonzero(committed if len(cases) > 1 else offers["held"].notna())
    for c, (t, f) in enumerate(cases):
        if len(binds):
            if not t:
                demands.append((IDLE + futures[f].suffix, 0, 0.0, np.inf, futures[f].name, True))
            add(c, -1, binds, 0.0, cover=0.0, rework=1.0, most=np.inf, share=0.0, sure_usd=0.0)
    table = pd.concat(pairs, ignore_index=True)
    slot, case = table["slot"].to_numpy(), table["case"].to_numpy()
    pools = _capacity(offers, assumptions)
    pool, names = pd.factorize(pools["pool"])
    capacity = pools.groupby(pool)["capacity"].max().to_numpy(float)
    when = [f" in period {t + 1}" * (len(spans) > 1) + futures[f].suffix for t, f in cases]
    site, site_names = pd.factorize(offers["provider"].str.cat(offers["region"], sep="/"))
    room = np.floor(capacity[pool[slot % len(offers)]] / table["pool_use"] + 1e-9)
    values, mean_price, notes = _price_paths(
        offers, paths, spans, np.array([f.probability for f in futures])
    )
    period, future = np.array(cases).T
    chance = np.array([f.probability for f in futures])[future]
    slots = offers[["offer_id", "provider", "region", "gpu_model", "purchase_option"]].assign(
        site=site, on_demand=offers["purchase_option"].eq("on_demand"), gpus=offers["gpu_count"]
    )
    slots = pd.concat([slots] * len(cases), ignore_index=True).assign(
        period=np.repeat(period, len(offers)),
        pool=np.concatenate([pool + c * len(names) for c in range(len(cases))]),
        list_price=np.outer(chance, offers["price_usd_per_hour"]).ravel(),
        mean_price=mean_price,
    )
    ways = table.assign(
        offer=slot % len(offers),
        price=slots["mean_price"].to_numpy()[slot],
        chance=chance[case],
        future=future[case],
    ).join(offers, on="offer")
    rows = _commitments(ways, offers, binds) + _starts(demand.workloads, ways, len(spans))
    rows += place.egress(demand, ways, assumptions=assumptions, hours=float(spans.sum()))
    if "grid_gco2e_per_kwh" in offers or limits.carbon_kg or limits.carbon_usd_per_tonne:
        rows.append(place.carbon(ways, limits, assumptions))
    return Problem(
        demands=pd.DataFrame(
            demands, columns=["workload", "period", "need", "unmet_usd", "scenario", "idle"]
        ),
        slots=slots,
        assignments=table.drop(columns="workload").assign(
            most=table["most"].where(np.isfinite(table["most"]), room)
        ),
        pools=pd.DataFrame(
            {
                "name": [n + w for w in when for n in names],
                "capacity": np.tile(capacity, len(cases)),
            }
        ),
        sites=pd.DataFrame(
            {"name": site_names, "fee_usd": assumptions.get("site_fee_usd_per_week") * ends[-1]}
        ),
        paths=values,
        limits=limits,
        notes=notes,
        rows=tuple(rows),
        elsewhere=elsewhere,
    )


def _elsewhere(demand: Demand, offers: pd.DataFrame, **given) -> Iterator[tuple[str, Problem]]:
    """Yield the problem with one region more: for each workload bound to regions, its five cheapest others."""
    for i, w in enumerate(demand.workloads):
        free = replace(w, regions=("*",))
        if w.regions != free.regions:
            assumptions = given["assumptions"]
            more = offers[fits(free, offers, assumptions) & ~fits(w, offers, assumptions)]
            price = more["price_usd_per_hour"] / more["gpu_count"]
            sites = price.groupby(more["provider"] + "/" + more["region"]).min().nsmallest(5).index
            for site in sites:
                others = list(demand.workloads)
                others[i] = replace(w, regions=(*w.regions, site))
                yield (
                    f"allow {w.name} in {site}",
                    build_problem(replace(demand, workloads=others), offers, **given),
                )


def _commitments(pairs: pd.DataFrame, offers: pd.DataFrame, binds: np.ndarray) -> list[Row]:
    """Return the rows that hold the number of each commitment, in every period and future."""
    rows = []
    for j in binds:
        mine = pairs.index[pairs["offer"] == j].to_numpy()
        case, (name, held) = pairs["case"].to_numpy()[mine], offers[["offer_id", "held"]].iloc[j]
        first = mine[case == 0]
        if held > 0:
            rows.append(
                Row(
                    f"commitment to {name}",
                    first,
                    np.ones(len(first)),
                    held,
                    held,
                    kind="commitment",
                )
            )
        for c in range(1, case.max() + 1):
            now = mine[case == c]
            values = np.r_[np.ones(len(now)), -np.ones(len(first))]
            rows.append(
                Row(
                    f"commitment to {name} goes on",
                    np.r_[now, first],
                    values,
                    0.0,
                    0.0,
                    kind="continuation",
                )
            )
    return rows


def _starts(workloads: list[Workload], pairs: pd.DataFrame, periods: int) -> list[Row]:
    """Return the rows that charge for machines started, and stopped, from one period to the next.

    What runs in the first period is taken to run already; nothing is stopped after the last.
    """
    rows = []
    work, case, price = (pairs[column].to_numpy() for column in ("workload", "case", "price"))
    for number, w in enumerate(workloads):
        for c in set(case[work == number]):
            now, before = (np.flatnonzero((work == number) & (case == k)) for k in (c, c - 1))
            for sign, word, minutes in (
                (1.0, "start", w.start_minutes),
                (-1.0, "stop", w.stop_minutes),
            ):
                for i, j in zip(now, before, strict=True) if minutes and c % periods else ():
                    charge = ((0.0, price[i] * minutes / 60),)
                    rows.append(
                        Row(
                            f"{word} of {w.name}",
                            np.array([i, j]),
                            np.array([sign, -sign]),
                            tiers=charge,
                        )
                    )
    return rows


def _held(commitment: Commitment, offers: pd.DataFrame) -> pd.DataFrame:
    """Return the offer (one row) that a commitment already made stands for."""
    machines = offers["provider"] + "/" + offers["region"] + "/" + offers["instance_type"]
    at = np.flatnonzero(machines == commitment.machine)
    if not len(at):
        raise ParameterError(
            f"no machine {commitment.machine!r} on offer{did_you_mean(commitment.machine, list(machines.unique()))}.",
            "Name a commitment by provider/region/instance type.",
        )
    return offers.iloc[at[:1]].assign(
        offer_id=commitment.machine[::-1].replace("/", "//", 1)[::-1] + "/reserved/held",
        zone="",
        purchase_option="reserved",
        term="held",
        held=commitment.instances,
        price_usd_per_hour=commitment.usd_per_hour,
    )


def _price_paths(
    offers: pd.DataFrame, paths: Paths | None, spans: np.ndarray, chances: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray, tuple[str, ...]]:
    """Return worlds x slots of mean price over the slot's period, the expected price of each slot, and notes.

    Slots are the offers in each period of each future. A world belongs to one future: slots of others cost
    nothing in it; expected prices take every world and count by the future's chance.
    """
    today, n_periods = offers["price_usd_per_hour"].to_numpy(float), len(spans)
    if paths is None:
        return None, np.outer(chances, np.tile(today, n_periods)).ravel(), ()
    steps = paths.values.shape[2]
    period = np.searchsorted(np.cumsum(spans) / spans.sum(), (np.arange(steps) + 0.5) / steps)
    if len(np.unique(period)) < n_periods:
        raise ParameterError(
            f"{n_periods} periods on {steps} steps of prices.", "Plan fewer periods, or more steps."
        )
    position = paths.offer_ids.get_indexer(pd.Index(offers["offer_id"].astype(str)))
    there, worlds = position >= 0, paths.values.shape[1]
    values = np.tile(today, (worlds, n_periods, 1))
    for t in range(n_periods):
        values[:, t, there] = paths.values[position[there]][:, :, period == t].mean(axis=2).T
    missing = int((~there & offers["held"].isna()).sum())
    notes = (f"{missing} offers have no price paths and keep today's price.",) if missing else ()
    values = values.reshape(worlds, -1)
    future = np.searchsorted(np.cumsum(chances), (np.arange(worlds) + 0.5) / worlds)
    own = future[:, None] == np.repeat(np.arange(len(chances)), values.shape[1])
    return (
        np.tile(values, len(chances)) * own,
        np.outer(chances, values.mean(axis=0)).ravel(),
        notes,
    )
