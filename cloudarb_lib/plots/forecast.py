"""Figures of the forecast notebook: skill, and fans with what came."""

from __future__ import annotations

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from cloudarb_lib.base.types import Panel
from cloudarb_lib.forecast.drift import ACTIONS, series_groups
from cloudarb_lib.plots import COLOURS, add_band, figure, nothing

_NAMES = {
    "ensemble": "ensemble",
    "repeat_last_step": "repeat last step",
    "damped_trend": "damped trend (statsmodels)",
    "boosting": "boosting (LightGBM)",
    "lstm": "LSTM (TensorFlow)",
    "prophet": "Prophet",
    "fixed_weights": "fixed weights",
}


def skill(board: pd.DataFrame, *, unit: str) -> go.Figure:
    """Return the error each model saves against the last value, by step ahead (``board`` as from ``headline``)."""
    saved = 100 * (1 - board["ratio"]).unstack("model")
    beaten = int((saved["ensemble"] > 0.5).sum())
    shown = saved[[model for model in _NAMES if model in saved]].rename(columns=_NAMES)
    drawn = px.line(shown.assign(**{"last value": 0.0}), markers=True).update_traces(line_width=1.6)
    drawn.update_traces(line_width=4.5, selector={"name": "ensemble"})
    drawn.update_traces(
        line={"color": "#222", "dash": "dot"}, mode="lines", selector={"name": "last value"}
    )
    low, high = float(saved.min().min()), float(saved.max().max())
    drawn.update_yaxes(
        range=[max(-60.0, low - 3), max(10.0, high + 3)]
    )  # what is worse lies below the edge
    title, y_title = "The ensemble beats the last price at", "error saved against the last price, %"
    title += f" {beaten or 'none'} of {len(saved)} horizons"
    return figure(title, x_title=f"{unit}s ahead", y_title=y_title, drawn=drawn).update_xaxes(
        tickvals=saved.index
    )


def weights_over_time(weights: pd.DataFrame) -> go.Figure:
    """Return the share of each member in the ensemble at each origin (rows: times; columns: members)."""
    shown = weights.loc[:, weights.max() >= 0.02]
    shown = shown[shown.mean().sort_values(ascending=False).index[: len(COLOURS) - 1]]
    shown = (
        shown.assign(others=1 - shown.sum(axis=1))
        if len(shown.columns) < len(weights.columns)
        else shown
    )
    labels = {name: _NAMES.get(str(name), str(name).replace("_", " ")) for name in shown}
    drawn = px.area(100 * shown.clip(lower=0).rename(columns=labels)).update_traces(line_width=0.5)
    title = f"The last price holds {weights['last_value'].mean():.0%} of the weight on average"
    fig = figure(
        title, x_title="origin of the forecast", y_title="share of the ensemble, %", drawn=drawn
    )
    return fig.update_yaxes(range=[0, 100])


def calibration(pits: pd.DataFrame, *, unit: str) -> go.Figure:
    """Return how many outcomes central intervals held, against what they promised, by steps ahead (``pits``)."""
    needed = 100 * (2 * pits["pit"] - 1).abs()  # the least interval that holds the outcome
    held = pd.DataFrame(
        {k: (needed <= k).groupby(pits["horizon"]).mean() for k in range(0, 101, 5)}
    ).T
    shown = 100 * held.rename(columns=lambda h: f"{h} {unit}{'s' if h > 1 else ''} ahead")
    drawn = px.line(shown.assign(right=held.index))
    drawn.update_traces(line={"color": "#222", "dash": "dot"}, selector={"name": "right"})
    title = f"80 % intervals held {held.loc[80].min():.0%} to {held.loc[80].max():.0%} of prices (ties broken at random)"
    return figure(
        title, x_title="promised, % of outcomes", y_title="held, % of outcomes", drawn=drawn
    )


def drift(alarms: pd.DataFrame, panel: Panel, *, most: int = 4) -> go.Figure:
    """Return the median price of the groups with the newest alarms (table ``alarms``), alarms drawn over it."""
    newest = alarms.sort_values("time_utc", ascending=False, kind="stable")[
        "series_group"
    ].unique()[:most]
    title = f"{len(alarms)} alarms in {alarms['series_group'].nunique()} groups of offers; {len(newest)} are drawn"
    if not len(newest):
        return nothing("No drift: no alarm on record")
    price = panel.frame()
    level = (
        (price / price.bfill().iloc[0]).T.groupby(series_groups(panel.offers).to_numpy()).median().T
    )
    level = 100 * level[newest].dropna(how="all")
    drawn = px.line(level.rename(columns=lambda name: name.replace("_", " ")), line_shape="hv")
    colours, symbols = (
        dict(zip(newest, COLOURS, strict=False)),
        ("diamond", "triangle-up", "square"),
    )
    for (detector, action), symbol in zip(ACTIONS.items(), symbols, strict=True):
        rows = alarms[(alarms["detector"] == detector) & alarms["series_group"].isin(newest)]
        heights = level.stack().reindex(
            pd.MultiIndex.from_frame(rows[["time_utc", "series_group"]])
        )
        marker = {"symbol": symbol, "size": 12, "line": {"color": "#222", "width": 1}}
        drawn.add_scatter(
            x=rows["time_utc"],
            y=heights,
            mode="markers",
            name=f"{detector.replace('_', '-')}: {action}",
            marker=marker | {"color": rows["series_group"].map(colours)},
        )
    return figure(title, x_title="time (UTC)", y_title="median price, first = 100", drawn=drawn)


def fans(table: pd.DataFrame, prices: pd.DataFrame) -> go.Figure:
    """Return, for each offer of a past forecast ``table``, its intervals and the ``prices`` that came.

    ``prices`` has times as rows and offers as columns, before and after the origin.
    """
    ids = list(table["offer_id"].unique())
    last = table[table["target_utc"] == table["target_utc"].max()]
    ends = last.pivot(index="offer_id", columns="quantile", values="price_usd_per_hour")
    came = prices.loc[table["target_utc"].max(), ends.index]
    inside = int(((came >= ends[0.1] - 1e-9) & (came <= ends[0.9] + 1e-9)).sum())
    titles = ["{3}, {0} {1}".format(*i.split("/")).replace(" unstated", "") for i in ids]
    grid = make_subplots(rows=(len(ids) + 1) // 2, cols=2, subplot_titles=titles)
    style = figure(f"{inside} of {len(ids)} prices ended inside their 80 % interval").layout
    fig = grid.update_layout(style, annotations=grid.layout.annotations)
    fig.update_layout(height=90 + 260 * ((len(ids) + 1) // 2))
    for k, (offer, rows) in enumerate(table.groupby("offer_id", observed=True, sort=False)):
        place = {"row": k // 2 + 1, "col": k % 2 + 1, "showlegend": k == 0}
        q = rows.pivot(index="target_utc", columns="quantile", values="price_usd_per_hour")
        q.loc[rows["origin_utc"].iloc[0]] = prices.loc[rows["origin_utc"].iloc[0], offer]
        q = q.sort_index()
        for low, high, name, shade in ((0.025, 0.975, "95 %", 0.15), (0.1, 0.9, "80 %", 0.3)):
            add_band(fig, q[low], q[high], name=f"{name} interval", opacity=shade, **place)
        line = {"color": COLOURS[0], "dash": "dash"}
        fig.add_scatter(
            x=q.index, y=q[0.5], name="forecast (median)", mode="lines", line=line, **place
        )
        seen, line = (
            prices[offer].loc[: q.index[-1]].iloc[-3 * len(q) :],
            {"color": "#222", "shape": "hv"},
        )
        fig.add_scatter(x=seen.index, y=seen, name="price", mode="lines", line=line, **place)
    return fig.update_yaxes(title_text="USD per hour")
