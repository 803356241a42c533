"""``cloudarb run``: prices to report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    config: Annotated[
        Path,
        typer.Argument(metavar="CONFIG.yaml", help="a YAML file, such as pipelines/weekly.yaml"),
    ],
    reports: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="folder of the reports  [default: reports/]"),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="a value in place of the configuration's, as YAML has it; any number of times",
        ),
    ] = None,
) -> int:
    """Prices to report; does only what is not up to date.

    Checks the configuration whole, pins the store's newest snapshot, runs the notebooks that are
    not up to date (two at a time where the graph allows), writes
    reports/NAME-AS_OF-SNAPSHOT-PARAMETERS/ (the last two by digest). Stopped or killed, the same
    command takes up where it stopped. With as_of: latest it runs as of the newest observation on
    record, and says which day that is. --set budget_usd=1500000 changes a value for this run, which
    gets a folder of its own.
    """
    from pipelines.run import pipeline
    from pipelines.run.config import read_changes

    return pipeline.run(config, reports=reports, changes=read_changes(set_ or ()))
