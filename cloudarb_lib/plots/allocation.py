"""Figures of the plan: who runs where, what it costs, what binds."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from cloudarb_lib.plots import COLOURS, figure

_PATTERNS = {"on_demand": "", "spot": "/", "reserved": "x"}


def who_runs_where(plan: pd.DataFrame) -> go.Figure:
    """Return GPUs held in each region by each workload; hatching tells the purchase option.

    ``plan`` is ``Plan.table`` (with ``gpus``, ``region``, ``gpu_model``, ``purchase_option``).
    """
    first = plan[plan["period"] == plan["period"].min()]
    place = first["provider"].str.cat(first["region"].where(first["region"] != "unstated", ""), "/")
    first = first.assign(place=place.str.rstrip("/"))
    order = first.groupby("place")["gpus"].sum().sort_values()
    total = order.sum()
    fig = figure(
        f"{total:,.0f} GPUs in {len(order)} {'place' if len(order) == 1 else 'places'}; {order.index[-1]} holds {order.iloc[-1] / total:.0%}",
        x_title="GPUs held",
        height_px=170 + 46 * len(order) + 30,
    )
    workloads = sorted(first["workload"].unique())
    keys = ["workload", "purchase_option", "gpu_model"]
    for (workload, option, model), rows in first.groupby(keys, sort=True):
        held = rows.groupby("place")["gpus"].sum()
        said = str(option).replace("_", "-")
        fig.add_bar(
            y=held.index, x=held.to_numpy(), orientation="h", name=f"{workload}: {model} {said}",
            marker={
                "color": COLOURS[workloads.index(workload) % len(COLOURS)],
                "pattern": {"shape": _PATTERNS.get(str(option), ""), "solidity": 0.25},
            },
            text=[f"{n:g} {model}" for n in held], textposition="inside", insidetextanchor="middle",
            textangle=0,
        )  # fmt: skip
    fig.update_layout(barmode="stack", bargap=0.35, uniformtext={"minsize": 9, "mode": "hide"})
    fig.update_yaxes(categoryorder="array", categoryarray=list(order.index), ticksuffix="  ")
    return fig


def cost_breakdown(plan: pd.DataFrame) -> go.Figure:
    """Return expected cost of each workload, split by GPU model, option and region."""
    cost = plan.groupby("workload")["expected_cost_usd"].sum().sort_values()
    share = cost.iloc[-1] / cost.sum()
    fig = figure(
        f"{cost.index[-1]} takes {share:.0%} of ${cost.sum():,.0f}",
        x_title="expected cost over the horizon (thousand USD)",
        height_px=170 + 60 * len(cost),
    )
    keys = ["provider", "region", "gpu_model", "purchase_option"]
    parts = plan.groupby(["workload", *keys])["expected_cost_usd"].sum().reset_index()
    options = ["on_demand", "spot", "reserved"]
    parts["rank"] = parts["purchase_option"].map(options.index)
    for row in parts.sort_values(["rank", "expected_cost_usd"]).to_dict("records"):
        usd = row["expected_cost_usd"]
        label = " ".join(str(row[key]) for key in keys[:3]).replace(" unstated", "")
        fig.add_bar(
            y=[row["workload"]], x=[usd / 1e3], orientation="h", showlegend=False,
            marker={"color": COLOURS[row["rank"]], "line": {"color": "white", "width": 1.5}},
            text=[f"{label}<br>${usd / 1e3:,.1f}k"], textposition="inside", textangle=0,
            insidetextanchor="middle", hovertext=[f"{label} {row['purchase_option']}: ${usd:,.0f}"],
        )  # fmt: skip
    for rank in sorted(parts["rank"].unique()):
        name = options[rank].replace("_", "-")
        fig.add_bar(y=[None], x=[None], name=name, marker={"color": COLOURS[rank]}, orientation="h")
    fig.update_layout(barmode="stack", bargap=0.35, uniformtext={"minsize": 9, "mode": "hide"})
    fig.update_yaxes(categoryorder="array", categoryarray=list(cost.index), ticksuffix="  ")
    return fig


def what_binds(limits: pd.DataFrame) -> go.Figure:
    """Return what one unit more of each binding limit would save, as ``allocate.binding`` tells."""
    saved = limits[limits["worth_usd"] > 0].head(12).iloc[::-1]
    if not len(saved):
        return figure("No limit binds: more capacity would save nothing", height_px=170)
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

    Limits without a plan are left out and counted in the title.
    """
    there = curve[curve["cost_usd"].notna()]
    none = len(curve) - len(there)
    more = f"; {none} limit{'s admit' if none > 1 else ' admits'} no plan" if none else ""
    if not len(there):
        return figure("No limit tried admits a plan", height_px=170)
    dearer = there["cost_usd"].max() - there["cost_usd"].min()
    fig = figure(
        f"The tightest limit costs ${dearer:,.0f} more than the loosest{more}",
        x_title=x_title, y_title="expected cost (thousand USD)",
    )  # fmt: skip
    for name, column, colour, dash in (
        ("best plan", "cost_usd", COLOURS[0], "solid"), ("proven bound", "bound_usd", COLOURS[6], "dot"),
    ):  # fmt: skip
        fig.add_scatter(
            x=there["limit"], y=there[column] / 1e3, name=name, mode="lines+markers",
            line={"color": colour, "dash": dash},
        )  # fmt: skip
    return fig
