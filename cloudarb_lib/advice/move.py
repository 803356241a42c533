"""Move or stay: what runs now beside the cheapest plan, moving paid for, at today's prices.

Tried on the record (``cloudarb advise backtest``), a move that pays back at today's prices closes
nearly all of the gap to hindsight, and forecasts of the weeks ahead close less. None is asked.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cloudarb_lib import allocate
from cloudarb_lib.allocate.problem.held import HELD, machine_held
from cloudarb_lib.allocate.problem.moves import MOVE
from cloudarb_lib.base.errors import ParameterError, did_you_mean
from cloudarb_lib.base.units import HOURS_PER_WEEK
from cloudarb_lib.market import Market
from cloudarb_lib.tables.assumptions import Assumptions


@dataclass(frozen=True, eq=False)
class MoveAdvice:
    """Move or stay, and what it rests on.

    Attributes
    ----------
    is_move
        Whether to move.
    must
        Why what runs now cannot go on; empty where it can.
    keep_usd
        Cost of going on as now over the weeks asked; NaN where it cannot.
    move_usd
        Cost of the best plan, moving included.
    moving_usd
        Of that, what moving costs.
    payback_weeks
        When what is saved has paid for the move; NaN where nothing moves, or it must.
    plan
        Table ``plan``: the best plan.
    changes
        A row per workload and offer whose number of machines differs.
    """

    is_move: bool
    must: tuple[str, ...]
    keep_usd: float
    move_usd: float
    moving_usd: float
    payback_weeks: float
    plan: pd.DataFrame
    changes: pd.DataFrame

    @property
    def saving_usd(self) -> float:
        """By moving, its cost taken off; NaN where what runs now cannot go on."""
        return self.keep_usd - self.move_usd


def move_or_stay(
    demand: allocate.Demand,
    market: Market,
    assumptions: Assumptions,
    *,
    weeks: float,
    limits: allocate.Limits | None = None,
) -> MoveAdvice:
    """Return whether what runs now (``demand.current``) should move, at today's prices.

    Parameters
    ----------
    demand
        What has to run; the need is that of its first period, without scenarios of what may come.
    market
        Offers of the day.
    assumptions
        Capacity, hazards, and what moving takes.
    weeks
        Over which a move must pay back.

    Raises
    ------
    ParameterError
        Where nothing runs now, or an offer that runs now is not on record.
    InfeasibleError
        Where no plan keeps the limits, with what would mend it.
    """
    if not demand.current:
        raise ParameterError(
            "nothing runs now: the demand has no 'current'.",
            "List offers and instances under current, or name the folder of the last plan.",
        )
    demand = allocate.as_it_is_now(demand)
    gone = no_longer_offered(demand, market)
    hours = weeks * HOURS_PER_WEEK
    problem = allocate.build_problem(
        demand, market.offers, limits=limits, assumptions=assumptions, hours=hours
    )
    best = allocate.require_plan(allocate.solve_by_priority(problem))
    problem = best.problem  # of what is served
    now = placements_table(demand.current, hours)
    kept = allocate.check(problem, allocate.counts_of(problem, now))
    moving_usd = _moving_usd(problem, best)
    must = (*gone, *kept.broken)
    keep_usd = np.nan if must else kept.objective_usd
    saving = keep_usd - best.objective_usd
    changes = allocate.changes(now, best.table[~allocate.is_idle(best.table)])
    weekly_usd = (saving + moving_usd) / weeks
    return MoveAdvice(
        is_move=bool(must) or saving > best.gap * best.objective_usd + 0.005,
        must=must,
        keep_usd=keep_usd,
        move_usd=best.objective_usd,
        moving_usd=moving_usd,
        payback_weeks=moving_usd / weekly_usd if weekly_usd > 0 and moving_usd else np.nan,
        plan=best.table,
        changes=changes,
    )


def in_words(advice: MoveAdvice, *, weeks: float) -> str:
    """Return the advice as a paragraph for people."""
    cost = (
        f"{advice.move_usd:,.0f} USD over {weeks:g} weeks at today's prices, "
        f"{advice.moving_usd:,.0f} of it for the move"
    )
    if advice.must:
        return f"**Move**: what runs now cannot go on ({'; '.join(advice.must)}). It takes {cost}."
    if not advice.is_move:
        return (
            f"**Stay**: going on as now costs {advice.keep_usd:,.0f} USD over {weeks:g} weeks at "
            "today's prices, and no move pays back by then."
        )
    return (
        f"**Move**: it saves {advice.saving_usd:,.0f} USD of {advice.keep_usd:,.0f}, pays back "
        f"after {advice.payback_weeks:.1f} weeks, and takes {cost}."
    )


def with_current(
    demand: allocate.Demand, plan: pd.DataFrame, scenario: str | None = None
) -> allocate.Demand:
    """Return the demand with the first period of a plan as what runs now.

    Parameters
    ----------
    plan
        Table ``plan``; rows of workloads that the demand lacks are left out.
    scenario
        Of a plan with scenarios, which of them has come; None for ``scenario_running``.

    Raises
    ------
    ParameterError
        Where the plan has no such scenario.
    """
    came = scenario_running(demand, plan) if scenario is None else scenario
    running = allocate.rows_in_scenario(plan[plan["period"] == 0], came)
    names = {workload.name for workload in demand.workloads}
    first = running[running["workload"].isin(names)]
    current = tuple(
        allocate.Placement(workload, offer, instances)
        for workload, offer, instances in first[["workload", "offer_id", "instances"]].itertuples(
            index=False
        )
    )
    return replace(demand, current=current)


def scenario_running(demand: allocate.Demand, plan: pd.DataFrame) -> str:
    """Return which scenario of a plan what runs now is taken from.

    The likeliest by the demand of those that the plan has; of others the first by name; empty where
    the plan has none.
    """
    planned = allocate.scenarios_in(plan)
    likely = [s for s in demand.scenarios if s.name in planned]
    if likely:
        return max(likely, key=lambda s: s.probability).name
    return planned[0] if planned else ""


def placements_table(current: tuple[allocate.Placement, ...], hours: float) -> pd.DataFrame:
    """Return placements as table ``plan``, without costs."""
    rows = [(p.offer, p.workload, 0, float(p.instances), hours) for p in current]
    return pd.DataFrame(rows, columns=["offer_id", "workload", "period", "instances", "hours"])


def no_longer_offered(demand: allocate.Demand, market: Market) -> tuple[str, ...]:
    """Say of each offer that runs now (``demand.current``) and is not offered any more why.

    Raises
    ------
    DemandError
        For an offer that is not on record.
    """
    states = market.states.assign(offer_id=market.states["offer_id"].astype(str))
    reasons = states.set_index("offer_id")["reason"]
    offered = set(market.offers["offer_id"].astype(str))
    gone = {}
    for number, placement in enumerate(demand.current):
        offer = placement.offer
        if offer.endswith(HELD):
            held = {commitment.machine for commitment in demand.commitments}
            if machine_held(offer) not in held:
                gone[offer] = f"{offer} is not held any more"
        elif offer not in reasons.index:
            raise allocate.DemandError(
                ("current", number, "offer"),
                f"current: no offer {offer!r} on record{did_you_mean(offer, list(reasons.index))}.",
                "Write it as provider/region/zone/instance type/option/term; empty parts stay "
                "empty.",
            )
        elif offer not in offered:
            gone[offer] = f"{offer} is not offered: {reasons[offer]}"
    return tuple(gone.values())


def _moving_usd(problem: allocate.Problem, best: allocate.Plan) -> float:
    charges = best.verdict.charges_usd
    return float(
        sum(usd for row, usd in zip(problem.rows, charges, strict=True) if row.kind == MOVE)
    )
