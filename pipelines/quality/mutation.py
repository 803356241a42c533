"""Which share of small faults, put into a module one by one, its tests find.

``python -m benchmarks.mutation`` measures it (mutmut), and goes on where it was stopped; here its
results are read.
"""

from __future__ import annotations

import json
from pathlib import Path

from pipelines.quality.figure import Figure

RESULTS = "benchmarks/results/mutation.json"
_PART = "mutation"


def figures(root: Path) -> list[Figure]:
    """Return the share of mutants that tests kill, by module."""
    path = root / RESULTS
    measure = "python -m benchmarks.mutation measures it"
    if not path.exists():
        return [Figure(_PART, "mutants killed", None, "%", measure)]
    return [
        Figure(_PART, module, score(told), "%", said(told))
        for module, told in json.loads(path.read_text())["modules"].items()
    ]


def score(told: dict[str, int]) -> float | None:
    """Return the share of the mutants tried that tests killed (%), None where none was tried."""
    return 100 * told["killed"] / told["tried"] if told["tried"] else None


def said(told: dict[str, int]) -> str:
    """Return in words how many mutants were tried and killed."""
    return f"mutmut: {told['killed']} of {told['tried']} tried killed, {told['mutants']} there are"
