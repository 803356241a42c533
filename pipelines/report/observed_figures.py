"""The figures of the page that says how the workbench is doing; each states what it shows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cloudarb_lib.plots.style import COLOURS, INK, figure, nothing
from pipelines.observe.described import LATENCY_SHARES
from pipelines.observe.quantiles import quantile

_BAR_PX = 26
_FRAME_PX = 110
_SECONDS_PER_DAY = 86_400.0
_LEAST_DAYS = 0.01
"""So short a bar is drawn of what was looked at just now: the axis is logarithmic."""
_STATED = 0.95
_AROUND = pd.Timedelta(days=1)


def freshness(looked: pd.DataFrame, now: pd.Timestamp) -> go.Figure:
    """Return how long ago each source was last looked at.

    Parameters
    ----------
    looked : DataFrame
        ``provider``, ``source`` and ``value``, seconds since 1970.
    now : Timestamp
        In UTC.
    """
    if looked.empty:
        return nothing("No source was looked at yet")
    days = (now.timestamp() - looked["value"]) / _SECONDS_PER_DAY
    shown = looked.assign(days=days).sort_values("days")
    names = shown["provider"] + " " + shown["source"]
    title = f"{names.iloc[-1]} was looked at longest ago, for {shown['days'].iloc[-1]:,.0f} days"
    fig = _bars(names, shown["days"].clip(lower=_LEAST_DAYS), shown["days"].map("{:,.1f}".format))
    fig.update_xaxes(type="log", dtick=1)
    return figure(
        title, x_title="days since the newest look", height_px=_height(len(shown)), drawn=fig
    )


def coverage(shares: pd.DataFrame) -> go.Figure:
    """Return which share of outcomes lay inside each interval, beside what was stated.

    Parameters
    ----------
    shares : DataFrame
        ``configuration``, ``horizon_steps``, ``level`` and ``value``.
    """
    if shares.empty:
        return nothing("No run has scored a forecast yet")
    fig = go.Figure()
    of_level = shares.assign(stated=shares["level"].astype(float))
    of_level["steps"] = of_level["horizon_steps"].astype(float)
    for (name, _), lines in of_level.groupby(["configuration", "stated"]):
        lines = lines.sort_values("steps")
        level = float(lines["stated"].iloc[0])
        colour = COLOURS[0] if level >= _STATED else COLOURS[1]
        words = f"{name}, stated {level:.0%}"
        fig.add_scatter(x=lines["steps"], y=lines["value"], name=words, line_color=colour)
        fig.add_hline(y=level, line_dash="dot", line_color=colour, line_width=1)
    off = (of_level["value"] - of_level["stated"]).abs()
    worst = of_level.iloc[int(off.argmax())]
    title = (
        f"In the newest half-year, of intervals stated to hold {worst['stated']:.0%}, "
        f"{worst['value']:.0%} held at {worst['steps']:g} steps: the farthest off"
    )
    fig.update_yaxes(tickformat=".0%", rangemode="tozero")
    return figure(title, x_title="steps ahead", y_title="outcomes inside", drawn=fig)


def skill(ratios: pd.DataFrame) -> go.Figure:
    """Return the CRPS of the forecast over that of the last value, by horizon.

    Parameters
    ----------
    ratios : DataFrame
        ``configuration``, ``horizon_steps`` and ``value``.
    """
    if ratios.empty:
        return nothing("No run has scored a forecast yet")
    fig = go.Figure()
    for name, lines in ratios.assign(steps=ratios["horizon_steps"].astype(float)).groupby(
        "configuration"
    ):
        lines = lines.sort_values("steps")
        fig.add_scatter(x=lines["steps"], y=lines["value"], name=str(name))
    fig.add_hline(y=1.0, line_dash="dot", line_color=INK, line_width=1)
    better = int((ratios["value"] < 1.0).sum())
    title = f"The forecast beats the last value at {better} of {len(ratios)} horizons"
    fig.update_yaxes(rangemode="tozero")
    return figure(title, x_title="steps ahead", y_title="CRPS, last value = 1", drawn=fig)


def costs(runs: pd.DataFrame) -> go.Figure:
    """Return the expected cost of each run's plan, with its value-at-risk above.

    Parameters
    ----------
    runs : DataFrame
        ``configuration``, ``ended_at``, ``plan_expected_cost_usd`` and ``var_usd``, oldest first.
    """
    known = runs.dropna(subset=["plan_expected_cost_usd"])
    if known.empty:
        return nothing("No run has a plan yet")
    fig = go.Figure()
    for name, lines in known.groupby("configuration"):
        fig.add_scatter(
            x=lines["ended_at"],
            y=lines["plan_expected_cost_usd"],
            error_y={"array": lines["var_usd"].fillna(0.0), "arrayminus": 0 * lines["var_usd"]},
            mode="lines+markers",
            name=str(name),
        )
    newest = known.iloc[-1]
    title = f"{newest['configuration']} expects {newest['plan_expected_cost_usd']:,.0f} USD"
    fig.update_yaxes(rangemode="tozero", tickformat="~s")
    ends = known["ended_at"]
    fig.update_xaxes(range=[ends.min() - _AROUND, ends.max() + _AROUND], tickformat="%d %b %Y")
    fig.update_xaxes(nticks=3)
    y_title = "USD over the horizon, VaR above"
    return figure(title, x_title="end of the run (UTC)", y_title=y_title, drawn=fig)


def durations(seconds: pd.DataFrame) -> go.Figure:
    """Return how long notebooks, and the work in them, took in the newest runs.

    Parameters
    ----------
    seconds : DataFrame
        ``what`` and ``value`` (s).
    """
    if seconds.empty:
        return nothing("No run has succeeded yet")
    shown = seconds.sort_values("value")
    title = f"{shown['what'].iloc[-1]} took longest, {shown['value'].iloc[-1]:,.1f} s"
    fig = _bars(shown["what"], shown["value"], shown["value"].map("{:,.1f}".format))
    return figure(title, x_title="s", height_px=_height(len(shown)), drawn=fig)


def latency(counts: dict[float, float]) -> go.Figure:
    """Return how many answers took how long, with quantiles up to the 99.9th percentile.

    Parameters
    ----------
    counts : dict of float to float
        Upper end of each class (s), and how many answers took at most so long.
    """
    if not counts or max(counts.values()) == 0:
        return nothing("No server told of its answers: add --served with what its /metrics says")
    ends = sorted(counts)
    each = np.diff([0.0, *(counts[end] for end in ends)])
    names = [f"up to {1000 * end:g} ms" for end in ends[:-1]] + [f"over {ends[-2]:g} s"]
    used = np.flatnonzero(each)
    shown = slice(used[0], used[-1] + 1)
    quantiles = [f"{100 * s:g} %: {1000 * quantile(counts, s):,.3g} ms" for s in LATENCY_SHARES]
    fig = go.Figure(go.Bar(x=names[shown], y=each[shown] / each.sum(), marker_color=COLOURS[0]))
    fig.update_yaxes(tickformat=".1%")
    return figure(f"Answers within: {', '.join(quantiles)}", y_title="share of answers", drawn=fig)


def _bars(names: pd.Series, values: pd.Series, texts: pd.Series) -> go.Figure:
    bars = go.Bar(
        x=values,
        y=names,
        text=texts,
        orientation="h",
        marker_color=COLOURS[0],
        textposition="auto",
        cliponaxis=False,
    )
    return go.Figure(bars)


def _height(bars: int) -> int:
    return _FRAME_PX + _BAR_PX * bars
