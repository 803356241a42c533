"""Split conformal calibration of sample paths, per group and step ahead.

Past worlds are compared with what came: where the truth fell among them (the randomised
probability integral transform, so that an atom at "unchanged" is no trouble) tells how wide a
central part of the simulated distribution really covers as much (distributional conformal prediction:
Chernozhukov, Wuethrich and Zhu, 2021).
"""

from __future__ import annotations

import numpy as np

BINS = 50
"""Widths of the central part that are told apart: 2 % each."""
HALF_LIFE_STEPS = 26.0
PRIOR_ORIGINS = 10.0
"""Origins that a simulation is trusted like before any outcome is known: the outcomes of one
origin are hardly independent, so a few of them must not bend the map."""


def transform(worlds: np.ndarray, truth: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Return where ``truth`` (series, steps) lies among ``worlds`` (series, paths, steps), 0 to 1.

    Ties are broken at random, as Czado, Gneiting and Held (2009) do; NaN where truth is NaN.
    """
    below = (worlds < truth[:, None]).sum(axis=1)
    tied = (worlds == truth[:, None]).sum(axis=1)
    u = (below + rng.random(truth.shape) * (tied + 1)) / (worlds.shape[1] + 1)
    return np.where(np.isfinite(truth), u, np.nan)


def count_widths(pits: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return (origins, groups + 1, steps, BINS): outcomes by the central width that holds them.

    ``pits`` (origins, series, steps); the last group is all series.
    """
    seen = np.isfinite(pits)
    width = np.abs(2 * np.where(seen, pits, 0) - 1)
    bins = np.minimum((width * BINS).astype(int), BINS - 1)
    hits = (bins[..., None] == np.arange(BINS)) & seen[..., None]
    member = (groups[:, None] == np.arange(groups.max() + 1)).astype(np.float32)
    member = np.column_stack([member, np.ones(len(groups), np.float32)])
    return np.einsum("oshb,sg->oghb", hits.astype(np.float32), member, optimize=True)


def width_maps(counts: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return (groups + 1, steps, BINS + 1): the simulated central width whose true coverage is
    0, 1/BINS, ..., 1.

    ``counts`` as from ``count_widths``, ``weight`` (origins, steps). Of every origin's outcomes
    one counts as outside all worlds: the finite-sample correction of split conformal.
    """
    mass = np.einsum("oghb,oh->ghb", counts, weight)
    per_origin = counts.sum(axis=3)
    total = mass.sum(axis=2, keepdims=True)
    origins = np.einsum("ogh,oh->gh", (per_origin > 0).astype(float), weight)[..., None]
    one = np.where(total > 0, total / np.maximum(origins, 1e-12), 1.0)
    prior = one * PRIOR_ORIGINS
    outside = np.where(total > 0, origins, 0.0)
    covered = (np.cumsum(mass, axis=2) + prior * np.arange(1, BINS + 1) / BINS) / (total + prior + outside)
    knots = np.linspace(0, 1, BINS + 1)
    out = np.empty((*covered.shape[:2], BINS + 1))
    for group, h in np.ndindex(*covered.shape[:2]):
        have = np.concatenate([[0.0], covered[group, h, :-1], [1.0]])
        out[group, h] = np.interp(knots, have, knots)
    return out


def calibrate(worlds: np.ndarray, maps: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return ``worlds`` (series, paths, steps) with each path moved to its calibrated level.

    The order of the paths stays, so their dependence across series and steps does, and so does
    the median.
    """
    n = worlds.shape[1]
    order = np.argsort(worlds, axis=1, kind="stable")
    ranked = np.take_along_axis(worlds, order, axis=1)
    level = (np.arange(n) + 0.5) / n
    side, width = np.sign(level - 0.5), np.abs(2 * level - 1)
    knots = np.linspace(0, 1, BINS + 1)
    out = np.empty_like(worlds)
    for group in np.unique(groups):
        mine = np.flatnonzero(groups == group)
        for h in range(worlds.shape[2]):
            to = 0.5 + 0.5 * side * np.interp(width, knots, maps[group, h])
            pick = np.clip((to * n).astype(int), 0, n - 1)
            column = np.empty((len(mine), n))
            np.put_along_axis(column, order[mine, :, h], ranked[mine][:, pick, h], axis=1)
            out[mine, :, h] = column
    return out
