"""Figures of the price notebook: what can be rented, what it costs, how prices move."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cloudarb_lib.explore import ROUND_PCT
from cloudarb_lib.plots import COLOURS, figure

_OPTIONS = {"spot": COLOURS[0], "1 year": COLOURS[1], "3 years": COLOURS[2], "on demand": COLOURS[3]}  # fmt: skip
_MOST_TEXT = 16
"""Columns of a map up to which its cells have room for a figure."""


def nothing(finding: str) -> go.Figure:
    """Return a strip that states why there is nothing to draw, instead of an empty panel."""
    fig = figure(finding, height_px=90)
    fig.update_xaxes(visible=False)
    fig.update_yaxes(visible=False)
    return fig


def coverage(looks: pd.DataFrame, sources: pd.DataFrame, *, as_of: pd.Timestamp) -> go.Figure:
    """Return when each source was looked at in the year before ``as_of``, stale ones in grey."""
    used = sources[~sources["stale"]]
    fig = figure(
        f"Fresh enough: {len(used)} of {len(sources)} sources, with "
        f"{used['offers'].sum():,.0f} offers in force",
        x_title="time of look (UTC)", height_px=130 + 26 * len(sources),
    )  # fmt: skip
    start = max(looks["looked_at"].min(), as_of - pd.Timedelta(days=365))
    for row in sources.sort_values("age_days", ascending=False).itertuples():
        name = row.provider if row.source in (row.provider, "gpu-price-tracker") else row.source
        seen = looks.loc[(looks["source"] == row.source) & (looks["provider"] == row.provider), "looked_at"]  # fmt: skip
        seen = seen[seen >= start]
        age = f"{row.age_days:,.0f} days old: left out" if row.stale else f"{row.age_days:.1f} days old"  # fmt: skip
        fig.add_scatter(
            x=seen if len(seen) else [None], y=[name] * max(len(seen), 1), mode="markers",
            marker={"size": 5, "color": COLOURS[6] if row.stale else COLOURS[0]}, showlegend=False,
        )  # fmt: skip
        fig.add_annotation(x=1.01, xref="paper", xanchor="left", y=name, text=age, showarrow=False)
    fig.update_xaxes(type="date", range=[start, as_of])
    fig.update_layout(margin={"r": 170, "l": 110})
    return fig


def _ranges(fig: go.Figure, table: pd.DataFrame, spans: tuple[str, str, str], unit: str) -> None:
    """Draw low, middle and high of each GPU model (rows) and option (colours) into ``fig``."""
    models = sorted(table["gpu_model"].unique(), reverse=True)
    options = [o for o in _OPTIONS if o in set(table["option"])]
    low, middle, high = spans
    for k, name in enumerate(options):
        rows = table[table["option"] == name]
        y = rows["gpu_model"].map(models.index) + 0.18 * ((len(options) - 1) / 2 - k)
        fig.add_scatter(
            x=rows[middle], y=y, mode="markers", name=name,
            marker={"size": 10, "color": _OPTIONS[name]},
            error_x={
                "type": "data", "symmetric": False, "thickness": 3, "width": 0,
                "array": rows[high] - rows[middle], "arrayminus": rows[middle] - rows[low],
            },
            customdata=rows[["gpu_model", low, high]],
            hovertemplate=f"%{{customdata[0]}}: %{{x:.4g}} (%{{customdata[1]:.4g}} to %{{customdata[2]:.4g}}) {unit}",
        )  # fmt: skip
    fig.update_yaxes(tickvals=list(range(len(models))), ticktext=models, range=[-0.6, len(models) - 0.4])  # fmt: skip
    fig.update_layout(
        height=170 + 64 * len(models), margin={"l": 120}, showlegend=len(options) > 1,
        legend={"y": 1.0, "yanchor": "bottom"},
    )  # fmt: skip


def price_range(table: pd.DataFrame) -> go.Figure:
    """Return cheapest, median and dearest price of each GPU and option (``landscape``)."""
    by_model = table.groupby("gpu_model").agg(low=("cheapest", "min"), high=("dearest", "max"))
    widest = str((by_model["high"] / by_model["low"]).idxmax())
    low, high = by_model.loc[widest].to_numpy(float)
    fig = figure(
        f"One {widest} costs from ${low:,.2f} to ${high:,.2f} an hour: {high / low:,.0f} times as much",
        x_title="USD per GPU-hour, log scale (line: cheapest to dearest, dot: median)",
    )
    _ranges(fig, table, ("cheapest", "median", "dearest"), "USD")
    ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]
    fig.update_xaxes(type="log", tickvals=ticks, ticktext=[f"${t:g}" for t in ticks])
    return fig


def site_map(prices: pd.DataFrame, option: str) -> go.Figure:
    """Return how the cheapest price of each site compares, GPU models x sites.

    ``prices`` is USD per GPU-hour, sites x GPU models (``explore.by_site``).
    """
    if prices.empty:
        return nothing(f"No site sells GPUs {option}")
    relative = 100 * (prices / prices.median() - 1)
    order = relative.mean(axis=1).sort_values().index
    prices, relative = prices.loc[order], relative.loc[order]
    owners = order.str.partition(" ").get_level_values(0).unique()
    if len(owners) == 1:
        order = order.str.removeprefix(f"{owners[0]} ")
    spread = (prices.max() / prices.min()).dropna()
    text = prices.T.map(lambda p: "" if np.isnan(p) else f"${p:.2f}") if len(order) <= _MOST_TEXT else None  # fmt: skip
    fig = figure(
        f"Place matters most for {spread.idxmax()}: the dearest site asks "
        f"{spread.max():.1f} times the cheapest ({option})",
        x_title=f"{'place' if len(owners) > 1 else f'region of {owners[0]}'}, cheap ones first", height_px=330 + 34 * prices.shape[1],
    )  # fmt: skip
    fig.add_heatmap(
        x=order, y=prices.columns, z=relative.T, customdata=prices.T, zmid=0, zmin=-60, zmax=60,
        colorscale=[COLOURS[0], "#f4f4f4", COLOURS[1]], xgap=1, ygap=1,
        text=text, texttemplate=None if text is None else "%{text}",
        colorbar={"title": "against<br>the median", "ticksuffix": " %"},
        hovertemplate="%{y}, %{x}: $%{customdata:.3f} per GPU-hour (%{z:+.0f} %)<extra></extra>",
    )  # fmt: skip
    fig.update_xaxes(tickangle=-60, showgrid=False)
    fig.update_yaxes(showgrid=False)
    fig.update_layout(margin={"l": 120, "b": 180})
    return fig


def discounts(table: pd.DataFrame) -> go.Figure:
    """Return the range of discounts against on demand by GPU and option (``discounts``)."""
    if table.empty:
        return nothing("Nothing here is sold both on demand and at a discount")
    groups = table.groupby(["gpu_model", "option"])["discount_pct"]
    spans = {name: groups.quantile(q) for name, q in (("low", 0.05), ("middle", 0.5), ("high", 0.95))}
    rows = pd.DataFrame(spans).reset_index()
    middle = table.groupby("option")["discount_pct"].median()
    best = str(middle.idxmax())
    fig = figure(
        f"The largest discount is {best}: in the median {middle[best]:.0f} % below on demand",
        x_title="% below on demand, same machine and place (line: 5 to 95 % of offers, dot: median)",
    )
    _ranges(fig, rows, ("low", "middle", "high"), "%")
    fig.update_xaxes(ticksuffix=" %")
    return fig


def price_history(history: pd.DataFrame, option: str) -> go.Figure:
    """Return the median price of each GPU over time (``price_history``), named at its end."""
    left, right = history.index[0], history.index[-1]
    change = (100 * (history.ffill().iloc[-1] / history.bfill().iloc[0] - 1)).dropna()
    most = str(change.abs().idxmax())
    fig = figure(
        f"{most} moved most: its median {option} price changed by {change[most]:+.0f} % over the record",
        x_title="time (UTC)", y_title="USD per GPU-hour, median offer, log scale", height_px=460,
    )  # fmt: skip
    for colour, model in zip(COLOURS, history.columns, strict=False):
        line = history[model].dropna()
        fig.add_scatter(
            x=line.index, y=line, name=model, mode="lines" if len(line) > 1 else "markers",
            line={"color": colour, "shape": "hv"},
        )  # fmt: skip
        fig.add_annotation(
            x=line.index[-1], y=np.log10(line.iloc[-1]), text=f"{model} ${line.iloc[-1]:.2f}",
            xanchor="left", xshift=6, showarrow=False, font={"color": colour},
        )  # fmt: skip
    fig.update_xaxes(range=[left, right])
    ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20]
    fig.update_yaxes(type="log", tickvals=ticks, ticktext=[f"${t:g}" for t in ticks])
    fig.update_layout(showlegend=False, margin={"r": 150})
    return fig


def _days(days: float) -> str:
    return f"{days:.0f} days" if days >= 2 else f"{24 * days:.1f} h"


def steps(moved: pd.DataFrame, option: str) -> go.Figure:
    """Return the sizes of the last year's steps, and the gaps between steps by year (``moves``)."""
    rows = moved[(moved["kind"] == "step") & (moved["option"] == option)]
    if rows.empty:
        return nothing(f"No {option} price moved by 0.5 % or more")
    years = rows["changed_at"].dt.year
    last = rows[years == years.max()]
    gaps = rows.assign(year=years).dropna(subset="gap_days")
    fig = figure(
        f"In {years.max()} a price that moved did so every {_days(last['gap_days'].median())}, by "
        f"{last['change_pct'].abs().median():.1f} % in the median",
        height_px=430,
    )  # fmt: skip
    fig.add_histogram(
        x=last["change_pct"].clip(-25, 25), xbins={"start": -25.25, "end": 25.25, "size": 0.5},
        marker_color=COLOURS[0], showlegend=False,
    )  # fmt: skip
    for size in (*ROUND_PCT, *(-s for s in ROUND_PCT)):
        fig.add_vline(x=size, line={"color": COLOURS[6], "width": 1, "dash": "dot"})
    for colour, (year, group) in zip(COLOURS, gaps.groupby("year"), strict=False):
        days = np.sort(group["gap_days"])
        fig.add_scatter(
            x=days, y=100 * np.arange(1, len(days) + 1) / len(days), xaxis="x2", yaxis="y2",
            name=f"{year}: {_days(float(np.median(days)))}", line={"color": colour, "shape": "hv"},
        )  # fmt: skip
    fig.update_layout(
        xaxis={"domain": [0, 0.47], "title": f"size of step in {years.max()} (%, at most 25)"},
        yaxis={"title": "steps"},
        xaxis2={"domain": [0.56, 1], "anchor": "y2", "type": "log", "title": "days since the offer's step before (below: median)"},
        yaxis2={"anchor": "x2", "title": "steps this soon or sooner (%)", "range": [0, 101]},
        legend={"y": -0.28},
    )  # fmt: skip
    return fig


def volatility(table: pd.DataFrame, *, horizon: str) -> go.Figure:
    """Return how far prices moved over the horizon by GPU and option (``volatility``)."""
    most = table.iloc[int(table["rms_pct"].argmax())]
    fig = figure(
        f"{most.gpu_model} {most.option} moved most over {horizon}, yet {most.unchanged_pct:.0f} % "
        "of its prices stayed put",
        x_title=f"change over {horizon} (%; line: 5 to 95 % of spans, dot: median)",
    )
    _ranges(fig, table, ("low_pct", "median_pct", "high_pct"), "%")
    fig.update_xaxes(ticksuffix=" %")
    return fig


def spreads(table: pd.DataFrame, option: str) -> go.Figure:
    """Return cheapest, next and median site of each GPU on one option (``spreads``)."""
    rows = table[table["option"] == option].sort_values("saving_median_pct")
    if rows.empty:
        return nothing(f"No two sites sell the same GPU {option}")
    best = rows.iloc[-1]
    fig = figure(
        f"The cheapest {best.gpu_model} is {best.saving_median_pct:.0f} % below the median site "
        f"and has been for {best.held_days:,.0f} days",
        x_title="% above the cheapest site", height_px=150 + 62 * len(rows),
    )  # fmt: skip
    above = [100 * (rows[c] / rows["cheapest"] - 1) for c in ("next", "median")]
    for x, y in zip(above[1], rows["gpu_model"], strict=True):
        fig.add_scatter(x=[0, x], y=[y, y], mode="lines", line={"color": "#ccc", "width": 4}, showlegend=False)  # fmt: skip
    for name, x, colour in (
        ("cheapest", 0 * above[0], COLOURS[2]), ("next", above[0], COLOURS[1]), ("median", above[1], COLOURS[0]),
    ):  # fmt: skip
        fig.add_scatter(x=x, y=rows["gpu_model"], mode="markers", name=name, marker={"size": 12, "color": colour}, cliponaxis=False)  # fmt: skip
    for row in rows.itertuples():
        fig.add_annotation(
            x=0, y=row.gpu_model, xanchor="left", yshift=18, showarrow=False, font={"size": 12},
            text=f"{row.cheapest_site} ${row.cheapest:.2f}, then {row.next_site} ${row.next:.2f}",
        )  # fmt: skip
    fig.update_xaxes(ticksuffix=" %", range=[0, max(1.05 * above[1].max(), 1.0)])
    fig.update_layout(margin={"l": 120}, legend={"y": 1.0, "yanchor": "bottom"})
    return fig


def availability(table: pd.DataFrame, share: pd.DataFrame) -> go.Figure:
    """Return when each marketplace offer was on sale (``availability``), steadiest on top."""
    if table.empty:
        return nothing("No marketplace record was known by then")
    always = int((table["on_sale_pct"] > 99).sum())
    order = (table["provider"] + " " + table["offer"])[::-1]
    label = order + table["offers_on_sale"][::-1].map(" ({:.0f})".format)
    fig = figure(
        f"{always} of {len(table)} marketplace offers were on sale 99 % of the time, "
        f"{int((table['on_sale_pct'] < 50).sum())} less than half of it",
        x_title=f"time (UTC), {share.index[0]:%d %b} to {share.index[-1]:%d %b %Y}; in brackets: mean number on sale",
        height_px=150 + 19 * len(table),
    )
    fig.add_heatmap(
        x=share.index, y=label, z=100 * share[order].T, zmin=0, zmax=100,
        colorscale=["#f4f4f4", COLOURS[0]], ygap=1,
        colorbar={"title": "of time<br>on sale", "ticksuffix": " %"},
        hovertemplate="%{y}, until %{x}: %{z:.0f} % of the time on sale<extra></extra>",
    )  # fmt: skip
    fig.update_yaxes(tickfont={"size": 11}, dtick=1)
    fig.update_layout(margin={"l": 220})
    return fig


def changes(table: pd.DataFrame, *, since: pd.Timestamp, top: int = 15) -> go.Figure:
    """Return the largest changes of price per GPU-hour (``changes_by_site``)."""
    priced = table[table["change"].notna()]
    if priced.empty:
        return nothing(f"No GPU price changed since {since:%d %b %Y}")
    rows = priced.head(top)[::-1]
    label = rows["gpu_model"] + " " + rows["option"] + ", " + rows["site"]
    up, down = int((priced["change"] > 0).sum()), int((priced["change"] < 0).sum())
    fig = figure(
        f"Since {since:%d %b %Y} the price of a GPU rose in {up} places and fell in {down}",
        x_title="change (USD per GPU-hour); the label says %, and the kind where it is no plain step",
        height_px=150 + 25 * len(rows),
    )
    kind = rows["kind"].where(rows["kind"] != "step", "")
    fig.add_bar(
        x=rows["change"], y=label, orientation="h", textposition="outside", cliponaxis=False,
        marker_color=np.where(rows["change"] > 0, COLOURS[3], COLOURS[2]),
        text=[f"{p:+.1f} % {k}" for p, k in zip(rows["change_pct"], kind, strict=True)],
    )  # fmt: skip
    fig.update_yaxes(tickfont={"size": 12}, dtick=1)
    low, high = min(rows["change"].min(), 0.0), max(rows["change"].max(), 0.0)
    pad = 0.14 * (high - low)
    fig.update_xaxes(tickformat="+$.2f", range=[low - pad * (low < 0), high + pad * (high > 0)])
    fig.update_layout(margin={"l": 280})
    return fig
