"""Figures of the forecast notebook: skill, and fans with what came."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from cloudarb_lib.forecast.ensemble import ALL
from cloudarb_lib.plots import COLOURS, figure

_NAMES = {
    "last_value": "last value", "repeat_last_step": "repeat last step", "damped_trend": "damped trend (statsmodels)",
    "boosting": "boosting (LightGBM)", "lstm": "LSTM (TensorFlow)", "prophet": "Prophet", "weighted_mean": "weighted mean of members", "ensemble": "ensemble",
}  # fmt: skip


def skill(scores: pd.DataFrame, *, unit: str) -> go.Figure:
    """Return the skill of each model against the last value by step ahead, all series (``scores``)."""
    pooled = scores[scores["series_group"] == ALL]
    best = pooled[pooled["model"] == "ensemble"].set_index("horizon")["skill"]
    beaten = int((best > 0.005).sum())
    title = f"The ensemble beats the last price at {beaten or 'none'} of {len(best)} horizons"
    fig = figure(title, x_title=f"{unit}s ahead", y_title="error saved against the last price, %")
    for k, (model, name) in enumerate(_NAMES.items()):
        rows = pooled[pooled["model"] == model]
        line = {"color": COLOURS[k], "width": 4 if model == "ensemble" else 1.8}
        fig.add_scatter(x=rows["horizon"], y=100 * rows["skill"], name=name, mode="lines+markers", line=line)
    fig.add_annotation(x=1, xref="paper", y=0, text="as good as the last price", showarrow=False, yshift=9)
    low, high = 100 * pooled["skill"].min(), 100 * pooled["skill"].max()
    fig.update_yaxes(range=[max(-60.0, low - 3), max(10.0, high + 3)])  # what is worse lies below the edge
    return fig.update_xaxes(tickvals=sorted(pooled["horizon"].unique()))


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
            fig.add_scatter(
                x=[*q.index, *q.index[::-1]], y=[*q[low], *q[high][::-1]], fill="toself", mode="none",
                name=f"{name} interval", fillcolor=f"rgba(0,114,178,{shade})", **place,
            )  # fmt: skip
        line = {"color": COLOURS[0], "dash": "dash"}
        fig.add_scatter(x=q.index, y=q[0.5], name="forecast (median)", mode="lines", line=line, **place)
        seen, line = prices[offer].loc[: q.index[-1]].iloc[-3 * len(q) :], {"color": "#222", "shape": "hv"}
        fig.add_scatter(x=seen.index, y=seen, name="price", mode="lines", line=line, **place)
    return fig.update_yaxes(title_text="USD per hour")
