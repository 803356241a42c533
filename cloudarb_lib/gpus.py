"""One name per GPU model, whatever the source calls it."""

from __future__ import annotations

import re

# Canonical name, stem, memory sizes in GB. A spelling is the stem, then form factor, memory kind
# and size in any order: none of these makes another model, except a size marked ! (it must be
# stated, because the stem alone is sold in several).
_MODELS = """
A100-40GB A100(?:HIGHGPU)? !40, A100-80GB A100(?:ULTRAGPU)? !80, H100 H100(?:MEGA)? 80, H100-NVL H100NVL 94,
H100-NVL H100 !94, H200 H200 141, H200-NVL H200NVL 141, GH200 GH200 96|480, B200 B200 180|192, B300 B300 262|288,
GB200 GB200(?:NVL72)? 186|192, GB300 GB300(?:NVL72)? 288, V100 V100 16|32, P100 P100 12|16, P4 P4 8, P40 P40 24,
L4 L4 24, L40 L40 48, L40S L40S 48, T4 T4 16, T4G T4G 16, K80 K80 12|24, M60 M60 8|16, A10 A10 24, A10G A10G 24,
A30 A30 24, A40 A40 48, K520 (?:GRID)?K520 4, V520 (?:PRO)?V520 8, RTX-A4000 (?:RTX)?A4000 16,
RTX-A5000 (?:RTX)?A5000 24, RTX-A6000 (?:RTX)?A6000 48, RTX-4000-ADA RTX4000ADA(?:GENERATION)? 20,
RTX-5000-ADA RTX5000ADA(?:GENERATION)? 32, RTX-6000-ADA RTX6000ADA(?:GENERATION)? 48,
RTX-PRO-4500 RTXPRO4500(?:BLACKWELL)?(?:SERVER)?(?:EDITION)? 32,
RTX-PRO-6000 RTXPRO6000(?:BLACKWELL)?(?:SERVER|WORKSTATION|SE|WS|WK|S)?(?:EDITION)? 96, RTX-3080 RTX3080 10,
RTX-3090 RTX3090 24, RTX-4080 RTX4080 16, RTX-4090 RTX4090 24, RTX-5090 RTX5090 32, MI210 MI210 64,
MI250 MI250 128, MI300X MI300X 192, MI325X MI325X 256"""
_FORM = r"(?:SXM\d?|PCIE|OAM|HBM\dE?)*"
_SPELLINGS = []
for _name, _stem, _sizes in map(str.split, _MODELS.split(",")):
    _size = f"(?:(?:{_sizes.strip('!')})G(?:I?B)?){'' if '!' in _sizes else '?'}"
    _SPELLINGS.append((_name, re.compile(_stem + _FORM + _size + _FORM)))
_MAKER = re.compile(r"^(?:NVIDIA|TESLA|GEFORCE|QUADRO|AMD|INSTINCT|RADEON)|(?:TENSORCORE|GPU|VWS)$")
# GCP's name of its first A100, always the 40 GB one.
_WHOLE = {"NVIDIATESLAA100": "A100-40GB"}


def canonical(name: object, memory_gib: float | None = None) -> str | None:
    """Return the one name of a GPU model; None where the source names none.

    ``memory_gib`` (of one GPU) settles a model sold in several sizes, such as A100. A name
    not in the table is not guessed: it comes back upper case, separators made hyphens.
    """
    text = "" if name is None or name != name else str(name).strip().upper()
    key = re.sub(r"[^A-Z0-9]", "", text)
    if key in _WHOLE:
        return _WHOLE[key]
    while (short := _MAKER.sub("", key)) != key and short:
        key = short
    stated = "" if memory_gib is None or memory_gib != memory_gib else f"{round(memory_gib)}GB"
    for spelling in (key + stated, key):
        for model, pattern in _SPELLINGS:
            if pattern.fullmatch(spelling):
                return model
    return re.sub(r"[^A-Z0-9]+", "-", text).strip("-") or None
