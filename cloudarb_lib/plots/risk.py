"""Figures of notebook 04: what the plan can cost, why, and under which shocks."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from cloudarb_lib.base.wording import dollars, percent
from cloudarb_lib.market.explore import offer_in_words, provider_name
from cloudarb_lib.plots.style import COLOURS, TEMPLATE, figure
from cloudarb_lib.risk.backtest import TRUSTED
from cloudarb_lib.risk.cost import PlanCost
from cloudarb_lib.risk.measures import cvar, probability_over, var
from cloudarb_lib.risk.scenarios import scenario_in_words

_FAR = 3.0
"""A budget that lies more than so many times the spread of costs above them is not drawn: the
costs would be a line beside it."""


def cost_distribution(cost: PlanCost, *, budget_usd: float) -> go.Figure:
    """Return the histogram of the plan's cost, USD, with its mean, VaR, CVaR and the budget."""
    return cost_histogram(cost.total, horizon_h=cost.horizon_h, budget_usd=budget_usd)


def cost_histogram(
    total: np.ndarray, *, horizon_h: float, budget_usd: float, level: float = 0.95
) -> go.Figure:
    """Return the histogram of costs, one a path, USD, with mean, VaR, CVaR and the budget."""
    worst = var(total, level).value
    over = probability_over(total, budget_usd).value
    bars = go.Figure()
    bars.add_histogram(
        x=total, nbinsx=60, histnorm="probability", marker_color=COLOURS[5], showlegend=False
    )
    is_far = budget_usd > total.max() + _FAR * np.ptp(total)
    off = f" (the budget, {dollars(budget_usd)}, lies far to the right)" if is_far else ""
    fig = figure(
        f"In {100 * level:g} % of sample paths the plan stays under {dollars(worst)}; "
        f"{percent(100 * over)} exceed the budget",
        drawn=bars,
        x_title=f"cost over {horizon_h / 24:g} days, USD{off}",
        y_title="share of paths",
    )
    tail = {
        f"expected + VaR {100 * level:g} %": worst,
        f"expected + CVaR {100 * level:g} %": cvar(total, level).value,
    }
    marks = {"expected": total.mean(), **tail}
    if not is_far:
        marks["budget"] = budget_usd
    for (name, at), number in zip(marks.items(), (0, 1, 3, 6), strict=False):
        line = {
            "color": COLOURS[number],
            "width": 2.5,
            "dash": "dot" if name == "budget" else "solid",
        }
        fig.add_vline(x=at, name=f"{name} {dollars(at)}", showlegend=True, line=line)
    return fig.update_yaxes(tickformat=".0%").update_xaxes(tickprefix="$")


def contribution_bars(table: pd.DataFrame) -> go.Figure:
    """Return shares of expected cost and of CVaR of the ten largest ``contributions``."""
    shares = table[["expected_cost_usd", "component_cvar_usd"]]
    shares = shares.set_axis(["expected cost", "CVaR"], axis=1)
    shares = shares.rename(index=lambda name: provider_name(offer_in_words(str(name))))
    sums = shares.sum()
    shares = (shares / sums.where(sums.abs() > 0)).fillna(0.0)
    of_cost, of_risk = shares.iloc[0]
    title = (
        f"{shares.index[0]} brings {percent(100 * of_risk)} of the risk "
        f"for {percent(100 * of_cost)} of the cost"
    )
    if sums["CVaR"] <= 0:
        title = "The paths show no risk to split"
    shown = shares.head(10)[::-1]
    colours = [COLOURS[5], COLOURS[3]]
    bars = px.bar(
        shown, orientation="h", barmode="group", color_discrete_sequence=colours, template=TEMPLATE
    )
    fig = figure(
        title, drawn=bars, x_title="share of the plan's total", height_px=160 + 42 * len(shown)
    )
    return fig.update_xaxes(tickformat=".0%").update_yaxes(automargin=True)


def stress_bars(table: pd.DataFrame) -> go.Figure:
    """Return the cost change of each scenario of table ``stress``, held and with recourse.

    Whiskers reach to the CVaR.
    """
    is_base = table["scenario"] == "base"
    unmet_anyway = float(table.loc[is_base, "unmet_gpu_hours"].sum())
    rows = table[~is_base].sort_values("loss_usd")
    worst = rows.iloc[-1]
    name = scenario_in_words(worst["scenario"])
    saved = worst["loss_usd"] - worst["recourse_loss_usd"]
    columns = ["scenario", "loss_usd", "recourse_loss_usd", "unmet_gpu_hours"]
    names = [
        f"{scenario_in_words(scenario)}<br><b>{dollars(held)}</b> held, {dollars(anew)} anew"
        + f"<br>{unmet:,.0f} GPU-h unmet, held" * (unmet >= unmet_anyway + 0.5)
        for scenario, held, anew, unmet in rows[columns].itertuples(index=False, name=None)
    ]
    shown = {
        "planned anew where that is better": rows["recourse_loss_usd"],
        "plan held": rows["loss_usd"],
    }
    bars = px.bar(
        pd.DataFrame(shown).set_axis(names), orientation="h", barmode="group", template=TEMPLATE
    )
    tail = {"type": "data", "array": rows["cvar_usd"], "arrayminus": 0 * rows["cvar_usd"]}
    bars.update_traces(error_x=tail, selector={"name": "plan held"})
    fig = figure(
        f"{name[:1].upper()}{name[1:]} hurts most: "
        f"{dollars(worst['loss_usd'])} more; planning anew saves {dollars(saved)} of it",
        drawn=bars,
        height_px=160 + 58 * len(rows),
        x_title="change of expected cost, USD "
        f"(whisker: to the CVaR {100 * worst['level']:g} % of the plan held)",
    )
    fig.update_layout(legend_traceorder="reversed").update_xaxes(tickformat="$~s")
    return fig.update_yaxes(automargin=True)


def correlation_map(before: np.ndarray, now: np.ndarray, names: pd.Index, note: str) -> go.Figure:
    """Return the correlation of price changes now, names x names, beside its change."""
    change = now - before
    i, j = np.unravel_index(np.abs(np.triu(change, 1)).argmax(), change.shape)
    maps = px.imshow(
        np.stack([now, change]),
        x=names,
        y=names,
        facet_col=0,
        zmin=-1,
        zmax=1,
        aspect="auto",
        color_continuous_scale="PuOr",
        text_auto=".2f" if len(names) <= 12 else False,
        template=TEMPLATE,
    )
    title = f"{names[i]} and {names[j]} changed most: from {before[i, j]:+.2f} to {now[i, j]:+.2f}"
    fig = figure(title, drawn=maps, height_px=200 + 36 * len(names))
    headings = (f"now ({note})", "change over the window")
    for annotation, text in zip(fig.layout.annotations, headings, strict=True):
        annotation.text = text
    fig.update_layout(coloraxis_colorbar_title="correlation")
    return fig.update_xaxes(showticklabels=False)


def exceedances(windows: pd.DataFrame, plan: str) -> go.Figure:
    """Return what a plan lost beyond its expected cost, window by window, and its VaR then.

    Parameters
    ----------
    windows
        Of ``risk.back_test``, of one horizon; the model of the pages is shown.
    """
    rows = windows[(windows["plan"] == plan) & (windows["model"] == TRUSTED)]
    over = rows["exceeded"]
    share = 100 / rows["expected_usd"]
    rows = rows.assign(lost=rows["loss_usd"] * share, window=np.where(over, "beyond", "inside"))
    dots = px.scatter(
        rows,
        x="origin_utc",
        y="lost",
        color="window",
        symbol="window",
        symbol_map={"inside": "circle", "beyond": "x"},
        color_discrete_map={"inside": COLOURS[6], "beyond": COLOURS[3]},
        template=TEMPLATE,
    )
    dots.update_traces(marker_size=10, selector={"name": "beyond"})
    fig = figure(
        f"{plan[:1].upper()}{plan[1:]}: {over.sum()} of {len(rows)} windows cost more than "
        f"VaR 95 % ({0.05 * len(rows):.1f} expected)",
        drawn=dots,
        x_title="start of the window, UTC; windows overlap",
        y_title="cost over the expected cost, %",
    )
    line = {"color": COLOURS[0], "shape": "hv"}
    return fig.add_scatter(
        x=rows["origin_utc"], y=rows["var_usd"] * share, name="VaR 95 %", line=line
    )
