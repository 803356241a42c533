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
) -> int:
    """Prices to report; does only what is not up to date.

    Checks the configuration whole, pins the store's newest snapshot, runs the notebooks that are
    not up to date (two at a time where the graph allows), writes
    reports/NAME-AS_OF-SNAPSHOT-PARAMETERS/ (the last two by digest). Stopped or killed, the same
    command takes up where it stopped.
    """
    from pipelines.run import pipeline

    return pipeline.run(config, reports=reports)
