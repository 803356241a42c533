"""The CSV form of AWS's price files: five lines about the file, a header, rows of all products."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from cloudarb_lib.base.errors import DataError
from cloudarb_lib.sources.base import LINE, open_text, start_of_text

_LINES_BEFORE_ROWS = 6
_BLOCK_BYTES = 4 << 20
_WAY_OUT = "Download it again, in its CSV form (index.csv)."


@dataclass(frozen=True)
class PriceFile:
    """What a price file says of the products asked for.

    Parameters
    ----------
    published : str
        When AWS published it.
    rows : pyarrow.Table
        Texts of the columns asked for ('' where the file lacks one), and ``LINE``.
    left_out : int
        Rows of other products.
    """

    published: str
    rows: pa.Table
    left_out: int

    @property
    def notices(self) -> tuple[str, ...]:
        """What to tell of it."""
        if not self.left_out:
            return ()
        return (f"{self.left_out:,} rows are of other products and were passed over",)


def offer_code(head: bytes) -> str:
    """Return which service a price file is of, '' where the beginning is not of such a file."""
    if not start_of_text(head).lstrip(b'"').startswith(b"FormatVersion"):
        return ""
    return _about_file(head.decode("utf-8-sig", "replace").splitlines()).get("OfferCode", "")


def _about_file(lines: Sequence[str]) -> dict[str, str]:
    """Return the names and values of the first lines."""
    rows = csv.reader(lines[: _LINES_BEFORE_ROWS - 1])
    return {fields[0]: fields[1] for fields in rows if len(fields) == 2}


def read_price_file(
    path: Path, code: str, columns: Sequence[str], product: Mapping[str, Sequence[str]]
) -> PriceFile:
    """Read those rows of a price file that are of one product, block by block.

    Parameters
    ----------
    path : Path
        The file.
    code : str
        The service that it must be of.
    columns : sequence of str
        Columns to return.
    product : mapping of str to sequence of str
        Values that mark the product, by column.

    Raises
    ------
    DataError
        Where the file is of another service, is broken, or ends within a line.
    """
    with open_text(path) as file:
        beginning = [file.readline() for _ in range(_LINES_BEFORE_ROWS)]
        about = _about_file(beginning)
        if about.get("OfferCode") != code or not about.get("Publication Date"):
            raise DataError(f"its first lines are not those of a price file of {code}.", _WAY_OUT)
        header = next(csv.reader(beginning[-1:]), [])
    missing = [name for name in columns if name not in header and name in ("Region Code", "Unit")]
    if missing:
        raise DataError(f"its rows lack column {missing[0]!r}.", _WAY_OUT)
    kept = []
    rows_read = 0
    try:
        for block in _blocks(path, columns):
            lines = pa.array(range(rows_read, rows_read + len(block)), pa.int64())
            rows_read += len(block)
            numbered = block.append_column(LINE, pc.add(lines, _LINES_BEFORE_ROWS + 1))
            kept.append(numbered.filter(_is_product(numbered, product)))
    except (pa.ArrowInvalid, pa.ArrowKeyError) as cause:
        why = str(cause).splitlines()[0][:200]
        raise DataError(f"it is no whole price file ({why}).", _WAY_OUT) from cause
    rows = pa.concat_tables(kept) if kept else _no_rows(columns)
    return PriceFile(about["Publication Date"], rows, rows_read - len(rows))


def _no_rows(columns: Sequence[str]) -> pa.Table:
    types = {**dict.fromkeys(columns, pa.string()), LINE: pa.int64()}
    return pa.table({name: pa.array([], dtype) for name, dtype in types.items()})


def _blocks(path: Path, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield tables of the columns, texts all; a column that the file lacks is ''."""
    from pyarrow import csv as arrow_csv

    with path.open("rb") as file:
        reader = arrow_csv.open_csv(
            file,
            arrow_csv.ReadOptions(skip_rows=_LINES_BEFORE_ROWS - 1, block_size=_BLOCK_BYTES),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, pa.string()),
                include_columns=list(columns),
                include_missing_columns=True,
                strings_can_be_null=False,
            ),
        )
        for batch in reader:
            texts = [pc.fill_null(column.cast(pa.string()), "") for column in batch.columns]
            yield pa.Table.from_arrays(texts, list(columns))


def _is_product(rows: pa.Table, product: Mapping[str, Sequence[str]]) -> pa.ChunkedArray:
    """Return for each row whether all its marks are those of the product."""
    is_product = pa.chunked_array([pa.repeat(True, len(rows))])
    for column, values in product.items():
        is_product = pc.and_(is_product, pc.is_in(rows[column], value_set=pa.array(values)))
    return is_product
