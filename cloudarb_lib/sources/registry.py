"""Which sources there are, and which of them a file belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudarb_lib.sources as package
from cloudarb_lib.base.discovery import classes_in
from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources.base import Match, Parsed, Source
from cloudarb_lib.sources.unpack import plain_files

_HEAD_BYTES = 4096


def registered() -> list[Source[Any]]:
    """Return a source of each kind that a module of this package defines, by name."""
    kinds = classes_in(package, Source)  # type: ignore[type-abstract]
    return sorted((kind() for kind in kinds), key=lambda source: source.name)


def source_of(path: Path) -> Source[Any]:
    """Return the source that recognises a plain file best.

    Raises
    ------
    DataError
        Where none does.
    OSError
        Where the system cannot read the file.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    best = max(registered(), key=lambda source: source.recognises(head))
    if best.recognises(head) is Match.NO:  # our own CSV takes any other text
        raise DataError("it is empty, or no text, Parquet or workbook.", "Save it with rows.")
    return best


def read(path: Path) -> Iterator[Parsed]:
    """Yield what a file holds, piece by piece; a packed one may hold files of one catalogue.

    Raises
    ------
    DataError
        Where it cannot be read to its end: the caller then drops what it was given of it.
    """
    try:
        with plain_files(path) as files:
            sources = [source_of(file.path) for file in files]
            if len(files) > 1 and not (len(set(map(type, sources))) == 1 and sources[0].in_parts):
                names = ", ".join(file.name for file in files)
                raise DataError(f"it holds several files ({names[:200]}).", "Give them singly.")
            for source, file in zip(sources, files, strict=True):
                for piece in source.fetch(file.path):
                    yield replace(source.parse(piece), source=source.name)
    except OSError as cause:
        raise DataError(f"it cannot be read: {cause.strerror}.", "Check the path.") from cause
