"""Joint sample paths: what all series did together in the past, in blocks, newest most often.

A world is a sequence of past cells (stationary bootstrap: Politis and Romano, 1994); all series
take their steps from the same cells, so shared shocks stay shared and "unchanged" stays exactly
unchanged. Part of the blocks take the steps of a neighbour in the group, since what has not yet
happened to one machine has happened to another of its kind.
"""

from __future__ import annotations

import numpy as np

from cloudarb_lib.features import steps

BLOCK_CELLS = 6
"""Mean length of a block: about one review cycle of weekly prices (42 days in 2025)."""
HALF_LIFE_CELLS = 26.0
OWN_SHARE = 0.5
"""Share of blocks in which a series repeats its own past, not a neighbour's."""


def known_steps(log_price: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return steps (times, series), those not known taken from a neighbour of the group."""
    out = steps(log_price)
    seen = np.isfinite(log_price)
    seen[1:] &= seen[:-1].copy()
    for group in np.unique(groups):
        block = np.flatnonzero(groups == group)
        for cell in np.flatnonzero(~seen[:, block].all(axis=1)):
            have = block[seen[cell, block]]
            if len(have):
                lack = block[~seen[cell, block]]
                out[cell, lack] = out[cell, have[np.arange(len(lack)) % len(have)]]
    return out


def draw_cells(at: int, *, n_paths: int, horizon: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return past cells (paths, steps) up to ``at``, and the neighbour offset of each (0: own).

    Cell 0, which holds no step, where there is no past.
    """
    rng = np.random.default_rng([seed, at])
    if at < 1:
        return np.zeros((n_paths, horizon), int), np.zeros((n_paths, horizon), int)
    pool = np.arange(1, at + 1)
    weight = 0.5 ** ((at - pool) / HALF_LIFE_CELLS)
    start = rng.choice(pool, (n_paths, horizon), p=weight / weight.sum())
    offset = rng.integers(1, 1 << 20, (n_paths, horizon))
    offset = np.where(rng.random((n_paths, horizon)) < OWN_SHARE, 0, offset)
    fresh = rng.random((n_paths, horizon)) < 1.0 / BLOCK_CELLS
    cells, shift = start.copy(), offset.copy()
    for step in range(1, horizon):
        go_on = ~fresh[:, step] & (cells[:, step - 1] < at)
        cells[:, step] = np.where(go_on, cells[:, step - 1] + 1, start[:, step])
        shift[:, step] = np.where(go_on, shift[:, step - 1], offset[:, step])
    return cells, shift


def draw_worlds(
    step: np.ndarray,
    groups: np.ndarray,
    cells: np.ndarray,
    shift: np.ndarray,
    *,
    only: np.ndarray | None = None,
) -> np.ndarray:
    """Return log changes (series, paths, steps ahead) that the drawn cells give.

    ``only`` picks series, all by default; what a series does is the same whichever are picked.
    """
    only = np.arange(step.shape[1]) if only is None else only
    out = np.empty((len(only), *cells.shape))
    for row, series in enumerate(only):
        block = np.flatnonzero(groups == groups[series])
        place = int(np.searchsorted(block, series))
        out[row] = step[cells, block[(place + shift) % len(block)]]
    return np.cumsum(out, axis=2, out=out)


def recentre(worlds: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Return worlds whose changed part is moved so that the median lies at ``point``.

    ``worlds`` (series, paths, steps), ``point`` (series, steps). Unchanged stays unchanged.
    """
    shift = point - np.median(worlds, axis=1)
    return np.where(worlds == 0, 0.0, worlds + shift[:, None, :])
