"""What waiting must save: chosen on jobs that ended before November 2025, scored once after.

Run with ``python -m benchmarks.start_margin``: of the margins tried, the one that closes the
largest share of the gap between starting now and hindsight, over all jobs that had ended before
``CHOSEN_BEFORE`` on the sample paths of their day, is chosen. ``--score`` prints what it, and it
alone, closes on the jobs that ended later, by half-year. ``--simulated`` has the simulator's own
paths come true.
"""

from __future__ import annotations

import argparse

import numpy as np
import pandas as pd

from cloudarb_lib import store
from cloudarb_lib.advice.backtest import score
from cloudarb_lib.advice.backtest import start as tried
from cloudarb_lib.advice.backtest.record import SoldRecord, SpotPaths
from cloudarb_lib.advice.places import Places
from cloudarb_lib.advice.start import WAIT_SAVES, start_or_wait, start_paths, started_below
from cloudarb_lib.base import locations
from cloudarb_lib.base.progress import progress
from cloudarb_lib.base.units import half_year, parse_as_of
from cloudarb_lib.market import read_market
from cloudarb_lib.tables.assumptions import load_assumptions

CHOSEN_BEFORE = pd.Timestamp("2025-11-01", tz="UTC")
MARGINS = (0.0, 0.005, 0.01, 0.02, 0.04)
"""Least shares of the cost of starting now that waiting must save."""
UNTIL = "2026-04-29"
SEED = 7
EVERY_WEEKS = 8
"""Origins from which campaigns are simulated lie so far apart."""


def name_of(margin: float) -> str:
    return f"{margin:.1%}"


def the_record() -> SoldRecord:
    with store.open_snapshot(locations.store()) as snapshot:
        market = read_market(snapshot, parse_as_of(UNTIL), providers=["gcp"], stale_after_days=14.0)
    return SoldRecord.of(market)


def choose(paid: pd.DataFrame) -> float:
    """Return the margin that closes most over jobs that had ended; the larger of equal ones."""
    ended = paid[paid["ends_at"] < CHOSEN_BEFORE]
    closed = closed_gap(ended).loc[score.ALL, [name_of(margin) for margin in MARGINS]]
    print(f"jobs that ended before {CHOSEN_BEFORE:%Y-%m-%d}, {jobs(ended):,}: gap closed")
    print(closed_gap(ended).to_string())
    best = closed[::-1].astype(float).idxmax()
    return MARGINS[[name_of(margin) for margin in MARGINS].index(best)]


def closed_gap(paid: pd.DataFrame) -> pd.DataFrame:
    """Return the share of the gap to hindsight closed, a row a half-year, a column a policy."""
    table = score.by_half_year(paid, reference=tried.NOW)
    return (100 * table["gap_closed"].unstack("policy")).round(1)


def jobs(paid: pd.DataFrame) -> int:
    return len(paid[["decision", "made_at"]].drop_duplicates())


def report_later(paid: pd.DataFrame, margin: float) -> None:
    """Print what the margin chosen, beside simple rules, closes and costs on later jobs."""
    kept = [name_of(margin), *tried.SIMPLE, score.HINDSIGHT]
    later = paid[(paid["made_at"] >= CHOSEN_BEFORE) & paid["policy"].isin(kept)]
    print(f"jobs that could start from {CHOSEN_BEFORE:%Y-%m-%d} on, {jobs(later):,}: gap closed")
    print(closed_gap(later).to_string())
    table = score.by_half_year(later, reference=tried.NOW)
    print("cost beside starting now")
    print(table["cost"].unstack("policy").round(4).to_string())
    print(score.verdict(table, name_of(margin), tried.SIMPLE))


def simulated(record: SoldRecord, paths: SpotPaths) -> pd.DataFrame:
    """Return what one decision costs where the paths that it is made on are right.

    Decided on half of the paths of an origin, its bar is kept to the end on the other half, as if
    these came true: costs are shares of starting now. ``best bar`` knows those paths, not which of
    them comes; ``hindsight`` knows that too.
    """
    rows = []
    assumptions = load_assumptions()
    for model, gpus in tried.NEEDS.items():
        workload = tried.spot_workload(model, gpus)
        places = Places.of(workload, record.market.offers_of([model]), assumptions)
        prices = record.prices(places.offer_ids)
        machines = places.fill(prices)
        for week in progress(record.weeks[::EVERY_WEEKS], f"campaigns of {model}", unit="week"):
            if np.isnan(machines[0, week]):
                continue
            drawn = paths.prices(week, places.offer_ids, n_paths=2 * tried.N_PATHS)
            known = np.isfinite(drawn[:, 0, 0])
            made_at = record.panel.times[week]
            for slack in tried.SLACK_WEEKS:
                ahead = drawn[known, :, : slack + tried.JOB_WEEKS]
                told, came = np.split(ahead, 2, axis=1)
                costs = _campaign(told, came, machines[known, week], places, known)
                rows.append({"slack_weeks": slack, "half_year": half_year(made_at), **costs})
    return pd.DataFrame(rows)


def _campaign(
    told: np.ndarray, came: np.ndarray, now: np.ndarray, places: Places, known: np.ndarray
) -> dict[str, float]:
    """Return mean costs of policies over the paths that ``came``, beside starting now."""

    def of(drawn: np.ndarray):
        everywhere = np.full((len(known), *drawn.shape[1:]), np.nan)
        everywhere[known] = drawn
        return start_paths(now, drawn, places.fill(everywhere)[known], job_weeks=tried.JOB_WEEKS)

    advice = start_or_wait(of(told))
    truth = of(came)
    quoted = truth.quoted_usd_per_hour
    paid = truth.paid_usd_per_hour
    starting_now = truth.now_usd_per_hour
    best_bar = start_or_wait(truth).bar_usd_per_hour
    by_bar = started_below(advice.bar_usd_per_hour, quoted.copy(), paid)
    by_best = min(started_below(best_bar, quoted.copy(), paid).mean(), starting_now.mean())
    first_fall = quoted < _quote_now(now, came)
    first_fall[:, -1] = True
    costs = {
        "advice": starting_now.mean() if advice.is_now else by_bar.mean(),
        "always wait": paid[:, -1].mean(),
        "first fall": paid[np.arange(len(paid)), first_fall.argmax(axis=1)].mean(),
        "best bar": by_best,
        "hindsight": np.minimum(starting_now, paid.min(axis=1)).mean(),
    }
    return {name: float(usd / starting_now.mean()) for name, usd in costs.items()}


def _quote_now(machines: np.ndarray, came: np.ndarray) -> float:
    """Return what the cheapest places ask today, USD an hour."""
    return float(machines @ came[:, 0, 0])


def report_simulated(table: pd.DataFrame) -> None:
    """Print mean costs beside starting now, and the share of the gap to the best bar closed."""
    policies = ["advice", "always wait", "first fall", "best bar", "hindsight"]
    for key in ("slack_weeks", "half_year"):
        print(table.groupby(key)[policies].mean().round(4).to_string())
    mean = table[policies].mean()
    print(f"over all {len(table)} campaigns: {mean.round(4).to_dict()}")
    print(f"regret of the advice beside the best bar: {mean['advice'] - mean['best bar']:.2%}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start_margin")
    parser.add_argument("--score", action="store_true", help="score it on later jobs")
    parser.add_argument("--simulated", action="store_true", help="let the paths come true")
    asked = parser.parse_args()
    record = the_record()
    paths = SpotPaths.of(record, horizon=tried.HORIZON_WEEKS, seed=SEED)
    if asked.simulated:
        report_simulated(simulated(record, paths))
        return
    margins = {name_of(margin): margin for margin in MARGINS}
    paid = tried.try_starts(record, paths, load_assumptions(), margins=margins)
    if asked.score:
        report_later(paid, WAIT_SAVES)
    else:
        print(f"chosen: {name_of(choose(paid))}; in use: {name_of(WAIT_SAVES)}")


if __name__ == "__main__":
    main()
