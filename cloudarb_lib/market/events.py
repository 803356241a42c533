"""Price events in the order in which they came into force."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError

SOURCE = ["provider", "source"]
"""What names a record of prices."""


def microseconds(times: pd.Series) -> np.ndarray:
    """Return times as whole microseconds since 1970; DataError where they are naive."""
    if not isinstance(times.dtype, pd.DatetimeTZDtype):
        raise DataError(f"column {times.name} holds naive times.", "Localise them to UTC.")
    return pd.DatetimeIndex(times).as_unit("us").asi8


def came_into_force(events: pd.DataFrame, as_of_us: int) -> pd.DataFrame:
    """Return the events that were in force at some time up to ``as_of_us``, by offer and time.

    An event is in force from the later of ``effective_at`` and ``observed_at`` on; one that took
    effect before another already known never is.

    Parameters
    ----------
    events
        Price events as ``Snapshot.events`` returns them.
    as_of_us
        Microseconds since 1970.

    Returns
    -------
    pd.DataFrame
        A row per event. The index is the position in ``events``; ``code`` numbers the offers by
        their ids; ``start`` and ``effective`` are microseconds since 1970; ``price`` is USD per
        hour of the instance, NaN where the offer is withdrawn; ``changed`` is false where the
        price before is repeated; ``last`` is true at the last event of an offer.
    """
    effective = microseconds(events["effective_at"])
    start = np.maximum(effective, microseconds(events["observed_at"]))
    in_force = pd.DataFrame(
        {
            "code": _sorted_categories(events["offer_id"]).cat.codes.array,
            "start": start,
            "effective": effective,
            "price": events["price_usd_per_hour"].to_numpy(float),
        }
    )
    in_force = in_force[start <= as_of_us].sort_values(["code", "start", "effective"])
    newest = in_force.groupby("code")["effective"].cummax()
    in_force = in_force[in_force["effective"] >= newest]
    price = in_force["price"]
    before = price.shift()
    repeated = (price == before) | (price.isna() & before.isna())
    numbered: pd.DataFrame = in_force.assign(
        changed=~in_force.duplicated("code") | ~repeated,
        last=~in_force.duplicated("code", keep="last"),
        code=in_force.groupby("code").ngroup(),
    )
    return numbered


def _sorted_categories(ids: pd.Series) -> pd.Series:
    """Return offer ids as a category whose codes are in the order of the ids."""
    if isinstance(ids.dtype, pd.CategoricalDtype) and ids.cat.categories.is_monotonic_increasing:
        return ids
    return pd.Series(pd.Categorical(ids.astype(object)))
