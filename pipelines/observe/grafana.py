"""A dashboard for Grafana of all metrics, by the classes that Grafana makes of its own schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from pipelines.observe.described import LATENCY, LATENCY_SHARES, SECTIONS, Described

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
"""The Prometheus that is chosen at the head of the dashboard."""
UNITS = {"": "short", "s": "s", "time": "s", "USD": "currencyUSD", "share": "percentunit"}
"""Grafana's names of our units; an age is shown of a time."""
_WIDTH = 12
_HEIGHT = 7
"""Of a panel; the whole is 24 wide."""


def grafana_dashboard() -> str:
    """Return a dashboard with a panel for each metric, as JSON that Grafana imports."""
    made = (
        dashboard.Dashboard("CloudArb")
        .uid("cloudarb")
        .tags(["cloudarb"])
        .readonly()
        .time("now-7d", "now")
        .refresh("5m")
        .with_variable(dashboard.DatasourceVariable("datasource").type("prometheus"))
    )
    for section, metrics in SECTIONS.items():
        made = made.with_row(dashboard.Row(section))
        for metric in metrics:
            for panel in _panels(metric):
                made = made.with_panel(panel)
    return json.dumps(made.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _panels(metric: Described) -> Iterator[timeseries.Panel]:
    """Yield what shows a metric: the histogram by quantiles and by rate, all others as they are."""
    name = metric.whole_name
    legend = ", ".join(f"{{{{{label}}}}}" for label in metric.labels)
    if metric.name == LATENCY:
        rates = f"sum by (le) (rate({name}_bucket[$__rate_interval]))"
        shown = {
            f"{100 * share:g} %": f"histogram_quantile({share:g}, {rates})"
            for share in LATENCY_SHARES
        }
        yield _panel(f"Latency: {metric.meaning}", "s", shown)
        by = ", ".join(metric.labels)
        answers = f"sum by ({by}) (rate({name}_count[$__rate_interval]))"
        yield _panel("Answers a second", "reqps", {legend: answers})
    else:
        expression = f"time() - {name}" if metric.unit == "time" else name
        age = "Age: " if metric.unit == "time" else ""
        unit = UNITS.get(metric.unit, "short")
        yield _panel(f"{age}{metric.meaning}", unit, {legend: expression})


def _panel(title: str, unit: str, expressions: dict[str, str]) -> timeseries.Panel:
    """Return a panel of lines, each named by its key."""
    panel = timeseries.Panel().title(title[0].upper() + title[1:]).unit(unit).datasource(SOURCE)
    all_lines = common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI)
    panel = panel.tooltip(all_lines.sort(SortOrder.DESCENDING))
    names = common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST)
    panel = panel.legend(names.placement(LegendPlacement.BOTTOM))
    for letter, (legend, expression) in zip(ascii_uppercase, expressions.items(), strict=False):
        query = prometheus.Dataquery().ref_id(letter).datasource(SOURCE).expr(expression)
        panel = panel.with_target(query.legend_format(legend).range())
    return panel.line_width(1).span(_WIDTH).height(_HEIGHT)
