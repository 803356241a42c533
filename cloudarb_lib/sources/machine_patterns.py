"""Whose prices a catalogue holds that does not say so: by the name of its file, or by its machines.

A row of machine_patterns.csv is a provider and a regular expression of the names of its machines.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import cache
from pathlib import Path

from cloudarb_lib.sources.base import Reason
from cloudarb_lib.sources.names.providers import SPELLINGS
from cloudarb_lib.sources.names.spellings import key_of, rows_of

PROVIDER_UNSTATED = Reason(
    "provider_unstated",
    "is of a provider that neither the name of the file nor the machines tell",
    "name the file after the provider, such as aws.csv, or put it into a folder of that name",
)
LIKELY_SHARE = 0.9
"""Of the machines, at least so many are of a provider's pattern where the file is its own."""


def provider_by_name(path: Path) -> str:
    """Return the provider after whom a file or its folder is called, '' where none is.

    ``aws.csv``, ``catalog-aws.csv`` and ``aws/vms.csv`` are all of AWS.
    """
    for part in (path.name.split(".")[0], path.parent.name):
        words = {key_of(part), *re.findall(r"[a-z0-9]{3,}", part.lower())}
        found = {SPELLINGS[word] for word in words if word in SPELLINGS}
        if len(found) == 1:
            return found.pop()
    return ""


def provider_by_machines(machines: Collection[str]) -> str:
    """Return the provider to whose pattern nearly all machines fit, '' where there is none."""
    for provider, pattern in _patterns().items():
        fitting = sum(1 for machine in machines if pattern.fullmatch(machine))
        if fitting and fitting >= LIKELY_SHARE * len(machines):
            return provider
    return ""


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    rows = rows_of(Path(__file__).with_suffix(".csv"))
    return {row["provider"]: re.compile(row["machines"]) for row in rows}
