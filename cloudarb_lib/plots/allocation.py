"""Figures of the plan: who runs where, what it costs, what binds."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from cloudarb_lib.plots import COLOURS, figure

_PATTERNS = {"on_demand": "", "spot": "/", "reserved": "x"}


def _nothing(title: str) -> go.Figure:
    return figure(title, height_px=90).update_xaxes(visible=False).update_yaxes(visible=False)


def _stacked(parts: pd.DataFrame, title: str, *, x_title: str) -> go.Figure:
    """Return bars of ``row``, stacked of ``value`` by ``kind`` (``colour``, ``pattern``), the longest on top."""
    order = parts.groupby("row")["value"].sum().sort_values()
    fig = figure(title, x_title=x_title, height_px=190 + 54 * len(order))
    for kind, bars in parts.groupby("kind", sort=False):
        fig.add_bar(
            y=bars["row"], x=bars["value"], orientation="h", name=kind, text=bars["label"], textangle=0,
            textposition="inside", insidetextanchor="middle", hovertemplate="%{text}: %{x:,.6g}",
            marker={
                "color": bars["colour"].iloc[0], "line": {"color": "white", "width": 1.5},
                "pattern": {"shape": bars["pattern"].iloc[0], "solidity": 0.25},
            },
        )  # fmt: skip
    fig.update_layout(barmode="stack", bargap=0.35, uniformtext={"minsize": 9, "mode": "hide"})
    return fig.update_yaxes(categoryorder="array", categoryarray=list(order.index), ticksuffix="  ")


def _plain(plan: pd.DataFrame) -> pd.DataFrame:
    """Return ``plan`` with workloads by their names alone, without that of their scenario."""
    pairs = zip(plan["workload"], plan["scenario"], strict=True)
    return plan.assign(workload=[name.removesuffix(f" in {scenario}") for name, scenario in pairs])


def who_runs_where(plan: pd.DataFrame) -> go.Figure:
    """Return GPUs held in each region by each workload; hatching tells the purchase option.

    ``plan`` is ``Plan.table`` (with ``gpus``, ``region``, ``gpu_model``, ``purchase_option``, ``scenario``); its first
    period is drawn, in its first scenario.
    """
    first = _plain(
        plan[(plan["period"] == plan["period"].min()) & (plan["scenario"] == plan["scenario"].min())]
    )
    place = first["provider"].str.cat(first["region"].where(first["region"] != "unstated", ""), "/")
    keys = ["workload", "gpu_model", "purchase_option"]
    held = first.groupby([place.str.rstrip("/").rename("row"), *keys])["gpus"].sum().reset_index(name="value")
    option = held["purchase_option"].str.replace("_", "-")
    held = held.assign(
        kind=held["workload"] + ": " + held["gpu_model"] + " " + option,
        colour=[COLOURS[i % len(COLOURS)] for i in pd.factorize(held["workload"], sort=True)[0]],
        pattern=held["purchase_option"].map(_PATTERNS), label=held["value"].map("{:g} ".format) + held["gpu_model"],
    )  # fmt: skip
    places = held.groupby("row")["value"].sum()
    when = " at first" * (plan["period"].nunique() > 1) + f" in {first['scenario'].iloc[0]}" * bool(
        plan["scenario"].any()
    )
    title = (
        f"{places.sum():,.0f} GPUs in {len(places)} {'place' if len(places) == 1 else 'places'}{when}; "
        f"{places.idxmax()} holds {places.max() / places.sum():.0%}"
    )
    return _stacked(held.sort_values(keys), title, x_title="GPUs held")


def commit_first(plan: pd.DataFrame) -> go.Figure:
    """Return GPUs held in each period of each scenario of the demand: what is committed, used or idle, then recourse.

    ``plan`` as for ``who_runs_where``: what is committed is the same in all of them, the rest is chosen in each.
    """
    how = plan["purchase_option"].map({"reserved": "committed", "on_demand": "on-demand"}).fillna("spot")
    how = how + plan["workload"].str.startswith("idle commitment").map({True: ", idle", False: ""})
    when = plan["scenario"].where(plan["scenario"] != "", "the plan")
    if plan["period"].nunique() > 1:
        when = when + ", period " + (plan["period"] + 1).astype(str)
    held = plan.groupby([how.rename("kind"), when.rename("row")])["gpus"].sum().reset_index(name="value")
    sure = held["kind"].str.startswith("committed")
    most = [held["value"].where(part, 0.0).groupby(held["row"]).sum() for part in (sure, ~sure)]
    span = " to ".join(f"{gpus:,.0f}" for gpus in sorted({most[1].min(), most[1].max()}))
    held = held.assign(
        label=held["value"].map("{:,.0f}".format), pattern=held["kind"].str.contains("idle").map({True: "x", False: ""}),
        colour=held["kind"].map({"on-demand": COLOURS[0], "spot": COLOURS[1]}).fillna(COLOURS[2]),
    )  # fmt: skip
    title = f"{most[0].max():,.0f} GPUs committed whatever comes, then {span} rented by the hour"
    return _stacked(held, title, x_title="GPUs held").update_yaxes(categoryarray=sorted(most[0].index)[::-1])


def cost_breakdown(plan: pd.DataFrame) -> go.Figure:
    """Return expected cost of each workload, split by GPU model, option and region."""
    keys = ["workload", "provider", "region", "gpu_model", "purchase_option"]
    cost = (
        _plain(plan).groupby(keys)["expected_cost_usd"].sum().reset_index(name="value").sort_values("value")
    )
    where = (cost["provider"] + " " + cost["region"] + " " + cost["gpu_model"]).str.replace(" unstated", "")
    rank = cost["purchase_option"].map(list(_PATTERNS).index)
    cost = cost.assign(
        row=cost["workload"], kind=cost["purchase_option"].str.replace("_", "-"), colour=[COLOURS[i] for i in rank],
        pattern="", label=where + cost["value"].map("<br>${:,.0f}".format),
    )  # fmt: skip
    totals = cost.groupby("row")["value"].sum()
    title = f"{totals.idxmax()} takes {totals.max() / totals.sum():.0%} of ${totals.sum():,.0f}"
    cost = cost.iloc[rank.argsort(kind="stable")]
    return _stacked(cost, title, x_title="expected cost over the horizon (USD)")


def what_binds(limits: pd.DataFrame) -> go.Figure:
    """Return what one unit more of each binding limit would save, as ``allocate.binding`` tells."""
    saved = limits[limits["worth_usd"] > 0].head(12).iloc[::-1]
    if not len(saved):
        return _nothing("No limit binds: more capacity would save nothing")
    top = saved.iloc[-1]
    fig = figure(
        f"One {top['unit']} more of {top['limit']} would save ${top['worth_usd']:,.2f}",
        x_title="saved by one unit more over the horizon (USD)",
        height_px=190 + 30 * len(saved),
    )
    fig.add_bar(
        y=saved["limit"], x=saved["worth_usd"], orientation="h", marker={"color": COLOURS[0]},
        text=[f"${v:,.2f} a {u}" for v, u in zip(saved["worth_usd"], saved["unit"], strict=True)],
        textposition="auto",
    )  # fmt: skip
    fig.update_yaxes(ticksuffix="  ")
    return fig


def frontier(curve: pd.DataFrame, *, x_title: str) -> go.Figure:
    """Return what each limit costs, as ``allocate.frontier`` tells; ``x_title`` names limit and unit.

    The band is what is not proven: between the best plan found and the bound under which none lies.
    Limits without a plan are left out, and counted in the title by whether it is proven that there is none.
    """
    there = curve[curve["cost_usd"].notna()]
    none, proven = len(curve) - len(there), (curve["status"] == "infeasible").sum()
    more = f"; at {proven} no plan exists" * bool(
        proven
    ) + f"; at {none - proven} none was found in time" * bool(none - proven)
    if not len(there):
        return _nothing("No limit tried admits a plan")
    dearer = there["cost_usd"].max() - there["cost_usd"].min()
    fig = figure(
        f"The tightest limit costs ${dearer:,.0f} more than the loosest{more}",
        x_title=x_title, y_title="expected cost (USD)",
    )  # fmt: skip
    fig.add_scatter(
        x=there["limit"], y=there["bound_usd"], name="proven bound", mode="lines+markers",
        line={"color": COLOURS[6], "dash": "dot"},
    )  # fmt: skip
    fig.add_scatter(
        x=there["limit"], y=there["cost_usd"], name="best plan", mode="lines+markers+text",
        line={"color": COLOURS[0]}, marker={"size": 9}, fill="tonexty", fillcolor="rgba(0, 114, 178, 0.12)",
        text=[f"${usd:,.0f}" for usd in there["cost_usd"]], cliponaxis=False,
        textposition="top right" if there["cost_usd"].iloc[-1] < there["cost_usd"].iloc[0] else "bottom right",
        customdata=there[["status", "cvar_usd", "effective"]],
        hovertemplate="$%{y:,.0f}, %{customdata[0]}<br>CVaR $%{customdata[1]:,.0f}<br>%{customdata[2]:.2f} effective",
    )  # fmt: skip
    margin = max(float(there["limit"].max() - there["limit"].min()), 1e-9) * 0.1
    fig.update_xaxes(range=[there["limit"].min() - margin / 3, there["limit"].max() + margin])
    low, high = there["bound_usd"].min(), there["cost_usd"].max()
    room = max(0.1 * (high - low), 0.002 * high)  # in a narrower range rounding would look like a cost
    fig.update_yaxes(tickformat=",", range=[low - room, high + room])
    return fig


def moved(changes: pd.DataFrame) -> go.Figure:
    """Return what changed between two plans: instances then (hollow) and now (full) of each offer that differs.

    ``changes`` is the first of ``advice.compare``: ``workload``, ``offer_id``, ``before``, ``now``.
    """
    if not len(changes):
        return _nothing("Nothing changed against the last plan")
    labels = changes["workload"] + ": " + changes["offer_id"].str.replace("//", "/").str.strip("/")
    fig = figure(
        f"{(changes['now'] - changes['before']).clip(lower=0).sum():,.0f} machines are taken up, "
        f"{(changes['before'] - changes['now']).clip(lower=0).sum():,.0f} given up against the last plan",
        x_title="machines", height_px=190 + 34 * len(changes),
    )  # fmt: skip
    for label, before, now in zip(labels, changes["before"], changes["now"], strict=True):
        fig.add_scatter(
            x=[before, now], y=[label, label], mode="lines", showlegend=False, hoverinfo="skip",
            line={"color": COLOURS[2] if now > before else COLOURS[3], "width": 3},
        )  # fmt: skip
    for name, column, fill in (("last plan", "before", "white"), ("this plan", "now", COLOURS[0])):
        fig.add_scatter(
            x=changes[column], y=labels, name=name, mode="markers", cliponaxis=False,
            marker={"size": 12, "color": fill, "line": {"color": COLOURS[0], "width": 2}},
        )  # fmt: skip
    fig.update_yaxes(autorange="reversed", ticksuffix="  ")
    fig.update_xaxes(rangemode="tozero")
    return fig
