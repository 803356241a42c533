"""One name per GPU model (gpus.txt has them), whatever the source calls it."""

from __future__ import annotations

import re
from pathlib import Path

_FORM = r"(?:SXM\d?|PCIE|OAM|HBM\dE?)*"
_MODELS = Path(__file__).with_suffix(".txt").read_text(encoding="utf-8")
_SPELLINGS = []
for _name, _stem, _sizes in re.findall(r"^([^#\s]+) +(\S+) +(\S+)$", _MODELS, flags=re.M):
    _size = f"(?:(?:{_sizes.strip('!')})G(?:I?B)?){'' if '!' in _sizes else '?'}"
    _SPELLINGS.append((_name, re.compile(_stem + _FORM + _size + _FORM)))
_MAKER = re.compile(r"^(?:NVIDIA|TESLA|GEFORCE|QUADRO|AMD|INSTINCT|RADEON)|(?:TENSORCORE|GPU|VWS)$")


def canonical(name: object, memory_gib: float | None = None) -> str | None:
    """Return the one name of a GPU model; None where the source names none.

    ``memory_gib`` (of one GPU) settles a model sold in several sizes, such as A100. A name
    not in the table is not guessed: it comes back upper case, separators made hyphens.
    """
    text = "" if name is None or name != name else str(name).strip().upper()
    whole = key = re.sub(r"[^A-Z0-9]", "", text)
    while (short := _MAKER.sub("", key)) != key and short:
        key = short
    stated = "" if memory_gib is None or memory_gib != memory_gib else f"{round(memory_gib)}GB"
    for spelling in (key + stated, whole, key):
        for model, pattern in _SPELLINGS:
            if pattern.fullmatch(spelling):
                return model
    return re.sub(r"[^A-Z0-9]+", "-", text).strip("-") or None
