"""Rules on the plan: that it changed, and that a better one is there."""

from __future__ import annotations

from typing import ClassVar

import pandas as pd

from cloudarb_lib.base.records import NotNegative, record
from cloudarb_lib.base.wording import count, dollars
from cloudarb_lib.market.explore import offer_in_words
from pipelines.alerts.rule import Finding, Rule, Watched


@record
class PlanChange(Rule):
    """The plan rents more than so many machines elsewhere than the one before."""

    key: ClassVar[str] = "plan_change"
    machines: NotNegative

    def findings(self, watched: Watched) -> list[Finding]:
        plan, before = watched.tables("plan")
        if plan.empty or before.empty:
            return []
        taken_up = _machines(plan).sub(_machines(before), fill_value=0.0)
        moved = taken_up[taken_up > 0]
        if moved.sum() <= self.machines:
            return []
        by_offer = moved.groupby("offer_id").sum()
        where = ", ".join(f"{n:g} x {offer_in_words(str(id_))}" for id_, n in by_offer.items())
        machines = count(round(moved.sum()), "machine")
        return [Finding("", f"the plan takes up {machines} anew: {where}.")]


@record
class BetterPlan(Rule):
    """At today's list prices the plan is cheaper than the one before, by more than a share."""

    key: ClassVar[str] = "better_plan"
    saves_share: NotNegative

    def findings(self, watched: Watched) -> list[Finding]:
        plan, before = watched.tables("plan")
        offers, _ = watched.tables("offers")
        if plan.empty or before.empty or offers.empty:
            return []
        price = offers.set_index("offer_id")["price_usd_per_hour"]
        if not set(before["offer_id"]) <= set(price.index):
            return []  # it cannot go on as it is: price_change tells of an offer that is gone
        now_usd = _rent_usd(plan, price)
        before_usd = _rent_usd(before, price)
        saving = 1 - now_usd / before_usd
        if saving <= self.saves_share:
            return []
        costs = f"{dollars(now_usd)} against {dollars(before_usd)} of rent at today's list prices"
        return [Finding("", f"the plan is {saving:.1%} cheaper than the one before: {costs}.")]


def _machines(plan: pd.DataFrame) -> pd.Series:
    """Return the machines of the first period by workload and offer."""
    first = plan[plan["period"] == 0]
    return first.groupby(["workload", "offer_id"])["instances"].sum()


def _rent_usd(plan: pd.DataFrame, price_usd_per_hour: pd.Series) -> float:
    hours = plan["instances"] * plan["hours"]
    return float((hours * plan["offer_id"].map(price_usd_per_hour)).sum())
