"""Figures of the summary page: the budget and the look-back."""

from __future__ import annotations

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from cloudarb_lib.base.wording import day, dollars, last_day
from cloudarb_lib.plots.style import COLOURS, TEMPLATE, add_band, figure, label_ends

_NEAR = 2.0
"""Up to so many times the cost a budget is drawn: above, it would press the cost flat."""


def budget_fan(fan: pd.DataFrame, budget_usd: float) -> go.Figure:
    """Return cumulative cost to the horizon: median, 80 % band, and the budget as a line.

    A budget far above it is told in the title alone.

    ``fan`` is what ``risk.cost_fan`` returns.
    """
    end = fan.iloc[-1]
    so_far = fan.set_index("time_utc")
    drawn = px.line(
        so_far[["p50_usd"]].rename(columns={"p50_usd": "median"}), template=TEMPLATE
    ).update_traces(line_width=3)
    add_band(drawn, so_far["p10_usd"], so_far["p90_usd"], name="8 of 10 paths", opacity=0.22)
    if budget_usd <= _NEAR * end["p90_usd"]:
        drawn.add_hline(
            y=budget_usd,
            line={"color": COLOURS[3], "dash": "dash"},
            annotation_text=f"budget {dollars(budget_usd)}",
            annotation_position="top left",
        )
    return figure(
        f"Eight times in ten {dollars(end['p10_usd'])} to {dollars(end['p90_usd'])} by "
        f"{last_day(end['time_utc'])}, against a budget of {dollars(budget_usd)}",
        x_title="end of step (UTC)",
        y_title="cost so far (USD)",
        drawn=drawn,
    ).update_yaxes(rangemode="tozero", tickprefix="$")


def look_back(table: pd.DataFrame) -> go.Figure:
    """Return cumulative cost of each policy over the steps of table ``lookback``.

    Each line ends in its name and total, so that no legend has to be matched by colour.
    """
    wide = table.pivot(index="period_utc", columns="policy", values="cost_usd").cumsum()
    totals = wide.iloc[-1].sort_values()
    others = totals.drop("advice")
    drawn = px.line(wide[["advice", *others.index]], template=TEMPLATE)
    fig = figure(
        f"Since {day(wide.index[0])} the advice would have cost {dollars(totals['advice'])}, "
        f"{others.index[0]} {dollars(others.iloc[0])}",
        x_title="start of step (UTC)",
        y_title="cost so far (USD)",
        height_px=470,
        drawn=drawn,
    )
    drawn.update_traces(line_width=2).update_traces(line_width=4, selector={"name": "advice"})
    texts = {str(policy): f"{policy} {dollars(usd)}" for policy, usd in totals.items()}
    texts["advice"] = f"<b>{texts['advice'].replace(' ', '</b> ', 1)}"
    fig.update_xaxes(range=[wide.index[0], wide.index[-1]])
    fig.update_yaxes(rangemode="tozero", tickprefix="$", tickformat="~s")
    return label_ends(fig, texts, margin_px=260)
