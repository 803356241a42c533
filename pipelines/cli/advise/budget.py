"""``cloudarb advise budget``: what a plan will have cost by the end of a period."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloudarb_lib.base.errors import ParameterError
from pipelines.cli.advise.asking import WEEK, MarketOptions, market_of, paths_of
from pipelines.cli.manual import with_options
from pipelines.exit_codes import DONE

if TYPE_CHECKING:
    import pandas as pd

    from cloudarb_lib.advice.budget import Budget, BudgetOutlook
    from cloudarb_lib.risk import RiskInputs


@dataclass(frozen=True, kw_only=True)
class BudgetOptions(MarketOptions):
    """Arguments and options of the verb."""

    plan: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="what cloudarb allocate --out wrote")
    ]
    budget: Annotated[float, typer.Option(metavar="USD", help="for the whole period")]
    spent: Annotated[float, typer.Option(metavar="USD", help="spent of it before --as-of")] = 0.0
    weeks: Annotated[float, typer.Option(metavar="WEEKS", help="that the plan covers")] = 13.0
    until: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="end of the period, such as 2026-05-31  [default: the plan's]"
        ),
    ] = None
    volume_sd: Annotated[
        float, typer.Option(metavar="SHARE", help="how uncertain the work is (0.1: 10 %)")
    ] = 0.0
    hazard: Annotated[
        str, typer.Option(metavar="PRESET", help="spot interruptions, as for cloudarb allocate")
    ] = "typical"


@with_options(BudgetOptions)
def budget(options: BudgetOptions) -> int:
    """What will a plan have cost by the end of a period, and will it be over budget?

    P10, P50 and P90 of the cost, the chance to be over, and what that hangs on: prices that move,
    the mix (hours that spot loses and on-demand replaces), and the volume of work.
    """
    from cloudarb_lib.advice import budget as library
    from cloudarb_lib.tables.run_tables import load_table

    limit = library.Budget(options.budget, options.spent, options.volume_sd)
    plan = load_table("plan", options.plan)
    if plan is None or plan.empty:
        raise ParameterError(
            f"{options.plan} holds no plan.", "Name a folder that cloudarb allocate --out wrote."
        )
    inputs, cut = _inputs(options, plan)
    outlook = library.budget_outlook(inputs, cut, limit)
    _print_outlook(outlook, limit, inputs.horizon_h)
    return DONE


def _inputs(options: BudgetOptions, plan: pd.DataFrame) -> tuple[RiskInputs, pd.DataFrame]:
    """Return what the cost is simulated with, and the plan cut at the end of the period."""
    import pandas as pd

    from cloudarb_lib.advice.budget import until
    from cloudarb_lib.base.types import Paths
    from cloudarb_lib.base.units import HOURS_PER_WEEK, parse_as_of
    from cloudarb_lib.risk import RiskInputs
    from cloudarb_lib.tables.assumptions import load_assumptions

    assumptions = load_assumptions()
    market = market_of(options).with_stale()
    planned_h = options.weeks * HOURS_PER_WEEK
    horizon_h = planned_h
    if options.until is not None:
        horizon_h = (parse_as_of(options.until) - market.as_of) / pd.Timedelta(hours=1)
    cut = until(plan, horizon_h / planned_h)
    ids = pd.Index(plan["offer_id"].astype(str).unique())
    gone = ids[~ids.isin(market.offers["offer_id"])]
    if len(gone):
        raise ParameterError(
            f"the plan rents {gone[0]}, which is not offered on {options.as_of}.",
            "Plan again on the offers of that day.",
        )
    rented = market.offers[market.offers["offer_id"].isin(ids)]
    weeks = max(-int(-horizon_h // HOURS_PER_WEEK), 1)
    paths = paths_of(options, market, rented, assumptions, weeks=weeks)
    if paths is None:  # today's prices stay, yet outages and work are drawn
        now_usd = rented["price_usd_per_hour"].to_numpy(float)[:, None, None]
        times = market.as_of + pd.TimedeltaIndex([pd.Timedelta(WEEK)])
        values = now_usd.repeat(options.n_paths, axis=1)
        paths = Paths(pd.Index(rented["offer_id"].astype(object)), times, values)
    inputs = RiskInputs(
        market.offers,
        paths,
        assumptions,
        horizon_h,
        options.seed,
        options.hazard,  # type: ignore[arg-type]
    )
    return inputs, cut


def _print_outlook(outlook: BudgetOutlook, budget: Budget, horizon_h: float) -> None:
    """Print the chance to be over, and the parts."""
    total = outlook.parts.loc["total"]
    print(
        f"in {horizon_h / 24:,.1f} days: P10 {total['p10_usd']:,.0f}, P50 {total['p50_usd']:,.0f}, "
        f"P90 {total['p90_usd']:,.0f} USD of a budget of {budget.usd:,.0f}"
    )
    print(
        f"P(over) {outlook.p_over:.1%} (+- {outlook.p_over_error:.1%}), by "
        f"{outlook.overrun_usd:,.0f} USD on average where it is; "
        f"{outlook.unmet_gpu_hours:,.0f} GPU-hours that nothing replaces"
    )
    print(outlook.parts.to_string(float_format="{:,.2f}".format))
