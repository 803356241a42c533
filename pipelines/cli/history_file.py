"""A price file of one's own, where a back-test would read the bundled history."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd

StoreFolder = Annotated[
    str,
    typer.Option(
        metavar="FOLDER", help="folder of the store, without --history  [default: data/store]"
    ),
]
"""Option of the verbs that read a price file of one's own or the store."""


@contextmanager
def store_of(history: Path | None, store_dir: str) -> Iterator[str]:
    """Yield the folder of a store that holds the file ``history`` alone, gone afterwards.

    Without a file it is ``store_dir``. Prints what the file brought in; DataError where it cannot
    be read.
    """
    import tempfile

    import pandas as pd

    from cloudarb_lib.store import ingest_files

    if history is None:
        yield store_dir
        return
    with tempfile.TemporaryDirectory() as folder:
        own = str(Path(folder) / "store")
        print(ingest_files([history], store_dir=own, now=pd.Timestamp.now("UTC")))
        yield own


def record_end(events: pd.DataFrame, name: str) -> pd.Timestamp:
    """Return when the last of ``events`` took effect and was seen; DataError where there is none.

    ``name`` is the history's, for the message.
    """
    from cloudarb_lib.base.errors import DataError

    if events.empty:
        raise DataError(f"{name}: the history holds no price.", "Give a file with price events.")
    return max(events["effective_at"].max(), events["observed_at"].max())
