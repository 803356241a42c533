"""From workloads, offers and assumptions to the numbers of an allocation problem."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.demand import Demand, Workload
from cloudarb_lib.allocate.demand.limit_figures import LimitFigures
from cloudarb_lib.allocate.problem.assign import assignments_of, bound_offers
from cloudarb_lib.allocate.problem.charges import carbon, commitments, egress, starts_and_stops
from cloudarb_lib.allocate.problem.eligible import EligibleOffers, eligible_offers, fits
from cloudarb_lib.allocate.problem.facts import stated_rows, under_quota
from cloudarb_lib.allocate.problem.fallback import COLUMNS, fallbacks_of
from cloudarb_lib.allocate.problem.held import without_price
from cloudarb_lib.allocate.problem.horizon import Horizon
from cloudarb_lib.allocate.problem.model import Limits, Problem
from cloudarb_lib.allocate.problem.moves import moves
from cloudarb_lib.allocate.problem.place import estimated_in_words
from cloudarb_lib.allocate.problem.prices import agreed_prices, in_words
from cloudarb_lib.allocate.problem.room import room_of
from cloudarb_lib.allocate.problem.row import Row
from cloudarb_lib.allocate.problem.scope import is_named
from cloudarb_lib.allocate.problem.slots import Pools, slot_prices, slots_and_sites
from cloudarb_lib.base.types import Paths
from cloudarb_lib.base.units import HOURS_PER_WEEK
from cloudarb_lib.tables.assumptions import Assumptions

_OTHER_REGIONS = 5
"""So many regions more are tried for each workload where there is no plan, the cheapest."""


def build_problem(
    workloads: list[Workload] | Demand,
    offers: pd.DataFrame,
    *,
    paths: Paths | None = None,
    limits: Limits | None = None,
    assumptions: Assumptions,
    hours: float | Sequence[float] = HOURS_PER_WEEK,
) -> Problem:
    """Return the problem of serving a demand from offers.

    A plan counts whole instances. Interrupted work is bought again at the same price
    (``rework_factor``), so the hours paid per instance can exceed the hours of the horizon; hours
    in which a machine is gone are bought elsewhere in expectation (``fallbacks_of``).
    Commitments already held are paid for, used or idle. A workload that runs already pays for each
    machine beyond those it has.

    Parameters
    ----------
    workloads
        What has to run. Scenarios of a ``Demand`` are futures of equal prices and other needs:
        commitments are the same in all of them, the rest is chosen in each; costs and carbon
        count by probability, and CVaR is taken over prices and futures together.
    offers
        Table ``offers``; for latency, residency and carbon through ``with_places``.
    paths
        Expected prices are their means over sample paths and steps; an offer without paths keeps
        today's price and is counted in ``notes``.
    limits
        None for those that the demand states; what is given goes before these.
    assumptions
        Where capacity, hazards and fees come from.
    hours
        Of the plan; several are as many periods: commitments hold as many machines in each, starts
        and stops cost.

    Raises
    ------
    ParameterError
        Where no offer fits a workload, and for periods that fit no hours, needs or paths.
    DataError
        For a price that is no positive number.
    """
    demand = workloads if isinstance(workloads, Demand) else Demand(workloads)
    limits = _limits_of_plan(demand.limits, limits)
    horizon = Horizon.of(hours, demand.scenarios)
    elsewhere = partial(
        _elsewhere, demand, offers, paths=paths, limits=limits, assumptions=assumptions, hours=hours
    )
    offers, paths = agreed_prices(demand, offers, paths)
    eligible = eligible_offers(demand, offers, limits, assumptions)
    boot_disk = assumptions.get("boot_disk_usd_per_week")
    demands, assignments = assignments_of(demand, eligible, horizon, boot_disk)
    pools = Pools.of(eligible.table, assumptions, under_quota(demand, eligible.table))
    pools = pools.with_room_for(assignments)
    prices = slot_prices(eligible, paths, horizon)
    slots, sites = slots_and_sites(eligible, pools, prices, horizon)
    details = _details(assignments, slots, eligible, horizon)
    room = room_of(eligible.table, assumptions, demand.quotas)
    details = details.join(fallbacks_of(details, eligible, assumptions, room))
    rows = _rows(demand, details, eligible, horizon, limits, assumptions)
    rows += stated_rows(demand, details, demands, horizon, assumptions)
    assignments = _within_pools(assignments, pools).join(details[["chance", *COLUMNS]])
    fee_usd = assumptions.get("site_fee_usd_per_week") * horizon.weeks
    return Problem(
        demands=demands,
        slots=slots,
        assignments=assignments.drop(columns=["workload", "offer"]),
        pools=pools.table(horizon),
        sites=pd.DataFrame({"name": sites, "fee_usd": fee_usd}),
        paths=prices.paths,
        limits=limits,
        notes=(*prices.notes, *_notes(demand, offers), *_without_effect(demand, limits, details)),
        rows=tuple(rows),
        room=room,
        elsewhere=elsewhere,
    )


def _within_pools(assignments: pd.DataFrame, pools: Pools) -> pd.DataFrame:
    """Return the assignments with what their pool holds as the bound of those that have none."""
    capacity = pools.capacity[pools.of_offer[assignments["offer"]]]
    in_pool = np.floor(capacity / assignments["pool_use"] + 1e-9)
    most = assignments["most"]
    return assignments.assign(most=most.where(np.isfinite(most), in_pool))


def _details(
    assignments: pd.DataFrame, slots: pd.DataFrame, offers: EligibleOffers, horizon: Horizon
) -> pd.DataFrame:
    """Return the assignments with expected price, chance and future of their case, and offer."""
    case = assignments["case"].to_numpy()
    return assignments.assign(
        price=slots["mean_price"].to_numpy()[assignments["slot"].to_numpy()],
        chance=horizon.case_probabilities[case],
        future=horizon.case_futures[case],
        hazard_per_h=offers.hazard_per_h[assignments["offer"]],
    ).join(offers.table, on="offer")


def _limits_of_plan(stated: LimitFigures, given: Limits | None) -> Limits:
    """Return the limits that a demand states, those given in the place of its own."""
    default = Limits()
    of_plan = vars(default) | vars(stated)
    for name, value in vars(given or default).items():
        if value != getattr(default, name):
            of_plan[name] = value
    return Limits(**of_plan)


def _notes(demand: Demand, offers: pd.DataFrame) -> list[str]:
    """Return what a reader should know of prices agreed or not on offer, and of round trips."""
    held = [
        f"{machine} is held: no price of it is on offer, its contract's counts"
        for machine in without_price(demand.commitments, offers)
    ]
    return [*in_words(demand), *held, *estimated_in_words(demand, offers)]


def _without_effect(demand: Demand, limits: Limits, details: pd.DataFrame) -> list[str]:
    """Return what a reader should know of limits and quotas that limit nothing here."""
    told = [
        f"quota of {quota.words} limits nothing: no work may run on what it names"
        for quota in demand.quotas
        if not is_named(quota, details).any()
    ]
    has_commitments = (details["purchase_option"] == "reserved").any()
    if limits.min_commitment_use is not None and not has_commitments:
        told.append(
            "min_commitment_use limits nothing: no commitment is held, and none may be bought"
        )
    return told


def _rows(
    demand: Demand,
    details: pd.DataFrame,
    offers: EligibleOffers,
    horizon: Horizon,
    limits: Limits,
    assumptions: Assumptions,
) -> list[Row]:
    """Return the further limits and charges on the counts."""
    rows = commitments(details, offers.table, bound_offers(offers, horizon))
    rows += starts_and_stops(demand.workloads, details, horizon)
    rows += egress(demand, details, horizon, assumptions)
    rows += moves(demand, details, horizon, assumptions)
    has_grid = "grid_gco2e_per_kwh" in offers.table
    is_capped = limits.carbon_kg is not None
    if has_grid or is_capped or limits.carbon_usd_per_tonne:
        rows.append(carbon(details, limits, assumptions))
    return rows


def _elsewhere(
    demand: Demand, offers: pd.DataFrame, *, assumptions: Assumptions, **given
) -> Iterator[tuple[str, Problem]]:
    """Yield the problem with one region more, for each workload bound to regions: the cheapest."""
    for i, workload in enumerate(demand.workloads):
        anywhere = replace(workload, regions=("*",))
        if workload.regions == anywhere.regions:
            continue
        fits_elsewhere = fits(anywhere, offers, assumptions)
        others = offers[fits_elsewhere & ~fits(workload, offers, assumptions)]
        price = others["price_usd_per_hour"] / others["gpu_count"]
        by_site = price.groupby(others["provider"] + "/" + others["region"]).min()
        for site in by_site.nsmallest(_OTHER_REGIONS).index:
            wider = list(demand.workloads)
            wider[i] = replace(workload, regions=(*workload.regions, site))
            problem = build_problem(
                replace(demand, workloads=wider), offers, assumptions=assumptions, **given
            )
            yield f"allow {workload.name} in {site}", problem
