"""Where AWS sells its machines: what ``aws ec2 describe-instance-type-offerings`` prints.

References
----------
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstanceTypeOfferings.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloudarb_lib.sources.base import Match, Parsed, Reason, Source, UnreadRow, text_table
from cloudarb_lib.sources.json_files import (
    documents_in,
    looks_like_json,
    mapping_of,
    not_of_form,
    numbered,
    records_of,
    text_of,
)
from cloudarb_lib.sources.names.aws_zone_ids import region_of_zone_id

Entry = tuple[int, dict[str, Any]]
"""The number of an offering in the listing, and what is said of it."""

UNKNOWN_PLACE = Reason("unknown_place", "is no region or zone of AWS")
NOT_A_ZONE = Reason("not_a_zone", "is not sold by zone or region")
_KEY = "InstanceTypeOfferings"
_NAME = "list of offerings"
_WAY_OUT = "Give what `aws ec2 describe-instance-type-offerings` printed, complete."
_COLUMNS = (
    "provider",
    "region",
    "zone",
    "instance_type",
    "purchase_option",
    "kind",
    "source",
    "sold",
)
_REGION = re.compile(r"[a-z]+(-[a-z]+)+-\d+")
_PLACES = ("region", "availability-zone", "availability-zone-id")


class AwsOfferings(Source[list[Entry]]):
    """Evidence of sale: the zones (or regions) that AWS itself lists for a machine.

    The listing carries no time: it is of when it was downloaded.
    """

    name = "aws-offerings"

    def recognises(self, head: bytes) -> Match:
        is_own = looks_like_json(head) and f'"{_KEY}"'.encode() in head
        return Match.OWN if is_own else Match.NO

    def fetch(self, path: Path) -> Iterator[list[Entry]]:
        return numbered(documents_in(path, name=_NAME, way_out=_WAY_OUT), _entries_of)

    def parse(self, piece: list[Entry]) -> Parsed:
        rows = []
        unread = []
        for number, offering in piece:
            place = text_of(offering.get("Location"))
            machine = text_of(offering.get("InstanceType"))
            kind = text_of(offering.get("LocationType"))
            region = region_of(place)
            zone = "" if kind == "region" else place
            if kind not in _PLACES:
                subject = f"LocationType {kind!r}"
                unread.append(UnreadRow(number, NOT_A_ZONE, subject, str(offering)))
            elif not region:
                subject = f"Location {place!r}"
                unread.append(UnreadRow(number, UNKNOWN_PLACE, subject, str(offering)))
            else:
                row = ("aws", region, zone, machine, "", "offering", self.name, "true")
                rows.append((*row, number))
        return Parsed({"evidence": text_table(_COLUMNS, rows)}, unread)


def region_of(place: str) -> str:
    """Return the region of a zone, a zone id or a region itself; '' where it is none of them."""
    named = _REGION.match(place)
    return named[0] if named else region_of_zone_id(place) or ""


def _entries_of(document: Any) -> list[dict[str, Any]]:
    offerings = mapping_of(document).get(_KEY)
    if offerings is None:
        raise not_of_form(_NAME, f"it has no {_KEY!r}", _WAY_OUT)
    return records_of(offerings)
