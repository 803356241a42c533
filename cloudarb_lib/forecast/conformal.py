"""Widths of intervals that have held what came: calibration of sample paths.

Split conformal: where the truth fell among past sample paths (randomised where they tie), or how
far beyond them, tells how wide a central part covers as much as it says; these widths adapt to what
they missed.

References
----------
Chernozhukov, Wuethrich and Zhu, PNAS 118, 2021. Gibbs and Candes, NeurIPS 2021. Czado, Gneiting and
Held, Biometrics 65, 2009.
"""

from __future__ import annotations

import numpy as np

from cloudarb_lib.forecast.sample_paths import median_over_paths

NATS = np.linspace(0.0, 20.0, 101)
"""Widths of a distribution's central part that are told apart: -log p of the share p outside.

1.6 holds 80 %, 3.0 95 %. Where tails fall exponentially, lengths are in proportion to it, also
beyond the last path.
"""
INTERVAL_LEVELS = (0.8, 0.95)
"""Intervals that adapt to what they missed."""
TIE = 1e-13
"""Log change by which a path counts as higher than the one before it: ties keep their order."""
GAIN = 0.064
MOST_SHIFT = 1.5  # of the logarithm of a width
PRIOR_WINDOWS = 1.0
"""What the simulation is trusted like at first, in outcomes that share no time."""


def randomised_pit(paths: np.ndarray, truth: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Return where the truth lies among its paths, 0 to 1; ties are broken at random.

    Parameters
    ----------
    paths : (series, paths, steps)
    truth : (series, steps)

    Returns
    -------
    (series, steps), NaN where the truth is.
    """
    below = (paths < truth[:, None]).sum(axis=1)
    tied = (paths == truth[:, None]).sum(axis=1)
    u = (below + rng.random(truth.shape) * (tied + 1)) / (paths.shape[1] + 1)
    return np.where(np.isfinite(truth), u, np.nan)


def nat_beyond(paths: np.ndarray, calm: np.ndarray) -> np.ndarray:
    """Return the log change (series, steps) that one of ``NATS`` is beyond the last path.

    What the spread of the paths holds of it in usual hours. A calm hour tells that the next move is
    small, not how large a spike is: in units of a spread that shrank, a spike of the record is
    hundreds of widths, and would be so in volatile hours too.

    Parameters
    ----------
    paths : (series, paths, steps)
    calm : (series, steps), as from ``calm_factor``.
    """
    half_spread = (paths.max(axis=1) - paths.min(axis=1)) / 2
    return half_spread / calm / np.log(paths.shape[1])


def needed_width(
    paths: np.ndarray, truth: np.ndarray, calm: np.ndarray, *, rng: np.random.Generator
) -> np.ndarray:
    """Return the width of the central part of the paths that just holds the truth, as of ``NATS``.

    That of a truth beyond all paths is longer than theirs by its distance from the last one, in
    units of ``nat_beyond``.

    Parameters
    ----------
    paths : (series, paths, steps)
    truth : (series, steps)
    calm : (series, steps), as from ``calm_factor``.

    Returns
    -------
    (series, steps), NaN where the truth is, and where no width would hold it: no path moves.
    """
    centre = median_over_paths(paths)
    most = np.log(paths.shape[1])
    highest = paths.max(axis=1)
    lowest = paths.min(axis=1)
    beyond = np.where(truth > centre, truth - highest, lowest - truth)
    with np.errstate(divide="ignore", invalid="ignore"):
        outside = most + beyond / nat_beyond(paths, calm)
        inside = -np.log1p(-np.abs(2 * randomised_pit(paths, truth, rng=rng) - 1))
    width = np.where(beyond > 0, outside, np.minimum(inside, most))
    return np.where(np.isfinite(width), width, np.nan)


def count_widths(needed: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return outcomes by the width that just holds them.

    Parameters
    ----------
    needed : (origins, series, steps), as from ``needed_width``.

    Returns
    -------
    (origins, groups, steps, bins between ``NATS``)
    """
    shape = (groups.max() + 1, needed.shape[2], len(NATS) - 1)
    out = np.empty((len(needed), *shape))
    for count, width in zip(out, needed, strict=True):
        series, step = np.nonzero(~np.isnan(width))
        bins = np.searchsorted(NATS[1:-1], width[series, step], side="right")
        index = np.ravel_multi_index((groups[series], step, bins), shape)
        count[:] = np.bincount(index, minlength=count.size).reshape(shape)
    return out


def width_maps(counts: np.ndarray, weight: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return the simulated width that covers what each of ``NATS`` says.

    Outcomes are counted as windows by the share of time that is their own; to them come
    ``PRIOR_WINDOWS`` in which the width needed is the simulated. Of outcomes in the last bin is
    known only that they lie beyond it: from there on the width runs on in parallel to ``NATS``, so
    that tails fall as fast as simulated ones.

    Parameters
    ----------
    counts : as from ``count_widths``.
    weight : (origins, steps), what outcomes count.
    own : (origins, steps), the share of its time that is an outcome's own.

    Returns
    -------
    (groups, steps, ``NATS``)
    """
    mass = np.einsum("oghb,oh->ghb", counts, weight)
    total = mass.sum(axis=2)
    windows = np.einsum("ogh,oh->gh", counts.any(axis=3).astype(float), weight * own)
    outcomes_per_window = np.where(total > 0, total / np.maximum(windows, 1e-12), 1.0)
    prior = PRIOR_WINDOWS * outcomes_per_window[..., None]
    told_apart = NATS[:-1]
    covered = np.cumsum(mass, axis=2)[..., :-1] - prior * np.expm1(-told_apart[1:])
    covered /= total[..., None] + prior
    reached = -np.log(np.maximum(1 - covered[..., -1:], np.finfo(float).tiny))
    beyond = told_apart[-1] + NATS - reached
    within = np.empty((*total.shape, len(NATS)))
    for group, h in np.ndindex(*total.shape):
        within[group, h] = np.interp(-np.expm1(-NATS), [0.0, *covered[group, h]], told_apart)
    return np.where(NATS > reached, beyond, within)


def at_width(values: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Return ``values`` (..., ``NATS``) at ``width`` (...), between neighbours in proportion."""
    place = np.minimum(width / NATS[1], len(NATS) - 1 - 1e-9)
    left = place.astype(int)
    low, high = (np.take_along_axis(values, left[..., None] + k, axis=-1)[..., 0] for k in (0, 1))
    return low + (place - left) * (high - low)


def adapt(maps: np.ndarray, counts: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return ``maps`` as they stood at each origin, widened by what was missed.

    Adaptive conformal inference, of the logarithm of the width: after an outcome it grows by
    ``GAIN`` times the share outside the interval of its own time, less the nominal share p, over p
    log 1/p, which a change of the width moves it by; for both ``INTERVAL_LEVELS``, and between them
    in proportion. An outcome counts by the share of its time that is its own.

    Parameters
    ----------
    maps : (origins, groups, steps, ``NATS``), as from ``width_maps``.
    counts : as from ``count_widths``.
    weight : (origins, origins, steps), what the outcome of the second counts at the first.
    """
    n_outcomes = counts.sum(axis=3)
    below = np.concatenate([np.zeros((*n_outcomes.shape, 1)), np.cumsum(counts, axis=3)], axis=3)
    outside = 1.0 - np.array(INTERVAL_LEVELS)
    nominal = -np.log(outside)
    far = np.clip((NATS - nominal[0]) / (nominal[1] - nominal[0]), 0.0, 1.0)
    scale = (outside * nominal)[:, None, None]
    miss = np.zeros((2, *n_outcomes.shape))
    out = np.empty_like(maps)
    for i in range(len(maps)):
        shift = GAIN * np.einsum("oh,logh->lgh", weight[i], miss) / scale
        near, wide = np.clip(shift, -MOST_SHIFT, MOST_SHIFT)[..., None]
        out[i] = np.maximum.accumulate(maps[i] * np.exp(near + far * (wide - near)), axis=2)
        for level in range(2):
            width = at_width(out[i], np.full(n_outcomes[i].shape, nominal[level]))
            missed = 1 - at_width(below[i], width) / np.maximum(n_outcomes[i], 1e-12)
            miss[level, i] = np.where(n_outcomes[i] > 0, missed - outside[level], 0.0)
    return out


def calibrate(
    paths: np.ndarray, maps: np.ndarray, groups: np.ndarray, calm: np.ndarray
) -> np.ndarray:
    """Return paths each of which is moved to its calibrated level, or beyond.

    The order of the paths stays, so their dependence across series and steps does, and the median,
    and what is unchanged.

    Parameters
    ----------
    paths : (series, paths, steps)
    maps : (groups, steps, ``NATS``)
    groups : (series,)
    calm : (series, steps), as from ``calm_factor``.
    """
    nat = nat_beyond(paths, calm)[..., None]
    paths = paths.transpose(0, 2, 1)  # paths side by side
    n = paths.shape[2]
    level = (2 * np.arange(n) + 1) / n - 1
    width = at_width(maps[:, :, None], -np.log1p(-np.abs(level))[None, None])  # (groups, steps, n)
    to_level = -np.sign(level) * np.expm1(-width)
    pick = np.clip(((1 + to_level) / 2 * n).astype(int), 0, n - 1)[groups]
    beyond = nat * (np.sign(level) * np.maximum(width - np.log(n), 0.0))[groups]
    # a stable sort takes four times as long
    order = np.argsort(paths + TIE * np.arange(n), axis=2)
    ranked = np.take_along_axis(paths, order, axis=2)
    value = np.take_along_axis(ranked, pick, axis=2)
    value += np.where(value == 0, 0.0, beyond)
    out = np.empty_like(paths)
    np.put_along_axis(out, order, value, axis=2)
    return out.transpose(0, 2, 1)
