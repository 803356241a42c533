"""Which sources there are, and which of them a file belongs to."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import cloudarb_lib.sources as package
from cloudarb_lib.base.discovery import classes_in
from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources.base import Match, Parsed, Source
from cloudarb_lib.sources.column_map import ColumnMap
from cloudarb_lib.sources.parquet_files import MAGIC, bytes_of_names
from cloudarb_lib.sources.table_source import TableSource
from cloudarb_lib.sources.unpack import plain_files

_HEAD_BYTES = 4096
AnySource = TypeVar("AnySource", bound=Source[Any])


def registered() -> list[Source[Any]]:
    """Return a source of each kind that a module of this package defines, by name."""
    kinds = classes_in(package, Source)  # type: ignore[type-abstract]
    return sorted((kind() for kind in kinds), key=lambda source: source.name)


def at_second_hand() -> list[str]:
    """Return the names of sources that repeat what others publish."""
    return [source.name for source in registered() if source.second_hand]


def source_of(path: Path) -> Source[Any]:
    """Return the source that recognises a plain file best.

    Raises
    ------
    DataError
        Where none does.
    OSError
        Where the system cannot read the file.
    """
    return _best_of(registered(), path)


def table_source_of(path: Path) -> TableSource[Any]:
    """Return the source that reads the tables of a plain file, whatever their columns are.

    Raises
    ------
    DataError, OSError
        As ``source_of``.
    """
    return _best_of([each for each in registered() if isinstance(each, TableSource)], path)


def head_of(path: Path) -> bytes:
    """Return by what a plain file is told: its beginning, and of Parquet the names of its columns.

    Raises
    ------
    OSError
        Where the system cannot read it.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return head + bytes_of_names(path) if head[:4] == MAGIC else head


def _best_of(sources: Sequence[AnySource], path: Path) -> AnySource:
    head = head_of(path)
    best = max(sources, key=lambda source: source.recognises(head))
    if best.recognises(head) is Match.NO:  # our own CSV takes any other text
        raise DataError("it is empty, or no text, Parquet or workbook.", "Save it with rows.")
    return best


def read(
    path: Path, column_map: ColumnMap | None = None, *, expected: str = ""
) -> Generator[Parsed, None, None]:
    """Yield what a file holds, piece by piece; a packed one may hold files of one catalogue.

    Parameters
    ----------
    path : Path
        The file.
    column_map : ColumnMap, optional
        How the columns of a table are ours: it is then of no known source.
    expected : str
        Name of the source that it should be of; '': any.

    Raises
    ------
    DataError
        Where it is of another source, or cannot be read to its end: the caller then drops what it
        was given of it.
    """
    try:
        with plain_files(path) as files:
            if column_map and len(files) == 1:
                yield from _mapped(files[0].path, column_map)
                return
            sources = [source_of(file.path) for file in files]
            if len(files) > 1 and not (len(set(map(type, sources))) == 1 and sources[0].in_parts):
                names = ", ".join(file.name for file in files)
                raise DataError(f"it holds several files ({names[:200]}).", "Give them singly.")
            for source in sources:
                if expected and source.name != expected:
                    what = f"it looks like {source.name}, not like {expected}."
                    raise DataError(what, "Look at what it holds.")
            for source, file in zip(sources, files, strict=True):
                for piece in source.fetch(file.path):
                    yield replace(source.parse(piece), source=source.name)
    except OSError as cause:
        raise DataError(f"it cannot be read: {cause.strerror}.", "Check the path.") from cause


def _mapped(path: Path, column_map: ColumnMap) -> Iterator[Parsed]:
    """Yield what a table holds, with our columns."""
    source = table_source_of(path)
    for piece in source.fetch(path, column_map.vocabulary):
        yield replace(column_map.applied(source.parse(piece)), source=source.name)
