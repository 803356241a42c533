"""How often tests of equal accuracy reject a true hypothesis, on records like a price list's.

usage: python -m benchmarks.significance [--records N]

Each record: weekly origins, six families of eight series whose prices step at shared reviews (about
one in seven weeks, or every second one), sizes of a review shared and skewed, half of the series of
a family moving one way. The forecast follows the last step of each series; its losses less those of
the last value are summed over series, and centred at their mean over all records, so that both are
equally accurate. Printed: the share of records that each test rejects at 5 %. The usual test sums
autocovariances up to the horizon (Diebold and Mariano 1995, corrected as by Harvey, Leybourne and
Newbold 1997); ours is `cloudarb_lib.forecast.significance`. Where it says nothing for most records,
NaN stands. Power: the share that ours rejects where directions repeat with 85 % at every review.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from cloudarb_lib.forecast.significance import equal_accuracy_p

FAMILIES = 6
SERIES = 8
WARM_UP = 30
SHIFT = 0.03
"""Log change that the forecast expects from eight weeks on, less before."""
LEVEL = 0.05
DESIGNS = [
    (n_origins, horizon, review_hazard)
    for n_origins in (26, 52, 120)
    for horizon in (1, 4, 8, 13)
    for review_hazard in (1 / 7, 1 / 2)
    if horizon * 2 <= n_origins
]


def loss_difference(
    rng: np.random.Generator,
    *,
    n_origins: int,
    horizon: int,
    review_hazard: float,
    repeats: float = 0.5,
    squared: bool = False,
) -> tuple[np.ndarray, int]:
    """Return the loss of following the last step less that of the last value, and n of reviews.

    Parameters
    ----------
    repeats : chance that a step has the sign of the one before.

    Returns
    -------
    difference : (origins,), mean over all series.
    n_reviews : among the outcomes.
    """
    cells = n_origins + horizon + WARM_UP
    is_review = rng.random(cells) < review_hazard
    step = np.zeros((cells, FAMILIES, SERIES))
    sign = rng.choice([-1.0, 1.0], (FAMILIES, SERIES))
    last_sign = np.zeros_like(step)
    size = np.exp(rng.normal(np.log(0.07), 0.6, cells))
    for t in range(cells):
        if is_review[t]:
            takes_part = (rng.random((FAMILIES, 1)) < 0.6) & (rng.random(sign.shape) < 0.7)
            together = np.where(rng.random((FAMILIES, 1)) < repeats, 1.0, -1.0)
            alone = np.where(rng.random(sign.shape) < repeats, 1.0, -1.0)
            turn = np.where(rng.random(sign.shape) < 0.5, together, alone)
            sign = np.where(takes_part, sign * turn, sign)
            step[t] = takes_part * sign * size[t] * rng.uniform(0.5, 1.5, (FAMILIES, 1))
        last_sign[t] = sign
    level = np.cumsum(step, axis=0)
    origins = WARM_UP + np.arange(n_origins)
    came = level[origins + horizon] - level[origins]
    forecast = last_sign[origins] * SHIFT * min(1.0, horizon / 8)
    power = 2 if squared else 1
    difference = np.abs(came - forecast) ** power - np.abs(came) ** power
    return difference.mean(axis=(1, 2)), int(is_review[WARM_UP + 1 : WARM_UP + cells].sum())


def usual_p(difference: np.ndarray, horizon: int) -> float:
    """Return the p-value of the usual test: autocovariances up to the horizon, small-sample t."""
    from scipy.stats import t

    n = len(difference)
    lags = min(horizon, n // 2)
    apart = difference - difference.mean()
    covariance = [float(apart[k:] @ apart[: n - k]) / n for k in range(lags)]
    variance = covariance[0] + 2 * sum(covariance[1:])
    if variance <= 0:
        weights = 1 - np.arange(1, lags) / lags
        variance = covariance[0] + 2 * float(weights @ covariance[1:])
    small = (n + 1 - 2 * lags + lags * (lags - 1) / n) / n
    statistic = difference.mean() / np.sqrt(max(variance, 1e-300) / n) * np.sqrt(small)
    return float(2 * t.sf(abs(statistic), n - 1))


def rejections(
    n_records: int, *, n_origins: int, horizon: int, review_hazard: float, squared: bool, seed: int
) -> dict[str, float]:
    """Return the share of records that each test rejects: by name, NaN where it says nothing."""
    rng = np.random.default_rng(seed)
    design = {"n_origins": n_origins, "horizon": horizon, "review_hazard": review_hazard}
    equal = [loss_difference(rng, **design, squared=squared) for _ in range(n_records)]
    better = [
        loss_difference(rng, **design, squared=squared, repeats=0.85) for _ in range(n_records)
    ]
    mean = np.mean([difference.mean() for difference, _ in equal])
    p_usual = np.array([usual_p(difference - mean, horizon) for difference, _ in equal])
    p_ours = np.array([equal_accuracy_p(d - mean, overlap=horizon, n_events=n) for d, n in equal])
    p_better = np.array([equal_accuracy_p(d, overlap=horizon, n_events=n) for d, n in better])
    return {
        "usual": float((p_usual <= LEVEL).mean()),
        "ours": _share_rejected(p_ours),
        "answers": float(np.isfinite(p_ours).mean()),
        "power": _share_rejected(p_better),
    }


def _share_rejected(p: np.ndarray) -> float:
    """Of the records with an answer, the share below ``LEVEL``; NaN where half have none."""
    known = p[np.isfinite(p)]
    return float((known <= LEVEL).mean()) if 2 * len(known) >= len(p) else float("nan")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=1000, help="of each design")
    n_records = parser.parse_args().records
    rows = []
    for squared in (False, True):
        for n_origins, horizon, review_hazard in DESIGNS:
            design = {"n_origins": n_origins, "horizon": horizon, "review_hazard": review_hazard}
            shares = rejections(n_records, **design, squared=squared, seed=1)
            rows.append({"loss": "squared" if squared else "absolute", **design, **shares})
    table = pd.DataFrame(rows)
    print(f"share rejected at {LEVEL:.0%} of {n_records} records where both are equally accurate")
    print(table.round(3).to_string(index=False))
    print(
        f"over all: usual {table['usual'].mean():.1%} (most {table['usual'].max():.1%}), "
        f"ours {table['ours'].mean():.1%} (most {table['ours'].max():.1%})"
    )


if __name__ == "__main__":
    main()
