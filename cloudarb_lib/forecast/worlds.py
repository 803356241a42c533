"""Joint sample paths, and their calibration.

A world is a sequence of past cells (stationary bootstrap: Politis and Romano, 1994), the newest most
often. All series take their steps from the same cells, so shocks stay shared and "unchanged" exactly so.

Calibration is split conformal: where the truth fell among past worlds (randomised where they tie), or how far
beyond them, tells how wide a central part covers as much as it says (Chernozhukov, Wuethrich and Zhu, 2021).
"""

from __future__ import annotations

import warnings

import numpy as np

from cloudarb_lib.forecast.features import CAP_LOG, STEP_LOG, last_step

BLOCK_CELLS = 6  # mean length of a block: about one review cycle of weekly prices (42 days in 2025)
HALF_LIFE_CELLS = (
    26.0  # age (paces) at which a market's cell, and an outcome in calibration, counts half
)
HALF_LIFE_REVIEWS = (
    3.0  # the same for the past cells of a list, counted in reviews: they are its clock
)
TREND_SHARE = 0.75
"""Share of worlds of a list in which all steps of a series go one way: prices are moved to their targets in several
reviews, and whether a trend goes on or turns is not known."""
OWN_SHARE = 0.5
"""Share of blocks in which a series repeats its own past, not that of another of its group: what has not
yet happened to one machine has happened to another of its kind. Market prices, seen by the hour, have enough
of a past of their own, and calm ones stand beside wild ones."""
LONG_STEPS = 2
"""Steps ahead up to which a list's own outcomes come in time to judge forecasts and widths by."""
NATS = np.linspace(0.0, 10.0, 51)
"""Widths of the central part of a distribution that are told apart, by the share p outside, as -log p: 1.6 holds 80 %,
3.0 95 %. Where tails fall exponentially, lengths are in proportion to it, also beyond the last world."""
CALMEST = 0.02
"""Least share of its usual size to which a market's next step shrinks."""
LEVELS = (0.8, 0.95)  # intervals that adapt to what they missed
TIE = 1e-13  # log change by which a path counts as higher than the one before it: ties keep their order
GAIN, MOST_SHIFT = 0.064, 1.5
PRIOR_WINDOWS, PRIOR_WIDTH = 4.0, 1.5
"""What the simulation is trusted like at first, in outcomes that share no time, and how much too narrow it is taken to
be: the finite-sample correction of split conformal, for outcomes that overlap."""


def known_steps(step: np.ndarray, log_price: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return ``step`` (times, series), those not known taken from a neighbour of the group."""
    seen = np.isfinite(log_price)
    if seen.all():
        return step
    out = step.copy()
    seen[1:] &= seen[:-1].copy()
    for group in np.unique(groups):
        block = np.flatnonzero(groups == group)
        for cell in np.flatnonzero(~seen[:, block].all(axis=1) & seen[:, block].any(axis=1)):
            have, lack = block[seen[cell, block]], block[~seen[cell, block]]
            out[cell, lack] = out[cell, have[np.arange(len(lack)) % len(have)]]
    return out


def draw_cells(
    at: int,
    *,
    n_paths: int,
    horizon: int,
    seed: int,
    pace: int = 1,
    reviews: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return past cells (paths, steps) up to ``at``, the neighbour offset of each (0: own), and its scale.

    Cell 0, which holds no step, where there is no past. ``reviews``: how many a list has had by each cell, and
    how many since an alarm that prices move more than they used to, inf without one. Their size is then known from
    the last n reviews, that of the alarm included: moves more than ``LONG_STEPS`` ahead have in each world a
    scale of its own, so that a normal move becomes Student's t with n degrees of freedom.
    """
    rng, shape = np.random.default_rng([seed, at]), (n_paths, horizon)
    scale = np.ones(shape)
    if at < 1:
        return np.zeros(shape, int), np.zeros(shape, int), scale
    pool = np.arange(1, at + 1)
    age = (at - pool) / HALF_LIFE_CELLS / pace
    if reviews is not None:
        count, freedom = reviews[0], reviews[1][at] + 1
        age = (count[at] - count[pool]) / HALF_LIFE_REVIEWS
        if np.isfinite(freedom):
            unsure = np.random.default_rng([seed, at, 1]).chisquare(freedom, (n_paths, 1))
            scale[:, LONG_STEPS:] = np.sqrt(freedom / unsure)
    weight = 0.5**age
    cells = rng.choice(pool, shape, p=weight / weight.sum())
    own = OWN_SHARE if pace == 1 else 1.0
    shift = np.where(rng.random(shape) < own, 0, rng.integers(1, 1 << 20, shape))
    fresh = rng.random(shape) < 1.0 / (BLOCK_CELLS * pace)
    for step in range(1, horizon):
        go_on = ~fresh[:, step] & (cells[:, step - 1] < at)
        cells[:, step] = np.where(go_on, cells[:, step - 1] + 1, cells[:, step])
        shift[:, step] = np.where(go_on, shift[:, step - 1], shift[:, step])
    return cells, shift, scale


def draw_ways(
    step: np.ndarray, groups: np.ndarray, only: np.ndarray, *, n_paths: int, seed: int
) -> np.ndarray:
    """Return (series, paths): which way all steps of a series ``only`` go, 1 or -1; 0 where each goes its own.

    That of its last step of ``step`` (cells so far, series), or the other, alike for all of its group.
    """
    rng = np.random.default_rng([seed, len(step)])
    trends = rng.random(n_paths) < TREND_SHARE
    go_on = rng.choice([-1.0, 1.0], (groups.max() + 1, n_paths))[groups[only]]
    last = np.nan_to_num(np.sign(last_step(step[:, only], since=len(step) - 1)[0][0]), nan=1.0)
    return np.where(trends, go_on * last[:, None], 0.0)


def draw_worlds(
    step: np.ndarray,
    groups: np.ndarray,
    only: np.ndarray,
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray],
    ways: np.ndarray | None = None,
    ahead: np.ndarray | slice = slice(None),
) -> np.ndarray:
    """Return the log changes (series, paths, steps) that drawn cells give the series ``only``, their steps
    going the ``ways`` of ``draw_ways``, if any: one that is turned about is no larger than a review's cap;
    of all steps or those at the positions ``ahead``."""
    cells, shift, scale = drawn
    order = np.argsort(groups, kind="stable")  # the series of a group side by side
    first = np.searchsorted(groups[order], groups[only])
    place, many = np.argsort(order)[only] - first, np.bincount(groups)[groups[only]]
    wanted = np.arange(cells.shape[1])[ahead]
    total, own = np.zeros((len(cells), len(only))), not shift.any()
    if own and not np.array_equal(only, np.arange(step.shape[1])):
        step = step[:, only]
    out = np.empty(
        (len(only), len(wanted), len(cells))
    )  # paths side by side, since they are sorted later
    for k in range(wanted.max(initial=-1) + 1):
        if own:
            change = step[cells[:, k]]
        else:
            series = order[first + (place + shift[:, k, None]) % many]
            change = step.take(cells[:, k, None] * step.shape[1] + series)
        if ways is not None:
            way = ways.T
            turned = (
                np.sign(change) * way < 0
            )  # a price cut to a third shows no rise to three times
            size = np.where(turned, np.minimum(np.abs(change), CAP_LOG), np.abs(change))
            change = np.where(way != 0, size * way, change)
        change *= scale[:, k, None]
        total += change
        out[:, wanted == k] = total.T[:, None]
    return out.transpose(0, 2, 1)


def calm(step: np.ndarray, *, pace: int, horizon: int) -> np.ndarray:
    """Return (series, steps ahead): by how much the moves drawn from a market's past shrink in a calm hour.

    The mean size of the newest steps (cells, series) over that of all, 1 at most; what is calm now is no
    longer so a day later: the factor returns to 1 by half every half day.
    """
    size = np.abs(step)
    ratio = size[-max(pace // 4, 1) :].mean(axis=0) / np.maximum(size.mean(axis=0), 1e-12)
    ratio = np.clip(ratio, CALMEST, 1.0)
    return ratio[:, None] ** 0.5 ** (np.arange(horizon) / (pace / 2))


def median(worlds: np.ndarray) -> np.ndarray:
    """Return the median over paths (series, steps) of ``worlds``: a sort is many times as fast as ``np.median``."""
    n, ranked = worlds.shape[1], np.sort(worlds, axis=1)
    return (ranked[:, (n - 1) // 2] + ranked[:, n // 2]) / 2


def recentre(worlds: np.ndarray, point: np.ndarray, *, lists: bool = True) -> np.ndarray:
    """Return worlds whose changed part is moved so that the median lies at ``point`` (series, steps).

    Where ``point`` is a step, its median comes there, and so many of the unchanged worlds as the median of all
    needs: the first ones, the same in every series, so that what moves together still does. Without ``lists``
    only where most worlds are unchanged: else a market's stay so, and hold the median back a little.
    """
    still = worlds == 0
    middle, n = median(worlds), worlds.shape[1]
    moved = n - still.sum(axis=1)
    stepped = ((2 * moved <= n) | (lists & (moved < n))) & (np.abs(point) >= STEP_LOG)
    some = np.nonzero(stepped)
    changed = np.where(still.transpose(0, 2, 1)[some], np.nan, worlds.transpose(0, 2, 1)[some])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # no world changed
        middle[some] = np.nan_to_num(np.nanmedian(changed, axis=1))
    shift = point - middle
    need = np.where(stepped, (n - moved) // 2 + 1, 0)
    takes = still & (np.cumsum(still, axis=1) <= need[:, None])
    return np.where(takes, point[:, None], np.where(still, 0.0, worlds + shift[:, None]))


def transform(worlds: np.ndarray, truth: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Return where ``truth`` (series, steps) lies among its worlds, 0 to 1; NaN where it is NaN.

    Ties are broken at random (Czado, Gneiting and Held, 2009).
    """
    below = (worlds < truth[:, None]).sum(axis=1)
    tied = (worlds == truth[:, None]).sum(axis=1)
    u = (below + rng.random(truth.shape) * (tied + 1)) / (worlds.shape[1] + 1)
    return np.where(np.isfinite(truth), u, np.nan)


def needed_width(worlds: np.ndarray, truth: np.ndarray, *, rng: np.random.Generator) -> np.ndarray:
    """Return the width, as of ``NATS``, of the central part of its worlds (series, paths, steps) that just holds
    ``truth`` (series, steps); NaN where it is NaN.

    That of a truth beyond all worlds is longer than theirs by as much as it lies further from the median.
    """
    middle, most = median(worlds), np.log(worlds.shape[1])
    end = np.where(truth > middle, worlds.max(axis=1), worlds.min(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        beyond = (truth - middle) / (end - middle)
        inside = -np.log1p(-np.abs(2 * transform(worlds, truth, rng=rng) - 1))
    return np.where(beyond > 1, most * beyond, np.minimum(inside, most))


def count_widths(needed: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return (origins, groups, steps, bins between ``NATS``): outcomes by the width that just holds them.

    ``needed`` (origins, series, steps) as from ``needed_width``.
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
    """Return (groups, steps, ``NATS``): the simulated width that covers what each of ``NATS`` says.

    ``weight`` (origins, steps) what outcomes count, ``own`` the share of its time that is an outcome's own: by it
    they are counted as windows, to which come ``PRIOR_WINDOWS`` in which the width needed is ``PRIOR_WIDTH`` times
    the simulated.
    """
    mass = np.einsum("oghb,oh->ghb", counts, weight)
    total = mass.sum(axis=2)
    windows = np.einsum("ogh,oh->gh", counts.any(axis=3).astype(float), weight * own)
    prior = PRIOR_WINDOWS * np.where(total > 0, total / np.maximum(windows, 1e-12), 1.0)[..., None]
    covered = np.cumsum(mass, axis=2) - prior * np.expm1(-NATS[1:] / PRIOR_WIDTH)
    covered /= total[..., None] + prior
    out = np.empty((*total.shape, len(NATS)))
    for group, h in np.ndindex(*total.shape):
        out[group, h] = np.interp(-np.expm1(-NATS), [0.0, *covered[group, h]], NATS)
    return out


def between(values: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Return ``values`` (..., ``NATS``) at ``width`` (...), between neighbours in proportion."""
    place = np.minimum(width / NATS[1], len(NATS) - 1 - 1e-9)
    left = place.astype(int)
    low, high = (np.take_along_axis(values, left[..., None] + k, axis=-1)[..., 0] for k in (0, 1))
    return low + (place - left) * (high - low)


def adapt(maps: np.ndarray, counts: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return ``maps`` (origins, groups, steps, ``NATS``) as they stood at each origin, widened by what was missed.

    Adaptive conformal inference (Gibbs and Candes, NeurIPS 2021), of the logarithm of the width: after an outcome
    it grows by ``GAIN`` times the share outside the interval of its own time, less the nominal share p, over p
    log 1/p, which a change of the width moves it by; for both ``LEVELS``, and between them in proportion. An outcome
    counts by the share of its time that is its own. ``counts`` as from ``count_widths``, ``weight`` (origins,
    origins, steps) what the outcome of the second counts at the first.
    """
    seen, outside = counts.sum(axis=3), 1.0 - np.array(LEVELS)
    below = np.concatenate([np.zeros((*seen.shape, 1)), np.cumsum(counts, axis=3)], axis=3)
    nominal = -np.log(outside)
    far = np.clip((NATS - nominal[0]) / (nominal[1] - nominal[0]), 0.0, 1.0)
    miss, out = np.zeros((2, *seen.shape)), np.empty_like(maps)
    for i in range(len(maps)):
        shift = (
            GAIN * np.einsum("oh,logh->lgh", weight[i], miss) / (outside * nominal)[:, None, None]
        )
        near, wide = np.clip(shift, -MOST_SHIFT, MOST_SHIFT)[..., None]
        out[i] = np.maximum.accumulate(maps[i] * np.exp(near + far * (wide - near)), axis=2)
        for level in range(2):
            width = between(out[i], np.full(seen[i].shape, nominal[level]))
            missed = 1 - between(below[i], width) / np.maximum(seen[i], 1e-12)
            miss[level, i] = np.where(seen[i] > 0, missed - outside[level], 0.0)
    return out


def calibrate(worlds: np.ndarray, maps: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return ``worlds`` (series, paths, steps) with each path moved to its calibrated level, or beyond.

    The order of the paths stays, so their dependence across series and steps does, and the median, and what is
    unchanged.
    """
    worlds = worlds.transpose(0, 2, 1)  # paths side by side
    n = worlds.shape[2]
    level = (2 * np.arange(n) + 1) / n - 1
    width = between(maps[:, :, None], -np.log1p(-np.abs(level))[None, None])  # (groups, steps, n)
    to = -np.sign(level) * np.expm1(-width)
    pick = np.clip(((1 + to) / 2 * n).astype(int), 0, n - 1)[groups]
    beyond = np.maximum(width / np.log(n) - 1, 0.0)[groups]
    order = np.argsort(
        worlds + TIE * np.arange(n), axis=2
    )  # a stable sort takes four times as long
    ranked = np.take_along_axis(worlds, order, axis=2)
    middle = (ranked[:, :, [(n - 1) // 2]] + ranked[:, :, [n // 2]]) / 2
    value = np.take_along_axis(ranked, pick, axis=2)
    value += np.where(value == 0, 0.0, (value - middle) * beyond)
    out = np.empty_like(worlds)
    np.put_along_axis(out, order, value, axis=2)
    return out.transpose(0, 2, 1)
