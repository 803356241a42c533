"""Clips of a market's forecasts, let go twice as far: benchmarks.clips."""

import numpy as np
import pytest

from benchmarks import clips
from cloudarb_lib.forecast import conformal


@pytest.mark.parametrize("clip", list(clips.CLIPS))
def test_a_clip_is_twice_as_far_for_a_while(clip):
    module, name = clips.CLIPS[clip]
    before = getattr(module, name)
    with clips.doubled(clip):
        assert np.max(getattr(module, name)) == 2 * np.max(before)
    assert getattr(module, name) is before


def test_a_longer_grid_tells_the_same_widths_apart_and_more():
    with clips.doubled("grid"):
        twice = conformal.NATS
    np.testing.assert_allclose(twice[: len(conformal.NATS)], conformal.NATS)
    assert len(twice) == 2 * len(conformal.NATS) - 1
