"""``cloudarb advise reserve``: a block of capacity for a run with a deadline, or spot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from pipelines.cli.advise.runs import RunOptions, availability_of, run_of
from pipelines.cli.manual import with_options
from pipelines.exit_codes import DONE


@dataclass(frozen=True, kw_only=True)
class ReserveOptions(RunOptions):
    """Arguments and options of the verb."""

    block_usd_per_hour: Annotated[
        float, typer.Option(metavar="USD", help="price of reserved capacity, an instance and hour")
    ]
    block_unit_h: Annotated[
        float, typer.Option(metavar="HOURS", help="it is sold by whole units of so many hours")
    ] = 24.0
    max_p_late: Annotated[
        float, typer.Option(metavar="SHARE", help="most often that the run may be late")
    ] = 0.0
    availability: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHICH ...",
            help="views of how spot comes and goes: hazard presets, trace:MACHINE for probes on "
            "record  [default: all presets]",
        ),
    ] = None


@with_options(ReserveOptions)
def reserve(options: ReserveOptions) -> int:
    """Reserve a block of capacity for a run with a deadline, or go on spot?

    What each way costs under each view of how spot comes and goes: the block, on-demand, spot with
    on-demand behind it by the best policy, and spot alone with its chance to be late. The cheapest
    that is late no more often than allowed is chosen; up to the break-even price the block is.
    """
    from cloudarb_lib.advice.dated.reserve import Block, reserve_or_spot
    from cloudarb_lib.tables.assumptions import HAZARD_PRESETS

    block = Block(options.block_usd_per_hour * options.instances, options.block_unit_h)
    run = run_of(options)
    views = {
        name: availability_of(name, run, seed=options.seed)
        for name in options.availability or HAZARD_PRESETS
    }
    table = reserve_or_spot(
        run, block, views, max_p_late=options.max_p_late, n_paths=options.n_paths, seed=options.seed
    )
    print(
        f"{run.work_h:g} h of work in {run.deadline_h:,.1f} h; the block is paid for "
        f"{block.hours(run):g} h at {block.usd_per_hour:,.2f} USD/h"
    )
    print(table.to_string(float_format="{:,.2f}".format))
    return DONE
