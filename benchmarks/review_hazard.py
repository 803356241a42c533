"""A small peer for price lists: reviews with a hazard, and rates with their doubt; no calibration.

usage: python -m benchmarks.review_hazard [--out FOLDER]

Prints, on GCP's spot prices of machines with a GPU that are known to be sold, what `cloudarb
backtest` prints of the ensemble, for this peer, and both by half-year. A review of the list comes
with a hazard each week; at a review each series takes part or not, repeats the sign of its last
step with an estimated probability, and steps by a size from the record of its group. Every rate is
drawn per path from its posterior, a third of the paths each with a short, a middle and a long
memory.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cloudarb_lib.base import locations
from cloudarb_lib.forecast.evaluate import ENSEMBLE, Forecaster, walk_forward
from cloudarb_lib.forecast.features import price_steps
from cloudarb_lib.forecast.patterns import Patterns, find_patterns
from cloudarb_lib.forecast.score_table import headline
from pipelines.cli import score_tables
from pipelines.cli.panels import BUNDLED, SEED, prepare

PEER = "review_hazard"
N_PATHS = 201
LARGEST_RISE = 0.17
"""Rises are capped by the provider, falls are not (log change)."""
LEAST_SHARE = 0.05
"""Share of the series that step in a week of a review."""
LEAST_REVIEWS = 3
LEAST_REPEATS = 5
"""So many series must step again for a review to tell how often signs repeat."""
HAZARD_PRIOR = (2 / 7, 2.0)
"""Reviews, and weeks, seen beforehand."""
PART_PRIOR = (0.3, 0.7)
REPEAT_PRIOR = (1.0, 1.0)


class Memory(NamedTuple):
    """Half-lives of what is remembered."""

    reviews: float
    weeks: float


MEMORIES = (Memory(1, 5), Memory(2, 10), Memory(8, 40))


@dataclass(frozen=True, eq=False)
class Reviews:
    """What a record of weeks says of its reviews.

    Attributes
    ----------
    is_review : (weeks,)
    step : (reviews, series), log changes.
    known : alike, whether a price was known.
    same_sign : (reviews,), share of steps with the sign of the one before; NaN where too few.
    last_sign : (series,), 0 before the first step.
    """

    is_review: np.ndarray
    step: np.ndarray
    known: np.ndarray
    same_sign: np.ndarray
    last_sign: np.ndarray

    @classmethod
    def of(cls, log_price: np.ndarray) -> Reviews:
        """Return those of log prices (weeks, series)."""
        step = price_steps(log_price)
        known = np.isfinite(log_price)
        share = ((step != 0) & known).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        is_review = share >= LEAST_SHARE
        last_sign = np.zeros(log_price.shape[1])
        same_sign = []
        for row in step[is_review]:
            again = (row != 0) & (last_sign != 0)
            is_same = np.sign(row[again]) == last_sign[again]
            same_sign.append(is_same.mean() if len(is_same) >= LEAST_REPEATS else np.nan)
            last_sign = np.where(row != 0, np.sign(row), last_sign)
        return cls(is_review, step[is_review], known[is_review], np.array(same_sign), last_sign)

    def weights(self, memory: Memory) -> np.ndarray:
        """Return what each review counts (reviews,)."""
        return 0.5 ** (np.arange(len(self.step))[::-1] / memory.reviews)

    def draw_hazard(self, memory: Memory, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return draws of the chance of a review in a week (n,)."""
        weight = 0.5 ** (np.arange(len(self.is_review))[::-1] / memory.weeks)
        events, weeks = HAZARD_PRIOR
        rate = rng.gamma(weight @ self.is_review + events, 1 / (weight.sum() + weeks), n)
        return -np.expm1(-rate)

    def draw_repeats(self, memory: Memory, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return draws of the chance that a step has the sign of the one before (n,)."""
        judged = np.isfinite(self.same_sign)
        weight = self.weights(memory)[judged]
        same = weight @ self.same_sign[judged]
        return rng.beta(same + REPEAT_PRIOR[0], weight.sum() - same + REPEAT_PRIOR[1], n)

    def of_series(self, series: np.ndarray) -> Reviews:
        """Return what they say of some series."""
        return Reviews(
            self.is_review,
            self.step[:, series],
            self.known[:, series],
            self.same_sign,
            self.last_sign[series],
        )


def simulate(
    log_price: np.ndarray, groups: np.ndarray, *, horizon: int, rng: np.random.Generator
) -> np.ndarray:
    """Return log changes (series, paths, steps) from the last of ``log_price`` (weeks, series)."""
    out = np.zeros((log_price.shape[1], N_PATHS, horizon))
    reviews = Reviews.of(log_price)
    if len(reviews.step) < LEAST_REVIEWS:
        return out
    for memory, paths in zip(MEMORIES, np.array_split(np.arange(N_PATHS), 3), strict=True):
        shape = (len(paths), horizon)
        comes = rng.random(shape) < reviews.draw_hazard(memory, len(paths), rng)[:, None]
        repeats = reviews.draw_repeats(memory, len(paths), rng)
        for group in np.unique(groups):
            series = np.flatnonzero((groups == group) & np.isfinite(log_price[-1]))
            own = reviews.of_series(series)
            if own.step.any():
                out[series[:, None], paths] = _changes(own, memory, comes, repeats, rng)
    return out


def _changes(
    own: Reviews, memory: Memory, comes: np.ndarray, repeats: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Log changes (series, paths, steps) of one group, given when reviews come (paths, steps)."""
    shape = (own.step.shape[1], *comes.shape)
    moved = own.step != 0
    n_known = np.maximum(own.known.sum(axis=1), 1)
    share = moved.sum(axis=1) / n_known
    weight = own.weights(memory) * own.known.any(axis=1)
    part = rng.beta(
        weight @ share + PART_PRIOR[0], weight @ (1 - share) + PART_PRIOR[1], len(repeats)
    )
    lately = 0.5 * moved[-2:].mean(axis=0) + 0.5 * share[-1]
    odds = np.clip(lately / max(lately.mean(), 1e-6), 0.25, 2.0)
    chance = np.minimum(part[None, :, None] * odds[:, None, None], 1)
    moves = comes[None] & (rng.random(shape) < chance)
    counts = np.repeat((weight / n_known)[:, None], own.step.shape[1], axis=1)[moved]
    size = rng.choice(np.abs(own.step[moved]), shape, p=counts / counts.sum())
    first = np.where(own.last_sign == 0, rng.choice([-1, 1], shape[0]), own.last_sign)
    turns = moves & (rng.random(shape) > repeats[None, :, None])
    sign = first[:, None, None] * np.cumprod(np.where(turns, -1, 1), axis=2)
    step = sign * np.where(sign > 0, np.minimum(size, LARGEST_RISE), size)
    return np.cumsum(np.where(moves, step, 0.0), axis=2)


def forecaster(patterns: Patterns, horizons: list[int]) -> Forecaster:
    """Return the peer as ``walk_forward`` takes it."""
    at = np.array(horizons) - 1

    def forecast(position: int) -> np.ndarray:
        rng = np.random.default_rng([SEED, position])
        past = patterns.log_price[: position + 1]
        changes = simulate(past, patterns.groups, horizon=max(horizons), rng=rng)
        return changes[patterns.of_offer][:, :, at]

    return forecast


def main() -> None:
    """Score the peer beside the ensemble, and print both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="folder of scores.parquet and unfinished work")
    out = parser.parse_args().out or locations.reports() / "review_hazard"
    (setting,) = [each for each in BUNDLED if each.kind == "gpu"]
    task = prepare(setting, "")
    patterns = find_patterns(task["panel"], listed=task["listed"])
    task.pop("tick")
    peer = forecaster(patterns, sorted(task["origins"]))
    scores = walk_forward(**task, seed=SEED, rivals={PEER: peer}, keep=out / "members").scores
    out.mkdir(parents=True, exist_ok=True)
    scores.to_parquet(out / "scores.parquet", index=False)
    print(score_tables.by_span(scores, PEER))
    print(score_tables.of_cheapest(scores, PEER))
    columns = {"mae_ratio": "MAE", "rmse_ratio": "RMSE", "crps_ratio": "CRPS", "bias": "bias"}
    for span in scores["span"].unique():
        board = headline(scores, span=span).loc[[ENSEMBLE, PEER], list(columns)]
        print(f"\n{span}\n{board.rename(columns=columns).unstack('horizon').round(3).to_string()}")
    print(f"\n{score_tables.LEGEND}")


if __name__ == "__main__":
    main()
