"""The panels of ``cloudarb risk backtest`` are those of the pages."""

import numpy as np
import pytest

from cloudarb_lib.base.units import parse_as_of
from cloudarb_lib.market import read_market
from cloudarb_lib.risk import tested_plans
from cloudarb_lib.store import open_snapshot
from pipelines.cli import risk_backtest

pytestmark = [pytest.mark.slow, pytest.mark.members]


def test_the_command_tests_what_a_page_of_all_providers_tests():
    of_command = risk_backtest.panels("", None, None)
    with open_snapshot() as snapshot:
        market = read_market(
            snapshot,
            parse_as_of("2026-04-29"),
            providers=["gcp", "azure", "aws"],
            stale_after_days={"*": 14.0},
        ).with_stale()
    for how, ours in zip(risk_backtest.PANELS, of_command, strict=True):
        page = market.panel("7D", how=how)
        ours, page = (p.select(tested_plans.tested_offers(p)) for p in (ours, page))
        assert ours.offers.index.equals(page.offers.index)
        assert ours.times.equals(page.times)
        assert np.array_equal(ours.price, page.price, equal_nan=True)
        models = set(ours.offers["gpu_model"])
        assert "H100" in models
