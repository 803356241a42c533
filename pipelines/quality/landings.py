"""How changes land, from the history of git: how often, how soon, and how many are mended at once.

A landing is a commit of the main line. Its lead time runs from when it was written to when it
landed there. It was mended within a day where a later landing, of the next 24 hours and whose
subject says that it mends something, replaces lines that it had written. Changes that mend without
saying so are not counted, so the share is a lower bound.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.quality.figure import Figure

DAYS = 90
_DAY_S = 24 * 3600
_PART = "landings"
_MENDS = re.compile(
    r"\b(fix(e[sd])?|mend(s|ed)?|repair(s|ed)?|revert(s|ed)?|correct(s|ed)?|wrong|broken|bug)\b",
    re.IGNORECASE,
)
_OLD_FILE = re.compile(r"^--- a/(?P<path>.+)$")
_HUNK = re.compile(r"^@@ -(?P<first>\d+)(,(?P<count>\d+))? ")


@dataclass(frozen=True)
class Landing:
    """A commit of the main line.

    Parameters
    ----------
    commit : str
        Its digest.
    written_s, landed_s : int
        Seconds since 1970.
    subject : str
        The first line of what it says.
    """

    commit: str
    written_s: int
    landed_s: int
    subject: str


def landings(root: Path, days: int = DAYS) -> list[Landing]:
    """Return the landings of the last days before the newest one, that one first."""
    words = ["log", "--first-parent", "--no-merges", "--format=%H%x09%at%x09%ct%x09%s"]
    found = []
    for line in _git(root, *words).splitlines():
        commit, written, landed, subject = line.split("\t", 3)
        found.append(Landing(commit, int(written), int(landed), subject))
    since_s = found[0].landed_s - days * _DAY_S
    return [landing for landing in found if landing.landed_s >= since_s]


def mended_within_a_day(root: Path, landed: list[Landing]) -> set[str]:
    """Return which landings a later one mended within a day."""
    by_commit = {landing.commit: landing for landing in landed}
    mended = set()
    for mend in landed:
        if not _MENDS.search(mend.subject):
            continue
        for commit in _wrote_what_it_replaces(root, mend.commit):
            landing = by_commit.get(commit)
            if landing is not None and 0 <= mend.landed_s - landing.landed_s <= _DAY_S:
                mended.add(commit)
    return mended


def figures(root: Path, days: int = DAYS) -> list[Figure]:
    """Return figures of how changes land."""
    landed = landings(root, days)
    first_s = min(landing.landed_s for landing in landed)
    window_days = max(1.0, (landed[0].landed_s - first_s) / _DAY_S)
    lead_h = np.array([landing.landed_s - landing.written_s for landing in landed]) / 3600
    share = 100 * len(mended_within_a_day(root, landed)) / len(landed)
    told = f"{len(landed):,} landings in {window_days:.1f} days"
    is_cut = _git(root, "rev-parse", "--is-shallow-repository").strip() == "true"
    told += "; the history is cut (shallow clone)" if is_cut else ""
    by_subject = f"{told}; by landings that say that they mend"
    return [
        Figure(_PART, "a day", len(landed) / window_days, "", told),
        Figure(_PART, "lead time, median", float(np.median(lead_h)), "h", told),
        Figure(_PART, "lead time, 90th percentile", float(np.percentile(lead_h, 90)), "h", told),
        Figure(_PART, "mended within a day", share, "%", by_subject),
    ]


def _wrote_what_it_replaces(root: Path, commit: str) -> Iterator[str]:
    """Yield the commits that wrote the lines which a commit removed or replaced."""
    for path, ranges in _replaced(root, commit).items():
        words = [f"-L{first},+{count}" for first, count in ranges]
        blamed = _git(root, "blame", "-s", "-l", "--root", *words, f"{commit}^", "--", path)
        for line in blamed.splitlines():
            yield line.split(" ", 1)[0]


def _replaced(root: Path, commit: str) -> dict[str, list[tuple[int, int]]]:
    """Return by file the first line and the number of each stretch that a commit replaced."""
    found: dict[str, list[tuple[int, int]]] = {}
    path = ""
    shown = _git(root, "show", "--format=", "--unified=0", "--no-renames", commit, "--", "*.py")
    for line in shown.splitlines():
        old_file = _OLD_FILE.match(line)
        hunk = _HUNK.match(line)
        if line.startswith("--- "):
            path = old_file["path"] if old_file else ""
        elif hunk and path:
            count = int(hunk["count"] or 1)
            if count:
                found.setdefault(path, []).append((int(hunk["first"]), count))
    return found


def _git(root: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=root, capture_output=True, text=True, check=True
    ).stdout
