"""AWS Spot Instance Advisor: how often spot machines were reclaimed, in bands, by region and type.

References
----------
https://aws.amazon.com/ec2/spot/instance-advisor/ reads spot-advisor-data.json
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloudarb_lib.sources.base import Match, Parsed, Reason, Source, UnreadRow, text_table
from cloudarb_lib.sources.json_files import (
    documents_in,
    looks_like_json,
    mapping_of,
    not_of_form,
    records_of,
    text_of,
)
from cloudarb_lib.sources.rows import EVIDENCE_COLUMNS

UNKNOWN_BAND = Reason("unknown_band", "names a band that the file does not", "download it again")
_MARKS = ((b'"spot_advisor"',), (b'"instance_types"', b'"ram_gb"'), (b'"ranges"', b'"dots"'))
_BAND_COLUMNS = (
    "provider",
    "region",
    "instance_type",
    "interruption_band_monthly",
    "spot_savings_pct",
)
_BANDS = ("<5%", "5-10%", "10-15%", "15-20%", ">20%")
_NAME = "Spot Advisor file"
_WAY_OUT = "Download spot-advisor-data.json again."


class SpotAdvisor(Source[dict[str, Any]]):
    """Bands of interruption and savings of AWS spot, Linux, and evidence of sale.

    A band tells how many of the machines that ran in a region were reclaimed: AWS sells them
    there. The file carries no time: what it says is of when it was downloaded.
    """

    name = "aws-spot-advisor"

    def recognises(self, head: bytes) -> Match:
        has_marks = any(all(mark in head for mark in marks) for marks in _MARKS)
        return Match.OWN if looks_like_json(head) and has_marks else Match.NO

    def fetch(self, path: Path) -> Iterator[dict[str, Any]]:
        for document in documents_in(path, name=_NAME, way_out=_WAY_OUT):
            if not mapping_of(mapping_of(document).get("spot_advisor")):
                raise not_of_form(_NAME, "it has no 'spot_advisor'", _WAY_OUT)
            yield document

    def parse(self, piece: dict[str, Any]) -> Parsed:
        labels = {
            text_of(band.get("index")): text_of(band.get("label"))
            for band in records_of(piece.get("ranges"))
        }
        bands = []
        evidence = []
        unread = []
        for number, (region, machine, advice) in enumerate(_advice_in(piece), 1):
            band = labels.get(text_of(advice.get("r")), "")
            if band in _BANDS:
                savings = text_of(advice.get("s"))
                bands.append(("aws", region, machine, band, savings, number))
                sale = ("aws", region, "", machine, "", "offering", self.name, "true", "")
                evidence.append((*sale, number))
            else:
                subject = f"{region} {machine}: {text_of(advice.get('r'))!r}"
                unread.append(UnreadRow(number, UNKNOWN_BAND, subject, str(advice)))
        tables = {
            "interruption_bands": text_table(_BAND_COLUMNS, bands),
            "evidence": text_table(EVIDENCE_COLUMNS, evidence),
        }
        return Parsed(tables, unread)


def _advice_in(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield region, machine and advice for Linux."""
    for region, systems in document["spot_advisor"].items():
        for machine, advice in mapping_of(mapping_of(systems).get("Linux")).items():
            yield text_of(region), text_of(machine), mapping_of(advice)
