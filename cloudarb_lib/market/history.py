"""From events to panels: resample, mark filled cells, cut at as_of; and what is on offer now."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import DataError, ParameterError
from cloudarb_lib.base.types import OFFER_PARTS, STATES, Panel
from cloudarb_lib.base.units import parse_as_of, parse_freq
from cloudarb_lib.tables.run_schema import RUN_TABLES

_ABOUT = [
    *OFFER_PARTS,
    "price_kind",
    "vcpus",
    "memory_gib",
    "gpu_model",
    "gpu_count",
    "gpu_memory_gib",
]
_SOURCE = ["provider", "source"]
_ABSENT, _CHANGED, _UNCHANGED, _NOT_LOOKED = range(len(STATES))


def _micros(times: pd.Series) -> np.ndarray:
    if not isinstance(times.dtype, pd.DatetimeTZDtype):
        raise DataError(f"column {times.name} holds naive times.", "Localise them to UTC.")
    return pd.DatetimeIndex(times).as_unit("us").asi8


def _known(events: pd.DataFrame, as_of_us: int) -> pd.DataFrame:
    """Return the events that were in force at some time up to ``as_of_us``, by offer in the order they came into
    force: each from the later of effective_at and observed_at on, its ``start`` (microseconds since 1970); one
    that took effect before another already known never is.

    The index is the position in ``events``. ``code`` numbers the offers by their ids; ``changed`` is false where
    the price before is repeated, ``last`` true at the last event of an offer.
    """
    ids = events["offer_id"]
    if (
        not isinstance(ids.dtype, pd.CategoricalDtype)
        or not ids.cat.categories.is_monotonic_increasing
    ):
        ids = pd.Series(pd.Categorical(ids.astype(object)))
    effective, price = _micros(events["effective_at"]), events["price_usd_per_hour"].to_numpy(float)
    start = np.maximum(effective, _micros(events["observed_at"]))
    known = pd.DataFrame(
        {"code": ids.cat.codes.array, "start": start, "effective": effective, "price": price}
    )
    known = known[start <= as_of_us].sort_values(["code", "start", "effective"])
    known = known[known["effective"] >= known.groupby("code")["effective"].cummax()]
    before = known["price"].shift()
    same = (known["price"] == before) | (known["price"].isna() & before.isna())
    return known.assign(
        changed=~known.duplicated("code") | ~same,
        last=~known.duplicated("code", keep="last"),
        code=known.groupby("code").ngroup(),
    )


def to_panel(
    events: pd.DataFrame,
    looks: pd.DataFrame,
    *,
    freq: str | pd.Timedelta,
    as_of: object,
    start: object = None,
    how: str = "last",
) -> Panel:
    """Return the prices of ``events`` on a regular grid whose last cell ends at ``as_of``.

    ``start`` bounds the grid on the left (default: the first event); the price in force there is carried in.
    ``how='last'`` takes the price in force at the end of each cell, NaN where the offer is withdrawn;
    ``how='mean'`` the time-weighted mean over the part of the cell in which it was on sale, NaN where there
    was none. An event enters when it was both in effect and seen; one that repeats the price is a look.
    ``state`` tells a change of price, a look that found none, and a cell that nobody looked at.
    """
    if how not in ("last", "mean"):
        raise ParameterError(f"how {how!r} is unknown.", "Use last or mean.")
    step = freq if isinstance(freq, pd.Timedelta) else parse_freq(freq)
    width, end = step.value // 1000, parse_as_of(as_of).value // 1000
    known = _known(events, end)
    names = ("code", "start", "price", "changed", "last")
    code, since, asked, changed, last = (known[name].to_numpy() for name in names)
    n = 0
    if len(known):
        # The cell of a first event on an edge is the one that ends there, hence the extra one.
        begin = int(since.min()) - 1 if start is None else parse_as_of(start).value // 1000
        n = max(-(-(end - begin) // width), 0)
    left, m = end - n * width, int(last.sum())
    ends = left + np.arange(n + 1) * width  # cell i is (ends[i - 1], ends[i]], cell 0 all before

    def cell_of(times: np.ndarray) -> np.ndarray:
        return np.clip(-((left - times) // width), 0, n)

    cell = cell_of(since)
    place = code * (n + 1) + cell
    first = np.diff(place, prepend=-1) != 0
    at = np.full(m * (n + 1), -1)
    at[place] = np.arange(len(place))  # the last one of a cell stays
    at = np.maximum.accumulate(at.reshape(m, n + 1), axis=1)
    price = np.append(asked, np.nan)[at]
    # Each cell is the price carried in until its first event, then each event until the next.
    until = np.minimum(np.where(last, end, np.append(since[1:], 0)[: len(cell)]), ends[cell])
    held = np.where(cell > 0, until - since, 0) * ~np.isnan(asked)
    carried = np.full(m * (n + 1), width)
    carried[place[first]] = (since - (ends[cell] - width))[first]
    carried = np.where(np.isnan(price[:, :-1]), 0, carried.reshape(m, n + 1)[:, 1:])
    inside, spent = (
        np.bincount(place, held * weight, m * (n + 1)).reshape(m, n + 1)[:, 1:]
        for weight in (1.0, np.nan_to_num(asked))
    )
    on_sale = inside + carried
    value = price[:, 1:]
    if how == "mean":
        total = spent + carried * np.nan_to_num(price[:, :-1])
        value = np.divide(total, on_sale, out=value.copy(), where=on_sale > 0)

    seen = np.zeros((m, n + 1), bool)
    seen[code, cell] = True
    keys = pd.concat([events.iloc[known.index][_SOURCE], looks[_SOURCE]])
    source = keys.groupby(_SOURCE, sort=False).ngroup().to_numpy()
    touched = np.zeros((int(source.max(initial=0)) + 1, n + 2), np.int32)
    known_by = _micros(looks["looked_at"])
    look = np.flatnonzero(known_by <= end)
    of = source[len(cell) + look]
    np.add.at(touched, (of, cell_of(_micros(looks["covers_from"])[look])), 1)
    np.add.at(touched, (of, cell_of(known_by[look]) + 1), -1)
    if m:
        seen |= (touched.cumsum(axis=1) > 0)[source[: len(cell)][at], np.arange(n + 1)]
    state = np.where(seen, _UNCHANGED, _NOT_LOOKED).astype(np.int8)
    state[code[changed], cell[changed]] = _CHANGED
    state[np.isnan(price)] = _ABSENT
    offers = events.iloc[known.index[last]]
    ids = pd.Index(offers["offer_id"].astype(object), name="offer_id")
    return Panel(
        times=pd.DatetimeIndex(pd.to_datetime(ends[1:], unit="us", utc=True)).as_unit("us"),
        step=step,
        offers=offers[[c for c in _ABOUT if c in offers]].set_axis(ids),
        price=np.ascontiguousarray(value.T),
        available=np.ascontiguousarray(np.where(at[:, 1:] < 0, np.nan, on_sale / width).T),
        state=np.ascontiguousarray(state[:, 1:].T),
    )


NEVER_OFFERED = ("aws-spot-2015",)
"""Records for models and tests only: the auction years of AWS spot."""


def cheapest(panel: Panel, by: list[str]) -> Panel:
    """Return the lowest price per GPU within each combination of the columns ``by`` of the offers, as one
    offer (its id those values joined by slashes) with what describes the first of them."""
    key = panel.offers[by].astype(str).agg("/".join, axis=1)

    def best(frame: pd.DataFrame, which: str) -> np.ndarray:
        return frame.T.groupby(key.to_numpy()).agg(which).T.to_numpy()

    price = best(panel.frame() / panel.offers["gpu_count"].astype(float), "min")
    available = best(panel.frame("available"), "max")
    seen = panel.frame("state").replace(_ABSENT, len(STATES))  # any change is a change
    state = best(seen, "min") % len(STATES)
    offers = (
        panel.offers.groupby(key.to_numpy()).head(1).set_axis(key.drop_duplicates()).sort_index()
    )
    return Panel(panel.times, panel.step, offers, price, available, state)


def fresh(events: pd.DataFrame, sources: pd.DataFrame) -> pd.DataFrame:
    """Return the events whose source (provider and record) table ``sources`` does not call stale."""
    known = pd.MultiIndex.from_frame(sources.loc[~sources["stale"], ["provider", "source"]])
    mine = pd.MultiIndex.from_arrays([events["provider"].astype(str), events["source"].astype(str)])
    return events[mine.isin(known)]


def current_offers(
    events: pd.DataFrame, looks: pd.DataFrame, *, as_of: object, stale_after_days: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return tables ``offers`` (with source) and ``sources`` at ``as_of``.

    An offer is its price in force, unless withdrawn, and only where its source was looked at (or gave an
    event) no longer than ``stale_after_days`` before ``as_of``. ``sources`` lists every source of
    ``events`` and ``looks`` with its age, the stale ones too; those of ``NEVER_OFFERED`` count as stale.
    """
    if not stale_after_days >= 0:
        raise ParameterError(
            f"stale_after_days {stale_after_days!r} is not a number from 0 up.", "Use 14."
        )
    end = parse_as_of(as_of)
    known = _known(events, end.value // 1000)
    plain = {"offer_id": object, "offer_count": float}
    now = events.iloc[known.index[known["last"]]].reset_index(drop=True).astype(plain)
    gpus = now["gpu_count"].astype(float)
    now["price_usd_per_gpu_hour"] = now["price_usd_per_hour"] / gpus.where(gpus > 0)
    changed_at = known[known["changed"]].groupby("code")["start"].max()
    now["changed_at"] = pd.to_datetime(changed_at.to_numpy(), unit="us", utc=True).as_unit("us")
    now = now[now["price_usd_per_hour"].notna()]

    listed = events.iloc[known.index][[*_SOURCE, "observed_at"]].rename(
        columns={"observed_at": "looked_at"}
    )
    both = pd.concat([listed, looks[[*_SOURCE, "looked_at"]]])
    newest = both[both["looked_at"] <= end].groupby(_SOURCE)["looked_at"].max()
    held = now.groupby(_SOURCE).size().reindex(newest.index, fill_value=0)
    sources = newest.dt.as_unit("us").to_frame().assign(offers=held).reset_index()
    sources["age_days"] = (end - sources["looked_at"]).dt.total_seconds() / 86400
    sources["stale"] = (sources["age_days"] > stale_after_days) | sources["source"].isin(
        NEVER_OFFERED
    )
    offers = now.merge(sources.loc[~sources["stale"], [*_SOURCE, "looked_at"]], on=_SOURCE)
    offers = offers.sort_values("offer_id", ignore_index=True)
    return offers[[*RUN_TABLES["offers"].names, "source"]], sources[RUN_TABLES["sources"].names]
