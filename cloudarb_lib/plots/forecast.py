"""Figures of the forecast notebook: skill, and fans with what came."""

from __future__ import annotations

from typing import Any

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from cloudarb_lib.base.types import Panel
from cloudarb_lib.base.wording import count, day, percent
from cloudarb_lib.forecast.drift import ACTIONS, series_groups
from cloudarb_lib.market.explore import offer_in_words, pools_in_words
from cloudarb_lib.plots.style import COLOURS, INK, TEMPLATE, add_band, figure, nothing

_NAMES = {
    "ensemble": "ensemble",
    "meta_learner": "meta-learner",
    "boosting": "boosting (LightGBM)",
    "lstm": "LSTM (TensorFlow)",
    "prophet": "Prophet",
}
_ALARM_SYMBOLS = ("diamond", "triangle-up", "square")


def skill(board: pd.DataFrame, *, unit: str) -> go.Figure:
    """Return the error each model saves against the last value, by steps ahead (``headline``)."""
    saved = 100 * (1 - board["mae_ratio"]).unstack("model")
    beaten = int((saved["ensemble"] > 0.5).sum())
    shown = saved[[model for model in _NAMES if model in saved]].rename(columns=_NAMES)
    drawn = px.line(shown.assign(**{"last price": 0.0}), markers=True, template=TEMPLATE)
    drawn.update_traces(line_width=1.6)
    drawn.update_traces(line_width=4.5, selector={"name": "ensemble"})
    drawn.update_traces(
        line={"color": INK, "dash": "dot"}, mode="lines", selector={"name": "last price"}
    )
    lowest = float(saved.min().min())
    highest = float(saved.max().max())
    # What is worse than 60 % lies below the edge.
    drawn.update_yaxes(range=[max(-60.0, lowest - 3), max(10.0, highest + 3)])
    fig = figure(
        f"The ensemble beats the last price at {beaten or 'none'} of {len(saved)} horizons",
        x_title=f"{unit}s ahead",
        y_title="error saved against the last price, %",
        drawn=drawn,
    )
    return fig.update_xaxes(tickvals=saved.index)


def half_years(scores: pd.DataFrame, *, unit: str) -> go.Figure:
    """Return the CRPS that the ensemble saves against the last value, by half-year and horizon."""
    of_ensemble = scores[(scores["model"] == "ensemble") & (scores["target"] == "offer")]
    rows = of_ensemble[of_ensemble["series_group"] == "all"]
    halves = rows[rows["span"].str.contains(r"^\d{4}H\d$")]
    if halves.empty:
        halves = rows[rows["span"] == "all"]
    saved = 100 * (1 - halves.pivot(index="span", columns="horizon", values="crps_ratio"))
    gained = int((saved > 0).all(axis=1).sum())
    shown = saved.rename(columns=lambda steps: f"{count(steps, unit)} ahead")
    drawn = px.bar(shown, barmode="group", template=TEMPLATE)
    return figure(
        f"The distribution beats the last price at every horizon in {gained or 'none'} "
        f"of {len(saved)} half-years",
        x_title="half-year in which the forecast was made",
        y_title="CRPS saved against the last price, %",
        drawn=drawn,
    )


def weights_over_time(weights: pd.DataFrame) -> go.Figure:
    """Return the share of each member in the ensemble at each origin (times x members)."""
    if not len(weights.columns):
        return nothing("No member forecasts list prices: nothing is weighed")
    shown = weights.loc[:, weights.max() >= 0.02]
    shown = shown[shown.mean().sort_values(ascending=False).index[: len(COLOURS) - 1]]
    if len(shown.columns) < len(weights.columns):
        shown = shown.assign(others=1 - shown.sum(axis=1))
    labels = {name: _NAMES.get(str(name), str(name).replace("_", " ")) for name in shown}
    drawn = px.area(100 * shown.clip(lower=0).rename(columns=labels), template=TEMPLATE)
    drawn.update_traces(line_width=0.5)
    of_last_price = percent(100 * weights["last_value"].mean())
    fig = figure(
        f"The last price holds {of_last_price} of the weight on average",
        x_title="origin of the forecast",
        y_title="share of the ensemble, %",
        drawn=drawn,
    )
    return fig.update_yaxes(range=[0, 100])


def calibration(pits: pd.DataFrame, *, unit: str) -> go.Figure:
    """Return how many outcomes central intervals held, against what they promised (``pits``)."""
    needed = 100 * (2 * pits["pit"] - 1).abs()  # the least interval that holds the outcome
    by_horizon = {k: (needed <= k).groupby(pits["horizon"]).mean() for k in range(0, 101, 5)}
    share = pd.DataFrame(by_horizon).T
    shown = 100 * share.rename(columns=lambda steps: f"{count(steps, unit)} ahead")
    at_80 = [float(held) for held in 100 * by_horizon[80]]
    drawn = px.line(shown.assign(right=share.index), template=TEMPLATE)
    drawn.update_traces(line={"color": INK, "dash": "dot"}, selector={"name": "right"})
    return figure(
        f"80 % intervals held {percent(min(at_80))} to {percent(max(at_80))} of prices "
        "(ties broken at random)",
        x_title="promised, % of outcomes",
        y_title="held, % of outcomes",
        drawn=drawn,
    )


def drift(alarms: pd.DataFrame, panel: Panel, *, most: int = 4) -> go.Figure:
    """Return the median price of the groups with the newest alarms, alarms drawn over it.

    Parameters
    ----------
    alarms
        Table ``alarms``.
    panel
        The prices that they were raised on.
    most
        Groups drawn at most.
    """
    by_time = alarms.sort_values("time_utc", ascending=False, kind="stable")
    newest = by_time["series_group"].unique()[:most]
    if not len(newest):
        return nothing("No drift: no alarm on record")
    price = panel.frame()
    relative = (price / price.bfill().iloc[0]).T
    level = relative.groupby(series_groups(panel.offers).to_numpy()).median().T
    level = 100 * level[newest].dropna(how="all")
    named = level.rename(columns=pools_in_words)
    drawn = px.line(named, line_shape="hv", template=TEMPLATE)
    colours = dict(zip(newest, COLOURS, strict=False))
    for (detector, action), symbol in zip(ACTIONS.items(), _ALARM_SYMBOLS, strict=True):
        rows = alarms[(alarms["detector"] == detector) & alarms["series_group"].isin(newest)]
        at = pd.MultiIndex.from_frame(rows[["time_utc", "series_group"]])
        drawn.add_scatter(
            x=rows["time_utc"],
            y=level.stack().reindex(at),
            mode="markers",
            name=f"{detector.replace('_', ' ')}: {action}",
            marker={
                "symbol": symbol,
                "size": 12,
                "line": {"color": INK, "width": 1},
                "color": rows["series_group"].map(colours),
            },
        )
    return figure(
        f"{len(alarms)} alarms in {alarms['series_group'].nunique()} groups of offers; "
        f"{len(newest)} are drawn",
        x_title="time (UTC)",
        y_title="median price, first = 100",
        drawn=drawn,
    )


def fans(table: pd.DataFrame, prices: pd.DataFrame) -> go.Figure:
    """Return, for each offer of a past forecast, its intervals and the prices that came.

    Parameters
    ----------
    table
        Table ``forecast``, of one origin.
    prices
        Times x offers, before and after the origin.
    """
    end = table["target_utc"].max()
    ends = _ends(table)
    came = prices.loc[end].reindex(ends.index)
    inside = int(((came >= ends[0.1] - 1e-9) & (came <= ends[0.9] + 1e-9)).sum())
    return _grid_of_fans(
        table, prices, f"{inside} of {len(ends)} prices ended inside their 80 % interval"
    )


def fans_ahead(table: pd.DataFrame, prices: pd.DataFrame) -> go.Figure:
    """Return, for each offer of a forecast, its intervals behind the prices until today.

    Parameters
    ----------
    table
        Table ``forecast``, of one origin.
    prices
        Times x offers, up to the origin.
    """
    end = table["target_utc"].max()
    ends = _ends(table)
    ends = ends.div(prices.loc[table["origin_utc"].iloc[0]].reindex(ends.index), axis=0)
    change = 100 * (ends - 1)
    return _grid_of_fans(
        table,
        prices,
        f"By {day(end)} eight prices in ten change by {change[0.1].min():+.0f} to "
        f"{change[0.9].max():+.0f} %",
    )


def _ends(table: pd.DataFrame) -> pd.DataFrame:
    """Return the quantiles of the last target, offers x levels."""
    last = table[table["target_utc"] == table["target_utc"].max()]
    return last.pivot(index="offer_id", columns="quantile", values="price_usd_per_hour")


def _grid_of_fans(table: pd.DataFrame, prices: pd.DataFrame, finding: str) -> go.Figure:
    ids = list(table["offer_id"].unique())
    titles = [offer_in_words(offer) for offer in ids]
    rows_of_grid = (len(ids) + 1) // 2
    grid = make_subplots(rows=rows_of_grid, cols=min(2, len(ids)), subplot_titles=titles)
    style = figure(finding).layout
    fig = grid.update_layout(style, annotations=grid.layout.annotations)
    fig.update_layout(height=90 + 260 * rows_of_grid)
    for k, (offer, rows) in enumerate(table.groupby("offer_id", observed=True, sort=False)):
        place = {"row": k // 2 + 1, "col": k % 2 + 1, "showlegend": k == 0}
        _add_fan(fig, rows, prices[offer], place)
    return fig.update_yaxes(title_text="USD per hour")


def _add_fan(fig: go.Figure, rows: pd.DataFrame, price: pd.Series, place: dict[str, Any]) -> None:
    """Draw the quantiles of one offer and its price, from thrice as long before the end on."""
    origin = rows["origin_utc"].iloc[0]
    quantiles = rows.pivot(index="target_utc", columns="quantile", values="price_usd_per_hour")
    quantiles.loc[origin] = price.loc[origin]
    quantiles = quantiles.sort_index()
    for low, high, name, opacity in ((0.025, 0.975, "95 %", 0.15), (0.1, 0.9, "80 %", 0.3)):
        band_name = f"{name} interval"
        add_band(fig, quantiles[low], quantiles[high], name=band_name, opacity=opacity, **place)
    fig.add_scatter(
        x=quantiles.index,
        y=quantiles[0.5],
        name="forecast (median)",
        mode="lines",
        line={"color": COLOURS[0], "dash": "dash"},
        **place,
    )
    shown = price.loc[: quantiles.index[-1]].iloc[-3 * len(quantiles) :]
    line = {"color": INK, "shape": "hv"}
    fig.add_scatter(x=shown.index, y=shown, name="price", mode="lines", line=line, **place)
