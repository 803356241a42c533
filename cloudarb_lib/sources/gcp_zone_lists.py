"""Machine types and accelerator types of Google Cloud by zone.

References
----------
https://cloud.google.com/compute/docs/reference/rest/v1/machineTypes/aggregatedList and
acceleratorTypes/aggregatedList; ``gcloud compute machine-types list --format=json``
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
)
from cloudarb_lib.sources.names.gpus import canonical
from cloudarb_lib.sources.rows import EVIDENCE_COLUMNS, SPECIFICATION_COLUMNS

Entry = tuple[int, dict[str, Any]]
"""The number of a type in the listing, and what is said of it."""

_MARKS = (b"compute#machineType", b"compute#acceleratorType", b'"maximumCardsPerInstance"')
_NAME = "list of machine or accelerator types"
_WAY_OUT = "Give what machineTypes.aggregatedList or acceleratorTypes.aggregatedList answered."
_ATTACHABLE = ("K80", "P4", "P100", "T4", "V100")
"""GPUs that are rented with a machine of another kind (n1); newer ones come in their own."""
_GONE = ("OBSOLETE", "DELETED")
_MIB_PER_GIB = 1024


class GcpZoneLists(Source[list[Entry]]):
    """Evidence of sale: the zones in which Google lists a machine, or a GPU to attach.

    A GPU that is attached to machines of type n1 is evidence of ``n1-*+MODEL``. Machines without a
    GPU bring their specification. The listing carries no time: it is of when it was downloaded.
    """

    name = "gcp-zone-lists"

    def recognises(self, head: bytes) -> Match:
        is_own = looks_like_json(head) and any(mark in head for mark in _MARKS)
        return Match.OWN if is_own else Match.NO

    def fetch(self, path: Path) -> Iterator[list[Entry]]:
        return numbered(documents_in(path, name=_NAME, way_out=_WAY_OUT), _entries_of)

    def parse(self, piece: list[Entry]) -> Parsed:
        evidence: list[tuple[object, ...]] = []
        machines: dict[str, tuple[object, ...]] = {}
        for number, entry in piece:
            zone = text_of(entry.get("zone")).rpartition("/")[2]
            state = text_of(mapping_of(entry.get("deprecated")).get("state"))
            name = _machine_of(entry)
            if name is None:
                continue
            sold = "false" if state in _GONE else "true"
            note = state.lower() or None
            region = zone.rpartition("-")[0]
            row = ("gcp", region, zone, name, "", "zone_list", self.name, sold, note)
            evidence.append((*row, number))
            if "guestCpus" in entry and not records_of(entry.get("accelerators")):
                machines.setdefault(name, (*_specification(name, entry), number))
        tables = {
            "evidence": text_table(EVIDENCE_COLUMNS, evidence),
            "instances": text_table(SPECIFICATION_COLUMNS, list(machines.values())),
        }
        return Parsed(tables, [])


def _entries_of(document: Any) -> list[dict[str, Any]]:
    """Return the types of an aggregated list, of one zone's list, or of a bare list."""
    if isinstance(document, list):
        return records_of(document)
    items = mapping_of(document).get("items")
    if items is None:
        raise not_of_form(_NAME, "it has no 'items'", _WAY_OUT)
    if isinstance(items, list):
        return records_of(items)
    found = []
    for zone in mapping_of(items).values():
        lists = mapping_of(zone)
        found += records_of(lists.get("machineTypes"))
        found += records_of(lists.get("acceleratorTypes"))
    return found


def _machine_of(entry: dict[str, Any]) -> str | None:
    """Return the machine that an entry is evidence of; None where it is of none."""
    name = text_of(entry.get("name"))
    if "guestCpus" in entry:
        return name
    model = canonical(name)
    return f"n1-*+{model}" if model in _ATTACHABLE else None


def _specification(name: str, entry: dict[str, Any]) -> tuple[object, ...]:
    memory = text_of(entry.get("memoryMb"))
    gib = str(float(memory) / _MIB_PER_GIB) if memory.isdecimal() else memory
    return "gcp", name, text_of(entry.get("guestCpus")), gib, "0"
