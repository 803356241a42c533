"""What has to be served in each case, and the assignments of offers that serve it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloudarb_lib.allocate.demand import Demand, Workload
from cloudarb_lib.allocate.problem.eligible import EligibleOffers
from cloudarb_lib.allocate.problem.horizon import Case, Horizon
from cloudarb_lib.base.errors import ParameterError

IDLE = "idle commitment"
"""Stands in a plan where a workload's name would: what is paid for and used by none."""
MUST = 0.0
"""Priority of what is never left undone for the sake of other work."""
NO_WORKLOAD = -1
"""Number of the workload of idle commitments."""


@dataclass(frozen=True)
class Service:
    """How the offers that a workload accepts serve it."""

    number: int
    workload: Workload
    offers: np.ndarray
    """Numbers of the offers accepted; the others are of each of these."""
    gpus: np.ndarray
    throughput: np.ndarray
    """Work done in an hour of a GPU."""
    rework: np.ndarray
    """Hours paid per hour of work kept."""
    is_committed: np.ndarray


@dataclass(frozen=True)
class Need:
    """What a workload needs in a case."""

    weeks: float
    """Of the case in which it runs: it may end before."""
    amount: float
    """GPUs held; GPU-hours for work with a deadline."""
    unmet_usd: float
    """Worth of a unit left undone, by its probability; infinite: all of it must run."""


def assignments_of(
    demand: Demand, offers: EligibleOffers, horizon: Horizon, boot_disk_usd_per_week: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return what has to be served, and the assignments that serve it.

    Parameters
    ----------
    demand
        Workloads, with the needs of each period where they differ.
    offers
        The offers that can serve them.
    horizon
        Periods and futures.
    boot_disk_usd_per_week
        Paid for each instance beside its rent.

    Returns
    -------
    demands : pd.DataFrame
        ``Problem.demands``. Work with a deadline is one demand over its periods; else each period
        has its own.
    assignments : pd.DataFrame
        ``Problem.assignments`` with the number of ``offer``, ``workload`` and ``case``, ``share``
        (of the workload's data that one unit reads), ``rework`` and ``busy_h`` (hours at work).
        ``most`` is infinite for idle commitments, of which the pool alone is the bound.

    Raises
    ------
    ParameterError
        For a workload with amounts for another number of periods.
    """
    demands: list[tuple] = []
    tables: list[pd.DataFrame] = []
    for number, workload in enumerate(demand.workloads):
        service = _service(number, workload, offers)
        _refuse_other_periods(workload, horizon)
        is_dated = math.isfinite(workload.deadline_weeks)
        for case in horizon.cases:
            need = _need(workload, case, horizon)
            if not is_dated or case.period == 0:
                label = workload.name + case.future.suffix
                what = (label, case.period, need.amount, need.unmet_usd)
                kept = (workload.together, workload.count, workload.count)
                team = demand.team_of(workload)
                priority = team.priority if team and team.priority else MUST
                demands.append((*what, case.future.name, False, *kept, priority))
            table = _serving(service, need, case, horizon, boot_disk_usd_per_week)
            tables.append(table.assign(demand=len(demands) - 1, instances=1.0))
    bound = bound_offers(offers, horizon)
    for case in horizon.cases if len(bound) else []:
        if case.period == 0:
            label = IDLE + case.future.suffix
            demands.append((label, 0, 0.0, np.inf, case.future.name, True, "", 1.0, 1.0, MUST))
        table = _idle(bound, offers, case)
        tables.append(table.assign(demand=len(demands) - 1, instances=1.0))
    columns = ["workload", "period", "need", "unmet_usd", "scenario", "idle"]
    columns += ["together", "jobs", "places", "priority"]
    assignments = pd.concat(tables, ignore_index=True)
    slot = assignments["case"] * len(offers) + assignments["offer"]
    assignments.insert(0, "slot", slot)
    return pd.DataFrame(demands, columns=columns), assignments


def rework_factor(hazard_per_h: np.ndarray, *, checkpoint_h: float, restart_h: float) -> np.ndarray:
    """Return hours paid per hour of work kept, when interruptions come at a constant hazard.

    Checkpoints are written every sqrt(2 * cost * mean time between interruptions); half an
    interval and the restart are lost each time. Work without checkpoints loses its restart alone.

    Parameters
    ----------
    hazard_per_h
        Interruptions an hour.
    checkpoint_h, restart_h
        Hours that writing a checkpoint, and a restart, take.

    Returns
    -------
    np.ndarray
        1 or more; the lost share is capped at 95 %: such a machine is never chosen.

    References
    ----------
    Young (1974), A first order approximation to the optimum checkpoint interval; Daly (2006), A
    higher order estimate of the optimum checkpoint interval for restart dumps.
    """
    hazard = np.asarray(hazard_per_h, dtype=float)
    # at the best interval, writing checkpoints and losing half an interval cost the same
    lost = np.sqrt(2 * checkpoint_h * hazard) + hazard * restart_h
    return 1.0 / (1.0 - np.minimum(lost, 0.95))


def bound_offers(offers: EligibleOffers, horizon: Horizon) -> np.ndarray:
    """Return the offers of which as many must be held in every period and future, used or not."""
    return np.flatnonzero(offers.is_committed if len(horizon.cases) > 1 else offers.is_held)


def _service(number: int, workload: Workload, offers: EligibleOffers) -> Service:
    """Return how the offers accepted serve a workload."""
    at = offers.accepted[number]
    gpus = offers.gpus[at]
    throughput = offers.table["gpu_model"].iloc[at].map(workload.throughput).to_numpy(float)
    waiting: np.ndarray | float = 1.0
    if workload.together and not workload.batch:  # one machine taken away stops them all
        waiting = np.ceil(workload.amount / (gpus * throughput))
    rework = rework_factor(
        offers.hazard_per_h[at] * waiting,
        checkpoint_h=workload.checkpoint_minutes / 60,
        restart_h=workload.restart_minutes / 60,
    )
    is_committed = offers.is_committed[at]
    return Service(number, workload, at, gpus, throughput, rework, is_committed)


def _refuse_other_periods(workload: Workload, horizon: Horizon) -> None:
    amounts = len(workload.amounts) or horizon.periods
    if amounts != horizon.periods:
        raise ParameterError(
            f"workload {workload.name!r} needs amounts for {amounts} periods, "
            f"the plan has {horizon.periods}.",
            "Plan as many periods.",
        )


def _need(workload: Workload, case: Case, horizon: Horizon) -> Need:
    """Return what a workload needs in a case."""
    left = np.clip(workload.deadline_weeks - case.start_week, 0.0, case.end_week - case.start_week)
    weeks = float(left)
    if math.isfinite(workload.deadline_weeks):
        amount = workload.amount * min(workload.deadline_weeks, horizon.weeks)
        hours_of_unit = 1.0
    else:
        amount = workload.amounts[case.period] if workload.amounts else workload.amount
        hours_of_unit = weeks * (1.0 if workload.batch else workload.hours_a_week)
    worth = workload.worth_usd_per_gpu_hour
    unmet = np.inf if worth is None else worth * hours_of_unit * case.future.probability
    factor = case.future.factors.get(workload.name, 1.0)
    return Need(weeks, workload.count * factor * amount, unmet)


def _serving(
    service: Service, need: Need, case: Case, horizon: Horizon, boot_disk_usd_per_week: float
) -> pd.DataFrame:
    """Return the assignments of a workload in a case, one for each offer that it accepts."""
    workload = service.workload
    week = workload.hours_a_week
    is_dated = math.isfinite(workload.deadline_weeks)
    cover = service.gpus * service.throughput
    busy_h = np.full(len(cover), week * need.weeks)
    # a batch fits its week: lost work means more machines; what is held around the clock keeps
    # its machines and runs on: lost work means more hours
    if workload.batch:
        cover = cover * (week * (need.weeks if is_dated else 1.0) / service.rework)
    else:
        busy_h = busy_h * service.rework
    time_share = 1.0 if is_dated else need.weeks / horizon.weeks
    most = np.zeros(len(cover))
    if need.weeks:
        with np.errstate(divide="ignore"):
            most = np.ceil(need.amount / cover - 1e-9)
    return pd.DataFrame(
        {
            "offer": service.offers,
            "hours": np.where(service.is_committed, case.hours, busy_h),
            "pool_use": service.gpus,
            "busy_h": busy_h,
            "cover": cover,
            "rework": service.rework,
            "most": most,
            "share": np.minimum(cover / max(need.amount, 1e-9), 1.0) * time_share,
            "sure_usd": boot_disk_usd_per_week * need.weeks * case.future.probability,
            "workload": service.number,
            "case": case.number,
        }
    )


def _idle(bound: np.ndarray, offers: EligibleOffers, case: Case) -> pd.DataFrame:
    """Return the assignments of commitments to no work in a case."""
    return pd.DataFrame(
        {
            "offer": bound,
            "hours": np.where(offers.is_committed[bound], case.hours, 0.0),
            "pool_use": offers.gpus[bound],
            "busy_h": 0.0,
            "cover": 0.0,
            "rework": 1.0,
            "most": np.inf,
            "share": 0.0,
            "sure_usd": 0.0,
            "workload": NO_WORKLOAD,
            "case": case.number,
        }
    )
