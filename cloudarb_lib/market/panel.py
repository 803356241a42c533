"""From price events to panels: prices on a regular grid, with what was on sale and observed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.types import (
    OFFER_PARTS,
    STATE_ABSENT,
    STATE_CHANGED,
    STATE_NOT_LOOKED,
    STATE_UNCHANGED,
    STATES,
    Panel,
)
from cloudarb_lib.base.units import parse_as_of, parse_freq
from cloudarb_lib.market.events import GONE, came_into_force, silence_allowed_us, to_times
from cloudarb_lib.market.looks import MARKET_PART, LookScopes, newest_observation_us

_ABOUT = [
    *OFFER_PARTS,
    "price_kind",
    "vcpus",
    "memory_gib",
    "gpu_model",
    "gpu_count",
    "gpu_memory_gib",
    "observed_at",
]
_FROM_EVENTS = [*_ABOUT, "offer_id", "gone_after_hours"]


@dataclass(frozen=True)
class _Grid:
    """Cells of one width, in microseconds.

    Cell i covers (ends[i - 1], ends[i]], cell 0 all before.
    """

    width: int
    ends: np.ndarray

    def cell_of(self, times: np.ndarray) -> np.ndarray:
        """Return the cell in which each time lies."""
        cells: np.ndarray = -((self.ends[0] - times) // self.width)
        return cells.clip(0, len(self.ends) - 1)


@dataclass(frozen=True)
class _GridEvents:
    """The events that came into force, by offer and time, and the cell of the grid of each."""

    grid: _Grid
    offer: np.ndarray
    start: np.ndarray
    end: np.ndarray  # until the next event of the offer, at most the end of the cell
    price: np.ndarray
    changed: np.ndarray
    gone: np.ndarray
    cell: np.ndarray
    offers: int

    @property
    def shape(self) -> tuple[int, int]:
        """Offers and cells, the cell before the grid included."""
        return self.offers, len(self.grid.ends)

    @property
    def place(self) -> np.ndarray:
        """Position of each event's cell in an array of ``shape`` laid out flat."""
        places: np.ndarray = self.offer * len(self.grid.ends) + self.cell
        return places


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

    An event enters when it was both in effect and observed; one that repeats the price counts as
    an observation.

    Parameters
    ----------
    events, looks
        Price events and observations of their sources, as a snapshot of the store returns them.
    freq
        Width of a cell.
    start
        Bounds the grid on the left (default: the first event); the price in force there is
        carried in.
    how
        ``last`` takes the price in force at the end of each cell; ``mean`` the time-weighted mean
        over the part of the cell in which the offer was on sale.

    Returns
    -------
    Panel
        Offers in the order of their ids, with ``observed_at``, when each was last observed.
        ``price`` is NaN where the offer is not on sale, with ``mean`` where it never was in the
        cell. ``state`` tells a change of price, an observation of this offer that found none, and a
        cell in which nobody looked at it.

    Raises
    ------
    ParameterError
        Where ``how`` or ``freq`` is unknown.
    DataError
        Where times are naive.
    """
    if how not in ("last", "mean"):
        raise ParameterError(f"how {how!r} is unknown.", "Use last or mean.")
    step = freq if isinstance(freq, pd.Timedelta) else parse_freq(freq)
    end_us = _whole_us(parse_as_of(as_of))
    in_force = came_into_force(events, end_us)
    grid = _grid(in_force, start, end_us=end_us, width=_whole_us(step))
    placed = _on_grid(in_force, grid, end_us)
    newest = _newest_event(placed)
    price = np.append(placed.price, np.nan)[newest]
    on_sale, paid = _time_on_sale(placed, price)
    cells = price[:, 1:]
    if how == "mean":
        cells = np.divide(paid, on_sale, out=cells.copy(), where=on_sale > 0)
    columns = [name for name in (*_FROM_EVENTS, *MARKET_PART) if name in events]
    in_force_events = events[list(dict.fromkeys(columns))].iloc[in_force.index]
    scopes = LookScopes.of(in_force_events[MARKET_PART], looks, end_us)
    observed = scopes.in_cells(grid.cell_of, len(grid.ends))
    seen = observed[scopes.of_event[newest], np.arange(len(grid.ends))]
    seen |= _between_records(placed, silence_allowed_us(in_force_events))
    state = _states(placed, price, seen)
    observed_at = to_times(newest_observation_us(in_force, scopes))
    return Panel(
        times=to_times(grid.ends[1:]),
        step=step,
        offers=_offers(
            in_force_events.assign(observed_at=observed_at)[in_force["last"].to_numpy()]
        ),
        price=np.ascontiguousarray(cells.T),
        available=np.ascontiguousarray(np.where(newest[:, 1:] < 0, np.nan, on_sale / grid.width).T),
        state=np.ascontiguousarray(state[:, 1:].T),
    )


def _offers(last_events: pd.DataFrame) -> pd.DataFrame:
    """Return what is known of each offer, by its id, from its last event."""
    ids = pd.Index(last_events["offer_id"].astype(object), name="offer_id")
    return last_events[[column for column in _ABOUT if column in last_events]].set_axis(ids)


def _whole_us(time: pd.Timestamp | pd.Timedelta) -> int:
    return time.value // 1000


def _grid(in_force: pd.DataFrame, start: object, *, end_us: int, width: int) -> _Grid:
    """Return the cells up to ``end_us`` that reach back to ``start``, else to the first event."""
    cells = 0
    if len(in_force):
        # The cell of a first event on an edge is the one that ends there, hence the extra one.
        first = int(in_force["start"].min()) - 1
        begin = first if start is None else _whole_us(parse_as_of(start))
        cells = max(-(-(end_us - begin) // width), 0)
    left = end_us - cells * width
    return _Grid(width, left + np.arange(cells + 1) * width)


def _on_grid(in_force: pd.DataFrame, grid: _Grid, end_us: int) -> _GridEvents:
    """Return the events of ``came_into_force``, each with its cell and how far it reaches in it."""
    start = in_force["start"].to_numpy()
    last = in_force["last"].to_numpy()
    cell = grid.cell_of(start)
    following = np.append(start[1:], 0)[: len(start)]
    return _GridEvents(
        grid=grid,
        offer=in_force["code"].to_numpy(),
        start=start,
        end=np.minimum(np.where(last, end_us, following), grid.ends[cell]),
        price=in_force["price"].to_numpy(),
        changed=in_force["changed"].to_numpy(),
        gone=in_force["cause"].eq(GONE).to_numpy(),
        cell=cell,
        offers=int(last.sum()),
    )


def _newest_event(placed: _GridEvents) -> np.ndarray:
    """Return the event in force at the end of each cell, offers x cells; -1 before the first."""
    newest = np.full(placed.shape, -1)
    newest.reshape(-1)[placed.place] = np.arange(len(placed.place))  # the last one of a cell stays
    return np.maximum.accumulate(newest, axis=1)


def _time_on_sale(placed: _GridEvents, price: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how long each offer was on sale in each cell, and what that time cost.

    A cell is the price carried in until its first event, then each event until the next. Both are
    offers x cells, without the cell before the grid, in microseconds, and these times USD per hour.
    """
    grid = placed.grid
    first = np.diff(placed.place, prepend=-1) != 0
    begins = grid.ends[placed.cell] - grid.width
    carried = np.full(placed.shape, grid.width)
    carried.reshape(-1)[placed.place[first]] = (placed.start - begins)[first]
    carried_price = price[:, :-1]
    carried = np.where(np.isnan(carried_price), 0, carried[:, 1:])

    lasted = np.where(placed.cell > 0, placed.end - placed.start, 0) * ~np.isnan(placed.price)

    def in_cells(amount: np.ndarray) -> np.ndarray:
        total = np.bincount(placed.place, amount, price.size)
        return total.reshape(placed.shape)[:, 1:]

    on_sale = in_cells(lasted) + carried
    paid = in_cells(lasted * np.nan_to_num(placed.price)) + carried * np.nan_to_num(carried_price)
    return on_sale, paid


def _between_records(placed: _GridEvents, allowed_us: np.ndarray | None) -> np.ndarray:
    """Return in which cells each offer was observed since its source repeats it, offers x cells.

    Between two records of an offer that lie no further apart than its source may be silent of it,
    it was observed in all cells; ``allowed_us`` tells that for each event.
    """
    offers, cells = placed.shape
    if allowed_us is None:
        return np.zeros(placed.shape, bool)
    follows = np.append(placed.offer[1:] == placed.offer[:-1], False)
    gap = np.append(np.diff(placed.start), 0)
    told_again = follows & ~np.append(placed.gone[1:], False)
    close = np.flatnonzero(told_again & (gap <= allowed_us) & np.isfinite(allowed_us))
    counted = np.zeros((offers, cells + 1), np.int32)
    np.add.at(counted, (placed.offer[close], placed.cell[close]), 1)
    np.add.at(counted, (placed.offer[close], placed.cell[close + 1] + 1), -1)
    return counted.cumsum(axis=1)[:, :cells] > 0


def _states(placed: _GridEvents, price: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return the code of ``STATES`` of each cell, offers x cells.

    ``observed`` tells, offers x cells, where the price in force was observed without an event.
    """
    seen = observed.copy()
    seen[placed.offer, placed.cell] = True  # an event is an observation
    state = np.where(seen, STATE_UNCHANGED, STATE_NOT_LOOKED).astype(np.int8)
    state[placed.offer[placed.changed], placed.cell[placed.changed]] = STATE_CHANGED
    state[np.isnan(price)] = STATE_ABSENT
    return state


def cheapest(panel: Panel, by: list[str]) -> Panel:
    """Return the lowest price per GPU within each combination of columns of the offers.

    Parameters
    ----------
    panel
        Offers with a GPU.
    by
        Columns of ``panel.offers``.

    Returns
    -------
    Panel
        One offer for each combination, in the order of its id, which is the values of ``by``
        joined by slashes; described by the first offer of it. Prices are USD per GPU-hour; the
        state is changed where any of the offers changed.
    """
    key = panel.offers[by].astype(str).agg("/".join, axis=1)

    def over_offers(frame: pd.DataFrame, which: str) -> np.ndarray:
        return frame.T.groupby(key.to_numpy()).agg(which).T.to_numpy()

    per_gpu = panel.frame() / panel.offers["gpu_count"].astype(float)
    # Absent counts as the highest code, so that a change of any offer is the lowest.
    absent_last = panel.frame("state").replace(STATE_ABSENT, len(STATES))
    first = panel.offers.groupby(key.to_numpy()).head(1)
    return Panel(
        times=panel.times,
        step=panel.step,
        offers=first.set_axis(key.drop_duplicates()).sort_index(),
        price=over_offers(per_gpu, "min"),
        available=over_offers(panel.frame("available"), "max"),
        state=over_offers(absent_last, "min") % len(STATES),
    )
