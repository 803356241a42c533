"""Commit for one or three years, or wait: what each way to pay costs while the need lasts.

A commitment is paid for all of its term, used or not. How long the need lasts nobody knows: here
it ends each week with the same chance, so that the expected rest is the same whenever it is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.measures import conditional_value_at_risk, value_at_risk
from cloudarb_lib.base.types import Paths
from cloudarb_lib.base.units import HOURS_PER_WEEK

WEEKS = 156
"""Costs are counted over three years; a need that lasts longer counts as ending then."""
TERM_WEEKS = {"1y": 52, "3y": 156, "1y-plan": 52, "3y-plan": 156}
"""Weeks of each commitment: to a machine, or by a savings plan."""
WAIT_WEEKS = (4, 13, 26, 39, 52)
"""Weeks by the hour before a commitment that are tried."""
LADDER_WEEKS = (0, 13, 26, 39)
"""When each quarter of the instances is committed to, on a ladder."""
BY_THE_HOUR = "by the hour"
_DRAWS = 2_000
"""Draws of the need's end where prices stay as they are."""
DETERMINISTIC = 2.0
"""Renting until as much is paid as the commitment costs, then committing, never costs more than
this many times the least in hindsight, at constant prices."""
RANDOMISED = np.e / (np.e - 1)
"""The same where the time to commit is drawn, in expectation."""


@dataclass(frozen=True)
class Need:
    """How long machines are needed, and how much of the time.

    Parameters
    ----------
    weeks
        Expected; the need ends each week with chance 1 / ``weeks``.
    utilisation
        Share of the hours in which they are used; by the hour only these are paid.
    is_certain
        Whether the need lasts ``weeks`` for sure instead.

    Raises
    ------
    ParameterError
        For less than a week, or a share outside (0, 1].
    """

    weeks: float
    utilisation: float = 1.0
    is_certain: bool = False

    def __post_init__(self) -> None:
        if not self.weeks >= 1:
            raise ParameterError(
                f"need of {self.weeks:g} weeks is less than one.", "Rent by the hour."
            )
        if not 0 < self.utilisation <= 1:
            raise ParameterError(f"utilisation {self.utilisation:g} is outside 0 to 1.")

    def ends(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return ``n`` draws of the number of weeks that the need lasts, at most ``WEEKS``.

        One from each of ``n`` equal parts of the distribution, in random order.
        """
        if self.is_certain or self.weeks == 1:
            return np.full(n, min(self.weeks, WEEKS))
        share = (rng.permutation(n) + rng.random(n)) / n
        return np.minimum(np.ceil(np.log1p(-share) / np.log1p(-1 / self.weeks)), WEEKS)


@dataclass(frozen=True, eq=False)
class PricePaths:
    """Joint sample paths of what an instance costs, USD an hour.

    Parameters
    ----------
    by_the_hour
        Shape (paths, weeks): the cheapest that may serve; ``WEEKS`` of them or fewer, the last
        holds on.
    committed
        By term, alike: the rate of a commitment that is entered in that week.
    """

    by_the_hour: np.ndarray
    committed: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        shapes = {paths.shape for paths in (self.by_the_hour, *self.committed.values())}
        if len(shapes) != 1:
            raise ParameterError(f"price paths have shapes {sorted(shapes)}, which differ.")
        if not self.committed:
            raise ParameterError("no commitment is sold for this machine.", "Rent by the hour.")


@dataclass(frozen=True, eq=False)
class CommitAdvice:
    """What to do, and what it rests on.

    Attributes
    ----------
    choice
        Way to pay with the least expected cost, a row of ``costs``.
    costs
        A row per way to pay: ``expected_usd``, ``p90_usd``, ``cvar95_usd``, ``p_regret`` (share of
        draws in which paying by the hour all along is cheaper).
    break_even
        A row per term: ``utilisation`` (commitment over hourly price: used less, it never pays),
        ``weeks`` (the need must last so long; NaN: never), ``rent_until_week`` (of the rule with a
        guarantee).
    """

    choice: str
    costs: pd.DataFrame
    break_even: pd.DataFrame


def machine_prices(offers: pd.DataFrame, paths: Paths | None) -> PricePaths:
    """Return the price paths of one machine.

    Parameters
    ----------
    offers
        Table ``offers`` of the machine: by the hour, where the cheapest serves, and for terms.
        What interruptions of spot cost again is not counted.
    paths
        Sample paths of these offers, a step a week from next week on; None: today's prices stay.

    Raises
    ------
    ParameterError
        Where nothing is sold by the hour, or for no term.
    """
    price = offers["price_usd_per_hour"].to_numpy(float)[:, None, None]
    if paths is None:
        weekly = np.broadcast_to(price, (len(offers), _DRAWS, 1))
    else:
        ahead = paths.select(offers["offer_id"]).values
        weekly = np.concatenate([np.broadcast_to(price, (*ahead.shape[:2], 1)), ahead], axis=2)
    may_serve = offers["term"].eq("").to_numpy()
    if not may_serve.any():
        raise ParameterError(
            "this machine is not sold by the hour.",
            "Choose another machine, or let it be interruptible.",
        )
    committed = {
        term: weekly[offers["term"].eq(term).to_numpy()].min(axis=0)
        for term in TERM_WEEKS
        if offers["term"].eq(term).any()
    }
    return PricePaths(weekly[may_serve].min(axis=0), committed)


def commit_or_wait(prices: PricePaths, need: Need, *, seed: int) -> CommitAdvice:
    """Return which way to pay costs least in expectation, beside the others.

    All are costed on the same price paths and the same draws of the need's end. Ways to pay: by
    the hour all along; committing after some weeks, to one term or another, anew whenever it runs
    out while the need goes on; a quarter at a time (ladder); and the rule of a ski rental, which
    needs no forecast: by the hour until as much is paid as the commitment costs, then commit.

    Returns
    -------
    CommitAdvice

    References
    ----------
    Karlin, Manasse, McGeoch and Owicki (1994), Competitive randomized algorithms for nonuniform
    problems. Wang, Li and Liang (2013), To reserve or not to reserve: optimal online
    multi-instance acquisition in IaaS clouds.
    """
    rng = np.random.default_rng(seed)
    ends = need.ends(len(prices.by_the_hour), rng)
    break_even = break_even_table(prices, need)
    costs = {BY_THE_HOUR: hourly_cost(prices, ends, utilisation=need.utilisation)}
    for term in prices.committed:
        costs |= _ways_to_commit(prices, need, ends, term)
        until = float(break_even["rent_until_week"][term])
        if np.isfinite(until):
            drawn = np.ceil(until * _ski_rental_share(rng, len(ends)))
            for name, wait in ((f"after {until:g} weeks", until), ("drawn", drawn)):
                costs[f"ski rental {term}: {name}"] = committed_cost(
                    prices, ends, utilisation=need.utilisation, term=term, wait=wait
                )
    table = _summary(costs)
    return CommitAdvice(str(table["expected_usd"].idxmin()), table, break_even)


def hourly_cost(
    prices: PricePaths, ends: np.ndarray, *, utilisation: float, until: float | np.ndarray = np.inf
) -> np.ndarray:
    """Return what the weeks before ``until`` cost by the hour, USD an instance, shape (paths,).

    Parameters
    ----------
    ends
        Weeks that the need lasts on each path.
    """
    is_rented = np.arange(WEEKS) < np.minimum(ends, until)[:, None]
    hourly = _through_weeks(prices.by_the_hour)
    cost: np.ndarray = (hourly * is_rented).sum(axis=1) * HOURS_PER_WEEK * utilisation
    return cost


def committed_cost(
    prices: PricePaths,
    ends: np.ndarray,
    *,
    utilisation: float,
    term: str,
    wait: float | np.ndarray = 0,
) -> np.ndarray:
    """Return the cost of ``wait`` weeks by the hour, then committed as long as the need goes on.

    A commitment is paid whole, also where the need ends before it.

    Returns
    -------
    np.ndarray of shape (paths,)
        USD an instance.
    """
    cost = hourly_cost(prices, ends, utilisation=utilisation, until=wait)
    paths = np.arange(len(ends))
    rate = _through_weeks(prices.committed[term])
    start = np.broadcast_to(np.asarray(wait, int), ends.shape)
    while (goes_on := start < ends).any():
        paid = rate[paths, np.minimum(start, WEEKS - 1)] * HOURS_PER_WEEK * TERM_WEEKS[term]
        cost = cost + np.where(goes_on, paid, 0.0)
        start = start + TERM_WEEKS[term]
    return cost


def break_even_table(prices: PricePaths, need: Need) -> pd.DataFrame:
    """Return from which utilisation and length of need on each term pays, at today's prices.

    Returns
    -------
    pd.DataFrame
        As ``CommitAdvice.break_even``.
    """
    hourly_usd = float(prices.by_the_hour[:, 0].mean())
    rows = {}
    for term, paths in prices.committed.items():
        utilisation = float(paths[:, 0].mean()) / hourly_usd
        weeks = utilisation / need.utilisation * TERM_WEEKS[term]
        pays = utilisation < need.utilisation
        rows[term] = {
            "utilisation": utilisation,
            "weeks": weeks if pays else np.nan,
            "rent_until_week": np.ceil(weeks) if pays else np.nan,
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("term")


def in_words(advice: CommitAdvice, need: Need, instances: float = 1.0) -> str:
    """Return the advice as a paragraph for people."""
    costs = advice.costs["expected_usd"] * instances
    best_usd = costs[advice.choice]
    runner_up = str(costs.drop(advice.choice).idxmin())
    known = "sure" if need.is_certain else "expected"
    text = (
        f"For a need of {need.weeks:g} weeks ({known}) at {need.utilisation:.0%} use: "
        f"**{advice.choice}**, {best_usd:,.0f} USD expected; next best is {runner_up}, "
        f"{costs[runner_up] - best_usd:,.0f} USD more. "
    )
    for term, utilisation, weeks in advice.break_even[["utilisation", "weeks"]].itertuples():
        here = f"or {weeks:.0f} weeks of need" if np.isfinite(weeks) else "so never here"
        text += f"{term} pays from {utilisation:.0%} utilisation on, {here}. "
    return text + (
        f"Without any forecast, renting until the break-even week and committing then costs at "
        f"most {DETERMINISTIC:g} times the least in hindsight at constant prices "
        f"({RANDOMISED:.2f} times in expectation where the week is drawn)."
    )


def record_in_words(events: pd.DataFrame, as_of: pd.Timestamp) -> str:
    """Return how little the record says about prices as far ahead as the commitments last.

    Parameters
    ----------
    events
        Price events of the machine's offers.
    """
    in_time = events.sort_values(["offer_id", "effective_at"])
    by_offer = in_time.groupby("offer_id", observed=True)["price_usd_per_hour"]
    changes = int((by_offer.diff().fillna(0.0) != 0).sum())
    recorded = as_of - events["effective_at"].min()
    text = (
        f"These prices are on record for {recorded.days / 365:.1f} years, in which they changed "
        f"{changes} times."
    )
    sold = set(events["offer_id"].astype(str).str.rsplit("/", n=1).str[-1])
    longer = [term for term in TERM_WEEKS if term in sold and 7 * TERM_WEEKS[term] > recorded.days]
    if longer:
        text += (
            f" A commitment for {' or '.join(longer)} is longer than the record: what stands "
            "beside it at its end is a guess, whatever the table says."
        )
    return text


def _ways_to_commit(
    prices: PricePaths, need: Need, ends: np.ndarray, term: str
) -> dict[str, np.ndarray]:
    """Return what committing to a term costs each draw: now, later, and a quarter at a time."""

    def after(weeks: int) -> np.ndarray:
        return committed_cost(prices, ends, utilisation=need.utilisation, term=term, wait=weeks)

    costs = {f"commit {term} now": after(0)}
    for weeks in WAIT_WEEKS:
        costs[f"by the hour {weeks} weeks, then {term}"] = after(weeks)
    ladder = [after(weeks) for weeks in LADDER_WEEKS]
    costs[f"ladder {term}: a quarter each 13 weeks"] = np.mean(ladder, axis=0)
    return costs


def _through_weeks(paths: np.ndarray) -> np.ndarray:
    """Return paths over ``WEEKS``: where they end sooner, the last price holds on."""
    return paths[:, np.minimum(np.arange(WEEKS), paths.shape[1] - 1)]


def _ski_rental_share(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return the share of the break-even time at which to commit, density e^x / (e - 1)."""
    return np.log1p(rng.random(n) * (np.e - 1))


def _summary(costs: dict[str, np.ndarray]) -> pd.DataFrame:
    rows = {
        name: {
            "expected_usd": cost.mean(),
            "p90_usd": value_at_risk(cost, 0.9),
            "cvar95_usd": conditional_value_at_risk(cost, 0.95),
            "p_regret": (cost > costs[BY_THE_HOUR] + 1e-9).mean(),
        }
        for name, cost in costs.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("way")
