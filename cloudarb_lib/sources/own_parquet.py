"""Tables of our own as Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from cloudarb_lib.sources.base import LINE, OWN_COLUMNS, Match, Parsed
from cloudarb_lib.sources.parquet_files import MAGIC, batches_in
from cloudarb_lib.sources.table_source import TableSource
from cloudarb_lib.sources.text import OURS, Vocabulary


@dataclass(frozen=True)
class RowBatch:
    """Rows of a Parquet file, our names of its columns, and how many of its rows stand before."""

    rows: pa.RecordBatch
    names: list[str]
    rows_before: int


class OwnParquet(TableSource[RowBatch]):
    """A table of data/README.md as Parquet; the line of a row is its number in the file."""

    name = "own-parquet"

    def recognises(self, head: bytes) -> Match:
        return Match.FORMAT if head[:4] == MAGIC else Match.NO

    def fetch(self, path: Path, vocabulary: Vocabulary = OURS) -> Iterator[RowBatch]:
        rows_before = 0
        for batch in batches_in(path):
            names = list(map(vocabulary.name_of, batch.schema.names))
            yield RowBatch(batch, names, rows_before)
            rows_before += len(batch)

    def parse(self, piece: RowBatch) -> Parsed:
        columns = [
            pa.array(map(str, column.to_pylist()))  # a list or struct: for people to see
            if pa.types.is_nested(column.type)
            else column
            for column in piece.rows.columns
        ]
        lines = pa.array(piece.rows_before + np.arange(len(piece.rows)) + 1)
        return Parsed(
            {OWN_COLUMNS: pa.Table.from_arrays([*columns, lines], [*piece.names, LINE])}, []
        )
