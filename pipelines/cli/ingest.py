"""``cloudarb ingest``: price files into the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines import exit_codes
from pipelines.cli.options import StoreOption


def ingest(
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="FILE", help="prices: a table, or a catalogue")
    ] = None,
    store: StoreOption = "",
    whole: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PROVIDER[/REGION[/OPTION]]",
            help="the files show this part of the market whole: what they lack of it is withdrawn",
        ),
    ] = None,
    seen_at: Annotated[
        str,
        typer.Option(metavar="TIME", help="when files without times of their own were downloaded"),
    ] = "",
    column_map: Annotated[
        str,
        typer.Option(
            "--map",
            metavar="FILE",
            help="YAML that says which column of the files is which of ours",
        ),
    ] = "",
    explain_only: Annotated[
        bool,
        typer.Option("--explain", help="show how the first rows would be read, and store nothing"),
    ] = False,
    confirm: Annotated[
        bool, typer.Option("--confirm", help="withdraw what is missing, however much it is")
    ] = False,
    fx: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="rates of other currencies: CSV with currency, usd_per_unit, as_of, source",
        ),
    ] = None,
) -> int:
    """Take price files into the store.

    Takes in our own tables (columns in data/README.md; CSV, tabs, semicolons, JSON, Parquet,
    .xlsx), EC2 spot price history as the AWS tools print it, and the catalogues that
    docs/sources.md lists, also packed (.gz, .zst, .zip); without FILE the bundled history. A table
    with other columns goes by --map, a YAML file that says which of them is which of ours.
    --explain shows how a file would be read. The same file twice changes nothing. Rows that break a
    rule go to quarantine with file, line and reason; the rest lands, and a new snapshot is
    published. A file vouches for its own rows alone, unless --whole says that it shows a part of
    the market whole. Prices in other currencies than USD are held back, unless --fx names a rate of
    their time or before. Exit code 3 where nothing of a file landed, 8 where some rows were held
    back.
    """

    import pandas as pd

    from cloudarb_lib.base.errors import ParameterError
    from cloudarb_lib.base.units import ensure_utc
    from cloudarb_lib.sources.column_map import read_map
    from cloudarb_lib.store import Batch, explain, ingest_files, load_rates, scope_of
    from cloudarb_lib.store.entry import store_folder
    from pipelines.events.gather import tell_prices

    rates = load_rates(fx) if fx else ()
    mapping = read_map(column_map) if column_map else None
    batches = [
        Batch(
            path,
            seen_at=ensure_utc(seen_at, "--seen-at") if seen_at else None,
            whole=tuple(scope_of(text) for text in whole or ()),
            mapping=mapping,
            confirmed=confirm,
            rates=rates,
        )
        for path in files or ()
    ]
    now = pd.Timestamp.now("UTC")
    if explain_only:
        if not batches:
            raise ParameterError("no file is named to explain.", "Name one before --explain.")
        for batch in batches:
            print(explain(batch, store_dir=store, now=now))
        return exit_codes.DONE
    report = ingest_files(batches, store_dir=store, now=now)
    print(report)
    if report.published:
        tell_prices(store_folder(store))
    if report.nothing_landed:
        return exit_codes.DATA
    return exit_codes.HELD_BACK if report.quarantined else exit_codes.DONE
