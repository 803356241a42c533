"""Where the time of a run went, as lines of a tree."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloudarb_lib.base.errors import ParameterError

_KEYS = {"trace_id", "span_id", "parent_id", "name", "started_ns", "seconds"}
BAR = 40
"""Characters of the whole."""


def read_spans(path: Path) -> list[dict[str, Any]]:
    """Return the spans of the newest trace in a file in which anything ran, by their beginning.

    Raises
    ------
    ParameterError
        Where there is none.
    """
    spans = _newest_trace(_whole_spans(path))
    if not spans:
        what = f"there are no spans in {Path(*path.parts[-3:])}."
        raise ParameterError(what, "Install the extra observe (make platform), and run it anew.")
    return spans


def _newest_trace(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not spans:
        return []
    worked = [span for span in spans if span["name"].startswith("notebook ")]
    newest = max(worked or spans, key=lambda span: span["started_ns"])["trace_id"]
    of_trace = [span for span in spans if span["trace_id"] == newest]
    return sorted(of_trace, key=lambda span: span["started_ns"])


def _whole_spans(path: Path) -> list[dict[str, Any]]:
    """Return the spans of a file; what a killed process, or a full disk, left half is none."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [span for span in map(_span, lines) if span is not None]


def _span(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) and found.keys() >= _KEYS else None


WORK = ("solve", "fit", "forecast", "read market")
"""Stretches of work inside notebooks whose length is worth a metric."""


def work_seconds(path: Path) -> dict[str, float]:
    """Return how long each kind of ``WORK`` took in all, in the newest trace of a file, in s.

    Empty where no span is there: the run was not traced.
    """
    seconds: dict[str, float] = defaultdict(float)
    for span in _newest_trace(_whole_spans(path)):
        if span["name"] in WORK:
            seconds[span["name"]] += span["seconds"]
    return dict(seconds)


def drawn(spans: list[dict[str, Any]], least_share: float) -> Iterator[str]:
    """Yield a line for each span, those of a share of the whole at least, children below parents.

    Parameters
    ----------
    spans : list of dict
        As ``read_spans``.
    least_share : float
        Of the time of the whole.
    """
    known = {span["span_id"] for span in spans}
    children = defaultdict(list)
    for span in spans:
        children[span["parent_id"] if span["parent_id"] in known else ""].append(span)
    began_ns = spans[0]["started_ns"]
    end_ns = max(span["started_ns"] + span["seconds"] * 1e9 for span in spans)
    whole_s = max((end_ns - began_ns) / 1e9, 1e-9)

    def below(parent: str, depth: int) -> Iterator[str]:
        for span in children[parent]:
            if span["seconds"] < least_share * whole_s:
                continue
            left = int(BAR * (span["started_ns"] - began_ns) / 1e9 / whole_s)
            width = max(1, round(BAR * span["seconds"] / whole_s))
            bar = (" " * min(left, BAR - 1) + "#" * width)[:BAR]
            name = "  " * depth + span["name"]
            yield f"{name:<44}{span['seconds']:>9.2f} s  |{bar:<{BAR}}|"
            yield from below(span["span_id"], depth + 1)

    yield from below("", 0)
