"""Controls of notebook 01: which offers, which way of buying, which part of the record."""

from __future__ import annotations

import ipywidgets as widgets
import pandas as pd
import plotly.graph_objects as go

from cloudarb_lib.base.types import Panel
from cloudarb_lib.controls import form
from cloudarb_lib.market import explore as figures_of
from cloudarb_lib.market.explore.words import option_in_words, site_name
from cloudarb_lib.plots import explore as plots
from cloudarb_lib.plots.style import nothing

_EVERY = "all"
_MOST_LINES = 8
"""So many places are told apart by colour at most."""
_MOST_ROWS = 10


class ExploreControl:
    """Provider, region, GPU, option and dates; the prices over time and the cheapest offers follow.

    Attributes
    ----------
    view : Widget
        What is shown.
    """

    def __init__(self, offers: pd.DataFrame, panel: Panel) -> None:
        gpus = offers[offers["gpu_count"] > 0]
        self.offers = gpus.assign(option=option_in_words(gpus), site=site_name(gpus))
        self.panel = panel
        options = sorted(self.offers["option"].unique())
        first = "spot" if "spot" in options else options[0]
        days = [(f"{time:%d %b %y}", time) for time in panel.times]
        self.provider = form.choice("Provider", self._named("provider"), _EVERY)
        self.region = form.choice("Region", self._named("region"), _EVERY)
        self.gpu_model = form.choice("GPU", self._named("gpu_model"), _EVERY)
        self.option = form.choice("Way of buying", [(o, o) for o in options], first)
        self.dates = widgets.SelectionRangeSlider(
            options=days,
            index=(0, len(days) - 1),
            continuous_update=False,
            description="Dates",
            style={"description_width": "150px"},
            layout=widgets.Layout(width="640px", max_width="98%"),
        )
        self.cheapest = widgets.HTML()
        self.picture = form.Picture(self._figure())
        fields = (self.provider, self.region, self.gpu_model, self.option, self.dates)
        self.view = form.view(
            "Which offers, and how did their price move?", fields, self.picture.view, self.cheapest
        )
        self.cheapest.value = self._cheapest()
        self.provider.observe(self._list_regions, "value")
        for field in fields:
            field.observe(self._draw, "value")

    def _named(self, column: str) -> list[form.Option]:
        names = sorted(self.offers[column].dropna().astype(str).unique())
        return [(name, name) for name in (_EVERY, *names)]

    def _list_regions(self, _: object) -> None:
        """Offer the regions of the provider alone, and forget one that it does not have."""
        of_provider = self._kept(self.offers, ("provider",))
        names = sorted(of_provider["region"].astype(str).unique())
        chosen = self.region.value if self.region.value in names else _EVERY
        self.region.options = [(name, name) for name in (_EVERY, *names)]
        self.region.value = chosen

    def _kept(self, rows: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
        for column in columns:
            wanted = getattr(self, column).value
            if wanted != _EVERY:
                rows = rows[rows[column].astype(str) == wanted]
        return rows

    def _draw(self, _: object) -> None:
        self.picture.draw(self._figure())
        self.cheapest.value = self._cheapest()

    def _figure(self) -> go.Figure:
        """Return prices over time: of each GPU model, or of each place where one GPU is chosen."""
        kept = self._kept(self.panel.offers, ("provider", "region", "gpu_model"))
        chosen = self.panel.select(self.panel.offers.index.isin(kept.index))
        every = self.gpu_model.value == _EVERY
        history = figures_of.price_history(
            chosen, self.option.value, by="gpu_model" if every else "site"
        )
        since, until = self.dates.value
        history = history.loc[since:until].dropna(axis=1, how="all")
        if history.empty:
            return nothing(
                f"No price of such an offer between {since:%d %b %Y} and {until:%d %b %Y}"
            )
        cheap = history.ffill().iloc[-1].nsmallest(_MOST_LINES).index
        shown = history[sorted(cheap)].rename_axis(columns="gpu_model")
        return plots.price_history(shown, self.option.value)

    def _cheapest(self) -> str:
        """Return what of this can be rented now, the cheapest first."""
        rows = self._kept(self.offers, ("provider", "region", "gpu_model", "option"))
        if rows.empty:
            return form.paragraph("Nothing of this can be rented now.")
        rows = rows.nsmallest(_MOST_ROWS, "price_usd_per_gpu_hour")
        shown = pd.DataFrame(
            {
                "place": rows["site"],
                "machine": rows["instance_type"],
                "GPUs": rows["gpu_count"].map("{:g} x ".format) + rows["gpu_model"].astype(str),
                "option": rows["option"],
                "USD per GPU-hour": rows["price_usd_per_gpu_hour"].map("${:,.2f}".format),
            }
        )
        return form.table(shown, figures=["USD per GPU-hour"])
