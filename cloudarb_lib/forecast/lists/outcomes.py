"""What the outcomes of past origins count where something is learned from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloudarb_lib.forecast.weights import discount_by_age, own_share

CALIBRATION_CELLS = 104
"""Cells before an origin from which is learned."""
HALF_LIFE_CELLS = 52.0
"""Age at which an outcome counts half."""
DOUBT_WINDOWS = 4.0
"""Outcomes that share no time, of usual size, which are taken to have shown nothing: that the clock
of the paths is right, and that no change follows their drift."""


@dataclass(frozen=True, eq=False)
class OutcomeWeights:
    """What the outcomes of past origins count at some cells.

    Attributes
    ----------
    count : (cells, origins, steps), 0 before an outcome is known.
    windows : (cells, steps), how many outcomes that share no time count.
    """

    count: np.ndarray
    windows: np.ndarray

    @classmethod
    def of(
        cls, origins: np.ndarray, steps: np.ndarray, heard: np.ndarray, at: np.ndarray
    ) -> OutcomeWeights:
        """Return what outcomes count.

        Parameters
        ----------
        origins : increasing cells.
        steps : cells ahead, increasing.
        heard : (origins, steps), whether any outcome is on record.
        at : the cells asked.
        """
        if not len(origins):
            return cls(np.zeros((len(at), 0, len(steps))), np.zeros((len(at), len(steps))))
        longest = int(steps[-1])
        by_age = discount_by_age(at, origins, longest, HALF_LIFE_CELLS)[steps - 1]
        is_recent = origins >= at[:, None] - CALIBRATION_CELLS
        count = (by_age * is_recent).transpose(1, 2, 0) * heard
        return cls(count, (count * own_share(origins, longest)[:, steps - 1]).sum(axis=1))
