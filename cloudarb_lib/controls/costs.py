"""Controls of notebooks 04 and 05: level, horizon, hazard and a mix of scenarios of one plan.

The plan is costed on the sample paths that are there; what was costed once is kept.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import ipywidgets as widgets
import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cloudarb_lib.base.measures import var_and_cvar
from cloudarb_lib.base.wording import percent
from cloudarb_lib.controls import form
from cloudarb_lib.market.disruptions import every_in_words
from cloudarb_lib.plots.risk import cost_histogram
from cloudarb_lib.risk.cost import PlanCost
from cloudarb_lib.risk.impact import Impact, cost_under, impact_of
from cloudarb_lib.risk.inputs import RiskInputs
from cloudarb_lib.risk.scenarios import StressScenario, scenario_in_words
from cloudarb_lib.tables.assumptions import HAZARD_PRESETS, HazardPreset

BASE = StressScenario("base")
PARTS = 20
"""A chance is a number of twentieths: so often the samples of a scenario count in the mix."""
_LEVELS = (0.8, 0.9, 0.95, 0.975, 0.99)


class RiskControl:
    """The distribution of a plan's cost, under a hazard and a mix of scenarios.

    Attributes
    ----------
    view : Widget
        What is shown.
    drawing : Thread
        Costs the plan under each hazard, before somebody asks.
    """

    def __init__(
        self,
        inputs: RiskInputs,
        plan: pd.DataFrame,
        *,
        budget_usd: float,
        scenarios: Sequence[StressScenario],
    ) -> None:
        self.inputs = inputs
        self.plan = plan
        self.budget_usd = budget_usd
        self.cost = lru_cache(maxsize=None)(self._cost)
        self.impacts = self._impacts(scenarios)
        steps = len(inputs.paths.times)
        hazards = {rows: name for name, rows in reversed(HAZARD_PRESETS.items())}
        now = hazards[HAZARD_PRESETS[inputs.hazard]]
        self.level = form.slider("Level", [(f"{x:.3g} %", x / 100) for x in _in_percent()], 0.95)
        self.horizon = form.slider("Horizon", self._horizons(steps), steps)
        names = [name for name in HAZARD_PRESETS if name in hazards.values()]
        how_often = [
            (f"{every_in_words(name, inputs.assumptions)} ({name})", name) for name in names
        ]
        self.hazard = form.choice("Spot is taken away", how_often, now)
        self.chances = {
            name: form.slider(
                scenario_in_words(name), _chances(), 0, name_width=form.LONG_NAME_WIDTH
            )
            for name in self.impacts
            if name != BASE.name
        }
        self.figures = widgets.HTML()
        self.picture = form.Picture(self._drawn())
        fields = (self.level, self.horizon, self.hazard)
        mix = widgets.Accordion([form.beside(self.chances.values())])
        mix.set_title(0, "What may come besides, by its chance within the horizon")
        self.view = form.view(
            "And if things come otherwise?", fields, mix, self.figures, self.picture.view
        )
        for field in (*fields, *self.chances.values()):
            field.observe(lambda _: self.picture.draw(self._drawn()), "value")
        self.drawing = threading.Thread(target=self._draw_outages, args=[names, steps], daemon=True)
        self.drawing.start()

    def _draw_outages(self, hazards: list[HazardPreset], steps: int) -> None:
        """Draw the outages under each hazard before somebody asks: that takes longest."""
        for hazard in hazards:
            self.cost(BASE.name, hazard, steps)

    def _impacts(self, scenarios: Sequence[StressScenario]) -> dict[str, Impact]:
        """Return what each scenario does, of those that hit an offer and that the record tells."""
        found = {s.name: impact_of(s, self.inputs, self.plan) for s in (BASE, *scenarios)}
        return {name: impact for name, impact in found.items() if impact is not None}

    def _horizons(self, steps: int) -> list[form.Option]:
        step_days = self.inputs.horizon_h / steps / 24
        return [(f"{k * step_days:g} days", k) for k in range(1, steps + 1)]

    def _cost(self, scenario: str, hazard: HazardPreset, steps: int) -> PlanCost:
        """Return the cost samples of the plan over the first steps, under one scenario."""
        impact = self.impacts[scenario]
        whole = steps == len(self.inputs.paths.times)
        held = self.plan if whole else self.plan.assign(period=0)
        inputs = replace(self.inputs, hazard=hazard)
        within = slice(steps)
        return cost_under(impact, inputs, held, demand_factor=impact.demand, steps=within)

    def mixed(self) -> tuple[np.ndarray, np.ndarray]:
        """Return cost (USD) and unmet GPU-hours of the mix, each path as often as its chance."""
        parts = {name: field.value for name, field in self.chances.items() if field.value}
        parts[BASE.name] = max(PARTS - sum(parts.values()), 0)
        costs = [
            (self.cost(name, self.hazard.value, self.horizon.value), times)
            for name, times in parts.items()
            if times
        ]
        total = np.concatenate([np.repeat(cost.total, times) for cost, times in costs])
        unmet = [np.repeat(cost.unmet_gpu_hours, times) for cost, times in costs]
        return total, np.concatenate(unmet)

    def _drawn(self) -> go.Figure:
        """Return the figure, and show the numbers beside it."""
        total, unmet = self.mixed()
        level = self.level.value
        share = self.horizon.value / len(self.inputs.paths.times)
        budget_usd = self.budget_usd * share
        worst, tail = var_and_cvar(total, level)
        rows = {
            "expected total cost": form.usd(total.mean()),
            f"cost not exceeded in {100 * level:.3g} % of sample paths (VaR above expected)": (
                f"{form.usd(worst)} ({form.usd(worst - total.mean())})"
            ),
            "mean cost of the worse sample paths (CVaR above expected)": (
                f"{form.usd(tail)} ({form.usd(tail - total.mean())})"
            ),
            f"over {form.usd(budget_usd)}, the budget's share of the horizon": (
                f"{percent(100 * (total > budget_usd).mean())} of sample paths"
            ),
            "some hour finds no machine": f"{percent(100 * (unmet > 0).mean())} of sample paths",
        }
        notice = ""
        if sum(field.value for field in self.chances.values()) > PARTS:
            notice = form.paragraph(
                "The chances add up to more than 100 %: they count in proportion.", alert=True
            )
        shown = pd.DataFrame({"of the mix": rows.keys(), "": rows.values()})
        self.figures.value = notice + form.table(shown, figures=[""])
        horizon_h = self.inputs.horizon_h * share
        return cost_histogram(total, horizon_h=horizon_h, budget_usd=budget_usd, level=level)


def _in_percent() -> list[float]:
    return [100 * level for level in _LEVELS]


def _chances() -> list[form.Option]:
    return [(f"{100 * k / PARTS:g} %", k) for k in range(PARTS + 1)]
