"""A figure of quality: measured, or said not to be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One figure.

    Parameters
    ----------
    part : str
        Complexity, coverage, mutation or landings.
    what : str
        What it measures.
    value : float, optional
        None where it was not measured.
    unit : str
        Its unit.
    told : str
        By what it was measured and on what; where it was not, what measures it.
    goal : float, optional
        What it is to be at least.
    """

    part: str
    what: str
    value: float | None
    unit: str
    told: str
    goal: float | None = None


def table(figures: Iterable[Figure]) -> str:
    """Return figures as text, a line each."""
    rows = [("", "value", "goal", "")]
    for figure in figures:
        measured = figure.value is not None
        value = f"{figure.value:,.4g} {figure.unit}".rstrip() if measured else "not measured"
        goal = "" if figure.goal is None else f"{figure.goal:g} {figure.unit}"
        rows.append((f"{figure.part}: {figure.what}", value, goal, figure.told))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]])
        for row in rows
    )


def is_checkout(root: Path) -> bool:
    """Return whether a folder holds the sources, their tests and their history."""
    return all((root / name).exists() for name in (".git", "cloudarb_lib", "pipelines", "tests"))
