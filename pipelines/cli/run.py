"""``cloudarb run``: prices to report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.options import ReportsOption


def run(
    configs: Annotated[
        list[Path],
        typer.Argument(metavar="CONFIG.yaml", help="YAML files, such as pipelines/weekly.yaml"),
    ],
    reports: ReportsOption = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="a value in place of the configuration's, as YAML has it; any number of times",
        ),
    ] = None,
    over: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=[VALUE, ...]",
            help="a run for each value, such as 'providers=[[gcp], [gcp, aws]]'; of several every "
            "combination",
        ),
    ] = None,
    cores: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, show_default=False, help="to use  [default: those there are]"
        ),
    ] = 0,
) -> int:
    """Prices to report; does only what is not up to date.

    Checks the configuration whole, pins the store's newest snapshot, runs the notebooks that are
    not up to date (and says why), and writes reports/NAME-AS_OF-SNAPSHOT-PARAMETERS/ (the last two
    by digest). What another run made of the very same things is taken over. Stopped or killed, the
    same command takes up where it stopped. With as_of: latest it runs as of the newest observation
    on record, and says which day that is. --set budget_usd=1500000 changes a value for this run,
    which gets a folder of its own. Several configurations, or values after --over (such as
    'demand=[data/a.yaml, data/b.yaml]'), are runs side by side.
    """
    from pipelines.run import pipeline, sets
    from pipelines.run.config import read_changes

    changes = read_changes(set_ or ())
    at_most = cores or sets.cores_here()
    if len(configs) == 1 and not over:
        return pipeline.run(configs[0], reports=reports, changes=changes, cores=at_most)
    runs = sets.variations(configs, changes, over or ())
    return sets.run_all(runs, reports=reports, cores=at_most)
