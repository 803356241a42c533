"""Names of GPUs as gpuhunt and dstack know them."""

from __future__ import annotations

import re

_SIZE = re.compile(r"\d+GB")
_FORMS = ("PCIE", "SXM", "SXM2", "SXM4", "SXM5")
"""Of a GPU that is sold in several: gpuhunt gives them one name."""
_VENDORS = {"MI": "amd", "V520": "amd", "V620": "amd", "V710": "amd", "Gaudi": "intel"}
"""By how names begin; all others are NVIDIA's."""


def name_and_size(model: str) -> tuple[str, str]:
    """Return the name of a GPU, and the memory that ours tells beside it.

    Parameters
    ----------
    model : str
        As column ``gpu_model`` has it, such as A100-80GB or RTX-PRO-6000.

    Returns
    -------
    tuple of str
        Such as A100 and 80GB, or RTXPRO6000 and ''.
    """
    first, *others = model.split("-")
    sizes = [other for other in others if _SIZE.fullmatch(other)]
    told = [other for other in others if other.upper() not in _FORMS and other not in sizes]
    return "".join([first, *told]), "".join(sizes)


def vendor(name: str) -> str:
    """Return who makes a GPU, as gpuhunt writes it."""
    return next((who for begin, who in _VENDORS.items() if name.startswith(begin)), "nvidia")
