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
        f"In 95 % of worlds the plan stays under {usd(worst)}; {over:.1%} exceed the budget",
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
        fig.add_vline(x=at, name=f"{name} {usd(at)}", showlegend=True, line=line)
    fig.update_yaxes(tickformat=".0%")
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
    name, level = worst["scenario"].replace("_", " ").capitalize(), f"{100 * worst['level']:g} %"
    fig = figure(
        f"{name} hurts most: {usd(worst['loss_usd'])} more; planning anew saves {usd(saved)} of it",
        x_title=f"change of expected cost, USD (whisker: to the CVaR {level} of the plan held)",
        height_px=160 + 58 * len(rows),
    )
    shown = ["scenario", "loss_usd", "recourse_loss_usd", "unmet_gpu_hours"]
    names = [
        f"{name.replace('_', ' ')}<br><b>{usd(held)}</b> held, {usd(anew)} anew"
        + (f"<br>{unmet:,.0f} GPU-h unmet, held" if unmet >= 0.5 else "")
        for name, held, anew, unmet in rows[shown].itertuples(index=False, name=None)
    ]
    tail = {"type": "data", "array": rows["cvar_usd"], "arrayminus": 0 * rows["cvar_usd"]}
    alike = {"y": names, "orientation": "h"}
    fig.add_bar(
        x=rows["recourse_loss_usd"],
        name="planned anew where that is better",
        marker_color=COLOURS[0],
        **alike,
    )
    fig.add_bar(x=rows["loss_usd"], name="plan held", marker_color=COLOURS[1], error_x=tail, **alike)
    fig.update_layout(barmode="group", legend_traceorder="reversed")
    fig.update_yaxes(automargin=True)
    return fig


def correlation_map(before: np.ndarray, now: np.ndarray, names: pd.Index, note: str) -> go.Figure:
    """Return the correlation of price changes now, (names, names), beside its change from ``before``."""
    change = now - before
    i, j = np.unravel_index(np.abs(np.triu(change, 1)).argmax(), change.shape)
    fig = figure(
        f"{names[i]} and {names[j]} changed most: from {before[i, j]:+.2f} to {now[i, j]:+.2f}",
        height_px=200 + 36 * len(names),
    )
    for axis, values, what in (("", now, "now"), ("2", change, "change")):
        fig.add_heatmap(
            z=values, x=names, y=names, xaxis=f"x{axis}", yaxis=f"y{axis}", zmin=-1, zmax=1, colorscale="PuOr",
            showscale=not axis, name=what, colorbar={"title": "correlation"},
            text=np.round(values, 2), texttemplate="%{text}" if len(names) <= 12 else None,
        )  # fmt: skip
    fig.update_layout(
        xaxis={"domain": [0, 0.48], "title": f"now ({note})", "showticklabels": False},
        xaxis2={"domain": [0.52, 1], "title": "change over the window, same order", "showticklabels": False},
        yaxis={"autorange": "reversed", "automargin": True},
        yaxis2={"autorange": "reversed", "anchor": "x2", "showticklabels": False},
    )
    return fig


def exceedances(windows: pd.DataFrame, plan: str) -> go.Figure:
    """Return what a plan lost beyond its expected cost, window by window, and the VaR it had been told.

    ``windows`` is the second table of ``risk.backtest.back_test``; the default model is shown, from its first start.
    """
    rows = windows[windows["plan"] == plan]
    rows = rows[(rows[["model", "start"]] == rows[["model", "start"]].iloc[0]).all(axis=1)]
    lost, told = (100 * rows[c] / rows["expected_usd"] for c in ("loss_usd", "var_usd"))
    over = rows["exceeded"].to_numpy(bool)
    fig = figure(
        f"{plan.capitalize()}: {over.sum()} of {len(rows)} windows cost more than VaR 95 % ({0.05 * len(rows):.1f} expected)",
        x_title="start of the window, UTC", y_title="cost over the expected cost, %",
    )  # fmt: skip
    fig.add_scatter(x=rows["origin_utc"], y=told, name="VaR 95 %", line={"color": COLOURS[0], "shape": "hv"})
    for mask, name, colour, symbol in (
        (~over, "inside", COLOURS[6], "circle"), (over, "beyond", COLOURS[3], "x"),
    ):  # fmt: skip
        fig.add_scatter(
            x=rows["origin_utc"][mask], y=lost[mask], mode="markers", name=name,
            marker={"color": colour, "symbol": symbol, "size": 6 + 4 * (name == "beyond")},
        )  # fmt: skip
    return fig
