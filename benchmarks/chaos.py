"""Faults that the product must survive with nothing lost: ``python -m benchmarks.chaos``.

It runs every test that is marked ``chaos(fault, place)`` (``make chaos``), writes
``benchmarks/results/chaos.json``, and prints a table: fault, on what, tried, survived, lost. Each
such test asserts that nothing is lost, so what fails stands in the last column by its name, and
what could not be tried says why. Faults at random moments come from ``make check-long``, whose
results are added as they are. ``--show`` prints the table of the last results, and ``--page FILE``
puts it into a page between two comments, chaos and /chaos.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
FAULTS = ("kill", "stall", "full disk", "clock jump", "lossy wire", "Redis or broker killed")
PLACES = ("collect", "store", "run", "API", "events")
RANDOM = {
    "writer_kills": ("kill at a random moment", "store"),
    "collection_cycles": ("kills and faults at random", "collect"),
}
"""By name of a check of ``benchmarks.check_long``: what it does, and on what."""
BEGIN = "<!-- chaos: written by make chaos -->"
END = "<!-- /chaos -->"


@dataclass
class Row:
    """What became of one fault at one place.

    Parameters
    ----------
    fault, place : str
        Of ``FAULTS`` and ``PLACES``, or as ``RANDOM`` has it.
    survived : int
        Tries that lost nothing.
    lost : list of str
        Names of the tries that lost something.
    not_tried : list of str
        Why others could not be tried here.
    """

    fault: str
    place: str
    survived: int = 0
    lost: list[str] = field(default_factory=list)
    not_tried: list[str] = field(default_factory=list)

    @property
    def tried(self) -> int:
        """How often it was tried."""
        return self.survived + len(self.lost)

    def cells(self) -> tuple[str, ...]:
        """Return the row as the table has it."""
        lost = ", ".join(self.lost) or ("nothing" if self.tried else "not tried")
        if self.not_tried:
            lost += f" ({len(self.not_tried)} not tried: {'; '.join(sorted(set(self.not_tried)))})"
        return self.fault, self.place, str(self.tried), str(self.survived), lost


class Collected:
    """A plugin of pytest that counts how tests marked ``chaos`` end."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Row] = {}
        self._marked: dict[str, tuple[str, str]] = {}

    def pytest_collection_modifyitems(self, items: Iterable[pytest.Item]) -> None:
        """Note where each test belongs; a mark that names no known fault or place is an error."""
        for item in items:
            mark = item.get_closest_marker("chaos")
            if mark is None:
                continue
            if len(mark.args) != 2 or mark.args[0] not in FAULTS or mark.args[1] not in PLACES:
                raise pytest.UsageError(
                    f"{item.nodeid} is marked chaos{mark.args}: name a fault of"
                    f" {', '.join(FAULTS)} and a place of {', '.join(PLACES)}."
                )
            self._marked[item.nodeid] = mark.args

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test once: where it fails or is skipped, or when its call has passed."""
        if report.passed and report.when != "call":
            return
        where = self._marked.get(report.nodeid)
        if where is None:
            return
        row = self.rows.setdefault(where, Row(*where))
        name = report.nodeid.partition("::")[2]
        if report.skipped:
            row.not_tried.append(reason(report))
        elif report.passed:
            row.survived += 1
        elif name not in row.lost:
            row.lost.append(name)
            if report.when == "teardown":  # its call had passed
                row.survived -= 1


def reason(report: pytest.TestReport) -> str:
    """Return why a test was skipped."""
    text = report.longrepr
    return str(text[2] if isinstance(text, tuple) else text).removeprefix("Skipped: ")


def from_checks(results: Path) -> list[Row]:
    """Return a row for each check of ``make check-long`` that has results."""
    rows = []
    for name, where in RANDOM.items():
        path = results / f"{name}.json"
        if not path.exists():
            rows.append(Row(*where, not_tried=["make check-long"]))
            continue
        state = json.loads(path.read_text())
        lost = [f"try {failure['seed']}" for failure in state["failures"]]
        rows.append(Row(*where, survived=state["tries"] - len(lost), lost=lost))
    return rows


def in_order(rows: Iterable[Row]) -> list[Row]:
    """Return rows by fault, then by place."""
    return sorted(rows, key=lambda row: (FAULTS.index(row.fault), PLACES.index(row.place)))


def table(rows: Iterable[Row]) -> str:
    """Return rows as a table of Markdown."""
    heading = ("fault", "on", "tried", "survived", "lost")
    lines = [heading, ("---",) * len(heading), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def try_all(tests: Sequence[Path]) -> tuple[list[Row], int]:
    """Run all tests marked ``chaos`` below these folders; return what became of them.

    Returns
    -------
    list of Row
        By fault and place.
    int
        pytest's exit code.
    """
    collected = Collected()
    words = ["-m", "chaos", "-p", "no:cacheprovider", f"--rootdir={ROOT}", *map(str, tests)]
    code = pytest.main(words, plugins=[collected])
    return in_order(collected.rows.values()), int(code)


def write(rows: Sequence[Row], path: Path) -> None:
    """Write what was found, and of which revision."""
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    told: dict[str, Any] = {"revision": revision, "rows": [vars(row) for row in rows]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=1) + "\n")


def read(path: Path) -> list[Row]:
    """Return the rows of a file of results."""
    return [Row(**row) for row in json.loads(path.read_text())["rows"]]


def put_into(page: Path, text: str) -> None:
    """Replace what stands in a page between the two comments.

    Raises
    ------
    ValueError
        Where it lacks them.
    """
    before, begin, after = page.read_text().partition(BEGIN)
    _, end, after = after.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} has no place for the table: write {BEGIN} and {END} into it.")
    page.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main(words: Sequence[str]) -> int:
    """Carry out what the command line asks; return the exit code, 1 where something was lost."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos")
    parser.add_argument("tests", nargs="*", type=Path, help="folders or files  [default: tests]")
    parser.add_argument("--show", action="store_true", help="run nothing, print the last results")
    parser.add_argument("--page", type=Path, metavar="FILE", help="gets the table")
    parser.add_argument("--results", type=Path, metavar="FOLDER", default=RESULTS)
    given = parser.parse_args(words)
    path = given.results / "chaos.json"
    code = 0
    if not given.show:
        rows, code = try_all(given.tests or [ROOT / "tests"])
        if not rows:  # nothing was collected, or what was collected is no test
            return code
        write(rows, path)
    rows = read(path) + from_checks(given.results)
    print(table(rows))
    if given.page:
        put_into(given.page, table(rows))
    return 1 if code or any(row.lost for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
