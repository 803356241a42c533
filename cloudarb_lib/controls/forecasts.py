"""Controls of notebook 02: which series, how far ahead, by which members; a worker trains."""

from __future__ import annotations

from functools import partial
from typing import Any

import ipywidgets as widgets
import pandas as pd
import plotly.graph_objects as go

from cloudarb_lib.base.types import Panel
from cloudarb_lib.base.worker import Worker
from cloudarb_lib.controls import form
from cloudarb_lib.controls.background import Background, Listener
from cloudarb_lib.controls.training import Advance, Trainer
from cloudarb_lib.forecast.members import MEMBERS
from cloudarb_lib.forecast.patterns import is_market
from cloudarb_lib.market.explore.words import offer_in_words
from cloudarb_lib.plots.forecast import fans_ahead

_MOST_SERIES = 4
_MOST_AHEAD = 2
"""So many times the horizon of the notebook may be asked for."""


class ForecastControl:
    """GPU, series, horizon, members: another series or a shorter horizon is shown at once.

    A longer horizon or other members are trained when asked for. List prices are simulated: no
    member takes part.

    Attributes
    ----------
    view : Widget
        What is shown.
    background : Background
        Trains; ``wait`` until it has.
    table : pd.DataFrame
        The forecast that is shown.
    """

    def __init__(self, panel: Panel, table: pd.DataFrame, *, n_paths: int, seed: int) -> None:
        self.table = table
        self.prices = panel.frame()
        self.step = panel.step
        forecast_ids = pd.Index(table["offer_id"].astype(str).unique())
        self.offers = panel.offers.loc[panel.offers.index.isin(forecast_ids)]
        self.offers = self.offers.assign(last=self.prices.ffill().iloc[-1][self.offers.index])
        models = sorted(self.offers["gpu_model"].dropna().astype(str).unique())
        steps = self._steps_of_table()
        self.gpu_model = form.choice("GPU", [(m, m) for m in models], models[0])
        self.series = form.choices("Series", [], [])
        self.horizon = widgets.IntSlider(
            value=steps, min=1, max=_MOST_AHEAD * steps, **form.named("Steps ahead")
        )
        self.horizon.continuous_update = False
        self.members = self._members(panel)
        self.train = widgets.Button(description="Train", icon="play")
        self.stop = widgets.Button(description="Stop", disabled=True, icon="stop")
        self.bar = widgets.IntProgress(layout=widgets.Layout(width="200px", visibility="hidden"))
        self.status = widgets.HTML()
        listener = Listener(self._on_progress, self._on_table, self._on_end)
        trainer = partial(Trainer, panel, forecast_ids, n_paths, seed)
        self.background = Background(Worker("forecaster", trainer), listener)
        self._list_series(None)
        self.picture = form.Picture(self._figure())
        self.view = self._laid_out()

    def _members(self, panel: Panel) -> widgets.SelectMultiple:
        has_market = bool(is_market(self.offers, panel.step).any())
        names = [(name.replace("_", " "), name) for name in MEMBERS]
        field = form.choices("Members", names, MEMBERS if has_market else ())
        field.disabled = not has_market
        return field

    def _laid_out(self) -> widgets.Widget:
        self.gpu_model.observe(self._list_series, "value")
        for field in (self.series, self.horizon):
            field.observe(self._draw, "value")
        self.train.on_click(self._ask)
        self.stop.on_click(lambda _: self.background.stop())
        progress = widgets.HBox([self.train, self.stop, self.bar, self.status])
        fields = (self.gpu_model, self.series, self.horizon, self.members)
        return form.view("What may a price do?", fields, progress, self.picture.view)

    def _steps_of_table(self) -> int:
        ahead = self.table["target_utc"].max() - self.table["origin_utc"].iloc[0]
        return round(ahead / self.step)

    def _list_series(self, _: object) -> None:
        """Offer the series of the GPU model, the cheapest first, and choose the cheapest."""
        rows = self.offers[self.offers["gpu_model"].astype(str) == self.gpu_model.value]
        rows = rows.sort_values("last")
        names = rows.index.map(offer_in_words)
        listed = list(zip(names, rows.index, strict=True))
        self.series.options = listed
        self.series.value = tuple(rows.index[:1])

    def _draw(self, _: object) -> None:
        if self.series.value:  # none for a moment while others are listed
            self.picture.draw(self._figure())

    def _figure(self) -> go.Figure:
        steps = self.horizon.value
        until = self.table["origin_utc"].iloc[0] + steps * self.step
        shown = list(self.series.value[:_MOST_SERIES])
        rows = self.table[self.table["offer_id"].isin(shown) & (self.table["target_utc"] <= until)]
        self._say(
            ""
            if steps <= self._steps_of_table()
            else f"Trained for {self._steps_of_table()} steps: Train forecasts {steps}."
        )
        return fans_ahead(rows.assign(offer_id=rows["offer_id"].astype(str)), self.prices)

    def _ask(self, _: object) -> None:
        self.stop.disabled = False
        self.bar.layout.visibility = "visible"
        self._say("Training ...")
        self.background.ask(Trainer.train, self.horizon.value, tuple(self.members.value))

    def _on_progress(self, said: Any) -> None:
        if isinstance(said, Advance):
            self.bar.max = said.total or 1
            self.bar.value = said.done
            self._say(f"Training: {said.part}, {said.done} of {said.total or 'some'}")
            return
        self._show(said)

    def _on_table(self, table: pd.DataFrame) -> None:
        self._end()
        self._show(table)
        self._say(f"Trained for {self._steps_of_table()} steps.")

    def _show(self, table: pd.DataFrame) -> None:
        self.table = table
        self._draw(None)

    def _on_end(self, why: str) -> None:
        self._end()
        self._say(f"{why} Shown is the last forecast that was ready.", alert=True)

    def _end(self) -> None:
        self.stop.disabled = True
        self.bar.layout.visibility = "hidden"

    def _say(self, text: str, *, alert: bool = False) -> None:
        self.status.value = form.paragraph(text, alert=alert)
