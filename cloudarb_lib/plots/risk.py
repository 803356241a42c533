"""Figures of notebook 04: what the plan can cost, why, and under which shocks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cloudarb_lib.plots import COLOURS, figure
from cloudarb_lib.risk.cost import PlanCost
from cloudarb_lib.risk.measures import cvar, probability_over, var


def usd(value: float) -> str:
    """Return dollars as a person says them: $1.24 M, $38.1 k, $512."""
    size = abs(value)
    sign = "-" if value < 0 else ""
    if size >= 1e6:
        return f"{sign}${size / 1e6:.2f} M"
    return f"{sign}${size / 1e3:.1f} k" if size >= 1e4 else f"{sign}${size:,.0f}"


def cost_distribution(cost: PlanCost, *, budget_usd: float) -> go.Figure:
    """Return the histogram of the plan's cost with its mean, VaR 95 %, CVaR 95 % and the budget, USD."""
    total = cost.total
    worst, over = var(total).value, probability_over(total, budget_usd).value
    fig = figure(
        f"In 95 % of worlds the plan stays under {usd(worst)}; {over:.0%} exceed the budget",
        x_title=f"cost over {cost.exposure.horizon_h / 24:g} days, USD",
        y_title="share of paths",
    )
    bars = {"nbinsx": 60, "histnorm": "probability", "marker_color": COLOURS[5]}
    fig.add_histogram(x=total, name="paths", showlegend=False, **bars)
    lines = {
        "expected": (total.mean(), COLOURS[0]),
        "expected + VaR 95%": (worst, COLOURS[1]),
        "expected + CVaR 95%": (cvar(total).value, COLOURS[3]),
        "budget": (budget_usd, COLOURS[6]),
    }
    for name, (at, colour) in lines.items():
        line = {"color": colour, "width": 2.5, "dash": "dot" if name == "budget" else "solid"}
        label = f"{name} {usd(at)}"
        fig.add_scatter(x=[at, at], y=[0, 1], yaxis="y2", mode="lines", name=label, line=line)
    fig.update_layout(yaxis2={"overlaying": "y", "range": [0, 1], "visible": False})
    fig.update_yaxes(tickformat=".0%", selector={"overlaying": None})
    return fig


def contribution_bars(table: pd.DataFrame) -> go.Figure:
    """Return the share of expected cost beside the share of CVaR of the ten largest of ``contributions``."""
    shares = table[["expected_cost_usd", "component_cvar_usd"]]
    sums = shares.sum()
    shares = (shares / sums.where(sums.abs() > 0, np.nan)).fillna(0.0)
    of_cost, of_risk = shares.iloc[0]
    title = f"{shares.index[0]} brings {of_risk:.0%} of the risk for {of_cost:.0%} of the cost"
    if sums["component_cvar_usd"] <= 0:
        title = "The paths show no risk to split"
    shown = shares.head(10)[::-1]
    fig = figure(title, x_title="share of the plan's total", height_px=160 + 42 * len(shown))
    names = {"expected cost": COLOURS[5], "CVaR 95%": COLOURS[3]}
    for column, (name, colour) in zip(shown, names.items(), strict=True):
        fig.add_bar(x=shown[column], y=shown.index, orientation="h", name=name, marker_color=colour)
    fig.update_xaxes(tickformat=".0%")
    fig.update_yaxes(automargin=True)
    return fig


def stress_bars(table: pd.DataFrame) -> go.Figure:
    """Return the cost change of each scenario of table ``stress``, held and with recourse; whiskers to the CVaR."""
    rows = table[table["scenario"] != "base"].sort_values("loss_usd")
    worst = rows.iloc[-1]
    saved = worst["loss_usd"] - worst["recourse_loss_usd"]
    fig = figure(
        f"{worst['scenario'].replace('_', ' ').capitalize()} hurts most: {usd(worst['loss_usd'])} more; "
        f"planning anew saves {usd(saved)} of it",
        x_title="change of expected cost, USD (whisker: to the CVaR 95 % of the plan held)",
        height_px=160 + 58 * len(rows),
    )
    names = [
        name.replace("_", " ") + (f"<br>{unmet:,.0f} GPU-h unmet, held" if unmet >= 0.5 else "")
        for name, unmet in zip(rows["scenario"], rows["unmet_gpu_hours"], strict=True)
    ]
    tail = {"type": "data", "array": rows["cvar95_usd"], "arrayminus": 0 * rows["cvar95_usd"]}
    for column, name, colour, whisker in (
        ("recourse_loss_usd", "planned anew where that is better", COLOURS[0], None),
        ("loss_usd", "plan held", COLOURS[1], tail),
    ):
        fig.add_bar(
            x=rows[column], y=names, orientation="h", name=name, marker_color=colour, error_x=whisker,
            text=rows[column].map(usd), textposition="inside" if whisker else "outside", cliponaxis=False,
        )  # fmt: skip
    fig.update_layout(barmode="group", legend_traceorder="reversed")
    fig.update_yaxes(automargin=True)
    return fig
