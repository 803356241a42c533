"""Prices that moved, for a plan: what they touch is planned anew, and an alert says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cloudarb_lib import allocate, store
from cloudarb_lib.advice.move import with_current
from cloudarb_lib.advice.replan import Touched, list_prices, plan_anew, touched
from cloudarb_lib.base.units import HOURS_PER_WEEK
from cloudarb_lib.market import read_market
from cloudarb_lib.market.freshness import days_by_source
from cloudarb_lib.tables.assumptions import load_assumptions
from pipelines.cli.markets import STALE_AFTER_DAYS
from pipelines.cli.plan_folder import last_plan, write_plan
from pipelines.events.deliver import Handled
from pipelines.events.ledger import Event, event

if TYPE_CHECKING:
    import pandas as pd

    from cloudarb_lib.allocate import Plan, Problem


@dataclass(frozen=True)
class PlanWatch:
    """A plan that follows prices.

    Parameters
    ----------
    demand : Path
        The demand file.
    folder : Path
        Of the plan, as ``cloudarb allocate --out`` left it; the new plan goes there too.
    over_usd : float
        By how much prices must move the plan, USD over the horizon.
    weeks : float
        The horizon.
    store_dir : str
        Folder of the store.
    """

    demand: Path
    folder: Path
    over_usd: float
    weeks: float
    store_dir: str

    def begin(self) -> dict[str, Any]:
        """Return what is remembered when the watch begins: today's prices."""
        with store.open_snapshot(self.store_dir) as snapshot:
            problem = self._problem(snapshot, last_plan(self.folder))
            return {"snapshot": snapshot.digest, "prices": list_prices(problem)}

    def handle(self, told: Event, memory: Mapping[str, Any]) -> Handled:
        """Plan anew what an event of prices touches, where it moves the plan by enough.

        What moves it by less is remembered, and adds up.

        Parameters
        ----------
        told : Event
            Of any kind.
        memory : mapping
            As ``begin`` and this return it.

        Raises
        ------
        InfeasibleError
            Where nothing serves what is touched beside what is not.
        """
        if told.kind != "prices":
            return Handled()
        before = last_plan(self.folder)
        with store.open_snapshot(self.store_dir) as snapshot:
            digest = snapshot.digest
            if digest == memory["snapshot"]:  # of several files that came together
                return Handled()
            problem = self._problem(snapshot, before)
        found = touched(problem, before, memory["prices"])
        if found.total_usd <= self.over_usd:
            return Handled(memory={**memory, "snapshot": digest})
        options = allocate.SolveOptions(gap=1e-3)
        plan = plan_anew(problem, before, set(found.moved_usd.index), options)
        allocate.require_plan(plan)
        happened = self._happened(told, found, plan, before)
        write_plan(plan.table, self.folder)
        return Handled(happened, {"snapshot": digest, "prices": list_prices(problem)})

    def _problem(self, snapshot: store.Snapshot, plan: pd.DataFrame) -> Problem:
        """Return the problem at the newest prices, moving away from the plan paid for."""
        as_of = snapshot.newest_observation()
        assert as_of is not None  # an event of prices is an observation
        days = days_by_source([STALE_AFTER_DAYS])
        market = read_market(snapshot, as_of, providers=None, stale_after_days=days)
        return allocate.build_problem(
            with_current(allocate.load_demand(self.demand), plan),
            market.offers,
            assumptions=load_assumptions(),
            hours=self.weeks * HOURS_PER_WEEK,
        )

    def _happened(
        self, cause: Event, found: Touched, plan: Plan, before: pd.DataFrame
    ) -> list[Event]:
        """Return the plan and the alert."""
        changed = allocate.changes(before, plan.table[~allocate.is_idle(plan.table)])
        names = sorted(map(str, found.moved_usd.index))
        by = (
            f"{found.total_usd:,.0f} USD"
            if np.isfinite(found.total_usd)
            else "an offer that it has no more"
        )
        moved = sorted(set(changed["workload"]))
        outcome = f"{', '.join(moved)} moves" if moved else "nothing moves"
        text = f"prices move the plan by {by}: {', '.join(names)} planned anew, {outcome}."
        said = {
            "cause": cause.event_id,
            "workloads": names,
            "expected_cost_usd": plan.objective_usd,
            "seconds": round(plan.seconds, 3),
        }
        return [
            event("plan", self.folder.name, cause.at, said),
            event("alert", "plan_moved", cause.at, {"cause": cause.event_id, "text": text}),
        ]
