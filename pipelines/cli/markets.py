"""The market that a verb is asked about: as its options say it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloudarb_lib.market import Market

STALE_AFTER_DAYS = "14"
"""Age of a price from which on it is left out, where no option says otherwise."""


def market_on(
    day: str,
    store_dir: str,
    *,
    providers: Sequence[str] | None,
    stale_after_days: Sequence[str] | None,
    listed_too: bool = False,
) -> Market:
    """Return the market that was known at the end of a day.

    Parameters
    ----------
    day, store_dir : str
        As options ``--as-of`` and ``--store`` give them.
    providers : sequence of str, optional
        Whose offers count; all without it.
    stale_after_days : sequence of str, optional
        As option ``--stale-after-days`` gives them, DAYS or SOURCE=DAYS.
    listed_too : bool
        Whether what is listed, and not known to be sold, is offered too.

    Raises
    ------
    ParameterError
        As ``read_market``, and for a day or an age that cannot be read.
    """
    from cloudarb_lib import store
    from cloudarb_lib.base.units import parse_as_of
    from cloudarb_lib.market import read_market
    from cloudarb_lib.market.freshness import days_by_source

    as_of = parse_as_of(day)
    with store.open_snapshot(store_dir) as snapshot:
        return read_market(
            snapshot,
            as_of,
            providers=providers,
            stale_after_days=days_by_source([STALE_AFTER_DAYS, *(stale_after_days or ())]),
            listed_too=listed_too,
        )
