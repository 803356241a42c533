"""``cloudarb prune``: old runs go."""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.options import ReportsOption
from pipelines.exit_codes import DONE


def prune(
    keep: Annotated[int, typer.Option(metavar="N", help="runs of each series that stay")],
    configuration: Annotated[
        str, typer.Argument(metavar="NAME", help="only runs of this configuration")
    ] = "",
    reports: ReportsOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would go, and remove nothing")
    ] = False,
) -> int:
    """Remove old runs, all but the newest N of each series.

    Runs of a configuration with one title are a series; each run of a set (--over) says its values
    in its title, and is of a series of its own. The newest run of a series that succeeded stays
    whatever its age, and so does a run in progress.
    """
    from cloudarb_lib.base import locations
    from cloudarb_lib.base.wording import count
    from pipelines.events.gather import gather_runs
    from pipelines.events.ledger import Ledger, ledger_file
    from pipelines.report import pages
    from pipelines.run.retention import old_runs, remove_run

    folder = (reports or locations.reports()).absolute()
    going = old_runs(folder, keep, configuration)
    if going and not dry_run:
        with Ledger(ledger_file(folder)) as ledger:
            gather_runs(ledger, folder)  # what they tell outlives them
    for run_id in going:
        if dry_run:
            print(f"would remove {run_id}")
        else:
            print(f"removed {run_id}" if remove_run(folder, run_id) else f"in use: {run_id}")
    if going and not dry_run:
        pages.write_index(folder)
    print(f"older than the newest {keep}: {count(len(going), 'run')}")
    return DONE
