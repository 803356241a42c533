"""How often offers move together, by a slow loop."""

import numpy as np
import pytest

from benchmarks.joint_moves import OTHER, RECORD, SAME, pair_counts, together
from cloudarb_lib.forecast.features import STEP_LOG
from cloudarb_lib.forecast.targets import Targets
from cloudarb_lib.testing import a_panel, stepping


def test_pairs_are_counted_as_a_slow_loop_counts_them():
    rng = np.random.default_rng(0)
    change = rng.choice([-0.1, 0.0, 0.003, 0.1, np.nan], (4, 200))
    got = pair_counts(change)
    for a in range(4):
        for b in range(4):
            known = np.isfinite(change[a]) & np.isfinite(change[b])
            x = change[a][known]
            y = change[b][known]
            moved = (np.abs(x) >= STEP_LOG, np.abs(y) >= STEP_LOG)
            assert got["either"][a, b] == (moved[0] | moved[1]).sum()
            assert got["both"][a, b] == (moved[0] & moved[1]).sum()
            assert got["one way"][a, b] == (moved[0] & moved[1] & (x * y > 0)).sum()


def test_offers_of_one_region_that_move_as_one_are_told_from_paths_that_part_ways():
    price = stepping(times=60, series=2)
    panel = a_panel(np.repeat(price, 2, axis=1))
    panel.offers["region"] = ["r0", "r0", "r1", "r1"]
    targets = Targets.of(panel, {4: np.arange(20, 56)})
    rng = np.random.default_rng(0)

    def alone(position):
        return rng.choice([-0.1, 0.0, 0.1], (4, 50, 1))

    shares = together({RECORD: alone, "alone": alone}, targets, np.arange(4))
    assert shares[RECORD, SAME, 4] == {"together": 1.0, "one way": 1.0}
    assert shares["alone", SAME, 4]["together"] == pytest.approx(0.5, abs=0.05)
    assert shares["alone", OTHER, 4]["one way"] == pytest.approx(0.5, abs=0.05)
