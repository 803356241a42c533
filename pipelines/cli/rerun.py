"""``cloudarb rerun``: does a run come out alike?"""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.cli.options import ReportsOption
from pipelines.exit_codes import DIFFERS, DONE


def rerun(
    run_id: Annotated[str, typer.Argument(metavar="RUN_ID", help="name of its folder in reports/")],
    reports: ReportsOption = None,
) -> int:
    """Make a run once more from its own prices and parameters, and compare its tables.

    Restores the snapshot, the parameters and the demand file that the run kept, takes nothing over
    from other runs, and writes into reports/.state/reruns/. Exit code 0: every table is equal to
    the last bit; 14: those that differ are listed, with what the notebooks rest on that changed
    (code, packages and figures are those of today). Solves end by work that is counted, not by the
    clock, so a busy machine finds the same; where the clock did end one, which takes a machine that
    is busy for ten minutes, the tables that say so are told.
    """
    from cloudarb_lib.base import locations
    from pipelines.run.rerun import rerun as made_again
    from pipelines.run.sets import cores_here

    found = made_again(run_id, (reports or locations.reports()).absolute(), cores=cores_here())
    if found.code:
        return found.code
    differing = {name: how for name, how in found.differences.items() if how}
    print(f"{len(found.differences) - len(differing)} of {len(found.differences)} tables are equal")
    for name, how in differing.items():
        print(f"  {name}: {how}")
    for stage, parts in found.changed.items():
        print(f"  {stage} rests on other things now: {', '.join(parts)}")
    if differing and found.timed:
        print(f"  stopped by the clock, in one run or both: {', '.join(found.timed)}")
    return DIFFERS if differing else DONE
