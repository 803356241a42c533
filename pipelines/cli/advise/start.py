"""``cloudarb advise start``: start a job now, or wait for a better price."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloudarb_lib.base.errors import ParameterError, did_you_mean
from pipelines.cli.advise.asking import MarketOptions, market_of, paths_of
from pipelines.cli.manual import with_options
from pipelines.exit_codes import DONE

if TYPE_CHECKING:
    from cloudarb_lib.allocate import Workload


@dataclass(frozen=True, kw_only=True)
class StartOptions(MarketOptions):
    """Arguments and options of the verb."""

    demand: Annotated[
        Path, typer.Argument(metavar="DEMAND.yaml", help="demand file, such as data/demand.yaml")
    ]
    workload: Annotated[str, typer.Option(metavar="NAME", help="which of its workloads")]
    by: Annotated[str, typer.Option(metavar="DAY", help="when it must have started")]
    job_weeks: Annotated[int, typer.Option(metavar="N", min=1, help="weeks that it runs")] = 4
    delay_usd_per_week: Annotated[
        float, typer.Option(metavar="USD", min=0, help="what each week of waiting costs beside")
    ] = 0.0


@with_options(StartOptions)
def start(options: StartOptions) -> int:
    """Start a job now, or wait for a better price?

    Prints the price to wait for and the day to start at the latest, what waiting is expected to
    save, and the chance to regret it, from joint price paths of all places where the job may run.
    """
    from cloudarb_lib.advice import start as library
    from cloudarb_lib.advice.places import Places
    from cloudarb_lib.allocate import load_demand, with_lines_of
    from cloudarb_lib.base.units import HOURS_PER_WEEK, parse_as_of
    from cloudarb_lib.tables.assumptions import load_assumptions

    workload = _workload(load_demand(options.demand).workloads, options.workload)
    as_of = parse_as_of(options.as_of)
    weeks = library.weeks_to_wait(as_of, parse_as_of(options.by))
    if options.prices == "today":
        raise ParameterError(
            "at today's prices there is nothing to wait for.", "Use --prices forecast."
        )
    market = market_of(options)
    assumptions = load_assumptions()
    offers = market.offers_of(set(workload.throughput))
    with with_lines_of(options.demand):
        places = Places.of(workload, offers, assumptions)
    chosen = offers[offers["offer_id"].isin(places.offer_ids)]
    ahead = paths_of(options, market, chosen, assumptions, weeks=weeks + options.job_weeks - 1)
    paths = library.from_market(places, chosen, ahead, job_weeks=options.job_weeks)
    hours = options.job_weeks * HOURS_PER_WEEK
    advice = library.start_or_wait(paths, delay_usd_per_hour=options.delay_usd_per_week / hours)
    print(library.in_words(advice, as_of, need=places.need))
    return DONE


def _workload(workloads: list[Workload], name: str) -> Workload:
    """Return the workload of that name; ParameterError where there is none."""
    for workload in workloads:
        if workload.name == name:
            return workload
    names = [workload.name for workload in workloads]
    raise ParameterError(
        f"no workload {name!r}{did_you_mean(name, names)}.", f"Use one of {', '.join(names)}."
    )
