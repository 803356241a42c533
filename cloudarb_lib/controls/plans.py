"""Controls of notebook 03: limits and places; a worker plans anew, the plan follows."""

from __future__ import annotations

from functools import partial

import ipywidgets as widgets
import pandas as pd

from cloudarb_lib.allocate.demand import Workload
from cloudarb_lib.allocate.problem.eligible import fits
from cloudarb_lib.base.worker import Worker
from cloudarb_lib.controls import form
from cloudarb_lib.controls.background import Background, Listener
from cloudarb_lib.controls.replanning import Answer, Case, Change, Replanner, cvar_range_usd
from cloudarb_lib.market.explore.words import offer_in_words
from cloudarb_lib.plots.allocation import who_runs_where
from cloudarb_lib.tables.run_tables import paid_usd

_SPREADS = (1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
_CARBON_USD_PER_TONNE = (25.0, 50.0, 100.0, 150.0, 200.0, 300.0, 500.0)
_STATUS = {
    "searching": "Planning: the best so far.",
    "optimal": "Proven the cheapest.",
    "within_gap": "Proven as cheap as can be told apart.",
    "work_limit_with_plan": "The best found within the work allowed.",
    "time_limit_with_plan": "The best found in the time there is.",
    "interrupted": "Stopped: the best so far.",
}


class AllocationControl:
    """Budget, CVaR limit, spread, spot share, price of carbon, places: the plan follows.

    Attributes
    ----------
    view : Widget
        What is shown.
    background : Background
        Plans anew; ``wait`` until it has.
    answer : Answer or None
        The last one.
    """

    def __init__(self, case: Case) -> None:
        self.case = case
        self.answer: Answer | None = None
        limits = case.limits
        cost_usd = float(paid_usd(case.plan).sum())
        budgets = form.amounts_usd(cost_usd, limits.budget_usd)
        self.budget = _slider("Budget", budgets, limits.budget_usd)
        tails = form.limits_usd(*cvar_range_usd(case), limits.cvar_usd)
        self.cvar = _slider("Worst 5 % on average", tails, limits.cvar_usd)
        spread = limits.effective_providers
        self.spread = _slider("Effective number of", _spreads(spread), spread)
        kinds = [("providers", "provider"), ("regions", "region")]
        self.spread_over = form.choice("... of these", kinds, limits.diversify)
        on_demand = limits.min_on_demand_share
        self.spot = _slider("Spot hours at most", _shares(on_demand), on_demand)
        carbon = limits.carbon_usd_per_tonne
        self.carbon = _slider("Carbon, a tonne", _carbon(carbon), carbon)
        self.places = {w.name: _places(w, case) for w in case.work.workloads}
        self.status = widgets.HTML()
        self.plan = widgets.HTML()
        self.stop = widgets.Button(description="Stop", disabled=True, icon="stop")
        self.picture = form.Picture(who_runs_where(case.plan))
        self.plan.value = _plan_in_words(case.plan)
        listener = Listener(self._on_progress, self._on_answer, self._on_end)
        worker = Worker("planner", partial(Replanner, case))
        self.background = Background(worker, listener)
        self.view = self._laid_out()
        self._ask(None)

    def _laid_out(self) -> widgets.Widget:
        fields = [self.budget, self.cvar, self.spread, self.spread_over, self.spot, self.carbon]
        where = widgets.Accordion([widgets.VBox(list(self.places.values()))])
        where.set_title(0, "Where each workload may run")
        for control in (*fields, *self.places.values()):
            control.observe(self._ask, "value")
        self.stop.on_click(lambda _: self.background.stop())
        progress = widgets.HBox([self.stop, self.status])
        return form.view(
            "And under other limits?", fields, where, progress, self.picture.view, self.plan
        )

    def change(self) -> Change:
        """Return what the controls say."""
        limits = {
            "budget_usd": self.budget.value or None,
            "cvar_usd": self.cvar.value or None,
            "effective_providers": self.spread.value or None,
            "diversify": self.spread_over.value,
            "min_on_demand_share": self.spot.value or None,
            "carbon_usd_per_tonne": self.carbon.value or None,
        }
        named = {name: field for name, field in self.places.items() if field.value}
        every = {name for name, field in named.items() if len(field.value) == len(field.options)}
        return Change(
            limits, {name: field.value for name, field in named.items() if name not in every}
        )

    def _ask(self, _: object) -> None:
        self.stop.disabled = False
        self.status.value = form.paragraph("Planning ...")
        self.background.ask(Replanner.plan, self.change())

    def _on_progress(self, answer: Answer) -> None:
        if answer.table is not None:
            self._show(answer)
        elif answer.status == "infeasible":
            self._say("No plan keeps these limits. Looking for what is in the way ...", alert=True)

    def _on_answer(self, answer: Answer) -> None:
        self.stop.disabled = True
        if answer.table is None:
            found = "No plan was found in the time there was, which is no proof that there is none."
            if answer.status == "infeasible":
                found = f"No plan keeps these limits: {'; '.join(answer.conflicts)}."
            self._say(found, alert=True)
            return
        self._show(answer)

    def _show(self, answer: Answer) -> None:
        """Show a plan; its figure only where the plan is another one."""
        assert answer.table is not None
        before = None if self.answer is None else self.answer.table
        is_other = before is None or not answer.table.equals(before)
        self.answer = answer
        self._say(
            f"{_STATUS.get(answer.status, answer.status)} Expected cost "
            f"{form.usd(answer.cost_usd)}, at most {100 * answer.gap:.2f} % above the least "
            f"possible, after {answer.seconds:.1f} s. {self._risk_in_words(answer)} "
            f"{_undone_in_words(answer)}".rstrip()
        )
        if is_other:
            self.picture.draw(who_runs_where(answer.table))
            self.plan.value = _plan_in_words(answer.table)

    def _risk_in_words(self, answer: Answer) -> str:
        spread = f"Spend counts as {answer.effective:.1f} {self.spread_over.value}s."
        if self.case.paths is None:
            return spread
        return f"The worst 5 % cost {form.usd(answer.cvar_usd)} on average. {spread}"

    def _say(self, text: str, *, alert: bool = False) -> None:
        self.status.value = form.paragraph(text, alert=alert)

    def _on_end(self, why: str) -> None:
        self.stop.disabled = True
        self._say(f"{why} The plan below is one of before.", alert=True)


def _slider(name: str, options: list[form.Option], chosen: float | None) -> widgets.SelectionSlider:
    return form.slider(name, options, form.NO_LIMIT if chosen is None else float(chosen))


def _undone_in_words(answer: Answer) -> str:
    return f"Not served: {'; '.join(answer.left_undone)}." if answer.left_undone else ""


def _plan_in_words(plan: pd.DataFrame) -> str:
    shown = pd.DataFrame(
        {
            "workload": plan["workload"],
            "machines": plan["instances"].map("{:,.0f}".format),
            "what and where": plan["offer_id"].astype(str).map(offer_in_words),
            "expected cost": plan["expected_cost_usd"].map(form.usd),
        }
    )
    return form.table(shown, figures=["machines", "expected cost"])


def _spreads(chosen: float | None) -> list[form.Option]:
    numbers = sorted({*_SPREADS, *([chosen] if chosen else [])})
    return [("no limit", form.NO_LIMIT), *((f"{number:g} at least", number) for number in numbers)]


def _shares(least_on_demand: float | None) -> list[form.Option]:
    """Return shares of spot in words, each standing for the least share on demand."""
    shares = {k / 10 for k in range(1, 11)} | ({least_on_demand} if least_on_demand else set())
    ordered = sorted(shares, reverse=True)
    return [
        *((f"{100 * (1 - share):.0f} %", share) for share in ordered),
        ("no limit", form.NO_LIMIT),
    ]


def _carbon(chosen: float | None) -> list[form.Option]:
    prices = sorted({*_CARBON_USD_PER_TONNE, *([chosen] if chosen else [])})
    return [("none", form.NO_LIMIT), *((f"${price:g}", price) for price in prices)]


def _places(workload: Workload, case: Case) -> widgets.SelectMultiple:
    """Return a field over the places that the demand allows, all of them chosen."""
    offers = case.offers[case.offers["gpu_count"] > 0]
    can = offers[fits(workload, offers, case.assumptions)]
    names = sorted(set(can["provider"].astype(str) + "/" + can["region"].astype(str)))
    return form.choices(workload.name, [(name, name) for name in names], names)
