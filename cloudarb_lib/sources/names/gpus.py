"""One name per GPU model (gpus.csv has them), whatever the source calls it.

A row of gpus.csv is a model with the stem of its spellings (a regular expression), the form in
which it comes and its memory sizes in GB, ``|`` between them; a model with several stems has
several rows. A spelling is the stem, then form factor, memory kind and size in any order. None of
these makes another model, with two exceptions. A size that must be stated does, because the stem
alone is sold in several: GCP names its first A100, of 40 GB, without it. And Hopper's boards are
chips of their own: H100-PCIE and H100-NVL are other machines than H100, which is the SXM module or
one whose source does not say; H200-NVL is another than H200. The first row that fits decides.
"""

from __future__ import annotations

import csv
import re
from functools import lru_cache
from pathlib import Path

_FORMS = {
    "any": r"(?:SXM\d?|PCIE|OAM|NVLINK|HBM\dE?)*",
    "sxm": r"(?:SXM\d?|HBM\dE?)*",
    "pcie": r"(?:PCIE|NVLINK|HBM\dE?)*",
}
_MUST_BE_STATED = {"pcie": "(?=.*PCIE)"}
_MAKER = re.compile(
    r"^(?:NVIDIA|TESLA|GEFORCE|QUADRO|AMD|INTEL|INSTINCT|RADEON)|(?:TENSORCORE|GPU|VWS)$"
)


def _spellings() -> list[tuple[str, re.Pattern[str]]]:
    """Return the models of gpus.csv, each with the pattern of its spellings."""
    with Path(__file__).with_suffix(".csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found = []
    for row in rows:
        form = _FORMS[row["form"]]
        size = f"(?:(?:{row['memory_gb']})G(?:I?B)?)"
        if row["memory_must_be_stated"] == "no":
            size += "?"
        stated = _MUST_BE_STATED.get(row["form"], "")
        pattern = re.compile(f"{stated}(?:{row['stem']}){form}{size}{form}")
        found.append((row["model"], pattern))
    return found


_SPELLINGS = _spellings()
MODELS = frozenset(model for model, _ in _SPELLINGS)
"""Every name of gpus.csv; a GPU of another name is taken as it is called."""


def with_form_of_machine(name: str, machine: str) -> str:
    """Return what a source calls a GPU, with the form that only the name of its machine tells.

    >>> with_form_of_machine("H100", "gpu_1x_h100_pcie")
    'H100 PCIe'
    """
    if name and re.search(r"(?<![A-Z])PCIE(?![A-Z])", machine.upper()):
        stated = re.search("PCIE|SXM|NVL", name.upper())
        return name if stated else f"{name} PCIe"
    return name


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
    size = "" if memory_gib is None or memory_gib != memory_gib else f"{round(memory_gib)}GB"
    return _canonical(text, size)


@lru_cache(maxsize=4096)
def _canonical(text: str, size: str) -> str | None:
    """Return the name of an upper-case text, with the memory size where it is known."""
    letters = re.sub(r"[^A-Z0-9]", "", text)
    bare = _without_maker(letters)
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
