"""Sources of tables with any columns, ours or those that a map names."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path

from cloudarb_lib.sources.base import Piece, Source
from cloudarb_lib.sources.text import OURS, Vocabulary


class TableSource(Source[Piece]):
    """A format of tables: ``parse`` gives rows of ``OWN_COLUMNS``, whatever the columns are."""

    @abstractmethod
    def fetch(self, path: Path, vocabulary: Vocabulary = OURS) -> Iterator[Piece]:
        """Read a file piece by piece, its header told by the names of a vocabulary."""
