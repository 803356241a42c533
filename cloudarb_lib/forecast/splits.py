"""The one place where folds are made: what may be used at an origin, and what is purged.

A position is the index of a panel cell; an origin at ``o`` knows cells 0 to ``o``. What is seen at
``o`` about ``h`` steps ahead is known from ``o + h`` on: a fit at ``f`` trains on ``o + h <= f``
only.
"""

from __future__ import annotations

import numpy as np

from cloudarb_lib.base.errors import ParameterError


def outcome_known(origins: np.ndarray, horizon: int, *, at: int) -> np.ndarray:
    """Return the mask of the origins whose outcome ``horizon`` steps on is known at ``at``."""
    return np.asarray(origins) + horizon <= at


def refit_blocks(origins: np.ndarray, *, refit_every: int) -> list[np.ndarray]:
    """Return increasing ``origins`` in blocks: a model fitted at the first of one serves all.

    Raises
    ------
    ParameterError
        Where the origins do not increase, or ``refit_every`` (cells) is not positive.
    """
    origins = np.asarray(origins)
    if refit_every < 1 or (np.diff(origins) <= 0).any():
        raise ParameterError(
            f"refit_every is {refit_every}, origins {origins}: both must go forward."
        )
    block = (origins - origins[:1]) // refit_every
    return [origins[block == number] for number in np.unique(block)]


def spaced(cells: int, *, first: int, horizons: list[int], origins: int) -> dict[int, np.ndarray]:
    """Return for each horizon up to ``origins`` positions to forecast from.

    Evenly from ``first`` to the last whose outcome lies inside ``cells``.

    Raises
    ------
    ParameterError
        Where there is no such position.
    """
    if not horizons or min(horizons) < 1 or max(horizons) >= cells - first or first < 1:
        raise ParameterError(
            f"horizons {horizons} do not fit {cells} cells scored from number {first} on.",
            "Use shorter horizons, a longer span or a longer record.",
        )
    if origins < 1:
        raise ParameterError(f"origins is {origins}.", "Score at least one origin.")
    ends = {h: np.linspace(first, cells - 1 - h, origins) for h in horizons}
    return {h: np.unique(at.round().astype(int)) for h, at in ends.items()}
