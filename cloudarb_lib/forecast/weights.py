"""What members have been worth: the weights and gates that stood at each origin.

Weights go by inverse out-of-fold loss per group and step, the newest outcomes counting most. A
member that was not better than the last value is left out there.

References
----------
Bates and Granger, Operational Research Quarterly 20, 1969. Vovk, Aggregating strategies, 1990.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from cloudarb_lib.forecast.drift import last_alarm
from cloudarb_lib.forecast.features import carry_forward, in_week_means
from cloudarb_lib.forecast.task import Task

HALF_LIFE_DAYS = 7.0
"""Age at which an outcome counts half, or three times the steps ahead: outcomes that overlap teach
one lesson."""
FORGOTTEN_SHARE = 0.25  # what outcomes before the last alarm still count
SHARES = (0.25, 0.5, 0.75, 1.0)
"""Shares of the change that a member forecasts, each of which competes."""
TEMPERATURE = 0.01  # in units of the loss ratio: 1 % better weighs e times as much
PRIOR_SHARE = 0.2
PRIOR_HANDICAP = 0.15
"""A member is taken to be 15 % worse than the last value until outcomes say otherwise; this belief
weighs a fifth of the outcomes that count."""
LEAST_SHARE = 0.001
"""A weight below it falls to the last value."""
MIN_OUTCOMES = 20  # outcomes before anything but the last value is believed
LEAST_LOSS = 1e-9
"""A loss below it is none: nothing moved."""
LAST_VALUE = "last_value"
META = "meta_learner"
META_HALF_LIFE_DAYS = 90.0
META_LEAD = 0.03
"""The member that competes with the weighted mean of the others; the half-life of its losses (or
four times the steps ahead), long since it has learned from all that was known; and how much worse
it may have been: what it learned from all series outweighs a few outcomes."""
NOT_LEADING = "not better than the other members together"
WORSE = "not better than last value"
NO_RECORD = "no outcomes to judge it by"


def discount_by_age(
    at: np.ndarray, origins: np.ndarray, horizon: int, half_life: float | np.ndarray
) -> np.ndarray:
    """Return what the outcome of an origin counts at a cell, 0 before it is known.

    Parameters
    ----------
    at, origins : positions.
    half_life : in cells, one or of each step.

    Returns
    -------
    (steps ahead, at, origins)
    """
    ahead = np.arange(1, horizon + 1)[:, None, None]
    age = at[:, None] - origins - ahead
    half_life = np.broadcast_to(half_life, horizon)[:, None, None]
    return np.where(age >= 0, 0.5 ** (np.maximum(age, 0) / half_life), 0.0)


def discounted_sums(counts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return (at, groups, steps): ``values`` (origins, groups, steps) summed as they count.

    Parameters
    ----------
    counts : as from ``discount_by_age``.
    """
    return np.matmul(counts, values.transpose(2, 0, 1)).transpose(1, 2, 0)


def own_share(origins: np.ndarray, horizon: int) -> np.ndarray:
    """Return what share of an outcome's time is not that of the next one's too (origins, steps)."""
    apart = np.diff(origins, append=origins[-1] + 1)[:, None]
    return np.minimum(apart / np.arange(1, horizon + 1), 1.0)


def weigh(task: Task, medians: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return the weights and gates that stood at each origin of ``task``.

    Each member competes at a quarter, half, three quarters and all of the change it forecasts, by
    its discounted out-of-fold loss over that of the last value, in prices, and the standard error
    of their difference; the rest of its weight falls to the last value. Weights go by exp(-ratio /
    ``TEMPERATURE``), half by the group, half by all. The weighted mean of all so far competes with
    the meta-learner in the same way, by losses in units of the mean price of the last week; at
    steps of which that says nothing it has no share. Outcomes before the last alarm count
    ``FORGOTTEN_SHARE``.

    Parameters
    ----------
    medians : by member, (origins, series, steps), log changes.

    Returns
    -------
    weights : (origins, members, groups and all, steps), 1 in sum over the members.
    gates : alike; '' or the reason why a member is left out.
    """
    names = list(medians)
    last = names.index(LAST_VALUE)
    record = Record.of(task)
    weights = _weights_by_ratio(_loss_ratios(task, medians, record), names, record)
    gates = np.where(weights > 0, "", WORSE).astype(object)
    if META in medians:
        meta = names.index(META)
        leads = _lead_of_meta_learner(task, medians, weights, record)
        weights *= 1.0 - leads[:, None]
        weights[:, meta] = leads
        gates[:, meta] = np.where(leads > 0.5, "", NOT_LEADING)
    weights[weights < LEAST_SHARE] = 0.0  # such members need not be asked
    weights[:, last] += 1.0 - weights.sum(axis=1)
    gates = np.where(record.is_enough[:, None], gates, NO_RECORD)
    gates[:, last] = ""
    return weights, gates


@dataclass(frozen=True, eq=False)
class Record:
    """What came after each origin, and what it counts at the others.

    Attributes
    ----------
    came : (origins, series, steps), relative changes of the price; NaN where none is known.
    unit : (origins, series), the price at the origin by its mean so far.
    group : (series, groups and all), 1 where a series belongs to one.
    copies : (series,), how many offers it stands for.
    counts : as from ``discount_by_age``, by origin.
    is_enough : (origins, 1, steps), whether there were outcomes enough to believe.
    """

    came: np.ndarray
    unit: np.ndarray
    group: np.ndarray
    copies: np.ndarray
    counts: np.ndarray
    is_enough: np.ndarray

    @classmethod
    def of(cls, task: Task) -> Record:
        """Return the record of a task."""
        came = np.expm1(task.truth())
        price = np.exp(carry_forward(task.log_price))
        n_priced = np.maximum(np.isfinite(price).cumsum(axis=0), 1)
        mean = np.cumsum(np.nan_to_num(price), axis=0) / n_priced
        unit = np.exp(task.log_price[task.origins]) / mean[task.origins]
        group = (task.groups[:, None] == np.arange(task.groups.max() + 2)).astype(float)
        group[:, -1] = 1.0  # the last group is all series
        copies = np.ones(len(group)) if task.copies is None else task.copies
        counts = _outcome_counts(task)
        n_outcomes = _by_group(np.isfinite(came).astype(float), group)
        so_far = discounted_sums((counts > 0).astype(float), n_outcomes)[:, -1:]
        return cls(came, unit, group, copies, counts, so_far >= MIN_OUTCOMES)

    def by_group(self, loss: np.ndarray) -> np.ndarray:
        """Return losses (origins, series, steps) of all offers of each group, in sum."""
        return _by_group(loss, self.group * self.copies[:, None])

    def loss(self, change: np.ndarray, unit: np.ndarray | None = None) -> np.ndarray:
        """Return (origins, groups, steps): the absolute error in prices of log changes forecast."""
        unit = self.unit if unit is None else unit
        return self.by_group(np.abs(unit[..., None] * (np.expm1(change) - self.came)))


def _by_group(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Sums (origins, groups, steps) of values (origins, series, steps); NaN counts nothing."""
    return np.einsum("osh,sg->ogh", np.nan_to_num(values), group, optimize=True)


def _outcome_counts(task: Task) -> np.ndarray:
    """What outcomes count at each origin, as from ``discount_by_age``."""
    counts = _discounts(task, HALF_LIFE_DAYS, times_ahead=3)
    alarm = last_alarm(task.log_price, cells_per_day=task.cells_per_day, copies=task.copies)
    is_before_alarm = task.origins < alarm[task.origins, None]
    return np.where(is_before_alarm, FORGOTTEN_SHARE, 1.0) * counts


def _discounts(task: Task, half_life_days: float, *, times_ahead: int) -> np.ndarray:
    """As from ``discount_by_age``; the half-life is ``times_ahead`` times the steps, if longer."""
    ahead = np.arange(1, task.horizon + 1)
    half_life = np.maximum(half_life_days * task.cells_per_day, times_ahead * ahead)
    return discount_by_age(task.origins, task.origins, task.horizon, half_life)


def _loss_ratios(
    task: Task, medians: dict[str, np.ndarray], record: Record
) -> dict[tuple[str, float], np.ndarray]:
    """The loss over that of the last value (origins, groups, steps), by member and share of it."""
    base = record.loss(np.zeros_like(record.came))
    total = discounted_sums(record.counts, base)
    square = record.counts**2 / own_share(task.origins, task.horizon).T[:, None]
    ratios = {}
    for name, median in medians.items():
        if name in (LAST_VALUE, META):
            continue
        for share in SHARES:
            loss = record.loss(share * median)
            error = np.sqrt(discounted_sums(square, (loss - base) ** 2))
            ratio = _ratio_with_prior(discounted_sums(record.counts, loss) + error, total)
            ratios[name, share] = _with_all(ratio, total)
    return ratios


def _ratio_with_prior(loss: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Loss over the last value's, with a prior that the member is worse."""
    prior = np.maximum(
        PRIOR_SHARE * base, LEAST_LOSS
    )  # where nothing moved it is all that is known
    return (loss + prior * (1 + PRIOR_HANDICAP)) / (base + prior)


def _with_all(ratio: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Half the group's ratio, half that of all series; infinite where nothing moved."""
    return np.where(base > LEAST_LOSS, (ratio + ratio[:, -1:]) / 2, np.inf)


def _weights_by_ratio(
    ratios: dict[tuple[str, float], np.ndarray], names: list[str], record: Record
) -> np.ndarray:
    """Weights (origins, members, groups, steps) by exp(-ratio / ``TEMPERATURE``)."""
    n_origins, _, horizon = record.came.shape
    weights = np.zeros((n_origins, len(names), record.group.shape[1], horizon))
    best = 1.0
    if ratios:
        best = np.minimum(np.min(list(ratios.values()), axis=0, initial=1.0), 1.0)
    raw = {}
    for key, ratio in ratios.items():
        is_better = (ratio < 1) & record.is_enough
        raw[key] = np.where(is_better, np.exp((best - ratio) / TEMPERATURE), 0.0)
    norm = sum(raw.values()) + np.exp((best - 1.0) / TEMPERATURE)
    for (name, share), value in raw.items():
        weights[:, names.index(name)] += share * value / norm
    weights[:, names.index(LAST_VALUE)] = 1.0 - weights.sum(axis=1)
    return weights


def _lead_of_meta_learner(
    task: Task, medians: dict[str, np.ndarray], weights: np.ndarray, record: Record
) -> np.ndarray:
    """The share (origins, groups, steps) of the meta-learner beside the others together."""
    meta = medians[META]
    counts = _discounts(task, META_HALF_LIFE_DAYS, times_ahead=4)
    week = in_week_means(task.log_price, cells_per_day=task.cells_per_day)[task.origins]
    others = weighted_mean(task, weights, medians)
    base = discounted_sums(counts, record.loss(others, week))
    loss = discounted_sums(counts, record.loss(meta, week))
    ratio = _with_all(loss / np.maximum(base, LEAST_LOSS), base)
    speaks = record.is_enough & (meta != 0).any(axis=(0, 1))
    return np.where(speaks, expit((1 + META_LEAD - ratio) / TEMPERATURE), 0.0)


def weighted_mean(task: Task, weights: np.ndarray, medians: dict[str, np.ndarray]) -> np.ndarray:
    """Return the mean (origins, series, steps) of medians by the weights of each series' group."""
    of_series = (
        weights[:, k][:, task.groups] * median for k, median in enumerate(medians.values())
    )
    return sum(of_series, start=np.zeros(()))
