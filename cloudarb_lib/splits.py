"""The one place where folds are made: what may be used at an origin, and what is purged.

A position is the index of a panel cell; an origin at position ``o`` knows cells 0 to ``o``. An
observation made at origin ``o`` about ``h`` steps ahead is known from ``o + h`` on, so a fit at
position ``f`` trains on rows with ``o + h <= f``: everything later is purged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cloudarb_lib.errors import ParameterError


@dataclass(frozen=True)
class Fold:
    """A model fitted with what is known at ``fit_at`` and used at ``origins``, all at or after."""

    fit_at: int
    origins: np.ndarray

    def __post_init__(self) -> None:
        if not len(self.origins) or int(self.origins.min()) < self.fit_at:
            raise ParameterError(f"a fold fitted at {self.fit_at} has an origin before it, or none.")


def known(origins: np.ndarray, horizon: int, *, at: int) -> np.ndarray:
    """Return the mask of the origins whose outcome ``horizon`` steps on is known at ``at``."""
    return np.asarray(origins) + horizon <= at


def walk(origins: np.ndarray, *, refit_every: int) -> list[Fold]:
    """Return folds over increasing ``origins``: each fitted at its first origin, then reused.

    >>> [(fold.fit_at, fold.origins.tolist()) for fold in walk(np.arange(5, 10), refit_every=2)]
    [(5, [5, 6]), (7, [7, 8]), (9, [9])]
    """
    origins = np.asarray(origins)
    if refit_every < 1 or (np.diff(origins) <= 0).any():
        raise ParameterError(f"refit_every is {refit_every}, origins {origins}: both must go forward.")
    group = (origins - origins[0]) // refit_every if len(origins) else origins
    return [Fold(int(part.min()), part) for part in (origins[group == g] for g in np.unique(group))]
