"""Every figure: functions that return a plotly Figure, never show it and never save it."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
import plotly.io as pio

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#6B6B6B", "#B8A800")
"""Okabe and Ito (2008), Color Universal Design: told apart with any common colour blindness.
Yellow is darkened and black is grey, so that lines stay legible on white."""

_template = go.layout.Template(pio.templates["plotly_white"])
_template.layout.update(
    colorway=list(COLOURS),
    font={"family": "Inter, Helvetica, Arial, sans-serif", "size": 13, "color": "#222"},
    title={"x": 0.0, "font_size": 17, "automargin": True, "yref": "container", "y": 0.97, "yanchor": "top"},
    margin={"l": 70, "r": 30, "t": 70, "b": 85},
    legend={"orientation": "h", "yref": "container", "y": 0.0, "yanchor": "bottom", "x": 0.0},
    hoverlabel={"namelength": -1},
)
px.defaults.template = _template


def figure(
    title: str, *, x_title: str = "", y_title: str = "", height_px: int = 420, drawn: go.Figure | None = None
) -> go.Figure:
    """Return ``drawn`` (else an empty figure) in the house style; ``title`` states the finding, axes the units."""
    fig = go.Figure() if drawn is None else drawn
    fig.update_layout(template=_template, title_text=title, height=height_px, legend_title_text="")
    fig.update_xaxes(title_text=x_title)
    return fig.update_yaxes(title_text=y_title)


def nothing(finding: str) -> go.Figure:
    """Return a strip that states why there is nothing to draw, instead of an empty panel."""
    return figure(finding, height_px=90).update_xaxes(visible=False).update_yaxes(visible=False)


def label_ends(fig: go.Figure, labels: Iterable[tuple[pd.Timestamp, float, str, str]], *, gap: float) -> None:
    """Name lines at their ends, where no legend has to be matched by colour.

    ``labels`` are (time, height on the axis, text, colour); those closer than ``gap`` are pushed apart.
    """
    height = float("-inf")
    for time, end, text, colour in sorted(labels, key=lambda label: label[1]):
        height = max(end, height + gap)
        fig.add_annotation(
            x=time, y=height, text=text, xanchor="left", xshift=8, showarrow=False, font={"color": colour}
        )
    fig.update_layout(showlegend=False)
