"""Parquet files, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources import base

MAGIC = b"PAR1"
"""With what a Parquet file begins and ends."""
_NAMES_BYTES = 65_536
"""Of what stands at the end of a file, where its columns come first."""


def batches_in(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file, ``PIECE_ROWS`` at a time.

    Parameters
    ----------
    path : Path
        The file.
    columns : sequence of str, optional
        Only these, as the file has them; None: all.

    Raises
    ------
    DataError
        Where it is not readable to its end.
    """
    try:
        file = pq.ParquetFile(path)
        for batch in file.iter_batches(batch_size=base.PIECE_ROWS, columns=columns):
            batch.validate(full=True)  # a text that is no UTF-8 would stop DuckDB
            yield batch
    except (pa.ArrowException, OSError, ValueError) as cause:  # ValueError: a name is no UTF-8
        what = f"not readable as Parquet: {str(cause).splitlines()[0]}"
        raise DataError(what, "Write it again.") from cause


def columns_in(path: Path) -> list[str]:
    """Return the names of the columns of a file; DataError where it is not readable."""
    try:
        names: list[str] = pq.read_schema(path).names
    except (pa.ArrowException, OSError, ValueError) as cause:
        what = f"not readable as Parquet: {str(cause).splitlines()[0]}"
        raise DataError(what, "Write it again.") from cause
    return names


def bytes_of_names(path: Path) -> bytes:
    """Return the bytes at the end of a Parquet file in which its columns are named, b'' if none."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - 8))
        end = file.read(8)
        length = int.from_bytes(end[:4], "little")
        if end[4:] != MAGIC or length > size - 8:
            return b""
        file.seek(size - 8 - length)
        return file.read(min(length, _NAMES_BYTES))
