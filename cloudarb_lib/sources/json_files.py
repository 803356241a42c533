"""Files of JSON documents, one after another, and values in them that may lack or be odd."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources.base import open_text, start_of_text


def documents_in(path: Path, *, name: str, way_out: str) -> Iterator[Any]:
    """Yield the JSON documents of a file: one, or the pages of a listing one after another.

    Parameters
    ----------
    path : Path
        The file.
    name : str
        What it should be, for the error: "Spot Advisor file".
    way_out : str
        How to get a good one.

    Raises
    ------
    DataError
        Where a document is broken or cut short, or there is none.
    """
    with open_text(path) as file:
        text = file.read()
    decoder = json.JSONDecoder()
    place = _after_space(text, 0)
    try:
        while True:
            document, end = decoder.raw_decode(text, place)
            yield document
            place = _after_space(text, end)
            if place == len(text):
                return
    except (ValueError, RecursionError) as cause:
        raise not_of_form(name, str(cause), way_out) from cause


def _after_space(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def not_of_form(name: str, why: str, way_out: str) -> DataError:
    """Return the error of a file that is not what it should be."""
    return DataError(f"it is no whole {name} ({why}).", way_out)


def numbered(
    documents: Iterator[Any], entries_of: Callable[[Any], list[dict[str, Any]]]
) -> Iterator[list[tuple[int, dict[str, Any]]]]:
    """Yield the entries of each document with their numbers in the file, the first being 1.

    Parameters
    ----------
    documents : iterator
        Those of ``documents_in``.
    entries_of : callable
        Takes the entries out of a document; raises DataError where it is of another form.
    """
    count = 0
    for document in documents:
        entries = entries_of(document)
        yield list(enumerate(entries, count + 1))
        count += len(entries)


def looks_like_json(head: bytes) -> bool:
    """Tell whether the beginning of a file is that of a JSON object or list."""
    return start_of_text(head)[:1] in (b"{", b"[")


def records_of(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a list; what is no list, or no object in it, is left out."""
    items = value if isinstance(value, list) else []
    return [item for item in items if isinstance(item, dict)]


def mapping_of(value: Any) -> dict[str, Any]:
    """Return an object, {} where the value is none."""
    return value if isinstance(value, dict) else {}


def text_of(value: Any) -> str:
    """Return a text or number as text, '' for anything else; half a pair is U+FFFD, no text."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def texts_of(value: Any) -> list[str]:
    """Return the texts of a list; what is no list, or no text in it, is left out."""
    items = value if isinstance(value, list) else []
    return [text_of(item) for item in items if isinstance(item, str)]
