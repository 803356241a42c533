"""Price events in the order in which they came into force."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError

SOURCE = ["provider", "source"]
"""What names a record of prices."""

ON_SALE = 0
SOLD_OUT = 1
WITHDRAWN = 2
IN_DOUBT = 3
GONE = 4
CAUSES = ("on sale", "sold_out", "withdrawn", "in_doubt", "gone")
"""Why an event puts its offer on sale, or takes it off, by code.

sold_out: its count of offers is 0; withdrawn: its price is null; in_doubt: its price was held back
or flagged as wrong; gone: a source that repeats its offers has been silent of it.
"""
NEVER_US = np.iinfo(np.int64).min
"""Stands for a time that never was, in microseconds since 1970."""
INSTANT_US = 1
"""How much longer than allowed a silence lasts at least, in microseconds."""
_HOUR_US = 3_600_000_000


def to_times(times_us: np.ndarray) -> pd.DatetimeIndex:
    """Return microseconds since 1970 as times in UTC; NaT for ``NEVER_US``."""
    return pd.DatetimeIndex(times_us.astype("datetime64[us]")).tz_localize("UTC")


def microseconds(times: pd.Series) -> np.ndarray:
    """Return times as whole microseconds since 1970; DataError where they are naive."""
    if not isinstance(times.dtype, pd.DatetimeTZDtype):
        raise DataError(f"column {times.name} holds naive times.", "Localise them to UTC.")
    return pd.DatetimeIndex(times).as_unit("us").asi8


def came_into_force(events: pd.DataFrame, as_of_us: int) -> pd.DataFrame:
    """Return the events that were in force at some time up to ``as_of_us``, by offer and time.

    An event is in force from the later of ``effective_at`` and ``observed_at`` on; one that took
    effect before another already known never is. Where a source repeats its offers (column
    ``gone_after_hours``), an offer that it is silent about for longer is gone from then on: that
    is a row of its own here, a microsecond later.

    Parameters
    ----------
    events
        Price events as ``Snapshot.events`` returns them.
    as_of_us
        Microseconds since 1970.

    Returns
    -------
    pd.DataFrame
        A row per event. The index is the position in ``events`` (of an offer that is gone, that of
        its last event); ``code`` numbers the offers by their ids; ``start``, ``effective`` and
        ``observed`` are microseconds since 1970; ``cause`` says why it is on sale or not, by the
        codes of ``CAUSES``; ``listed`` is the price told, in USD per hour of the instance,
        ``price`` the same while it is on sale, else NaN; ``changed`` is false where the price
        before is repeated; ``last`` is true at the last event of an offer.
    """
    effective = microseconds(events["effective_at"])
    observed = microseconds(events["observed_at"])
    start = np.maximum(effective, observed)
    in_force = pd.DataFrame(
        {
            "code": _sorted_categories(events["offer_id"]).cat.codes.array,
            "start": start,
            "effective": effective,
            "observed": observed,
            "cause": _causes(events),
            "listed": events["price_usd_per_hour"].to_numpy(float),
        }
    )
    in_force = in_force[start <= as_of_us].sort_values(["code", "start", "effective"])
    newest = in_force.groupby("code")["effective"].cummax()
    in_force = in_force[in_force["effective"] >= newest]
    in_force = _with_silences(in_force, events, as_of_us)
    price = in_force["listed"].where(in_force["cause"] == ON_SALE)
    before = price.shift()
    repeated = (price == before) | (price.isna() & before.isna())
    numbered: pd.DataFrame = in_force.assign(
        price=price,
        changed=~in_force.duplicated("code") | ~repeated,
        last=~in_force.duplicated("code", keep="last"),
        code=in_force.groupby("code").ngroup(),
    )
    return numbered


def _causes(events: pd.DataFrame) -> np.ndarray:
    """Return why each event puts its offer on sale or takes it off, ``GONE`` aside."""
    withdrawn = events["price_usd_per_hour"].isna().to_numpy()
    sold_out = np.zeros(len(events), bool)
    if "offer_count" in events:
        sold_out = events["offer_count"].eq(0).fillna(False).to_numpy(bool)
    in_doubt = np.zeros(len(events), bool)
    if "quality" in events:
        in_doubt = withdrawn & events["quality"].ne("ok").to_numpy()
    return np.select(
        [in_doubt, withdrawn, sold_out], [IN_DOUBT, WITHDRAWN, SOLD_OUT], ON_SALE
    ).astype(np.int8)


def _with_silences(in_force: pd.DataFrame, events: pd.DataFrame, as_of_us: int) -> pd.DataFrame:
    """Return ``in_force`` with a row where each offer is gone: its source was silent too long."""
    allowed = silence_allowed_us(events)
    if allowed is None:
        return in_force
    start = in_force["start"]
    gone_at = start + allowed[in_force.index]
    following = start.groupby(in_force["code"]).shift(-1).fillna(as_of_us)
    listed = in_force["cause"].isin((ON_SALE, SOLD_OUT))
    silent = (listed & (gone_at < following)).to_numpy()
    if not silent.any():
        return in_force
    gone = in_force[silent].assign(
        start=gone_at[silent].astype(np.int64) + INSTANT_US, cause=np.int8(GONE)
    )
    together = pd.concat([in_force, gone])
    in_order: pd.DataFrame = together.sort_values(["code", "start"], kind="stable")
    return in_order


def silence_allowed_us(events: pd.DataFrame) -> np.ndarray | None:
    """Return how long the source of each event may be silent of an offer before it is gone.

    Returns
    -------
    np.ndarray or None
        Microseconds, infinite where silence says nothing; None where that is so of all.
    """
    if "gone_after_hours" not in events:
        return None
    hours = events["gone_after_hours"].to_numpy(float)
    if np.isnan(hours).all():
        return None
    return np.where(np.isnan(hours), np.inf, hours * _HOUR_US)


def _sorted_categories(ids: pd.Series) -> pd.Series:
    """Return offer ids as a category whose codes are in the order of the ids."""
    if isinstance(ids.dtype, pd.CategoricalDtype) and ids.cat.categories.is_monotonic_increasing:
        return ids
    return pd.Series(pd.Categorical(ids.astype(object)))
