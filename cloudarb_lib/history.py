"""From events to panels: resample, mark filled cells, cut at as_of; and what is on offer now."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloudarb_lib.errors import DataError, ParameterError
from cloudarb_lib.schema import HANDED_OVER
from cloudarb_lib.types import (
    OFFER_PARTS,
    STATE_ABSENT,
    STATE_CHANGED,
    STATE_NOT_LOOKED,
    STATE_UNCHANGED,
    Panel,
)
from cloudarb_lib.units import parse_as_of, parse_freq

_SPECS = ("vcpus", "memory_gib", "gpu_model", "gpu_count", "gpu_memory_gib")


@dataclass(frozen=True)
class _Known:
    """Events in the order they came into force, as arrays: one row each, sorted by offer.

    ``start`` is when a price was both in effect and seen, in microseconds since 1970;
    ``row`` its position in the frame; ``changed`` false where it repeats the price before it.
    """

    offers: pd.Index
    code: np.ndarray
    start: np.ndarray
    price: np.ndarray
    changed: np.ndarray
    row: np.ndarray

    @property
    def ends(self) -> np.ndarray:
        """True at the last event of each offer."""
        return np.append(self.code[1:] != self.code[:-1], True) if len(self.code) else self.code > 0


def _micros(times: pd.Series) -> np.ndarray:
    if not isinstance(times.dtype, pd.DatetimeTZDtype):
        raise DataError(f"column {times.name} holds naive times.", "Localise them to UTC.")
    return pd.DatetimeIndex(times).as_unit("us").asi8


def _known(events: pd.DataFrame, as_of_us: int) -> _Known:
    """Return the events of ``events`` that were in force at some time up to ``as_of_us``.

    An event counts from the later of effective_at and observed_at on; one that took effect
    before another already known is never in force and is left out.
    """
    ids = events["offer_id"]
    if (
        not isinstance(ids.dtype, pd.CategoricalDtype)
        or not ids.cat.categories.is_monotonic_increasing
    ):
        ids = pd.Series(pd.Categorical(ids.astype(object)))
    code = ids.cat.codes.to_numpy().astype(np.int64)
    effective, observed = _micros(events["effective_at"]), _micros(events["observed_at"])
    start = np.maximum(effective, observed)
    row = np.flatnonzero(start <= as_of_us)
    row = row[np.lexsort((effective[row], start[row], code[row]))]
    code, start, effective = code[row], start[row], effective[row]
    if (start != effective).any():
        _, rank = np.unique(effective, return_inverse=True)
        place = code * (rank.max() + 1) + rank
        keep = place >= np.maximum.accumulate(place)
        row, code, start = row[keep], code[keep], start[keep]
    used, code = np.unique(code, return_inverse=True)
    price = events["price_usd_per_hour"].to_numpy(float)[row]
    same = np.zeros(len(row), bool)
    same[1:] = (code[1:] == code[:-1]) & (
        (price[1:] == price[:-1]) | (np.isnan(price[1:]) & np.isnan(price[:-1]))
    )
    return _Known(ids.cat.categories[used], code, start, price, ~same, row)


def _source_codes(*frames: pd.DataFrame) -> list[np.ndarray]:
    """Return one code per row and frame; equal codes mean equal (provider, source)."""
    keys = pd.concat([f[["provider", "source"]].astype(object) for f in frames])
    provider, _ = pd.factorize(keys["provider"])
    source, names = pd.factorize(keys["source"])
    _, codes = np.unique(provider * (len(names) + 1) + source, return_inverse=True)
    return np.split(codes, np.cumsum([len(f) for f in frames])[:-1])


def _looked(looks: pd.DataFrame, codes: np.ndarray, n_codes: int, grid: _Grid) -> np.ndarray:
    """Return whether a look of each source touches each cell, shape (n_codes, cells + 1)."""
    edges = np.zeros((n_codes, grid.n + 2), np.int32)
    until = _micros(looks["looked_at"])
    known = until <= grid.right
    first, last = grid.cell(_micros(looks["covers_from"])[known]), grid.cell(until[known])
    np.add.at(edges, (codes[known], first), 1)
    np.add.at(edges, (codes[known], last + 1), -1)
    return edges.cumsum(axis=1)[:, :-1] > 0


@dataclass(frozen=True)
class _Grid:
    """Cells (left + (i - 1) step, left + i step], i = 1..n, microseconds; cell 0 is all before."""

    left: int
    step: int
    n: int

    @property
    def right(self) -> int:
        return self.left + self.n * self.step

    def cell(self, times: np.ndarray) -> np.ndarray:
        return np.clip(-((self.left - times) // self.step), 0, self.n)


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

    ``start`` bounds the grid on the left (default: the first event); the price in force there
    is carried in. ``how='last'`` takes the price in force at the end of each cell, NaN where the
    offer is withdrawn; ``how='mean'`` the time-weighted mean over the part of the cell in which
    it was on sale, NaN where there was none. An event enters when it was both in effect and
    seen. ``state`` tells a change of price, a look that found none, and a cell that nobody
    looked at; an event that repeats the price is a look. Only rows seen by ``as_of`` count.
    """
    if how not in ("last", "mean"):
        raise ParameterError(f"how {how!r} is unknown.", "Use last or mean.")
    step = pd.Timedelta(freq) if isinstance(freq, pd.Timedelta) else parse_freq(freq)
    end = parse_as_of(as_of)
    known = _known(events, end.value // 1000)
    if len(known.code):
        begin = known.start.min() if start is None else parse_as_of(start).value // 1000
        span, width = end.value // 1000 - int(begin), step.value // 1000
        # A first event on a cell edge opens its own cell: the cell to the right ends after it.
        n = max(-(-span // width), 0) + (start is None and span % width == 0)
    else:
        width, n = step.value // 1000, 0
    grid = _Grid(end.value // 1000 - n * width, width, n)
    m = len(known.offers)
    cell = grid.cell(known.start)
    at = np.full((m, n + 1), -1, np.int64)
    last = np.append((np.diff(known.code) != 0) | (np.diff(cell) != 0), True)[: len(cell)]
    at[known.code[last], cell[last]] = np.flatnonzero(last)
    np.maximum.accumulate(at, axis=1, out=at)
    price = np.append(known.price, np.nan)[at]
    on_sale, mean = _time_weighted(known, grid, cell, price)
    available = np.where(at[:, 1:] < 0, np.nan, on_sale / width)

    seen = np.zeros((m, n + 1), bool)
    seen[known.code, cell] = True
    sources, look_codes = _source_codes(events.iloc[known.row], looks)
    n_codes = int(max([-1, *sources, *look_codes])) + 1 if len(sources) + len(look_codes) else 0
    looked = _looked(looks, look_codes, n_codes, grid)
    seen |= looked[np.append(sources, 0)[at], np.arange(n + 1)] if m else False
    state = np.where(seen, STATE_UNCHANGED, STATE_NOT_LOOKED).astype(np.int8)
    state[known.code[known.changed], cell[known.changed]] = STATE_CHANGED
    state[np.isnan(price)] = STATE_ABSENT

    value = price[:, 1:] if how == "last" else mean
    return Panel(
        times=pd.DatetimeIndex(end - step * np.arange(n)[::-1]).as_unit("us"),
        step=step,
        offers=_describe(events.iloc[known.row[known.ends]], known.offers),
        price=np.ascontiguousarray(value.T),
        available=np.ascontiguousarray(available.T),
        state=np.ascontiguousarray(state[:, 1:].T),
    )


def _time_weighted(
    known: _Known, grid: _Grid, cell: np.ndarray, price: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return time on sale (microseconds) and mean price over it, shape (offers, cells).

    Each cell is the price carried in until its first event, then each event until the next.
    """
    m, n = price.shape[0], grid.n
    ends = grid.left + np.arange(n + 1) * grid.step
    until = np.minimum(np.where(known.ends, ends[-1], np.append(known.start[1:], 0)), ends[cell])
    held = np.where(cell > 0, until - known.start, 0) * ~np.isnan(known.price)
    place = known.code * (n + 1) + cell
    inside = np.bincount(place, held, m * (n + 1)).reshape(m, n + 1)[:, 1:]
    paid = np.bincount(place, held * np.nan_to_num(known.price), m * (n + 1))
    carried = np.full((m, n + 1), grid.step, np.int64)
    first = np.append(True, place[1:] != place[:-1])[: len(place)]
    carried[known.code[first], cell[first]] = (known.start - (ends[cell] - grid.step))[first]
    before = price[:, :-1]
    carry = np.where(np.isnan(before), 0, carried[:, 1:])
    on_sale = inside + carry
    total = paid.reshape(m, n + 1)[:, 1:] + carry * np.nan_to_num(before)
    mean = np.divide(total, on_sale, out=price[:, 1:].copy(), where=on_sale > 0)
    return on_sale, mean


def _describe(rows: pd.DataFrame, offer_ids: pd.Index) -> pd.DataFrame:
    columns = [c for c in (*OFFER_PARTS, "price_kind", *_SPECS) if c in rows.columns]
    frame = rows[columns].reset_index(drop=True)
    frame.index = pd.Index(offer_ids.astype(object), name="offer_id")
    return frame


def current_offers(
    events: pd.DataFrame, looks: pd.DataFrame, *, as_of: object, stale_after_days: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return tables ``offers`` and ``sources`` at ``as_of``.

    An offer is its price in force, unless withdrawn, and only where its source was looked at
    (or gave an event) no longer than ``stale_after_days`` before ``as_of``. ``sources`` lists
    every source of ``events`` and ``looks`` with its age, the stale ones too.
    """
    if not stale_after_days >= 0:
        raise ParameterError(
            f"stale_after_days {stale_after_days!r} is not a positive number.", "Use 14."
        )
    end = parse_as_of(as_of)
    known = _known(events, end.value // 1000)
    rows = events.iloc[known.row[known.ends]]
    now = rows[["provider", "source"]].astype(object).reset_index(drop=True)
    for name in ("price_kind", *_SPECS, "offer_count"):
        now[name] = (
            rows[name].to_numpy() if name != "offer_count" else rows[name].astype(float).to_numpy()
        )
    now = pd.concat([_describe(rows, known.offers).reset_index()[["offer_id"]], now], axis=1)
    for part in OFFER_PARTS[1:]:
        now[part] = rows[part].to_numpy()
    now["price_usd_per_hour"] = known.price[known.ends]
    count = now["gpu_count"].astype(float)
    now["price_usd_per_gpu_hour"] = now["price_usd_per_hour"] / count.where(count > 0)
    last_change = np.zeros(len(known.offers), np.int64)
    last_change[known.code[known.changed]] = known.start[known.changed]
    now["changed_at"] = pd.to_datetime(last_change, unit="us", utc=True).as_unit("us")
    now = now[now["price_usd_per_hour"].notna()]

    seen = events.iloc[known.row].rename(columns={"observed_at": "seen"})[
        ["provider", "source", "seen"]
    ]
    looked = looks.rename(columns={"looked_at": "seen"})[["provider", "source", "seen"]]
    both = pd.concat([seen, looked[looked["seen"] <= end]]).astype(
        {"provider": object, "source": object}
    )
    sources = (
        both.groupby(["provider", "source"], sort=True)["seen"]
        .max()
        .rename("looked_at")
        .reset_index()
    )
    sources["looked_at"] = pd.DatetimeIndex(sources["looked_at"]).as_unit("us")
    sources["age_days"] = (end - sources["looked_at"]) / pd.Timedelta(days=1)
    held = now.groupby(["provider", "source"]).size().rename("offers").reset_index()
    sources = sources.merge(held, how="left", on=["provider", "source"]).fillna({"offers": 0})
    sources["offers"] = sources["offers"].astype(np.int64)
    sources["stale"] = sources["age_days"] > stale_after_days
    offers = now.merge(sources.loc[~sources["stale"], ["provider", "source", "looked_at"]])
    offers = offers.sort_values("offer_id", ignore_index=True)
    return offers[[*HANDED_OVER["offers"].names, "source"]], sources[HANDED_OVER["sources"].names]
