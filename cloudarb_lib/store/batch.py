"""What is brought to a store: a file, when it was seen, and what it shows whole."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cloudarb_lib.base.errors import ParameterError
from cloudarb_lib.base.units import ensure_utc
from cloudarb_lib.sources import registry
from cloudarb_lib.sources.base import Parsed, Scope
from cloudarb_lib.sources.column_map import ColumnMap
from cloudarb_lib.sources.names.providers import canonical_provider
from cloudarb_lib.store.rates import Rate
from cloudarb_lib.tables.schema import PURCHASE_OPTIONS


@dataclass(frozen=True)
class Batch:
    """A file to take in, with what it does not say itself.

    Parameters
    ----------
    path : Path
        The file.
    seen_at : pandas.Timestamp, optional
        When it was downloaded: rows without a time of their own are of then. Without it that is
        what the file says of itself, else its time of modification.
    whole : tuple of Scope
        Parts of the market that it shows whole: what is on sale there, and missing in the file, is
        withdrawn. Files of one call that name the same scope show it together, page by page.
    mapping : ColumnMap, optional
        How its columns are ours, for a file of no known source.
    confirmed : bool
        Whether a person confirmed what it withdraws, however much that is.
    look : str
        Names the observation that it is a part of, where files of several are given at once, in
        the order of their times: each is settled before files of the next one are read.
    rates : tuple of Rate
        By which its prices in other currencies are brought to USD; without one they are held back.
    pieces : iterable of Parsed, optional
        What it holds, as ``registry.read`` gave it before: it is not read again. Each iteration
        gives all of them. None: it is read when its turn comes.
    """

    path: Path
    seen_at: pd.Timestamp | None = None
    whole: tuple[Scope, ...] = ()
    mapping: ColumnMap | None = None
    confirmed: bool = False
    look: str = ""
    rates: tuple[Rate, ...] = ()
    pieces: Iterable[Parsed] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))
        if self.seen_at is not None:
            object.__setattr__(self, "seen_at", ensure_utc(self.seen_at, "seen_at"))

    def read(self) -> Generator[Parsed, None, None]:
        """Yield what the file holds, piece by piece.

        Raises
        ------
        DataError
            Where it cannot be read to its end: the caller then drops what it was given of it.
        """
        yield from registry.read(self.path, self.mapping) if self.pieces is None else self.pieces


def scope_of(text: str) -> Scope:
    """Return the part of a market that a text names: PROVIDER, /REGION and /OPTION where given.

    Raises
    ------
    ParameterError
        Where it names no provider, more than three things, or an unknown purchase option.
    """
    provider, *others = (part.strip() for part in text.split("/"))
    region, option = ([*others, "", ""])[:2]
    if not provider or len(others) > 2:
        raise ParameterError(f"{text!r} names no part of a market.", "Write gcp/us-east1/spot.")
    if option not in ("", *PURCHASE_OPTIONS):
        raise ParameterError(f"purchase option {option!r} is unknown.", f"Use {PURCHASE_OPTIONS}.")
    return Scope(canonical_provider(provider), region, option)


def scope_text(scope: Scope) -> str:
    """Return a scope as ``scope_of`` reads it."""
    return f"{scope.provider}/{scope.region}/{scope.purchase_option}".rstrip("/")
