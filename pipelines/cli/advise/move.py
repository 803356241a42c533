"""``cloudarb advise move``: move to the cheapest plan, or stay where it runs now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.advise.asking import MarketOptions, market_of
from pipelines.cli.manual import with_options
from pipelines.cli.plan_folder import last_plan, running
from pipelines.exit_codes import DONE


@dataclass(frozen=True, kw_only=True)
class MoveOptions(MarketOptions):
    """Arguments and options of the verb."""

    demand: Annotated[
        Path,
        typer.Argument(metavar="DEMAND.yaml", help="demand file; what runs now is its 'current'"),
    ]
    last_plan: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="what runs now: the plan in there (cloudarb allocate)"),
    ] = None
    scenario: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="of a last plan with scenarios, the one that came  [default: the likeliest]",
        ),
    ] = None
    weeks: Annotated[
        float, typer.Option(metavar="N", min=1, help="over which a move must pay back")
    ] = 13.0
    providers: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME ...", help="whose offers may be used  [default: all fresh]"),
    ] = None


@with_options(MoveOptions)
def move(options: MoveOptions) -> int:
    """Move, or stay where it runs now?

    Prints what a move saves, what it costs (hours in which both run, starting again, copying the
    state) and when it has paid back, and which machines change. Prices are today's: on the record
    forecasts decide this no better.
    """
    from cloudarb_lib.advice import move as library
    from cloudarb_lib.allocate import load_demand, with_lines_of
    from cloudarb_lib.tables.assumptions import load_assumptions

    demand = load_demand(options.demand)
    if options.last_plan is not None:
        demand, _ = running(demand, last_plan(options.last_plan), options.scenario)
    market = market_of(options, options.providers)
    with with_lines_of(options.demand):
        advice = library.move_or_stay(demand, market, load_assumptions(), weeks=options.weeks)
    print(library.in_words(advice, weeks=options.weeks))
    if advice.is_move:
        print(advice.changes.to_string(index=False))
    return DONE
