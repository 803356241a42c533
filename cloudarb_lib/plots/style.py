"""How every figure looks, and the marks that several share.

The template goes into each figure by itself: what a notebook draws besides keeps its own.
"""

from __future__ import annotations

import html
import re
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import plotly.io as pio

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#6B6B6B", "#B8A800")
"""Okabe and Ito (2008), Color Universal Design: told apart with any common colour blindness.
Yellow is darkened and black is grey, so that lines stay legible on white."""
INK = "#222"
FONT = "Inter, system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
"""Of figures, and of the pages that they stand on."""

TEMPLATE = go.layout.Template(pio.templates["plotly_white"])
"""Pass it to every call of plotly.express, which colours traces by it."""
TEMPLATE.layout.update(
    colorway=list(COLOURS),
    font={"family": FONT, "size": 13, "color": INK},
    title={
        "x": 0.0,
        "font_size": 17,
        "automargin": True,
        "yref": "container",
        "y": 0.97,
        "yanchor": "top",
    },
    margin={"l": 70, "r": 30, "t": 70, "b": 85},
    legend={"orientation": "h", "yref": "container", "y": 0.0, "yanchor": "bottom", "x": 0.0},
    hoverlabel={"namelength": -1},
)


def figure(
    title: str,
    *,
    x_title: str = "",
    y_title: str = "",
    height_px: int = 420,
    drawn: go.Figure | None = None,
) -> go.Figure:
    """Return ``drawn``, else an empty figure, in the house style.

    Parameters
    ----------
    title
        States the finding.
    x_title, y_title
        Name the units.
    """
    fig = go.Figure() if drawn is None else drawn
    fig.update_layout(template=TEMPLATE, title_text=title, height=height_px, legend_title_text="")
    fig.update_xaxes(title_text=x_title)
    return fig.update_yaxes(title_text=y_title)


def with_marks(title: str) -> str:
    """Return the title of a figure as HTML: b, i, sub, sup, br stay marks, all else is text."""
    return re.sub(r"&lt;(/?(?:b|i|sub|sup|br))\s*/?&gt;", r"<\1>", html.escape(title))


def nothing(finding: str) -> go.Figure:
    """Return a strip that states why there is nothing to draw, instead of an empty panel."""
    return figure(finding, height_px=90).update_xaxes(visible=False).update_yaxes(visible=False)


def label_ends(fig: go.Figure, texts: dict[str, str], *, margin_px: int) -> go.Figure:
    """Return ``fig`` with its lines named by ``texts`` at their ends, instead of a legend."""
    scale = np.log10 if fig.layout.yaxis.type == "log" else np.asarray
    lines = sorted(((scale(line.y), line) for line in fig.data), key=lambda pair: pair[0][-1])
    apart = 0.055 * np.ptp(np.concatenate([heights for heights, _ in lines]))
    height = float("-inf")
    for heights, line in lines:
        height = max(heights[-1], height + apart)
        fig.add_annotation(
            x=pd.Timestamp(line.x[-1]),
            y=height,
            text=texts[line.name],
            font_color=line.line.color,
            xanchor="left",
            xshift=8,
            showarrow=False,
        )
    return fig.update_layout(showlegend=False, margin_r=margin_px)


def add_band(
    fig: go.Figure, low: pd.Series, high: pd.Series, *, name: str, opacity: float, **place: Any
) -> None:
    """Draw the band between two lines over one index.

    ``place`` is where in a grid, and what else a trace takes.
    """
    fig.add_scatter(
        x=[*low.index, *low.index[::-1]],
        y=[*low, *high[::-1]],
        fill="toself",
        mode="none",
        name=name,
        fillcolor=f"rgba(0,114,178,{opacity})",
        hoverinfo="skip",
        **place,
    )
