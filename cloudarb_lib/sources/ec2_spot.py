"""EC2 spot price history, as each of the tools prints it that ask AWS for it.

The AWS command line (JSON, text, YAML), boto3 and pandas, the SDK of Java, PowerShell, and the
monthly archives of the history in tab-separated text.

References
----------
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSpotPriceHistory.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, TextIO

from cloudarb_lib.sources.base import (
    MISSING_COLUMN,
    Match,
    Parsed,
    Reason,
    Source,
    UnreadRow,
    in_pieces,
    open_text,
    text_table,
)
from cloudarb_lib.sources.ec2_tables import (
    KEYS,
    TOKEN,
    ZONE_ID,
    ZONE_NAME,
    entries_of_lines,
    is_history,
    plain_key,
)
from cloudarb_lib.sources.json_files import looks_like_json
from cloudarb_lib.sources.json_stream import Entry, PageEnd, entries_in
from cloudarb_lib.sources.names.aws_zone_ids import region_of_zone_id

PRODUCT_NOT_LINUX = Reason(
    "product_not_linux", "is not a Linux/UNIX price", "only Linux/UNIX offers are compared"
)
PRODUCT_AMAZON_VPC = Reason(
    "product_amazon_vpc",
    "is a series of its own beside Linux/UNIX",
    "ask for --product-descriptions Linux/UNIX",
)
ZONE_UNKNOWN = Reason(
    "zone_unknown", "is no zone whose region is known", "give AvailabilityZone, such as us-east-1a"
)
CUT_SHORT = "the listing is cut short (NextToken is left): it vouches for its own rows alone"
_PAGE_KEY = "spotpricehistory"
_LINUX = "Linux/UNIX"
_NEEDED = {plain_key(key): key for key in KEYS if not key.startswith("AvailabilityZone")}
_NO_TOKEN = ("", "None", "null")
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
# us-east-1a, us-west-2-lax-1a and us-east-1-wl1-bos-wlz-1 all begin with their region
_REGION = re.compile(r"[a-z]+(-[a-z]+)+-\d+")
_POWERSHELL_TIME = re.compile(r"/Date\((\d{1,13})(?:[+-]\d{4})?\)/")
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class HistoryPiece:
    """Entries of a history, and whether more pages were there to ask for."""

    entries: list[Entry]
    is_cut_short: bool = False


class Ec2SpotHistory(Source[HistoryPiece]):
    """Prices of AWS spot, Linux/UNIX only.

    The history lists every change, so a price was there to see when it took effect: observed_at
    is effective_at. The id of a zone stands for it where it is told, because names of zones differ
    by account. Keys that AWS may add are passed over.
    """

    name = "ec2-spot-price-history"
    gone_after_hours = 48.0  # in 1,246 real series the longest gap between records was 30 h

    def recognises(self, head: bytes) -> Match:
        text = head.decode("utf-8-sig", errors="replace")
        if looks_like_json(head):
            names = _names_in(text)
            is_ours = _PAGE_KEY in names or names >= {*_NEEDED, "availabilityzone"}
        else:
            is_ours = is_history(text.splitlines())
        return Match.OWN if is_ours else Match.NO

    def fetch(self, path: Path) -> Iterator[HistoryPiece]:
        is_cut_short = False

        def entries(file: TextIO) -> Iterator[Entry]:
            nonlocal is_cut_short
            for found in _read(file, is_json=is_json):
                is_cut_short = isinstance(found, PageEnd) and _has_token(found.values)
                if isinstance(found, Entry):
                    yield found

        with path.open("rb") as opened:
            is_json = looks_like_json(opened.read(4096))
        with open_text(path) as file:
            for piece in in_pieces(entries(file)):
                yield HistoryPiece(piece)
        if is_cut_short:
            yield HistoryPiece([], is_cut_short=True)

    def parse(self, piece: HistoryPiece) -> Parsed:
        rows = []
        unread = []
        for entry in piece.entries:
            values = _plain_values(entry.values)
            fault = _fault_of(values)
            if fault:
                reason, subject = fault
                text = json.dumps(entry.values)
                unread.append(UnreadRow(entry.line, reason, subject, text))
            else:
                rows.append((*self._row(values), entry.line))
        notices = (CUT_SHORT,) if piece.is_cut_short else ()
        return Parsed({"price_events": text_table(_COLUMNS, rows)}, unread, notices=notices)

    def _row(self, values: dict[str, str]) -> tuple[str, ...]:
        """Return the columns of a price."""
        zone, region = _place_of(values)
        return (
            "aws",
            region,
            zone,
            values["instancetype"],
            "spot",
            _time(values["timestamp"]),
            values["spotprice"] or "''",  # an empty price is a fault, not a withdrawn offer
            self.name,
        )


def _names_in(text: str) -> set[str]:
    """Return the plain keys of all that may be the name of a member in JSON text."""
    return set(map(plain_key, re.findall(r'"(\w+)"\s*:', text)))


def _read(file: TextIO, *, is_json: bool) -> Iterator[Entry | PageEnd]:
    if is_json:
        return entries_in(file, lambda name: plain_key(name) == _PAGE_KEY)
    return entries_of_lines(line.rstrip("\r\n") for line in file)


def _has_token(page: dict[str, Any]) -> bool:
    """Tell whether a page names a next one."""
    tokens = [value for key, value in page.items() if plain_key(key) == plain_key(TOKEN)]
    return any(token is not None and str(token).strip() not in _NO_TOKEN for token in tokens)


def _plain_values(values: dict[str, Any]) -> dict[str, str]:
    """Return what an entry says by plain keys, as texts; what is null is left out."""
    plain: dict[str, str] = {}
    for key, value in values.items():
        name = _plain_key(key)
        if isinstance(value, dict):  # PowerShell wraps some values
            wrapped = [
                inner for inner_key, inner in value.items() if plain_key(inner_key) == "value"
            ]
            value = wrapped[0] if wrapped else None
        if value is not None and (name not in plain or key != "Price"):
            text = str(value).strip()
            plain[name] = text if text.isascii() else _HALF_A_PAIR.sub("\ufffd", text)
    return plain


@lru_cache(maxsize=1024)
def _plain_key(written: str) -> str:
    return plain_key(written)


def _fault_of(values: dict[str, str]) -> tuple[Reason, str] | None:
    """Return why an entry is no price of ours, and what that is about."""
    if not (values.get("availabilityzone") or values.get("availabilityzoneid")):
        return MISSING_COLUMN, "AvailabilityZone"
    if not values.keys() >= _NEEDED.keys():
        return MISSING_COLUMN, next(key for name, key in _NEEDED.items() if name not in values)
    product = values["productdescription"]
    if product != _LINUX:
        is_vpc = product.startswith(_LINUX)
        return (
            PRODUCT_AMAZON_VPC if is_vpc else PRODUCT_NOT_LINUX,
            f"ProductDescription {product!r}",
        )
    zone, region = _place_of(values)
    if not region:
        return ZONE_UNKNOWN, f"AvailabilityZone {zone!r}"
    return None


def _place_of(values: dict[str, str]) -> tuple[str, str]:
    """Return the zone and its region, '' where that is not known."""
    return _zone_and_region(
        values.get("availabilityzone", ""), values.get("availabilityzoneid", "")
    )


@lru_cache(maxsize=4096)
def _zone_and_region(name: str, zone_id: str) -> tuple[str, str]:
    if ZONE_ID.fullmatch(name):
        zone_id = zone_id or name
    region = _REGION.match(name) if ZONE_NAME.fullmatch(name) else None
    return zone_id or name, region[0] if region else region_of_zone_id(zone_id) or ""


def _time(written: str) -> str:
    """Return a time as it is written, that of Windows PowerShell's JSON in ISO 8601."""
    milliseconds = _POWERSHELL_TIME.fullmatch(written)
    if milliseconds is None:
        return written
    return datetime.fromtimestamp(int(milliseconds[1]) / 1000, UTC).isoformat()
