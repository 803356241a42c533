"""Figures of the research notebook: what methods cost beside the product's own."""

from __future__ import annotations

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go

from cloudarb_lib.plots.style import TEMPLATE, figure, nothing


def costs(methods: pd.DataFrame) -> go.Figure:
    """Return the CPU seconds of each method and of the product's own way (table ``methods``)."""
    run = methods.dropna(subset=["its_cpu_s", "product_cpu_s"])
    if run.empty:
        return nothing("No method was run beside the product")
    shown = pd.DataFrame(
        {"tried": run["its_cpu_s"].to_numpy(), "product": run["product_cpu_s"].to_numpy()},
        index=run["method"].to_numpy(),
    )
    dearer = int((shown["tried"] > shown["product"]).sum())
    drawn = px.bar(shown, barmode="group", orientation="h", log_x=True, template=TEMPLATE)
    return figure(
        f"{dearer} of {len(shown)} methods take more CPU than the product's own way",
        x_title="CPU seconds",
        y_title="",
        drawn=drawn,
    )
