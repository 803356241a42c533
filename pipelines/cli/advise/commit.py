"""``cloudarb advise commit``: commit for one or three years, or wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from pipelines.cli.advise.asking import MarketOptions, market_of, paths_of
from pipelines.cli.manual import with_options
from pipelines.exit_codes import DONE


@dataclass(frozen=True, kw_only=True)
class CommitOptions(MarketOptions):
    """Arguments and options of the verb."""

    machine: Annotated[
        str,
        typer.Argument(metavar="MACHINE", help="provider/region/instance type, as in the store"),
    ]
    need_weeks: Annotated[
        float, typer.Option(metavar="WEEKS", help="how long the need is expected to last")
    ]
    instances: Annotated[float, typer.Option(metavar="N", help="how many machines")] = 1.0
    utilisation: Annotated[
        float, typer.Option(metavar="SHARE", help="share of the hours in which they are used")
    ] = 1.0
    certain: Annotated[
        bool, typer.Option("--certain", help="the need lasts --need-weeks for sure")
    ] = False
    interruptible: Annotated[
        bool, typer.Option("--interruptible", help="spot may serve by the hour")
    ] = False


@with_options(CommitOptions)
def commit(options: CommitOptions) -> int:
    """Commit for 1 or 3 years (to the machine, or by a savings plan), wait, or stay by the hour?

    Prints what each way to pay costs over the need: expected, once in ten, on average of the worst
    twentieth, and the chance to regret it. How long the need lasts is drawn, unless it is
    certain: each week it ends with the same chance. Break-even utilisation, and the rule that needs
    no forecast with its guarantee, stand beside. Costs are counted over three years.
    """
    from cloudarb_lib.advice import commit as library
    from cloudarb_lib.advice.machines import offers_of_machine
    from cloudarb_lib.tables.assumptions import load_assumptions

    need = library.Need(options.need_weeks, options.utilisation, options.certain)
    provider = options.machine.split("/")[0]
    market = market_of(options, [provider])
    offers = offers_of_machine(market, options.machine, tuple(library.TERM_WEEKS))
    if not options.interruptible:
        offers = offers[offers["purchase_option"] != "spot"]
    paths = paths_of(options, market, offers, load_assumptions(), weeks=library.WEEKS)
    prices = library.machine_prices(offers, paths)
    advice = library.commit_or_wait(prices, need, seed=options.seed)
    costs = advice.costs.sort_values("expected_usd")
    usd = ["expected_usd", "p90_usd", "cvar95_usd"]
    costs[usd] *= options.instances
    print(costs.to_string(float_format="{:,.2f}".format))
    print(library.in_words(advice, need, options.instances))
    events = market.events[market.events["offer_id"].isin(offers["offer_id"])]
    print(library.record_in_words(events, market.as_of))
    return DONE
