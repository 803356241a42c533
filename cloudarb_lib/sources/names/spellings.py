"""Tables of spellings: how they are read, and how a spelling is looked up in them."""

from __future__ import annotations

import csv
import re
from pathlib import Path


def key_of(text: str) -> str:
    """Return a spelling as the tables have it: its letters and digits, lower case."""
    return re.sub("[^a-z0-9]", "", text.lower())


def rows_of(table: Path) -> list[dict[str, str]]:
    """Return the rows of a table of names."""
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def spellings_in(rows: list[dict[str, str]], column: str) -> dict[str, str]:
    """Return the name of each spelling, as ``key_of`` gives it; a name is a spelling of itself.

    Parameters
    ----------
    rows : list of dict
        Each with a name in ``column`` and ``spellings``, ``|`` between them.
    column : str
        Which column has the name.
    """
    names = {}
    for row in rows:
        name = row[column]
        for spelling in (name, *row["spellings"].split("|")):
            if spelling:
                names[key_of(spelling)] = name
    return names
