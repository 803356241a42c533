"""Figures of the price notebook: what can be rented, what it costs, how prices move."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cloudarb_lib.explore import ROUND_PCT
from cloudarb_lib.plots import COLOURS, figure, label_ends

_OPTIONS = {"spot": COLOURS[0], "1 year": COLOURS[1], "3 years": COLOURS[2], "on demand": COLOURS[3]}
_MOST_TEXT = 16  # columns of a map up to which its cells have room for a figure
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
_DOLLARS = {"type": "log", "tickvals": _TICKS, "ticktext": [f"${t:g}" for t in _TICKS]}


def nothing(finding: str) -> go.Figure:
    """Return a strip that states why there is nothing to draw, instead of an empty panel."""
    fig = figure(finding, height_px=90)
    fig.update_layout(xaxis_visible=False, yaxis_visible=False)
    return fig


def price_range(table: pd.DataFrame) -> go.Figure:
    """Return cheapest, median and dearest price of each GPU and option (``landscape``)."""
    by_model = table.groupby("gpu_model").agg(low=("cheapest", "min"), high=("dearest", "max"))
    widest = str((by_model["high"] / by_model["low"]).idxmax())
    low, high = by_model.loc[widest].to_numpy(float)
    models = list(by_model.index[::-1])
    fig = figure(
        f"One {widest} costs from ${low:,.2f} to ${high:,.2f} an hour: {high / low:,.1f} times as much",
        x_title="USD per GPU-hour, log scale (line: cheapest to dearest, dot: median)",
        height_px=170 + 64 * len(models),
    )
    options = [o for o in _OPTIONS if o in set(table["option"])]
    for k, name in enumerate(options):
        rows = table[table["option"] == name]
        arms = {"array": rows["dearest"] - rows["median"], "arrayminus": rows["median"] - rows["cheapest"]}
        fig.add_scatter(
            x=rows["median"], y=rows["gpu_model"].map(models.index) + 0.18 * ((len(options) - 1) / 2 - k),
            mode="markers", name=name, marker={"size": 10, "color": _OPTIONS[name]},
            error_x={"type": "data", "symmetric": False, "thickness": 3, "width": 0, **arms},
        )  # fmt: skip
    fig.update_xaxes(_DOLLARS)
    fig.update_yaxes(tickvals=list(range(len(models))), ticktext=models, range=[-0.6, len(models) - 0.4])
    return fig.update_layout(margin={"l": 120}, legend={"yref": "paper", "y": 1.0, "yanchor": "bottom"})


def site_map(prices: pd.DataFrame, option: str) -> go.Figure:
    """Return how the price of each site lies to the median, GPU models x sites (``by_site``)."""
    if prices.empty:
        return nothing(f"No site sells GPUs {option}")
    relative = 100 * (prices / prices.median() - 1)
    order = relative.mean(axis=1).sort_values().index
    z, dollars = relative.loc[order].T, prices.loc[order].T
    spread = prices.max() / prices.min()
    fig = figure(
        f"Place matters most for {spread.idxmax()}: the dearest site asks {spread.max():.1f} times "
        f"the cheapest ({option})",
        x_title="place, cheap ones first", height_px=330 + 34 * prices.shape[1],
    )  # fmt: skip
    fig.add_heatmap(
        x=order, y=z.index, z=z,
        zmid=0, zmin=-60, zmax=60, colorscale=[COLOURS[0], "#f4f4f4", COLOURS[1]], xgap=1, ygap=1,
        colorbar={"title": "against<br>the median", "ticksuffix": " %"}, customdata=dollars,
        text=dollars.map(lambda p: "" if np.isnan(p) else f"${p:.2f}"),
        texttemplate="%{text}" if len(order) <= _MOST_TEXT else "",
        hovertemplate="%{y}, %{x}: $%{customdata:.3f} per GPU-hour (%{z:+.0f} %)<extra></extra>",
    )  # fmt: skip
    fig.update_xaxes(tickangle=-60, showgrid=False)
    return fig.update_layout(margin={"l": 120, "b": 180}, yaxis_showgrid=False)


def price_history(history: pd.DataFrame, option: str) -> go.Figure:
    """Return the median price of each GPU over time (``price_history``), named at its end."""
    change = (100 * (history.ffill().iloc[-1] / history.bfill().iloc[0] - 1)).dropna()
    most = str(change.abs().idxmax())
    fig = figure(
        f"{most} moved most: its median {option} price changed by {change[most]:+.0f} % over the record",
        x_title="time (UTC)", y_title="USD per GPU-hour, median offer, log scale", height_px=460,
    )  # fmt: skip
    labels = []
    for colour, model in zip(COLOURS, history.columns, strict=False):
        line = history[model].dropna()
        mode = "lines" if len(line) > 1 else "markers"
        fig.add_scatter(x=line.index, y=line, mode=mode, line={"color": colour, "shape": "hv"})
        labels.append((line.index[-1], np.log10(line.iloc[-1]), f"{model} ${line.iloc[-1]:.2f}", colour))
    label_ends(fig, labels, gap=0.055 * np.log10(np.nanmax(history) / np.nanmin(history)))
    fig.update_xaxes(range=[history.index[0], history.index[-1]])
    fig.update_yaxes(_DOLLARS)
    return fig.update_layout(margin={"r": 150})


def steps(moved: pd.DataFrame, option: str) -> go.Figure:
    """Return the sizes of the last year's steps (``moves``), with 5, 10 and 15 % marked."""
    rows = moved[(moved["kind"] == "step") & (moved["option"] == option)]
    if rows.empty:
        return nothing(f"No {option} price moved by 0.5 % or more")
    years = rows["changed_at"].dt.year
    last = rows[years == years.max()]
    fig = figure(
        f"In {years.max()} a price that moved did so every {last['gap_days'].median():.2g} days, by "
        f"{last['change_pct'].abs().median():.1f} % in the median",
        x_title=f"size of step in {years.max()} (%, at most 25)", y_title="steps", height_px=360,
    )  # fmt: skip
    bins = {"start": -25.25, "end": 25.25, "size": 0.5}
    fig.add_histogram(x=last["change_pct"].clip(-25, 25), xbins=bins, marker_color=COLOURS[0])
    for size in (*ROUND_PCT, *(-s for s in ROUND_PCT)):
        fig.add_vline(x=size, line={"color": COLOURS[6], "width": 1, "dash": "dot"})
    return fig


def spreads(table: pd.DataFrame, option: str) -> go.Figure:
    """Return cheapest, next and median site of each GPU on one option (``spreads``)."""
    rows = table[table["option"] == option].sort_values("saving_median_pct")
    if rows.empty:
        return nothing(f"No two sites sell the same GPU {option}")
    best = rows.iloc[-1]
    fig = figure(
        f"The cheapest {best.gpu_model} is {best.saving_median_pct:.0f} % below the median site; "
        f"{best.cheapest_site} has led for {best.held_days:,.0f} days",
        x_title="% above the cheapest site", height_px=150 + 62 * len(rows),
    )  # fmt: skip
    names = rows["cheapest_site"] + rows["cheapest"].map(" ${:.2f}, then ".format)
    names += rows["next_site"] + rows["next"].map(" ${:.2f}".format)
    for k, name in ((1, "median"), (3, "next"), (2, "cheapest")):
        above = 100 * (rows[name] / rows["cheapest"] - 1)
        arm = {"type": "data", "symmetric": False, "array": 0 * above, "arrayminus": above, "width": 0}
        fig.add_scatter(
            x=above, y=rows["gpu_model"], mode="markers", name=name, cliponaxis=False,
            marker={"size": 12, "color": COLOURS[k - 1]}, error_x=arm | {"color": "#ccc", "thickness": 4},
        )  # fmt: skip
    for model, text in zip(rows["gpu_model"], names, strict=True):
        fig.add_annotation(x=0, y=model, xanchor="left", yshift=18, showarrow=False, text=text)
    far = 100 * (rows["median"] / rows["cheapest"] - 1).max() + 1
    fig.update_xaxes(ticksuffix=" %", range=[-0.02 * far, 1.05 * far])
    return fig.update_layout(margin={"l": 120}, legend={"yref": "paper", "y": 1.0, "yanchor": "bottom"})


def availability(table: pd.DataFrame, share: pd.DataFrame) -> go.Figure:
    """Return when each marketplace offer was on sale (``availability``), steadiest on top."""
    if table.empty:
        return nothing("No marketplace record was known by then")
    often, seldom = (int(n) for n in ((table["on_sale_pct"] > 99).sum(), (table["on_sale_pct"] < 50).sum()))
    rows = table[::-1]
    label = rows["provider"] + " " + rows["offer"] + rows["offers_on_sale"].map(" ({:.0f})".format)
    fig = figure(
        f"{often} of {len(table)} marketplace offers were on sale 99 % of the time, {seldom} less than half of it",
        x_title=f"time (UTC), {share.index[0]:%d %b} to {share.index[-1]:%d %b %Y}; in brackets: mean number on sale",
        height_px=150 + 19 * len(table),
    )
    fig.add_heatmap(
        x=share.index, y=label, z=100 * share.iloc[:, ::-1].T,
        zmin=0, zmax=100, colorscale=["#f4f4f4", COLOURS[0]], ygap=1,
        colorbar={"title": "of time<br>on sale", "ticksuffix": " %"},
    )  # fmt: skip
    fig.update_yaxes(tickfont={"size": 11}, dtick=1)
    return fig.update_layout(margin={"l": 220})


def changes(table: pd.DataFrame, *, since: pd.Timestamp, top: int = 15) -> go.Figure:
    """Return the largest changes of price per GPU-hour (``changes_by_site``)."""
    priced = table[table["change"].notna()]
    if priced.empty:
        return nothing(f"No GPU price changed since {since:%d %b %Y}")
    rows = priced.head(top)[::-1]
    up, down = int((priced["change"] > 0).sum()), int((priced["change"] < 0).sum())
    fig = figure(
        f"Since {since:%d %b %Y} the price of a GPU rose in {up} places and fell in {down}",
        x_title="change (USD per GPU-hour); the label says %, and the kind where it is no plain step",
        height_px=150 + 25 * len(rows),
    )
    fig.add_bar(
        x=rows["change"], y=rows["gpu_model"] + " " + rows["option"] + ", " + rows["site"], orientation="h",
        textposition="outside", marker_color=np.where(rows["change"] > 0, COLOURS[3], COLOURS[2]),
        text=rows["change_pct"].map("{:+.1f} % ".format) + rows["kind"].where(rows["kind"] != "step", ""),
    )  # fmt: skip
    low, high = min(rows["change"].min(), 0.0), max(rows["change"].max(), 0.0)
    fig.update_xaxes(
        tickformat="+$.2f" if high - low > 0.1 else "+$.4~f",
        range=[1.14 * low - 0.14 * high, 1.14 * high - 0.14 * low],
    )
    fig.update_yaxes(tickfont={"size": 12}, dtick=1)
    return fig.update_layout(margin={"l": 280})
