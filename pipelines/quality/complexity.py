"""How many ways lead through a function: McCabe's number, as ruff counts it.

References
----------
McCabe (1976), A Complexity Measure, IEEE Transactions on Software Engineering SE-2(4).
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from pipelines.quality.figure import Figure

PACKAGES = ("cloudarb_lib", "pipelines")
TOO_COMPLEX = 10
"""McCabe's own limit."""
_PART = "complexity"
_FOUND = re.compile(r"`(?P<name>[^`]+)` is too complex \((?P<number>\d+) > 0\)")


def complexities(root: Path) -> dict[str, int]:
    """Return McCabe's number of each function of the packages, by file, line and name."""
    words = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--select=C901"]
    options = ["--config=lint.mccabe.max-complexity = 0", "--output-format=json"]
    done = subprocess.run(
        [*words, *options, *PACKAGES], cwd=root, capture_output=True, text=True, check=False
    )
    found = {}
    for one in json.loads(done.stdout):
        match = _FOUND.search(one["message"])
        if match:
            path = Path(one["filename"]).relative_to(root.resolve()).as_posix()
            place = f"{path}:{one['location']['row']} {match['name']}"
            found[place] = int(match["number"])
    return found


def figures(root: Path) -> list[Figure]:
    """Return figures of complexity of the sources in a folder."""
    if find_spec("ruff") is None:
        return [Figure(_PART, "of functions", None, "", "ruff is not installed: make test")]
    found = complexities(root)
    numbers = np.array(list(found.values()))
    worst = max(found, key=found.__getitem__)
    too_complex = int((numbers > TOO_COMPLEX).sum())
    of_all = f"ruff C901, {len(found):,} functions"
    return [
        Figure(_PART, "mean of a function", float(numbers.mean()), "", of_all),
        Figure(_PART, "95th percentile", float(np.percentile(numbers, 95)), "", of_all),
        Figure(_PART, f"functions over {TOO_COMPLEX}", too_complex, "", of_all),
        Figure(_PART, "highest", float(numbers.max()), "", worst),
    ]
