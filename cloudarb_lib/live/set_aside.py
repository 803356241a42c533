"""What was read of an answer to check it, kept on the disk until the store takes it in."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path

from cloudarb_lib.base.errors import StoreError
from cloudarb_lib.sources.base import Parsed


class SetAside(Iterable[Parsed]):
    """Pieces of a file, each read but once: one at a time is in the memory.

    Parameters
    ----------
    path : Path
        Where they are written, by this process and for it alone.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def adding(self, pieces: Iterable[Parsed]) -> Iterator[Parsed]:
        """Yield pieces as they are written.

        Raises
        ------
        StoreError
            Where the disk does not take them.
        """
        try:
            with self._path.open("wb") as file:
                for piece in pieces:
                    pickle.dump(piece, file, protocol=pickle.HIGHEST_PROTOCOL)
                    yield piece
        except OSError as cause:
            what = f"what was read of an answer cannot be set aside: {cause.strerror}."
            raise StoreError(what, f"Free space for {self._path.parent}.") from cause

    def __iter__(self) -> Iterator[Parsed]:
        with self._path.open("rb") as file:
            while file.peek(1):
                yield pickle.load(file)
