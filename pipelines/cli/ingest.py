"""``cloudarb ingest``: price files into the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def ingest(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="Parquet, CSV or EC2 JSON")
    ] = None,
    store: Annotated[
        str, typer.Option(metavar="FOLDER", help="folder of the store  [default: data/store]")
    ] = "",
) -> int:
    """Take price files into the store.

    Takes in our own tables (Parquet or CSV; columns in data/README.md) and the JSON printed by aws
    ec2 describe-spot-price-history, also several pages in one file; without FILE the bundled
    history. The same file twice changes nothing. Rows that break a rule go to quarantine with file,
    line and reason; the rest lands, and a new snapshot is published.
    """

    import pandas as pd

    from cloudarb_lib.store import ingest_files

    print(ingest_files(files or [], store_dir=store, now=pd.Timestamp.now("UTC")))
    return 0
