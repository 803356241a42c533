"""Which offers a look was at, and when each offer was last observed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cloudarb_lib.market.events import GONE, IN_DOUBT, NEVER_US, microseconds

MARKET_PART = ["provider", "source", "region", "purchase_option"]
"""What names a part of a market that a look is at."""
_WILDCARDS = ("region", "purchase_option")
"""Columns of looks in which '' stands for every value."""


@dataclass(frozen=True)
class LookScopes:
    """The parts of a market that events lie in, and the looks that were at each of them.

    A part is one provider, source, region and purchase option; a look may be at many.

    Attributes
    ----------
    of_event
        Number of the part in which each event lies.
    parts
        How many parts there are.
    part, look
        Pairs of a part and the position of a look that was at it.
    looked_at, covers_from
        Of each look up to the end, microseconds since 1970.
    """

    of_event: np.ndarray
    parts: int
    part: np.ndarray
    look: np.ndarray
    looked_at: np.ndarray
    covers_from: np.ndarray

    @classmethod
    def of(cls, events: pd.DataFrame, looks: pd.DataFrame, end_us: int) -> LookScopes:
        """Return the parts in which ``events`` lie, with the looks at them up to ``end_us``."""
        of_event = events.groupby(MARKET_PART, sort=False, observed=True).ngroup().to_numpy()
        parts = events.loc[~pd.Series(of_event, events.index).duplicated().to_numpy(), MARKET_PART]
        parts = parts.astype(object).assign(part=np.arange(len(parts)))
        looked_at = microseconds(looks["looked_at"])
        known = looked_at <= end_us
        scopes = looks.loc[known, MARKET_PART].astype(object).assign(look=np.arange(known.sum()))
        pairs = pd.concat(_matches(parts, scopes))
        return cls(
            of_event=of_event,
            parts=len(parts),
            part=pairs["part"].to_numpy(int),
            look=pairs["look"].to_numpy(int),
            looked_at=looked_at[known],
            covers_from=microseconds(looks["covers_from"])[known],
        )

    def in_cells(self, cell_of: Callable[[np.ndarray], np.ndarray], cells: int) -> np.ndarray:
        """Return in which cells of a grid each part was looked at.

        A look covers all cells from ``covers_from`` to ``looked_at``.

        Parameters
        ----------
        cell_of
            Cell in which each time lies.

        Returns
        -------
        np.ndarray of shape (parts, cells)
            At least one row, also where there is no part.
        """
        counted = np.zeros((max(self.parts, 1), cells + 1), np.int32)
        np.add.at(counted, (self.part, cell_of(self.covers_from)[self.look]), 1)
        np.add.at(counted, (self.part, cell_of(self.looked_at)[self.look] + 1), -1)
        return counted.cumsum(axis=1)[:, :cells] > 0

    def newest_us(self) -> np.ndarray:
        """Return the newest look at each part, microseconds since 1970; of none ``NEVER_US``."""
        newest = np.full(self.parts, NEVER_US)
        np.maximum.at(newest, self.part, self.looked_at[self.look])
        return newest


def _matches(parts: pd.DataFrame, scopes: pd.DataFrame) -> list[pd.DataFrame]:
    """Return the pairs of part and look, by which of ``_WILDCARDS`` the look leaves open."""
    pairs = []
    is_open = pd.DataFrame({name: scopes[name] == "" for name in _WILDCARDS})
    for left_open, group in scopes.groupby([is_open[name] for name in _WILDCARDS]):
        open_names = [n for n, is_free in zip(_WILDCARDS, left_open, strict=True) if is_free]
        by = [name for name in MARKET_PART if name not in open_names]
        pairs.append(parts.merge(group.drop(columns=open_names), on=by)[["part", "look"]])
    return pairs or [pd.DataFrame({"part": [], "look": []})]


def newest_observation_us(in_force: pd.DataFrame, scopes: LookScopes) -> np.ndarray:
    """Return when the offer of each event was last observed with a price, microseconds since 1970.

    Its own events are observations, those in doubt aside, and so are the looks at the part of the
    market in which it lies; while it is in doubt or gone, no look vouches for it.

    Parameters
    ----------
    in_force
        As ``came_into_force`` returns it.
    scopes
        Of the same events.

    Returns
    -------
    np.ndarray
        A row per event, alike in all of one offer; ``NEVER_US`` where it never was.
    """
    observed = in_force["observed"].where(in_force["cause"] != IN_DOUBT, NEVER_US)
    own = observed.groupby(in_force["code"]).transform("max").to_numpy()
    last_cause = in_force.groupby("code")["cause"].transform("last")
    looked = np.where(
        last_cause.isin((IN_DOUBT, GONE)), NEVER_US, scopes.newest_us()[scopes.of_event]
    )
    newest: np.ndarray = np.maximum(own, looked)
    return newest
