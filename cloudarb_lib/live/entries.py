"""What stands in the journal of a collection: answers, and what failed for good."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

import pandas as pd

from cloudarb_lib.live.feed import Part
from cloudarb_lib.live.raw import RawFile
from cloudarb_lib.sources.base import Scope


@dataclass(frozen=True)
class Response:
    """A part as it was fetched.

    Parameters
    ----------
    number : int
        Its number in the journal.
    feed : str
        Name of the feed.
    part : Part
        What was asked for.
    file : RawFile
        What came.
    begun_at : Timestamp
        When the fetch began.
    seen_at : Timestamp
        Time of what it says: when it was fetched, or of the version of the past.
    look : str
        Names the observation that it is a part of: the cycle, or the version of the past.
    complete : bool
        Whether it was fetched to its end.
    confirmed : bool
        Whether a person looked at it and found it right: no check holds it.
    """

    number: int
    feed: str
    part: Part
    file: RawFile
    begun_at: pd.Timestamp
    seen_at: pd.Timestamp
    look: str
    complete: bool
    confirmed: bool = False


@dataclass(frozen=True)
class Fault:
    """Why a part is not stored as it should be.

    Parameters
    ----------
    reason : str
        fetch (no whole answer came), unreadable, empty, or the name of a check.
    what, way_out : str
        The sentence for people.
    response : int, optional
        Number of the response that is held; None where nothing came.
    """

    reason: str
    what: str
    way_out: str
    response: int | None = None

    @property
    def words(self) -> tuple[str, str, str]:
        """Reason, sentence and way out."""
        return self.reason, self.what, self.way_out


@dataclass(frozen=True)
class DeadLetter:
    """What failed for good, until a person or a later cycle mends it.

    Parameters
    ----------
    number : int
        Its number.
    feed : str
        Name of the feed.
    part : Part
        What was asked for; its name is '' where the feed could not even tell its parts.
    fault : Fault
        Why.
    first_at, last_at : Timestamp
        When it failed first, and last.
    tries : int
        How often it failed.
    """

    number: int
    feed: str
    part: Part
    fault: Fault
    first_at: pd.Timestamp
    last_at: pd.Timestamp
    tries: int


def part_text(part: Part) -> str:
    """Return a part as the journal keeps it."""
    return json.dumps(
        {
            "name": part.name,
            "suffix": part.suffix,
            "whole": [[s.provider, s.region, s.purchase_option] for s in part.whole],
            "seen_at": None if part.seen_at is None else part.seen_at.isoformat(),
            "detail": dict(part.detail),
        }
    )


def part_of(text: str) -> Part:
    """Return the part that ``part_text`` gave."""
    values = json.loads(text)
    seen_at = values["seen_at"]
    return Part(
        name=values["name"],
        suffix=values["suffix"],
        whole=tuple(Scope(*scope) for scope in values["whole"]),
        seen_at=None if seen_at is None else pd.Timestamp(seen_at),
        detail=values["detail"],
    )


def response_of(row: sqlite3.Row) -> Response:
    """Return the response that a row of the journal holds."""
    return Response(
        number=row["id"],
        feed=row["feed"],
        part=part_of(row["part"]),
        file=RawFile(row["sha256"], row["suffix"], row["bytes"]),
        begun_at=pd.Timestamp(row["begun_at"]),
        seen_at=pd.Timestamp(row["seen_at"]),
        look=row["look"],
        complete=bool(row["complete"]),
        confirmed=bool(row["confirmed"]),
    )
