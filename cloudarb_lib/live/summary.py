"""What a cycle brought, for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass
class FeedSummary:
    """What a cycle brought of one feed.

    Parameters
    ----------
    feed, provider : str
        Its names.
    parts, failed : int
        Parts that were asked for, and those that did not come to their end.
    rows, changed, unchanged, held : int
        Rows of its files: read, new or corrected, stored alike, held back with a reason.
    withheld : int
        Files that a check or the store refused whole.
    stale_parts : int
        Parts that had no whole answer for two days.
    skipped : str
        Why it was not asked, '' where it was.
    latency_ms : float
        The middle of its provider's requests; NaN where there was none.
    retries : int
        Requests of its provider that were tried again.
    breaker : str
        Where its provider's circuit breaker stands.
    """

    feed: str
    provider: str
    parts: int = 0
    failed: int = 0
    rows: int = 0
    changed: int = 0
    unchanged: int = 0
    held: int = 0
    withheld: int = 0
    stale_parts: int = 0
    skipped: str = ""
    latency_ms: float = np.nan
    retries: int = 0
    breaker: str = "closed"


@dataclass
class CycleReport:
    """What a cycle of collection brought.

    Parameters
    ----------
    feeds : list of FeedSummary
        By name.
    notices : list of str
        What whoever runs it should know.
    failures : list of str
        Why parts failed or were refused, a sentence each.
    digest : str
        Snapshot in force afterwards, '' where there is none.
    published : bool
        Whether it is a new one.
    seconds : float
        How long the cycle took.
    """

    feeds: list[FeedSummary] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    digest: str = ""
    published: bool = False
    seconds: float = 0.0

    @property
    def anything_fetched(self) -> bool:
        """Whether a part of a feed came to its end, or none was asked for."""
        asked = [feed for feed in self.feeds if feed.parts]
        return not asked or any(feed.failed < feed.parts for feed in asked)

    def __str__(self) -> str:
        lines = _table([_HEADER, *[_cells(feed) for feed in self.feeds if not feed.skipped]])
        lines += [f"{feed.feed}: skipped, {feed.skipped}" for feed in self.feeds if feed.skipped]
        lines += [*self.failures, *self.notices]
        new = "" if self.published else " (nothing changed)"
        lines.append(f"snapshot {self.digest}{new}" if self.digest else "no snapshot yet")
        return "\n".join(lines)


_HEADER = (
    "feed",
    "parts",
    "failed",
    "rows",
    "changed",
    "unchanged",
    "held",
    "refused files",
    "stale parts",
    "median ms",
    "retries",
    "breaker",
)


def _cells(feed: FeedSummary) -> tuple[str, ...]:
    latency = "" if np.isnan(feed.latency_ms) else f"{feed.latency_ms:,.0f}"
    counts = (feed.rows, feed.changed, feed.unchanged, feed.held, feed.withheld, feed.stale_parts)
    return (
        feed.feed,
        f"{feed.parts:,}",
        f"{feed.failed:,}",
        *[f"{count:,}" for count in counts],
        latency,
        f"{feed.retries:,}",
        feed.breaker,
    )


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines, the first column flush left, numbers flush right."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if k in (0, len(row) - 1) else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
