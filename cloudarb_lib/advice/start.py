"""Start now or wait: a price to wait for and a day to start at the latest, from joint paths.

Whoever waits starts in the first week in which the cheapest places cost no more than a bar, and in
the last week whatever they cost: the rule that a person can follow without us.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloudarb_lib.advice.places import Places
from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.types import Paths

WAIT_SAVES = 0.0
"""Waiting has to save more than this share in expectation; ``benchmarks.start_margin`` chose it."""
WEEK = pd.Timedelta(days=7)
_ROUNDING = 1e-9
"""Relative: costs that differ by less are equal."""
_BARS = np.linspace(0.0, 1.0, 21)
"""Bars that are tried: quantiles, over the paths, of the least that starting later costs."""


@dataclass(frozen=True, eq=False)
class StartPaths:
    """What the whole job costs an hour, if it starts in one week or another.

    Parameters
    ----------
    now_usd_per_hour
        Starting now, on average over the job, on each path: shape (paths,).
    quoted_usd_per_hour
        What the cheapest places ask in each later week, which a bar is compared with; shape
        (paths, weeks).
    paid_usd_per_hour
        Starting then, on average over the job; alike.

    Raises
    ------
    ParameterError
        Without a week to wait, or where shapes differ.
    """

    now_usd_per_hour: np.ndarray
    quoted_usd_per_hour: np.ndarray
    paid_usd_per_hour: np.ndarray

    def __post_init__(self) -> None:
        shape = self.quoted_usd_per_hour.shape
        if shape != self.paid_usd_per_hour.shape or shape[:1] != self.now_usd_per_hour.shape:
            raise ParameterError(f"paths of starts have shapes that do not fit {shape}.")
        if not shape[1]:
            raise ParameterError("there is no week to wait.", "Start now.")


@dataclass(frozen=True)
class StartAdvice:
    """Start now, or wait for a price.

    Attributes
    ----------
    is_now
        Whether to start now.
    bar_usd_per_hour
        Else: start as soon as the cheapest places cost no more.
    weeks
        And after so many weeks at any price.
    now_usd_per_hour, wait_usd_per_hour
        Expected cost of the job, started now, and by the bar; the latter on paths that the bar was
        not chosen on.
    p_regret
        Share of the paths on which waiting costs more.
    """

    is_now: bool
    bar_usd_per_hour: float
    weeks: int
    now_usd_per_hour: float
    wait_usd_per_hour: float
    p_regret: float

    @property
    def saving(self) -> float:
        """Expected, of waiting, as a share of the cost of starting now."""
        return 1 - self.wait_usd_per_hour / self.now_usd_per_hour


def weeks_to_wait(as_of: pd.Timestamp, by: pd.Timestamp) -> int:
    """Return how many weekly looks there are until the day by which a job must have started.

    Raises
    ------
    ParameterError
        Where that day is past, or less than a week ahead.
    """
    if by <= as_of:
        raise ParameterError(
            f"the job must have started by {by:%Y-%m-%d}, which is not after {as_of:%Y-%m-%d}.",
            "Name a later day, or an earlier as_of.",
        )
    weeks = int((by - as_of) / WEEK)
    if not weeks:
        raise ParameterError(
            f"there is less than a week until {by:%Y-%m-%d}.", "Start now, or name a later day."
        )
    return weeks


def start_or_wait(paths: StartPaths, *, delay_usd_per_hour: float = 0.0) -> StartAdvice:
    """Return whether to start now, and the bar to wait for.

    The bar with the least mean cost is chosen on one half of the paths and costed on the other,
    and the other way round: a bar costed on its own paths flatters waiting.

    Parameters
    ----------
    delay_usd_per_hour
        What each week of waiting costs beside, spread over the job's hours.

    References
    ----------
    Longstaff and Schwartz (2001), Valuing American options by simulation: stopping rules from
    paths; here the rule is one bar, so that it can be told.
    """
    weeks = paths.quoted_usd_per_hour.shape[1]
    paid = paths.paid_usd_per_hour + delay_usd_per_hour * np.arange(1, weeks + 1)
    quoted = paths.quoted_usd_per_hour
    half = np.arange(len(quoted)) % 2 == 0
    waited = np.zeros(len(quoted))
    for chosen_on in (half, ~half):
        bar = _best_bar(quoted[chosen_on], paid[chosen_on])
        costed_on = ~chosen_on
        waited[costed_on] = started_below(bar, quoted[costed_on], paid[costed_on])
    now = float(paths.now_usd_per_hour.mean())
    wait = float(waited.mean())
    return StartAdvice(
        is_now=not wait < now * (1 - WAIT_SAVES) * (1 - _ROUNDING),
        bar_usd_per_hour=_best_bar(quoted, paid),
        weeks=weeks,
        now_usd_per_hour=now,
        wait_usd_per_hour=wait,
        p_regret=float((waited > paths.now_usd_per_hour).mean()),
    )


def started_below(bar: float, quoted: np.ndarray, paid: np.ndarray) -> np.ndarray:
    """Return what is paid on each path by starting in the first week quoted at ``bar`` or less.

    Parameters
    ----------
    quoted, paid
        Shape (paths, weeks); in the last week it starts at any price.
    """
    starts = quoted <= bar * (1 + _ROUNDING)
    starts[:, -1] = True
    return np.asarray(paid[np.arange(len(paid)), starts.argmax(axis=1)])


def _best_bar(quoted: np.ndarray, paid: np.ndarray) -> float:
    """Return the bar with the least mean cost over the paths; the highest of equal ones."""
    bars = np.unique(np.quantile(quoted.min(axis=1), _BARS))[::-1]
    costs = [started_below(bar, quoted, paid).mean() for bar in bars]
    return float(bars[int(np.argmin(costs))])


def start_paths(
    machines_now: np.ndarray, prices: np.ndarray, machines: np.ndarray, *, job_weeks: int
) -> StartPaths:
    """Return what starting in each week costs, from joint price paths.

    Parameters
    ----------
    machines_now
        Machines of each offer that starting now would take, shape (offers,).
    prices
        USD an hour, today's first: shape (offers, paths, weeks to wait + weeks of the job).
    machines
        Alike: what starting in each week would take (``Places.fill``).
    job_weeks
        Weeks that the job runs at its place, paying the prices that come.

    Raises
    ------
    ParameterError
        Where the paths are too short for a job that starts next week.
    """
    weeks = prices.shape[2] - job_weeks
    if weeks < 1:
        raise ParameterError(
            f"price paths of {prices.shape[2] - 1} weeks are too short for a job of {job_weeks}.",
            "Look further ahead, or at a shorter job.",
        )
    windows = np.lib.stride_tricks.sliding_window_view(prices, job_weeks, axis=2).mean(axis=3)
    later = slice(1, weeks + 1)
    return StartPaths(
        now_usd_per_hour=machines_now @ windows[:, :, 0],
        quoted_usd_per_hour=(machines * prices)[:, :, later].sum(axis=0),
        paid_usd_per_hour=(machines[:, :, later] * windows[:, :, later]).sum(axis=0),
    )


def in_words(advice: StartAdvice, as_of: pd.Timestamp, *, need: float) -> str:
    """Return the advice as a paragraph for people.

    Parameters
    ----------
    need
        Units of the need, of which prices are told.
    """
    now = f"{advice.now_usd_per_hour / need:,.3f} USD an hour a unit"
    wait = f"{advice.wait_usd_per_hour / need:,.3f}"
    if advice.is_now:
        return (
            f"**Start now**: {now} on average over the job; waiting for a better price is expected "
            f"to cost {wait}, no less."
        )
    return (
        f"**Wait** until the cheapest places ask {advice.bar_usd_per_hour / need:,.3f} USD an hour "
        f"a unit or less, and start by {as_of + advice.weeks * WEEK:%Y-%m-%d} at any price: {wait} "
        f"expected, {advice.saving:.1%} less than {now} for starting now. Chance to regret it: "
        f"{advice.p_regret:.0%}. Ask again every week: the bar moves with what is learnt."
    )


def from_market(
    places: Places, offers: pd.DataFrame, ahead: Paths | None, *, job_weeks: int
) -> StartPaths:
    """Return what starting in each week costs, at the offers of a market and their price paths.

    Parameters
    ----------
    offers
        Table ``offers``.
    ahead
        Their sample paths, a step a week.

    Raises
    ------
    ParameterError
        Where no place holds the need today, or the paths are too short.
    """
    today = offers.set_index("offer_id")["price_usd_per_hour"].reindex(places.offer_ids)
    now = today.to_numpy(float)
    machines_now = places.fill(now)
    if ahead is None or np.isnan(machines_now).any():
        raise ParameterError(
            f"no place holds a need of {places.need:g} units today.",
            "Ask for less, for other GPU models, or let it be split (together: anywhere).",
        )
    later = ahead.select(places.offer_ids).values
    first = np.broadcast_to(now[:, None, None], (*later.shape[:2], 1))
    prices = np.concatenate([first, later], axis=2)
    return start_paths(machines_now, prices, places.fill(prices), job_weeks=job_weeks)
