"""Machines of Azure by region, with what keeps an account from them: Resource SKUs.

References
----------
https://learn.microsoft.com/rest/api/compute/resource-skus/list, and ``az vm list-skus``
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloudarb_lib.sources.base import Match, Parsed, Source, text_table
from cloudarb_lib.sources.json_files import (
    documents_in,
    looks_like_json,
    mapping_of,
    not_of_form,
    numbered,
    records_of,
    text_of,
    texts_of,
)
from cloudarb_lib.sources.rows import EVIDENCE_COLUMNS, SPECIFICATION_COLUMNS

Entry = tuple[int, dict[str, Any]]
"""The number of a machine in a place of the listing, and what is said of it."""
Place = tuple[str, str, str, str | None]
"""Region, zone, option, and why a machine is not sold there (None: it is)."""

_MARKS = (b'"resourceType"', b'"locationInfo"', b'"restrictions"', b'"capabilities"')
_NAME = "list of SKUs"
_WAY_OUT = "Give what `az vm list-skus` printed, or the API answered, complete."


class AzureSkus(Source[list[Entry]]):
    """Evidence of sale: where Azure lists a machine, and where it refuses it to this account.

    One row a region, one for each zone, and one for spot where a machine is not sold so. The
    listing carries no time: it is of when it was downloaded. Machines without a GPU bring their
    specification; the models of GPUs are not in it.
    """

    name = "azure-skus"

    def recognises(self, head: bytes) -> Match:
        has_marks = sum(mark in head for mark in _MARKS) >= 2
        return Match.OWN if looks_like_json(head) and has_marks else Match.NO

    def fetch(self, path: Path) -> Iterator[list[Entry]]:
        return numbered(documents_in(path, name=_NAME, way_out=_WAY_OUT), _entries_of)

    def parse(self, piece: list[Entry]) -> Parsed:
        evidence = []
        machines: dict[str, tuple[object, ...]] = {}
        for number, sku in piece:
            name = text_of(sku.get("name"))
            region, zone, option, why_not = sku["place"]
            sold = "false" if why_not else "true"
            row = ("azure", region, zone, name, option, "offering", self.name, sold, why_not)
            evidence.append((*row, number))
            capabilities = _capabilities_of(sku)
            if capabilities.get("GPUs", "0") in ("", "0"):
                vcpus = capabilities.get("vCPUs", "")
                memory = capabilities.get("MemoryGB", "")
                machines.setdefault(name, ("azure", name, vcpus, memory, "0", number))
        tables = {
            "evidence": text_table(EVIDENCE_COLUMNS, evidence),
            "instances": text_table(SPECIFICATION_COLUMNS, list(machines.values())),
        }
        return Parsed(tables, [])


def _entries_of(document: Any) -> list[dict[str, Any]]:
    """Return each machine once a place, under key ``place``: region, zone, option, why not sold."""
    skus = document if isinstance(document, list) else mapping_of(document).get("value")
    if skus is None:
        raise not_of_form(_NAME, "it has no 'value'", _WAY_OUT)
    return [
        {**sku, "place": place}
        for sku in records_of(skus)
        if text_of(sku.get("resourceType")) == "virtualMachines"
        for place in _places_of(sku)
    ]


def _capabilities_of(sku: dict[str, Any]) -> dict[str, str]:
    return {
        text_of(item.get("name")): text_of(item.get("value"))
        for item in records_of(sku.get("capabilities"))
    }


def _places_of(sku: dict[str, Any]) -> Iterator[Place]:
    zones_by_region = {
        text_of(info.get("location")).lower(): texts_of(info.get("zones"))
        for info in records_of(sku.get("locationInfo"))
    }
    restrictions = records_of(sku.get("restrictions"))
    for location in texts_of(sku.get("locations")):
        region = location.lower()
        why_not = _restriction(restrictions, "Location", "locations", location)
        yield region, "", "", why_not
        for zone in zones_by_region.get(region, []):
            yield region, zone, "", why_not or _restriction(restrictions, "Zone", "zones", zone)
        if _capabilities_of(sku).get("LowPriorityCapable") == "False":
            yield region, "", "spot", "not sold as spot"


def _restriction(
    restrictions: list[dict[str, Any]], kind: str, list_name: str, place: str
) -> str | None:
    """Return why a place is closed to the account, None where it is open."""
    for restriction in restrictions:
        places = texts_of(mapping_of(restriction.get("restrictionInfo")).get(list_name))
        named = {item.lower() for item in places or texts_of(restriction.get("values"))}
        if restriction.get("type") == kind and place.lower() in named:
            return text_of(restriction.get("reasonCode")) or "restricted"
    return None
