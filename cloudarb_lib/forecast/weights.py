"""What members have been worth: the weights and gates that stood at each origin.

Weights go by inverse out-of-fold loss per group and step, the newest outcomes counting most (Bates and Granger, 1969).
A member that was not better than the last value is left out there.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from cloudarb_lib.forecast import worlds as w
from cloudarb_lib.forecast.drift import LEAST_REVIEWS, turns
from cloudarb_lib.forecast.features import CAP_LOG, RATE_CELLS, carry_forward, review_rate, steps
from cloudarb_lib.forecast.members import Task
from cloudarb_lib.forecast.meta import in_week_means

HALF_LIFE_STEPS = (
    13.0  # age (paces) at which an outcome counts half in the weights: a quarter, by weeks
)
MARKET_HALF_LIFE_DAYS = 7.0
"""The same for prices seen by the hour, or three times the steps ahead: outcomes that overlap teach one lesson."""
HALF_LIFE_REVIEWS = 2.0  # the same for what reviews showed: their direction turns within a few
FORGOTTEN_SHARE = 0.25  # what outcomes of a market before its last alarm still count
SHARES = (0.25, 0.5, 0.75, 1.0)
TEMPERATURE = 0.01  # in units of the loss ratio: 1 % better weighs e times as much
PRIOR_SHARE, PRIOR_HANDICAP = 0.2, 0.15
"""A member is taken to be 15 % worse than the last value until outcomes say otherwise; this belief weighs a
fifth of the outcomes that count."""
LEAST_SHARE = 0.001
"""A weight below it falls to the last value."""
MIN_OUTCOMES = 20  # outcomes before anything but the last value is believed
TREND, TURN_SHARE = "momentum_8", 0.5
"""After an alarm that prices move more than they used to, at most this share stays with the last value until the
next review judges; the rest follows the trend: nothing older tells which of the two goes on."""
META, META_HALF_LIFE_DAYS, META_LEAD = "meta_learner", 90.0, 0.03
"""The member that competes, on a market, with the weighted mean of the others; the half-life of its losses (or four
times the steps ahead), long since it has learned from all that was known; and how much worse it may have been: what
it learned from all series outweighs a few outcomes."""
NOT_LEADING = "not better than the other members together"
WORSE, NO_RECORD = "not better than last value", "no outcomes to judge it by"


def recent(
    at: np.ndarray, origins: np.ndarray, horizon: int, half_life: float | np.ndarray
) -> np.ndarray:
    """Return (steps ahead, at, origin): what the outcome of an origin counts at a cell, 0 before it is known;
    ``half_life`` in cells, one or of each step."""
    ahead = np.arange(1, horizon + 1)[:, None, None]
    age = at[:, None] - origins - ahead
    half_life = np.broadcast_to(half_life, horizon)[:, None, None]
    return np.where(age >= 0, 0.5 ** (np.maximum(age, 0) / half_life), 0.0)


def sums(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return (at, groups, steps): ``values`` (origins, groups, steps) summed as ``recent`` ``counts`` them."""
    return np.matmul(counts, values.transpose(2, 0, 1)).transpose(1, 2, 0)


def weigh(task: Task, members: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights and gates that stood at each origin of ``task``, as in ``ensemble.Walk``.

    Each member competes at a quarter, half, three quarters and all of the change it forecasts, by its
    discounted out-of-fold loss over that of the last value, in prices, and the standard error of their difference
    (what reviews say stands without); the rest of its weight falls to the last value. Weights go by
    exp(-ratio / ``TEMPERATURE``) (Vovk, 1990), half by the group, half by all. On a list that is reviewed, until the
    next review after an alarm, ``TREND`` takes what the last value has above ``TURN_SHARE``, from where a review is
    expected on. On a market the weighted mean of all so far competes with the meta-learner in the same way, by losses
    in units of the mean price of the last week; at steps of which that says nothing it has no share. There, outcomes
    before the last alarm count ``FORGOTTEN_SHARE``.
    """
    origins, came, names = task.origins, np.expm1(task.truth()), list(members)
    price = np.exp(carry_forward(task.log_price))
    mean = np.cumsum(np.nan_to_num(price), axis=0) / np.maximum(
        np.isfinite(price).cumsum(axis=0), 1
    )
    unit = np.exp(task.log_price[origins]) / mean[origins]
    group = (task.groups[:, None] == np.arange(task.groups.max() + 2)).astype(float)
    group[:, -1] = 1.0  # the last group is all series
    copies = np.ones(len(group)) if task.copies is None else task.copies
    ahead = np.arange(1, task.horizon + 1)
    half_life = (
        np.maximum(MARKET_HALF_LIFE_DAYS * task.pace, 3 * ahead)
        if task.pace > 1
        else HALF_LIFE_STEPS
    )
    counts = recent(origins, origins, task.horizon, half_life)
    if task.pace > 1:
        counts = np.where(origins < last_alarm(task)[origins, None], FORGOTTEN_SHARE, 1.0) * counts

    def by_group(loss: np.ndarray, weight: np.ndarray = copies) -> np.ndarray:
        return np.einsum("osh,sg->ogh", np.nan_to_num(loss), group * weight[:, None], optimize=True)

    def lost(forecast: np.ndarray, unit: np.ndarray = unit) -> np.ndarray:
        return by_group(np.abs(unit[..., None] * (np.expm1(forecast) - came)))

    def ratio_to(loss: np.ndarray, base: np.ndarray) -> np.ndarray:
        """Loss over the last value's, with a prior that the member is worse."""
        prior = np.maximum(PRIOR_SHARE * base, 1e-9)  # where nothing moved it is all that is known
        return (loss + prior * (1 + PRIOR_HANDICAP)) / (base + prior)

    def with_all(ratio: np.ndarray, base: np.ndarray) -> np.ndarray:
        return np.where(base > 1e-9, (ratio + ratio[:, -1:]) / 2, np.inf)

    seen = by_group(np.isfinite(came).astype(float), np.ones(len(group)))
    known = sums((counts > 0).astype(float), seen)[:, -1:] >= MIN_OUTCOMES
    base, square, score = (
        lost(np.zeros_like(came)),
        counts**2 / own_share(origins, task.horizon).T[:, None],
        {},
    )
    total = sums(counts, base)
    reviewed, stepped, rate = _reviews(task)
    rare = (rate <= 0.5) & (
        task.pace == 1
    )  # at most half of the cells are reviews; market prices know none
    expected = np.maximum(rate, 1 / RATE_CELLS)

    def lost_at_reviews(forecast: np.ndarray) -> np.ndarray:
        """The loss of what a forecast expects of a review."""
        change = np.clip(forecast[..., :1] / expected, -CAP_LOG, CAP_LOG)
        return sums(reviewed, by_group(np.abs(stepped - change)))

    total_at_reviews = lost_at_reviews(np.zeros_like(came))
    for name, forecast in members.items():
        for share in SHARES if name not in ("last_value", META) else ():
            loss = lost(share * forecast)
            error = np.sqrt(sums(square, (loss - base) ** 2))
            ratio = ratio_to(sums(counts, loss) + error, total)
            at_reviews = ratio_to(
                lost_at_reviews(share * forecast), total_at_reviews
            )  # few: their error is large
            ratio[..., w.LONG_STEPS :] = np.where(rare, at_reviews, ratio[..., w.LONG_STEPS :])
            score[name, share] = with_all(ratio, total)
    weights = np.zeros((len(origins), len(names), group.shape[1], task.horizon))
    best = np.minimum(np.min(list(score.values()), axis=0, initial=1.0), 1.0) if score else 1.0
    raw = {
        key: np.where((s < 1) & known, np.exp((best - s) / TEMPERATURE), 0.0)
        for key, s in score.items()
    }
    norm = sum(raw.values()) + np.exp((best - 1.0) / TEMPERATURE)
    for (name, share), z in raw.items():
        weights[:, names.index(name)] += share * z / norm
    last = names.index("last_value")
    weights[:, last] = 1.0 - weights.sum(axis=1)
    if TREND in members and task.pace == 1:
        alarmed = (reviews_since_alarm(task) == 0) & (reviews_so_far(task) > LEAST_REVIEWS)
        k, due = names.index(TREND), alarmed[origins, None] & (expected[..., 0] * ahead >= 1 - 1e-9)
        moves = np.where(due[:, None] & known, np.maximum(weights[:, last] - TURN_SHARE, 0.0), 0.0)
        weights[:, k], weights[:, last] = weights[:, k] + moves, weights[:, last] - moves
    gates = np.where(weights > 0, "", WORSE).astype(object)
    if META in members and task.pace > 1:
        k, meta = names.index(META), members[META]
        half_life = np.maximum(META_HALF_LIFE_DAYS * task.pace, 4 * ahead)
        counts = recent(origins, origins, task.horizon, half_life)
        week = in_week_means(task.log_price, pace=task.pace)[origins]
        rest = sum(weights[:, j][:, task.groups] * f for j, f in enumerate(members.values()))
        base = sums(counts, lost(rest, week))
        ratio = with_all(sums(counts, lost(meta, week)) / np.maximum(base, 1e-9), base)
        leads = np.where(
            known & (meta != 0).any(axis=(0, 1)), expit((1 + META_LEAD - ratio) / TEMPERATURE), 0.0
        )
        weights *= 1.0 - leads[:, None]
        weights[:, k] = leads
        gates[:, k] = np.where(leads > 0.5, "", NOT_LEADING)
    weights[weights < LEAST_SHARE] = 0.0  # such members need not be asked
    weights[:, last] += 1.0 - weights.sum(axis=1)
    gates = np.where(known[:, None], gates, NO_RECORD)
    gates[:, last] = ""
    return weights, gates


def _reviews(task: Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what reviews say, at once where an outcome many steps ahead is long in coming: what the cell after each
    origin counts if it is one, as from ``recent`` but by reviews, (1, at, origin); its steps (origin, series, 1), and
    the reviews a cell expected at each origin (origin, 1, 1)."""
    step, origins = task.step, task.origins
    is_review, rate = review_rate(step, task.log_price)
    after, count = np.minimum(origins + 1, len(step) - 1), np.cumsum(is_review)
    age = count[origins][:, None] - count[after]
    seen = is_review[after] & (after > origins) & (origins[:, None] >= after)
    counts = np.where(seen, 0.5 ** (np.maximum(age, 0) / HALF_LIFE_REVIEWS), 0.0)[None]
    return (
        counts,
        np.clip(step[after], -2 * CAP_LOG, 2 * CAP_LOG)[..., None],
        rate[origins, None, None],
    )


def own_share(origins: np.ndarray, horizon: int) -> np.ndarray:
    """Return (origins, steps): the share of the time of an outcome that is not that of the next origin's too."""
    apart = np.diff(origins, append=origins[-1] + 1)[:, None]
    return np.minimum(apart / np.arange(1, horizon + 1), 1.0)


def reviews_so_far(task: Task) -> np.ndarray:
    """Return how many reviews a list has had by each cell."""
    return np.cumsum(review_rate(task.step, task.log_price)[0])


def reviews_since_alarm(task: Task) -> np.ndarray:
    """Return how many reviews have come by each cell since ``last_alarm``; inf without one."""
    count, alarm = reviews_so_far(task), last_alarm(task)
    return np.where(alarm < 0, np.inf, count - count[alarm])


def last_alarm(task: Task) -> np.ndarray:
    """Return by each cell the last one at which the last value lost more than it used to, over all series and by the
    day where cells are shorter (Page-Hinkley, as in ``drift``); -1 without such an alarm."""
    looks = np.arange(task.pace - 1, len(task.log_price), task.pace)
    log_price = task.log_price[looks]
    step, offers = (
        steps(log_price),
        np.isfinite(log_price) * (1.0 if task.copies is None else task.copies),
    )
    alarm = turns(list((np.abs(step) * offers).sum(axis=1) / np.maximum(offers.sum(axis=1), 1)))
    out = np.full(len(task.log_price), -1)
    out[looks[alarm]] = looks[alarm]
    return np.maximum.accumulate(out)
