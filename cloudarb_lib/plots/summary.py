"""Figures of the summary page: the budget and the look-back."""

from __future__ import annotations

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from cloudarb_lib.plots import COLOURS, figure, label_ends


def budget_fan(fan: pd.DataFrame, budget_usd: float) -> go.Figure:
    """Return cumulative cost to the horizon: median, 80 % band, and the budget as a line.

    ``fan`` is what ``advice.cost_fan`` returns.
    """
    end = fan.iloc[-1]
    inside = "inside" if end["p90_usd"] <= budget_usd else "in danger of leaving"
    fig = figure(
        f"Nine times in ten at most ${end['p90_usd']:,.0f} by {end['time_utc']:%d %b %Y}: {inside} the budget",
        x_title="end of step (UTC)", y_title="cost so far (USD)",
    )  # fmt: skip
    band = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip"}
    fig.add_scatter(x=fan["time_utc"], y=fan["p90_usd"], showlegend=False, **band)
    fig.add_scatter(
        x=fan["time_utc"], y=fan["p10_usd"], fill="tonexty", fillcolor="rgba(0,114,178,0.22)",
        name="8 of 10 worlds", **band,
    )  # fmt: skip
    fig.add_scatter(
        x=fan["time_utc"], y=fan["p50_usd"], name="median", line={"color": COLOURS[0], "width": 3}
    )
    fig.add_hline(
        y=budget_usd, line={"color": COLOURS[3], "dash": "dash"},
        annotation_text=f"budget ${budget_usd:,.0f}", annotation_position="top left",
    )  # fmt: skip
    fig.update_yaxes(rangemode="tozero", tickprefix="$")
    return fig


def look_back(table: pd.DataFrame) -> go.Figure:
    """Return cumulative cost of each policy over the steps of table ``lookback``.

    Each line ends in its name and total, so that no legend has to be matched by colour.
    """
    wide = table.pivot(index="period_utc", columns="policy", values="cost_usd").cumsum()
    totals = wide.iloc[-1].sort_values()
    rest = totals.drop("advice")
    drawn = px.line(wide[["advice", *rest.index]])
    fig = figure(
        f"Since {wide.index[0]:%d %b %Y} the advice would have cost ${totals['advice']:,.0f}, "
        f"{rest.index[0]} ${rest.iloc[0]:,.0f}",
        x_title="start of step (UTC)", y_title="cost so far (USD)", height_px=470, drawn=drawn,
    )  # fmt: skip
    drawn.update_traces(line_width=2).update_traces(line_width=4, selector={"name": "advice"})
    labels = []
    for line in drawn.data:
        text = f"{'<b>advice</b>' if line.name == 'advice' else line.name} ${totals[line.name]:,.0f}"
        labels.append((wide.index[-1], totals[line.name], text, line.line.color))
    label_ends(fig, labels, gap=totals.max() * 0.055)
    fig.update_layout(margin={"r": 260}, xaxis_range=[wide.index[0], wide.index[-1]])
    fig.update_yaxes(rangemode="tozero", tickprefix="$", tickformat="~s")
    return fig
