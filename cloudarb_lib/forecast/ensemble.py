"""One walk over origins: members, the weights that stood there, and calibrated worlds.

A forecast is the last origin of a walk; a back-test is a walk whose outcomes are known. Weights go by
inverse out-of-fold loss per group and step, the newest outcomes counting most (Bates and Granger, 1969).
A member that raises, returns NaN, or was not better than the last value is left out there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit
from tqdm import tqdm

from cloudarb_lib.errors import DataError
from cloudarb_lib.features import CAP_LOG, RATE_CELLS, STEP_LOG, carry_forward, review_rate
from cloudarb_lib.files import replaced
from cloudarb_lib.forecast import worlds as w
from cloudarb_lib.forecast.drift import LEAST_REVIEWS, turns
from cloudarb_lib.forecast.members import KEPT, MEMBERS, Task
from cloudarb_lib.forecast.meta import in_week_means
from cloudarb_lib.forecast.patterns import Patterns
from cloudarb_lib.forecast.worker import begin, within

ALL = "all"
CALIBRATION_PACES = 52  # before the first origin, from which weights and intervals learn
MOST_FORECASTS = 8_000_000  # of a walk (origins, series, steps), beyond which it learns from fewer origins
CALIBRATION_PATHS, MOST_AT_ONCE = 128, 1_000  # series whose worlds are in memory at once
HALF_LIFE_STEPS = 13.0  # age (paces) at which an outcome counts half in the weights: a quarter, by weeks
MARKET_HALF_LIFE_DAYS = 7.0
"""The same for prices seen by the hour, or three times the steps ahead: outcomes that overlap teach one lesson."""
HALF_LIFE_REVIEWS = 2.0  # the same for what reviews showed: their direction turns within a few
MAX_CHANGE_LOG = 1.5  # no forecast goes beyond a price 4.5 times as high, or as low
SHARES = (0.25, 0.5, 0.75, 1.0)
TEMPERATURE = 0.01  # in units of the loss ratio: 1 % better weighs e times as much
PRIOR_SHARE, PRIOR_HANDICAP = 0.2, 0.15
"""A member is taken to be 15 % worse than the last value until outcomes say otherwise; this belief weighs a
fifth of the outcomes that count."""
LEAST_SHARE = 0.001
"""A weight below it falls to the last value."""
LIMIT_S = 900.0
"""Time a member may take over a walk."""
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


@dataclass(frozen=True)
class Walk:
    """Forecasts at every origin of ``task`` as they could have been made there; all log changes.

    ``members`` (origins, series, steps) and why others ``failed``; ``weights`` and ``gates`` (origins,
    members, groups and all, steps), a gate being '' or the reason; ``point`` the weighted mean; ``truth``
    what came, changes under 0.5 % set to 0; ``widths`` (origins, groups, steps, ``NATS``) as from ``adapt``; ``past``
    what worlds are drawn from.
    """

    patterns: Patterns
    task: Task
    members: dict[str, np.ndarray]
    failed: dict[str, str]
    weights: np.ndarray
    gates: np.ndarray
    point: np.ndarray
    truth: np.ndarray
    widths: np.ndarray
    past: Past

    def worlds(
        self, origin: int, *, n_paths: int, only: np.ndarray, ahead: np.ndarray | slice = slice(None)
    ) -> np.ndarray:
        """Return calibrated log changes (series, paths, steps) of the series ``only`` at an origin, of all steps
        or those at the positions ``ahead``."""
        task, origin = self.task, range(len(self.task.origins))[origin]
        point = self.point[origin, only][:, ahead]
        worlds = simulated(task, self.past, origin, point, n_paths=n_paths, only=only, ahead=ahead)
        ends = worlds.min(axis=1, keepdims=True), worlds.max(axis=1, keepdims=True)
        out = w.calibrate(worlds, self.widths[origin][:, ahead], task.groups[only])
        low, high = (limit[origin, only, None, None] for limit in self.past.limits)
        return np.clip(out, np.minimum(low, ends[0]), np.maximum(high, ends[1]), out=out)

    def until(self, origin: int) -> Walk:
        """Return the walk as it stood at an origin, counted from the end (-1 is the last)."""
        cut = slice(len(self.task.origins) + origin + 1)
        names = ("weights", "gates", "point", "truth", "widths")
        then = {name: getattr(self, name)[cut] for name in names}
        return replace(self, task=replace(self.task, origins=self.task.origins[cut]), **then)

    def table(self, origin: int, *, gates: bool = False) -> pd.DataFrame:
        """Return table ``weights`` at an origin; with ``gates`` the members left out, and why."""
        ahead, names = range(1, self.task.horizon + 1), ["model", "series_group", "horizon"]
        axes = [list(self.members), [*self.patterns.group_names, ALL], ahead]
        value, name = (self.gates, "reason") if gates else (self.weights, "weight")
        index = pd.MultiIndex.from_product(axes, names=names)
        out = pd.Series(value[origin].ravel(), index, name=name).reset_index()
        if not gates:
            return out
        failed = [(name, ALL, h, f"failed: {why}") for name, why in self.failed.items() for h in ahead]
        left = pd.concat([out[out["reason"] != ""], pd.DataFrame(failed, columns=out.columns)])
        return left.astype({"horizon": int})


@dataclass(frozen=True)
class Past:
    """What the worlds of a task are drawn from: ``step`` (times, series) as from ``known_steps``; ``limits``; and of a list
    its ``reviews`` as in ``draw_cells``, None on a market."""

    step: np.ndarray
    limits: tuple[np.ndarray, np.ndarray]
    reviews: tuple[np.ndarray, np.ndarray] | None

    @classmethod
    def of(cls, task: Task) -> Past:
        reviews = (reviews_so_far(task), reviews_since_alarm(task)) if task.pace == 1 else None
        return cls(w.known_steps(task.step, task.log_price, task.groups), limits(task), reviews)


def limits(task: Task) -> tuple[np.ndarray, np.ndarray]:
    """Return how far a price may fall and rise from an origin (origins, series): on a list ``MAX_CHANGE_LOG``, on a
    market a capped step beyond where it has been: only auctions and outages return to their extremes."""
    now = task.log_price[task.origins]
    if task.pace == 1:
        return np.full(now.shape, -MAX_CHANGE_LOG), np.full(now.shape, MAX_CHANGE_LOG)
    cells = task.origins
    parts = np.concatenate([[0], cells[:-1] + 1])  # between one and the next
    seen = (np.fmin, task.log_price[: cells[-1] + 1]), (np.fmax, task.log_price[: cells[-1] + 1])
    low, high = (np.nan_to_num(end.accumulate(end.reduceat(price, parts)) - now) for end, price in seen)
    return low - CAP_LOG, high + CAP_LOG


def walk_positions(
    patterns: Patterns, asked: np.ndarray, *, horizon: int, first: int | None = None
) -> np.ndarray:
    """Return the origins of a walk that forecasts from the cells ``asked`` (increasing): those, and before them what
    weights and intervals learn from: ``CALIBRATION_PACES`` of every cell, or of each sixth hour, of fewer where there
    are very many series. A back-test and a forecast made now learn from the same ones. ``first``: that of an earlier
    walk, which goes on."""
    back = CALIBRATION_PACES * patterns.pace
    start = max(int(asked[0]) - back, 1)
    fewer = back * len(patterns.groups) * horizon // MOST_FORECASTS
    stride = max(patterns.pace // 4, fewer, 1)
    between = np.arange(start if first is None else first, int(asked[-1]), stride)
    return np.union1d(between[between >= start], asked)


def run_members(
    task: Task, leave_out: tuple[str, ...] = (), *, keep: Path | None = None
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return forecasts by member, each (origins, series, steps), and why others failed; ``leave_out`` by name.

    A member that needs longer than ``LIMIT_S`` has failed. What members that need seconds say is kept in folder
    ``keep``, which is for this task alone, and taken from there.
    """
    done: dict[str, np.ndarray] = {}
    failed: dict[str, str] = {}
    low, high = (limit[..., None] for limit in limits(task))
    files = {name: keep / f"{name}.npy" for name in KEPT} if keep else {}
    asked = [name for name in MEMBERS if name not in leave_out]
    kept = [name for name in asked if name in files and files[name].exists()]
    begun = {  # what works in another process goes on beside the others
        name: begin(partial(MEMBERS[name], task)) for name in asked if name == "lstm" and name not in kept
    }
    for name in tqdm(asked, desc="members", disable=None):
        try:
            if name in kept:
                done[name] = np.load(files[name], allow_pickle=False)
                continue
            said = within(LIMIT_S, begun.get(name) or begin(partial(MEMBERS[name], task)))
            if not np.isfinite(said).all():
                raise DataError("it returned a number that is not finite.")
            # steps of a volatile past add up beyond reason
            said = np.clip(said, np.minimum(low, -MAX_CHANGE_LOG), np.maximum(high, MAX_CHANGE_LOG))
            done[name] = said.astype(np.float32)
            if name in files:
                with replaced(files[name]) as part, part.open("wb") as out:
                    np.save(out, done[name], allow_pickle=False)
        except Exception as cause:  # one member must never stop the others
            failed[name] = f"{type(cause).__name__}: {cause}"
    task.__dict__.pop("features", None)  # gigabytes, where there are thousands of series
    task.__dict__.pop("motion", None)
    return done, failed


def recent(at: np.ndarray, origins: np.ndarray, horizon: int, half_life: float | np.ndarray) -> np.ndarray:
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
    """Return the weights and gates that stood at each origin of ``task``, as in ``Walk``.

    Each member competes at a quarter, half, three quarters and all of the change it forecasts, by its
    discounted out-of-fold loss over that of the last value, in prices, and the standard error of their difference
    (what reviews say stands without); the rest of its weight falls to the last value. Weights go by
    exp(-ratio / ``TEMPERATURE``) (Vovk, 1990), half by the group, half by all. On a list that is reviewed, until the
    next review after an alarm, ``TREND`` takes what the last value has above ``TURN_SHARE``, from where a review is
    expected on. On a market the weighted mean of all so far competes with the meta-learner in the same way, by losses
    in units of the mean price of the last week; at steps of which that says nothing it has no share.
    """
    origins, came, names = task.origins, np.expm1(task.truth()), list(members)
    price = np.exp(carry_forward(task.log_price))
    mean = np.cumsum(np.nan_to_num(price), axis=0) / np.maximum(np.isfinite(price).cumsum(axis=0), 1)
    unit = np.exp(task.log_price[origins]) / mean[origins]
    group = (task.groups[:, None] == np.arange(task.groups.max() + 2)).astype(float)
    group[:, -1] = 1.0  # the last group is all series
    copies = np.ones(len(group)) if task.copies is None else task.copies
    ahead = np.arange(1, task.horizon + 1)
    half_life = np.maximum(MARKET_HALF_LIFE_DAYS * task.pace, 3 * ahead) if task.pace > 1 else HALF_LIFE_STEPS
    counts = recent(origins, origins, task.horizon, half_life)

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
    rare = (rate <= 0.5) & (task.pace == 1)  # at most half of the cells are reviews; market prices know none
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
    raw = {key: np.where((s < 1) & known, np.exp((best - s) / TEMPERATURE), 0.0) for key, s in score.items()}
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
    return counts, np.clip(step[after], -2 * CAP_LOG, 2 * CAP_LOG)[..., None], rate[origins, None, None]


def own_share(origins: np.ndarray, horizon: int) -> np.ndarray:
    """Return (origins, steps): the share of the time of an outcome that is not that of the next origin's too."""
    apart = np.diff(origins, append=origins[-1] + 1)[:, None]
    return np.minimum(apart / np.arange(1, horizon + 1), 1.0)


def reviews_so_far(task: Task) -> np.ndarray:
    """Return how many reviews a list has had by each cell."""
    return np.cumsum(review_rate(task.step, task.log_price)[0])


def reviews_since_alarm(task: Task) -> np.ndarray:
    """Return how many reviews have come by each cell since the last value lost more than it used to, over all
    series (Page-Hinkley, as in ``drift``); inf without such an alarm."""
    step, known = task.step, np.isfinite(task.log_price)
    offers = known * (1.0 if task.copies is None else task.copies)
    alarm = turns(list((np.abs(step) * offers).sum(axis=1) / np.maximum(offers.sum(axis=1), 1)))
    count = reviews_so_far(task)
    latest = carry_forward(np.where(alarm, count, np.nan)[:, None])[:, 0]
    return np.where(np.isnan(latest), np.inf, count - latest)


def simulated(
    task: Task, past: Past, origin: int, point: np.ndarray, *, n_paths: int, only: np.ndarray,
    ahead: np.ndarray | slice = slice(None),
) -> np.ndarray:  # fmt: skip
    """Return worlds of the series ``only`` from an origin, of the steps at the positions ``ahead``, their
    median at ``point``, not yet calibrated."""
    at, size = int(task.origins[origin]), {"n_paths": n_paths, "seed": task.seed}
    step = past.step[: at + 1]
    ways = w.draw_ways(step, task.groups, only, **size) if task.pace == 1 else None
    drawn = w.draw_cells(at, horizon=task.horizon, pace=task.pace, reviews=past.reviews, **size)
    worlds = w.draw_worlds(past.step, task.groups, only, drawn, ways, ahead)
    if task.pace > 1:
        worlds *= w.calm(step[:, only], pace=task.pace, horizon=task.horizon)[:, None, ahead]
    low, high = (limit[origin, only, None, None] for limit in past.limits)
    return w.recentre(np.clip(worlds, low, high, out=worlds), point, lists=task.pace == 1)


def walk_origins(
    patterns: Patterns, origins: np.ndarray, *, horizon: int, seed: int, leave_out: tuple[str, ...] = (),
    keep: Path | None = None,
) -> Walk:  # fmt: skip
    """Return the walk over ``origins`` (increasing positions in the patterns' cells), members but ``leave_out``;
    ``keep`` as in ``run_members``."""
    task = task_of(patterns, origins, horizon=horizon, seed=seed)
    return weighed(patterns, task, *run_members(task, leave_out, keep=keep))


def task_of(patterns: Patterns, origins: np.ndarray, *, horizon: int, seed: int) -> Task:
    """Return what members are asked of ``patterns``."""
    copies = np.bincount(patterns.of_offer, minlength=len(patterns.groups))
    seen = (patterns.log_price, patterns.groups)
    return Task(*seen, origins, horizon, seed, patterns.pace, copies, about=patterns.about)


def weighed(patterns: Patterns, task: Task, members: dict[str, np.ndarray], failed: dict[str, str]) -> Walk:
    """Return the walk that forecasts of ``members`` at the origins of ``task`` make: weights, and intervals."""
    origins, horizon, seed = task.origins, task.horizon, task.seed
    weights, gates = weigh(task, members)
    point = sum(weights[:, k][:, task.groups] * f for k, f in enumerate(members.values()))
    came = task.truth()
    truth = np.where(np.abs(came) < STEP_LOG, 0.0, came)
    past, many = Past.of(task), len(task.groups)
    parts = np.array_split(np.arange(many), -(-many // MOST_AT_ONCE))
    needed, rng = np.full(truth.shape, np.nan), np.random.default_rng(seed)
    for i in tqdm(range(len(origins)), desc="calibrate", unit="origin", disable=None):
        for some in parts:
            worlds = simulated(task, past, i, point[i, some], n_paths=CALIBRATION_PATHS, only=some)
            needed[i, some] = w.needed_width(worlds, truth[i, some], rng=rng)
    counts = w.count_widths(needed, task.groups)
    weight = recent(origins, origins, horizon, w.HALF_LIFE_CELLS * task.pace).transpose(1, 2, 0)
    own = own_share(origins, horizon)
    maps = np.array([w.width_maps(counts, at, own) for at in weight])
    widths = w.adapt(maps, counts, np.sign(weight) * own)
    return Walk(patterns, task, members, failed, weights, gates, point, truth, widths, past)
