"""Figures of the summary page."""

import pandas as pd
import pytest

from cloudarb_lib.plots import summary

FAN = pd.DataFrame(
    {
        "time_utc": pd.to_datetime(["2026-04-10", "2026-04-17"], utc=True),
        "p10_usd": [90.0, 180.0],
        "p50_usd": [100.0, 200.0],
        "p90_usd": [110.0, 220.0],
    }
)


@pytest.mark.parametrize(("budget_usd", "lines"), [(300.0, 1), (1e6, 0)])
def test_a_budget_is_drawn_where_it_does_not_press_the_cost_flat(budget_usd, lines):
    drawn = summary.budget_fan(FAN, budget_usd)
    assert len(drawn.layout.shapes) == lines
    assert "against a budget of $" in drawn.layout.title.text
