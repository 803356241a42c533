"""EC2 spot price history: what ``aws ec2 describe-spot-price-history`` prints, page after page.

References
----------
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotPriceHistory.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources.base import (
    MISSING_COLUMN,
    Match,
    Parsed,
    Reason,
    Source,
    UnreadRow,
    in_pieces,
    open_text,
    start_of_text,
    text_table,
)

Entry = tuple[int, dict[str, Any]]
"""The line at which an entry of the history begins, and the entry."""

PRODUCT_NOT_LINUX = Reason(
    "product_not_linux", "is not a Linux price", "only Linux offers are compared"
)
_PAGE_KEY = "SpotPriceHistory"
_ENTRY_KEYS = ("AvailabilityZone", "InstanceType", "ProductDescription", "SpotPrice", "Timestamp")
_COLUMNS = (
    "provider",
    "region",
    "zone",
    "instance_type",
    "purchase_option",
    "effective_at",
    "price_usd_per_hour",
    "source",
)
_FLAT_OBJECT = re.compile(r"\{[^{}]*\}")
# us-east-1a, us-west-2-lax-1a and us-east-1-wl1-bos-wlz-1 all begin with their region
_REGION = re.compile(r"[a-z]+(-[a-z]+)+-\d+")


class Ec2SpotHistory(Source[list[Entry]]):
    """Prices of AWS spot, Linux/UNIX only.

    The history lists every change, so a price was there to see when it took effect: observed_at
    is effective_at. Keys that AWS may add are passed over.
    """

    name = "ec2-spot-price-history"
    gone_after_hours = 48.0  # in 1,246 real series the longest gap between records was 30 h

    def recognises(self, head: bytes) -> Match:
        if start_of_text(head)[:1] not in (b"{", b"["):
            return Match.NO
        return Match.OWN if f'"{_PAGE_KEY}"'.encode() in head else Match.FORMAT

    def fetch(self, path: Path) -> Iterator[list[Entry]]:
        """Take out the entries; what is left must be pages that held just them.

        The whole text is in memory: the command prints one page as one JSON document.
        """
        with open_text(path) as file:
            text = file.read()
        line = 1
        line_counted_to = 0
        try:
            for matches in in_pieces(_entries_in(text)):
                entries = []
                for match in matches:
                    line += text.count("\n", line_counted_to, match.start())
                    line_counted_to = match.start()
                    entries.append((line, json.loads(match[0])))
                yield entries
            _check_pages(text)
        except (ValueError, TypeError, KeyError, RecursionError) as cause:
            raise _not_a_history(line, cause) from cause

    def parse(self, piece: list[Entry]) -> Parsed:
        rows = []
        unread = []
        for line, entry in piece:
            missing = [key for key in _ENTRY_KEYS if not isinstance(entry.get(key), str)]
            if missing:
                unread.append(UnreadRow(line, MISSING_COLUMN, missing[0], json.dumps(entry)))
                continue
            product = entry["ProductDescription"]
            if product.startswith("Linux/UNIX"):
                rows.append((*self._row(entry), line))
            else:
                subject = f"ProductDescription {product!r}"
                unread.append(UnreadRow(line, PRODUCT_NOT_LINUX, subject, json.dumps(entry)))
        try:
            return Parsed({"price_events": text_table(_COLUMNS, rows)}, unread)
        except ValueError as cause:  # half of a surrogate pair is no text
            raise _not_a_history(piece[-1][0], cause) from cause

    def _row(self, entry: dict[str, str]) -> tuple[str, ...]:
        """Return the columns of a price."""
        zone = entry["AvailabilityZone"]
        region = _REGION.match(zone)
        return (
            "aws",
            region[0] if region else zone,
            zone,
            entry["InstanceType"],
            "spot",
            entry["Timestamp"],
            entry["SpotPrice"] or "''",  # an empty price is a fault, not a withdrawn offer
            self.name,
        )


def _is_empty_page(match: re.Match[str]) -> bool:
    return f'"{_PAGE_KEY}"' in match[0]


def _entries_in(text: str) -> Iterator[re.Match[str]]:
    return (match for match in _FLAT_OBJECT.finditer(text) if not _is_empty_page(match))


def _check_pages(text: str) -> None:
    """Raise ValueError, TypeError or KeyError where entries stand elsewhere than in pages."""
    pages = _FLAT_OBJECT.sub(lambda match: match[0] if _is_empty_page(match) else "0", text).strip()
    while pages:
        page, end = json.JSONDecoder().raw_decode(pages)
        if set(page[_PAGE_KEY]) - {0}:
            raise TypeError("an entry is no object")
        pages = pages[end:].lstrip()


def _not_a_history(line: int, cause: Exception) -> DataError:
    return DataError(
        f"it is not EC2 spot price history (broken near line {line}: {cause}).",
        "Give what `aws ec2 describe-spot-price-history` printed, complete.",
    )
