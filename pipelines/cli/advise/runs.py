"""What decisions on a run with a deadline are asked with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from cloudarb_lib.base.errors import ParameterError
from pipelines.cli.advise.asking import MarketOptions, market_of
from pipelines.cli.options import ListedTooOption, StoreOption

if TYPE_CHECKING:
    import pandas as pd

    from cloudarb_lib.advice.dated.run import Availability, DatedRun

TRACE = "trace:"
"""Before the machine of a recorded trace."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Arguments and options of every such decision."""

    as_of: Annotated[
        str, typer.Option(metavar="DAY", help="the run starts at its end, at prices known by then")
    ]
    machine: Annotated[
        str,
        typer.Argument(metavar="MACHINE", help="provider/region/instance type, as in the store"),
    ]
    work_h: Annotated[float, typer.Option(metavar="HOURS", help="work, with all instances at it")]
    deadline: Annotated[
        str, typer.Option(metavar="TIME", help="when it must be done, such as 2026-05-02T18:00Z")
    ]
    restart_h: Annotated[
        float, typer.Option(metavar="HOURS", help="start-up each time a machine is taken up")
    ] = 0.2
    instances: Annotated[float, typer.Option(metavar="N", help="how many machines")] = 1.0
    late_usd: Annotated[
        float | None,
        typer.Option(metavar="USD", help="what being late costs  [default: never late]"),
    ] = None
    no_on_demand: Annotated[
        bool, typer.Option("--no-on-demand", help="there is none to fall back on")
    ] = False
    n_paths: Annotated[int, typer.Option(metavar="N", help="draws of how spot comes and goes")] = (
        2_000
    )
    seed: Annotated[int, typer.Option(metavar="N", help="of the draws")] = 7
    listed_too: ListedTooOption = False
    store: StoreOption = ""


def run_of(options: RunOptions) -> DatedRun:
    """Return the run at the prices of the day."""
    from cloudarb_lib.advice.dated.run import DatedRun
    from cloudarb_lib.advice.machines import offers_of_machine
    from cloudarb_lib.base.units import ensure_utc

    provider = options.machine.split("/")[0]
    deadline = ensure_utc(options.deadline, "deadline")
    asked = MarketOptions(
        as_of=options.as_of, store=options.store, prices="today", listed_too=options.listed_too
    )
    market = market_of(asked, [provider])
    offers = offers_of_machine(market, options.machine, terms=())
    spot_usd = _cheapest(offers, "spot")
    if spot_usd is None:
        raise ParameterError(
            f"{options.machine} is not sold as spot.", "Rent it on demand, or name another."
        )
    on_demand_usd = None if options.no_on_demand else _cheapest(offers, "on_demand")
    return DatedRun(
        work_h=options.work_h,
        deadline_h=(deadline - market.as_of).total_seconds() / 3600,
        restart_h=options.restart_h,
        spot_usd_per_hour=spot_usd * options.instances,
        on_demand_usd_per_hour=None if on_demand_usd is None else on_demand_usd * options.instances,
        late_usd=options.late_usd,
    )


def _cheapest(offers: pd.DataFrame, purchase_option: str) -> float | None:
    """Return the least price of an instance, USD an hour; None where it is not sold so."""
    prices = offers.loc[offers["purchase_option"] == purchase_option, "price_usd_per_hour"]
    return None if prices.empty else float(prices.min())


def availability_of(name: str, run: DatedRun, *, seed: int) -> Availability:
    """Return how spot comes and goes, as of a trace on record or of a hazard preset."""
    from cloudarb_lib.advice.dated.run import assumed, recorded
    from cloudarb_lib.advice.dated.traces import load_traces, trace_of
    from cloudarb_lib.tables.assumptions import HAZARD_PRESETS, load_assumptions

    if name.startswith(TRACE):
        trace = trace_of(load_traces(), name.removeprefix(TRACE))
        return recorded(trace, run, seed=seed)
    if name not in HAZARD_PRESETS:
        raise ParameterError(
            f"--availability {name!r} is unknown.",
            f"Use {', '.join(HAZARD_PRESETS)}, or trace:MACHINE.",
        )
    row = HAZARD_PRESETS[name]
    assumptions = load_assumptions()
    return assumed(
        assumptions.get(f"interruption_per_hour/spot/{row}"),
        assumptions.get(f"outage_hours/spot/{row}"),
        run,
    )
