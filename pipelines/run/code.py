"""What code a notebook rests on: the modules of the library that it imports, and all they import.

Found by reading, not by running: an import anywhere in a module counts, and so does a text that
names a module (a process is started by it). A package that is imported itself counts whole, since
it may look up its modules by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_LIBRARY = "cloudarb_lib"
_NAME = re.compile(rf"(?:^\s*import |[\"'])({_LIBRARY}(?:\.\w+)+)", re.MULTILINE)
_FROM = re.compile(rf"\bfrom ({_LIBRARY}[\w.]*) import (\([^)]*\)|.*)")
_NOT_IMPORTED = re.compile(r"#.*|\bas \w+")


def code_of(notebook: Path, library: Path) -> list[Path]:
    """Return the files of the library whose change can change what a notebook computes.

    Parameters
    ----------
    notebook : Path
        The notebook; one that cannot be read rests on nothing, since it cannot run.
    library : Path
        Folder of the package.

    Returns
    -------
    list of Path
        In order. Tables that lie beside modules are among them.
    """
    files = {library / "__init__.py"} if (library / "__init__.py").is_file() else set()
    waiting = set(_named(_source(notebook)))
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for file in _files(name, library):
            if file not in files:
                files.add(file)
                waiting |= _named_in_file(file, file.stat().st_mtime_ns)
    folders = {file.parent for file in files}
    tables = [table for folder in folders for table in folder.glob("*.csv")]
    return sorted([*files, *tables])


def _source(notebook: Path) -> str:
    """Return the code of a notebook, magics left out; '' where it cannot be read."""
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return "\n".join(line for text in code for line in text.splitlines() if line[:1] not in "%!")


@cache
def _named_in_file(file: Path, changed_ns: int) -> frozenset[str]:
    """Return what a file names; ``changed_ns`` makes a changed file another one."""
    return frozenset(_named(file.read_text(encoding="utf-8")))


def _named(code: str) -> Iterator[str]:
    """Yield the full names of the library that code imports, or that stand in its texts."""
    for module, names in _FROM.findall(code):
        yield from (f"{module}.{name}" for name in re.findall(r"\w+", _NOT_IMPORTED.sub("", names)))
    yield from _NAME.findall(code)


def _files(name: str, library: Path) -> Iterator[Path]:
    """Yield the files that importing a name of the library can run."""
    first, *parts = name.split(".")
    if first != _LIBRARY:
        return
    place = library
    for part in parts:
        if (place / part / "__init__.py").is_file():
            place = place / part
            yield place / "__init__.py"
        elif (place / f"{part}.py").is_file():
            yield place / f"{part}.py"
            return
        else:
            break  # a function or a constant of the package
    if place != library:
        yield from place.rglob("*.py")
