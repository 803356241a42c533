"""Figures of the price notebook: what can be rented, what it costs, how prices move."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from cloudarb_lib.base.wording import day, last_day
from cloudarb_lib.market.explore.moves import ROUND_PCT
from cloudarb_lib.plots.style import COLOURS, TEMPLATE, figure, label_ends, nothing

_OPTIONS = {
    "spot": COLOURS[0],
    "1 year": COLOURS[1],
    "3 years": COLOURS[2],
    "on demand": COLOURS[3],
}
_APART = 0.18
"""Lines of one GPU model stand so far apart, where GPU models stand 1 apart."""
_MOST_TEXT = 16  # columns of a map up to which its cells have room for a figure
_AT_THE_MEDIAN = "#dedede"
"""Darker than a cell that sells nothing."""
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
_DOLLARS = {"type": "log", "tickvals": _TICKS, "ticktext": [f"${t:g}" for t in _TICKS]}


def price_range(table: pd.DataFrame) -> go.Figure:
    """Return cheapest, median and dearest price of each GPU and option (``landscape``)."""
    by_model = table.groupby("gpu_model").agg(low=("cheapest", "min"), high=("dearest", "max"))
    order = {option: place for place, option in enumerate(_OPTIONS)}
    rows = table.sort_values("option", key=lambda option: option.map(order))
    widest = str((by_model["high"] / by_model["low"]).idxmax())
    low, high = by_model.loc[widest].to_numpy(float)  # of the widest range
    arms = rows.assign(
        up=rows["dearest"] - rows["median"],
        down=rows["median"] - rows["cheapest"],
        height=_heights(rows["gpu_model"], by_model.index),
    )
    drawn = px.scatter(
        arms,
        x="median",
        y="height",
        color="option",
        color_discrete_map=_OPTIONS,
        error_x="up",
        error_x_minus="down",
        hover_name="gpu_model",
        hover_data={"height": False},
        category_orders={"option": list(_OPTIONS)},
        template=TEMPLATE,
    )
    drawn.update_traces(marker_size=10, error_x={"thickness": 3, "width": 0})
    drawn.update_layout(margin_l=120)
    drawn.update_yaxes(
        tickvals=list(range(len(by_model))),
        ticktext=list(by_model.index),
        range=[len(by_model) - 0.5, -0.5],
    )
    return figure(
        f"One {widest} costs from ${low:,.2f} to ${high:,.2f} an hour: "
        f"{high / low:,.1f} times as much",
        x_title="USD per GPU-hour, log scale (line: cheapest to dearest, dot: median)",
        height_px=170 + 64 * len(by_model),
        drawn=drawn,
    ).update_xaxes(_DOLLARS)


def _heights(gpu_model: pd.Series, order: pd.Index) -> pd.Series:
    """Return where on the axis each row stands: rows of one GPU model around its place in order."""
    rows = gpu_model.groupby(gpu_model)
    from_middle = rows.cumcount() - (rows.transform("size") - 1) / 2
    return gpu_model.map(order.get_loc) + _APART * from_middle


def providers(table: pd.DataFrame) -> go.Figure:
    """Return what a GPU-hour costs on demand at each provider (``explore.by_provider``).

    GPU models that one provider alone sells are left out.
    """
    rows = table.dropna(subset="on_demand_usd_per_gpu_hour")
    rows = rows[rows.groupby("gpu_model")["provider"].transform("size") > 1]
    if rows.empty:
        return nothing("No GPU model is sold on demand by two providers")
    price = rows.pivot(index="gpu_model", columns="provider", values="on_demand_usd_per_gpu_hour")
    times = price.max(axis=1) / price.min(axis=1)
    widest = str(times.idxmax())
    ask = price.loc[widest]
    drawn = px.bar(
        rows.sort_values(["provider", "gpu_model"], ascending=[True, False]),
        x="on_demand_usd_per_gpu_hour",
        y="gpu_model",
        color="provider",
        barmode="group",
        orientation="h",
        text_auto="$.2f",
        template=TEMPLATE,
    )
    drawn.update_traces(textposition="outside", cliponaxis=False)
    return figure(
        f"On demand, {ask.idxmin()} asks ${ask.min():,.2f} for an {widest}-hour and "
        f"{ask.idxmax()} ${ask.max():,.2f}",
        x_title="USD per GPU-hour on demand, in the cheapest region",
        height_px=150 + 50 * len(price),
        drawn=drawn,
    ).update_layout(margin_l=110, margin_r=60)


def site_map(prices: pd.DataFrame, option: str) -> go.Figure:
    """Return how the price of each site lies to the median, GPU models x sites (``by_site``)."""
    if prices.empty:
        return nothing(f"No place sells GPUs {option}")
    relative = 100 * (prices / prices.median() - 1)
    order = relative.mean(axis=1).sort_values().index
    dollars = prices.loc[order].T
    times = prices.max() / prices.min()
    drawn = px.imshow(
        relative.loc[order].T,
        zmin=-60,
        zmax=60,
        aspect="auto",
        color_continuous_scale=[COLOURS[0], _AT_THE_MEDIAN, COLOURS[1]],
        template=TEMPLATE,
    ).update_traces(
        xgap=1,
        ygap=1,
        customdata=dollars,
        text=dollars.map("${:.2f}".format, na_action="ignore").fillna(""),
        texttemplate="%{text}" if len(order) <= _MOST_TEXT else "",
        hovertemplate="%{y}, %{x}: $%{customdata:.3f} per GPU-hour (%{z:+.0f} %)<extra></extra>",
    )
    drawn.update_coloraxes(colorbar={"title": "against<br>the median", "ticksuffix": " %"})
    return (
        figure(
            f"Place matters most for {times.idxmax()}: the dearest place asks "
            f"{times.max():.1f} times the cheapest ({option})",
            x_title="place, cheap ones first",
            height_px=330 + 34 * prices.shape[1],
            drawn=drawn,
        )
        .update_xaxes(tickangle=-60)
        .update_layout(margin={"l": 120, "b": 180})
    )


def price_history(history: pd.DataFrame, option: str) -> go.Figure:
    """Return the median price of each GPU over time (``price_history``), named at its end."""
    change = (100 * (history.ffill().iloc[-1] / history.bfill().iloc[0] - 1)).dropna()
    most = str(change.abs().idxmax())
    side = "rose" if change[most] > 0 else "fell"
    priced = history.melt(ignore_index=False).dropna().reset_index(names="time")
    drawn = px.line(
        priced, x="time", y="value", color="gpu_model", line_shape="hv", template=TEMPLATE
    )
    drawn.for_each_trace(lambda line: line.update(mode="lines" if len(line.x) > 1 else "markers"))
    fig = figure(
        f"{most} moved most: its median {option} price {side} by {abs(change[most]):.0f} % "
        "over the record",
        x_title="time (UTC)",
        y_title="USD per GPU-hour, median offer, log scale",
        height_px=460,
        drawn=drawn,
    )
    fig.update_xaxes(range=[history.index[0], history.index[-1]]).update_yaxes(_DOLLARS)
    texts = {line.name: f"{line.name} ${line.y[-1]:.2f}" for line in fig.data}
    return label_ends(fig, texts, margin_px=150)


def steps(moved: pd.DataFrame, option: str) -> go.Figure:
    """Return the sizes of the last year's steps (``moves``), with 5, 10 and 15 % marked."""
    rows = moved[(moved["kind"] == "step") & (moved["option"] == option)]
    if rows.empty:
        return nothing(f"No {option} price moved by 0.5 % or more")
    years = rows["changed_at"].dt.year
    last = rows[years == years.max()]
    sizes = last["change_pct"].clip(-25, 25)
    drawn = px.histogram(x=sizes, template=TEMPLATE).update_traces(
        xbins={"start": -25.25, "end": 25.25, "size": 0.5}
    )
    for size in (*ROUND_PCT, *(-s for s in ROUND_PCT)):
        drawn.add_vline(x=size, line={"color": COLOURS[6], "width": 1, "dash": "dot"})
    return figure(
        f"In {years.max()} a price that moved did so every "
        f"{last['gap_days'].median():.2g} days, by "
        f"{last['change_pct'].abs().median():.1f} % in the median",
        x_title=f"size of step in {years.max()} (%, at most 25)",
        y_title="steps",
        height_px=360,
        drawn=drawn,
    ).update_xaxes(range=[sizes.min() - 1, sizes.max() + 1])


def spreads(table: pd.DataFrame, option: str) -> go.Figure:
    """Return cheapest, next and median site of each GPU on one option (``spreads``)."""
    rows = table[table["option"] == option].sort_values("saving_median_pct")
    if rows.empty:
        return nothing(f"No two places sell the same GPU {option}")
    best = rows.iloc[-1]
    above = rows[["median", "next", "cheapest"]].div(rows["cheapest"], axis=0).sub(1).mul(100)
    drawn = px.scatter(above.set_index(rows["gpu_model"]), orientation="h", template=TEMPLATE)
    drawn.update_traces(marker_size=12, mode="markers", cliponaxis=False)
    arm = {
        "array": 0 * above["median"],
        "arrayminus": above["median"],
        "symmetric": False,
        "width": 0,
    }
    drawn.update_traces(
        error_x=arm | {"color": "#ccc", "thickness": 4}, selector={"name": "median"}
    )
    for row in rows.itertuples():
        text = f"{row.cheapest_site} ${row.cheapest:.2f}, then {row.next_site} ${row.next:.2f}"
        drawn.add_annotation(
            x=0, y=row.gpu_model, xanchor="left", yshift=18, showarrow=False, text=text
        )
    far = above["median"].max() + 1
    drawn.update_xaxes(ticksuffix=" %", range=[-0.02 * far, 1.05 * far])
    return figure(
        f"The cheapest {best.gpu_model} is {best.saving_median_pct:.0f} % below the median place; "
        f"{best.cheapest_site} has led for {best.held_days:,.0f} days",
        x_title="above the cheapest place (%)",
        height_px=150 + 62 * len(rows),
        drawn=drawn,
    ).update_layout(margin_l=120)


def availability(table: pd.DataFrame, share: pd.DataFrame) -> go.Figure:
    """Return when each marketplace offer was on sale (``availability``), steadiest on top."""
    if table.empty:
        return nothing("No marketplace record was known by then")
    often = int((table["on_sale_pct"] > 99).sum())
    seldom = int((table["on_sale_pct"] < 50).sum())
    counts = table["offers_on_sale"].map(" ({:.0f})".format)
    label = table["provider"] + " " + table["offer"] + counts
    drawn = (
        px.imshow(
            100 * share.T.set_axis(label)[::-1],
            zmin=0,
            zmax=100,
            aspect="auto",
            origin="lower",
            color_continuous_scale=["#f4f4f4", COLOURS[0]],
            template=TEMPLATE,
        )
        .update_traces(ygap=1)
        .update_layout(margin_l=220)
    )
    drawn.update_coloraxes(
        colorbar={"title": {"text": "of time on sale", "side": "right"}, "ticksuffix": " %"}
    )
    return figure(
        f"{often} of {len(table)} marketplace offers were on sale 99 % of the time, "
        f"{seldom} less than half of it",
        x_title=f"time (UTC), {day(share.index[0])} to {day(share.index[-1])}; "
        "in brackets: mean number on sale",
        height_px=150 + 19 * len(table),
        drawn=drawn,
    ).update_yaxes(tickfont_size=11, dtick=1)


def price_changes(table: pd.DataFrame, *, since: pd.Timestamp, top: int = 15) -> go.Figure:
    """Return the largest changes of price per GPU-hour (``price_changes_by_site``)."""
    priced = table[table["change"].notna()]
    if priced.empty:
        return nothing(f"No GPU price changed since {last_day(since)}")
    rows = priced.head(top)[::-1]
    up = int((priced["change"] > 0).sum())
    down = int((priced["change"] < 0).sum())
    largest = f"; the {len(rows)} largest are drawn" if len(rows) < len(priced) else ""
    drawn = px.bar(
        x=rows["change"],
        y=rows["gpu_model"] + " " + rows["option"] + ", " + rows["site"],
        orientation="h",
        text=rows["change_pct"].map("{:+.1f} % ".format)
        + rows["kind"].where(rows["kind"] != "step", ""),
        template=TEMPLATE,
    )
    colours = np.where(rows["change"] > 0, COLOURS[3], COLOURS[2])
    drawn.update_traces(textposition="outside", marker_color=colours)
    low = min(rows["change"].min(), 0.0)
    high = max(rows["change"].max(), 0.0)
    room = 0.14 * (high - low)  # for the labels
    form = "+$.2f" if high - low > 0.1 else "+$.4~f"
    drawn.update_xaxes(tickformat=form, range=[low - room, high + room])
    return (
        figure(
            f"Since {last_day(since)} GPU prices rose at {up} places and fell at {down}{largest}",
            x_title="change (USD per GPU-hour); the label says %, "
            "and the kind where it is no plain step",
            height_px=150 + 25 * len(rows),
            drawn=drawn,
        )
        .update_yaxes(tickfont_size=12, dtick=1)
        .update_layout(margin_l=280)
    )
