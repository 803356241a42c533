"""What a source is: how it recognises its file, reads it in pieces, and makes rows of a piece.

docs/add-a-source.md says how to add one; ``registry`` finds it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from pathlib import Path
from typing import ClassVar, Generic, TextIO, TypeVar

import pyarrow as pa

LINE = "line_read"
"""Name of the column of parsed rows that holds their line."""
PIECE_ROWS = 131_072
"""Rows handled at a time: what bounds the memory."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Item = TypeVar("Item")
Piece = TypeVar("Piece")


@dataclass(frozen=True)
class Reason:
    """Why a row goes to quarantine.

    Parameters
    ----------
    name : str
        Its code in table ``quarantine``, such as ``price_negative``.
    fault : str
        What is wrong, as the end of a sentence: "is negative".
    way_out : str
        What to do about it, '' where the fault says it already.
    """

    name: str
    fault: str
    way_out: str = ""

    @property
    def predicate(self) -> str:
        """The fault and the way out, to stand behind what they are about."""
        return f"{self.fault}; {self.way_out}" if self.way_out else self.fault


MISSING_COLUMN = Reason("missing_column", "is not there", "give every column that the table needs")
UNKNOWN_COLUMN = Reason("unknown_column", "is no column of the table", "remove or rename it")
ROW_UNREADABLE = Reason("row_unreadable", "does not end as CSV should", "check its quotes")


@dataclass(frozen=True)
class UnreadRow:
    """A row that cannot be read: its line, why, what the reason is about, and its text."""

    line: int
    reason: Reason
    subject: str
    text: str

    @property
    def detail(self) -> str:
        """The sentence for people: what, where, the way out."""
        return f"{self.subject} {self.reason.predicate}."


@dataclass(frozen=True)
class Scope:
    """A part of a market that a file shows whole: an offer in it that the file lacks is withdrawn.

    Parameters
    ----------
    provider : str
        As in ``price_events``.
    region, purchase_option : str
        '' stands for each of them.
    """

    provider: str
    region: str = ""
    purchase_option: str = ""


OWN_COLUMNS = ""
"""Stands for a table where the columns alone tell which of ours it is: files of our own tables."""


@dataclass(frozen=True)
class Parsed:
    """What a piece holds.

    Texts need not be understood: the store reads them, and checks every value.

    Parameters
    ----------
    tables : dict of str to pyarrow.Table
        Rows by the name of a stored table, or ``OWN_COLUMNS``: its columns, ``LINE`` the last.
    unread : list of UnreadRow
        Rows that cannot be put into columns.
    whole : tuple of Scope
        Which parts of the market the file shows whole; empty: it vouches for its own rows alone.
    notices : tuple of str
        Sentences for the person who brought the file, such as that a listing is cut short.
    seen_at : str
        The one time that a file without times of its rows says of itself, such as the publication
        of a price list: rows without a time are of then, where whoever brings the file does not
        say when it was seen. '': it says none. Tables ``price_events``, ``evidence`` and
        ``interruption_bands`` may leave their times out so.
    source : str
        Name of the source; ``registry.read`` fills it in.
    """

    tables: dict[str, pa.Table]
    unread: list[UnreadRow]
    whole: tuple[Scope, ...] = ()
    notices: tuple[str, ...] = ()
    seen_at: str = ""
    source: str = ""


class Match(IntEnum):
    """How well the beginning of a file fits a source; the best fit gets the file."""

    NO = 0
    FORMAT = 1
    """Its format without its marks: the file is its own where no other source claims it."""
    OWN = 2
    """Its format and its marks, such as the names of its columns."""


class Source(ABC, Generic[Piece]):
    """A record of prices, machines or looks that the store can take in.

    A subclass in a module of this package is found by the registry. It holds no state: one
    instance reads many files. ``fetch`` does all input and output, ``parse`` none.
    """

    name: ClassVar[str]
    """Its name, that of its folder of fixtures, and what column ``source`` says of its prices
    (prices of our own files say themselves where they come from)."""
    gone_after_hours: ClassVar[float | None] = None
    """For a history that repeats each offer at least so often: an offer that is silent for longer
    is gone from then on. None: silence says nothing."""

    second_hand: ClassVar[bool] = False
    """Whether it repeats what others publish: its prices count only where none of another source
    is known of the same machine, place, option and term."""
    in_parts: ClassVar[bool] = False
    """Whether an archive may hold several files of it, which are taken in together."""

    @abstractmethod
    def recognises(self, head: bytes) -> Match:
        """Tell by the beginning of a file whether it is one of this source.

        Parameters
        ----------
        head : bytes
            The first 4096 bytes of the file, less where it is shorter; of Parquet followed by those
            that name its columns.
        """

    @abstractmethod
    def fetch(self, path: Path) -> Iterator[Piece]:
        """Read a file piece by piece, each row with the line at which it stands.

        Raises
        ------
        DataError
            Where the file cannot be read to its end; the store then drops all of it.
        OSError
            Where the system cannot read it.
        """

    @abstractmethod
    def parse(self, piece: Piece) -> Parsed:
        """Make rows of a piece; the same piece always gives the same rows.

        Raises
        ------
        DataError
            Where the piece shows that the file is none of this source.
        """


def open_text(path: Path) -> TextIO:
    """Open a text file, its line ends kept; bytes that are no UTF-8 become U+FFFD."""
    return path.open(encoding="utf-8-sig", errors="replace", newline="")


def start_of_text(head: bytes) -> bytes:
    """Return the beginning of a file from its first printable character on."""
    return head.removeprefix(BYTE_ORDER_MARK).lstrip()


def in_pieces(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield lists of ``PIECE_ROWS`` items each, the last one shorter."""
    remaining = iter(items)
    while piece := list(islice(remaining, PIECE_ROWS)):
        yield piece


def text_table(names: Sequence[str], rows: Sequence[Sequence[object]]) -> pa.Table:
    """Return rows of texts as a table.

    Parameters
    ----------
    names : sequence of str
        Columns of one of our tables, see data/README.md.
    rows : sequence of sequences
        A text (or None) for each name, then the line of the row.
    """
    columns = list(zip(*rows, strict=True)) or [()] * (len(names) + 1)
    types = [*[pa.string()] * len(names), pa.int64()]
    arrays = [pa.array(values, dtype) for values, dtype in zip(columns, types, strict=True)]
    return pa.Table.from_arrays(arrays, [*names, LINE])
