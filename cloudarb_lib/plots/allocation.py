"""Figures of the plan: who runs where, what it costs, what binds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from cloudarb_lib.allocate.plan import first_rows, is_idle
from cloudarb_lib.base.wording import as_known, dollars, percent
from cloudarb_lib.market.explore import offer_in_words, pools_in_words
from cloudarb_lib.market.explore.words import site_name
from cloudarb_lib.plots.style import COLOURS, TEMPLATE, figure, nothing

_ONE_LIMIT = 1e-6
"""Limits that are no further apart, as a share, are one: nothing is there to be traded."""
_HATCHES = {"on-demand": "", "spot": "/", "reserved": "x", "used": "", "idle": "x"}
_COLOURS = {
    "on-demand": COLOURS[0],
    "spot": COLOURS[1],
    "reserved": COLOURS[2],
    "committed": COLOURS[2],
}


def _stacked(
    bars: pd.DataFrame, title: str, *, x_title: str, colour: str, hatch: str | None = None
) -> go.Figure:
    """Return bars of ``row``, stacked of ``value`` with ``label``; the longest on top.

    ``colour`` and ``hatch`` name the columns that tell the pieces of a bar apart.
    """
    order = bars.groupby("row")["value"].sum().sort_values()
    drawn = px.bar(
        bars,
        x="value",
        y="row",
        color=colour,
        pattern_shape=hatch,
        text="label",
        color_discrete_map=None if colour == "workload" else _COLOURS,
        pattern_shape_map=_HATCHES,
        orientation="h",
        category_orders={"row": order.index[::-1]},
        template=TEMPLATE,
    )
    drawn.update_traces(
        textangle=0,
        textposition="inside",
        insidetextanchor="middle",
        hovertemplate="%{text}: %{x:,.6g}",
        marker_line={"color": "white", "width": 1.5},
        marker_pattern_solidity=0.25,
    )
    drawn.update_layout(bargap=0.35, uniformtext={"minsize": 9, "mode": "hide"})
    drawn.update_yaxes(ticksuffix="  ")
    return figure(title, x_title=x_title, height_px=190 + 54 * len(order), drawn=drawn)


def _plain(plan: pd.DataFrame) -> pd.DataFrame:
    """Return ``plan`` with workloads without the name of their scenario, and options in words."""
    pairs = zip(plan["workload"], plan["scenario"], strict=True)
    names = [name.removesuffix(f" in {scenario}") for name, scenario in pairs]
    return plan.assign(workload=names, option=plan["purchase_option"].str.replace("_", "-"))


def who_runs_where(plan: pd.DataFrame) -> go.Figure:
    """Return GPUs held in each region by each workload; hatching tells the purchase option.

    Parameters
    ----------
    plan
        Table ``plan``; its first period is drawn, in its first scenario.
    """
    first = first_rows(plan)
    keys = [site_name(first).rename("row"), "workload", "option", "gpu_model"]
    gpus = _plain(first).groupby(keys)["gpus"].sum().reset_index(name="value")
    gpus["label"] = gpus["value"].map("{:g} ".format) + gpus["gpu_model"]
    places = gpus.groupby("row")["value"].sum()
    number = f"{len(places)} {'place' if len(places) == 1 else 'places'}"
    if plan["period"].nunique() > 1:
        number += " at first"
    if plan["scenario"].any():
        number += f" in {first['scenario'].iloc[0]}"
    title = (
        f"{places.sum():,.0f} GPUs in {number}; "
        f"{places.idxmax()} holds {percent(100 * places.max() / places.sum())}"
    )
    gpus = gpus.sort_values(["workload", "gpu_model", "option"])
    return _stacked(gpus, title, x_title="GPUs held", colour="workload", hatch="option")


def commit_first(plan: pd.DataFrame) -> go.Figure:
    """Return GPUs held in each period of each scenario of the demand.

    What is committed, used or idle, is the same in all of them; the rest is chosen in each.

    Parameters
    ----------
    plan
        Table ``plan``.
    """
    named = {"reserved": "committed", "on_demand": "on-demand"}
    how = plan["purchase_option"].map(named).fillna("spot")
    use = is_idle(plan).map({True: "idle", False: "used"})
    when = plan["scenario"].where(plan["scenario"] != "", "the plan")
    if plan["period"].nunique() > 1:
        when = when + ", period " + (plan["period"] + 1).astype(str)
    keys = [how.rename("how"), use.rename("use"), when.rename("row")]
    bars = plan.groupby(keys)["gpus"].sum().reset_index(name="value")
    bars = bars.sort_values(["how", "use"], ascending=[True, False])
    bars["label"] = bars["value"].map("{:,.0f}".format)
    committed = bars["how"] == "committed"
    gpus = bars.pivot_table("value", "row", committed, "sum", fill_value=0.0)
    gpus = gpus.reindex(columns=[True, False], fill_value=0.0)
    by_the_hour = sorted({gpus[False].min(), gpus[False].max()})
    rented = f"{' to '.join(f'{n:,.0f}' for n in by_the_hour)} GPUs rented by the hour"
    if not committed.any() and len(gpus) == 1:
        return nothing(f"Nothing is committed: {rented}")
    title = f"{gpus[True].max():,.0f} GPUs committed whatever comes, then {rented}"
    if not committed.any():
        title = f"Nothing is committed: {rented}"
    drawn = _stacked(bars, title, x_title="GPUs held", colour="how", hatch="use")
    return drawn.update_yaxes(categoryarray=sorted(gpus.index)[::-1])


def cost_breakdown(plan: pd.DataFrame) -> go.Figure:
    """Return expected cost of each workload, split by GPU model, option and region."""
    keys = ["workload", "provider", "region", "gpu_model", "option"]
    cost = _plain(plan).groupby(keys)["expected_cost_usd"].sum().reset_index(name="value")
    where = cost["gpu_model"] + " in " + site_name(cost)
    cost = cost.assign(row=cost["workload"], label=where + "<br>" + cost["value"].map(dollars))
    totals = cost.groupby("row")["value"].sum()
    share = totals.max() / totals.sum()
    title = (
        f"{totals.idxmax()} takes {percent(100 * share)} of {dollars(totals.sum())} "
        "of rent and fees"
    )
    cost = cost.sort_values(["option", "value"])
    return _stacked(cost, title, x_title="expected cost over the horizon (USD)", colour="option")


def found_to_bind(limits: pd.DataFrame) -> pd.DataFrame:
    """Return the limits of ``allocate.binding`` that a reader is told, without demands.

    A limit that the plan does not use up, and of which more was only not proven to save nothing,
    is left out.
    """
    is_unproven = limits["worth_is"] == "at most"
    is_used_up = limits["used"] >= limits["available"]
    return limits[(limits["kind"] != "demand") & (is_used_up | ~is_unproven)]


def what_binds(limits: pd.DataFrame) -> go.Figure:
    """Return what more of each limit ``found_to_bind`` would save a unit."""
    told = found_to_bind(limits)
    saved = told[told["worth_usd"] > 0].head(12).iloc[::-1]
    if not len(saved):
        return nothing("No limit was found to bind: more capacity would save nothing")
    top = saved.iloc[-1]
    pairs = zip(saved["worth_usd"], saved["worth_is"], strict=True)
    text = pd.Series([as_known(*pair) for pair in pairs], saved.index) + " a " + saved["unit"]
    names = saved["limit"].map(pools_in_words)
    drawn = px.bar(saved, x="worth_usd", y=names, text=text, template=TEMPLATE)
    drawn.update_yaxes(ticksuffix="  ")
    amount = f"{top['step']:,.6g} {top['unit']}"
    return figure(
        f"{amount} more of {names.iloc[-1]} would save {text.iloc[-1]}",
        drawn=drawn,
        x_title="saved by each unit more over the horizon (USD)",
        height_px=190 + 30 * len(saved),
    )


def frontier(curve: pd.DataFrame, *, x_title: str, unit: str) -> go.Figure:
    """Return what each limit costs, as ``allocate.frontier`` tells.

    The band is what is not proven: between the best plan found and the bound under which none
    lies; a hollow marker is such a plan. Limits without a plan are left out, and named in the title
    by whether it is proven that there is none.

    Parameters
    ----------
    x_title
        Names limit and unit.
    unit
        Of the limits, as titles tell it behind them: USD, t of CO2e, effective regions.
    """
    there = curve[curve["cost_usd"].notna()]
    if not len(there):
        return nothing("No limit tried admits a plan" + _without_plan(curve, unit))
    cost = there["cost_usd"]
    if len(there) == 1:
        return nothing(
            f"With a limit of {_limits(there['limit'], unit)} the plan costs "
            + dollars(cost.item())
            + _without_plan(curve, unit)
        )
    if len(there) > 1 and np.ptp(there["limit"]) <= _ONE_LIMIT * there["limit"].max():
        return nothing(f"No plan found keeps less than the cheapest does, {dollars(cost.min())}")
    title = f"The tightest limit costs {dollars(cost.max() - cost.min())} more than the loosest"
    fig = figure(title + _without_plan(curve, unit), x_title=x_title, y_title="expected cost (USD)")
    fig.add_scatter(
        x=there["limit"],
        y=there["bound_usd"],
        name="no plan costs less (proven)",
        mode="lines",
        line={"color": COLOURS[6], "dash": "dot"},
    )
    proven = there["status"].isin(["optimal", "within_gap"])
    fig.add_scatter(
        x=there["limit"],
        y=cost,
        name="best plan",
        mode="lines+markers+text",
        line={"color": COLOURS[0], "dash": "solid" if proven.all() else "dash"},
        marker={"size": 9, "symbol": np.where(proven, "circle", "circle-open")},
        fill="tonexty",
        fillcolor="rgba(0, 114, 178, 0.12)",
        text=cost.map(dollars).where(cost.ne(cost.shift()), ""),
        cliponaxis=False,
        textposition="top right",
        customdata=there[["status", "cvar_usd", "effective"]],
        hovertemplate="$%{y:,.0f}, %{customdata[0]}<br>CVaR $%{customdata[1]:,.0f}<br>"
        "%{customdata[2]:.2f} effective",
    )
    low = there["bound_usd"].min()
    high = cost.max()
    # In a narrower range rounding would look like a cost.
    room = max(0.1 * (high - low), 0.002 * high)
    width = np.ptp(there["limit"])
    # Room for the last amount, which stands to the right of its point.
    fig.update_xaxes(
        range=[there["limit"].min() - 0.02 * width, there["limit"].max() + 0.12 * width]
    )
    if unit == "USD":
        fig.update_xaxes(tickprefix="$")
    return fig.update_yaxes(tickformat=",", tickprefix="$", range=[low - room, high + room])


def _without_plan(curve: pd.DataFrame, unit: str) -> str:
    """Return which limits of a frontier have no plan, and why, as the end of a sentence."""
    impossible = curve.loc[curve["status"] == "infeasible", "limit"]
    not_tried = curve.loc[curve["status"] == "not tried", "limit"]
    is_known = curve["cost_usd"].notna() | curve["status"].isin(["infeasible", "not tried"])
    unfinished = curve[~is_known]
    text = ""
    if len(impossible):
        text += f"; no plan can keep {_limits(impossible, unit)}"
    if len(unfinished):
        bound_usd = unfinished["bound_usd"].min()
        proof = "nor a proof that there is none"
        if bound_usd > curve["cost_usd"].max():
            proof += f", but that none costs less than {dollars(bound_usd)}"
        told = _limits(unfinished["limit"], unit)
        text += f"; for {told} the search found no plan within its work, {proof}"
    if len(not_tried):
        text += f"; more ({_limits(not_tried, unit)}) was not tried then"
    return text


def _limits(limits: pd.Series, unit: str) -> str:
    """Return limits in words: 2.39, 4.77 and 9.55 t of CO2e; $1,310,700."""
    texts = [dollars(limit) if unit == "USD" else f"{limit:,.3g}" for limit in limits]
    figures = " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))
    return figures if unit == "USD" else f"{figures} {unit}"


def moved(changes: pd.DataFrame) -> go.Figure:
    """Return what changed between two plans: instances then (hollow) and now (full).

    Parameters
    ----------
    changes
        A row per workload and offer that differs, as from ``allocate.changes``.
    """
    if not len(changes):
        return nothing("Nothing changed against the last plan")
    grown = changes["now"] - changes["before"]
    labels = changes["workload"] + ": " + changes["offer_id"].map(offer_in_words)
    fig = figure(
        f"{grown.clip(lower=0).sum():,.0f} machines are taken up, "
        f"{-grown.clip(upper=0).sum():,.0f} given up against the last plan",
        x_title="machines",
        height_px=190 + 34 * len(changes),
    )
    fig.add_bar(
        x=grown,
        y=labels,
        base=changes["before"],
        orientation="h",
        width=0.08,
        showlegend=False,
        hoverinfo="skip",
        marker_color=(grown > 0).map({True: COLOURS[2], False: COLOURS[3]}),
    )
    for name, column, fill in (("last plan", "before", "white"), ("this plan", "now", COLOURS[0])):
        fig.add_scatter(
            x=changes[column],
            y=labels,
            name=name,
            mode="markers",
            cliponaxis=False,
            marker={"size": 12, "color": fill, "line": {"color": COLOURS[0], "width": 2}},
        )
    return fig.update_yaxes(autorange="reversed", ticksuffix="  ").update_xaxes(rangemode="tozero")
