"""``cloudarb advise dated-run``: a run with a deadline, on spot with on-demand behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.advise.runs import RunOptions, availability_of, run_of
from pipelines.cli.manual import with_options
from pipelines.exit_codes import DONE

if TYPE_CHECKING:
    from cloudarb_lib.advice.dated.run import Availability, DatedRun, RunAdvice


@dataclass(frozen=True, kw_only=True)
class DatedRunOptions(RunOptions):
    """Arguments and options of the verb."""

    availability: Annotated[
        str,
        typer.Option(
            metavar="WHICH",
            help="how spot comes and goes: a hazard preset (calm, typical, stressed ...), or "
            "trace:MACHINE for probes on record, such as trace:v100_1",
        ),
    ] = "typical"
    spot_now: Annotated[
        bool | None, typer.Option("--spot-now/--no-spot-now", help="whether spot is to be had now")
    ] = None


@with_options(DatedRunOptions)
def dated_run(options: DatedRunOptions) -> int:
    """A run with a deadline: spot, on-demand, or wait, and how likely is it late?

    The policy of least expected cost by dynamic programming on how spot comes and goes, beside
    published and simple rules on the same draws: cost, P10 to P90, chance to be late with its
    doubt. With on-demand behind it the run is never late, unless --late-usd puts a price on that.
    Prices are those of the day; probes on record are of V100 and K80 in 2022 and 2023.
    """
    from cloudarb_lib.advice.dated.run import advise_run

    run = run_of(options)
    availability = availability_of(options.availability, run, seed=options.seed)
    advice = advise_run(
        run, availability, n_paths=options.n_paths, seed=options.seed, spot_now=options.spot_now
    )
    _print_advice(advice, run, availability)
    return DONE


def _print_advice(advice: RunAdvice, run: DatedRun, availability: Availability) -> None:
    """Print what to do, and the table it rests on."""
    on_demand_usd = run.on_demand_usd_per_hour
    behind = "none" if on_demand_usd is None else f"{on_demand_usd:,.2f} USD/h"
    print(
        f"{run.work_h:g} h of work in {run.deadline_h:,.1f} h, {run.restart_h:g} h a start; "
        f"spot {run.spot_usd_per_hour:,.2f} USD/h, on-demand {behind}; {availability.source}"
    )
    print(f"now: {advice.first[True]} where spot is to be had, else {advice.first[False]}", end="")
    if advice.switch_h is None:
        print("")
    else:
        print(f"; if none comes, on-demand from {advice.switch_h:.1f} h on")
    print(advice.costs.to_string(float_format="{:,.2f}".format))
