"""Figures of risk say what they show."""

import numpy as np
import pandas as pd
import pytest

from cloudarb_lib import risk
from cloudarb_lib.testing import RISK_TIMES, cost_of, stressed


@pytest.mark.slow
def test_figures_say_what_they_show():
    from cloudarb_lib.plots import risk as figures

    cost = cost_of()
    fig = figures.cost_distribution(cost, budget_usd=1e5)
    assert "budget" in fig.layout.title.text
    lines = {line.name: line.x0 for line in fig.layout.shapes}
    at = [cost.total.mean(), risk.var(cost.total).value, risk.cvar(cost.total).value, 1e5]
    assert list(lines.values()) == pytest.approx(at)
    assert list(lines)[3] == "budget $100,000"
    far = figures.cost_distribution(cost, budget_usd=1e9)
    assert [line.name.split(" $")[0] for line in far.layout.shapes][-1] == "expected + CVaR 95 %"
    assert "the budget, $1,000,000,000, lies far" in far.layout.xaxis.title.text
    by_region = risk.contributions(cost, "region")
    fig = figures.contribution_bars(by_region)
    assert fig.layout.title.text.startswith(by_region.index[0])
    assert sum(fig.data[1].x) == pytest.approx(1.0)
    table = stressed(*risk.load_scenarios()[:4], risk.StressScenario.of("none", availability=0.0))
    fig = figures.stress_bars(table.reset_index())
    assert fig.layout.title.text.startswith("Demand spike")
    assert list(fig.data[1].x) == sorted(fig.data[1].x)
    assert fig.layout.xaxis.tickformat == "$~s"  # -$500k, where a prefix would give $-500k
    fig = figures.contribution_bars(risk.contributions(cost_of(spread=0.0), "region"))
    assert "no risk" in fig.layout.title.text
    fig = figures.correlation_map(
        np.eye(3), np.eye(3)[[0, 2, 1]], pd.Index(["gcp us", "gcp eu", "aws us"]), "DCC"
    )
    assert fig.layout.title.text.startswith("gcp eu and aws us changed most: from +0.00 to +1.00")
    windows = pd.DataFrame(
        {
            "origin_utc": RISK_TIMES,
            "plan": "all",
            "model": "forecast",
            "expected_usd": 10.0,
            "var_usd": 1.0,
            "cvar_usd": 2.0,
            "loss_usd": [0.0, 1.5, -1.0, 0.5],
            "exceeded": [False, True, False, False],
        }
    )
    more = pd.concat([windows, windows.assign(model="normal")])
    fig = figures.exceedances(more, "all")
    assert fig.layout.title.text.startswith("All: 1 of 4 windows")
    shown = {trace.name: list(trace.y) for trace in fig.data}
    assert shown == {"inside": [0.0, -10.0, 5.0], "beyond": [15.0], "VaR 95 %": [10.0] * 4}
