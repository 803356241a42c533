"""One name per GPU model (gpus.csv has them), whatever the source calls it.

A row of gpus.csv is a model with the stem of its spellings (a regular expression) and its memory
sizes in GB, ``|`` between them; a model with several stems has several rows. A spelling is the
stem, then form factor, memory kind and size in any order: none of these makes another model, except
a size that must be stated, because the stem alone is sold in several. GCP names its first A100, of
40 GB, without it. The first row that fits decides.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

_FORM_FACTORS = r"(?:SXM\d?|PCIE|OAM|HBM\dE?)*"
_MAKER = re.compile(r"^(?:NVIDIA|TESLA|GEFORCE|QUADRO|AMD|INSTINCT|RADEON)|(?:TENSORCORE|GPU|VWS)$")


def _spellings() -> list[tuple[str, re.Pattern[str]]]:
    """Return the models of gpus.csv, each with the pattern of its spellings."""
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = []
    for row in rows:
        size = f"(?:(?:{row['memory_gb']})G(?:I?B)?)"
        if row["memory_must_be_stated"] == "no":
            size += "?"
        pattern = re.compile(row["stem"] + _FORM_FACTORS + size + _FORM_FACTORS)
        found.append((row["model"], pattern))
    return found


_SPELLINGS = _spellings()


def canonical(name: object, memory_gib: float | None = None) -> str | None:
    """Return the one name of a GPU model; None where the source names none.

    Parameters
    ----------
    name : str, None or NaN
        What the source calls it.
    memory_gib : float, None or NaN
        Memory of one GPU: settles a model sold in several sizes, such as A100.

    Returns
    -------
    str or None
        A name that is not in the table is not guessed: it comes back upper case, separators made
        hyphens.
    """
    text = "" if name is None or name != name else str(name).strip().upper()
    letters = re.sub(r"[^A-Z0-9]", "", text)
    bare = _without_maker(letters)
    size = "" if memory_gib is None or memory_gib != memory_gib else f"{round(memory_gib)}GB"
    for spelling in (bare + size, letters, bare):
        for model, pattern in _SPELLINGS:
            if pattern.fullmatch(spelling):
                return model
    return re.sub(r"[^A-Z0-9]+", "-", text).strip("-") or None


def _without_maker(letters: str) -> str:
    """Take maker, brand and kind off a name, as long as something is left."""
    while (shorter := _MAKER.sub("", letters)) != letters and shorter:
        letters = shorter
    return letters
